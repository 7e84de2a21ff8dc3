"""How much of a spectrogram is harmonic, and how much percussive? librosa's answer, bit for bit.

1. `harmonic` is the running median of the magnitude along frames, `percussive` that along bins
   (Fitzgerald, DAFx 2010); both reflect at the ends, the edge repeated.
2. Each mask weighs one median, to a power, against the other times a margin (Driedger, Müller & Disch,
   ISMIR 2014).
3. A component is mask × spectrogram.

`hpss` has librosa's signature and axes (..., bin, frame). `masks` works on blocks of (frame, frequency) with a
halo of context, as the rest of this package keeps them; however cut into blocks, its bits are those of `hpss`.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from hpss_batch.errors import ParameterError

Array = NDArray[Any]
Pair = tuple[Array, Array]


@dataclass(frozen=True)
class HpssParams:
    """The parameters of a separation, checked. `HpssParams.of` takes single numbers as well.

    Attributes
    ----------
    kernel_size
        Lengths of the harmonic median (in frames) and of the percussive one (in bins), each at least 1.
    power
        Exponent of the soft masks, above 0; infinity makes them hard, and then ties belong to neither.
    margin
        Factors, at least 1, by which the harmonic median must exceed the percussive one, and vice versa.
    """

    kernel_size: tuple[int, int] = (31, 31)
    power: float = 2.0
    margin: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        sizes = tuple(_whole(size) for size in _pair("kernel_size", self.kernel_size))
        margins = tuple(_number("margin", margin) for margin in _pair("margin", self.margin))
        power = _number("power", self.power)
        if not all(1 <= margin < math.inf for margin in margins):
            raise ParameterError(f"margin is {margins}; allowed are finite numbers from 1 on (often 1 to 10)")
        if not power > 0:
            raise ParameterError(f"power is {power}; allowed are numbers above 0, infinity for hard masks")
        object.__setattr__(self, "kernel_size", sizes)
        object.__setattr__(self, "power", power)
        object.__setattr__(self, "margin", margins)

    @classmethod
    def of(cls, kernel_size: Any = 31, power: Any = 2.0, margin: Any = 1.0) -> HpssParams:
        """Parameters as librosa takes them: kernel_size and margin a number or a (harmonic, percussive) pair."""
        sizes, margins = (v if isinstance(v, tuple | list) else (v, v) for v in (kernel_size, margin))
        return cls(tuple(sizes), power, tuple(margins))

    @property
    def halo(self) -> int:
        """Frames of context that a region needs on each side, for its masks to be those of the whole."""
        return self.kernel_size[0] // 2


def hpss(
    S: Array, *, kernel_size: Any = 31, power: float = 2.0, mask: bool = False, margin: Any = 1.0
) -> Pair:
    """Separate a spectrogram into its harmonic and percussive components, as `librosa.decompose.hpss` does.

    Parameters
    ----------
    S : array (..., bins, frames)
        Complex spectrogram, or magnitude: not negative, finite. float32, float64 or integers.
    kernel_size, power, margin
        See `HpssParams`; kernel_size and margin are a number or a pair (harmonic, percussive).
    mask
        Return masks rather than components.

    Returns
    -------
    harmonic, percussive : arrays of the shape of S
        Components, or masks (of bool at infinite power).

    Raises
    ------
    ParameterError
        Where a parameter is not allowed, or S holds NaN, infinity or, if real, a negative value.
    """
    params = HpssParams.of(kernel_size, power, margin)
    S = np.asarray(S)
    if S.ndim < 2:
        raise ParameterError(f"S has shape {S.shape}; it needs bins and frames as its last two dimensions")
    magnitude = np.abs(S) if np.iscomplexobj(S) else S
    _check(magnitude)
    harmonic, percussive = _masks(magnitude, params, frame_axis=-1)
    if mask:
        return harmonic, percussive
    if not np.iscomplexobj(S):
        return magnitude * harmonic, magnitude * percussive
    silent = magnitude == 0
    phase = np.empty_like(S)
    phase.real = S.real / (magnitude + silent) + silent
    phase.imag = S.imag / (magnitude + silent)
    return (magnitude * harmonic) * phase, (magnitude * percussive) * phase


def masks(
    magnitude: Array, params: HpssParams, *, start: int = 0, stop: int | None = None, out: Pair | None = None
) -> Pair:
    """Harmonic and percussive masks of the frames from start to stop of a magnitude spectrogram.

    Frames outside of them are context only: with `params.halo` of it on each side (less where the recording
    begins or ends), any cutting of a recording gives the same bits.

    Parameters
    ----------
    magnitude : array (frame, frequency)
        float32 or float64, finite, not negative. The medians reflect at its ends.
    start, stop
        The frames wanted; all by default.
    out : pair of arrays (stop - start, frequency), optional
        Written into, and returned.

    Returns
    -------
    harmonic_mask, percussive_mask : arrays (stop - start, frequency)
        Of the type of magnitude, or out; at infinite power of zeros and ones.
    """
    if magnitude.ndim != 2 or magnitude.dtype not in (np.float32, np.float64):
        raise ParameterError(
            f"magnitude is {magnitude.dtype} of shape {magnitude.shape}; allowed are float32 and float64 in 2-D"
        )
    stop = len(magnitude) if stop is None else stop
    if not 0 <= start <= stop <= len(magnitude):
        raise ParameterError(
            f"frames {start} to {stop} are not within the {len(magnitude)} frames of magnitude"
        )
    _check(magnitude)
    found = _masks(magnitude, params, frame_axis=0)
    if out is None:
        out = tuple(np.empty((stop - start, magnitude.shape[1]), magnitude.dtype) for _ in range(2))  # type: ignore[assignment]
    assert out is not None
    for target, found_mask in zip(out, found, strict=True):
        if target.shape != (stop - start, magnitude.shape[1]):
            raise ParameterError(
                f"out has an array of shape {target.shape}, not {(stop - start, magnitude.shape[1])}"
            )
        target[...] = found_mask[start:stop]
    return out


def _masks(magnitude: Array, params: HpssParams, frame_axis: int) -> Pair:
    bin_axis = -2 if frame_axis == -1 else 1
    harmonic = _median(magnitude, params.kernel_size[0], frame_axis)
    percussive = _median(magnitude, params.kernel_size[1], bin_axis)
    split = params.margin == (1.0, 1.0)
    return (
        _soft_mask(harmonic, percussive * params.margin[0], params.power, split),
        _soft_mask(percussive, harmonic * params.margin[1], params.power, split),
    )


def _median(x: Array, size: int, axis: int) -> Array:
    n, half = x.shape[axis], size // 2
    sizes = [1] * x.ndim
    sizes[axis] = size
    if not x.size:
        return x.copy()
    if half < 4 * n:
        return np.asarray(median_filter(x, size=tuple(sizes), mode="reflect"))
    padding = [(0, 0)] * x.ndim
    padding[axis] = (half, size)
    padded = median_filter(np.pad(x, padding, mode="symmetric"), size=tuple(sizes), mode="reflect")
    return np.asarray(padded).take(range(half, half + n), axis=axis)


def _soft_mask(x: Array, reference: Array, power: float, split: bool) -> Array:
    if math.isinf(power):
        return x > reference
    dtype = x.dtype if np.issubdtype(x.dtype, np.floating) else np.dtype(np.float32)
    scale = np.maximum(x, reference).astype(dtype)
    silent = scale < np.finfo(dtype).tiny
    scale[silent] = 1
    mask = (x / scale) ** power
    other = (reference / scale) ** power
    mask[~silent] /= mask[~silent] + other[~silent]
    mask[silent] = 0.5 if split else 0.0
    return mask


def _check(magnitude: Array) -> None:
    if not magnitude.size:
        return
    low, high = magnitude.min(), magnitude.max()
    if not (low >= 0 and high < math.inf):
        raise ParameterError(
            f"the spectrogram has values from {low} to {high}; allowed are finite ones, not negative: "
            "mend or mask NaN and infinity first, and pass a magnitude or a complex spectrogram"
        )


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ParameterError(f"{name} is {value!r}; allowed are a number or a pair (harmonic, percussive)")
    return value[0], value[1]


def _whole(size: Any) -> int:
    try:
        whole = operator.index(size)
    except TypeError:
        whole = int(size) if isinstance(size, float | np.floating) and float(size).is_integer() else 0
    if whole < 1 or isinstance(size, bool):
        raise ParameterError(f"kernel_size has {size!r}; allowed are whole numbers from 1 on")
    return whole


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} has {value!r}, which is not a number") from error
