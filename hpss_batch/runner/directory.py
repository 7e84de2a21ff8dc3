"""A run directory that a job finds: is it one, what is done in it, and does it belong to the job?"""

from typing import Any

from hpss_batch.config.job import Job, differences
from hpss_batch.errors import StoreError
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.records import FIRST, LAYOUT
from hpss_batch.store.stem_records import read_stems, settings_key
from hpss_batch.store.storage import Folder, is_url, open_folder


def read_catalog(job: Job, folder: Folder) -> Catalog | None:
    """A job's run directory, with the stems of the kind that the job wants; None where nothing is placed."""
    catalog = Catalog.read(folder)
    if catalog is None or job.output.stems is None:
        return catalog
    return catalog.with_stems(read_stems(folder, settings_key(job.stem_settings())))


def is_run_directory(path: str) -> bool:
    """Whether a corpus is a run directory, whose stored spectrograms are then read."""
    return is_url(path) or FIRST in open_folder(path).names(LAYOUT)


def check_same(job: Job, catalog: Catalog, numerics: dict[str, Any]) -> None:
    """Refuse a run directory whose numbers another job made."""
    theirs = catalog.settings["numerics"]
    found = differences(theirs, numerics)
    if found:
        raise StoreError(
            f"{job.output.path} was made by a job whose settings give other numbers (there, then here):\n"
            + "\n".join(f"  {line}" for line in found)
            + "\nUse those settings, or another output.path"
        )
