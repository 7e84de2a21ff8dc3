"""What does a corpus say of each track? The variables on the `track` dimension.

`track_variables` gives those that follow from the catalog: ids, where tracks lie, what became of them.

`write_summaries` gives a track's features, summed up: mean, deviation and percentiles over its frames. For each
feature and statistic there is one variable, `rms_harmonic_mean` on (track) or `log_mel_harmonic_p50` on (track, mel).
Frames of all of a track's channels count alike. They follow from the stored frames, are computed in the driver once
tracks are done, and never change: only rows that are done and have none yet are computed. Rows of tracks that are not
done, or have no frames, hold NaN.

Tracks that lie side by side are read together, and a long track some bands at a time: memory is bounded, whatever
the length of a track and the number of tracks.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hpss_batch.store.arrays.schema import Shape, read_decoded
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.labels import column_values, storable, text_values, variable_name
from hpss_batch.store.records import STATUSES

if TYPE_CHECKING:
    from hpss_batch.dsp.features import Feature

Float32 = NDArray[np.float32]
Create = Callable[..., "zarr.Array[Any]"]

PERCENTILES = (5, 25, 50, 75, 95)
STATISTICS = ("mean", "deviation", *(f"p{q}" for q in PERCENTILES))

SAID = {"mean": "mean", "deviation": "standard deviation"} | {
    f"p{q}": f"{q}th percentile" for q in PERCENTILES
}

VALUES = 2**22
"""Values of a feature that are held at once (16 MiB of float32, some copies of which are made)."""

TRACKS = 4096
"""Tracks whose summaries are held before they are written."""


def summary_names(shape: Shape) -> dict[str, tuple["Feature", str]]:
    """The feature and statistic of each variable, by its name."""
    features = shape.features if shape.summaries else ()
    return {f"{feature.name}_{of}": (feature, of) for feature in features for of in STATISTICS}


def attributes(feature: "Feature", statistic: str) -> dict[str, Any]:
    """Attributes of a summary's variable."""
    method = {"mean": "frame: mean", "deviation": "frame: standard_deviation"}.get(statistic)
    return {
        "units": feature.units,
        "long_name": f"{SAID[statistic]} over the track's frames: {feature.long_name}",
        **({"cell_methods": method} if method else {}),
    }


def write_summaries(group: zarr.Group, shape: Shape, catalog: Catalog, create: Create) -> list[str]:
    """Bring the summaries of a store up to date with the catalog.

    Parameters
    ----------
    group : zarr.Group
        The store.
    shape : Shape
        Its arrays.
    catalog : Catalog
        Tracks, and which of them are done.
    create : callable
        ``create(name, feature, statistic)`` gives a summary's array, with a row for each track.

    Returns
    -------
    list of str
        Names of all summaries.
    """
    names = summary_names(shape)
    arrays = {name: create(name, *of) for name, of in names.items()}
    if not arrays:
        return []
    for feature in shape.features:
        own = {of: arrays[f"{feature.name}_{of}"] for of in STATISTICS}
        # of any statistic: a driver may have been stopped between two of them
        missing = sorted(
            {row for array in own.values() for row in missing_rows(np.asarray(array[:]), catalog)}
        )
        for some in _parts(missing, TRACKS):
            held = {of: np.full((len(some), *feature.shape), np.nan, np.float32) for of in STATISTICS}
            for place, found in _summarised(group[feature.name], feature, catalog, some):
                for of in STATISTICS:
                    held[of][place] = found[of]
            for begin, stop in _runs(some):
                for of, array in own.items():
                    array[some[begin] : some[begin] + stop - begin] = held[of][begin:stop]
    return list(names)


def missing_rows(held: NDArray[Any], catalog: Catalog) -> list[int]:
    """Rows of tracks that are done and have frames, but for which this summary's values have nothing yet."""
    absent = np.isnan(held).any(axis=tuple(range(1, held.ndim)))
    return [
        row
        for row, state in enumerate(catalog.states)
        if state.status == "done" and state.n_frames and (row >= len(absent) or absent[row])
    ]


def _summarised(
    array: Any, feature: "Feature", catalog: Catalog, rows: Sequence[int]
) -> Iterator[tuple[int, dict[str, Float32]]]:
    """Each row's place in `rows` and its statistics."""
    from hpss_batch.dsp.features import summarise

    width = int(np.prod(feature.shape, dtype=np.int64))
    for begin, stop in _neighbours(catalog, rows, max(1, VALUES // width)):
        first = catalog.rows[rows[begin]].frame_start
        last = rows[stop - 1]
        end = catalog.rows[last].frame_start + catalog.states[last].n_frames
        channels = max(catalog.rows[row].n_channels(catalog.channels) for row in rows[begin:stop])
        bands = max(1, VALUES // ((end - first) * channels))
        parts = [slice(at, at + bands) for at in range(0, width, bands)] if feature.shape else [...]
        found = [dict[str, Float32]() for _ in range(begin, stop)]
        for part in parts:
            values = read_decoded(array, (slice(0, channels), slice(first, end), part))
            for place in range(begin, stop):
                row = rows[place]
                at, n_frames = catalog.rows[row].frame_start - first, catalog.states[row].n_frames
                own = values[: catalog.rows[row].n_channels(catalog.channels), at : at + n_frames]
                numbers = summarise(own.reshape(-1, *own.shape[2:]), PERCENTILES)
                for of, value in numbers.items():
                    earlier = found[place - begin].get(of)
                    found[place - begin][of] = value if earlier is None else np.concatenate([earlier, value])
        yield from zip(range(begin, stop), found, strict=True)


def _neighbours(catalog: Catalog, rows: Sequence[int], frames: int) -> Iterator[tuple[int, int]]:
    """Cut rows into ranges that lie within so many frames; one that is longer stands alone."""
    begin = 0
    for place, row in enumerate(rows):
        end = catalog.rows[row].frame_start + catalog.states[row].n_frames
        if place > begin and end - catalog.rows[rows[begin]].frame_start > frames:
            yield begin, place
            begin = place
    if rows:
        yield begin, len(rows)


def _parts(rows: list[int], size: int) -> Iterator[list[int]]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut rows into ranges of numbers that follow one another."""
    begin = 0
    for place in range(1, len(rows) + 1):
        if place == len(rows) or rows[place] != rows[place - 1] + 1:
            yield begin, place
            begin = place


Variable = tuple[NDArray[Any], dict[str, Any]]


def track_variables(catalog: Catalog) -> dict[str, Variable]:
    """Values and attributes of each variable on the `track` dimension, by name; strings as objects."""
    rows, states = catalog.rows, catalog.states

    flags = {
        "flag_values": list(range(len(STATUSES))),
        "flag_meanings": " ".join(STATUSES),
        "long_name": "what became of the track",
    }
    codes = np.array([STATUSES.index(state.status) for state in states], dtype=np.uint8)
    variables: dict[str, Variable] = {
        "track": (text_values(catalog.ids), {"long_name": "id: path relative to the corpus"}),
        "status": (codes, flags),
        "error": (text_values([state.error for state in states]), {"long_name": "why the track is not done"}),
        "n_samples": (
            np.array([state.n_samples for state in states], np.int64),
            {
                "units": "1",
                "long_name": "length in samples at the store's rate; of tracks not done an upper bound",
            },
        ),
    }
    variables["n_frames"] = (
        np.array([state.n_frames for state in states], np.int64),
        {"units": "1", "long_name": "length in frames; of tracks not done an upper bound"},
    )
    for name, units, long_name in (
        ("frame_start", "1", "first frame on the frame axis"),
        ("source_samples", "1", "length that the file announced, in samples at its own rate"),
        ("source_rate", "Hz", "sample rate of the file"),
        ("source_channels", "1", "channels of the file"),
        ("source_size", "byte", "size of the file"),
        ("source_mtime", "ns", "modification time of the file, since 1970-01-01T00:00:00Z"),
    ):
        variables[name] = (
            # int64 ends in the year 2262, and below what a header may announce: there they stop
            np.array([min(max(getattr(row, name), -(2**63)), 2**63 - 1) for row in rows], np.int64),
            {"units": units, "long_name": long_name},
        )
    variables["source_layout"] = (
        text_values([row.source_layout for row in rows]),
        {"long_name": "speakers of the file's channels, in their order, where it names them"},
    )
    return variables | _manifest_variables(catalog)


def _manifest_variables(catalog: Catalog) -> dict[str, Variable]:
    """Further columns of a manifest."""
    columns = dict.fromkeys(column for labels in catalog.labels for column in labels)
    return {
        variable_name(column): (
            column_values([labels.get(column, "") for labels in catalog.labels]),
            {"long_name": f"{storable(column)}, as in the manifest"},
        )
        for column in columns
    }
