"""What becomes of a run's tasks: are they committed, tried again, or given up?

Tasks that killed their workers are narrowed down, alone on the cluster, until the guilty track is known.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hpss_batch.cluster.submission import Call, Submissions, result_alone
from hpss_batch.cluster.workforce import Workforce
from hpss_batch.errors import ClusterError, UnreachableError
from hpss_batch.runner.plan import Plan
from hpss_batch.runner.share import Share
from hpss_batch.runner.work import Work
from hpss_batch.store.buckets.packs import PER_PACK
from hpss_batch.store.directory import Steps
from hpss_batch.text import listed

ATTEMPTS = 3
"""How often a task is tried that raised, as it does when a disk is full or a file system is away."""


class Reporter(Protocol):
    """What a run reports while it is running."""

    def placing(self, opened: int, total: int) -> None:
        """So many tracks of those that are new were opened."""

    def started(self, plan: Plan, work: Sequence[Work], dashboard: str | None) -> None:
        """The cluster is there, and perhaps a page to watch it."""

    def finished(self, work: Work, failed: int | None) -> None:
        """A task was committed, in which so many tracks failed, or (None) could not be done now."""

    def elsewhere(self, work: Sequence[Work]) -> None:
        """Tasks of this run were committed by other drivers."""

    def message(self, text: str) -> None:
        """Something that a person wants to know at once."""


class Silent:
    """A reporter that says nothing."""

    def placing(self, opened: int, total: int) -> None:
        """See `Reporter`."""

    def started(self, plan: Plan, work: Sequence[Work], dashboard: str | None) -> None:
        """See `Reporter`."""

    def finished(self, work: Work, failed: int | None) -> None:
        """See `Reporter`."""

    def elsewhere(self, work: Sequence[Work]) -> None:
        """See `Reporter`."""

    def message(self, text: str) -> None:
        """See `Reporter`."""


class Execution:
    """A plan's tasks on a cluster's workers; `pack` is called now and then, when a thousand records are new.

    Attributes
    ----------
    records : dict of str to dict
        The records that workers say they created, and the seconds that each step took, by name.
    elsewhere : int
        How many tasks other drivers did.
    broken : dict of str to str
        Tasks that could not be done, and why.
    """

    def __init__(
        self,
        workforce: Workforce,
        reporter: Reporter,
        stalled_after: int | None = None,
        pack: Callable[[], None] = lambda: None,
    ) -> None:
        self.workforce, self.reporter = workforce, reporter
        self.stalled_after, self.pack = stalled_after, pack
        self.attempts = Counter[str]()
        self.out_of_reach = defaultdict[str, set[str]](set)
        self.suspects = list[Work]()
        self.records = dict[str, Steps]()
        self.broken = dict[str, str]()
        self.elsewhere = 0

    def run(self, share: Share) -> None:
        """Do everything."""
        self.share = share
        self.submissions = Submissions(
            self.workforce,
            share,
            self._call,
            key=lambda task: task.key,
            elsewhere=lambda task: self.out_of_reach[task.name],
            limit=self._limit,
        )
        for task, future in self.submissions:
            self.attempts[task.name] += 1
            if self._settle(task, future):
                self.submissions.again(task)
        for task in self.suspects:
            self._clear(task)

    def _limit(self, task: Work) -> float | None:
        """Seconds after which a task is stalled. Tasks are done at a hundred times real time, more or less."""
        return None if self.stalled_after is None else self.stalled_after + task.seconds / 2

    def _call(self, task: Work) -> Call:
        """A try; the last one, after enough of them or where no other worker could do better, takes what it gets."""
        tried = self.out_of_reach[task.name]
        last = bool(tried) and not self.submissions.others(task)
        return task.call(last or self.attempts[task.name] + 1 >= ATTEMPTS)

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
            if isinstance(error, UnreachableError):
                self.out_of_reach[task.name].add(error.worker)
            if self.attempts[task.name] < ATTEMPTS:
                return True
            self._give_up(task, error)
        else:
            (self._pass if result.elsewhere else self._finish)(task, result)
        return False

    def _pass(self, task: Work, result: Any) -> None:
        """Take note of a task that another driver did, and of others that it did meanwhile."""
        self.records[task.record] = result.seconds
        found = [task, *self.share.meet()]
        self.elsewhere += len(found)
        self.reporter.elsewhere(found)

    def _finish(self, task: Work, result: Any) -> None:
        self.records[task.record] = result.seconds
        if len(self.records) % PER_PACK == 0:
            self.pack()
        self.reporter.finished(task, task.failed(result))

    def _give_up(self, task: Work, error: Exception) -> None:
        self.broken[task.name] = f"{type(error).__name__}: {error} (tracks {listed(task.tracks)})"
        self.reporter.finished(task, None)

    def _clear(self, task: Work) -> None:
        """Find out what it is in a task that kills workers, one call on the cluster at a time; do the rest of it."""
        result = task.clear(self.workforce, self.reporter.message, self._limit(task))
        if result is not None:
            self._finish(task, result)
            return
        try:
            self._finish(task, result_alone(self.workforce, *task.call(), self._limit(task)))
        except ClusterError:
            raise
        except Exception as error:
            self._give_up(task, error)
