"""What does a model train on? Windows of a few seconds out of all tracks, in an order that is random and still fast.

`TrackWindows` is a map-style dataset: `len(windows)` and `windows[i]`, a dict of NumPy arrays with their track, time
and labels. PyTorch's DataLoader takes it; torch is not needed. Window i is the same for good; the order
in which to take them comes from `windows.batches(…)`, a batch sampler (see `batches`).
"""

from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.errors import CorpusError, ParameterError
from hpss_batch.products.training.batches import Batches, Indices, whole
from hpss_batch.store.reading.corpus import Corpus, open_corpus

Array = NDArray[Any]

BLOCKS = 64
"""Places of the corpus, at least, that are mixed in the cache, where it can hold as many chunks."""

LARGEST_BLOCK = 8
"""Chunks in a block at most: windows across its end take one more chunk, so a longer one wastes less."""

_AXES = ("time", "track_index")


class TrackWindows:
    """Windows of a run directory's tracks: a map-style dataset for training.

    A window is a run of `frames` frames of one channel of one track that is done. It never reaches into another
    track; what is left at a track's end, shorter than a hop, is left out, and so is a track shorter than a window.

    Parameters
    ----------
    store : path, URL or Corpus
        The run directory; or a corpus that was opened, for instance one without a run.
    variables : str or iterable of str, optional
        Variables on `frame`, such as masks, spectrogram, features; by default all but coordinates.
    frames : int
        Frames in a window.
    hop : int, optional
        Frames from one window of a track to the next; `frames` by default, so that none overlap.
    seed : int or None
        Of the order that `batches` gives; None for the store's own order.
    tracks : iterable of str, optional
        Ids of the tracks to take windows of, for instance a training set's; all that are done by default.
    labels : iterable of str, optional
        Columns of the manifest that items carry, with or without ``meta_``; all by default.
    cache_bytes : int
        Memory for decompressed chunks in each process.

    Attributes
    ----------
    variables, labels : tuple of str
        What an item holds.
    frames, hop : int
        As given.
    left_out : int
        Tracks that are shorter than a window.

    Raises
    ------
    ParameterError
        If a parameter is not allowed; the message says what is.
    TrackError
        If one of `tracks` is not there or not done.
    CorpusError
        If no track is as long as a window.

    Examples
    --------
    >>> windows = TrackWindows("out/", "harmonic_mask", frames=128)
    >>> windows[0]["harmonic_mask"].shape, windows[0]["track"], windows[0]["time"]
    ((128, 1025), 'album/song.flac', 0.0)
    >>> len(next(iter(windows.batches(4, workers=2))))  # for a DataLoader: batch_sampler=windows.batches(…)
    4
    """

    def __init__(
        self,
        store: str | PathLike[str] | Corpus,
        variables: str | Iterable[str] | None = None,
        *,
        frames: int = 128,
        hop: int | None = None,
        seed: int | None = 0,
        tracks: Iterable[str] | None = None,
        labels: Iterable[str] | None = None,
        cache_bytes: int = 256 * 2**20,
    ) -> None:
        corpus = store if isinstance(store, Corpus) else open_corpus(store)
        self.url, self._open_readers = corpus.path, corpus.readers
        self.frames = whole("frames", frames)
        self.hop = whole("hop", frames if hop is None else hop)
        self.seed, self.cache_bytes = seed, whole("cache_bytes", cache_bytes)
        packed = corpus.dataset
        on_frames = {str(n): v for n, v in packed.variables.items() if "frame" in v.dims and n not in _AXES}
        wanted = list(on_frames) if variables is None else _names(variables)
        self.variables = _known("variables", wanted, list(on_frames))
        table = corpus.tracks
        columns = [str(n) for n in table.variables if str(n).startswith("meta_")]
        wanted = columns if labels is None else [f"meta_{n.removeprefix('meta_')}" for n in _names(labels)]
        self.labels = _known("labels", wanted, columns)
        settings = packed.attrs["job"]
        self._hop_length, self._sample_rate = settings["stft"]["hop_length"], corpus.sample_rate
        mono = settings["corpus"]["channels"] == "mono" or not any(
            "channel" in on_frames[name].dims for name in self.variables
        )
        chosen = _rows(corpus, tracks)
        fields = {n: table[n].values[chosen] for n in ("track", "frame_start", *self.labels)}
        self._tracks = fields["track"].tolist()
        self._meta = {name: fields[name].tolist() for name in self.labels}
        self._lay_out(
            fields["frame_start"],
            corpus.lengths(chosen),
            np.ones(len(chosen), np.int64) if mono else table.source_channels.values[chosen],
        )
        self._open()

    def _lay_out(self, start: Array, n_frames: Array, channels: Array) -> None:
        """Number the windows: lanes, a channel of a track each, one after the other."""
        count = np.where(n_frames < self.frames, 0, (n_frames - self.frames) // self.hop + 1)
        self.left_out = int((count == 0).sum())
        if not count.any():
            longest = int(n_frames.max(initial=0))
            raise CorpusError(
                f"{self.url}: no track has {self.frames} frames; the longest of {len(count)} that are done has "
                f"{longest}. Give a smaller frames"
            )
        row = np.repeat(np.arange(len(count)), channels)
        self._lane_track = row.tolist()
        self._lane_channel = (
            np.arange(len(row)) - np.repeat(np.cumsum(channels) - channels, channels)
        ).tolist()
        self._lane_start = start[row].tolist()
        self._lane_stop = np.cumsum(count[row]).tolist()

    def _open(self) -> None:
        """Readers and caches of this process; the first thing that an unpickled copy does."""
        self._readers = self._open_readers(self.variables)
        step = max(reader.frames for reader in self._readers.values())
        step_bytes = sum(step // r.frames * r.chunk_bytes for r in self._readers.values())
        longest = max(1, min(LARGEST_BLOCK, self.cache_bytes // (step_bytes * BLOCKS)))
        self.block_frames = step * longest
        # windows across a block's end take a chunk of the next one
        self.cached_blocks = max(1, self.cache_bytes // (step_bytes * (longest + 1)))
        self._cached = {
            name: lru_cache((self.cached_blocks + 1) * (longest + 1) * (step // reader.frames))(reader.read)
            for name, reader in self._readers.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_readers", "_cached")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def __len__(self) -> int:
        return int(self._lane_stop[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A window.

        Parameters
        ----------
        index : int
            Its number, in the order of tracks, then of channels, then of time.

        Returns
        -------
        dict
            Each of `variables` as a new array of shape (frames, …), float32 (complex64 for complex ones);
            ``track``, its id; ``channel``; ``time``, that of its first frame within the track [s]; and each of
            `labels`.

        Raises
        ------
        IndexError
            If there is no such window.
        """
        n_windows = self._lane_stop[-1]
        if not -n_windows <= index < n_windows:
            raise IndexError(f"window {index} of {n_windows:,}; allowed: 0 to {n_windows - 1}")
        index = int(index) % n_windows
        lane = bisect_right(self._lane_stop, index)
        first = (index - (self._lane_stop[lane - 1] if lane else 0)) * self.hop
        track, channel = self._lane_track[lane], self._lane_channel[lane]
        begin = self._lane_start[lane] + first
        item: dict[str, Any] = {name: self._read(name, begin, channel) for name in self.variables}
        item |= {"track": self._tracks[track], "channel": channel, "time": self._seconds(first)}
        for name, values in self._meta.items():
            item[name] = values[track]
        return item

    def _seconds(self, frame: int) -> float:
        return float(frame * self._hop_length / self._sample_rate)

    def __repr__(self) -> str:
        words = f"{len(self):,} windows of {self.frames} frames, of {len(self._tracks):,} tracks"
        return f"<TrackWindows {self.url}: {words}; {', '.join(self.variables)}>"

    def _read(self, name: str, begin: int, channel: int) -> Array:
        """Frames of one variable, counted on the frame axis, as a new array."""
        reader, cached = self._readers[name], self._cached[name]
        channel, frames = channel * reader.axis, reader.frames
        coding = reader.coding
        dtype = reader.dtype if coding or reader.dtype.kind == "c" else np.float32
        out = np.empty((self.frames, *reader.tail), dtype)
        number, offset = divmod(begin, frames)
        at, length = 0, min(self.frames, frames - offset)
        while length:
            out[at : at + length] = cached(number, channel)[offset : offset + length]
            at, number, offset = at + length, number + 1, 0
            length = min(self.frames - at, frames)
        return coding.decode(out, gaps=False) if coding else out

    def batches(
        self,
        batch_size: int,
        *,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
    ) -> Batches:
        """The order in which to take windows: a batch sampler for one rank.

        Parameters
        ----------
        batch_size : int
            Windows in a batch.
        workers : int
            The DataLoader's `num_workers`: each gets its own part of the corpus to decompress.
        rank, world_size : int
            This process among those that train together. All get the same number of windows: the few that are
            left over, fewer than `world_size`, are left out, others each epoch.
        drop_last : bool
            Leave out a last batch that is not full.

        Returns
        -------
        Batches
        """
        return Batches(
            self.blocks(),
            self.cached_blocks,
            self.seed,
            batch_size=batch_size,
            workers=workers,
            rank=rank,
            world_size=world_size,
            drop_last=drop_last,
        )

    def blocks(self) -> Indices:
        """For each window the block of chunks that it begins in, as a number; shape (len,)."""
        stops = np.array(self._lane_stop, np.int64)
        counts = np.diff(stops, prepend=0)
        begin = np.repeat(np.array(self._lane_start, np.int64) - (stops - counts) * self.hop, counts)
        begin += np.arange(len(self)) * self.hop
        channel = np.repeat(np.array(self._lane_channel, np.int64), counts)
        block: Indices = begin // self.block_frames
        return block + channel * (int(block.max()) + 1)


def _names(names: str | Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _known(parameter: str, wanted: list[str], there: list[str]) -> tuple[str, ...]:
    """Names that are all there, and some of them at least where there are any."""
    unknown = [name for name in wanted if name not in there]
    if unknown or (parameter == "variables" and not wanted):
        found = f"holds {unknown[0]!r}" if unknown else "is empty"
        raise ParameterError(f"{parameter} {found}; the store has {', '.join(there) or 'none'}")
    return tuple(wanted)


def _rows(corpus: Corpus, tracks: Iterable[str] | None) -> Array:
    """Rows of the tracks that were named, or of all that are done, in the store's order."""
    done = np.flatnonzero(corpus.tracks.status.values == "done")
    if tracks is None:
        return done
    row_of = dict(zip(corpus.tracks.track.values[done].tolist(), done.tolist(), strict=True))
    named = dict.fromkeys(_names(tracks))
    for track in named:
        if track not in row_of:
            corpus[track]  # raises, with the reason
    return np.array(sorted(row_of[track] for track in named), np.int64)
