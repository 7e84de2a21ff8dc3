"""What `plan` shows of batch systems: the script that dask-jobqueue would submit, with nothing started or made."""

import socket
from pathlib import Path
from typing import Any

import dask_jobqueue
import pytest

from hpss_batch.cluster.arguments import INHERITED
from hpss_batch.cluster.client import request
from hpss_batch.config.sections import Cluster
from hpss_batch.errors import ClusterError

COMMON = {"cores": 4, "processes": 2, "memory": "8GiB"}


def block(system: str, **kwargs: Any) -> Cluster:
    return Cluster.model_validate({"class": f"dask_jobqueue.{system}Cluster", "kwargs": COMMON | kwargs})


@pytest.mark.parametrize(
    ("system", "kwargs", "lines"),
    [
        ("SLURM", {"queue": "q"}, ["#SBATCH -p q", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=8G"]),
        ("PBS", {"queue": "q"}, ["#PBS -q q", "#PBS -l select=1:ncpus=4:mem=8192MB"]),
        ("SGE", {"queue": "q"}, ["#$ -q q"]),
        ("LSF", {"queue": "q"}, ["#BSUB -q q", "#BSUB -n 4"]),
        ("HTCondor", {"disk": "1GB"}, ["MY.DaskWorkerCores = 4", "Queue"]),
        ("OAR", {"queue": "q", "memory_per_core_property_name": "mem_core"}, ["#OAR -q q"]),
        ("Moab", {"queue": "q"}, ["#PBS -q q"]),
    ],
)
def test_the_script_of_every_system(
    system: str, kwargs: dict[str, Any], lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_port(*_: object) -> None:
        raise AssertionError("a port was opened")

    monkeypatch.setattr(socket.socket, "bind", no_port)
    logs = tmp_path / "logs"
    cluster_alone = {
        "log_directory": str(logs),
        "scheduler_options": {"dashboard_address": ":0"},
        "name": "x",
    }
    asked = request(block(system, **kwargs, **cluster_alone), {})
    assert asked is not None
    assert asked.text is not None
    assert set(lines) <= set(asked.text.splitlines())
    assert " -m distributed.cli.dask_worker SCHEDULER_ADDRESS --name WORKER_NAME --nthreads 2 " in asked.text
    assert system == "OAR" or str(logs) in asked.text
    assert not logs.exists()
    assert (asked.workers, asked.threads, asked.process_bytes) == (2, 2, 4 * 2**30)


def test_the_script_is_that_of_the_cluster() -> None:
    """But for the scheduler's address, which is known when there is one."""
    kwargs = {"worker_extra_args": ["--lifetime", "55m"], "job_script_prologue": ["module load x"]}
    asked = request(block("SLURM", **kwargs, interface="lo"), {})
    options = {"dashboard_address": "127.0.0.1:0"}
    with dask_jobqueue.SLURMCluster(**COMMON, **kwargs, interface="lo", scheduler_options=options) as cluster:
        expected = cluster.job_script().replace(cluster.scheduler_address, "SCHEDULER_ADDRESS")
    assert asked is not None
    assert asked.text is not None
    ours = f"export {INHERITED}="  # Dask's settings, for workers
    lines = asked.text.splitlines(keepends=True)
    (added,) = (line for line in lines if line.startswith(ours))
    assert asked.text.replace(added, "") == expected.replace("dummy-name", "WORKER_NAME")


def test_settings_of_dask_count() -> None:
    asked = request(
        block("SLURM"), {"jobqueue.slurm.queue": "night", "jobqueue.slurm.log-directory": "/logs"}
    )
    assert asked is not None
    assert "#SBATCH -p night\n" in str(asked.text)
    assert "#SBATCH -o /logs/dask-worker-%J.out\n" in str(asked.text)


def test_workers_that_talk_tls_say_so() -> None:
    asked = request(block("SLURM", security=True), {})
    assert asked is not None
    assert "--protocol tls:// --tls-ca-file CA_FILE --tls-cert CERT_FILE --tls-key KEY_FILE" in str(
        asked.text
    )


def test_what_the_system_would_not_take_is_refused() -> None:
    with pytest.raises(ClusterError, match=r"SLURMCluster refuses .*'quue'"):
        request(block("SLURM", quue="q"), {})
    with pytest.raises(ClusterError, match=r"HTCondorCluster refuses .* how much disk"):
        request(block("HTCondor"), {})
    with pytest.raises(ClusterError, match="how much cores and memory"):
        request(Cluster.model_validate({"class": "dask_jobqueue.PBSCluster"}), {})


def test_memory_is_that_of_a_process() -> None:
    asked = request(block("SLURM", memory="800MiB"), {})
    assert asked is not None
    asked.check_memory(296 * 2**20)  # 192 of an interpreter and 104 for each of two threads
    with pytest.raises(
        ClusterError, match=r"is 800.0 MiB for 2 workers, which is 400.0 MiB each, .* need 402.0"
    ):
        asked.check_memory(297 * 2**20)
