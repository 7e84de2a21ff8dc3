"""What are a track's samples at another rate, so that every cutting gives the same bits?

soxr computes a block with other last bits than the whole (1e-6), so samples at another rate are *defined* in blocks
whose borders depend on the track alone. With the two rates' ratio reduced to p : q, a block is a whole number of
groups of p samples in and q samples out, so that borders lie on samples at both rates:

    in      |....context|======== u * p ========|context....|
    out     |...dropped.|======== u * q ========|dropped....|

Context is longer than the filter. The first block has none before it, and behind the last sample it is silence: both
ends are as soxr has them.
"""

from math import gcd

import numpy as np
import soxr
from numpy.typing import NDArray

from hpss_batch.audio.decoder import Decoder
from hpss_batch.errors import AudioError

Float32 = NDArray[np.float32]

MAX_RATIO = 256
"""The largest ratio of two rates that is resampled."""

_BLOCK = 2**17
"""Samples of a block at the higher of the two rates, about."""

_CONTEXT = 512
"""Samples of context at the lower rate; soxr's HQ filter reaches less than 128."""


def resampled_length(n_samples: int, sample_rate: int, target_rate: int) -> int:
    """Length of a track at another rate: every target sample that lies before the track's end.

    >>> resampled_length(44100, 44100, 22050), resampled_length(3, 44100, 22050)
    (22050, 2)
    """
    return -(-n_samples * target_rate // sample_rate)


class Resampler:
    """A decoder's canonical samples at another rate.

    Any sequence of reads gives the same bits for the same samples. Reads like `Decoder`.

    Parameters
    ----------
    decoder : Decoder
        Where samples come from.
    sample_rate : int
        Hz wanted.

    Raises
    ------
    AudioError
        Where the two rates are too far apart.
    """

    def __init__(self, decoder: Decoder, sample_rate: int) -> None:
        source = decoder.info.sample_rate
        if not source / MAX_RATIO <= sample_rate <= source * MAX_RATIO:
            raise AudioError(
                f"has {source} samples a second, too far from the {sample_rate} wanted: rates may differ by a factor "
                f"of up to {MAX_RATIO}; its header may be wrong, or corpus.sample_rate"
            )
        self._decoder = decoder
        self.sample_rate, self.channels = sample_rate, decoder.channels
        common = gcd(source, sample_rate)
        self._p, self._q = source // common, sample_rate // common
        self._groups = -(-_BLOCK // max(self._p, self._q))
        self._context = -(-_CONTEXT // min(self._p, self._q))  # in groups
        self._source: Float32 | None = None
        self._blocks: dict[int, Float32] = {}

    @property
    def end(self) -> int | None:
        """The true length at this rate, once the end of decoding has been met."""
        return None if self._decoder.end is None else self._length(self._decoder.end)

    def read(self, start: int, out: Float32) -> int:
        """Write samples from `start` on to `out`, shape (channels, samples); return how many there were."""
        size = self._groups * self._q
        filled, wanted = 0, out.shape[1]
        while filled < wanted:
            number, offset = divmod(start + filled, size)
            block = self._block(number)
            n = min(block.shape[1] - offset, wanted - filled)
            if n <= 0:
                break
            out[:, filled : filled + n] = block[:, offset : offset + n]
            filled += n
        return filled

    def _length(self, n_samples: int) -> int:
        return -(-n_samples * self._q // self._p)

    def _block(self, number: int) -> Float32:
        """One block, shape (channels, samples); the last two are kept, for spans that overlap."""
        if number not in self._blocks:
            while len(self._blocks) > 1:
                del self._blocks[min(self._blocks)]
            self._blocks[number] = self._resample(number)
        return self._blocks[number]

    def _resample(self, number: int) -> Float32:
        """Resample a block from its samples and their context."""
        p, q, context = self._p, self._q, self._context
        before = min(
            number * self._groups, context
        )  # in groups: soxr begins in another way than with silence
        begin = number * self._groups * p
        low, high = begin - before * p, begin + (self._groups + context) * p
        if self._source is None:
            groups = min(self._groups, -(-self._decoder.info.n_samples // p)) + 2 * context
            self._source = np.empty((self.channels, groups * p), np.float32)
        source = self._source[:, : high - low]
        n = self._decoder.read(low, source)
        size = self._groups * q
        if n < high - low:
            end = self._decoder.end
            if n == 0 or end is None or end <= begin:
                return np.empty((self.channels, 0), np.float32)
            size = min(size, self._length(end) - number * size)
            # behind the end as much silence as context, and whole groups, whatever span asked
            source = source[:, : min(-(-end // p) * p + context * p, high) - low]
            source[:, n:] = 0
        resampled: Float32 = soxr.resample(source.T, p, q, quality="HQ").T
        return resampled[:, before * q : before * q + size]
