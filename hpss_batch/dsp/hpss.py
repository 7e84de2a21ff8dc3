"""How much of a spectrogram is harmonic, and how much percussive? librosa's answer, bit for bit.

1. `harmonic` is the running median of the magnitude along frames, `percussive` that along bins
   (Fitzgerald, DAFx 2010); both reflect at the ends, the edge repeated.
2. Each mask weighs one median, to a power, against the other times a margin (Driedger, Müller & Disch,
   ISMIR 2014).
3. A component is mask × spectrogram.

`hpss` has librosa's signature and axes (..., bin, frame). `masks` works on blocks of (frame, frequency) with a
halo of context, as the rest of this package keeps them; however cut into blocks, its bits are those of `hpss`. It takes
any `Separation`: kernels may differ from band to band, and masks be logistics of the logarithm of the medians' ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpss_batch.dsp.masks import Array, Pair, integer_margins, numpy_masks
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.separation import Separation, separation
from hpss_batch.errors import ParameterError

if TYPE_CHECKING:
    from hpss_batch.dsp.kernels.masks import Result

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
COMPLEX = (np.dtype(np.complex64), np.dtype(np.complex128))


def hpss(
    S: Array, *, kernel_size: Any = 31, power: float = 2.0, mask: bool = False, margin: Any = 1.0
) -> Pair:
    """Separate a spectrogram into its harmonic and percussive components, as `librosa.decompose.hpss` does.

    Parameters
    ----------
    S : array (..., bins, frames)
        Complex spectrogram, or magnitude, which is not negative; finite, of 32 or 64 bits a number, or integers.
    kernel_size, power, margin
        See `HpssParams`; kernel_size and margin are a number or a pair (harmonic, percussive).
    mask
        Return masks rather than components.

    Returns
    -------
    harmonic, percussive : arrays of the shape and the memory order of S
        Components, or masks (of bool at infinite power).

    Raises
    ------
    ParameterError
        If a parameter is not allowed, or S holds NaN, infinity or, if real, a negative value.
    """
    how = separation(HpssParams(kernel_size, power, margin))
    if not how.is_plain:
        raise ParameterError("kernel_size has bands, which hpss() does not know: see hpss_batch.separate")
    S = np.asarray(S)
    if S.ndim < 2:
        raise ParameterError(f"S has shape {S.shape}; it needs bins and frames as its last two dimensions")
    S = S if S.dtype.isnative else S.astype(S.dtype.newbyteorder("="))
    if S.dtype.kind not in "iu" and S.dtype not in FLOATS and S.dtype not in COMPLEX:
        raise ParameterError(
            f"S holds {S.dtype}; allowed are float32, float64, complex64, complex128 and integers"
        )
    if S.dtype.kind in "iu" or not _is_fused(how):
        return _by_numpy(S, how, mask, margin)
    return _fused(S, how, mask)


def masks(
    magnitude: Array, how: Separation, *, start: int = 0, stop: int | None = None, out: Pair | None = None
) -> Pair:
    """Harmonic and percussive masks of the frames from start to stop of a magnitude spectrogram.

    Frames outside of them are context only: with `how.halo` of it on each side (less where the recording
    begins or ends), any cutting of a recording gives the same bits.

    Parameters
    ----------
    magnitude : array (frame, frequency)
        float32 or float64, finite, not negative. The medians reflect at its ends. Rows may have any strides.
        Logistics are computed in float32 in any case.
    how
        The separation.
    start, stop
        The frames wanted; all by default.
    out : pair of arrays (stop - start, frequency), optional
        Written into, and returned; they must not overlap magnitude. Rows may have any strides.

    Returns
    -------
    harmonic_mask, percussive_mask : arrays (stop - start, frequency)
        Of the type of magnitude, or out; at infinite power of zeros and ones.

    Raises
    ------
    ParameterError
        If shapes or types do not fit, or magnitude holds NaN, infinity or a negative value.
    """
    if magnitude.ndim != 2 or magnitude.dtype not in FLOATS:
        raise ParameterError(
            f"magnitude is {magnitude.dtype} of shape {magnitude.shape}; allowed are 2-D float32 and float64"
        )
    if how.n_bins not in (None, magnitude.shape[1]):
        raise ParameterError(f"magnitude has {magnitude.shape[1]} bins; the separation is for {how.n_bins}")
    stop = len(magnitude) if stop is None else stop
    if not 0 <= start <= stop <= len(magnitude):
        raise ParameterError(f"frames {start} to {stop} are not within the {len(magnitude)} of magnitude")
    shape = stop - start, magnitude.shape[1]
    out = (np.empty(shape, magnitude.dtype), np.empty(shape, magnitude.dtype)) if out is None else out
    if out[0].shape != shape or out[1].shape != shape:
        raise ParameterError(f"out has arrays of shapes {out[0].shape} and {out[1].shape}; needed is {shape}")
    if how.curves is not None:
        with np.errstate(over="ignore"):  # what is not finite is refused later, with reasons
            magnitude = magnitude.astype(np.float32, copy=False)
    if not _is_fused(how):
        whole = numpy_masks(magnitude, how, how.margin, frame_axis=0)
        out[0][...], out[1][...] = whole[0][start:stop], whole[1][start:stop]
        return out
    source = _with_unit_stride(magnitude)
    targets = tuple(_target(array, source.dtype) for array in out)
    _cross(source, targets, how, "mask", start=start)
    for array, target in zip(out, targets, strict=True):
        if target is not array:
            array[...] = target
    return out


def _is_fused(how: Separation) -> bool:
    """Whether medians and masks are made in one crossing."""
    from hpss_batch.dsp.kernels.median import LONGEST_NETWORK

    longest = max(max(band.frames, band.bins) for band in how.bands)
    return how.power in (None, 1.0, 2.0, math.inf) and longest <= LONGEST_NETWORK


def _cross(
    source: Array,
    outs: Sequence[Array],
    how: Separation,
    result: Result,
    *,
    frames_down: bool = True,
    start: int = 0,
    spectrum: Array | None = None,
) -> None:
    """Cross a source whose rows are frames, or else bins; `outs` are harmonic and percussive."""
    # LLVM takes a tenth of a second to import: whoever wants parameters only does not pay for it.
    from hpss_batch.dsp.kernels.fused import Operands, cross
    from hpss_batch.dsp.kernels.masks import Finish
    from hpss_batch.dsp.kernels.passes import Crossing
    from hpss_batch.dsp.kernels.tiles import Band, RankKernel

    margins, targets, curves = how.margin, (outs[0], outs[1]), how.curves
    if not frames_down:  # harmonic medians run along frames
        margins, targets = margins[::-1], targets[::-1]
    bands = []
    for band in how.bands:
        down, along = (
            RankKernel(size, size // 2) for size in (band.frames, band.bins)[:: 1 if frames_down else -1]
        )
        bands.append(Band(down, along, band.start, band.widening))
    finish = Finish(how.power, margins != (1.0, 1.0), result, curves.smoothing if curves else 0)
    what = Crossing(source.dtype.itemsize, tuple(bands), finish, nonnegative=True)
    curve = (curves.values, curves.floor) if curves else (None, 0.0)
    cross(what, Operands(source, targets, start, spectrum, margins, *curve))


def _fused(S: Array, how: Separation, mask: bool) -> Pair:
    """Masks or components, slice by slice of the last two dimensions, whose rows are those of memory."""
    magnitude = _magnitude(S)
    result: Result = "component" if S.dtype.kind == "c" else "product"
    dtype = S.dtype
    if mask:
        result, dtype = ("bool", np.dtype(bool)) if how.power == math.inf else ("mask", magnitude.dtype)
    both = np.empty_like(S, dtype), np.empty_like(S, dtype)
    frames_down = abs(both[0].strides[-2]) < abs(both[0].strides[-1])
    whole: tuple[Array, ...] = (S, magnitude, *both)
    if frames_down:
        whole = tuple(array.swapaxes(-1, -2) for array in whole)
    for leading in np.ndindex(S.shape[:-2]):
        spectrum, source, *outs = (array[leading] for array in whole)
        targets = [_target(out, dtype) for out in outs]
        _cross(
            _with_unit_stride(source),
            targets,
            how,
            result,
            frames_down=frames_down,
            spectrum=_with_unit_stride(spectrum) if result == "component" else None,
        )
        for out, target in zip(outs, targets, strict=True):
            if target is not out:
                out[...] = target
    return both


def _magnitude(S: Array) -> Array:
    if S.dtype.kind != "c":
        return S
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused later, with reasons
        magnitude: Array = np.abs(S)
    return magnitude


def _with_unit_stride(rows: Array) -> Array:
    return rows if rows.strides[1] == rows.itemsize and rows.flags.aligned else np.ascontiguousarray(rows)


def _target(rows: Array, dtype: np.dtype[Any]) -> Array:
    """The array itself if results can be written into it as they come, or one that they are copied from."""
    if rows.dtype == dtype and rows.strides[1] == rows.itemsize and rows.flags.aligned:
        return rows
    return np.empty(rows.shape, dtype)


def _by_numpy(S: Array, how: Separation, mask: bool, margin: Any) -> Pair:
    """For any power, kernels of any length, and integers: medians first, then librosa's formulas in NumPy."""
    magnitude = _magnitude(S)
    margins = integer_margins(magnitude, margin) if S.dtype.kind in "iu" else how.margin
    weights = numpy_masks(magnitude, how, margins, frame_axis=-1)
    if mask:
        return weights
    if S.dtype.kind != "c":
        return magnitude * weights[0], magnitude * weights[1]
    silent = magnitude == 0
    phase = np.empty_like(S)
    phase.real = S.real / (magnitude + silent) + silent
    phase.imag = S.imag / (magnitude + silent)
    return (magnitude * weights[0]) * phase, (magnitude * weights[1]) * phase
