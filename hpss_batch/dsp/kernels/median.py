"""What is the median of the window around each value, or any other rank?

As `scipy.ndimage.rank_filter` with mode "reflect" has it: the axis reflects at its ends, the edge repeated; a window
of even size begins size // 2 before its value, and the median of an even number of values is the upper of the two
in the middle.

Short kernels are networks of comparisons, in vector code (`hpss_batch.dsp.kernels.fused`). Long ones go through SciPy's
filter of one dimension, whose time a value hardly grows with the kernel while that is no longer than the axis. A
network of 400 rows is still many times as fast, but takes three seconds to compile, once a machine: hence the border.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.kernels.fused import Operands, cross
from hpss_batch.dsp.kernels.passes import Crossing
from hpss_batch.dsp.kernels.tiles import Band, RankKernel, mirrored
from hpss_batch.errors import ParameterError

Array = NDArray[Any]

LONGEST_NETWORK = 400

BATCH = 1 << 20
"""Values, reflections included, that are ranked at once."""


def running_median(x: Array, size: int, *, axis: int = -1) -> Array:
    """The median of the window of `size` values around each value, along an axis; see `running_rank`."""
    return running_rank(x, size, operator.index(size) // 2, axis=axis)


def running_rank(x: Array, size: int, rank: int, *, axis: int = -1) -> Array:
    """The value of one rank in the window of `size` values around each value, along an axis.

    Parameters
    ----------
    x : array
        Floats of 32 or 64 bits, without NaN, or integers, in any memory order.
    size
        Values in a window, at least 1, even or odd; it may be larger than the axis is long.
    rank
        From 0, the lowest of the window, to size - 1.
    axis
        Along which windows lie.

    Returns
    -------
    array
        As x in shape, type and memory order.

    Raises
    ------
    ParameterError
        If size, rank, or axis are not possible, or x holds NaN or values of another type.
    """
    x, size, rank = np.asarray(x), operator.index(size), operator.index(rank)
    if size < 1 or not 0 <= rank < size:
        raise ParameterError(
            f"size is {size} and rank {rank}; allowed are sizes from 1 on and ranks from 0 to size - 1"
        )
    if not -x.ndim <= axis < x.ndim:
        raise ParameterError(f"axis is {axis}, but the array has {x.ndim} dimensions")
    native = x.dtype.newbyteorder("=")
    if native.kind not in "iu" and native not in (np.float32, np.float64):
        raise ParameterError(f"values are {x.dtype}; allowed are float32, float64 and integers")
    if not x.size:
        return x.copy()
    if native.kind in "iu":
        return _rank_integers(x, size, rank, axis)
    if np.isnan(x.max()):
        raise ParameterError("the array holds NaN, which has no rank; repair or mask such values first")
    return _rank_floats(x.astype(native, copy=False), size, rank, axis).astype(x.dtype, copy=False)


def in_memory(x: Array) -> list[int]:
    """Dimensions from the one with the longest strides to the one with the shortest."""
    return sorted(range(x.ndim), key=lambda dim: -abs(x.strides[dim]))


def _rank_integers(x: Array, size: int, rank: int, axis: int) -> Array:
    """Integers that float64 holds are ranked as such."""
    if x.dtype.itemsize > 4:
        return _rank_long(x, size, rank, axis)
    return _rank_floats(x.astype(np.float64), size, rank, axis).astype(x.dtype)


def _rank_floats(x: Array, size: int, rank: int, axis: int) -> Array:
    if size > LONGEST_NETWORK:
        return _rank_long(x, size, rank, axis)
    # Dimensions in the order of memory: what lies within the axis are columns, and windows go down their rows.
    order = in_memory(x)
    dense, out = np.ascontiguousarray(x.transpose(order)), np.empty_like(x)
    at, target = order.index(axis % x.ndim), out.transpose(order)
    found = target if target.flags.c_contiguous else np.empty_like(dense)
    inner = int(np.prod(dense.shape[at + 1 :]))
    window, itemsize, n = RankKernel(size, rank), x.dtype.itemsize, x.shape[axis]
    if inner == 1:
        cross(
            Crossing(itemsize, (Band(None, window),)), Operands(dense.reshape(-1, n), (found.reshape(-1, n),))
        )
    else:
        for slab, ranked in zip(dense.reshape(-1, n, inner), found.reshape(-1, n, inner), strict=True):
            cross(Crossing(itemsize, (Band(window, None),)), Operands(slab, (ranked,)))
    if found is not target:
        target[...] = found
    return out


def _rank_long(x: Array, size: int, rank: int, axis: int) -> Array:
    out = np.empty_like(x)
    lines = np.moveaxis(x, axis, -1)
    ranked = _rank_lines(lines.reshape(-1, x.shape[axis]), size, rank)
    np.moveaxis(out, axis, -1)[...] = ranked.reshape(lines.shape)
    return out


def _rank_lines(lines: Array, size: int, rank: int) -> Array:
    """One rank of each window along lines (n, length), in which there is no NaN.

    Lines stand one behind the other with their reflections, so that SciPy sees a single long one, and no window of a
    value that is kept reaches into another line.
    """
    from scipy.ndimage import rank_filter

    if (
        lines.dtype.kind in "iu"
    ):  # SciPy takes some ranks in float64, which holds places, but not long integers
        values, places = np.unique(lines, return_inverse=True)
        ranked: Array = values[
            _rank_lines(places.reshape(lines.shape).astype(np.float64), size, rank).astype(int)
        ]
        return ranked
    length, half = lines.shape[1], size // 2
    out = np.empty_like(lines, order="C")
    positions = mirrored(length, -half, length + size - half - 1)
    step = max(1, BATCH // len(positions))
    for start in range(0, len(lines), step):
        padded = lines[start : start + step, positions]
        found = rank_filter(padded.reshape(-1), rank, size=size).reshape(padded.shape)
        out[start : start + step] = found[:, half : half + length]
    return out
