"""What is a method in frames and bins, at one rate and one transform?

`separation` turns what `HpssParams` have in seconds and Hz into a `Separation`, which all that computes goes by:

    lengths    the odd number that is nearest to seconds or Hz over those of one frame or bin; of two the larger
    bands      begin with the first bin at or above their start; those without a bin are left out
    knots      may lie above half the sample rate: what is below is the same at every rate

Curves are made of sums, products and quotients alone, each of them rounded as IEEE 754 says, so that they have the same
bits on every machine; a library's logarithm has not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.methods import HpssParams, Length, Logistic
from hpss_batch.dsp.params import StftParams
from hpss_batch.errors import ParameterError

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Where the values of a spectrogram lie; None for what is not known.

    Attributes
    ----------
    n_bins
        Of each frame.
    bin_hz, frame_seconds
        From one bin to the next [Hz], and from one frame to the next [s].
    """

    n_bins: int | None = None
    bin_hz: float | None = None
    frame_seconds: float | None = None

    @classmethod
    def of(cls, stft: StftParams, sample_rate: float) -> Grid:
        """That of a transform at a rate."""
        return cls(stft.n_bins, sample_rate / stft.n_fft, stft.hop_length / sample_rate)


class BinBand(NamedTuple):
    """A band from bin `start` on: kernels of some frames and some bins, and bins that the former is widened over."""

    start: int
    frames: int
    bins: int
    widening: int


@dataclass(frozen=True, eq=False)
class Curves:
    """A logistic, by bins.

    Attributes
    ----------
    values : float32, shape (3, n_bins)
        What the mean of logarithms is of their sum; slope; offset, of logarithms to the base 2.
    smoothing
        Bins that the mean is of, an odd number.
    floor
        What is added to medians.
    """

    values: NDArray[np.float32]
    smoothing: int
    floor: float


@dataclass(frozen=True, eq=False)
class Separation:
    """A method in frames and bins.

    Attributes
    ----------
    bands
        From bin 0 on.
    power
        Exponent of the ratio of medians; infinite for hard masks; None of a logistic.
    curves
        The logistic; None of a ratio.
    margin
        Of harmonic and percussive masks.
    n_bins
        Bins that it is for; None if for any number.
    joint
        Whether all channels of a track have the same masks, those of `joint_magnitude`.
    """

    bands: tuple[BinBand, ...]
    power: float | None
    curves: Curves | None
    margin: tuple[float, float]
    n_bins: int | None
    joint: bool = False

    @property
    def halo(self) -> int:
        """Frames of context that a region needs on each side, for its masks to be those of the whole."""
        return max(band.frames for band in self.bands) // 2

    @property
    def complementary(self) -> bool:
        """Whether both masks add up to 1."""
        return self.margin == (1.0, 1.0) and self.power != math.inf

    @property
    def is_plain(self) -> bool:
        """Whether it is librosa's formula: the same kernels everywhere, and a ratio of medians."""
        return len(self.bands) == 1 and self.bands[0].widening == 1 and self.curves is None

    def bin_halo(self, n_bins: int) -> int:
        """Bins of context on each side: half a kernel, or all there are where it matters which bin is which."""
        return self.bands[0].bins // 2 if self.is_plain else n_bins


@lru_cache(maxsize=64)
def separation(params: HpssParams, grid: Grid | None = None) -> Separation:
    """What parameters are on a grid, which is needed where any is in seconds or Hz, or depends on frequency.

    Raises
    ------
    ParameterError
        If it is needed, and not known.
    """
    grid = grid or Grid()
    bands, joint = _bands(params, grid), params.channels == "joint"
    if not isinstance(params.power, Logistic):
        plain = len(params.bands) == 1 and bands[0].widening == 1
        return Separation(bands, params.power, None, params.margin, None if plain else grid.n_bins, joint)
    return Separation(bands, None, _curves(params.power, grid), params.margin, grid.n_bins, joint)


def _count(length: Length, unit: float | None) -> int:
    """Frames or bins of a length, where `unit` is the size of one."""
    if isinstance(length, int):
        return length
    return 2 * math.floor(float(length.split()[0]) / _known(unit, length) / 2) + 1


def _known(unit: float | None, what: str) -> float:
    if unit is None:
        raise ParameterError(
            f"{what} needs the seconds of a frame and the Hz of a bin, which are not known here: give the sample "
            "rate and the hop, or lengths in frames and bins"
        )
    return unit


def _bands(params: HpssParams, grid: Grid) -> tuple[BinBand, ...]:
    found = list[BinBand]()
    for band in params.bands:
        start = _first_bin(band.start, grid) if band.start else 0
        if grid.n_bins is not None and start >= grid.n_bins > 0:
            break
        if found and found[-1].start == start:
            found.pop()
        frames, bins = band.kernel_size
        counts = _count(frames, grid.frame_seconds), _count(bins, grid.bin_hz)
        found.append(BinBand(start, *counts, _odd(band.widening, grid)))
    return tuple(found)


def _first_bin(hz: float, grid: Grid) -> int:
    """The first bin at or above a frequency; one that lies on it to rounding counts."""
    return math.ceil(hz / _known(grid.bin_hz, f"{hz:g} Hz") * (1 - 1e-12))


def _odd(length: Length, grid: Grid) -> int:
    """A length along bins with a middle; an even number of bins is taken for the next odd one."""
    return _count(length, grid.bin_hz) | 1


def _curves(logistic: Logistic, grid: Grid) -> Curves:
    if grid.n_bins is None:
        raise ParameterError(
            "a logistic needs the number of bins, which is not known here: give the sample rate"
        )
    bins, smoothing = np.arange(grid.n_bins, dtype=np.float64), _odd(logistic.smoothing, grid)
    half = smoothing // 2
    counts = np.minimum(bins + half, grid.n_bins - 1) - np.maximum(bins - half, 0) + 1
    lowest = logistic.knots[0]
    at = _logarithm(np.maximum(bins * _known(grid.bin_hz, f"{lowest:g} Hz"), lowest))
    knots = _logarithm(np.array(logistic.knots))
    slope, offset = (_interpolated(at, knots, np.array(v)) for v in (logistic.slope, logistic.offset))
    return Curves(np.stack([1 / counts, slope, offset / _LN2]).astype(np.float32), smoothing, logistic.floor)


def _interpolated(x: Float64, knots: Float64, values: Float64) -> Float64:
    """Values linear between knots, and constant outside."""
    if len(knots) == 1:
        return np.full_like(x, values[0])
    below = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    share = (x - knots[below]) / (knots[below + 1] - knots[below])
    found: Float64 = values[below] + np.clip(share, 0, 1) * (values[below + 1] - values[below])
    return found


def _logarithm(x: Float64) -> Float64:
    """The natural logarithm of positive numbers, to about 1e-15: 2 artanh t, t = (m - 1) / (m + 1), x = m 2^e."""
    mantissa, exponent = np.frexp(x)
    t = (mantissa - np.sqrt(0.5)) / (mantissa + np.sqrt(0.5))
    square, total = t * t, np.zeros_like(t)
    for k in range(27, 0, -2):
        total = total * square + 1 / k
    found: Float64 = 2 * t * total + (exponent - 0.5) * _LN2
    return found


_LN2 = 0.6931471805599453
