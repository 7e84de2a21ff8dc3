"""How does a plan become a finished run? Place what is new, submit tasks in a window, gather what they commit.

1. Create the generations that the plan found new. Who loses that race plans again, on top of the winner's.
2. Make the store as long as its layout.
3. Submit pending tasks (units, and tracks' stems), a few for each worker thread at a time: what is queued costs the
   scheduler memory, and what is not queued yet costs nothing. Workers commit; the driver only counts.
4. Tasks that killed their workers are narrowed down, alone on the cluster, until the guilty track is known.
5. Bring the variables on `track` up to date.

Killing the driver or a worker at any moment loses the tasks under way and nothing else: what is in `commits/` is
done, and the next run does the rest.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hpss_batch.config.job import Job
from hpss_batch.errors import ClusterError, StoreError
from hpss_batch.job.cluster import Arrivals, open_client
from hpss_batch.job.plan import Plan, plan
from hpss_batch.job.survey import Progress
from hpss_batch.job.work import Work, all_work
from hpss_batch.stems.writer import STEMS
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.records import LAYOUT, committed_units, create_generation, read_commits, versions
from hpss_batch.store.stem_records import declare, read_stems
from hpss_batch.store.storage import PARTIAL, Folder, is_url, open_folder

if TYPE_CHECKING:
    from distributed import Client

WINDOW = 3
"""Tasks submitted for each worker thread: one under way, one waiting on the worker, one on the scheduler."""

ATTEMPTS = 3
"""How often a task is tried that raised, as it does when a disk is full or a file system is away."""

STALE_SECONDS = 3600
"""Age from which a half-written file is what a crash left, and not another driver's work."""


class Reporter(Protocol):
    """What a run tells while it is running."""

    def placing(self, opened: int, total: int) -> None:
        """So many tracks of those that are new were opened."""

    def started(self, plan: Plan, work: Sequence[Work], dashboard: str) -> None:
        """The cluster is there."""

    def finished(self, work: Work, failed: int | None) -> None:
        """A task was committed, in which so many tracks failed, or (None) could not be done now."""

    def message(self, text: str) -> None:
        """Something that a person wants to know at once."""


class Silent:
    """A reporter that says nothing."""

    def placing(self, opened: int, total: int) -> None:
        """See `Reporter`."""

    def started(self, plan: Plan, work: Sequence[Work], dashboard: str) -> None:
        """See `Reporter`."""

    def finished(self, work: Work, failed: int | None) -> None:
        """See `Reporter`."""

    def message(self, text: str) -> None:
        """See `Reporter`."""


@dataclass(frozen=True, repr=False)
class Result:
    """How a run ended.

    Attributes
    ----------
    plan : Plan
        What was planned.
    catalog : Catalog
        What is done now.
    broken : dict of str to str
        Tasks that could not be done ("unit 3", "stems of a/song.flac"), and why; the next run tries them again.
    """

    plan: Plan
    catalog: Catalog
    broken: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        words = self.catalog.told() + (f", {len(self.broken)} tasks not done" if self.broken else "")
        return f"<Result {self.plan.job.output.path}: {words}>"

    @property
    def failed(self) -> dict[str, str]:
        """Tracks that are not done, or have no stems, for a reason of their own, and the reason."""
        reasons = {track: reason for track, (_, reason) in self.catalog.reasons.items()}
        return reasons | {track: f"no stems: {reason}" for track, reason in self.catalog.stemless.items()}

    @property
    def clipped(self) -> dict[str, str]:
        """Tracks whose stems have samples beyond full scale, and how many."""
        found = ((self.catalog.ids[row], record.clipping) for row, record in self.catalog.stems.items())
        return {track: clipping for track, clipping in found if clipping}

    @property
    def exit_status(self) -> int:
        """0 all done, 1 some tracks failed or tasks are left, 2 nothing could be done."""
        if not self.failed and not self.broken:
            return 0
        return 1 if self.catalog.counts["done"] else 2


def run(job: Job, *, retry_failed: bool = False, reporter: Reporter | None = None) -> Result:
    """Do what is not done yet of a job.

    Parameters
    ----------
    job : Job
        The job.
    retry_failed : bool
        Try failed and quarantined tracks again, too.
    reporter : Reporter, optional
        Told what happens.

    Returns
    -------
    Result

    Raises
    ------
    HpssBatchError
        If nothing can be done: there is no corpus, another job's store, no cluster.
    """
    reporter = reporter or Silent()
    folder = open_folder(job.output.path)
    planned = _place(job, folder, retry_failed, reporter.placing)
    if planned.new or _is_behind(planned, folder):
        with _writing(folder):
            _prepare(planned, folder)
    if planned.is_done:
        return Result(planned, planned.catalog)
    with open_client(planned.job.cluster, planned.job.dask) as client:
        work = all_work(planned)
        reporter.started(planned, work, client.dashboard_link)
        execution = _Execution(client, reporter)
        execution.run(work)
    with _writing(folder):
        return Result(planned, _refresh(planned, folder), execution.broken)


@contextmanager
def _writing(folder: Folder) -> Iterator[None]:
    """Say in words what keeps records, metadata and variables on `track` from being written: a full disk, mostly."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{folder.url} cannot be written: {error.strerror or error}. Make room or give rights, then run again: "
            "what is committed is safe"
        ) from error


def _place(job: Job, folder: Folder, retry_failed: bool, progress: Progress) -> Plan:
    """Plan, and create the plan's generations; whoever is not first plans again."""
    while True:
        planned = plan(job, retry_failed=retry_failed, progress=progress)
        with _writing(folder):
            lost = [generation for generation in planned.new if not create_generation(folder, generation)]
        if not lost:
            return planned
        if lost[0].name.rpartition("/")[2] not in folder.names(LAYOUT):
            raise StoreError(
                f"{folder.url}/{lost[0].name} is neither there nor can it be made: something else has this name. "
                "Remove it, and run again"
            )


def _is_behind(planned: Plan, folder: Folder) -> bool:
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


def _prepare(planned: Plan, folder: Folder) -> None:
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


def _refresh(planned: Plan, folder: Folder) -> Catalog:
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


class _Execution:
    """A plan's tasks on their way through a cluster."""

    def __init__(self, client: "Client", reporter: Reporter) -> None:
        self.client, self.reporter = client, reporter
        self.arrivals = Arrivals(client)
        self.under_way = dict[Any, tuple[Work, Any]]()
        self.attempts = dict[str, int]()
        self.suspects = list[Work]()
        self.broken = dict[str, str]()
        self.threads, self.asked = 0, 0.0

    def run(self, work: Iterable[Work]) -> None:
        """Do everything."""
        waiting = deque(work)
        while waiting or self.under_way:
            while waiting and len(self.under_way) < self._room():
                self._submit(waiting.popleft())
            future = next(self.arrivals)
            if future is not None:
                task = self.under_way.pop(future.key)[0]
                if self._settle(task, future):
                    waiting.append(task)
        for task in self.suspects:
            self._clear(task)

    def _room(self) -> int:
        """Tasks that may be under way: a few a thread, asked for now and then as workers come and go."""
        if time.monotonic() - self.asked > 2:
            self.threads, self.asked = sum(self.client.nthreads().values()), time.monotonic()
        return WINDOW * max(self.threads, 1)

    def _submit(self, task: Work) -> None:
        attempt = self.attempts[task.name] = self.attempts.get(task.name, 0) + 1
        function, arguments = task.call()
        key = f"{task.key}-{attempt}-{id(self)}"
        future = self.client.submit(function, *arguments, key=key, pure=False)
        self.under_way[future.key] = (task, future)
        self.arrivals.expect(future)

    def _settle(self, task: Work, future: Any) -> bool:
        """Take note of what became of a task; whether it is to be tried again."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            result = future.result()
        except KilledWorker:
            self.suspects.append(task)
        except FutureCancelledError as error:
            raise ClusterError("the Dask scheduler dropped the run's tasks; run again to go on") from error
        except Exception as error:
            if self.attempts[task.name] < ATTEMPTS:
                return True
            self._give_up(task, error)
        else:
            self.reporter.finished(task, task.failed(result))
        return False

    def _give_up(self, task: Work, error: Exception) -> None:
        names = task.tracks
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        self.broken[task.name] = f"{type(error).__name__}: {error} (tracks {shown})"
        self.reporter.finished(task, None)

    def _clear(self, task: Work) -> None:
        """Find out what it is in a task that kills workers, one call on the cluster at a time; do the rest of it."""
        result = task.clear(self.client, self.reporter.message)
        if result is not None:
            self.reporter.finished(task, task.failed(result))
            return
        self._submit(task)
        while self.under_way:
            future = next(self.arrivals)
            if future is None:
                continue
            self.under_way.pop(future.key)
            try:
                self.reporter.finished(task, task.failed(future.result()))
            except Exception as error:
                self._give_up(task, error)
