"""Are as many jobs at work as a run asked for, and what became of those that are not?

Dask submits a job to a queueing system, and hears of it only through its workers. So a job that ends is not missed if
it brought several workers, or none; here the queue is asked. What counts as a job is whatever a cluster of Dask's
`SpecCluster` family starts: of dask-jobqueue a job with all of its workers, of others one worker.
"""

import contextlib
import getpass
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpss_batch.cluster.requests.batch import is_batch_system
from hpss_batch.config.sections import Cluster
from hpss_batch.errors import ClusterError
from hpss_batch.text import counted, one_line

if TYPE_CHECKING:
    from distributed import Client

QUEUES = {
    "slurm": ("squeue", "--me", "--noheader", "--format=%A %T (%r)"),
    "pbs": ("qstat", "-u", "{user}"),
    "sge": ("qstat", "-u", "{user}"),
    "lsf": ("bjobs", "-noheader"),
}
"""What lists one's own jobs that have not ended, a line each that begins with its number, by dask-jobqueue's names."""

ENDED = "C"
"""The state in which some queues still list a job that is done."""

LOOK_SECONDS = 10
"""How often jobs are looked after."""

LOST_SECONDS = 30
"""After how long a job whose workers are gone is held to have ended, where its queue cannot be asked."""

PATIENCE_SECONDS = 60
"""How long a queue has for an answer."""

FAILURES = 3
"""After how many jobs in a row that ended before a worker came no more are asked for."""


class Jobs:
    """The jobs of a run.

    Parameters
    ----------
    client : Client
        Of the cluster that starts them.
    key, argument
        How many are asked for; see `asked_for`.

    Attributes
    ----------
    failed : int
        Jobs in a row that ended before any of their workers came.
    trouble : str
        What the last of them left in its log, or what the queue said instead of taking a job.
    """

    def __init__(self, client: "Client", key: str, argument: Any) -> None:
        cluster: Any = client.cluster
        self.client, self.cluster = client, cluster
        self.minimum, self.maximum = _bounds(cluster, key, argument)
        options = cluster.new_spec.get("options", {})
        self.threads = options.get("nthreads") or options.get("cores") or 1
        self.came, self.absent = set[Any](), dict[Any, float]()
        self.failed, self.trouble, self.looked = 0, "", -math.inf

    def keep_up(self, left: int) -> None:
        """Have as many jobs as it takes for so many tasks that are left, as far as they were asked for."""
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        there = self._there()
        if there - self.came:
            self.failed = 0
        self.came = (self.came | there) & set(self.cluster.workers)
        ended = self._ended(there)
        for name in ended:
            if name not in self.came:
                self.failed, self.trouble = self.failed + 1, self._log(self.cluster.workers[name])
        needed = min(math.ceil(left / self.threads), self.maximum)
        # Dask forgets some by itself, and starts them again when more are asked for
        n = len(self.cluster.workers) - len(ended)
        surplus = n - max(needed, self.minimum)
        self._close(ended + (self._idle(there)[:surplus] if surplus > 0 else []))
        if n < needed and self.failed < FAILURES:
            self._open(needed)
        self.looked = time.monotonic()

    @property
    def missing(self) -> list[Any]:
        """Names of jobs none of whose workers is there."""
        there = self._there()
        return [name for name in list(self.cluster.workers) if name not in there]

    def words(self) -> str:
        """What is known of jobs whose workers are not there."""
        jobs = [self.cluster.workers[name] for name in self.missing]
        queue = _listing(jobs) or {}
        states = Counter(queue.get(getattr(job, "job_id", ""), "not at work") for job in jobs)
        known = [f"{counted(n, 'job')} {state}" for state, n in states.items()]
        if self.trouble:
            known.append(self.trouble)
        logs = self.cluster.new_spec.get("options", {}).get("log_directory")
        return ", ".join(known or ["no job is under way"]) + (f". Logs: {logs}" if logs else "")

    def _there(self) -> set[Any]:
        """Names of jobs of which a worker is connected."""
        connected = {str(worker["name"]) for worker in list(self.cluster.scheduler_info["workers"].values())}
        return {
            name for name in list(self.cluster.worker_spec) if not connected.isdisjoint(self._workers(name))
        }

    def _ended(self, there: set[Any]) -> list[Any]:
        """Names of jobs that are no more, by the word of the queue, or of Dask."""
        now, jobs = time.monotonic(), dict(self.cluster.workers)
        self.absent = {name: self.absent.get(name, now) for name in jobs if name not in there}
        queue = _listing([jobs[name] for name in self.absent])

        def has_ended(name: Any) -> bool:
            number = getattr(jobs[name], "job_id", None)
            if number is None:
                return jobs[name].status.name in ("closed", "failed")
            if queue is not None:
                return number not in queue
            return name in self.came and now - self.absent[name] > LOST_SECONDS

        return [name for name in self.absent if has_ended(name)]

    def _idle(self, there: set[Any]) -> list[Any]:
        """Names of jobs without a task, those first whose workers have not come."""
        workers = self.cluster.scheduler_info["workers"]
        tasks = self.client.processing()
        busy = {str(worker["name"]) for place, worker in list(workers.items()) if tasks.get(place)}
        return [*self.absent, *(name for name in there if busy.isdisjoint(self._workers(name)))]

    def _workers(self, name: Any) -> list[str]:
        """What a job's workers are called."""
        return [f"{name}{suffix}" for suffix in self.cluster.worker_spec[name].get("group", ("",))]

    def _open(self, n: int) -> None:
        """Ask for jobs up to so many; what the queue says against it is `trouble`."""
        try:
            self.cluster.sync(_submit, self.cluster, n, callback_timeout=PATIENCE_SECONDS)
        except Exception as error:
            self.trouble = _said(error)
            self._close([name for name, job in self.cluster.workers.items() if job.status.name == "created"])

    def _close(self, names: list[Any]) -> None:
        from distributed.core import Status

        if not names:
            return
        jobs = [self.cluster.workers[name] for name in names if name in self.cluster.workers]
        with contextlib.suppress(TimeoutError, RuntimeError):
            self.cluster.sync(self.cluster.scale_down, names, callback_timeout=PATIENCE_SECONDS)
        for job in jobs:  # which Dask wants to see when all is over, and dask-jobqueue leaves as it was
            job.status = Status.closed

    def _log(self, job: Any) -> str:
        """The last words of a job that ended."""
        number, folder = getattr(job, "job_id", None), getattr(job, "log_directory", None)
        files = [path for path in Path(folder).glob(f"*{number}*") if path.stat().st_size] if folder else []
        for path in sorted(files, key=lambda path: path.suffix != ".err"):
            *_, last = path.read_text(errors="replace").strip().splitlines() or [""]
            if last:
                return f"job {number} ended before its workers came, and said: {last.strip()} ({path})"
        return f"job {number or ''} ended before its workers came"


def is_kept_up(cluster: Any) -> bool:
    """Whether a cluster is of the family whose jobs can be told apart, and more be asked for."""
    from distributed import SpecCluster

    return isinstance(cluster, SpecCluster) and bool(cluster.new_spec)


def asked_for(cluster: Any, block: Cluster) -> tuple[str, Any] | None:
    """`scale` or `adapt` of a `cluster:` block, and what it says, where it is for `Jobs` to see to it."""
    if not is_kept_up(cluster):
        return None
    if block.adapt is not None:
        return "adapt", block.adapt
    # classes of dask-jobqueue start with no worker, and take this for a beginning
    is_queue = is_batch_system(cluster)
    scale = block.scale or (block.kwargs.get("n_workers") if is_queue else None)
    if is_queue and not scale:
        raise ClusterError(
            f"{block.class_name} has no worker until jobs are asked for: set cluster.scale, to {{jobs: 4}} say, or "
            "cluster.adapt, to {minimum_jobs: 0, maximum_jobs: 20} say"
        )
    return ("scale", scale) if scale else None


def tell(cluster: Any, key: str, argument: Any) -> Any:
    """Call `scale` or `adapt` of a cluster with what a job says there; `ClusterError` if the cluster refuses it."""
    method = getattr(cluster, key)
    try:
        return method(**argument) if isinstance(argument, dict) else method(argument)
    except (TypeError, ValueError) as error:
        raise ClusterError(f"cluster.{key} is {argument!r}, which the cluster refuses: {error}") from error


async def _submit(cluster: Any, n: int) -> None:
    while len(cluster.worker_spec) < n:
        cluster.worker_spec.update(cluster.new_worker_spec())
    await cluster


def _bounds(cluster: Any, key: str, argument: Any) -> tuple[int, int]:
    """How many jobs are asked for, at least and at most, in the cluster's own counting; nothing is started."""

    async def counted_by_the_cluster() -> int:
        before = dict(cluster.worker_spec)
        tell(cluster, key, argument)
        n = len(cluster.worker_spec)
        cluster.worker_spec.clear()
        cluster.worker_spec.update(before)
        return n

    if key == "scale":
        n = cluster.sync(counted_by_the_cluster)
        return n, n
    adaptive = tell(cluster, key, argument)
    adaptive.stop()
    group = len(cluster.new_spec.get("group", ("",)))
    return math.ceil(adaptive.minimum / group), int(max(min(adaptive.maximum, sys.maxsize) // group, 1))


def _listing(jobs: Collection[Any]) -> dict[str, str] | None:
    """What the queue says of one's own jobs, by number; None where it cannot be asked."""
    commands = {QUEUES.get(getattr(type(job), "config_name", ""), ()) for job in jobs}
    if len(commands) != 1 or not (command := commands.pop()):
        return None
    words = [word.format(user=getpass.getuser()) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    return {words[0].split(".")[0]: " ".join(words[1:]) for words in lines if ENDED not in words}


def _said(error: Exception) -> str:
    """An error of a queueing system's command in one line."""
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} is not on this machine: start the run where jobs are submitted"
    if isinstance(error, TimeoutError):
        return "the queue does not answer"
    _, _, words = str(error).rpartition("stderr:\n")
    return one_line(words)
