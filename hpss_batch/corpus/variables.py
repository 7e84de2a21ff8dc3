"""What does a corpus say of each track? The variables on the `track` dimension, as a catalog gives them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.corpus.catalog import Catalog
from hpss_batch.corpus.records import STATUSES

Variable = tuple[NDArray[Any], dict[str, Any]]


def _strings(values: Sequence[str]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _integers(values: Sequence[int]) -> NDArray[Any]:
    return np.array(values, dtype=np.int64)


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
        "track": (_strings(catalog.ids), {"long_name": "id: path relative to the corpus"}),
        "status": (codes, flags),
        "error": (_strings([state.error for state in states]), {"long_name": "why the track is not done"}),
        "n_samples": (
            _integers([state.n_samples for state in states]),
            {
                "units": "1",
                "long_name": "length in samples at the store's rate; of tracks not done an upper bound",
            },
        ),
    }
    variables["n_frames"] = (
        _integers([state.n_frames for state in states]),
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
            _integers([getattr(row, name) for row in rows]),
            {"units": units, "long_name": long_name},
        )
    return variables | _manifest_variables(catalog)


def _manifest_variables(catalog: Catalog) -> dict[str, Variable]:
    """Further columns of a manifest: numbers where all are numbers, strings otherwise."""
    columns = dict.fromkeys(key for row in catalog.rows for key in row.meta or ())
    variables = {}
    for column in columns:
        found = [(row.meta or {}).get(column) for row in catalog.rows]
        if all(isinstance(value, (int, float)) for value in found if value is not None):
            values = np.array([np.nan if value is None else value for value in found], dtype=np.float64)
        else:
            values = _strings(["" if value is None else str(value) for value in found])
        variables[f"meta_{column}"] = (values, {"long_name": f"{column}, as in the manifest"})
    return variables
