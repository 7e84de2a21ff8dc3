"""How does a corpus lie in `corpus.zarr`, and who may write what?

One Zarr v3 group, whose arrays share a handful of dimensions (design: one packed `frame` axis for all tracks):

    spectrogram, masks, components   (channel, frame, frequency)   written by units, a whole shard each (see `shard`)
    features                         (channel, frame, …)           likewise; … is mel, chroma, or nothing
    time, track_index                (frame)                       from the layout, by who places tracks (see `axes`)
    frequency, mel, chroma           (frequency), (mel), (chroma)  written once
    track, status, n_samples, …      (track)                       derived from layouts and commits; by anyone, any time
    summaries of features            (track, …)                    derived from features of tracks that are done

A unit is one shard of every array along `frame`, so that no two tasks ever write the same object: there are no locks.
The last write of every change to the group is its consolidated metadata; a reader that uses it (xarray does) never
sees arrays of different lengths.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import zarr
import zarr.codecs
import zarr.errors
from numpy.typing import NDArray

from hpss_batch.errors import StoreError
from hpss_batch.store.arrays.schema import AXES, REFERENCES, Shape, fill_value
from hpss_batch.store.arrays.shard import CLEVEL, CNAME
from hpss_batch.store.arrays.track_table import track_variables
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import BROKEN, GROUP, RunDirectory
from hpss_batch.store.layout import CHUNK_FRAMES, end_of, round_up
from hpss_batch.store.records import versions
from hpss_batch.store.storage import Folder

if TYPE_CHECKING:
    from hpss_batch.dsp.features import Feature

_COORDINATES = {
    "time": {"units": "s", "long_name": "time of the frame within its track", "axis": "T"},
    "track_index": {"units": "1", "long_name": "row on track that the frame belongs to; -1 between tracks"},
    "frequency": {"units": "Hz", "long_name": "centre frequency of the bin"},
    "mel": {"units": "Hz", "long_name": "centre frequency of the mel band"},
    "chroma": {"units": "1", "long_name": "pitch class, in semitones above C"},
}

Written = TypeVar("Written")
_DECODING = ("units", "scale_factor", "add_offset", "_FillValue", "coordinates")
"""Attributes that change what an array is read as, even where it should have none."""

TRACK_CHUNK = 65_536
"""Tracks in a chunk of the variables on `track`."""


@contextmanager
def zarr_settings() -> Iterator[None]:
    """Zarr and Blosc on one thread, with the pipeline that has the least overhead: a unit is one core's work."""
    import numcodecs.blosc

    settings: dict[str, Any] = {"threading.max_workers": 1, "async.concurrency": 1}
    if hasattr(zarr.core.codec_pipeline, "FusedCodecPipeline"):
        settings["codec_pipeline.path"] = "zarr.core.codec_pipeline.FusedCodecPipeline"
    threads = numcodecs.blosc.use_threads
    numcodecs.blosc.use_threads = False
    try:
        with zarr.config.set(settings):
            yield
    finally:
        numcodecs.blosc.use_threads = threads


def read_array(group: zarr.Group, name: str) -> "zarr.Array[Any] | None":
    """An array of a group; None where there is none, or its metadata make no sense."""
    try:
        array = group[name]
    except BROKEN:
        return None
    return array if isinstance(array, zarr.Array) else None


def write_arrays(
    group: zarr.Group, shape: Shape, catalog: Catalog, coordinates: Mapping[str, NDArray[np.float64]]
) -> None:
    """Create what is missing of a store, and make it as long and wide as the catalog needs.

    Doing it again, or two drivers at once, changes nothing: everything follows from the catalog, and no array ever
    becomes shorter.

    Parameters
    ----------
    group : zarr.Group
        The run directory's.
    shape : Shape
        The arrays.
    catalog : Catalog
        Tracks and units.
    coordinates : mapping of str to array
        Values along `frequency` and `mel` [Hz], and `chroma` [semitones above C].
    """
    n_frames = round_up(end_of(catalog.rows), shape.unit_frames)
    n_channels = int(catalog.settings["n_channels"])
    for name in shape.names:
        _frame_array(group, name, shape, n_channels, n_frames)
    # whole units: a Dask chunk for each 512 frames of a number would take longer than reading them all
    axis = {"chunks": (shape.unit_frames,), "shards": (shape.axis_frames,)}
    for name, (dtype, fill) in AXES.items():
        _array(group, name, (n_frames,), ("frame",), dtype, fill, _COORDINATES[name], **axis)
    for name, values in coordinates.items():
        size, described = values.shape, _COORDINATES[name]
        array = _array(group, name, size, (name,), np.dtype("f8"), np.nan, described, chunks=size)
        array[:] = values


def _frame_array(group: zarr.Group, name: str, shape: Shape, n_channels: int, n_frames: int) -> None:
    dtype, sizes, attributes = shape.dtype(name), shape.sizes(name), shape.attributes(name)
    size, dims, fill = (
        (n_channels, n_frames, *sizes),
        ("channel", "frame", *shape.dims(name)),
        fill_value(dtype),
    )
    cut = {"chunks": (1, CHUNK_FRAMES, *sizes), "shards": (1, shape.unit_frames, *sizes)}
    _array(group, name, size, dims, dtype, fill, attributes, **cut)


def attributes_of(name: str, shape: Shape) -> dict[str, str]:
    """What an array on frames, or a coordinate, says of itself."""
    return _COORDINATES[name] if name in _COORDINATES else shape.attributes(name)


def wrong_attributes(array: Any, attributes: Mapping[str, Any]) -> str:
    """Which attributes of an array are not those that it should have, in words; others may be there as well."""
    keys = [*attributes, *(key for key in _DECODING if key not in attributes)]
    wrong = [key for key in keys if array.attrs.get(key) != attributes.get(key)]
    said = (f"{key} {array.attrs.get(key)!r} instead of {attributes.get(key)!r}" for key in wrong)
    return f"has the attributes {', '.join(said)}" if wrong else ""


def _array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dims: tuple[str, ...],
    dtype: Any,
    fill: Any,
    attributes: Mapping[str, Any],
    *,
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None = None,
) -> zarr.Array[Any]:
    """The array of this name, made, or grown to `shape` where it is smaller, and described by `attributes`."""
    if name in group:
        array = group[name]
        assert isinstance(array, zarr.Array)
        grown = tuple(max(old, new) for old, new in zip(array.shape, shape, strict=True))
        if grown != array.shape:
            array.resize(grown)
        if wrong_attributes(array, attributes):
            others = {key: value for key, value in array.attrs.items() if key not in _DECODING}
            array.attrs.put(others | dict(attributes))
        return array
    codec = zarr.codecs.BloscCodec(cname=CNAME, clevel=CLEVEL, shuffle="bitshuffle")
    try:
        return group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=chunks,
            shards=shards,
            fill_value=fill,
            dimension_names=dims,
            attributes=dict(attributes),
            # one file a shard in one folder, rather than a folder for each
            chunk_key_encoding={"name": "default", "separator": "."},
            compressors="auto" if dtype is str else codec,
        )
    except zarr.errors.ContainsArrayError:  # another driver was faster
        return _array(group, name, shape, dims, dtype, fill, attributes, chunks=chunks, shards=shards)


def write_tracks(folder: Folder, group: zarr.Group, shape: Shape, catalog: Catalog) -> None:
    """Bring the variables on `track` up to date with the catalog, and consolidate the group's metadata.

    Parameters
    ----------
    folder, group
        The run directory's; `write_arrays` was called before.
    shape : Shape
        The arrays.
    catalog : Catalog
        Tracks and what became of them.
    """
    variables = track_variables(catalog)
    for name, (values, described) in variables.items():
        _or_made_again(group, name, partial(_write_track_variable, group, name, values, described))
    names = [*shape.names, *_COORDINATES, *variables, *_summaries(group, shape, catalog)]
    consolidate(folder, names, {**group_attributes(catalog), "refreshed": _mark(catalog)})


def group_attributes(catalog: Catalog) -> dict[str, Any]:
    """What a store says of itself as a whole."""
    settings = catalog.settings
    return {
        "Conventions": "CF-1.11",
        "title": "Harmonic/percussive source separation of an audio corpus",
        "source": f"hpss_batch {versions()['hpss-batch']}: median filtering, after librosa.decompose.hpss",
        "references": REFERENCES,
        "fingerprint": settings["fingerprint"],
        "sample_rate": settings["sample_rate"],
        "job": settings["numerics"],
        "versions": versions(ffmpeg=any(row.decoder == "ffmpeg" for row in catalog.rows)),
    }


def _or_made_again(group: zarr.Group, name: str, write: Callable[[], Written]) -> Written:
    """Write a variable that is derived; from nothing where what is there of it is of another type, or damaged."""
    try:
        return write()
    except (OSError, MemoryError):
        raise
    except Exception:  # codecs tell damage in their own ways
        del group[name]
        return write()


def _write_track_variable(
    group: zarr.Group, name: str, values: NDArray[Any], described: Mapping[str, Any]
) -> None:
    dtype: Any = str if values.dtype == object else values.dtype
    fill: Any = {"f": np.nan, "O": ""}.get(values.dtype.kind, 0)
    array = _array(group, name, values.shape, ("track",), dtype, fill, described, chunks=(TRACK_CHUNK,))
    same = array.dtype.kind in "OTU" if dtype is str else array.dtype == dtype
    if not same or array.metadata.to_dict().get("dimension_names") != ("track",):
        raise TypeError(f"{name} is {array.dtype}, not {dtype}")
    array[: len(values)] = values


def _summaries(group: zarr.Group, shape: Shape, catalog: Catalog) -> list[str]:
    """Bring summaries of features up to date; their names."""
    if not shape.summaries:
        return []
    from hpss_batch.store.arrays.track_table import attributes, write_summaries

    def create(name: str, feature: "Feature", statistic: str) -> zarr.Array[Any]:
        size = (len(catalog.rows), *feature.shape)
        chunks = (max(1, TRACK_CHUNK // max(1, *feature.shape, 1)), *feature.shape)
        described = attributes(feature, statistic)
        dims = ("track", *feature.dims)

        def write() -> zarr.Array[Any]:
            array = _array(group, name, size, dims, np.dtype("f4"), np.nan, described, chunks=chunks)
            np.asarray(array[:])
            return array

        return _or_made_again(group, name, write)

    with zarr_settings():
        return write_summaries(group, shape, catalog, create)


def is_current(directory: RunDirectory, catalog: Catalog) -> bool:
    """Whether the last `write_tracks` that was not stopped knew all that the catalog knows."""
    wanted = _mark(catalog)
    try:
        return bool(directory.group().attrs.get("refreshed") == wanted)
    except StoreError:
        return False


def _mark(catalog: Catalog) -> list[int]:
    """What the variables on `track` are derived from: so many generations, commits and, without units, stems."""
    counted = [catalog.generations, catalog.commits, *([] if catalog.has_units else [catalog.stems])]
    return [len(records) for records in counted]


def consolidate(folder: Folder, names: Iterable[str], attributes: Mapping[str, Any]) -> None:
    """Replace the group's metadata, attributes and all arrays' at once: what was written before is seen from here on.

    zarr's own consolidation writes attributes in a step of its own, in which the consolidated metadata is gone, and
    a reader would find arrays of different lengths.
    """
    arrays = {}
    for name in sorted(names):
        metadata = folder.read(f"{GROUP}/{name}/zarr.json")
        if metadata is not None:
            arrays[name] = json.loads(metadata)
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": dict(attributes),
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": arrays},
    }
    folder.replace(f"{GROUP}/zarr.json", json.dumps(group, indent=2).encode())
