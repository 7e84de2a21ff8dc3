"""What in a run directory follows from its records, and is written again from them?

The arrays' shapes and attributes, coordinates, the variables on `track`, `job.yaml`; and what was skipped of the
corpus follows from that. Anyone may write them at any time.
"""

import json
import os
import time
from pathlib import Path

from hpss_batch.config.job import Job
from hpss_batch.errors import StoreError
from hpss_batch.runner.plan import Plan
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import GROUP, JOB, SKIPPED, STEMS
from hpss_batch.store.records import versions
from hpss_batch.store.storage import PARTIAL, is_url

STALE_SECONDS = 3600
"""Age from which a half-written file is what a crash left, and not another driver's work."""


def is_behind(planned: Plan) -> bool:
    """Whether an earlier run was stopped between placing tracks and writing down that they exist, or done."""
    from hpss_batch.store.arrays import refreshed

    if refreshed(planned.directory) != _mark(planned.catalog):
        return True
    try:
        written = Job.of_run(planned.directory)
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


def write_arrays(planned: Plan) -> None:
    """Make what is missing of the arrays, as long as the layout needs, and write the coordinates of their bins."""
    from hpss_batch.store.arrays import extend, write_coordinates

    group = planned.directory.group("a")
    extend(group, planned.shape, planned.catalog)
    write_coordinates(group, planned.coordinates)


def write_track_variables(planned: Plan, catalog: Catalog) -> None:
    """Write what a catalog says of tracks, and the metadata of all arrays."""
    from hpss_batch.store.arrays import write_tracks

    settings = catalog.settings
    attributes = {
        "fingerprint": settings["fingerprint"],
        "sample_rate": settings["sample_rate"],
        "job": planned.job.numerics(),
        "versions": versions(),
    }
    write_tracks(planned.directory, planned.shape, catalog, _mark(catalog), attributes)


def prepare(planned: Plan) -> None:
    """Make a run directory ready for tasks: arrays as long as the layout, the job as run, nothing that a crash left."""
    directory = planned.directory
    with directory.writing():
        write_arrays(planned)
        write_track_variables(planned, planned.catalog)
        directory.folder.replace(JOB, planned.job.absolute().to_yaml().encode())
        if planned.stems is not None:
            directory.declare_stems(planned.job.stem_settings())
        if not is_url(directory.url):
            _sweep(Path(directory.url))


def note_skipped(planned: Plan) -> None:
    """Write down what was skipped of the corpus, where that is not what was skipped the last time."""
    directory = planned.directory
    if planned.skipped != directory.skipped():
        with directory.writing():
            directory.folder.replace(SKIPPED, json.dumps(planned.skipped, indent=1).encode() + b"\n")


def _sweep(root: Path) -> None:
    """Remove half-written files that a crash left."""
    limit = time.time() - STALE_SECONDS
    stems = [Path(place) for top in (root / STEMS, root / "commits" / STEMS) for place, _, _ in os.walk(top)]
    for place in (root / "commits", root / "layout", *(root / GROUP).iterdir(), *stems):
        if place.is_dir():
            for entry in os.scandir(place):
                if PARTIAL in entry.name and entry.stat().st_mtime < limit:
                    Path(entry.path).unlink(missing_ok=True)


def refresh(planned: Plan) -> Catalog:
    """Bring the variables on `track` up to date with the commits, those of another driver too."""
    directory, catalog = planned.directory, planned.catalog
    with directory.writing():
        if planned.stems is not None:
            catalog = catalog.with_stems(directory.stem_records(planned.stems.recipe.key))
            if not catalog.has_units:
                write_track_variables(planned, catalog)
        while missing := directory.committed() - set(catalog.commits):
            catalog = catalog.with_commits(directory.commits(missing).values())
            write_track_variables(planned, catalog)
    return catalog
