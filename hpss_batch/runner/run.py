"""How does a plan become a finished run? Place what is new, submit tasks in a window, gather what they commit.

1. Create the generations that the plan found new. Who loses that race plans again, on top of the winner's.
2. Make the store as long as its layout.
3. Execute pending tasks: units, and tracks' stems. Workers commit; the driver only counts.
4. Bring the variables on `track` up to date.

Killing the driver or a worker at any moment loses the tasks under way and nothing else: what is in `commits/` is
done, and the next run does the rest.
"""

from dataclasses import dataclass, field

from hpss_batch.config.job import Job
from hpss_batch.runner.cluster import dashboard, open_client
from hpss_batch.runner.derived import is_behind, note_skipped, prepare, refresh
from hpss_batch.runner.execution import Execution, Reporter, Silent
from hpss_batch.runner.plan import Plan, plan
from hpss_batch.runner.status import RunStatus
from hpss_batch.runner.survey import Progress
from hpss_batch.runner.work import all_work
from hpss_batch.store.catalog import Catalog


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


def run(job: Job, *, retry_failed: bool = False, reporter: Reporter | None = None) -> Result:
    """Do what is not done yet of a job.

    Parameters
    ----------
    job : Job
        The job.
    retry_failed : bool
        Try failed and quarantined tracks again, too.
    reporter : Reporter, optional
        Reports what happens.

    Returns
    -------
    Result

    Raises
    ------
    HpssBatchError
        If nothing can be done: there is no corpus, another job's store, no cluster.
    """
    reporter = reporter or Silent()
    planned = _place(job, retry_failed, reporter.placing)
    if planned.new or is_behind(planned):
        prepare(planned)
    note_skipped(planned)
    if planned.is_done:
        return Result(planned, planned.catalog)
    with open_client(planned.job.cluster, planned.job.dask) as client:
        work = all_work(planned)
        reporter.started(planned, work, dashboard(client))
        execution = Execution(client, reporter, planned.job.cluster.stalled_after)
        execution.run(work)
    return Result(planned, refresh(planned, execution.records), execution.broken)


def _place(job: Job, retry_failed: bool, progress: Progress) -> Plan:
    """Plan, and create the plan's generations; whoever is not first plans again."""
    while True:
        planned = plan(job, retry_failed=retry_failed, progress=progress)
        with planned.directory.writing():
            if all(planned.directory.place(generation) for generation in planned.new):
                return planned
