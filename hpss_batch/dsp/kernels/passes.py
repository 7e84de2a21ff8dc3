"""How does a network become vector code that ranks the windows of an array?

A *block* is one network compiled: it takes some neighbouring windows down the rows, in as many columns as a vector
has lanes. It finds its rows through a table of offsets, so that reflection at an axis' ends costs nothing, however
short the axis. Around it are five small passes, which a `Crossing` puts together (see `hpss_batch.dsp.kernels.fused`):

    stage   copies rows into a ring, where no two lie in the same places of the cache, and looks for bad values
    widen   makes a second ring, of the highest values of some neighbouring columns
    down    ranks the windows of one block of rows, in all columns
    turn    turns as many rows as there are lanes, so that columns become vectors
    along   ranks windows of turned columns and turns the results back

None has a remainder: the last vector, or block, overlaps the one before it. So arrays are at least as large.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from hpss_batch.dsp.kernels import jit
from hpss_batch.dsp.kernels.ir import Float, Value, Writer, joined
from hpss_batch.dsp.kernels.jit import Machine, machine
from hpss_batch.dsp.kernels.masks import FACTORS, Finish, finish_code
from hpss_batch.dsp.kernels.network import sliding_rank
from hpss_batch.dsp.kernels.tiles import Band

# What native code has to know of a panel, addresses and numbers, and of each band in it.
POINTERS = (
    "source", "ring", "wide", "rows", "bands", "medians_down", "medians_along", "turned", "ranked", "peaks",
    "out_down", "out_along", "magnitude", "spectrum", "curves", "logs",
)  # fmt: skip
NUMBERS = (
    "source_stride", "n_source", "staged", "reach", "slots", "ring_stride", "width", "half", "n", "n_bands",
    "columns", "tile", "length", "medians_stride", "down_stride", "along_stride", "magnitude_stride",
    "spectrum_stride", "curves_stride", "logs_inset", "known",
)  # fmt: skip
FIELDS = POINTERS + NUMBERS
BAND_POINTERS = ("block_down", "block_along", "rows", "offsets")
BAND_FIELDS = (*BAND_POINTERS, "inset", "columns", "place", "widening")


def block_length(size: int, lanes: int) -> int:
    """Windows in a block: the more, the more work is shared, but the more registers are spilled to memory."""
    return max(lanes, 32 if size < 80 else 64 if size < 224 else 128)


@functools.cache
def rank_block(itemsize: int, size: int, rank: int, nonnegative: bool, block: int) -> int:
    """Address of the compiled block for some windows of `size` rows and one rank.

    It is called with the source, a table of the offsets in bytes of its rows, the target, and the bytes from one
    of the target's rows to the next. Floats that are not negative are in the order of their bits, as integers.
    """
    integers = nonnegative and machine().integer_order and itemsize == 4
    name = f"rank_{'integer' if integers else 'float'}{8 * itemsize}_{size}_{rank}_{block}"

    def build(machine: Machine) -> str:
        return block_code(machine, np.dtype(f"f{itemsize}"), name, size, rank, block, integers)

    arguments = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    return jit.address(jit.function(name, build, arguments))


def block_code(
    machine: Machine, dtype: Float, name: str, size: int, rank: int, block: int, integers: bool
) -> str:
    """Code of a block. Rows are loaded when they are first compared, and results stored when they are known."""
    w = Writer(machine, dtype, name, ["ptr source", "ptr offsets", "ptr target", "i64 stride"])
    network = sliding_rank(size, rank, block)
    windows: dict[int, list[int]] = {}
    for window, wire in enumerate(network.outputs):
        windows.setdefault(wire, []).append(window)
    wires: dict[int, Value] = {}

    def define(wire: int, value: Value) -> None:
        wires[wire] = value
        for window in windows.get(wire, ()):
            w.store(value, w.place(w["target"], w.multiply(w["stride"], window)))

    def use(wire: int) -> Value:
        if wire not in wires:
            offset = w.load(w.place(w["offsets"], 8 * wire), "i64")
            define(wire, w.load(w.place(w["source"], offset), w.integers if integers else w.vector))
        return wires[wire]

    for wire, (higher, a, b) in enumerate(network.operations, network.n_inputs):
        define(wire, (w.maximum if higher else w.minimum)(use(a), use(b)))
    for wire in windows:
        use(wire)
    return w.finish()


def stage_code(machine: Machine, dtype: Float, nonnegative: bool) -> str:
    """Copy rows `first` to `stop` of the source, `width` columns, to a ring of `slots` rows.

    If values should not be negative, `peaks` keeps the highest seen of each lane, as integers without sign: more
    than infinity's bits are those of NaN and of negative values. (Adding zero makes zero of negative zero.)
    """
    parameters = ["ptr source", "i64 source_stride", "ptr ring", "i64 slots", "i64 stride"]
    w = Writer(machine, dtype, "stage", [*parameters, "i64 width", "i64 first", "i64 stop", "ptr peaks"])
    carried = [w.load(w["peaks"], w.integers)]
    with w.loop(w.binary("sub", w["stop"], w["first"]), carried=carried) as i:
        row = w.add(w["first"], i)
        source = w.place(w["source"], w.multiply(row, w["source_stride"]))
        slot = w.place(w["ring"], w.multiply(w.binary("urem", row, w["slots"]), w["stride"]))
        with w.loop(w["width"], w.lanes, carried) as column:
            left = w.bytes(w.lower(column, w.add(w["width"], -w.lanes)))
            value = w.load(w.place(source, left))
            w.store(value, w.place(slot, left))
            if nonnegative:
                bits = w.cast("bitcast", w.binary("fadd", value, w.splat(0.0)), w.integers)
                carried[0] = w.highest_bits(carried[0], bits)
    w.store(carried[0], w["peaks"])
    return w.finish()


def widen_code(machine: Machine, dtype: Float) -> str:
    """Fill rows `first` to `stop` of a second ring: the highest of `reach` columns on both sides and the column itself.

    Values are not negative: around the `width` columns of the first ring, which has space for it, zeros are written.
    """
    parameters = ["ptr ring", "ptr wide", "i64 slots", "i64 stride", "i64 width", "i64 inset", "i64 columns"]
    w = Writer(machine, dtype, "widen", [*parameters, "i64 reach", "i64 first", "i64 stop"])
    nothing, span = w.splat(0.0), w.bytes(w["reach"])
    with w.loop(w.binary("sub", w["stop"], w["first"])) as i:
        slot = w.multiply(w.binary("urem", w.add(w["first"], i), w["slots"]), w["stride"])
        row, target = w.place(w["ring"], slot), w.place(w.place(w["wide"], slot), w["inset"])
        before, behind = w.place(row, w.multiply(span, -1)), w.place(row, w.bytes(w["width"]))
        begin = w.place(before, w["inset"])
        with w.loop(w["reach"]) as j:
            w.store(w.scalar(0.0), w.place(before, w.bytes(j)))
        with w.loop(w["reach"], w.lanes) as j:
            w.store(nothing, w.place(behind, w.bytes(j)))
        with w.loop(w["columns"], w.lanes) as column:
            left = w.bytes(w.lower(column, w.add(w["columns"], -w.lanes)))
            highest, place = [nothing], w.place(begin, left)
            with w.loop(w.add(w.multiply(w["reach"], 2), 1), carried=highest) as j:
                highest[0] = w.maximum(highest[0], w.load(w.place(place, w.bytes(j))))
            w.store(highest[0], w.place(target, left))
    return w.finish()


def down_code(machine: Machine, dtype: Float) -> str:
    """Rank the windows of one block of rows in `columns` columns.

    Meanwhile the rows that the next tile will stage, `ahead`, are fetched to the cache: else memory would idle while
    values are compared, and comparing would wait while memory is read.
    """
    parameters = ["ptr source", "ptr offsets", "i64 columns", "ptr target", "i64 stride", "ptr block"]
    w = Writer(machine, dtype, "down", [*parameters, "ptr ahead", "i64 ahead_stride", "i64 n_ahead"])
    with w.loop(w["columns"], w.lanes) as column:
        left = w.bytes(w.lower(column, w.add(w["columns"], -w.lanes)))
        ahead = w.place(w["ahead"], left)
        with w.loop(w["n_ahead"]) as i:
            w.prefetch(w.place(ahead, w.multiply(i, w["ahead_stride"])))
        source, target = w.place(w["source"], left), w.place(w["target"], left)
        w.call(w["block"], source, w["offsets"], target, w["stride"])
    return w.finish()


def turn_code(machine: Machine, dtype: Float) -> str:
    """Turn `width` columns of as many rows as there are lanes, found through a table, into vectors in `turned`."""
    w = Writer(machine, dtype, "turn", ["ptr source", "ptr offsets", "i64 width", "ptr turned"])
    rows = [w.place(w["source"], w.load(w.place(w["offsets"], 8 * i), "i64")) for i in range(w.lanes)]
    with w.loop(w["width"], w.lanes) as column:
        left = w.lower(column, w.add(w["width"], -w.lanes))
        turned = w.place(w["turned"], w.multiply(left, w.vector_bytes))
        for i, value in enumerate(w.transpose([w.load(w.place(row, w.bytes(left))) for row in rows])):
            w.store(value, w.place(turned, i * w.vector_bytes))
    return w.finish()


def along_code(machine: Machine, dtype: Float) -> str:
    """Rank the windows of `columns` turned columns, `length` windows a block; `ranked` has space for one of those."""
    parameters = ["ptr turned", "ptr offsets", "i64 columns", "ptr target", "i64 stride"]
    w = Writer(machine, dtype, "along", [*parameters, "ptr block", "i64 length", "ptr ranked"])
    with w.loop(w["columns"], w["length"]) as column:
        left = w.lower(column, w.binary("sub", w["columns"], w["length"]))
        offsets = w.place(w["offsets"], w.multiply(left, 8))
        w.call(w["block"], w["turned"], offsets, w["ranked"], w.whole(w.vector_bytes))
        with w.loop(w["length"], w.lanes) as i:
            ranked = w.place(w["ranked"], w.multiply(i, w.vector_bytes))
            square = w.transpose([w.load(w.place(ranked, j * w.vector_bytes)) for j in range(w.lanes)])
            target = w.place(w["target"], w.bytes(w.add(left, i)))
            for j, value in enumerate(square):
                w.store(value, w.place(target, w.multiply(w["stride"], j)))
    return w.finish()


@dataclass(frozen=True)
class Crossing:
    """What is to be done to rows of floats.

    Attributes
    ----------
    itemsize
        Of the floats.
    bands
        What is ranked, from the first column on.
    finish
        What becomes of the ranks if there are two.
    nonnegative
        Whether values have to be finite and not negative. That is checked, and then their bits are compared.
    """

    itemsize: int
    bands: tuple[Band, ...]
    finish: Finish | None = None
    nonnegative: bool = False

    @property
    def ways(self) -> tuple[bool, bool]:
        """Whether there are windows down the rows, and along them."""
        return self.bands[0].down is not None, self.bands[0].along is not None

    @property
    def widens(self) -> bool:
        """Whether any band takes the highest of some columns first."""
        return any(band.widening > 1 for band in self.bands)


def crossing_code(machine: Machine, name: str, what: Crossing) -> str:
    """Code that crosses one panel of columns."""
    dtype = np.dtype(f"f{what.itemsize}")
    parts = [stage_code(machine, dtype, what.nonnegative)]
    if what.widens:
        parts.append(widen_code(machine, dtype))
    if what.ways[0]:
        parts.append(down_code(machine, dtype))
    if what.ways[1]:
        parts += [turn_code(machine, dtype), along_code(machine, dtype)]
    if what.finish:
        parts.append(finish_code(machine, dtype, what.finish))
    w = Writer(machine, dtype, name, ["ptr fields", *FACTORS])
    f = _fields(w, w["fields"], FIELDS, POINTERS)
    with w.loop(f["n"], f["tile"]) as at:
        first = w.lower(at, w.binary("sub", f["n"], f["tile"]))
        staged = w.select(w.equal(at, 0), f["staged"], w.lower(w.add(at, f["reach"]), f["n_source"]))
        stop = w.lower(w.add(w.add(first, f["tile"]), f["reach"]), f["n_source"])
        ring = [f[field] for field in ("source", "source_stride", "ring", "slots", "ring_stride", "width")]
        w.call("stage", *ring, staged, stop, f["peaks"])
        if what.widens:
            rings = [f[field] for field in ("ring", "wide", "slots", "ring_stride", "width")]
            with _bands(w, f) as band:
                w.call("widen", *rings, band["inset"], band["columns"], band["widening"], staged, stop)
        _tile_code(w, what, f, first, stop)
    return joined([*parts, w.finish()])


def _fields(w: Writer, base: Value, names: Sequence[str], pointers: Sequence[str]) -> dict[str, Value]:
    found = {name: w.load(w.place(base, 8 * i), "i64") for i, name in enumerate(names)}
    return found | {name: w.cast("inttoptr", found[name], "ptr") for name in pointers}


@contextmanager
def _bands(w: Writer, f: dict[str, Value]) -> Iterator[dict[str, Value]]:
    """Do the body for each band of a panel, with its fields."""
    with w.loop(f["n_bands"]) as i:
        yield _fields(w, w.place(f["bands"], w.multiply(i, 8 * len(BAND_FIELDS))), BAND_FIELDS, BAND_POINTERS)


def _tile_code(w: Writer, what: Crossing, f: dict[str, Value], first: Value, stop: Value) -> None:
    """What is done with a tile from row `first` of the results on, once rows of the source are staged up to `stop`."""

    def rows(base: str, stride: str, i: Value) -> tuple[Value, Value]:
        return w.place(f[base], w.multiply(i, f[stride])), f[stride]

    def offsets(table: Value, i: Value) -> Value:
        return w.place(table, w.multiply(i, 8))

    if what.ways[0]:
        target, stride = rows("medians_down", "medians_stride", w.whole(0))
        target, stride = (target, stride) if what.finish else rows("out_down", "down_stride", first)
        next_stop = w.lower(w.add(stop, f["tile"]), f["n_source"])
        ahead, n_ahead = rows("source", "source_stride", stop), w.binary("sub", next_stop, stop)
        with _bands(w, f) as band:
            ring = w.place(f["wide" if what.widens else "ring"], band["inset"])
            found = w.place(target, band["place"]), stride, band["block_down"]
            near = w.place(ahead[0], band["place"]), ahead[1]
            w.call("down", ring, offsets(band["rows"], first), band["columns"], *found, *near, n_ahead)
    if not what.ways[1]:
        return
    with w.loop(f["tile"], w.lanes) as i:
        at = w.add(first, i)
        w.call("turn", f["ring"], offsets(f["rows"], w.add(at, f["half"])), f["width"], f["turned"])
        out = rows("out_along", "along_stride", at)
        target, stride = (f["medians_along"], f["medians_stride"]) if what.finish else out
        with _bands(w, f) as band:
            found = w.place(target, band["place"]), stride, band["block_along"]
            columns = band["offsets"], band["columns"]
            w.call("along", f["turned"], *columns, *found, f["length"], f["ranked"])
        if what.finish:
            medians = rows("medians_down", "medians_stride", i)[0], f["medians_along"], f["medians_stride"]
            sources = *rows("magnitude", "magnitude_stride", at), *rows("spectrum", "spectrum_stride", at)
            outs = *rows("out_down", "down_stride", at), *out
            logistic = [f[field] for field in ("curves", "curves_stride", "logs", "logs_inset", "known")]
            factors = w["margin_x"], w["margin_y"], w["floor"]
            w.call("finish", w.whole(w.lanes), *medians, f["columns"], *outs, *sources, *logistic, *factors)
