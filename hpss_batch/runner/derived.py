"""What in a run directory follows from its records, and is written again from them?

The arrays' shapes and attributes, coordinates, the variables on `track`, `job.yaml`; and what was skipped of the
corpus follows from that. Anyone may write them at any time.
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from hpss_batch.config.job import Job
from hpss_batch.errors import StoreError
from hpss_batch.paths import is_url
from hpss_batch.runner.plan import Plan
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import GROUP, JOB, SKIPPED, STEMS, RunDirectory
from hpss_batch.store.presence import running
from hpss_batch.store.stem_records import PLACE, StemRecord
from hpss_batch.store.storage import PARTIAL

STALE_SECONDS = 3600
"""Age from which a half-written file is what a crash left, and not another driver's work."""


def is_behind(planned: Plan) -> bool:
    """Whether an earlier run was stopped between placing tracks and writing down that they exist, or done."""
    from hpss_batch.store.arrays.axes import lacking
    from hpss_batch.store.arrays.group import is_current

    directory, catalog = planned.directory, planned.catalog
    if not is_current(directory, catalog):
        return True
    # earlier versions wrote coordinates with each unit
    if planned.pending and lacking(directory, directory.group(), catalog):
        return True
    try:
        written = Job.of_run(planned.directory)
    except StoreError:  # damaged; what it said is known again now
        return True
    if written is None or written.fingerprint() != planned.job.fingerprint():
        return True
    # other stems than last time: statuses are about those that were wanted last
    return written.output.stems != planned.job.output.stems


def place(planned: Plan) -> bool:
    """Create a plan's generations; False if another driver was first, on whose to plan again."""
    with planned.directory.writing():
        if planned.replaced is not None and not planned.directory.clear(planned.replaced):
            return False
        return all(planned.directory.place(generation) for generation in planned.new)


def prepare(planned: Plan) -> None:
    """Make a run directory ready for tasks: arrays as long as the layout, the job as run, nothing that a crash left."""
    from hpss_batch.store.arrays.axes import lacking, write_axes
    from hpss_batch.store.arrays.group import write_arrays, write_tracks

    directory = planned.directory
    with directory.writing():
        group = directory.group("a")
        write_arrays(group, planned.shape, planned.catalog, planned.coordinates)
        write_axes(directory, planned.catalog, lacking(directory, group, planned.catalog))
        write_tracks(directory.folder, group, planned.shape, planned.catalog)
        directory.folder.replace(JOB, planned.job.absolute().to_yaml().encode())
        if planned.stems is not None:
            directory.declare_stems(planned.job.stem_settings())
        if not is_url(directory.url) and not running(directory.folder):
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
                if entry.name.endswith(PARTIAL) and entry.stat().st_mtime < limit:
                    Path(entry.path).unlink(missing_ok=True)


def refresh(planned: Plan, records: Iterable[str] = ()) -> Catalog:
    """Bring the variables on `track` up to date with the commits, those of another driver too.

    Parameters
    ----------
    planned : Plan
        What was run.
    records : iterable of str
        Names of records that workers say they created. Listings of a shared file system may be behind: these are
        read by name.
    """
    from hpss_batch.store.arrays.group import write_tracks

    directory, catalog, stems = planned.directory, planned.catalog, dict[int, StemRecord]()
    with directory.writing():
        key, group = planned.job.stems_key, directory.group("r+")
        late = set(records) - directory.record_names(key)
        directory.wait_for(late)
        late_stems = {name for name in late if name.startswith(PLACE)}
        late_units = {int(Path(name).stem) for name in late - late_stems}
        units, names = _recorded(directory, key)
        while True:
            if key is not None:
                found = map(directory.stem_record, late_stems - names)
                stems = directory.stem_records(key) | {record.row: record for record in found}
            wanted = (units | late_units) - catalog.commits.keys()
            catalog = catalog.with_records(directory.commits(wanted), stems)
            write_tracks(directory.folder, group, planned.shape, catalog)
            # others may write the same with less in it, and look again after that as well: who is last has it all
            known, (units, names) = (units | late_units, names | late_stems), _recorded(directory, key)
            if units <= known[0] and names <= known[1]:
                return catalog


def _recorded(directory: RunDirectory, key: str | None) -> tuple[set[int], set[str]]:
    """Units that are committed, and names of the last record of each row of the stems of a key."""
    return directory.committed(), set(directory.stem_record_names(key).values()) if key is not None else set()
