"""Which clusters a job may name, what is checked before anything is written, and what verifying does not follow."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
import yaml
from distributed import Client, LocalCluster
from helpers import THREADS, music, settings

from hpss_batch.cluster.client import ENVIRON, open_client
from hpss_batch.cluster.fork_server import start_method
from hpss_batch.config.job import Job
from hpss_batch.config.sections import Cluster
from hpss_batch.errors import ClusterError, StoreError
from hpss_batch.runner.plan import plan
from hpss_batch.runner.run import Result, run
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.verification.verify import verify


class OwnCluster(LocalCluster):
    """A cluster of nobody's package."""


@pytest.fixture
def song(tmp_path: Path) -> Path:
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "song.wav", music(1.0, 22050), 22050)
    return tmp_path / "music"


def refused(song: Path, cluster: dict[str, Any], said: str, **options: Any) -> None:
    """A run with this cluster is refused in these words, and leaves nothing behind."""
    out = song.parent / "out"
    with pytest.raises(ClusterError, match=said):
        run(Job.parse(settings(song, out) | {"cluster": cluster}), **options)
    assert not out.exists()


def test_what_is_no_cluster_is_not_called(song: Path, tmp_path: Path) -> None:
    command = {"command": f"touch {tmp_path / 'called'}"}
    refused(
        song,
        {"class": "os.system", "kwargs": command},
        "os.system, and importing os may run anything.*--allow",
    )
    allowed = {"allow_cluster_class": True}
    for name in (
        "os.system",
        "subprocess.Popen",
        "builtins.dict",
        "distributed.Client",
        "dask.distributed.Worker",
    ):
        refused(song, {"class": name, "kwargs": command}, "which is not a Dask cluster", **allowed)
    assert not (tmp_path / "called").exists()


def test_modules_of_others_are_not_imported_unasked(
    song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stranger.py").write_text(
        f"import pathlib; pathlib.Path({str(tmp_path / 'imported')!r}).touch()"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    refused(song, {"class": "stranger.Cluster"}, "importing stranger may run anything")
    assert not (tmp_path / "imported").exists()
    refused(song, {"class": "stranger.Cluster"}, "cannot be imported", allow_cluster_class=True)
    assert (tmp_path / "imported").exists()


def test_a_class_of_ones_own_is_taken_when_allowed(song: Path, tmp_path: Path) -> None:
    kwargs = THREADS["kwargs"] | {"dashboard_address": "127.0.0.1:0"}  # type: ignore[operator]
    own = {"class": f"{__name__}.OwnCluster", "kwargs": kwargs}
    refused(song, own, "run again with --allow-cluster-class")
    job = Job.parse(settings(song, tmp_path / "out") | {"cluster": own})
    assert run(job, allow_cluster_class=True).exit_status == 0


@pytest.mark.parametrize(
    "name",
    [
        "distributed.SSHCluster",
        "dask.distributed.SSHCluster",
        "dask.distributed.LocalCluster",
        "distributed.SpecCluster",
    ],
)
def test_dask_s_own_classes_are_known(name: str) -> None:
    from hpss_batch.cluster.client import _cluster_class

    assert callable(_cluster_class(Cluster.model_validate({"class": name}), allow_class=False))


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"n_worker": 2}, "cluster.kwargs.n_worker is nothing that .* takes; did you mean n_workers"),
        ({"processes": False, "wrokers": 2}, "cluster.kwargs.wrokers"),
        (
            {"memory_limit": "50MB"},
            r"memory_limit is 50MB, which is 47.7 MiB, and 1 thread of this job may need \d+",
        ),
        ({"memory_limit": "400MB", "threads_per_worker": 8}, "and 8 threads of this job may need"),
        ({"memory_limit": 1_000_000, "processes": False}, "memory_limit is 1000000"),
    ],
)
def test_arguments_are_checked_before_anything_is_written(
    song: Path, kwargs: dict[str, Any], said: str
) -> None:
    refused(song, {"class": "distributed.LocalCluster", "kwargs": kwargs}, said)


def test_nothing_is_asked_of_a_cluster_that_is_not_needed(song: Path, tmp_path: Path) -> None:
    made = settings(song, tmp_path / "out")
    run(Job.parse(made))
    assert run(Job.parse(made | {"cluster": {"class": "dask_jobqueue.SLURMCluster"}})).exit_status == 0


SLURM = {
    "class": "dask_jobqueue.SLURMCluster",
    "kwargs": {"cores": 1, "memory": "1GiB", "scheduler_options": {"dashboard_address": "127.0.0.1:0"}},
}


@pytest.mark.parametrize("ask", ["request(cluster, settings)", "with open_client(cluster, settings): pass"])
@pytest.mark.parametrize(
    ("cluster", "defaults"), [({}, "distributed.comm"), (SLURM, "jobqueue.slurm.death-timeout")]
)
def test_planning_and_running_leave_packages_their_defaults(
    ask: str, cluster: dict[str, Any], defaults: str
) -> None:
    """In a process that has not imported the package: a later run needs them, whatever the job before has set."""
    code = (
        "import dask\nfrom hpss_batch.cluster.client import open_client, request\n"
        "from hpss_batch.config.sections import Cluster\n"
        f"if __name__ == '__main__':\n cluster = Cluster.model_validate({cluster!r})\n"
        f" settings = {{'jobqueue.slurm.queue': 'normal'}}\n {ask}\n"
        f" dask.config.get({defaults!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_verifying_follows_nothing_of_a_stored_job(song: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(Job.parse(settings(song, out)))
    command = {"command": f"touch {tmp_path / 'called'}"}
    stored = yaml.safe_load((out / "job.yaml").read_text())
    stored["dask"] = {"distributed.worker.preload": [f"open({str(tmp_path / 'called')!r}, 'w')"]}
    for cluster in (
        {"class": "os.system", "kwargs": command},
        {"class": "distributed.LocalCluster", "kwargs": {"preload": "import os; os.abort()"}},
        {"connect": "tcp://192.0.2.1:8786"},
    ):
        (out / "job.yaml").write_text(yaml.safe_dump(stored | {"cluster": cluster}))
        assert verify(out).exit_status == 0
    assert not (tmp_path / "called").exists()


def test_our_own_cluster_lets_nobody_else_in() -> None:
    """Whoever reaches a scheduler's port can have it run anything: it takes certificates of this run alone."""
    with open_client(Cluster.model_validate({"kwargs": {"n_workers": 1}}), {}) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert client.submit(sum, [1, 2]).result() == 3
        workers = client.scheduler_info()["workers"]
        assert all(name.startswith("tls://") for name in workers)
        for place in (address, address.replace("tls", "tcp"), *workers):
            code = f"from distributed import Client; Client({place!r}, timeout=2)"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            assert done.returncode == 1
            assert "Error" in done.stderr


def test_workers_have_the_environment_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks of a server that began earlier, too; what counts where a process begins, they begin with."""

    def seen(name: str) -> str | None:
        with open_client(Cluster.model_validate({"kwargs": {"n_workers": 1}}), {}) as client:
            value: str | None = client.submit(os.environ.get, name, pure=False).result()
            return value

    for value in ("first", "second"):
        monkeypatch.setenv("HPSS_BATCH_TEST", value)
        assert seen("HPSS_BATCH_TEST") == value
    for threads in ("3", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert seen("OMP_NUM_THREADS") == threads


def test_a_fork_server_serves_those_who_begin_with_what_it_began_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ENVIRON:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("hpss_batch.cluster.fork_server._begun_with", {})
    expected = "forkserver" if sys.platform == "linux" else "spawn"
    assert start_method(ENVIRON) == start_method(ENVIRON) == expected
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert start_method(ENVIRON) == "spawn"


@pytest.mark.parametrize(
    ("kwargs", "protocol"),
    [
        ({"processes": False}, "inproc"),
        ({"security": False}, "tcp"),
        ({"security": {"require_encryption": False}}, "tcp"),
    ],
)
def test_security_is_what_is_asked_for(kwargs: dict[str, Any], protocol: str) -> None:
    cluster = Cluster.model_validate({"kwargs": kwargs | {"n_workers": 1}})
    with open_client(cluster, {}) as client:
        assert client.scheduler.address.startswith(f"{protocol}://")


def test_while_nothing_is_done_a_run_directory_takes_any_other_job(
    song: Path, tmp_path: Path, run_job: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hpss_batch.runner.execution.Execution.run", stop)
        with pytest.raises(KeyboardInterrupt):
            run_job(song, out, corpus__channels="all", stft__n_fft=512)
    other = Job.parse(settings(song, out, hpss__margin=3))
    planned = plan(other)
    assert planned.replaced is not None
    assert len(RunDirectory(out).generations()) == 1, "planning writes nothing"
    assert run(other).exit_status == 0
    assert not planned.directory.clear(planned.replaced), "others were faster"
    assert open_corpus(out)["song.wav"].sizes["frequency"] == 129
    assert verify(out, sample=None).exit_status == 0
    with pytest.raises(StoreError, match="made by a job whose settings give other numbers"):
        run_job(song, out)
    another = tmp_path / "another"
    another.mkdir()
    sf.write(another / "x.wav", music(1.5, 22050), 22050)
    with pytest.raises(StoreError, match="made from another corpus"):
        run(Job.parse(settings(another, out, hpss__margin=3)))


def test_another_corpus_takes_the_place_of_one_of_which_nothing_is_done(
    song: Path, tmp_path: Path, run_job: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, another = tmp_path / "out", tmp_path / "another"
    another.mkdir()
    sf.write(another / "x.wav", music(1.5, 22050), 22050)
    with monkeypatch.context() as patch:
        patch.setattr(Client, "submit", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_job(song, out)
    assert run_job(another, out).exit_status == 0
    assert list(open_corpus(out)) == ["x.wav"]


@pytest.mark.slow
def test_a_worker_that_dies_while_the_cluster_starts_is_started_again(tmp_path: Path) -> None:
    die = tmp_path / "die.py"
    die.write_text(
        "import os, signal\n"
        "try:\n"
        f"    os.mkdir({str(tmp_path / 'died')!r})\n"
        "except FileExistsError:\n"
        "    pass\n"
        "else:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    preload = {"distributed.worker.preload": [str(die)]}
    with open_client(Cluster(kwargs={"n_workers": 2, "memory_limit": 0}), preload) as client:
        client.wait_for_workers(2, timeout=60)
    assert (tmp_path / "died").exists()
