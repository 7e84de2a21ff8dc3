"""In what order is a spectrogram crossed, so that memory is read once and written once?

Rows go by in tiles of one block of windows; all that a tile needs fits in the cache next to the core:

    source ──stage──▶ ring ──down──────────────────▶ medians down the rows ─┐
                        └──turn──▶ columns ──along──▶ medians along them ────┴──finish──▶ out, out

The ring holds as many rows as a tile's windows reach over, each staged once. Wide arrays are crossed in panels of
columns, so that a tile stays small. Memory is a thread's own, and kept. A panel is one call of native code, without
the GIL; what comes out of a row never depends on the tile, the panel or the array that it lies in.

With windows in one direction only, their results go straight to `out`.
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
from hpss_batch.dsp.kernels.ir import Value, Writer, joined
from hpss_batch.dsp.kernels.jit import Machine, machine
from hpss_batch.dsp.kernels.masks import Finish, finish_code
from hpss_batch.dsp.kernels.memory import MEMORY, address_of
from hpss_batch.dsp.kernels.passes import along_code, down_code, rank_block, stage_code, turn_code
from hpss_batch.dsp.kernels.tiles import Extent, Grain, RankKernel, panels
from hpss_batch.errors import ParameterError

Array = NDArray[Any]

# A tile is to stay in the second level of the cache: 0.5 to 2 MB a core in processors of the last ten years.
TILE_BYTES = 640 * 1024

# What native code has to know of a panel: addresses, and numbers.
POINTERS = (
    "source", "ring", "rows", "offsets", "block_down", "block_along", "medians_down", "medians_along",
    "turned", "ranked", "peaks", "out_down", "out_along", "magnitude", "spectrum",
)  # fmt: skip
NUMBERS = (
    "source_stride", "n_source", "staged", "reach", "slots", "ring_stride", "width", "inset", "half",
    "n", "columns", "tile", "length", "medians_stride", "down_stride", "along_stride",
    "magnitude_stride", "spectrum_stride",
)  # fmt: skip
FIELDS = POINTERS + NUMBERS

# Infinity's bits, and integers as wide.
INFINITY = {4: (ctypes.c_uint32, 0x7F80_0000), 8: (ctypes.c_uint64, 0x7FF0_0000_0000_0000)}


@dataclass(frozen=True)
class Crossing:
    """What is to be done to rows of floats.

    Attributes
    ----------
    itemsize
        Of the floats.
    down, along
        Windows down the rows, and along them; None where there are none.
    finish
        What becomes of the medians if there are two.
    nonnegative
        Whether values have to be finite and not negative. That is checked, and then their bits are compared.
    """

    itemsize: int
    down: RankKernel | None
    along: RankKernel | None
    finish: Finish | None = None
    nonnegative: bool = False


class Ready(NamedTuple):
    """A crossing, compiled: a function of the address of the fields and both margins; and what it takes at once."""

    function: Callable[[Any, float, float], None]
    block_down: int
    block_along: int
    grain: Grain


@functools.cache
def ready(what: Crossing) -> Ready:
    """Compile a crossing. Only the blocks depend on the kernels; all else, crossings have in common."""
    lanes = machine().register_bytes // what.itemsize
    (block_down, tile), (block_along, length) = (
        rank_block(what.itemsize, window.size, window.rank, what.nonnegative) if window else (0, lanes)
        for window in (what.down, what.along)
    )
    ways = what.finish.name if what.finish else "down" if what.down else "along"
    name = f"cross_{8 * what.itemsize}_{ways}{'_checked' * what.nonnegative}"
    build = functools.partial(crossing_code, name=name, what=what)
    margin = ctypes.c_float if what.itemsize == 4 else ctypes.c_double
    function = jit.function(name, build, [ctypes.c_void_p, margin, margin])
    return Ready(function, block_down, block_along, Grain(what.itemsize, lanes, tile, length))


def crossing_code(machine: Machine, name: str, what: Crossing) -> str:
    """Code that crosses one panel of columns."""
    dtype = np.dtype(f"f{what.itemsize}")
    parts = [stage_code(machine, dtype, what.nonnegative)]
    if what.down:
        parts.append(down_code(machine, dtype))
    if what.along:
        parts += [turn_code(machine, dtype), along_code(machine, dtype)]
    if what.finish:
        parts.append(finish_code(machine, dtype, what.finish))
    w = Writer(machine, dtype, name, ["ptr fields", "{element} margin_down", "{element} margin_along"])
    f = {field: w.load(w.place(w["fields"], 8 * i), "i64") for i, field in enumerate(FIELDS)}
    f |= {field: w.cast("inttoptr", f[field], "ptr") for field in POINTERS}
    with w.loop(f["n"], f["tile"]) as at:
        first = w.lower(at, w.binary("sub", f["n"], f["tile"]))
        staged = w.select(w.equal(at, 0), f["staged"], w.lower(w.add(at, f["reach"]), f["n_source"]))
        stop = w.lower(w.add(w.add(first, f["tile"]), f["reach"]), f["n_source"])
        ring = [f[field] for field in ("source", "source_stride", "ring", "slots", "ring_stride", "width")]
        w.call("stage", *ring, staged, stop, f["peaks"])
        _tile_code(w, what, f, first, stop)
    return joined([*parts, w.finish()])


def _tile_code(w: Writer, what: Crossing, f: dict[str, Value], first: Value, stop: Value) -> None:
    """What is done with a tile from row `first` of the results on, once rows of the source are staged up to `stop`."""

    def rows(base: str, stride: str, i: Value) -> tuple[Value, Value]:
        return w.place(f[base], w.multiply(i, f[stride])), f[stride]

    def offsets(i: Value) -> Value:
        return w.place(f["rows"], w.multiply(i, 8))

    if what.down:
        target = rows("medians_down", "medians_stride", w.whole(0))
        target = target if what.finish else rows("out_down", "down_stride", first)
        ring, columns, block = w.place(f["ring"], f["inset"]), f["columns"], f["block_down"]
        next_stop = w.lower(w.add(stop, f["tile"]), f["n_source"])
        ahead = *rows("source", "source_stride", stop), w.binary("sub", next_stop, stop)
        w.call("down", ring, offsets(first), columns, *target, block, *ahead)
    if not what.along:
        return
    with w.loop(f["tile"], w.lanes) as i:
        at = w.add(first, i)
        w.call("turn", f["ring"], offsets(w.add(at, f["half"])), f["width"], f["turned"])
        out = rows("out_along", "along_stride", at)
        target = (f["medians_along"], f["medians_stride"]) if what.finish else out
        w.call(
            "along",
            f["turned"],
            f["offsets"],
            f["columns"],
            *target,
            f["block_along"],
            f["length"],
            f["ranked"],
        )
        if what.finish:
            medians = rows("medians_down", "medians_stride", i)[0], f["medians_along"], f["medians_stride"]
            sources = *rows("magnitude", "magnitude_stride", at), *rows("spectrum", "spectrum_stride", at)
            outs = *rows("out_down", "down_stride", at), *out
            w.call("finish", *medians, f["columns"], *outs, *sources, w["margin_down"], w["margin_along"])


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
    """

    source: Array
    outs: tuple[Array, ...]
    start: int = 0
    spectrum: Array | None = None
    margins: tuple[float, float] = (1.0, 1.0)


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
    larger = replace(arrays, source=_widened(arrays.source, shape), outs=outs, spectrum=spectrum)
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
    spectrum = 0 if arrays.spectrum is None else address_of(arrays.spectrum)
    spectrum_stride = 0 if arrays.spectrum is None else arrays.spectrum.strides[0]
    common = {
        "block_down": compiled.block_down,
        "block_along": compiled.block_along,
        "peaks": ctypes.addressof(peaks),
        "source_stride": stride,
        "down_stride": first.strides[0],
        "along_stride": last.strides[0],
        "magnitude_stride": stride,
        "spectrum_stride": spectrum_stride,
    }
    out_down, out_along = address_of(first), address_of(last)
    for panel in panels(compiled.grain, what.down, what.along, extent, TILE_BYTES):
        memory, left = MEMORY.at_least(panel.size), panel.left
        fields = {
            **panel.numbers,
            **common,
            **{name: memory + begin for name, begin in panel.parts.items()},
            "source": source + panel.edge * itemsize,
            "magnitude": source + arrays.start * stride + left * itemsize,
            "spectrum": spectrum + arrays.start * spectrum_stride + left * 2 * itemsize,
            "out_down": out_down + left * first.itemsize,
            "out_along": out_along + left * last.itemsize,
        }
        compiled.function((ctypes.c_int64 * len(FIELDS))(*map(fields.__getitem__, FIELDS)), *arrays.margins)
    if what.nonnegative and max(peaks) >= infinity:
        raise refusal(arrays.source)


def refusal(magnitude: Array) -> ParameterError:
    """The error for a magnitude that is not finite, or negative somewhere."""
    return ParameterError(
        f"the spectrogram has values from {magnitude.min()} to {magnitude.max()}; allowed are finite ones that "
        "are not negative; repair or mask NaN and infinity, and pass a magnitude or complex values"
    )
