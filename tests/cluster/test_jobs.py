"""Jobs of a queue come, end, are cancelled and never come: a run goes on, or ends with a reason."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from helpers import music, settings, shards
from slurm import Slurm

from hpss_batch.cluster import jobs, workforce
from hpss_batch.config.job import Job
from hpss_batch.errors import ClusterError
from hpss_batch.runner.execution import Silent
from hpss_batch.runner.run import Result, run
from hpss_batch.runner.work import Work
from hpss_batch.store.directory import RunDirectory

CONFIG = Path(__file__).parents[2] / "configs" / "slurm.yaml"

SLURM = {
    "class": "dask_jobqueue.SLURMCluster",
    "kwargs": {"cores": 1, "processes": 1, "memory": "2GiB", "interface": "lo", "python": sys.executable},
    "scale": {"jobs": 2},
}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    queue = Slurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", queue.path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(workforce, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(workforce, "SILENCE_SECONDS", 0.5)
    yield queue
    queue.cancel()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    for number in range(4):
        sf.write(folder / f"{number}.wav", music(15.0, 22050, 2, number), 22050)
    return folder


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(Job.parse(settings(corpus, out)))
    return dict(shards(out))


class Watching(Silent):
    """Does something when so many tasks are done, and keeps what is said."""

    def __init__(self, after: int = 0, then: Callable[[], None] = lambda: None) -> None:
        self.after, self.then, self.said = after, then, list[str]()

    def finished(self, work: Work, failed: int | None) -> None:
        self.after -= 1
        if self.after == 0:
            self.then()

    def message(self, text: str) -> None:
        self.said.append(text)


def job(corpus: Path, out: Path, **changes: Any) -> Job:
    """A job on SLURM; changes are of its `cluster:` block, and of its arguments."""
    kwargs = SLURM["kwargs"] | changes.pop("kwargs", {})
    return Job.parse(settings(corpus, out) | {"cluster": SLURM | {"kwargs": kwargs} | changes})


def test_jobs_give_the_same_bytes_and_leave_only_their_logs(
    slurm: Slurm, corpus: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(job(corpus, out)).exit_status == 0
    assert shards(out) == undisturbed
    assert slurm.submitted == 2
    assert not slurm.queue
    assert len(list((out / "logs").iterdir())) == 2


@pytest.mark.parametrize(
    "n_workers", [1, 2], ids=["which Dask misses", "of several workers, which it does not"]
)
def test_jobs_that_are_cancelled_are_asked_for_again(
    n_workers: int, slurm: Slurm, corpus: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out, watching = tmp_path / "out", Watching(3, slurm.cancel)
    made = job(corpus, out, kwargs={"cores": n_workers, "processes": n_workers})
    made = made.replace({"dask": {"distributed.deploy.lost-worker-timeout": "10 ms"}})
    assert run(made, reporter=watching).exit_status == 0
    assert shards(out) == undisturbed
    assert slurm.submitted == 4


def test_the_config_for_slurm_grows_on_tasks_however_short(
    slurm: Slurm, corpus: Path, tmp_path: Path
) -> None:
    """As it stands, but for names and sizes."""
    sizes = {"cores": 1, "processes": 1, "memory": "2GiB", "interface": "lo", "python": sys.executable}
    overrides = [f"corpus.path={corpus}", f"output.path={tmp_path / 'out'}", "output.unit_frames=512"]
    overrides += [f"cluster.kwargs.{name}={value}" for name, value in sizes.items()]
    made = Job.load(CONFIG, [*overrides, "cluster.adapt.maximum_jobs=3"])
    assert run(made).exit_status == 0
    assert slurm.submitted == 3
    assert not slurm.queue


def ends(made: Job, said: str, **options: Any) -> None:
    with pytest.raises(ClusterError, match=said) as found:
        run(made, **options)
    assert "\n" not in str(found.value)


def test_a_refusal_is_the_queue_s_own_words_and_leaves_no_trace(
    slurm: Slurm, corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    slurm.refuse(
        "sbatch: error: invalid partition specified: nosuch\nsbatch: error: Batch job submission failed\n"
    )
    ends(job(corpus, tmp_path / "out"), "starts no job: sbatch: error: invalid partition specified: nosuch; ")
    assert not (tmp_path / "out").exists()
    assert capfd.readouterr().err == ""


def test_workers_may_be_asked_for_as_dask_jobqueue_has_it_but_not_left_out(
    slurm: Slurm, corpus: Path, tmp_path: Path
) -> None:
    ends(
        job(corpus, tmp_path / "out", scale=None),
        r"has no worker until jobs are asked for: set cluster.scale, ",
    )
    slurm.refuse("sbatch: error: asked")
    ends(
        job(corpus, tmp_path / "out", scale=None, kwargs={"n_workers": 1}),
        "starts no job: sbatch: error: asked",
    )


def test_a_machine_without_the_queue_s_commands(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ends(
        job(corpus, tmp_path / "out"), "sbatch is not on this machine: start the run where jobs are submitted"
    )


def test_jobs_that_end_before_their_workers_come(slurm: Slurm, corpus: Path, tmp_path: Path) -> None:
    made = job(corpus, tmp_path / "out", kwargs={"python": "/nonexistent/python"})
    ends(made, r"\d jobs in a row ended before a worker came: job \d .*/nonexistent/python.*not found.*logs/")
    assert 3 <= slurm.submitted <= 4


def test_a_queue_that_starts_nothing_is_waited_for_aloud_and_not_for_ever(
    slurm: Slurm, corpus: Path, tmp_path: Path
) -> None:
    slurm.hold()
    watching, out = Watching(), tmp_path / "out"
    ends(
        job(corpus, out, give_up_after=3), "no worker was there for 3.0 s .*2 jobs PENDING", reporter=watching
    )
    assert watching.said[0].startswith("No worker for ")
    assert watching.said[0].endswith(f"2 jobs PENDING (BeginTime). Logs: {out}/logs")
    assert 1 <= len(watching.said) <= 3, "at longer and longer intervals"
    assert not slurm.queue


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_takes_waiting_jobs_out_of_the_queue(
    number: signal.Signals, slurm: Slurm, corpus: Path, tmp_path: Path
) -> None:
    slurm.hold()
    (tmp_path / "job.yaml").write_text(job(corpus, tmp_path / "out").to_yaml())
    hearing = f"import os, signal, sys; signal.signal({number}, signal.SIG_DFL)\n"
    hearing += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    hearing += "from hpss_batch.cli import main; main()"
    words = [sys.executable, "-c", hearing, "run", str(tmp_path / "job.yaml")]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    while not RunDirectory(tmp_path / "out").exists:
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.05)
    assert len(slurm.queue) == 2
    process.send_signal(number)
    assert process.communicate(timeout=300)[1].startswith("\nStopped. What is committed is safe")
    assert process.returncode == 128 + number
    assert not slurm.queue


ELSEWHERE = 'if [ "$SLURM_JOB_ID" = 1 ]; then export PYTHONPATH={}; fi'
"""A line of the job script by which the first job's workers have another environment."""


def test_workers_without_the_package_get_no_work(
    slurm: Slurm, corpus: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "bare" / "hpss_batch").mkdir(parents=True)
    (tmp_path / "bare" / "hpss_batch" / "__init__.py").write_text("raise ImportError('not installed here')")
    out, watching = tmp_path / "out", Watching()
    kwargs = {"job_script_prologue": [ELSEWHERE.format(tmp_path / "bare")]}
    result: Result = run(job(corpus, out, kwargs=kwargs), reporter=watching)
    assert result.exit_status == 0
    assert shards(out) == undisturbed
    (said,) = (text for text in watching.said if "left out:" in text)
    assert "is left out: it does not have this package (not installed here). Install hpss-batch" in said


def test_a_run_whose_workers_all_lack_something_ends_with_that(
    slurm: Slurm, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workforce, "GRACE_SECONDS", 1)
    (tmp_path / "bare").mkdir()
    missing = "raise ModuleNotFoundError('No module named hpss_batch', name='hpss_batch')"
    (tmp_path / "bare" / "hpss_batch.py").write_text(missing)
    kwargs = {"job_script_prologue": [f"export PYTHONPATH={tmp_path / 'bare'}"]}
    out = tmp_path / "out"
    ends(job(corpus, out, kwargs=kwargs), "no worker can do this run's tasks: .* does not have this package")
    assert not RunDirectory(out).has_commits
