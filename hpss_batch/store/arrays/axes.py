"""What do the coordinates along frames hold, and who writes them, in how few files?

`time` and `track_index` follow from the layout alone. So no unit writes them: whoever places tracks does, before any
unit is done, in shards of many units each, which cost a bucket next to no requests and a disk next to no files:

    harmonic_mask/   c.0.0.0   c.0.1.0   c.0.2.0   …     a unit each
    time/            c.0                           …     so many units as `AXIS_FRAMES` holds, a chunk each

A generation that begins within such a shard has it written again, with what was there before in the same place. Any
two drivers write the same for the same layout; one that wrote for a layout that has grown meanwhile writes again.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hpss_batch.dsp.params import StftParams
from hpss_batch.errors import StoreError
from hpss_batch.store.arrays.group import read_array
from hpss_batch.store.arrays.schema import AXES
from hpss_batch.store.arrays.shard import ShardWriter, shard_key, shard_place
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import GROUP, RunDirectory
from hpss_batch.store.layout import Placed

WRITERS = 4
"""Shards that are written at a time."""

Shards = Mapping[str, Collection[int]]
"""Numbers of shards, by coordinate."""


@dataclass(frozen=True)
class FrameAxis:
    """The tracks along frames, and what coordinates say of them.

    Attributes
    ----------
    rows : list of Placed
        All tracks, in the order in which they lie. Those without frames lie nowhere.
    stft : StftParams
        How they are cut into frames.
    sample_rate : int
        Hz of the arrays.
    """

    rows: list[Placed]
    stft: StftParams
    sample_rate: int

    @classmethod
    def of(cls, catalog: Catalog) -> "FrameAxis":
        """A run directory's."""
        return cls(catalog.rows, catalog.stft, int(catalog.settings["sample_rate"]))

    @cached_property
    def _lying(self) -> tuple[list[tuple[int, Placed]], list[int]]:
        """Tracks that have frames, by row, and their first frames."""
        lying = [(index, row) for index, row in enumerate(self.rows) if row.n_frames]
        return lying, [row.frame_start for _, row in lying]

    def within(self, first: int, stop: int) -> Iterator[tuple[int, Placed, int, int]]:
        """The tracks in a span of frames: row, placement, and the frames of theirs that lie in it, from … to."""
        lying, starts = self._lying
        for index, row in islice(lying, max(bisect_right(starts, first) - 1, 0), None):
            if row.frame_start >= stop:
                return
            begin, end = max(first, row.frame_start), min(stop, row.frame_start + row.n_frames)
            if begin < end:
                yield index, row, begin, end

    def values(self, name: str, first: int, stop: int) -> NDArray[Any]:
        """Frames first … stop of a coordinate, `time` or `track_index`."""
        dtype, fill = AXES[name]
        out = np.full(stop - first, fill, dtype)
        for index, row, begin, end in self.within(first, stop):
            start = row.frame_start
            out[begin - first : end - first] = (
                index
                if name == "track_index"
                else self.stft.times(begin - start, end - start, self.sample_rate)
            )
        return out


def needed_shards(directory: RunDirectory, catalog: Catalog) -> dict[str, set[int]]:
    """Shards of coordinates, of those that there are, in which a track lies that counts."""
    try:
        group = directory.group()
    except StoreError:
        return {}
    arrays = {name: array for name in AXES if (array := read_array(group, name)) is not None}
    return {name: _shards_of(array, catalog.needed_units, catalog) for name, array in arrays.items()}


def _shards_of(array: "zarr.Array[Any]", units: Iterable[int], catalog: Catalog) -> set[int]:
    """Numbers of the shards of a coordinate that some units lie in; stores of earlier versions have one a unit."""
    return {unit * catalog.unit_frames // (array.shards or array.chunks)[0] for unit in units}


def lacking(directory: RunDirectory, group: zarr.Group, catalog: Catalog) -> Shards:
    """Shards of coordinates that are to be written: that are not there, or hold tracks placed since the last run."""
    match group.attrs.get("refreshed"):
        case [int(known), *_]:
            pass
        case _:
            known = 0
    n_known = sum(len(generation.rows) for generation in catalog.generations[:known])
    # pieces lie in order of their rows
    fresh = {unit.number for unit in catalog.units if unit.pieces[-1].index >= n_known}
    found = dict[str, Collection[int]]()
    for name in AXES:
        array = group[name]
        assert isinstance(array, zarr.Array)
        keys = directory.folder.names(f"{GROUP}/{name}")
        there = {place[0] for key in keys if (place := shard_place(key, axis=True))}
        needed = _shards_of(array, catalog.needed_units, catalog)
        found[name] = sorted((needed - there) | _shards_of(array, fresh, catalog))
    return {name: numbers for name, numbers in found.items() if numbers}


def write_axes(directory: RunDirectory, catalog: Catalog, shards: Shards) -> None:
    """Write shards of coordinates; when it returns, they are on disk, and hold what the layout says by now."""
    group = directory.group()
    while True:
        axis = FrameAxis.of(catalog)
        with ThreadPoolExecutor(WRITERS) as pool:
            for name, numbers in shards.items():
                for _ in pool.map(partial(_write_shard, directory, group[name], axis), numbers):
                    pass
        if directory.n_generations <= len(catalog.generations):
            return
        catalog = Catalog(directory.generations(), {})


def _write_shard(directory: RunDirectory, array: Any, axis: FrameAxis, number: int) -> None:
    name, frames, chunk = array.basename, (array.shards or array.chunks)[0], array.chunks[0]
    begin = number * frames
    writer = ShardWriter(array.dtype, (), frames, AXES[name][1], chunk)
    try:
        writer.begin(partial(directory.folder.begin, f"{GROUP}/{name}/{shard_key(number, None, 0)}"))
        for first in range(begin, begin + frames, chunk):
            if any(axis.within(first, first + chunk)):
                writer.write(first - begin, axis.values(name, first, first + chunk))
        writer.finish()
    finally:
        writer.abandon()
