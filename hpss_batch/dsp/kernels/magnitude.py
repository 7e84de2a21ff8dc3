"""How is the magnitude of a spectrogram computed, with the same bits on every CPU?

NumPy's absolute value of complex64 takes the larger part x and the ratio r of the smaller to it, x · √(r · r + 1), and
rounds the sum once where the CPU has fused multiply-add, and twice where it has none: 4 % of the values differ in
their last bit. The first is what nearly all machines compute, and is what is stored; machines that do not are helped.

`joint_magnitude` is that of several channels together.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Complex64 = NDArray[np.complex64]
Float32 = NDArray[np.float32]


def magnitude(spectrogram: Complex64, out: Float32 | None = None) -> Float32:
    """Absolute values of contiguous, finite complex64, rounded as by fused multiply-add."""
    return np.abs(spectrogram, out=out) if _is_fused() else rounded_once(spectrogram, out)


def rounded_once(spectrogram: Complex64, out: Float32 | None = None) -> Float32:
    """The same, on a CPU that lacks it: r · r + 1 has all of its bits, but for the tiniest r, in float64."""
    real, imaginary = np.abs(spectrogram.real), np.abs(spectrogram.imag)
    larger: Float32 = np.maximum(real, imaginary, out=out)
    ratio = np.minimum(real, imaginary, out=imaginary)
    np.divide(ratio, larger, out=ratio, where=larger > 0)
    wide = ratio.astype(np.float64)
    wide *= wide
    wide += 1
    np.sqrt(wide.astype(np.float32), out=ratio)
    larger *= ratio
    return larger


def joint_magnitude(channels: Sequence[Float32], out: Float32 | None = None) -> Float32:
    """Root of the mean of the channels' powers, shape (frame, frequency): one magnitude for all of them.

    Rounded to float32 at each step, so that two channels that are alike give what they are, to the last bit, from 1e-18
    to 1e19; beyond, powers are infinite, which `masks` refuses, and far below, they are 0. A single channel is
    returned as it is; else `out`, where it is given.
    """
    if len(channels) == 1:
        return channels[0]
    out = np.empty_like(channels[0]) if out is None else out
    rows = max(1, _JOINT_VALUES // out.shape[1])
    power = np.empty((rows, out.shape[1]), np.float32)
    with np.errstate(over="ignore", under="ignore"):
        for begin in range(0, len(out), rows):
            total = out[begin : begin + rows]
            part = slice(begin, begin + len(total))
            np.square(channels[0][part], out=total)
            for channel in channels[1:]:
                total += np.square(channel[part], out=power[: len(total)])
            total /= np.float32(len(channels))
            np.sqrt(total, out=total)
    return out


_JOINT_VALUES = 2**15
"""Of a block that stays in the cache."""


@cache
def _is_fused() -> bool:
    """Whether NumPy's own absolute values are those of fused multiply-add here."""
    random: Any = np.random.default_rng(0)
    values = random.standard_normal((2, 4096), np.float32)
    probe = (values[0] + 1j * values[1]).astype(np.complex64)
    return bool(np.array_equal(np.abs(probe), rounded_once(probe)))
