"""What is a cluster asked for? What people read before anybody waits in a queue, and what each worker will have."""

from dataclasses import dataclass
from typing import Any

from hpss_batch.errors import ClusterError
from hpss_batch.text import counted, size

INTERPRETER_BYTES = 192 * 2**20
"""A worker that has imported what it needs and compiled the kernels, before its first unit (measured: 130 to 140)."""


@dataclass(frozen=True)
class Request:
    """What a cluster is asked for.

    Attributes
    ----------
    text : str or None
        The script of a batch system's job, or manifests for Kubernetes in YAML.
    memory : str
        What the memory of a worker's process follows from, as it is given: "cluster.kwargs.memory_limit is 4GiB".
    process_bytes : int
        That memory; 0 where there is no limit, or none that is known.
    threads : int
        Of each worker.
    workers : int
        That a job of a batch system brings, or else 1.
    interpreters : int
        1, or 0 where workers are within the driver's process.
    """

    text: str | None
    memory: str
    process_bytes: int
    threads: int = 1
    workers: int = 1
    interpreters: int = 1

    def figures(self) -> dict[str, Any]:
        """Fit for JSON."""
        names = ("text", "workers", "threads", "process_bytes")
        return {name: getattr(self, name) for name in names}

    def needed(self, task_bytes: int) -> int:
        """Memory for a task on every thread; see `worker_bytes`."""
        return worker_bytes(self.threads, task_bytes, self.interpreters)

    def check_memory(self, task_bytes: int) -> None:
        """Raise `ClusterError` if workers would be ended by their own limit."""
        needed = self.needed(task_bytes)
        if 1 < self.process_bytes < needed:
            each = f"{size(self.process_bytes)}{' each' * (self.workers > 1)}"
            raise ClusterError(
                f"{self.memory}, which is {each}, and {counted(self.threads, 'thread')} of this job may need "
                f"{size(needed)}; give that much, or less to do at once: smaller stft.n_fft or hpss.kernel_size, "
                "fewer arrays, fewer threads"
            )


def worker_bytes(threads: int, task_bytes: int, interpreters: int = 1) -> int:
    """Memory that a worker of so many threads needs, each of which needs `task_bytes` where it is the only one."""
    return interpreters * INTERPRETER_BYTES + threads * (task_bytes - INTERPRETER_BYTES)


def parsed_bytes(limit: Any) -> int:
    """Bytes from Dask's or Kubernetes' words for them; 0 for what names none, such as "auto"."""
    from dask.utils import parse_bytes

    try:
        return parse_bytes(limit) if isinstance(limit, int | str) else 0
    except ValueError:
        return 0  # what is wrong with it the cluster says
