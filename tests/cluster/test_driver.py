"""A run as a batch job: what is submitted, and what becomes of it where a queue takes it, or does not."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from click.testing import CliRunner
from helpers import music, settings
from slurm import Slurm

from hpss_batch import submit
from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.errors import ClusterError, StoreError
from hpss_batch.runner.status import status

ROOT = Path(__file__).parents[2]
KWARGS = {"queue": "night", "cores": 8, "processes": 4, "memory": "64GiB", "walltime": "01:00:00"}


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    made = Slurm(tmp_path / "queue")
    monkeypatch.setenv("PATH", made.path)
    return made


def job(out: Path, system: str = "SLURM", **kwargs: Any) -> Job:
    cluster = {"class": f"dask_jobqueue.{system}Cluster", "kwargs": KWARGS | kwargs, "scale": {"jobs": 2}}
    return Job.parse(settings(out.parent, out) | {"cluster": cluster})


def test_the_driver_s_job_is_a_worker_s_at_another_size(tmp_path: Path, queue: Slurm) -> None:
    queue.hold()
    out, prologue = tmp_path / "a folder", ["module load sox", "export X=1"]
    extra = {"job_script_prologue": prologue, "job_extra_directives": ["--qos=long"], "python": "/opt/python"}
    sent = submit(job(out, account="ours", log_directory="logs", job_cpu=8, **extra), walltime="1-0")
    folder = f"'{out}'"
    assert (out / "driver.sh").read_text() == (
        "#!/usr/bin/env bash\n\n#SBATCH -J hpss-batch\n#SBATCH -p night\n#SBATCH -A ours\n#SBATCH -n 1\n"
        "#SBATCH --cpus-per-task=1\n#SBATCH --mem=4G\n#SBATCH -t 1-0\n#SBATCH --qos=long\n"
        f"#SBATCH -o {folder}/driver.log\n#SBATCH --open-mode=append\n\n"
        f"exec >> '{out}/driver.log' 2>&1\ncd {Path.cwd()}\nmodule load sox\nexport X=1\n"
        f"exec /opt/python -m hpss_batch run '{out}/driver.yaml'\n"
    )
    assert (sent.id, sent.look, sent.cancel) == ("1", "squeue --job 1", "scancel 1")
    assert sent.log == f"{out}/driver.log"
    assert not Path("logs").exists()
    assert (queue.folder / "job1" / "script").read_text() == (out / "driver.sh").read_text()


def test_what_will_be_run_is_what_was_asked_for(tmp_path: Path, queue: Slurm) -> None:
    queue.hold()
    asked = job(tmp_path / "out")
    submit(asked, retry_failed=True)
    with pytest.raises(StoreError, match=r"what was submitted has not begun there\..*/out/driver\.log"):
        status(tmp_path / "out")
    found = Job.load(tmp_path / "out" / "driver.yaml")
    assert found == asked
    assert [found.given(key) for key in ("stft.n_fft", "stft.window")] == [True, False]
    assert (tmp_path / "out" / "driver.sh").read_text().endswith("driver.yaml --retry-failed\n")


def test_pbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "bin" / "qsub"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\n/bin/cat "$1" > {tmp_path}/sent\necho 12.server\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent))
    sent = submit(job(tmp_path / "out", "PBS", resource_spec="select=1:ncpus=8"))
    assert (sent.id, sent.look, sent.cancel) == ("12.server", "qstat 12.server", "qdel 12.server")
    lines = (tmp_path / "sent").read_text().splitlines()
    expected = ["-N hpss-batch", "-q night", "-l select=1:ncpus=1:mem=4096MB", "-l walltime=01:00:00"]
    expected += [f"-o {tmp_path}/out/driver.out", "-j oe"]
    assert [line for line in lines if line.startswith("#PBS")] == [f"#PBS {words}" for words in expected]


def test_a_queue_s_refusal_is_one_line(tmp_path: Path, queue: Slurm) -> None:
    queue.refuse(
        "sbatch: error: invalid partition specified: night\nsbatch: error: Batch job submission failed\n"
    )
    path = tmp_path / "job.yaml"
    path.write_text(job(tmp_path / "out").to_yaml())
    done = CliRunner().invoke(main, ["submit", str(path)])
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert "sbatch: error: invalid partition specified: night; sbatch: error: Batch job sub" in line


def test_where_nothing_takes_it_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="sbatch is not on this machine"):
        submit(job(tmp_path / "out"))
    here = Job.from_command_line(tmp_path, tmp_path / "other")
    with pytest.raises(
        ClusterError, match=r"cluster.class is distributed.LocalCluster; allowed: dask_jobqueue"
    ):
        submit(here)
    with pytest.raises(ClusterError, match="SLURMCluster refuses"):
        submit(job(tmp_path / "other", quue="night"))
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_the_workflow_s_job_is_done_by_the_queue_alone(tmp_path: Path, queue: Slurm) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(4):
        sf.write(folder / f"{number}.flac", music(3.0, 44100, 2, number), 44100)
    shutil.copy(ROOT / "workflows" / "slurm" / "job.yaml", tmp_path)
    out = tmp_path / "out"
    small = {"corpus.path": str(folder), "output.path": str(out), "cluster.kwargs.interface": "lo"}
    small |= {"output.unit_frames": "512"}  # a task for each track
    small |= {"cluster.kwargs.cores": "1", "cluster.kwargs.processes": "1", "cluster.kwargs.memory": "1GiB"}
    words = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    said = CliRunner().invoke(main, ["submit", str(tmp_path / "job.yaml"), *words])
    assert said.exit_code == 0, said.output
    assert said.output.startswith("Submitted as job 1.\n  squeue --job 1 ")
    for _ in range(600):
        if not queue.queue:
            break
        time.sleep(0.2)
    assert "4 done. Results: " in (out / "driver.log").read_text()
    assert queue.submitted == 3
    assert status(out).exit_status == 0
