"""Which samples of a recording, and which frames of a piece, are held while a task moves along it?"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.recording import Recording
from hpss_batch.dsp.stft import StftParams, stft_frames

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]


class Samples:
    """A recording's samples, of which those that are still needed are held.

    Parameters
    ----------
    recording : Recording
        The recording.
    stft : StftParams
        How frames are cut.
    start : int
        The first sample that will be needed.

    Attributes
    ----------
    start, stop : int
        The samples that are held.
    n_samples : int or None
        The true length, once the end of decoding has been met.
    """

    def __init__(self, recording: Recording, stft: StftParams, start: int = 0) -> None:
        self.recording, self.stft = recording, stft
        self.start = self.stop = start
        self.n_samples = recording.n_samples
        self.held: Float32 = np.empty((recording.channels, 0), np.float32)

    def hold(self, start: int, stop: int) -> int:
        """Hold samples `start … stop`, as far as there are any; `start` never decreases. Returns where they end."""
        start = max(start, self.start)
        if self.n_samples is not None:
            stop = min(stop, self.n_samples)
        if stop <= self.stop:
            return stop
        kept = self.held[:, start - self.start : self.stop - self.start]
        if stop - start > self.held.shape[1]:
            self.held = np.empty((len(self.held), stop - start), np.float32)
        self.held[:, : kept.shape[1]] = kept
        self.start = start
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

    def start(self, frames: Callable[[int, int, Complex64], None]) -> None:
        """Begin with a channel, of which `frames(first, stop, out)` writes frames to `out`."""
        self.begin = self.end = 0
        self.frames = frames

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
