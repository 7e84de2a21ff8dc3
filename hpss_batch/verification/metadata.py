"""Is every array of a store there, as long and wide as the layout needs, and do the track variables tell the truth?

All of this follows from layouts, commits and the job, so all of it can be written again from them, with no source.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hpss_batch.errors import StoreError
from hpss_batch.runner.plan import Plan
from hpss_batch.store.arrays.group import (
    attributes_of,
    is_current,
    read_array,
    write_arrays,
    write_tracks,
    wrong_attributes,
)
from hpss_batch.store.arrays.schema import AXES
from hpss_batch.store.arrays.shard import shard_place
from hpss_batch.store.arrays.track_table import attributes, missing_rows, summary_names, track_variables
from hpss_batch.store.directory import BROKEN, GROUP, RunDirectory
from hpss_batch.store.layout import CHUNK_FRAMES, end_of, round_up
from hpss_batch.text import counted
from hpss_batch.verification.findings import Finding
from hpss_batch.verification.prune import in_words, spare_files

Shards = dict[int, dict[tuple[str, int], str]]
"""For each unit, the shards that exist: their names in the array's folder, by array and channel."""


Cut = tuple[tuple[int, ...], tuple[int, ...]]
"""Sizes of an array's shards, and of its chunks."""


def read_values(group: zarr.Group, name: str, where: slice = slice(None)) -> tuple[NDArray[Any] | None, str]:
    """Values of an array; None and why, in words, where they cannot be had."""
    array = read_array(group, name)
    if array is None:
        return None, "is missing, or its metadata cannot be read"
    try:
        return np.asarray(array[where]), ""
    except MemoryError:
        raise
    except Exception as error:  # whatever a codec raises for bytes that it never wrote
        return None, f"cannot be decoded ({type(error).__name__}: {error})"


def check_metadata(plan: Plan, *, heal: bool) -> list[Finding]:
    """What is wrong with the arrays' metadata; with `heal`, it is written again."""
    findings = [*_metadata_findings(plan)]
    if not heal or not findings:
        return findings
    if findings[0].array is None:  # what its arrays lack can be seen only once there is a group
        plan.directory.folder.delete(f"{GROUP}/zarr.json")
        plan.directory.group("a")
        findings += _metadata_findings(plan)
    for finding in findings:
        if finding.array is not None:  # made again from nothing, as large as the layout needs
            plan.directory.folder.delete(f"{GROUP}/{finding.array}/zarr.json")
    # and no more: what is on `track` may be damaged too, and comes later
    write_arrays(plan.directory.group("a"), plan.shape, plan.catalog, plan.coordinates)
    still = {finding.place for finding in _metadata_findings(plan)}
    return [
        f if f.place in still else replace(f, healed=True, cure="was written again from the layout")
        for f in findings
    ]


def _metadata_findings(plan: Plan) -> Iterator[Finding]:
    cure = "--heal writes it again from the layout"
    try:
        group = plan.directory.group()
    except StoreError:
        what, means = f"{GROUP} is missing, or its metadata cannot be read", "nothing can be read"
        yield Finding("wrong", what, means, cure, remedy="records")
        return
    shape, catalog = plan.shape, plan.catalog
    n_frames = round_up(end_of(catalog.rows), shape.unit_frames)
    n_channels = int(catalog.settings["n_channels"])
    expected: dict[str, tuple[Any, tuple[int, ...], list[Cut]]] = {
        name: (
            shape.dtype(name),
            (n_channels, n_frames, *shape.sizes(name)),
            [((1, shape.unit_frames, *shape.sizes(name)), (1, CHUNK_FRAMES, *shape.sizes(name)))],
        )
        for name in shape.names
    }
    unit = (shape.unit_frames,)  # and two cuts of earlier versions
    cuts_of_axes: list[Cut] = [((shape.axis_frames,), unit), (unit, unit), (unit, (CHUNK_FRAMES,))]
    expected |= {name: (dtype, (n_frames,), cuts_of_axes) for name, (dtype, _) in AXES.items()}
    for name, (dtype, size, cuts) in expected.items():
        what = _difference(read_array(group, name), dtype, size, cuts, attributes_of(name, shape))
        if what:
            means = "its frames cannot be read, or not as what they are"
            yield Finding("wrong", f"{GROUP}/{name} {what}", means, cure, array=name, remedy="records")
    for name, values in plan.coordinates.items():
        held, why = read_values(group, name)
        if held is not None:
            right = np.array_equal(held, values)
            why = wrong_attributes(group[name], attributes_of(name, shape)) if right else "is wrong"
        if why:
            what, means = f"{GROUP}/{name} {why}", "bins or bands are given to wrong frequencies"
            yield Finding("wrong", what, means, cure, array=name, remedy="records")


def _difference(
    array: "zarr.Array[Any] | None",
    dtype: np.dtype[Any],
    size: tuple[int, ...],
    cuts: Sequence[Cut],
    described: Mapping[str, Any],
) -> str:
    """How an array is not what the layout needs, if so."""
    if array is None:
        return "is missing, or its metadata cannot be read"
    if array.ndim != len(size) or array.dtype != dtype:
        return f"has {array.ndim} dimensions of {array.dtype}, not {len(size)} of {dtype}"
    if (array.shards or array.chunks, array.chunks) not in cuts:
        return f"is cut into shards of {array.shards} and chunks of {array.chunks}, not {cuts[0][0]} and {cuts[0][1]}"
    if any(have < need for have, need in zip(array.shape, size, strict=True)):
        return f"is too small: {array.shape}, where the layout needs {size}"
    return wrong_attributes(array, described)


def shard_names(plan: Plan) -> Shards:
    """The shards that exist of arrays with channels, by unit."""
    arrays = dict.fromkeys(plan.shape.names)
    for commit in plan.catalog.commits.values():
        arrays |= dict.fromkeys(commit.digests)
    found = Shards()
    for array in arrays:
        for name in plan.directory.folder.names(f"{GROUP}/{array}"):
            if place := shard_place(name):
                found.setdefault(place[0], {})[array, place[1]] = name
    return found


def leftovers(plan: Plan, shards: Shards) -> Iterator[Finding]:
    """What lies around that nothing reads."""
    needed = plan.catalog.needed_units
    strays = sum(len(shards[number]) for number in shards.keys() & needed - plan.catalog.commits.keys())
    if strays:
        what = f"{counted(strays, 'shard')} of units that are not committed"
        means = "an interrupted run left them, or one is under way; nothing reads them"
        yield Finding("leftover", what, means, "the next run writes them again")
    try:
        spare = [*spare_files(plan)]
    except StoreError:  # what is wrong with records of stems is said of stems
        return
    if spare:
        means = "runs that were killed left them, or one is under way, or tracks were placed again; nothing reads them"
        yield Finding(
            "leftover", in_words(spare), means, f"`hpss-batch prune {plan.directory.url}` frees them"
        )


def check_tracks(plan: Plan, *, heal: bool) -> list[Finding]:
    """What is out of date of the variables on `track` and the consolidated metadata; with `heal`, it is refreshed."""
    findings = [*_track_findings(plan)]
    if not heal or not findings:
        return findings
    group = plan.directory.group("a")
    write_arrays(group, plan.shape, plan.catalog, plan.coordinates)
    write_tracks(plan.directory.folder, group, plan.shape, plan.catalog)
    still = {finding.place for finding in _track_findings(plan)}
    done = "was written again from layouts and commits"
    return [f if f.place in still else replace(f, healed=True, cure=done) for f in findings]


def _track_findings(plan: Plan) -> Iterator[Finding]:
    cure = "--heal writes it again from layouts and commits; so does the next run that has something to do"
    means = "tables of tracks say something else than what was done"
    catalog = plan.catalog
    try:
        group = plan.directory.group()
    except StoreError:
        return  # said before
    variables, summaries = track_variables(catalog), summary_names(plan.shape)
    sizes = dict.fromkeys(variables, ()) | {name: feature.shape for name, (feature, _) in summaries.items()}
    for name, size in sizes.items():
        held, why = read_values(group, name)
        if held is None or held.shape[1:] != size:
            what = f"{GROUP}/{name} {why or 'has other dimensions than it should'}"
            yield Finding("wrong", what, means, cure, array=name, remedy="delete")
            continue
        rows = missing_rows(held, catalog) if name in summaries else _differing(held, variables[name][0])
        described = attributes(*summaries[name]) if name in summaries else variables[name][1]
        misled = wrong_attributes(group[name], described)
        if misled:
            what, read = f"{GROUP}/{name} {misled}", "its values are read as something else"
            yield Finding("wrong", what, read, cure, array=name, remedy="records")
        if rows or len(held) < len(catalog.rows):
            what = f"{GROUP}/{name} is out of date for {counted(len(rows), 'track')}"
            tracks = tuple(catalog.ids[row] for row in rows)
            yield Finding("wrong", what, means, cure, array=name, tracks=tracks, remedy="records")
    behind = _stale_metadata(plan.directory)
    if not is_current(plan.directory, catalog):
        behind = "was written before the last commits"
    behind = behind or _unopenable(plan.directory)
    if behind:
        what = f"{GROUP}/zarr.json {behind}"
        means = "xarray and others that read consolidated metadata see an older state of the store"
        yield Finding("wrong", what, means, cure, remedy="records")


def _differing(found: Any, expected: Any) -> list[int]:
    """Rows in which two columns differ, those that one of them lacks included."""
    if len(found) < len(expected):
        return list(range(len(expected)))
    if found.dtype != expected.dtype and {found.dtype.kind, expected.dtype.kind} <= set("iuf"):
        return list(range(len(expected)))
    numbers = found.dtype.kind == expected.dtype.kind == "f"
    same = (found[: len(expected)] == expected) | (
        (np.isnan(found[: len(expected)]) & np.isnan(expected)) if numbers else False
    )
    return [int(row) for row in np.flatnonzero(~same.astype(bool))]


def _stale_metadata(directory: RunDirectory) -> str:
    """Whether consolidated metadata and arrays' own differ."""
    try:
        held = json.loads(directory.folder.read(f"{GROUP}/zarr.json") or b"")["consolidated_metadata"][
            "metadata"
        ]
        for name, metadata in held.items():
            own = directory.folder.read(f"{GROUP}/{name}/zarr.json")
            if own is None or json.loads(own) != metadata:
                return f"describes {name} otherwise than its own metadata"
    except BROKEN:
        return "has no consolidated metadata"
    return ""


def _unopenable(directory: RunDirectory) -> str:
    """Why xarray cannot open the store, if so."""
    import xarray as xr

    try:
        xr.open_zarr(directory.group().store, chunks=None).close()
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever zarr and xarray say of metadata that they do not understand
        return f"gives xarray something that it cannot open ({type(error).__name__}: {error})"
    return ""
