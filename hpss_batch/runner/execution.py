"""What becomes of a run's tasks: are they committed, tried again, or given up?

Tasks that killed their workers are narrowed down, alone on the cluster, until the guilty track is known.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hpss_batch.errors import ClusterError
from hpss_batch.runner.plan import Plan
from hpss_batch.runner.submission import Submissions, result_alone
from hpss_batch.runner.work import Work

if TYPE_CHECKING:
    from distributed import Client

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

    def message(self, text: str) -> None:
        """See `Reporter`."""


class Execution:
    """A plan's tasks on a cluster.

    Attributes
    ----------
    broken : dict of str to str
        Tasks that could not be done, and why.
    """

    def __init__(self, client: "Client", reporter: Reporter) -> None:
        self.client, self.reporter = client, reporter
        self.attempts = Counter[str]()
        self.suspects = list[Work]()
        self.broken = dict[str, str]()

    def run(self, work: Iterable[Work]) -> None:
        """Do everything."""
        submissions = Submissions(self.client, work, lambda task: task.call(), lambda task: task.key)
        for task, future in submissions:
            self.attempts[task.name] += 1
            if self._settle(task, future):
                submissions.again(task)
        for task in self.suspects:
            self._clear(task)

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
        try:
            self.reporter.finished(task, task.failed(result_alone(self.client, *task.call())))
        except ClusterError:
            raise
        except Exception as error:
            self._give_up(task, error)
