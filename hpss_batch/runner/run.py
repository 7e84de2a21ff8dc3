"""How does a plan become a finished run? Place what is new, submit tasks in a window, gather what they commit.

0. In a bucket, try whether what is there is kept there: all that follows relies on it.
1. Start the cluster, if there is something to do: where none can be had, nothing is written.
2. Create the generations that the plan found new. Who loses that race plans again, on top of the winner's.
3. Make the store as long as its layout.
4. Execute pending tasks: units, and tracks' stems. Workers commit; the driver only counts. Several drivers share the
   tasks (`share`).
5. Bring the variables on `track` up to date.

Killing the driver or a worker at any moment loses the tasks under way and nothing else: what is in `commits/` is
done, and the next run, or another driver that is at it, does the rest.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from hpss_batch.cluster.admission import Question, needed
from hpss_batch.cluster.client import dashboard, open_client
from hpss_batch.cluster.workforce import Workforce
from hpss_batch.config.job import Job
from hpss_batch.errors import ClusterError, HpssBatchError
from hpss_batch.files import opened
from hpss_batch.paths import check_place, is_url
from hpss_batch.runner.derived import is_behind, note_skipped, place, prepare, refresh
from hpss_batch.runner.execution import Execution, Reporter, Silent
from hpss_batch.runner.plan import Plan, plan_work
from hpss_batch.runner.share import Share
from hpss_batch.runner.status import RunStatus
from hpss_batch.runner.work import all_work
from hpss_batch.store.buckets.folder import ObjectFolder
from hpss_batch.store.buckets.trial import check_create_only
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.presence import at_work, running
from hpss_batch.store.storage import open_folder
from hpss_batch.text import file_name

SAMPLE = 10
"""Of how many units and stems tracks are looked at for one that can be read."""


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
    elsewhere : int
        How many of the tasks that were planned other drivers did meanwhile.
    """

    plan: Plan
    catalog: Catalog
    broken: dict[str, str] = field(default_factory=dict)
    elsewhere: int = 0

    def __repr__(self) -> str:
        words = self.catalog.summary() + (f", {len(self.broken)} tasks not done" if self.broken else "")
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
        """0 all done, 1 some tracks failed or are pending, 2 nothing could be done."""
        found = self.status.exit_status
        return max(found, 1 if self.catalog.counts["done"] else 2) if self.broken else found

    @property
    def status(self) -> RunStatus:
        """The state of the run directory when the run ended."""
        job = self.plan.job
        return RunStatus(job.output.path, self.catalog, job.output.stems is not None)


def run(
    job: Job,
    *,
    retry_failed: bool = False,
    reporter: Reporter | None = None,
    allow_cluster_class: bool = False,
) -> Result:
    """Do what is not done yet of a job. Others may do so at the same time, with the same job, and share the work.

    Parameters
    ----------
    job : Job
        The job.
    retry_failed : bool
        Try failed and quarantined tracks again, too.
    reporter : Reporter, optional
        Reports what happens.
    allow_cluster_class : bool
        Take `cluster.class` from any package, which importing it may run code of. Without, from those that are known
        for Dask clusters.

    Returns
    -------
    Result

    Raises
    ------
    HpssBatchError
        If nothing can be done: there is no corpus, another job's store, no cluster.
    """
    reporter = reporter or Silent()
    check_place(job.output.path)
    if isinstance(folder := open_folder(job.output.path), ObjectFolder):
        check_create_only(folder)
    planned = plan_work(job, retry_failed, reporter.placing)
    while True:
        # before anything is written, so that a cluster that cannot be had leaves no trace
        opened = nullcontext() if planned.is_done else _workforce(planned, reporter, allow_cluster_class)
        with opened as workforce:
            while not place(planned):
                planned = plan_work(job, retry_failed, reporter.placing)
            if workforce is None and not planned.is_done:
                continue
            if planned.new or is_behind(planned):
                prepare(planned)
            note_skipped(planned)
            if workforce is None:
                return Result(planned, planned.catalog)
            execution = _execute(planned, workforce, reporter)
        catalog = refresh(planned, execution.records)
        return Result(planned, catalog, execution.broken, execution.elsewhere)


def _execute(planned: Plan, workforce: Workforce, reporter: Reporter) -> Execution:
    """Do a plan's tasks, but for those that other drivers do."""
    directory, key, work = planned.directory, planned.job.stems_key, all_work(planned)
    share = Share(work, partial(directory.record_names, key), alone=not running(directory.folder))
    reporter.started(planned, work, dashboard(workforce.client))
    pack = partial(directory.pack, key)
    execution = Execution(workforce, reporter, planned.job.cluster.stalled_after, pack)
    try:
        execution.run(share)
    finally:
        directory.note_timings(execution.records)
    pack()
    return execution


@contextmanager
def _workforce(planned: Plan, reporter: Reporter, allow_cluster_class: bool) -> Iterator[Workforce]:
    """The workers for a plan: the first are asked for, and each will be asked whether it sees what it needs."""
    job, directory = planned.job, planned.directory
    opened = open_client(job.cluster, job.dask, allow_cluster_class, planned.task_bytes, directory.logs)
    with directory.untouched_by(ClusterError), opened as client:
        workforce = Workforce(client, job.cluster, reporter.message)
        workforce.begin(planned.n_tasks)
        with at_work(directory.folder) as token:
            workforce.gate.question = Question(
                f"hpss_batch-{uuid.uuid4().hex}", needed(), directory.url, token, _recording(planned)
            )
            yield workforce


def _recording(planned: Plan) -> str | None:
    """A file that can be read here, and that workers have to read: of audio, or of the run directory before."""
    if planned.recipe.source is not None:
        paths = [os.path.join(planned.recipe.source, "job.yaml")]
    else:
        tracks = [piece.track for unit in planned.pending[:SAMPLE] for piece in unit.pieces]
        tracks += [task.track for task in planned.stems.tasks[:SAMPLE]] if planned.stems else []
        paths = [track.path for track in tracks]
    return next(filter(_can_be_read, paths), None)


def _can_be_read(path: str) -> bool:
    """Whether a file, or an object, can be read from here."""
    if not is_url(path):
        return os.access(file_name(path), os.R_OK)
    try:
        with opened(file_name(path)) as file:
            file.read(0, 1)
    except (OSError, HpssBatchError):
        return False
    return True
