"""How do calls go through a cluster? A few for each worker thread at a time, each given back when it is done.

What is queued costs the scheduler memory, and what is not queued yet costs nothing.
"""

import faulthandler
import os
import socket
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain, islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hpss_batch.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

Task = TypeVar("Task")
Call = tuple[Callable[..., Any], tuple[Any, ...]]

WINDOW = 3
"""Calls submitted for each worker thread: one under way, one waiting on the worker, one on the scheduler."""

PATIENCE_SECONDS = 120
"""How long a local cluster may be without a worker at work: one starts in two to ten seconds."""

LOOK_SECONDS = 5
"""How often a cluster is looked at from which nothing comes."""


class Submissions(Generic[Task]):
    """Tasks on their way through a cluster: iterating gives each with its future, in the order in which they are done.

    Parameters
    ----------
    client : Client
        The cluster.
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
        client: "Client",
        tasks: Iterable[Task],
        call: Callable[[Task], Call],
        key: Callable[[Task], str],
        elsewhere: Callable[[Task], Collection[str]] = lambda task: (),
        limit: Callable[[Task], float | None] = lambda task: None,
    ) -> None:
        self.client, self.call, self.key = client, call, key
        self.elsewhere, self.limit = elsewhere, limit
        self.tasks = iter(tasks)
        self.under_way = dict[Any, tuple[Task, Any]]()  # futures are held: Dask forgets what nobody holds
        self.arrivals, self.submitted = Arrivals(client), 0
        self.token = uuid.uuid4().hex  # keys that the scheduler may remember never come twice
        self.threads, self.asked = 0, 0.0

    def again(self, task: Task) -> None:
        """Submit a task once more, after all others."""
        self.tasks = chain(self.tasks, [task])

    def __iter__(self) -> Iterator[tuple[Task, Any]]:
        while True:
            for task in islice(self.tasks, max(self._room() - len(self.under_way), 0)):
                self._submit(task)
            if not self.under_way:
                return
            future = next(self.arrivals)
            if future is not None:
                yield self.under_way.pop(future.key)

    def _room(self) -> int:
        """How many may be under way: a few a thread, asked for now and then as workers come and go."""
        if time.monotonic() - self.asked > 2:
            self.threads, self.asked = sum(self.client.nthreads().values()), time.monotonic()
        return WINDOW * max(self.threads, 1)

    def others(self, task: Task) -> list[str]:
        """Addresses of the workers that a task may go to."""
        return [address for address in self.client.nthreads() if address not in self.elsewhere(task)]

    def _submit(self, task: Task) -> None:
        function, arguments = self.call(task)
        self.submitted += 1
        key = f"{self.key(task)}-{self.submitted}-{self.token}"
        others = self.others(task) if self.elsewhere(task) else []
        # preferred, and no more: these may be gone before the task is done
        where: dict[str, Any] = {"workers": others, "allow_other_workers": True} if others else {}
        limit = self.limit(task)
        if limit is not None:
            function, arguments = watched, (limit, process_id(), function, *arguments)
        future = self.client.submit(function, *arguments, key=key, pure=False, **where)
        self.under_way[future.key] = (task, future)
        self.arrivals.expect(future)


def result_alone(
    client: "Client",
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    limit: float | None = None,
) -> Any:
    """What a call gives with nothing else on the cluster."""
    name = getattr(function, "__name__", "call")
    ((_, future),) = Submissions(client, [name], lambda _: (function, arguments), str, limit=lambda _: limit)
    return future.result()


def process_id() -> tuple[str, int]:
    """Which process this is, among all machines."""
    return socket.gethostname(), os.getpid()


def watched(limit: float, driver: tuple[str, int], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; if it takes longer than so many seconds, end this process, as a crash would.

    What hangs in a decoder or on a dead disk cannot be interrupted. The scheduler sees a worker die, which its nanny
    starts again, and the run finds out which track it is. A worker within the driver's process is left alone, and so
    is one of several threads, whose other tasks would go with it.
    """
    from distributed import get_worker

    if process_id() == driver or get_worker().state.nthreads > 1:
        return function(*arguments)
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(limit, exit=True, file=nowhere)
        try:
            return function(*arguments)
        finally:
            faulthandler.cancel_dump_traceback_later()


class Arrivals:
    """A cluster's futures as they are done; a wait for what nobody works on ends with an error, and not never.

    Workers of a queueing system may take hours to come; those of this machine are back in seconds, or never.
    """

    def __init__(self, client: "Client") -> None:
        self.client, self.seen = client, time.monotonic()
        self.done: SimpleQueue[Any] = SimpleQueue()

    def expect(self, future: Any) -> None:
        """Give this future out when it is done."""
        future.add_done_callback(self.done.put)

    def __next__(self) -> Any | None:
        """A future that is done; None now and then, so that the caller can see whether workers came.

        Raises
        ------
        ClusterError
            If the scheduler is gone, or the workers of a local cluster are, or all of them only wait for memory.
        """
        try:
            future = self.done.get(timeout=LOOK_SECONDS)
        except Empty:
            self._look()
            return None
        self.seen = time.monotonic()
        return future

    def _look(self) -> None:
        from distributed import LocalCluster

        if self.client.status not in ("running", "connecting"):
            raise ClusterError("the Dask scheduler is gone; what is committed is safe: run again")
        cluster = self.client.cluster
        if not isinstance(cluster, LocalCluster) or _is_at_work(cluster):
            self.seen = time.monotonic()
        elif time.monotonic() - self.seen > PATIENCE_SECONDS:
            what = "no worker has been alive"
            if _workers(cluster):
                what = (
                    "all workers have been paused by Dask, which finds them too large for their memory_limit,"
                )
            raise ClusterError(
                f"{what} for {PATIENCE_SECONDS} s; what is committed is safe. Look at the memory of this machine, "
                "start fewer workers (cluster.kwargs.n_workers), give them more (cluster.kwargs.memory_limit), and run "
                "again"
            )


def _is_at_work(cluster: Any) -> bool:
    """Whether any worker takes tasks, or is at one."""
    return any(worker.status.name == "running" or worker.executing for worker in _workers(cluster))


def _workers(cluster: Any) -> list[Any]:
    """The workers of a cluster whose scheduler is in this process."""
    return list(cluster.scheduler.workers.values())
