"""What does a worker do with one unit? Everything: read, transform, separate, write, commit. And nothing else.

A unit's task is a pure function of the recipe, the unit, and the audio (or stored spectrograms) that it names. Frames
pass through in blocks that stay in the processor's cache, so that what a task holds does not depend on how long units
are. For each piece, each block of frames, and each channel:

    read    the samples of the block and its halo                       `frames`, over `audio`
    stft    of the frames that were not held yet                        `frames`, over `dsp.stft`
    hpss    masks (each channel's, or joint), components and features,  `block`, over `dsp.hpss`
            into rows of shards
    write   chunks, compressed, as they get full                        `store.arrays.shard`

When all shards are on disk, the unit is committed. A piece that cannot be read fails alone: its frames hold the fill
value, its track gets a reason, and the unit's other tracks are done.
"""

import socket
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from hpss_batch.audio.kinds import INSTALL, ffmpeg_is_here
from hpss_batch.dsp.params import FeatureParams, StftParams
from hpss_batch.errors import AudioError, StoreError, UnreachableError
from hpss_batch.files import blocks
from hpss_batch.store.arrays.shard import ShardWriter, shard_key
from hpss_batch.store.directory import GROUP
from hpss_batch.store.layout import Piece, Placed, Unit
from hpss_batch.store.records import Commit, Outcome, keep, kept, versions
from hpss_batch.store.storage import open_folder
from hpss_batch.tasks.block import Buffers, Complex64, Float32, buffers_for, describe, joint_masks, separate
from hpss_batch.tasks.clock import Clock
from hpss_batch.tasks.frames import Window
from hpss_batch.tasks.sources import AudioSource, Source, StoredSource
from hpss_batch.tasks.spec import BLOCK_FRAMES, Recipe

if TYPE_CHECKING:  # sparse matrices are for those who want features
    from hpss_batch.dsp.features import FrameFeatures
    from hpss_batch.dsp.filterbanks import FilterBanks


def run_unit(recipe: Recipe, unit: Unit, excluded: Mapping[int, Outcome], last_try: bool = True) -> Commit:
    """Do a unit and commit it, unless another driver's worker was first, whose commit is returned then.

    Parameters
    ----------
    recipe : Recipe
        How.
    unit : Unit
        What.
    excluded : mapping of int to Outcome
        Tracks that are not to be tried, by row, and what the commit says of them.
    last_try : bool
        Whether a track whose file cannot be reached fails alone; else all of the unit does, for another worker to try.

    Raises
    ------
    UnreachableError
        If it is not the last try, and a file cannot be reached from here.
    """
    folder = open_folder(recipe.url)
    there = kept(folder, Commit(unit.number, {}).name, Commit, unit.layout)
    if there is not None:
        return there
    commit = separate_unit(recipe, unit, excluded, write=True, last_try=last_try)
    return keep(folder, commit.name, commit)


def probe_pieces(recipe: Recipe, unit: Unit, excluded: Mapping[int, Outcome]) -> int:
    """Do all of a unit's work but write nothing: whether it kills the worker is the question. Returns its number."""
    return separate_unit(recipe, unit, excluded, write=False).unit


def separate_unit(
    recipe: Recipe, unit: Unit, excluded: Mapping[int, Outcome], *, write: bool, last_try: bool = True
) -> Commit:
    """Compute a unit, and write its shards if asked; when it returns, they are on disk.

    Returns
    -------
    Commit
        What to commit.
    """
    buffers, folder, shape = buffers_for(recipe), open_folder(recipe.url), recipe.shape
    outcomes = dict[int, Outcome]()
    pieces = {name: [list[int | None]() for _ in buffers.shards] for name in shape.names}
    clock = Clock("read", "stft", "hpss", *(["features"] if recipe.features else []), "write")
    try:
        for channel, shards in enumerate(buffers.shards):
            for name, shard in shards.items():
                key = shard_key(unit.number, channel, len(shape.dims(name)))
                shard.begin(partial(folder.begin, f"{GROUP}/{name}/{key}") if write else None)
        for piece in unit.pieces:
            for shard in buffers.writers:
                shard.mark()
            outcome = excluded.get(piece.index) or _outcome(recipe, piece, buffers, clock, last_try)
            outcomes[piece.index] = outcome
            for name, channels in pieces.items():
                for found, shards in zip(channels, buffers.shards, strict=True):
                    found.append(shards[name].digest)
        if write:
            clock.step("write")
            for shard in buffers.writers:
                shard.finish()
            clock.step(None)
    finally:
        for shard in buffers.writers:
            shard.abandon()
    ffmpeg = any(piece.track.decoder == "ffmpeg" for piece in unit.pieces)
    digests = {name: [shards[name].digest for shards in buffers.shards] for name in shape.names}
    used = versions(ffmpeg=ffmpeg)
    return Commit(unit.number, outcomes, digests, pieces, used, unit.layout, clock.seconds)


def _outcome(
    recipe: Recipe, piece: Piece, buffers: Buffers[ShardWriter], clock: Clock, last_try: bool
) -> Outcome:
    """Do a piece; if that fails, only its track does, and the shards are as if it had not been there."""
    try:
        return pass_through(recipe, piece, buffers, clock)
    except (MemoryError, StoreError):
        raise
    except Exception as error:
        for shard in buffers.writers:
            shard.rewind()
        away = said_unreachable(error) or (why_unreachable(piece.track) if recipe.source is None else None)
        if away and not last_try:
            raise UnreachableError(f"{piece.track.id} {away}", worker_address()) from error
        return Outcome(
            "failed", away or reason(error), retry=away is not None, contents=_contents(recipe, piece)
        )
    finally:
        clock.step(None)


def pass_through(recipe: Recipe, piece: Piece, buffers: Buffers[Any], clock: Clock) -> Outcome:
    """Take a piece's frames from its source to their targets, shards or memory, block by block; see the module."""
    clock.step("read")
    source, halo = _open(recipe, piece), recipe.separation.halo
    channels = range(source.n_channels)
    windows = [Window(buffers.windows[channel], partial(source.frames, channel)) for channel in channels]
    features = _features(recipe, source.n_channels, clock)
    for first, stop in _blocks(piece, features[0].lookback if features else 0):
        clock.step("read")
        begin = max(first - halo, 0)
        end = source.hold(begin, min(stop + halo, piece.track.n_frames))
        stop = min(stop, end)
        if stop <= first:
            break
        at, block = piece.offset + first - piece.first, slice(first - begin, stop - begin)
        clock.step("stft")
        moved: Iterable[tuple[Complex64, Float32]] = (window.move(begin, end) for window in windows)
        shared = None
        if recipe.separation.joint:
            moved = list(moved)
            clock.step("hpss")
            shared = joint_masks([magnitude for _, magnitude in moved], block, recipe, buffers)
        for channel, window in enumerate(moved):
            clock.step("write")  # frames before the piece are looked back on, and go nowhere
            shards = buffers.shards[channel] if first >= piece.first else {}
            rows = {name: shard.rows(at, at + stop - first) for name, shard in shards.items()}
            clock.step("hpss")
            magnitudes = separate(*window, block, recipe, buffers, rows, shared)
            if features:
                clock.step("features")
                describe(magnitudes, features[channel], recipe.shape, rows)
            clock.step("write")
            for shard in shards.values():
                shard.written()
            clock.step("stft")
    source.check()
    return _done(recipe, piece, source)


def _done(recipe: Recipe, piece: Piece, source: Source) -> Outcome:
    """What a piece tells of its track: the same whatever its source has read before, as commits are always the same."""
    length = source.n_samples
    if (
        length is not None
        and piece.stop <= recipe.stft.n_frames(length)
        and piece.stop < piece.track.n_frames
    ):
        length = None  # the end does not lie in this piece, and was met by chance
    cancels = piece.first == 0 and source.cancels
    return Outcome("done", n_samples=length, cancels=cancels, contents=_contents(recipe, piece))


def _contents(recipe: Recipe, piece: Piece) -> int | None:
    """The digest of a piece's share of its file; None where spectrograms are read."""
    return piece.track.contents(*piece.share) if recipe.source is None else None


def _blocks(piece: Piece, lookback: int) -> Iterator[tuple[int, int]]:
    """Frames of a track, from … to, that pass together: a piece's, after those before it that features look back on."""
    first = max(piece.first - lookback, 0)
    while first < piece.stop:
        at = piece.offset + first - piece.first
        stop = min(
            first + BLOCK_FRAMES - at % BLOCK_FRAMES, piece.first if first < piece.first else piece.stop
        )
        yield first, stop
        first = stop


def _open(recipe: Recipe, piece: Piece) -> Source:
    track = piece.track
    if recipe.source is not None:
        n_channels = track.n_channels(recipe.channels)
        return StoredSource(track, recipe.stft, recipe.source, recipe.generation, n_channels)
    source = AudioSource(track, recipe.stft, recipe.shape.sample_rate, recipe.channels, piece.first == 0)
    if source.n_channels > recipe.n_channels:
        raise AudioError(
            f"has {source.n_channels} channels, more than its header had when it was listed; "
            "run again to list it as it is now"
        )
    return source


def _features(recipe: Recipe, n_channels: int, clock: Clock) -> "list[FrameFeatures]":
    """Features of a piece, for each channel; an empty list where none are wanted."""
    if recipe.features is None:
        return []
    clock.step("features")  # filter banks are made once, but that takes a while
    from hpss_batch.dsp.features import FrameFeatures

    banks = _banks(recipe.features, recipe.stft, recipe.shape.sample_rate)
    return [FrameFeatures(recipe.features, recipe.stft, banks) for _ in range(n_channels)]


@lru_cache(maxsize=2)
def _banks(features: FeatureParams, stft: StftParams, sample_rate: int) -> "FilterBanks":
    from hpss_batch.dsp.filterbanks import filter_banks

    return filter_banks(features, stft, sample_rate)


def said_unreachable(error: Exception) -> str | None:
    """What an error says that is no fault of a track's, but of the way to it; None for others."""
    return f"{error}, from {socket.gethostname()}" if isinstance(error, UnreachableError) else None


def why_unreachable(track: Placed) -> str | None:
    """Why a file that was listed cannot be read from this machine, to its last byte; None where it can."""
    if track.decoder == "ffmpeg" and not ffmpeg_is_here():
        return (
            f"cannot be decoded on {socket.gethostname()}: there is no PyAV; {INSTALL} there, and run again"
        )
    try:
        for _ in blocks(track.file):
            pass
    except OSError as error:
        return f"cannot be reached from {socket.gethostname()}: {error.strerror or error}"
    except UnreachableError as error:
        return said_unreachable(error)
    return None


def worker_address() -> str:
    """Where this runs; empty outside of a Dask worker."""
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return ""


def reason(error: Exception) -> str:
    """What a track's `error` says: our own words where we have them, else what kind of surprise it was."""
    if isinstance(error, AudioError):
        return str(error)
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return f"unexpected {type(error).__name__}: {error}. Please report it, with the file if you can"
