"""In what order is a spectrogram crossed, so that memory is read once and written once?

Rows go by in tiles of one block of windows; all that a tile needs fits in the cache next to the core:

    source ──stage──▶ ring ──widen──▶ ring ──down──▶ medians down the rows ─┐
                        └──turn──▶ columns ──along──▶ medians along them ────┴──finish──▶ out, out

The ring holds as many rows as a tile's windows reach over, each staged once. Wide arrays are crossed in panels of
columns, so that a tile stays small. Memory is a thread's own, and kept. A panel is one call of native code, without
the GIL; what comes out of a row never depends on the tile, the panel or the array that it lies in.

Bands of columns have windows of their own; these read across the borders, and `finish` crosses all bands at once.
(`widen` is for those that take the highest of some columns first.) With windows in one direction only, of which there
is one band, their results go straight to `out`.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.kernels import jit
from hpss_batch.dsp.kernels.jit import machine
from hpss_batch.dsp.kernels.memory import MEMORY, address_of
from hpss_batch.dsp.kernels.passes import (
    BAND_FIELDS,
    FIELDS,
    Crossing,
    block_length,
    crossing_code,
    rank_block,
)
from hpss_batch.dsp.kernels.tiles import Extent, Grain, RankKernel, panels
from hpss_batch.errors import ParameterError

Array = NDArray[Any]

# A tile is to stay in the second level of the cache: 0.5 to 2 MB a core in processors of the last ten years.
TILE_BYTES = 640 * 1024

# Infinity's bits, and integers as wide.
INFINITY = {4: (ctypes.c_uint32, 0x7F80_0000), 8: (ctypes.c_uint64, 0x7FF0_0000_0000_0000)}


class Ready(NamedTuple):
    """A crossing, compiled: a function of the fields' address, both margins and a floor; and what it takes at once.

    `blocks` has the addresses of each band's blocks.
    """

    function: Callable[[Any, float, float, float], None]
    blocks: tuple[dict[str, int], ...]
    grain: Grain


@functools.cache
def ready(what: Crossing) -> Ready:
    """Compile a crossing. Only the blocks depend on the kernels; all else, crossings have in common."""
    lanes = machine().register_bytes // what.itemsize
    kernels = [band.down for band in what.bands], [band.along for band in what.bands]
    tile, length = (
        max(block_length(kernel.size, lanes) if kernel else lanes for kernel in one) for one in kernels
    )
    blocks = tuple(
        {
            "block_down": _block(what, band.down, tile),
            "block_along": _block(what, band.along, length),
        }
        for band in what.bands
    )
    ways = what.finish.name if what.finish else "down" if what.ways[0] else "along"
    name = f"cross_{8 * what.itemsize}_{ways}{'_checked' * what.nonnegative}{'_widened' * what.widens}"
    build = functools.partial(crossing_code, name=name, what=what)
    factor = ctypes.c_float if what.itemsize == 4 else ctypes.c_double
    function = jit.function(name, build, [ctypes.c_void_p, factor, factor, factor])
    reach = what.finish.reach if what.finish else 0
    return Ready(function, blocks, Grain(what.itemsize, lanes, tile, length, reach))


def _block(what: Crossing, kernel: RankKernel | None, block: int) -> int:
    return rank_block(what.itemsize, kernel.size, kernel.rank, what.nonnegative, block) if kernel else 0


@dataclass(frozen=True)
class Operands:
    """Arrays to cross, (rows, columns) all, and neighbours in a row next to each other in memory.

    Attributes
    ----------
    source
        Floats of the crossing's size, in the machine's byte order.
    outs
        For `down`, `along`, or both.
    start
        Row of the source that row 0 of the results is for; rows before and behind are context only.
    spectrum
        Complex, as large as the source: what masks are multiplied with for components.
    margins
        Of the masks of the medians down and along.
    curves
        Of a logistic, for each column: what the mean of logarithms is of their sum, slope, and offset.
    floor
        What a logistic adds to medians.
    """

    source: Array
    outs: tuple[Array, ...]
    start: int = 0
    spectrum: Array | None = None
    margins: tuple[float, float] = (1.0, 1.0)
    curves: Array | None = None
    floor: float = 0.0


def cross(what: Crossing, arrays: Operands) -> None:
    """Rank all of the arrays.

    Raises
    ------
    ParameterError
        If `what.nonnegative`, and the source has a value that is negative or not finite.
    """
    n, columns = arrays.outs[0].shape
    if not n or not columns:
        return
    compiled = ready(what)
    tile, length = compiled.grain.tile, compiled.grain.length
    n_source, n_columns = arrays.source.shape
    extent = Extent(n_source, n_columns, arrays.start, max(n, tile), max(columns, length))
    if n >= tile and columns >= length:
        _cross_panels(what, compiled, extent, arrays)
        return
    # Less than native code takes at once: the same in larger arrays, whose further values nobody reads.
    shape = len(arrays.source) + tile, extent.columns
    outs = tuple(np.empty((extent.n, extent.columns), out.dtype) for out in arrays.outs)
    spectrum = None if arrays.spectrum is None else _widened(arrays.spectrum, shape)
    curves = None if arrays.curves is None else _widened(arrays.curves, (3, extent.columns))
    larger = replace(
        arrays, source=_widened(arrays.source, shape), outs=outs, spectrum=spectrum, curves=curves
    )
    _cross_panels(what, compiled, extent, larger)
    for out, found in zip(arrays.outs, outs, strict=True):
        out[...] = found[:n, :columns]


def _widened(array: Array, shape: tuple[int, int]) -> Array:
    larger = np.zeros(shape, array.dtype)
    larger[: len(array), : array.shape[1]] = array
    return larger


def _cross_panels(what: Crossing, compiled: Ready, extent: Extent, arrays: Operands) -> None:
    """Cross arrays of at least a tile. (What is here is done for each block of a recording, so it has to be quick.)"""
    itemsize, first, last = what.itemsize, arrays.outs[0], arrays.outs[-1]
    word, infinity = INFINITY[itemsize]
    peaks = (word * compiled.grain.lanes)()
    source, stride = address_of(arrays.source), arrays.source.strides[0]
    spectrum, spectrum_stride = _place(arrays.spectrum)
    curves, curves_stride = _place(arrays.curves)
    common = {
        "peaks": ctypes.addressof(peaks),
        "source_stride": stride,
        "down_stride": first.strides[0],
        "along_stride": last.strides[0],
        "magnitude_stride": stride,
        "spectrum_stride": spectrum_stride,
        "curves_stride": curves_stride,
    }
    out_down, out_along = address_of(first), address_of(last)
    factors = *arrays.margins, arrays.floor
    for panel in panels(compiled.grain, what.bands, extent, TILE_BYTES):
        memory, left = MEMORY.at_least(panel.size), panel.left
        bands = [{**compiled.blocks[number], **band} for number, band in panel.bands]
        table = (ctypes.c_int64 * (len(BAND_FIELDS) * len(bands)))(
            *(band[field] for band in bands for field in BAND_FIELDS)
        )
        fields = {
            **panel.numbers,
            **common,
            **{name: memory + begin for name, begin in panel.parts.items()},
            "bands": ctypes.addressof(table),
            "n_bands": len(bands),
            "source": source + panel.edge * itemsize,
            "magnitude": source + arrays.start * stride + left * itemsize,
            "spectrum": spectrum + arrays.start * spectrum_stride + left * 2 * itemsize,
            "curves": curves + left * itemsize,
            "out_down": out_down + left * first.itemsize,
            "out_along": out_along + left * last.itemsize,
        }
        compiled.function((ctypes.c_int64 * len(FIELDS))(*map(fields.__getitem__, FIELDS)), *factors)
    if what.nonnegative and max(peaks) >= infinity:
        raise refusal(arrays.source)


def _place(array: Array | None) -> tuple[int, int]:
    """Where an array begins, and the bytes from one of its rows to the next; zeros of none."""
    return (0, 0) if array is None else (address_of(array), array.strides[0])


def refusal(magnitude: Array) -> ParameterError:
    """The error for a magnitude that is not finite, or negative somewhere."""
    return ParameterError(
        f"the spectrogram has values from {magnitude.min()} to {magnitude.max()}; allowed are finite ones that "
        "are not negative; repair or mask NaN and infinity, and pass a magnitude or complex values"
    )
