"""What does a worker do with one unit? Everything: read, transform, separate, write, commit. And nothing else.

A unit's task is a pure function of the recipe, the unit, and the audio (or stored spectrograms) that it names. It
holds one shard of each array, whose buffers live as long as the worker's thread; the frames in between pass through
in blocks that stay in the processor's cache:

    for each channel
      for each piece:   read its samples and its halo's, once
        for each block: spectrogram → magnitude → masks → components → features, straight into the shards (`bench`)
      write each array's shard in one assignment
    when all shards are on disk, commit

A piece that cannot be read fails alone: its frames hold the fill value, its track gets a reason, and the unit's
other tracks are done.
"""

import threading
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import google_crc32c
import numpy as np

from hpss_batch.corpus.folder import open_folder
from hpss_batch.corpus.layout import Piece, Unit
from hpss_batch.corpus.records import Commit, Outcome
from hpss_batch.corpus.store import writer, zarr_settings
from hpss_batch.errors import AudioError
from hpss_batch.job.bench import bench
from hpss_batch.job.recipe import BLOCK, Recipe
from hpss_batch.job.sources import AudioSource, Source, StoredSource
from hpss_batch.job.versions import versions


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
    work = _Work(recipe, unit, dict(excluded))
    for channel in range(recipe.n_channels):
        if work.fill(channel) and write:
            work.write(channel)
    if write:
        work.write_axis()
    return work.commit()


class _Work:
    """A unit under way."""

    def __init__(self, recipe: Recipe, unit: Unit, outcomes: dict[int, Outcome]) -> None:
        self.recipe, self.unit, self.outcomes = recipe, unit, outcomes
        self.bench = bench(threading.get_ident(), recipe)
        self.sources = dict[int, Source]()
        self.digests: dict[str, list[int | None]] = {
            n: [None] * recipe.n_channels for n in recipe.shape.names
        }
        self.seconds = dict.fromkeys(("read", "stft", "hpss", "write"), 0.0)

    def fill(self, channel: int) -> bool:
        """Compute a channel of all pieces into the shards; whether any piece has that channel."""
        filled = list[tuple[int, int]]()
        for piece in self.unit.pieces:
            source = self._source(piece)
            if source is None or channel >= source.n_channels:
                continue
            n_frames = min(source.n_frames, piece.stop) - piece.first
            if n_frames > 0 and self._separate_or_fail(source, channel, piece, n_frames):
                filled.append((piece.offset, piece.offset + n_frames))
            if channel == source.n_channels - 1:
                self.sources.pop(piece.index, None)
        for shard in self.bench.shards.values():
            shard.close_gaps(filled)
        return bool(filled)

    def _source(self, piece: Piece) -> Source | None:
        """The piece's source; None where the track failed, or all of its channels are done."""
        if piece.index in self.sources or piece.index in self.outcomes:
            return self.sources.get(piece.index)
        recipe = self.recipe
        try:
            source: Source
            if recipe.source is not None:
                n_channels = 1 if recipe.channels == "mono" else piece.track.source_channels
                source = StoredSource(piece, recipe.reach, recipe.stft, recipe.source, n_channels)
            else:
                rate = recipe.shape.sample_rate
                source = AudioSource(piece, recipe.reach, recipe.stft, rate, recipe.channels)
                if source.n_channels > recipe.n_channels:
                    raise AudioError(
                        f"has {source.n_channels} channels, more than its header had when it was listed; "
                        "run again to list it anew"
                    )
        except MemoryError:
            raise
        except Exception as error:
            self._fail(piece, error)
            return None
        self.seconds["read"] += source.reading
        self.sources[piece.index] = source
        self.outcomes[piece.index] = Outcome("done", n_samples=source.n_samples)
        return source

    def _fail(self, piece: Piece, error: Exception) -> None:
        self.sources.pop(piece.index, None)
        self.outcomes[piece.index] = Outcome("failed", reason(error))

    def _separate_or_fail(self, source: Source, channel: int, piece: Piece, n_frames: int) -> bool:
        """Separate a piece; if that fails, only its track does, and the shards are as if it had not been there."""
        digests = {name: channels[channel] for name, channels in self.digests.items()}
        try:
            self._separate(source, channel, piece, n_frames)
        except MemoryError:
            raise
        except Exception as error:
            self._fail(piece, error)
            for name, shard in self.bench.shards.items():
                shard.values[piece.offset : piece.offset + n_frames] = shard.fill
                self.digests[name][channel] = digests[name]
            return False
        return True

    def _separate(self, source: Source, channel: int, piece: Piece, n_frames: int) -> None:
        """Pass a piece's frames through in blocks, into the shards."""
        window, halo = self.bench.window, self.recipe.hpss.halo
        window.start(source, channel)
        for first in range(piece.first, piece.first + n_frames, BLOCK):
            stop = min(first + BLOCK, piece.first + n_frames)
            lead = min(first, self.recipe.shape.before)
            begin, end = max(first - lead - halo, 0), min(stop + halo, source.n_frames)
            started = perf_counter()
            spectrogram, magnitude = window.move(begin, end)
            moved = perf_counter()
            at = piece.offset + first - piece.first
            rows = slice(at, at + stop - first)
            self.bench.seconds = 0.0
            self.bench.fill(spectrogram, magnitude, first - begin, stop - begin, rows, lead)
            for name, shard in self.bench.shards.items():
                block = shard.values[rows].reshape(-1).view(np.uint8)
                self.digests[name][channel] = google_crc32c.extend(self.digests[name][channel] or 0, block)
            self.seconds["stft"] += moved - started
            self.seconds["hpss"] += perf_counter() - moved - self.bench.seconds
            if self.recipe.features is not None:
                self.seconds["features"] = self.seconds.get("features", 0.0) + self.bench.seconds

    def write(self, channel: int) -> None:
        """Write a channel of every array, a whole shard at a time."""
        started = perf_counter()
        out = self._writer()
        with zarr_settings():
            for name, shard in self.bench.shards.items():
                out.write(name, self.unit.number, shard.values, channel)
        self.seconds["write"] += perf_counter() - started

    def write_axis(self) -> None:
        """Write the unit's frames of the coordinates, and return when everything is on disk."""
        started = perf_counter()
        shape, out = self.recipe.shape, self._writer()
        time = np.full(shape.unit_frames, np.nan)
        index = np.full(shape.unit_frames, -1, np.int32)
        for piece in self.unit.pieces:
            rows = slice(piece.offset, piece.offset + piece.n_frames)
            time[rows] = self.recipe.stft.times(piece.first, piece.stop, shape.sample_rate)
            index[rows] = piece.index
        with zarr_settings():
            out.write("time", self.unit.number, time)
            out.write("track_index", self.unit.number, index)
        out.on_disk([*shape.names, "time", "track_index"])
        self.seconds["write"] += perf_counter() - started

    def _writer(self) -> Any:
        return writer(self.recipe.url, self.recipe.shape, self.recipe.generation)

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
