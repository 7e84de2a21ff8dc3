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
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp import native
from hpss_batch.dsp.blocks import along_code, down_code, mirrored, rank_block, stage_code, turn_code
from hpss_batch.dsp.masks import Finish, finish_code
from hpss_batch.dsp.native import Machine, machine
from hpss_batch.dsp.scratch import MEMORY, address_of, odd_lines
from hpss_batch.dsp.vectors import Value, Writer, joined
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
    "source_stride", "n_source", "staged", "reach", "slots", "ring_stride", "width", "inset", "half", "n",
    "columns", "tile", "length", "medians_stride", "down_stride", "along_stride", "magnitude_stride",
    "spectrum_stride",
)  # fmt: skip


class Window(NamedTuple):
    """A kernel: its length, and the rank that is sought in it."""

    size: int
    rank: int

    @property
    def half(self) -> int:
        """How far it begins before the position that its result is for, as in scipy."""
        return self.size // 2


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
    down: Window | None
    along: Window | None
    finish: Finish | None = None
    nonnegative: bool = False

    @property
    def lanes(self) -> int:
        """Floats in a vector."""
        return machine().register_bytes // self.itemsize

    def block(self, window: Window | None) -> tuple[int, int]:
        """Address of the code that ranks a block of windows, and how many those are."""
        if window is None:
            return 0, self.lanes
        return rank_block(self.itemsize, window.size, window.rank, self.nonnegative)

    def compiled(self) -> Callable[[Any, float, float], None]:
        """The native code; it takes the address of the fields, and both margins. All kernels share it."""
        ways = self.finish.name if self.finish else "down" if self.down else "along"
        name = f"cross_{8 * self.itemsize}_{ways}{'_checked' * self.nonnegative}"
        margin = ctypes.c_float if self.itemsize == 4 else ctypes.c_double
        arguments = [ctypes.c_void_p, margin, margin]
        function: Callable[..., None] = native.function(
            name, functools.partial(crossing_code, name=name, what=self), arguments
        )
        return function


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
    f = {field: w.load(w.place(w["fields"], 8 * i), "i64") for i, field in enumerate(POINTERS + NUMBERS)}
    f |= {field: w.cast("inttoptr", f[field], "ptr") for field in POINTERS}
    with w.loop(f["n"], f["tile"]) as at:
        first = w.lower(at, w.binary("sub", f["n"], f["tile"]))
        staged = w.select(w.equal(at, 0), f["staged"], w.lower(w.add(at, f["reach"]), f["n_source"]))
        stop = w.lower(w.add(w.add(first, f["tile"]), f["reach"]), f["n_source"])
        ring = [f[field] for field in ("source", "source_stride", "ring", "slots", "ring_stride", "width")]
        w.call("stage", *ring, staged, stop, f["peaks"])
        _tile_code(w, what, f, first)
    return joined([*parts, w.finish()])


def _tile_code(w: Writer, what: Crossing, f: dict[str, Value], first: Value) -> None:
    """What is done with a tile that is staged, from row `first` of the results on."""

    def rows(base: str, stride: str, i: Value) -> tuple[Value, Value]:
        return w.place(f[base], w.multiply(i, f[stride])), f[stride]

    def offsets(i: Value) -> Value:
        return w.place(f["rows"], w.multiply(i, 8))

    if what.down:
        target = rows("medians_down", "medians_stride", w.whole(0))
        target = target if what.finish else rows("out_down", "down_stride", first)
        w.call("down", w.place(f["ring"], f["inset"]), offsets(first), f["columns"], *target, f["block_down"])
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
class Task:
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


def cross(what: Crossing, task: Task) -> None:
    """Do it, to all of the task's arrays.

    Raises
    ------
    ParameterError
        If `what.nonnegative`, and the source has a value that is negative or not finite.
    """
    n, columns = task.outs[0].shape
    if not n or not columns:
        return
    tile, length = what.block(what.down)[1], max(what.block(what.along)[1], what.lanes)
    if n >= tile and columns >= length:
        _cross_panels(what, task, task.source.shape)
        return
    # Less than native code takes at once: the same in larger arrays, whose further rows and columns nobody reads.
    rows, wide = max(n, tile), max(columns, length)
    shape = len(task.source) + tile, wide
    outs = tuple(np.empty((rows, wide), out.dtype) for out in task.outs)
    spectrum = None if task.spectrum is None else _widened(task.spectrum, shape)
    larger = Task(_widened(task.source, shape), outs, task.start, spectrum, task.margins)
    _cross_panels(what, larger, task.source.shape)
    for out, found in zip(task.outs, outs, strict=True):
        out[...] = found[:n, :columns]


def _widened(array: Array, shape: tuple[int, int]) -> Array:
    larger = np.zeros(shape, array.dtype)
    larger[: len(array), : array.shape[1]] = array
    return larger


def _cross_panels(what: Crossing, task: Task, extent: tuple[int, ...]) -> None:
    """Cross arrays of at least a tile; the axes reflect at `extent`, which may be less than what they hold."""
    tile, length = what.block(what.down)[1], max(what.block(what.along)[1], what.lanes)
    columns = task.outs[0].shape[1]
    slots = min(extent[0], tile + (what.down.size - 1 if what.down else 0))
    widest = max(4 * length, TILE_BYTES // (what.itemsize * (slots + tile + 2 * what.lanes)))
    panels = -(-columns // widest)
    width = -(-columns // panels)
    for panel in range(panels):
        fields, peaks = _fields(what, task, extent, slots, min(panel * width, columns - width), width)
        values = (ctypes.c_int64 * len(fields))(*map(fields.__getitem__, POINTERS + NUMBERS))
        what.compiled()(values, *task.margins)
        if what.nonnegative and peaks.max() >= np.array(np.inf, f"f{what.itemsize}").view(peaks.dtype):
            raise refusal(task.source)


def refusal(magnitude: Array) -> ParameterError:
    """The error for a magnitude that is not finite, or negative somewhere."""
    return ParameterError(
        f"the spectrogram has values from {magnitude.min()} to {magnitude.max()}; allowed are finite ones that are "
        "not negative: mend or mask NaN and infinity, and pass a magnitude or complex values"
    )


def _fields(
    what: Crossing, task: Task, extent: tuple[int, ...], slots: int, left: int, columns: int
) -> tuple[dict[str, int], Array]:
    """All that native code has to know to cross some columns, from `left` on; and where it leaves the peaks."""
    (block_down, tile), (block_along, length) = what.block(what.down), what.block(what.along)
    down, along, n = what.down or Window(1, 0), what.along or Window(1, 0), len(task.outs[0])
    first_row, first_column = task.start - down.half, left - along.half
    rows = mirrored(extent[0], first_row, first_row + n + down.size - 1)
    within = mirrored(extent[1], first_column, first_column + columns + along.size - 1)
    edge, stop = min(left, int(within.min())), max(left + columns, int(within.max()) + 1)
    vector, stride = what.lanes * what.itemsize, odd_lines((stop - edge) * what.itemsize)
    medians = odd_lines(columns * what.itemsize)
    memory = MEMORY.parts(
        rows=8 * len(rows),
        offsets=8 * len(within),
        peaks=vector,
        ring=slots * stride,
        medians_down=tile * medians,
        medians_along=what.lanes * medians,
        turned=(stop - edge) * vector,
        ranked=length * vector,
    )
    np.multiply(rows % slots, stride, out=memory["rows"].view(np.int64))
    np.multiply(within - edge, vector, out=memory["offsets"].view(np.int64))
    memory["peaks"][:] = 0
    fields = {name: address_of(part) for name, part in memory.items()}
    fields |= {"block_down": block_down, "tile": tile, "block_along": block_along, "length": length}
    fields |= {"n_source": extent[0], "staged": int(rows.min()), "reach": first_row + down.size - 1}
    fields |= {"half": down.half, "n": n, "slots": slots, "ring_stride": stride, "width": stop - edge}
    fields |= {"inset": (left - edge) * what.itemsize, "columns": columns, "medians_stride": medians}
    magnitude, spectrum = (
        task.source[task.start :, left:],
        task.source if task.spectrum is None else task.spectrum,
    )
    fields |= _place("source", task.source[:, edge:]) | _place("magnitude", magnitude)
    fields |= _place("spectrum", spectrum[task.start :, left:])
    fields |= _place("down", task.outs[0][:, left:], "out_") | _place(
        "along", task.outs[-1][:, left:], "out_"
    )
    return fields, memory["peaks"].view(f"u{what.itemsize}")


def _place(name: str, array: Array, prefix: str = "") -> dict[str, int]:
    """Where an array begins, and the bytes from one of its rows to the next."""
    return {prefix + name: address_of(array), f"{name}_stride": array.strides[0]}
