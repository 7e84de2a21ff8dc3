"""Where do the frames of a piece come from: from audio, or from spectrograms that are stored already?

Either source is opened for one piece and answers the same three questions: how long is the track (as far as can
be seen from here), how many channels has it, and what are its frames `first … stop` of one channel. Both give
the same bits, so that what is computed from them does not depend on which it was.
"""

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from time import perf_counter
from typing import Any, Literal, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from hpss_batch.corpus.audio import Recording
from hpss_batch.corpus.layout import Piece, Placed
from hpss_batch.corpus.store import open_group
from hpss_batch.dsp.stft import StftParams, context, stft_frames
from hpss_batch.errors import AudioError

Complex64 = NDArray[np.complex64]


class Source(Protocol):
    """The frames of one piece and its halo.

    Attributes
    ----------
    n_channels : int
        Channels of the track, as arrays hold them.
    n_samples : int or None
        The track's true length at the store's rate, if that can be seen from this piece.
    n_frames : int
        The track's true number of frames; where it cannot be seen from this piece, at least as many as the piece
        and its halo reach.
    reading : float
        Seconds spent on reading so far.
    """

    n_channels: int
    n_samples: int | None
    n_frames: int
    reading: float

    def frames(self, channel: int, first: int, stop: int, out: Complex64) -> None:
        """Write frames `first … stop` of a channel, counted within the track, to `out`, shape (frame, frequency)."""


class AudioSource:
    """Frames computed from the samples that a piece and its halo touch; see `Source`."""

    def __init__(
        self,
        piece: Piece,
        halo: int,
        stft: StftParams,
        sample_rate: int,
        channels: Literal["mono", "all"],
    ) -> None:
        started = perf_counter()
        self.stft = stft
        track = piece.track
        begin, end = max(piece.first - halo, 0), min(piece.stop + halo, track.n_frames)
        start, stop = stft.sample_span(begin, end)
        start = max(start - context(stft), 0)
        # the last frames' piece reads to the very end, wherever that is: only then is the length known
        stop = max(stop + context(stft), track.n_samples) if end == track.n_frames else stop + context(stft)
        try:
            recording = _open.get(track, sample_rate, channels)
            self.samples = recording.read(start, stop)
        except BaseException:
            _open.close()
            raise
        self.n_channels = recording.channels
        self.n_samples = recording.n_samples
        if self.n_samples is None and start < recording.bound == start + self.samples.shape[1]:
            self.n_samples = recording.bound  # everything that was announced, and nothing is read behind it
        if end == track.n_frames:
            _open.close()
        self.offset = start
        if self.n_samples is not None:
            self.n_frames = stft.n_frames(self.n_samples)
        elif self.samples.shape[1]:
            self.n_frames = end
        else:  # the track ends before anything that this piece touches
            self.n_frames = begin
        self.reading = perf_counter() - started

    def frames(self, channel: int, first: int, stop: int, out: Complex64) -> None:
        """Transform the samples held; see `Source`."""
        stft_frames(self.samples[channel], self.offset, self.n_samples, first, stop, self.stft, out)


class _Open(threading.local):
    """The recording that a thread read last, left open: some formats can only be read on, not sought.

    A long track's next unit then goes on where the last one ended, instead of decoding everything before it again.
    """

    def __init__(self) -> None:
        self.key: tuple[object, ...] | None = None
        self.recording: Recording | None = None

    def get(self, track: Placed, sample_rate: int, channels: Literal["mono", "all"]) -> Recording:
        """The track's recording, opened unless it is open already."""
        found = os.stat(track.path)
        if (found.st_size, found.st_mtime_ns) != (track.source_size, track.source_mtime):
            raise AudioError("changed after it was listed; run again to list it anew")
        key = (track.path, track.source_size, track.source_mtime, sample_rate, channels)
        if self.recording is None or self.key != key:
            self.close()
            self.recording, self.key = Recording(track.path, sample_rate=sample_rate, channels=channels), key
        return self.recording

    def close(self) -> None:
        """Close it."""
        if self.recording is not None:
            self.recording.close()
        self.recording = self.key = None


_open = _Open()


class StoredSource:
    """Frames of another run directory's `spectrogram`, where the track lies at the same place; see `Source`.

    The piece's track has its true length, since it is done there.
    """

    def __init__(self, piece: Piece, halo: int, stft: StftParams, url: str, n_channels: int) -> None:
        started = perf_counter()
        track = piece.track
        self.n_channels = n_channels
        self.n_samples: int | None = track.n_samples
        self.n_frames = stft.n_frames(track.n_samples)
        self.start = max(piece.first - halo, 0)
        stop = max(min(piece.stop + halo, self.n_frames), self.start)
        array = _spectrogram(url)
        begin = track.frame_start
        self.held: Complex64 = np.asarray(array[:n_channels, begin + self.start : begin + stop])
        self.reading = perf_counter() - started
        if np.isnan(self.held.real).any():
            raise AudioError(
                f"the spectrogram stored in {url} has gaps where this track should be; "
                "`hpss-batch verify` on that run directory says more"
            )

    def frames(self, channel: int, first: int, stop: int, out: Complex64) -> None:
        """Copy the frames held; see `Source`."""
        np.copyto(out, self.held[channel, first - self.start : stop - self.start])


@lru_cache(maxsize=4)
def _spectrogram(url: str) -> "zarr.Array[Any]":
    array = open_group(url)["spectrogram"]
    assert isinstance(array, zarr.Array)
    return array


class Window:
    """A run of frames that moves forward along a source, so that each frame is computed once.

    The frames of one step and its halo overlap those of the next; what overlaps is moved, not computed again. The
    arrays are reused, since fresh memory costs more than moving.

    Parameters
    ----------
    rows : int
        Most frames that are held at once.
    n_bins : int
        Bins of a frame.
    """

    def __init__(self, rows: int, n_bins: int) -> None:
        self.spectrogram = np.zeros((rows, n_bins), np.complex64)
        self.magnitude = np.zeros((rows, n_bins), np.float32)
        self.begin = self.end = 0
        self.frames: Callable[[int, int, Complex64], None]

    def start(self, source: Source, channel: int) -> None:
        """Begin with a channel of a source."""
        self.begin = self.end = 0
        self.frames = lambda first, stop, out: source.frames(channel, first, stop, out)

    def move(self, begin: int, end: int) -> tuple[Complex64, NDArray[np.float32]]:
        """Spectrogram and magnitude of the frames `begin … end`; neither may lie before those of the last call."""
        kept = max(self.end - begin, 0)
        if kept:
            at = begin - self.begin
            self.spectrogram[:kept] = self.spectrogram[at : at + kept]
            self.magnitude[:kept] = self.magnitude[at : at + kept]
        fresh = self.spectrogram[kept : end - begin]
        self.frames(begin + kept, end, fresh)
        np.abs(fresh, out=self.magnitude[kept : end - begin])
        self.begin, self.end = begin, end
        return self.spectrogram[: end - begin], self.magnitude[: end - begin]
