"""Do the coordinates along frames say what the layout says? Where not, they are written again, with no source."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import zarr

from hpss_batch.runner.plan import Plan
from hpss_batch.store.arrays.axes import FrameAxis, write_axes
from hpss_batch.store.arrays.group import read_array, zarr_settings
from hpss_batch.store.arrays.schema import AXES
from hpss_batch.store.arrays.shard import shard_key
from hpss_batch.store.directory import GROUP
from hpss_batch.store.layout import Unit
from hpss_batch.verification.findings import Finding
from hpss_batch.verification.metadata import read_values

_Place = tuple[str, int]
"""A shard of a coordinate: its array, and its number."""


def check_axes(plan: Plan, units: Sequence[Unit], *, heal: bool) -> list[Finding]:
    """What is wrong with `time` and `track_index` of some units; with `heal`, their shards are written again."""
    if not units:  # there may be no store to look into
        return []
    with zarr_settings():
        found = _axis_findings(plan, units)
        if not heal or not found:
            return [*found.values()]
        shards = defaultdict[str, list[int]](list)
        for name, number in found:
            shards[name].append(number)
        write_axes(plan.directory, plan.catalog, shards)
        still = _axis_findings(plan, units)
    done = "was written again from the layout"
    return [f if place in still else replace(f, healed=True, cure=done) for place, f in found.items()]


def _axis_findings(plan: Plan, units: Sequence[Unit]) -> dict[_Place, Finding]:
    group, axis, found = plan.directory.group(), FrameAxis.of(plan.catalog), dict[_Place, Finding]()
    for name in AXES:
        array = read_array(group, name)
        if array is None:
            continue  # said of the metadata
        frames, within = (array.shards or array.chunks)[0], defaultdict[int, list[Unit]](list)
        for unit in units:
            within[unit.number * plan.shape.unit_frames // frames].append(unit)
        for number, held in within.items():
            if finding := _shard_finding(plan, group, axis, (name, number), frames, held):
                found[name, number] = finding
    return found


def _shard_finding(
    plan: Plan, group: zarr.Group, axis: FrameAxis, place: _Place, frames: int, units: Sequence[Unit]
) -> Finding | None:
    """What is wrong with the frames of units in one shard of so many frames, if anything."""
    (name, number), size = place, plan.shape.unit_frames
    begin = number * frames
    held, why = read_values(group, name, slice(begin, begin + frames))

    def is_right(unit: Unit) -> bool:
        first = unit.number * size
        expected = axis.values(name, first, first + size)
        return held is not None and np.array_equal(
            held[first - begin : first - begin + size], expected, equal_nan=name == "time"
        )

    wrong = [unit for unit in units if not is_right(unit)]
    if not wrong:
        return None
    what = f"{GROUP}/{name}/{shard_key(number, None, 0)} {why or 'contradicts the layout'}"
    means = "whoever reads the store without this package gives frames to wrong tracks or times"
    cure = "--heal writes it again; that needs no source"
    rows = dict.fromkeys(piece.index for unit in wrong for piece in unit.pieces)
    tracks = tuple(plan.catalog.ids[row] for row in rows)
    return Finding("wrong", what, means, cure, array=name, tracks=tracks, remedy="layout")
