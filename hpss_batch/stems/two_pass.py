"""How are stems made in two passes, each with a transform of its own, in memory that does not depend on length?

A long window tells partials from each other, a short one drum strokes. So the harmonic stem is taken first, and the
percussive one out of what that leaves (Driedger, Müller & Disch, 2014):

    recording ─ first pass, `Stream` ─► harmonic
                        │
                        └─► rest = input − harmonic, `Rest` ─ second pass, `TwoPass` ─► percussive
                                                                     │
                            residual = input − harmonic − percussive ┘     as they are stored

The rest is a recording to the second pass: read once, in order, a block ahead of what is needed of it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.encoding import Encoding
from hpss_batch.audio.recording import Recording
from hpss_batch.dsp.separation import Separation
from hpss_batch.dsp.stft import StftParams
from hpss_batch.stems.stream import Span, Stream, block_frames, stream_bytes

Float32 = NDArray[np.float32]

_FLOATS = Encoding("WAV", "FLOAT")
"""Of samples that go on to the second pass: neither rounded nor clipped."""

KEPT = ("input", "harmonic")


class Rest:
    """What the first pass leaves of a recording, read as one: in order, from its beginning.

    Parameters
    ----------
    first : Stream
        The first pass, of the components harmonic and percussive as floats, the latter being all the rest.

    Attributes
    ----------
    channels, bound, n_samples
        As `Recording` has them.
    """

    def __init__(self, first: Stream) -> None:
        recording = first.samples.recording
        self.channels, self.bound = recording.channels, recording.bound
        self.n_samples: int | None = None
        self._first, self._blocks = first, iter(first)
        self._start = self._stop = self._at = 0  # what is held of the input, and how far the rest was read
        nothing = np.empty((self.channels, 0), np.float32)
        self._rest, self._held = nothing, dict.fromkeys(KEPT, nothing)

    def read(self, start: int, stop: int, out: Float32 | None = None) -> Float32:
        """Samples from where the last call ended, as `Recording.read` gives them.

        Raises
        ------
        ValueError
            If they do not begin there.
        """
        if start != self._at:
            raise ValueError(f"the rest is read in order: sample {self._at} is next, not {start}")
        while self.n_samples is None and self._at + self._rest.shape[1] < stop:
            self._pull()
        samples, self._rest = self._rest[:, : stop - start], self._rest[:, stop - start :]
        self._at += samples.shape[1]
        if out is None:
            return samples
        view = out[:, : samples.shape[1]]
        np.copyto(view, samples)
        return view

    def _pull(self) -> None:
        """Take one more block of the first pass."""
        block = next(self._blocks, None)
        if block is None:
            self.n_samples = self._first.n_samples
            return
        start, self._stop = self._stop, self._stop + block.n_samples
        of = self._first.samples.of
        fresh = {
            "input": np.stack([of(channel, start, self._stop) for channel in range(self.channels)]),
            "harmonic": block.samples["harmonic"].T,
        }
        for name, samples in fresh.items():
            self._held[name] = np.concatenate([self._held[name], samples], axis=1, dtype=np.float32)
        self._rest = np.concatenate([self._rest, block.samples["percussive"].T], axis=1, dtype=np.float32)

    def kept(self, name: str, channel: int, start: int, stop: int) -> Float32:
        """Samples of the "input" or of what is "harmonic" in it, which are kept until they are forgotten."""
        return self._held[name][channel, start - self._start : stop - self._start]

    def forget(self, start: int) -> None:
        """Keep no samples before `start`."""
        for name, samples in self._held.items():
            self._held[name] = samples[:, start - self._start :]
        self._start = start


class TwoPass(Stream):
    """A recording's components in blocks, in two passes; see the module, and `Stream`.

    Parameters
    ----------
    recording, components, encoding
        As in `Stream`.
    first, second : pair of StftParams and Separation
        How each pass transforms and separates.
    """

    def __init__(
        self,
        recording: Recording,
        first: tuple[StftParams, Separation],
        second: tuple[StftParams, Separation],
        components: Sequence[str],
        encoding: Encoding,
    ) -> None:
        before = Stream(recording, *first, ("harmonic", "percussive"), _FLOATS)
        before.adds_up = True
        self.rest = Rest(before)
        super().__init__(self.rest, *second, components, encoding)
        self.adds_up = False

    def _read(self, start: int) -> Span:
        self.rest.forget(start)
        return super()._read(start)

    def _input(self, channel: int, span: Span) -> Float32:
        return self.rest.kept("input", channel, span.start, span.stop)

    def _fill(self, name: str, steps: NDArray[Any], channel: int, span: Span) -> None:
        if name == "harmonic":
            self.encoding.steps(self.rest.kept(name, channel, span.start, span.stop), steps)
        else:
            super()._fill(name, steps, channel, span)


def two_pass_bytes(
    first: tuple[StftParams, Separation], second: tuple[StftParams, Separation], channels: int
) -> int:
    """Upper bound on the memory of a `TwoPass`, in bytes, whatever the length of the recording.

    That of both streams; and input, harmonic samples and rest, of a block of each pass and what the second reads ahead,
    twice while they grow.
    """
    blocks = sum(block_frames(stft) * stft.hop_length for stft, _ in (first, second))
    stft, how = second
    ahead = (2 * how.halo + -(-stft.n_fft // stft.hop_length)) * stft.hop_length + 2 * stft.n_fft
    kept = 2 * 3 * 4 * channels * (blocks + ahead)
    return stream_bytes(*first, channels) + stream_bytes(*second, channels) + kept
