"""What in a run directory follows from its records, and is written again from them?

The arrays' shapes and attributes, coordinates, the variables on `track`, `job.yaml`. Anyone may write them at any time.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpss_batch.config.job import Job
from hpss_batch.errors import StoreError
from hpss_batch.runner.plan import Plan
from hpss_batch.stems.writer import STEMS
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.records import committed_units, read_commits, versions
from hpss_batch.store.stem_records import declare, read_stems
from hpss_batch.store.storage import PARTIAL, Folder, is_url

STALE_SECONDS = 3600
"""Age from which a half-written file is what a crash left, and not another driver's work."""


@contextmanager
def writing(folder: Folder) -> Iterator[None]:
    """Say in words what keeps records, metadata and variables on `track` from being written: a full disk, mostly."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{folder.url} cannot be written: {error.strerror or error}. Make room or give rights, then run again: "
            "what is committed is safe"
        ) from error


def is_behind(planned: Plan, folder: Folder) -> bool:
    """Whether an earlier run was stopped between placing tracks and writing down that they exist, or done."""
    from hpss_batch.store.arrays import refreshed

    if refreshed(folder.url) != _mark(planned.catalog):
        return True
    try:
        written = Job.of_run(folder)
    except StoreError:  # damaged; what it said is known again now
        return True
    if written is None or written.fingerprint() != planned.job.fingerprint():
        return True
    # other stems than last time: statuses are about those that were wanted last
    return written.output.stems != planned.job.output.stems


def _mark(catalog: Catalog) -> list[int]:
    """What the variables on `track` are derived from: so many generations, commits and, without units, stems."""
    return [
        len(catalog.generations),
        len(catalog.commits),
        *([] if catalog.has_units else [len(catalog.stems)]),
    ]


def _attributes(planned: Plan) -> dict[str, Any]:
    """What the store's group says of how it was made."""
    settings = planned.catalog.settings
    return {
        "fingerprint": settings["fingerprint"],
        "sample_rate": settings["sample_rate"],
        "job": planned.job.numerics(),
        "versions": versions(),
    }


def write_arrays(planned: Plan, folder: Folder) -> None:
    """Make what is missing of the arrays, as long as the layout needs, and write the coordinates of their bins."""
    from hpss_batch.store.arrays import extend, write_coordinates

    extend(folder.url, planned.shape, planned.catalog)
    write_coordinates(folder.url, planned.coordinates)


def write_derived(planned: Plan, folder: Folder) -> None:
    """Write all of the store that follows from its records: arrays as long as needed, axes, variables, metadata."""
    from hpss_batch.store.arrays import write_tracks

    write_arrays(planned, folder)
    write_tracks(folder.url, planned.shape, planned.catalog, _mark(planned.catalog), _attributes(planned))


def prepare(planned: Plan, folder: Folder) -> None:
    """Make a run directory ready for tasks: arrays as long as the layout, the job as run, nothing that a crash left."""
    write_derived(planned, folder)
    folder.replace("job.yaml", planned.job.to_yaml().encode())
    if planned.stems is not None:
        declare(folder, planned.job.stem_settings())
    if not is_url(folder.url):
        _sweep(Path(folder.url))


def _sweep(root: Path) -> None:
    """Remove half-written files that a crash left."""
    limit = time.time() - STALE_SECONDS
    stems = [Path(place) for top in (root / STEMS, root / "commits" / STEMS) for place, _, _ in os.walk(top)]
    for place in (root / "commits", root / "layout", *(root / "corpus.zarr").iterdir(), *stems):
        if place.is_dir():
            for entry in os.scandir(place):
                if PARTIAL in entry.name and entry.stat().st_mtime < limit:
                    Path(entry.path).unlink(missing_ok=True)


def refresh(planned: Plan, folder: Folder) -> Catalog:
    """Bring the variables on `track` up to date with the commits, those of another driver too."""
    from hpss_batch.store.arrays import write_tracks

    catalog = planned.catalog
    if planned.stems is not None:
        catalog = catalog.with_stems(read_stems(folder, planned.stems.recipe.key))
        if not catalog.has_units:
            write_tracks(folder.url, planned.shape, catalog, _mark(catalog), _attributes(planned))
    while missing := committed_units(folder) - set(catalog.commits):
        catalog = catalog.with_commits(read_commits(folder, missing).values())
        write_tracks(folder.url, planned.shape, catalog, _mark(catalog), _attributes(planned))
    return catalog
