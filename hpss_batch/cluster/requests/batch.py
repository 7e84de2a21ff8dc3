"""What would a batch system be asked for? The script of one of its jobs, as dask-jobqueue writes it.

Nothing is started for that: no scheduler, no port, no folder. What is known only when a run begins is in capitals.
"""

import inspect
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any

from hpss_batch.cluster.requests.request import Request
from hpss_batch.errors import ClusterError
from hpss_batch.text import counted, size

OF_JOBS_TOO = {"interface", "protocol", "config_name"}
"""Arguments of dask-jobqueue's clusters that they hand on to their jobs, as they do all that they have no name for."""

CERTIFICATES = {"tls_ca_file": "CA_FILE", "tls_worker_cert": "CERT_FILE", "tls_worker_key": "KEY_FILE"}


def is_batch_system(kind: Any) -> bool:
    """Whether a cluster class, or a cluster, is one of dask-jobqueue."""
    return getattr(kind, "job_cls", None) is not None


def job_request(kind: Any, kwargs: Mapping[str, Any]) -> Request:
    """The job that a cluster class of dask-jobqueue submits if it is called with these arguments.

    Raises
    ------
    ClusterError
        If it would not take them.
    """
    import dask
    from dask_jobqueue.core import JobQueueCluster
    from distributed import Security

    of_cluster = inspect.signature(JobQueueCluster.__init__).parameters.keys() - OF_JOBS_TOO
    of_job = {name: value for name, value in kwargs.items() if name not in of_cluster}
    if kwargs.get("security"):
        of_job = {"protocol": "tls://", "security": Security(**CERTIFICATES)} | of_job
    system = of_job.get("config_name") or kind.job_cls.default_config_name()
    logs = of_job.get("log_directory") or dask.config.get(f"jobqueue.{system}.log-directory", None)
    with TemporaryDirectory() as folder:  # a job makes its log directory
        try:
            there = {"log_directory": folder} if logs else {}
            job = kind.job_cls("SCHEDULER_ADDRESS", name="WORKER_NAME", **of_job | there)
            script = job.job_script()
        except Exception as error:
            raise ClusterError(
                f"{kind.__name__} refuses cluster.kwargs={dict(kwargs)}: {' '.join(str(error).split())}"
            ) from error
    each = job.worker_memory // job.worker_processes
    return Request(
        text=script.replace(folder, str(logs)),
        memory=f"cluster.kwargs.memory is {size(job.worker_memory)} for {counted(job.worker_processes, 'worker')}",
        process_bytes=each,
        threads=job.worker_process_threads,
        workers=job.worker_processes,
    )
