"""How do calls go through a cluster? A few for each worker thread at a time, each given back when it is done.

What is queued costs the scheduler memory, and what is not queued yet costs nothing.
"""

import faulthandler
import os
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from itertools import chain, islice
from operator import length_hint
from typing import Any, Generic, TypeVar

from hpss_batch.cluster.fetch import fetched
from hpss_batch.cluster.workforce import Workforce
from hpss_batch.store.presence import process_name

Task = TypeVar("Task")
Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Submissions(Generic[Task]):
    """Tasks on their way through a cluster: iterating gives each with its result, in the order in which they are done.

    Parameters
    ----------
    workforce : Workforce
        Who does them.
    tasks : iterable
        They are taken from it as there is room.
    call : callable
        A task's function and its arguments, asked for when it is submitted.
    key : callable
        A task's name for Dask, whose scheduler remembers every word before the first number for good.
    elsewhere : callable, optional
        Addresses of workers that a task is not to go to.
    limit : callable, optional
        Seconds after which a task is stalled; see `watched`.
    """

    def __init__(
        self,
        workforce: Workforce,
        tasks: Iterable[Task],
        call: Callable[[Task], Call],
        key: Callable[[Task], str],
        elsewhere: Callable[[Task], Collection[str]] = lambda task: (),
        limit: Callable[[Task], float | None] = lambda task: None,
    ) -> None:
        self.workforce, self.call, self.key = workforce, call, key
        self.elsewhere, self.limit = elsewhere, limit
        self.tasks, self.returned = iter(tasks), deque[Task]()
        self.under_way = dict[Any, tuple[Task, Any]]()  # futures are held: Dask forgets what nobody holds
        self.submitted = 0
        self.token = uuid.uuid4().hex  # keys that the scheduler may remember never come twice

    def again(self, task: Task) -> None:
        """Submit a task once more, after all others."""
        self.returned.append(task)

    def __iter__(self) -> Iterator[tuple[Task, "Future[Any]"]]:
        self.workforce.look(self._left)
        while True:
            room = max(self.workforce.room - len(self.under_way), 0)
            for task in islice(chain(self.tasks, self._again()), room):
                self._submit(task)
            if not self.under_way:
                return
            future = self.workforce.next(self._left)
            if future is None:
                continue
            result = fetched(future)
            if result is None:
                self.workforce.expect(future)
            else:
                yield self.under_way.pop(future.key)[0], result

    def _again(self) -> Iterator[Task]:
        while self.returned:
            yield self.returned.popleft()

    @property
    def _left(self) -> int:
        """Tasks that are not done, as far as is known."""
        return len(self.under_way) + len(self.returned) + length_hint(self.tasks)

    def others(self, task: Task) -> list[str]:
        """Addresses of the workers that a task may go to."""
        return [address for address in self.workforce.gate.threads if address not in self.elsewhere(task)]

    def _submit(self, task: Task) -> None:
        function, arguments = self.call(task)
        self.submitted += 1
        key = f"{self.key(task)}-{self.submitted}-{self.token}"
        others = self.others(task) if self.elsewhere(task) else []
        # preferred, and no more: these may be gone before the task is done
        where: dict[str, Any] = {"workers": others, "allow_other_workers": True} if others else {}
        limit = self.limit(task)
        if limit is not None:
            function, arguments = watched, (limit, process_name(), function, *arguments)
        where["resources"] = self.workforce.resources
        future = self.workforce.client.submit(function, *arguments, key=key, pure=False, **where)
        self.under_way[future.key] = (task, future)
        self.workforce.expect(future)


def result_alone(
    workforce: Workforce,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    limit: float | None = None,
) -> Any:
    """What a call gives with nothing else on the cluster."""
    name = getattr(function, "__name__", "call")
    ((_, future),) = Submissions(
        workforce, [name], lambda _: (function, arguments), str, limit=lambda _: limit
    )
    return future.result()


def watched(limit: float, driver: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; if it takes longer than so many seconds, end this process, as a crash would.

    What hangs in a decoder or on a dead disk cannot be interrupted. The scheduler sees a worker die, which its nanny
    starts again, and the run finds out which track it is. A worker within the driver's process is left alone, and so
    is one of several threads, whose other tasks would go with it.
    """
    from distributed import get_worker

    if process_name() == driver or get_worker().state.nthreads > 1:
        return function(*arguments)
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(limit, exit=True, file=nowhere)
        try:
            return function(*arguments)
        finally:
            faulthandler.cancel_dump_traceback_later()
