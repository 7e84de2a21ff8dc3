"""What does a worker do with one unit? Everything: read, transform, separate, write, commit. And nothing else.

A unit's task is a pure function of the recipe, the unit, and the audio (or stored spectrograms) that it names. Frames
pass through in blocks that stay in the processor's cache, so that what a task holds does not depend on how long units
are:

    for each piece
      for each block:     read its samples and its halo's
        for each channel: spectrogram → magnitude → masks → components → features, into chunks of shards (`block`)
                          each chunk, once full, is compressed and written (`store.shard`)
    when all shards are on disk, commit

A piece that cannot be read fails alone: its frames hold the fill value, its track gets a reason, and the unit's
other tracks are done.
"""

import json
from collections.abc import Iterable, Mapping
from functools import partial
from time import perf_counter

import google_crc32c
import numpy as np

from hpss_batch.errors import AudioError, StoreError
from hpss_batch.store.directory import GROUP
from hpss_batch.store.layout import Piece, Unit
from hpss_batch.store.records import Commit, Outcome, versions
from hpss_batch.store.schema import AXES
from hpss_batch.store.shard import ShardWriter, shard_key
from hpss_batch.store.storage import Folder, open_folder
from hpss_batch.tasks.block import bench
from hpss_batch.tasks.sources import AudioSource, Source, StoredSource
from hpss_batch.tasks.spec import BLOCK_FRAMES, Recipe

Digests = dict[str, list[int | None]]


def run_unit(recipe: Recipe, unit: Unit, excluded: Mapping[int, Outcome]) -> Commit:
    """Do a unit and commit it; if another driver's worker was first, its commit is returned.

    Parameters
    ----------
    recipe : Recipe
        How.
    unit : Unit
        What.
    excluded : mapping of int to Outcome
        Tracks that are not to be tried, by row, and what the commit says of them.
    """
    commit = separate_unit(recipe, unit, excluded, write=True)
    folder = open_folder(recipe.url)
    if folder.create(commit.name, commit.encode()):
        return commit
    return Commit.decode(folder.read(commit.name) or b"", commit.name)


def probe_pieces(recipe: Recipe, unit: Unit, excluded: Mapping[int, Outcome]) -> int:
    """Do all of a unit's work but write nothing: whether it kills the worker is the question. Returns its number."""
    return separate_unit(recipe, unit, excluded, write=False).unit


def separate_unit(recipe: Recipe, unit: Unit, excluded: Mapping[int, Outcome], *, write: bool) -> Commit:
    """Compute a unit, and write its shards if asked; when it returns, they are on disk.

    Returns
    -------
    Commit
        What to commit.
    """
    work = _Work(recipe, unit, excluded)
    try:
        work.do(write=write)
    finally:
        work.bench.abandon()
    return work.commit()


def write_axes(recipe: Recipe, unit: Unit, names: Iterable[str]) -> None:
    """Write a unit's frames of coordinates; when it returns, they are on disk."""
    folder, values, unit_frames = open_folder(recipe.url), recipe.axis_values(unit), recipe.shape.unit_frames
    for name in names:
        dtype, fill = AXES[name]
        writer = ShardWriter(dtype, (), unit_frames, fill, _chunk_frames(folder, name))
        try:
            writer.begin(partial(folder.begin, f"{GROUP}/{name}/{shard_key(unit.number, None, 0)}"))
            for piece in unit.pieces:
                writer.write(piece.offset, values[name][piece.offset : piece.offset + piece.n_frames])
            writer.finish()
        finally:
            writer.abandon()


def _chunk_frames(folder: Folder, axis: str) -> int:
    """Frames of a chunk of a coordinate: a whole shard's, but 512 in stores of earlier versions."""
    place = f"{GROUP}/{axis}/zarr.json"
    try:
        metadata = json.loads(folder.read(place) or b"")
        return int(metadata["codecs"][0]["configuration"]["chunk_shape"][0])
    except (ValueError, LookupError, TypeError) as error:
        raise StoreError(
            f"{folder.url}/{place} is missing or damaged. `hpss-batch verify --heal {folder.url}` writes it again"
        ) from error


class _Work:
    """A unit under way."""

    def __init__(self, recipe: Recipe, unit: Unit, excluded: Mapping[int, Outcome]) -> None:
        self.recipe, self.unit, self.outcomes = recipe, unit, dict(excluded)
        self.bench = bench(recipe)
        self.digests: Digests = {name: [None] * recipe.n_channels for name in recipe.shape.names}
        self.seconds = self.bench.seconds
        self.seconds |= dict.fromkeys(self.seconds, 0.0)

    def do(self, *, write: bool) -> None:
        """Separate all pieces, and write if asked."""
        folder, number, shape = open_folder(self.recipe.url), self.unit.number, self.recipe.shape
        for (name, channel), shard in self.bench.shards.items():
            key = shard_key(number, channel, len(shape.dims(name)))
            shard.begin(partial(folder.begin, f"{GROUP}/{name}/{key}") if write else None)
        for piece in self.unit.pieces:
            if piece.index not in self.outcomes:
                self.outcomes[piece.index] = self._separate_or_fail(piece)
        if write:
            started = perf_counter()
            for shard in self.bench.shards.values():
                shard.finish()
            write_axes(self.recipe, self.unit, AXES)
            self.seconds["write"] += perf_counter() - started

    def _separate_or_fail(self, piece: Piece) -> Outcome:
        """Separate a piece; if that fails, only its track does, and the shards are as if it had not been there."""
        digests = {name: [*channels] for name, channels in self.digests.items()}
        for shard in self.bench.shards.values():
            shard.mark()
        try:
            return self._separate(piece)
        except (MemoryError, StoreError):
            raise
        except Exception as error:
            self.digests = digests
            for shard in self.bench.shards.values():
                shard.rewind()
            return Outcome("failed", reason(error))

    def _separate(self, piece: Piece) -> Outcome:
        """Pass a piece's frames through in blocks, into the shards."""
        source, halo, shape = self._open(piece), self.recipe.hpss.halo, self.recipe.shape
        for window, channel in zip(self.bench.windows, range(source.n_channels), strict=False):
            window.start(partial(source.frames, channel))
        first = piece.first
        while first < piece.stop:
            at = piece.offset + first - piece.first
            lead = min(first, shape.before)
            begin, stop = (
                max(first - lead - halo, 0),
                min(first + BLOCK_FRAMES - at % BLOCK_FRAMES, piece.stop),
            )
            end = source.hold(begin, min(stop + halo, piece.track.n_frames))
            stop = min(stop, end)
            if stop <= first:
                break
            for channel in range(source.n_channels):
                self._block(channel, begin, end, (first - begin, stop - begin), (at, at + stop - first), lead)
            first = stop
        source.check()
        self.seconds["read"] += source.reading
        return Outcome("done", n_samples=source.n_samples)

    def _open(self, piece: Piece) -> Source:
        recipe = self.recipe
        if recipe.source is not None:
            n_channels = piece.track.n_channels(recipe.channels)
            return StoredSource(piece, recipe.stft, recipe.source, recipe.generation, n_channels)
        source = AudioSource(piece, recipe.reach, recipe.stft, recipe.shape.sample_rate, recipe.channels)
        if source.n_channels > recipe.n_channels:
            raise AudioError(
                f"has {source.n_channels} channels, more than its header had when it was listed; "
                "run again to list it as it is now"
            )
        return source

    def _block(
        self, channel: int, begin: int, end: int, span: tuple[int, int], rows: tuple[int, int], lead: int
    ) -> None:
        """One block of one channel; frames `begin … end` of the track are its window, of which `span` is its own."""
        started = perf_counter()
        spectrogram, magnitude = self.bench.windows[channel].move(begin, end)
        moved, before = perf_counter(), sum(self.seconds.values())
        for name, values in self.bench.fill(channel, spectrogram, magnitude, span, rows, lead).items():
            digests = self.digests[name]
            digests[channel] = google_crc32c.extend(digests[channel] or 0, values.reshape(-1).view(np.uint8))
        self.seconds["hpss"] += perf_counter() - moved - (sum(self.seconds.values()) - before)
        self.seconds["stft"] += moved - started

    def commit(self) -> Commit:
        """What became of the unit."""
        outcomes = {piece.index: self.outcomes[piece.index] for piece in self.unit.pieces}
        seconds = {step: round(value, 4) for step, value in self.seconds.items()}
        return Commit(self.unit.number, outcomes, self.digests, versions(), seconds)


def reason(error: Exception) -> str:
    """What a track's `error` says: our own words where we have them, else what kind of surprise it was."""
    if isinstance(error, AudioError):
        return str(error)
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return f"unexpected {type(error).__name__}: {error}. Please report it, with the file if you can"
