"""Which frames of a track does a task hold while it moves along it?

A task moves forward, block by block, and holds what the next frames need and no more:

    samples                 |------------held------------|        `Samples`: read once, in order
    spectrogram, magnitude     |halo|----block----|halo|          `Window`: computed once, what overlaps is moved

Where frames come from is the affair of `sources`.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.kernels.magnitude import magnitude
from hpss_batch.dsp.stft import StftParams, stft_frames

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]


class Readable(Protocol):
    """What a `Recording` is to whoever reads it from its beginning to its end."""

    channels: int
    bound: int

    @property
    def n_samples(self) -> int | None:
        """See `Recording`."""

    def read(self, start: int, stop: int, out: Float32 | None = None) -> Float32:
        """See `Recording`."""


class Samples:
    """A recording's samples, of which those that are still needed are held.

    Parameters
    ----------
    recording : Readable
        The recording.
    stft : StftParams
        How frames are cut.

    Attributes
    ----------
    start, stop : int
        The samples that are held.
    n_samples : int or None
        The true length, once the end of decoding has been met.
    """

    def __init__(self, recording: Readable, stft: StftParams) -> None:
        self.recording, self.stft = recording, stft
        self.start = self.stop = 0
        self.n_samples = recording.n_samples
        self.held: Float32 = np.empty((recording.channels, 0), np.float32)

    def hold(self, start: int, stop: int) -> int:
        """Hold samples `start … stop`, as far as there are any; `start` never decreases. Returns where they end."""
        start = max(start, self.start)
        if self.n_samples is not None:
            stop = min(stop, self.n_samples)
        if stop <= max(start, self.stop):
            return stop
        kept = self.held[:, start - self.start : self.stop - self.start]
        if stop - start > self.held.shape[1]:
            self.held = np.empty((len(self.held), stop - start), np.float32)
        self.held[:, : kept.shape[1]] = kept
        self.start, self.stop = start, max(start, self.stop)
        n = self.recording.read(self.stop, stop, self.held[:, self.stop - start :]).shape[1]
        self.stop += n
        self.n_samples = self.recording.n_samples
        if self.n_samples is None and n and self.stop == self.recording.bound:
            self.n_samples = self.stop  # everything that was announced, and nothing is read behind it
        return self.stop

    def of(self, channel: int, start: int, stop: int) -> Float32:
        """Samples of a channel that are held."""
        return self.held[channel, start - self.start : stop - self.start]

    def frames(self, channel: int, first: int, stop: int, out: Complex64) -> None:
        """Frames of a channel whose samples are held."""
        held = self.of(channel, self.start, self.stop)
        stft_frames(held, self.start, self.n_samples, first, stop, self.stft, out)


class Window:
    """Frames of one channel and their halo, moving forward, so that each frame is computed once.

    Parameters
    ----------
    memory : pair of arrays, shape (most frames held at once, n_bins)
        For spectrogram and magnitude. It is used again from track to track: fresh memory costs more than moving.
    frames : callable
        ``frames(first, stop, out)`` writes frames to `out`.
    """

    def __init__(
        self, memory: tuple[Complex64, Float32], frames: Callable[[int, int, Complex64], None]
    ) -> None:
        self.spectrogram, self.magnitude = memory
        self.frames = frames
        self.begin = self.end = 0

    def move(self, begin: int, end: int) -> tuple[Complex64, Float32]:
        """Spectrogram and magnitude of the frames `begin … end`; neither may lie before those of the last call."""
        kept = max(self.end - begin, 0)
        if kept:
            at = begin - self.begin
            self.spectrogram[:kept] = self.spectrogram[at : at + kept]
            self.magnitude[:kept] = self.magnitude[at : at + kept]
        fresh = self.spectrogram[kept : end - begin]
        self.frames(begin + kept, end, fresh)
        magnitude(fresh, self.magnitude[kept : end - begin])
        self.begin, self.end = begin, end
        return self.spectrogram[: end - begin], self.magnitude[: end - begin]


def window_memory(rows: int, n_bins: int) -> tuple[Complex64, Float32]:
    """Memory for a `Window` of so many frames."""
    return np.zeros((rows, n_bins), np.complex64), np.zeros((rows, n_bins), np.float32)
