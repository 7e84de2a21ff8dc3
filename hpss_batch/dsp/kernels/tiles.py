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


class Grain(NamedTuple):
    """What native code takes at once.

    Attributes
    ----------
    itemsize, lanes
        Of the floats, and how many are in a vector.
    tile, length
        Windows down the rows, and along them.
    """

    itemsize: int
    lanes: int
    tile: int
    length: int


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
    parts, size
        Where in memory each part begins, and how much there must be, in bytes.
    tables
        Held, since native code knows no more than where they lie.
    """

    left: int
    edge: int
    numbers: dict[str, int]
    parts: dict[str, int]
    size: int
    tables: tuple[Array, Array]


@functools.lru_cache(maxsize=64)
def mirrored(n: int, start: int, stop: int) -> Array:
    """Where positions start to stop of an axis of length n lie, when its ends reflect, the edge repeated."""
    positions = np.arange(start, stop) % (2 * n)
    return np.minimum(positions, 2 * n - 1 - positions)


@functools.lru_cache(maxsize=64)
def panels(
    grain: Grain, down: RankKernel | None, along: RankKernel | None, extent: Extent, tile_bytes: int
) -> list[Panel]:
    """As few panels as keep what a tile needs within some bytes, all of one width; the last may overlap another."""
    slots = min(extent.n_source, grain.tile + (down or NOTHING).size - 1)
    widest = tile_bytes // (grain.itemsize * (slots + grain.tile + 2 * grain.lanes))
    count = -(-extent.columns // max(4 * grain.length, widest))
    width = -(-extent.columns // count)
    lefts = [min(i * width, extent.columns - width) for i in range(count)]
    return [_panel(grain, down or NOTHING, along, extent, slots, left, width) for left in lefts]


def _panel(
    grain: Grain,
    down: RankKernel,
    along: RankKernel | None,
    extent: Extent,
    slots: int,
    left: int,
    columns: int,
) -> Panel:
    first_row, first_column = extent.start - down.half, left - (along or NOTHING).half
    rows = mirrored(extent.n_source, first_row, first_row + extent.n + down.size - 1)
    stop = left + columns
    within = mirrored(extent.n_columns, first_column, first_column + columns + (along or NOTHING).size - 1)
    edge, stop = min(left, int(within.min())), max(stop, int(within.max()) + 1)
    vector = grain.lanes * grain.itemsize
    ring_stride, medians_stride = (
        odd_lines((stop - edge) * grain.itemsize),
        odd_lines(columns * grain.itemsize),
    )
    tables = rows % slots * ring_stride, (within - edge) * vector
    sizes = {
        "ring": slots * ring_stride,
        "medians_down": grain.tile * medians_stride,
        "medians_along": grain.lanes * medians_stride,
        "turned": (stop - edge) * vector,
        "ranked": grain.length * vector,
    }
    begins = np.cumsum([0, *map(lines, sizes.values())]).tolist()
    numbers = {
        "rows": address_of(tables[0]),
        "offsets": address_of(tables[1]),
        "n_source": extent.n_source,
        "staged": int(rows.min()),
        "reach": first_row + down.size - 1,
        "half": down.half,
        "n": extent.n,
        "slots": slots,
        "ring_stride": ring_stride,
        "width": stop - edge,
        "inset": (left - edge) * grain.itemsize,
        "columns": columns,
        "tile": grain.tile,
        "length": grain.length,
        "medians_stride": medians_stride,
    }
    return Panel(left, edge, numbers, dict(zip(sizes, begins, strict=False)), begins[-1], tables)
