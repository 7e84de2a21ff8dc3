"""Into which panels of columns is an array cut, and what does native code have to know of each?

A panel is so narrow that what a tile of rows needs stays in the cache. What is known of it does not depend on where
the arrays lie, and so is kept: tables that say where windows find their rows in the ring and their columns among
those turned (both reflect, so that native code knows of no ends), sizes and strides, and how memory is parted.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.kernels.memory import address_of, lines, odd_lines

Array = NDArray[Any]


class RankKernel(NamedTuple):
    """A kernel: its length, and the rank that is sought in it."""

    size: int
    rank: int

    @property
    def half(self) -> int:
        """How far it begins before the position that its result is for, as in scipy."""
        return self.size // 2


NOTHING = RankKernel(1, 0)


class Band(NamedTuple):
    """What is ranked from a column on, up to the next band's first one.

    Attributes
    ----------
    down, along
        Windows down the rows, and along them; None where there are none.
    start
        Its first column.
    widening
        Columns, an odd number, of whose highest value windows down the rows take the rank.
    """

    down: RankKernel | None
    along: RankKernel | None
    start: int = 0
    widening: int = 1


class Grain(NamedTuple):
    """What native code takes at once.

    Attributes
    ----------
    itemsize, lanes
        Of the floats, and how many are in a vector.
    tile, length
        Windows down the rows, and along them.
    reach
        Columns on each side whose ranks are needed besides.
    """

    itemsize: int
    lanes: int
    tile: int
    length: int
    reach: int


class Extent(NamedTuple):
    """What is crossed.

    Attributes
    ----------
    n_source, n_columns
        The source's rows and columns; there its axes reflect.
    start, n
        The first row that results are wanted for, and how many.
    columns
        Columns of the results; more than the source's if these are too few.
    """

    n_source: int
    n_columns: int
    start: int
    n: int
    columns: int


@dataclass(frozen=True, eq=False)
class Panel:
    """What is known of a panel, wherever its arrays lie.

    Attributes
    ----------
    left, edge
        Its first column of results, and the first that it reads.
    numbers
        What native code has to know, by name.
    bands
        Of each band that lies in it, its number, and what native code has to know of it, by name.
    parts, size
        Where in memory each part begins, and how much there must be, in bytes.
    tables
        Held, since native code knows no more than where they lie.
    """

    left: int
    edge: int
    numbers: dict[str, int]
    bands: list[tuple[int, dict[str, int]]]
    parts: dict[str, int]
    size: int
    tables: tuple[Array, Array]


@functools.lru_cache(maxsize=64)
def mirrored(n: int, start: int, stop: int) -> Array:
    """Where positions start to stop of an axis of length n lie, when its ends reflect, the edge repeated."""
    positions = np.arange(start, stop) % (2 * n)
    return np.minimum(positions, 2 * n - 1 - positions)


class Part(NamedTuple):
    """The columns of a panel that lie in one band: its number, the first of them, and how many are ranked."""

    number: int
    start: int
    columns: int


@functools.lru_cache(maxsize=64)
def panels(grain: Grain, bands: tuple[Band, ...], extent: Extent, tile_bytes: int) -> list[Panel]:
    """As few panels as keep what a tile needs within some bytes, all of one width; the last may overlap another."""
    slots = min(extent.n_source, grain.tile + sum(_context([band.down for band in bands])))
    rings = 1 + any(band.widening > 1 for band in bands)
    widest = tile_bytes // (grain.itemsize * (rings * slots + grain.tile + 2 * grain.lanes))
    count = -(-extent.columns // max(4 * grain.length, widest))
    width = -(-extent.columns // count)
    lefts = [min(i * width, extent.columns - width) for i in range(count)]
    return [_panel(grain, bands, extent, slots, left, width) for left in lefts]


def _context(kernels: list[RankKernel | None]) -> tuple[int, int]:
    """How far the windows of some kernels reach before a position and behind it."""
    found = [kernel or NOTHING for kernel in kernels]
    return max(kernel.half for kernel in found), max(kernel.size - 1 - kernel.half for kernel in found)


def _parts(grain: Grain, bands: tuple[Band, ...], first: int, stop: int) -> list[Part]:
    """Where bands lie within some columns. Narrow ones are ranked further than they go, and the next goes over it."""
    stops = [*(band.start for band in bands[1:]), stop]
    found = [
        (number, max(band.start, first), min(end, stop))
        for number, (band, end) in enumerate(zip(bands, stops, strict=True))
    ]
    return [Part(number, at, max(end - at, grain.length)) for number, at, end in found if at < end]


def _panel(
    grain: Grain, bands: tuple[Band, ...], extent: Extent, slots: int, left: int, columns: int
) -> Panel:
    stop, itemsize = left + columns, grain.itemsize
    first, last = max(0, left - grain.reach), min(stop + grain.reach, max(stop, extent.n_columns))
    parts = _parts(grain, bands, first, last)
    before, behind = _context([band.down for band in bands])
    rows = mirrored(extent.n_source, extent.start - before, extent.start + extent.n + behind)
    spans = [_span(part, bands[part.number]) for part in parts]
    low, high = min(span[0] for span in spans), max(span[1] for span in spans)
    within = mirrored(extent.n_columns, low, high)
    widening = max(band.widening for band in bands) // 2
    edge = min(max(0, first - widening), int(within.min()))
    stop = max(min(last + widening, max(last, extent.n_columns)), int(within.max()) + 1)
    end = max(part.start + part.columns for part in parts)
    lead, ring_stride = _ring(grain, max(stop, end) - edge, widening)
    tables = rows % slots * ring_stride, (within - edge) * grain.lanes * itemsize
    rows_at, columns_at = map(address_of, tables)
    numbers = {
        "rows": rows_at,
        "n_source": extent.n_source,
        "staged": int(rows.min()),
        "reach": extent.start + behind,
        "half": before,
        "n": extent.n,
        "slots": slots,
        "ring_stride": ring_stride,
        "width": stop - edge,
        "columns": columns,
        "tile": grain.tile,
        "length": grain.length,
        "medians_stride": odd_lines((end - first) * itemsize),
        "logs_inset": (first - left + grain.reach) * itemsize,
        "known": min(last, extent.n_columns) - first,
    }
    inner = [(part.number, _of_band(part, bands[part.number], itemsize, first, edge)) for part in parts]
    for (number, found), span in zip(inner, spans, strict=True):
        found["rows"] = rows_at + 8 * (before - (bands[number].down or NOTHING).half)
        found["offsets"] = columns_at + 8 * (span[0] - low)
    return Panel(left, edge, numbers, inner, *_places(grain, numbers, lead, bool(widening)), tables)


def _ring(grain: Grain, columns: int, widening: int) -> tuple[int, int]:
    """What leads a ring's rows, and from one row to the next, in bytes: widening needs columns on both sides."""
    beside, vector = widening * grain.itemsize, grain.lanes * grain.itemsize
    lead, tail = (lines(beside), beside + vector) if widening else (0, 0)
    return lead, odd_lines(lead + columns * grain.itemsize + tail)


def _of_band(part: Part, band: Band, itemsize: int, first: int, edge: int) -> dict[str, int]:
    """Where a band's columns lie among those that are read, from `edge` on, and ranked, from `first` on."""
    return {
        "inset": (part.start - edge) * itemsize,
        "columns": part.columns,
        "place": (part.start - first) * itemsize,
        "widening": band.widening // 2,
    }


def _places(grain: Grain, numbers: dict[str, int], lead: int, widens: bool) -> tuple[dict[str, int], int]:
    """Where each part of a panel's memory begins, the ring's rows behind what leads them; and how much it is."""
    vector = grain.lanes * grain.itemsize
    sizes = {
        "ring": lead + numbers["slots"] * numbers["ring_stride"],
        "wide": numbers["slots"] * numbers["ring_stride"] * widens,
        "medians_down": grain.tile * numbers["medians_stride"],
        "medians_along": grain.lanes * numbers["medians_stride"],
        "turned": numbers["width"] * vector,
        "ranked": grain.length * vector,
        "logs": (numbers["columns"] + 4 * grain.reach) * grain.itemsize + 4 * vector,
    }
    begins = np.cumsum([0, *map(lines, sizes.values())]).tolist()
    places = dict(zip(sizes, begins, strict=False))
    return places | {"ring": places["ring"] + lead}, begins[-1]


def _span(part: Part, band: Band) -> tuple[int, int]:
    """The columns, beyond the ends too, that windows along the rows see."""
    kernel = band.along or NOTHING
    return part.start - kernel.half, part.start + part.columns + kernel.size - 1 - kernel.half
