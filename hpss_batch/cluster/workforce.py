"""Which workers does a run have? They come and go; who comes is asked first, who ends is asked for again.

A run never waits in silence: after the first minute in which there is no worker, or nothing is done, it says what is
known, and where that lasts too long it ends with it.
"""

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from hpss_batch.cluster.admission import Gate
from hpss_batch.cluster.jobs import FAILURES, Jobs, asked_for
from hpss_batch.config.sections import Cluster
from hpss_batch.errors import ClusterError
from hpss_batch.text import counted, duration

if TYPE_CHECKING:
    from distributed import Client

WINDOW = 2
"""Calls submitted for each worker thread: one under way, and one that waits on the worker."""

LOOK_SECONDS = 1
"""How often workers are looked after."""

SILENCE_SECONDS = 60
"""How long a run waits before it says for what; it says so again after twice, four, eight times as long."""

PATIENCE_SECONDS = 120
"""How long a local cluster may be without a worker at work: one starts in two to ten seconds."""

GRACE_SECONDS = 10
"""How long a run whose workers were all left out waits for others."""

SAFE = "What is committed is safe: the same command goes on from there"


class Workforce:
    """The workers of a client's cluster.

    Parameters
    ----------
    client : Client
        The cluster.
    asked : Cluster, optional
        The job's `cluster:` block, where its workers are to be kept up.
    say : callable, optional
        Tells a person.

    Attributes
    ----------
    gate : Gate
        Which of those that are there get tasks.
    jobs : Jobs or None
        Which jobs bring them, where these are kept up.
    looked, heard, staffed : float
        When it was last looked; when a task was last done; when there was last a worker.
    """

    def __init__(
        self, client: "Client", asked: Cluster | None = None, say: Callable[[str], None] = lambda text: None
    ) -> None:
        self.client, self.asked, self.say = client, asked or Cluster(), say
        wanted = asked_for(client.cluster, self.asked)
        self.jobs = Jobs(client, *wanted) if wanted else None
        self.gate = Gate(client, say)
        self.news: SimpleQueue[Any] = SimpleQueue()
        self.looked = self.heard = self.staffed = time.monotonic()
        self.next_words: float = SILENCE_SECONDS

    def begin(self, n_tasks: int) -> None:
        """Ask for the first jobs, for so many tasks.

        Raises
        ------
        ClusterError
            If none can be had.
        """
        if self.jobs is None:
            return
        self.jobs.keep_up(n_tasks)
        if self.jobs.trouble and not self.jobs.cluster.workers:
            raise ClusterError(f"{self.asked.class_name} starts no job: {self.jobs.trouble}")

    @property
    def resources(self) -> dict[str, int] | None:
        """What a task needs, so that it goes to no worker that was not asked."""
        return None if self.gate.question is None else {self.gate.question.resource: 1}

    @property
    def room(self) -> int:
        """How many calls may be under way: a few a thread."""
        return WINDOW * max(sum(self.gate.threads.values()), 1)

    def expect(self, future: Any) -> None:
        """Give this future out when it is done."""
        future.add_done_callback(self.news.put)

    def next(self, left: int) -> Any | None:
        """A future that is done, with so many tasks left; None now and then, as workers come and go.

        Raises
        ------
        ClusterError
            If there is nobody who will do anything any more.
        """
        try:
            future = self.news.get(timeout=LOOK_SECONDS)
        except Empty:
            future = None
        if future is not None:
            self.heard, self.next_words = time.monotonic(), SILENCE_SECONDS
        if future is None or time.monotonic() - self.looked > LOOK_SECONDS:
            self.look(left)
        return future

    def look(self, left: int) -> None:
        """See who came, who went and who is missing, for so many tasks that are left; see `next`."""
        if self.client.status not in ("running", "connecting"):
            raise ClusterError(f"the Dask scheduler is gone. {SAFE}")
        self.gate.look(lambda _: self.news.put(None))
        if self.jobs is not None:
            told = self.jobs.trouble
            self.jobs.keep_up(left)
            if self.jobs.trouble != told:
                self.say(self.jobs.trouble)
        self.looked = time.monotonic()
        if self.gate.threads and _is_at_work(self.client.cluster):
            self.staffed = self.looked
        hopeless = self._hopeless(self.looked - self.staffed)
        if hopeless is not None:
            raise ClusterError(f"{hopeless}. {SAFE}")
        if self.looked - self.heard > self.next_words:
            self.say(self._words())
            self.next_words *= 2

    def _hopeless(self, seconds: float) -> str | None:
        """Why a run that has had no worker for so long ends; None while there is hope."""
        jobs, cluster, gate = self.jobs, self.client.cluster, self.gate
        nobody = not gate.threads and not gate.undecided and not (jobs is not None and jobs.missing)
        if nobody and gate.left_out and self.looked - gate.came > GRACE_SECONDS:
            return "no worker can do this run's tasks: " + next(iter(gate.left_out.values()))
        if nobody and jobs is not None and jobs.failed >= FAILURES:
            return f"{jobs.failed} jobs in a row ended before a worker came: {jobs.trouble}"
        if _is_local(cluster) and seconds > PATIENCE_SECONDS:
            what = "no worker has been alive"
            if _workers(cluster):
                what = (
                    "all workers have been paused by Dask, which finds them too large for their memory_limit,"
                )
            return (
                f"{what} for {PATIENCE_SECONDS} s. Look at the memory of this machine, start fewer workers "
                "(cluster.kwargs.n_workers), or give them more (cluster.kwargs.memory_limit)"
            )
        limit = self.asked.give_up_after
        if limit is not None and seconds > limit:
            return f"no worker was there for {duration(limit)} (cluster.give_up_after): {self._missing()}"
        return None

    def _words(self) -> str:
        """What a person should know where nothing has been done for a while."""
        how_long = duration(round(self.looked - self.heard))
        if not self.gate.threads:
            return f"No worker for {how_long}: {self._missing()}"
        at_work = counted(len(self.gate.threads), "worker")
        more = f"; {self.jobs.words()}" if self.jobs is not None and self.jobs.missing else ""
        return f"No task was done for {how_long}, with {at_work} at work{more}"

    def _missing(self) -> str:
        """What is known of workers that are not at work."""
        left_out, undecided = len(self.gate.left_out), self.gate.undecided
        found = [f"{counted(left_out, 'worker')} left out"] if left_out else []
        found += (
            [f"{counted(undecided, 'worker')} gave no answer to whether it can work"] if undecided else []
        )
        if self.jobs is not None:
            found.append(self.jobs.words())
        elif self.asked.connect is not None:
            found.append(f"start some with `dask worker {self.asked.connect} --nthreads 1`")
        return ", ".join(found) or "the cluster has none"


def _is_local(cluster: Any) -> bool:
    from distributed import LocalCluster

    return isinstance(cluster, LocalCluster)


def _is_at_work(cluster: Any) -> bool:
    """Whether any worker of a local cluster takes tasks, or is at one; of others that is not known."""
    return not _is_local(cluster) or any(
        worker.status.name == "running" or worker.executing for worker in _workers(cluster)
    )


def _workers(cluster: Any) -> list[Any]:
    """The workers of a cluster whose scheduler is in this process."""
    return list(cluster.scheduler.workers.values())
