"""How is the magnitude of a spectrogram computed, with the same bits on every CPU?

NumPy's absolute value of complex64 takes the larger part x and the ratio r of the smaller to it, x · √(r · r + 1), and
rounds the sum once where the CPU has fused multiply-add, and twice where it has none: 4 % of the values differ in
their last bit. The first is what nearly all machines compute, and is what is stored; machines that do not are helped.
"""

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


@cache
def _is_fused() -> bool:
    """Whether NumPy's own absolute values are those of fused multiply-add here."""
    random: Any = np.random.default_rng(0)
    values = random.standard_normal((2, 4096), np.float32)
    probe = (values[0] + 1j * values[1]).astype(np.complex64)
    return bool(np.array_equal(np.abs(probe), rounded_once(probe)))
