"""What is done, pending and failed in a run directory? Read from its records, with no array opened."""

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hpss_batch.config.job import Job
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.records import Status


@dataclass(frozen=True, repr=False)
class RunStatus:
    """The state of a run directory.

    Attributes
    ----------
    url : str
        The run directory.
    catalog : Catalog
        Its tracks, units, commits and stems.
    wants_stems : bool
        Whether the last job that was run there wanted stems.
    skipped : dict of str to str
        Files and folders of the corpus that the last run did not take for tracks, and why.
    """

    url: str
    catalog: Catalog
    wants_stems: bool = False
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        """How many tracks have each status."""
        return self.catalog.counts

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Audio of each status, in seconds."""
        rate, total = self.catalog.settings["sample_rate"], dict[str, float]()
        for state in self.catalog.states:
            total[state.status] = total.get(state.status, 0.0) + state.n_samples / rate
        return total

    @cached_property
    def reasons(self) -> dict[str, tuple[Status, str]]:
        """Status and reason of each track that failed, was quarantined or vanished, by id."""
        vanished: dict[str, tuple[Status, str]] = {
            track: (state.status, state.error)
            for track, state in zip(self.catalog.ids, self.catalog.states, strict=True)
            if state.status == "vanished"
        }
        return vanished | self.catalog.reasons

    @cached_property
    def stems(self) -> dict[str, int] | None:
        """How many tracks have stems, cannot have them, and wait for them; None where the last job wanted none."""
        if not self.wants_stems:
            return None
        states, records = self.catalog.states, self.catalog.stems
        wanted = [row for row, s in enumerate(states) if s.status not in ("superseded", "vanished")]
        done = sum(row in records and records[row].status == "done" for row in wanted)
        unreadable = sum(self.catalog.rows[row].error is not None for row in wanted)
        failed = unreadable + sum(row in records and records[row].status != "done" for row in wanted)
        return {"done": done, "failed": failed, "pending": len(wanted) - done - failed}

    @property
    def n_pending(self) -> int:
        """Tracks that are pending, and tracks whose stems are."""
        return self.counts["pending"] + (self.stems or {}).get("pending", 0)

    def __repr__(self) -> str:
        return f"<RunStatus {self.url}: {self.catalog.summary()}>"

    @property
    def exit_status(self) -> int:
        """0 all done, 1 some tracks failed or are pending, 2 none is done."""
        if not self.catalog.reasons and not self.catalog.stemless and not self.n_pending:
            return 0
        return 1 if self.counts["done"] else 2

    def figures(self) -> dict[str, Any]:
        """Everything, as values fit for JSON."""
        catalog = self.catalog
        pairs = zip(catalog.ids, catalog.states, strict=True)
        return {
            "path": self.url,
            "fingerprint": catalog.settings["fingerprint"],
            "sample_rate": catalog.settings["sample_rate"],
            "generations": len(catalog.generations),
            "units": {"done": len(catalog.commits), "pending": len(catalog.pending_units())},
            "stems": self.stems,
            "counts": dict(self.counts),
            "seconds": {status: round(value, 3) for status, value in self.seconds.items()},
            "skipped": self.skipped,
            "silent_in_mono": catalog.cancelled,
            "tracks": [
                {
                    "track": track,
                    "status": s.status,
                    "error": s.error,
                    "n_samples": s.n_samples,
                    "n_frames": s.n_frames,
                }
                for track, s in pairs
            ],
        }


def status(path: str | os.PathLike[str]) -> RunStatus:
    """The state of a run directory.

    Parameters
    ----------
    path : path or URL
        The run directory.

    Raises
    ------
    StoreError
        If there is none at `path`, or its records are damaged.

    Examples
    --------
    >>> status("out/").counts
    Counter({'done': 2})
    """
    directory = RunDirectory(path)
    catalog, job = directory.catalog(), Job.of_run(directory)
    if job is None:  # stopped before anything was submitted
        return RunStatus(directory.url, catalog)
    stems = directory.stem_records(job.stems_key)
    wants_stems = job.output.stems is not None
    return RunStatus(directory.url, catalog.with_stems(stems), wants_stems, directory.skipped())
