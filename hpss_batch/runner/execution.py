"""How are tasks done on a cluster: a few for each worker at a time, until all are committed or given up?

What is queued costs the scheduler memory, and what is not queued yet costs nothing. Tasks that killed their workers are
narrowed down, alone on the cluster, until the guilty track is known.
"""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hpss_batch.errors import ClusterError
from hpss_batch.runner.cluster import Arrivals
from hpss_batch.runner.plan import Plan
from hpss_batch.runner.work import Work

if TYPE_CHECKING:
    from distributed import Client

WINDOW = 3
"""Tasks submitted for each worker thread: one under way, one waiting on the worker, one on the scheduler."""

ATTEMPTS = 3
"""How often a task is tried that raised, as it does when a disk is full or a file system is away."""


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


class Execution:
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
