"""What are the samples of a track's components, from its first to its last, in memory that does not depend on length?

Everything moves forward in blocks of output; what a block needs besides its own is held from the one before:

    samples                 |------------held------------|            read once, in order; see `tasks.frames`
    spectrogram, magnitude     |halo|----frames----|halo|             computed once
    masks × spectrogram             |----frames----|                  of the frames that touch the block; masks are each
                                                                      channel's, or joint
    output                            |--block--|                     overlap-add; blocks join bit for bit

Which samples there are is known when decoding ends, not before: until then every frame that is asked for exists.

A component is what its mask leaves of the spectrogram, transformed back. The last one need not be transformed: it is
the input less the others, *as they are stored*, so that files of whole numbers add up to the input to the last bit of
the format, and to the last bit of all where the input was no finer:

    harmonic    = round(istft(harmonic_mask × spectrogram))
    percussive  = round(input) − harmonic       at margins of 1 (the masks add up to 1; not at infinite power)
                = round(istft(percussive_mask × spectrogram))   else
    residual    = round(input) − harmonic − percussive

What is clipped of one stem, others get, as far as they have room: the sum stays.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.encoding import Encoding
from hpss_batch.dsp.hpss import masks
from hpss_batch.dsp.kernels.magnitude import joint_magnitude
from hpss_batch.dsp.params import COMPONENTS
from hpss_batch.dsp.separation import Separation
from hpss_batch.dsp.stft import StftParams, context, istft_samples
from hpss_batch.tasks.frames import Readable, Samples, Window, window_memory

Complex64 = NDArray[np.complex64]
Float32 = NDArray[np.float32]

FRAMES = 256
"""Frames of a block, for the usual number of bins."""

_VALUES = 2**19
"""Bins of a block, about, for larger ones."""

_NO_END = 2**62
"""Frames of a track whose end is not in sight."""


def block_frames(stft: StftParams) -> int:
    """Hops in a block of output."""
    return max(16, min(FRAMES, _VALUES // stft.n_bins))


@dataclass(frozen=True)
class Span:
    """Where a block of output lies in its track.

    Attributes
    ----------
    start, stop : int
        Its samples.
    first, end : int
        The frames that touch them.
    n_frames : int
        Frames of the track, as far as is known.
    """

    start: int
    stop: int
    first: int
    end: int
    n_frames: int

    @property
    def n_samples(self) -> int:
        """Samples of the block."""
        return self.stop - self.start


@dataclass
class Block:
    """Some samples of all components that are wanted.

    Attributes
    ----------
    samples : dict of str to array, shape (samples, channels)
        By component, as `Encoding.coded` gives them; valid until the next block.
    clipped : dict of str to int
        Samples beyond full scale, by component.
    peaks : dict of str to float
        Largest magnitude, of full scale.
    """

    samples: dict[str, NDArray[Any]]
    clipped: dict[str, int]
    peaks: dict[str, float]

    @property
    def n_samples(self) -> int:
        """Samples of each channel."""
        return len(next(iter(self.samples.values())))


class Stream:
    """A recording's components in blocks.

    Parameters
    ----------
    recording : Readable
        Any rate, any channels.
    stft : StftParams
        How to transform, so that it can be undone: `check_nola`.
    how : Separation
        How to separate, at the recording's rate.
    components : sequence of str
        Which of harmonic, percussive, residual are wanted.
    encoding : Encoding
        How they will be stored.

    Attributes
    ----------
    n_samples : int or None
        The recording's true length, once its end was met; what all blocks add up to.
    """

    def __init__(
        self,
        recording: Readable,
        stft: StftParams,
        how: Separation,
        components: Sequence[str],
        encoding: Encoding,
    ) -> None:
        self.stft, self.how, self.components, self.encoding = stft, how, components, encoding
        self.samples = Samples(recording, stft)
        rows = block_frames(stft)
        # frames that touch a block: one a hop, and those that reach in from before
        most = rows + -(-stft.n_fft // stft.hop_length) + 1
        held = most + 2 * how.halo
        self.windows = [
            Window(window_memory(held, stft.n_bins), partial(self.samples.frames, channel))
            for channel in range(recording.channels)
        ]
        self.joint = np.empty((held, stft.n_bins), np.float32) if how.joint else None
        self.masks = (np.empty((most, stft.n_bins), np.float32), np.empty((most, stft.n_bins), np.float32))
        self.part = np.empty((most, stft.n_bins), np.complex64)
        self.size = rows * stft.hop_length
        self.transformed = np.empty(self.size, np.float32)
        self.steps = {name: np.empty(self.size, encoding.step_dtype) for name in ("input", *COMPONENTS)}
        self.coded = {
            name: np.empty((self.size, recording.channels), encoding.file_dtype) for name in components
        }
        self.adds_up = how.complementary

    @property
    def n_samples(self) -> int | None:
        """See the class."""
        return self.samples.n_samples

    def __iter__(self) -> Iterator[Block]:
        start = 0
        while True:
            span = self._read(start)
            if span.stop <= start:
                return
            yield self._block(span)
            start = span.stop

    def _read(self, start: int) -> Span:
        """Hold the samples that the block from `start` on depends on; returns where it lies."""
        stft, stop = self.stft, start + self.size
        first, end = stft.frame_span(start, stop, _NO_END)
        halo, beyond = self.how.halo, context(stft)
        begin, needed = stft.sample_span(max(first - halo, 0), end + halo)
        self.samples.hold(min(begin - beyond, start), needed + beyond)
        if self.n_samples is None:
            return Span(start, stop, first, end, _NO_END)
        n_frames, stop = stft.n_frames(self.n_samples), min(stop, self.n_samples)
        return Span(start, stop, *stft.frame_span(start, stop, n_frames), n_frames)

    def _block(self, span: Span) -> Block:
        n = span.n_samples
        block = Block(
            {name: self.coded[name][:n] for name in self.components},
            dict.fromkeys(self.components, 0),
            dict.fromkeys(self.components, 0.0),
        )
        for channel in self._separated(span):
            for name in COMPONENTS:
                steps = self.steps[name][:n]
                self._fill(name, steps, channel, span)
                clipped, peak = self.encoding.clip(steps)
                if clipped and self._is_rest(name):
                    self._give_back(name, n)
                if name in self.components:
                    block.clipped[name] += clipped
                    block.peaks[name] = max(block.peaks[name], peak)
                if name == self.last:
                    break
            for name in self.components:
                self.encoding.coded(self.steps[name][:n], block.samples[name][:, channel])
        return block

    def _is_rest(self, name: str) -> bool:
        """Whether a component is what others leave of the input."""
        return name == "residual" or (name == "percussive" and self.adds_up)

    def _give_back(self, name: str, n: int) -> None:
        """Let the others have what was clipped of the component that is the rest of the input."""
        others = COMPONENTS[: COMPONENTS.index(name)]
        excess = self.steps["input"][:n] - self.steps[name][:n]
        for other in others:
            excess -= self.steps[other][:n]
        for other in others:
            steps = self.steps[other][:n]
            before = steps.copy()
            steps += excess
            self.encoding.clip(steps)
            excess -= steps - before

    @property
    def last(self) -> str:
        """The last component in order that is wanted."""
        return max(self.components, key=COMPONENTS.index)

    def _separated(self, span: Span) -> Iterator[int]:
        """The channels, one after the other: of each, a block's masks, spectrogram, and input in steps."""
        halo, n = self.how.halo, span.end - span.first
        begin, end = max(span.first - halo, 0), min(span.end + halo, span.n_frames)
        at = span.first - begin
        weigh = partial(
            masks, how=self.how, start=at, stop=at + n, out=(self.masks[0][:n], self.masks[1][:n])
        )
        moved: Iterable[tuple[Complex64, Float32]] = (window.move(begin, end) for window in self.windows)
        if self.joint is not None:
            moved = list(moved)
            weigh(joint_magnitude([magnitude for _, magnitude in moved], self.joint[: end - begin]))
        for channel, (spectrogram, magnitude) in enumerate(moved):
            if self.joint is None:
                weigh(magnitude)
            self.spectrogram = spectrogram[at : at + n]
            self.encoding.steps(self._input(channel, span), self.steps["input"][: span.n_samples])
            yield channel

    def _input(self, channel: int, span: Span) -> Float32:
        """A block's samples of what the components are to add up to."""
        return self.samples.of(channel, span.start, span.stop)

    def _fill(self, name: str, steps: NDArray[Any], channel: int, span: Span) -> None:
        """Samples of a component of the channel that was separated last, not clipped."""
        others = COMPONENTS[: COMPONENTS.index(name)]
        if self._is_rest(name):
            np.copyto(steps, self.steps["input"][: span.n_samples])
            for other in others:
                steps -= self.steps[other][: span.n_samples]
            return
        weights = self.masks[len(others)][: len(self.spectrogram)]
        part = np.multiply(self.spectrogram, weights, out=self.part[: len(self.spectrogram)])
        samples = self.transformed[: span.n_samples]
        istft_samples(part, span.first, span.n_frames, span.start, span.stop, self.stft, samples)
        self.encoding.steps(samples, steps)


def stream_bytes(stft: StftParams, how: Separation, channels: int) -> int:
    """Upper bound on the memory of a `Stream`, in bytes, whatever the length of the recording.

    It is the sum, for each channel, of a window of spectrogram and magnitude, the samples that it was made of (held
    twice while they grow), and the coded blocks; and once, of masks, a component, transforms and steps of a block.
    """
    most = block_frames(stft) + -(-stft.n_fft // stft.hop_length) + 1
    size, frames = block_frames(stft) * stft.hop_length, most + 2 * how.halo
    begin, end = stft.sample_span(0, frames)
    channel = frames * stft.n_bins * (8 + 4) + 2 * 4 * (end - begin + 2 * context(stft)) + 3 * 4 * size
    # the separation itself works on arrays of the window's size, of which a joint magnitude is one more
    once = most * stft.n_bins * (4 + 4 + 8) + (3 + how.joint) * frames * stft.n_bins * 4 + 5 * 8 * size
    return channels * channel + once
