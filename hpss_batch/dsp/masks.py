"""How much of each value belongs to the one median, how much to the other?

A mask weighs a median x against another, times a margin, the reference y. With the larger of both as the scale z

    soft    (x / z)^power / ((x / z)^power + (y / z)^power)        0 where z is next to nothing, or a half
    hard    1 where x > y, else 0: ties belong to neither

exactly as `librosa.util.softmask` computes it, with the same roundings in the same order. (A half goes to both masks
of silence, if no margin exceeds 1.)

`mask_pair` does so in NumPy, for any power; `kernels/masks.py` in vector code, for those most used, and for logistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hpss_batch.dsp.separation import BinBand, Separation

Array = NDArray[Any]
Pair = tuple[Array, Array]

NUMPY_BLOCK = 1 << 15


def soft_mask(x: Array, y: Array, power: float, split: bool) -> Array:
    """The mask of x against a reference y, both finite and not negative; `split` halves silence."""
    if math.isinf(power):
        return x > y
    dtype = x.dtype if np.issubdtype(x.dtype, np.floating) else np.dtype(np.float32)
    scale = np.maximum(x, y).astype(dtype)
    silent = scale < np.finfo(dtype).tiny
    scale[silent] = 1
    with np.errstate(
        invalid="ignore"
    ):  # a margin may take y beyond the largest float; librosa's mask is NaN then
        mask, other = (x / scale) ** power, (y / scale) ** power
        np.divide(mask, mask + other, out=mask, where=~silent)
    mask[silent] = 0.5 if split else 0.0
    return mask


def mask_pair(x: Array, y: Array, power: float, margins: tuple[float, float]) -> tuple[Array, Array]:
    """The masks of two medians against each other; the margins are x's over y and y's over x."""
    split = margins[0] == margins[1] == 1
    with np.errstate(over="ignore"):
        return soft_mask(x, y * margins[0], power, split), soft_mask(y, x * margins[1], power, split)


def numpy_masks(
    magnitude: Array, how: Separation, margins: tuple[float, float], frame_axis: Literal[0, -1]
) -> Pair:
    """Both masks of a magnitude, the medians first: for integers, long kernels, and powers that are seldom used."""
    from hpss_batch.dsp.kernels.fused import refusal
    from hpss_batch.dsp.kernels.masks import logistic_masks
    from hpss_batch.dsp.kernels.median import in_memory, running_median

    if magnitude.size and not (magnitude.min() >= 0 and magnitude.max() < math.inf):
        raise refusal(magnitude)
    if how.is_plain:
        band = how.bands[0]
        harmonic = running_median(magnitude, band.frames, axis=frame_axis)
        percussive = running_median(magnitude, band.bins, axis=-2 if frame_axis == -1 else 1)
    else:
        harmonic, percussive = _banded_medians(magnitude, how.bands)
    if how.power is None:
        assert how.curves is not None, "a logistic"
        return logistic_masks(
            harmonic, percussive, margins, how.curves.values, how.curves.smoothing, how.curves.floor
        )
    if magnitude.dtype.kind in "iu" or math.isinf(how.power):
        return mask_pair(harmonic, percussive, how.power, margins)
    # Block by block in the order of memory, and in place: temporaries of the whole would cost more than the rest.
    order = in_memory(harmonic)
    flat = [array.transpose(order).reshape(-1) for array in (harmonic, percussive)]
    for begin in range(0, magnitude.size, NUMPY_BLOCK):
        part = slice(begin, begin + NUMPY_BLOCK)
        flat[0][part], flat[1][part] = mask_pair(flat[0][part], flat[1][part], how.power, margins)
    return harmonic, percussive


def _banded_medians(magnitude: Array, bands: Sequence[BinBand]) -> Pair:
    """Both medians of a magnitude (frame, bin), each bin's with the kernels of its band."""
    from hpss_batch.dsp.kernels.median import running_median

    harmonic, percussive = np.empty_like(magnitude), np.empty_like(magnitude)
    n_bins = magnitude.shape[1]
    for band, stop in zip(bands, [*(band.start for band in bands[1:]), n_bins], strict=True):
        own, half = slice(band.start, stop), band.widening // 2
        padded = np.pad(magnitude, ((0, 0), (half, half)))[:, band.start : stop + 2 * half]
        widened = sliding_window_view(padded, band.widening, axis=1).max(axis=-1)
        harmonic[:, own] = running_median(widened, band.frames, axis=0)
        first = max(0, band.start - band.bins)
        ranked = running_median(magnitude[:, first : stop + band.bins], band.bins, axis=1)
        percussive[:, own] = ranked[:, band.start - first : stop - first]
    return harmonic, percussive


def integer_margins(magnitude: Array, margin: Any) -> tuple[Any, Any]:
    """Margins as they were given, since integers times integers are rounded by their type, unless they overflow."""
    given = tuple(margin) if isinstance(margin, tuple | list) else (margin, margin)
    highest = np.iinfo(magnitude.dtype).max // max(1, int(magnitude.max(initial=0)))
    harmonic, percussive = (m if m <= highest else float(m) for m in given)
    return harmonic, percussive
