"""kill -9, of the driver and of workers, at random moments: run again, and it is as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import soundfile as sf
from helpers import music, settings, shards

from hpss_batch.config.job import Job
from hpss_batch.runner.run import run
from hpss_batch.store.reading.corpus import open_corpus

TRIES = 20


@pytest.fixture(scope="module")
def long_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred units of work."""
    folder = tmp_path_factory.mktemp("long")
    for number in range(3):
        sf.write(folder / f"{number}.flac", music(40.0, 22050, 2, number), 22050)
    sf.write(folder / "talk.mp3", music(30.0, 22050, 1, 9), 22050)
    return folder


@pytest.fixture(scope="module")
def undisturbed(long_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(Job.parse(settings(long_corpus, out)))
    return written(out)


STOPPED = "\nStopped. What is committed is safe: the same command goes on from there.\n"

HEARING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which ends with exec, and leaves the system's default
os.execv(sys.executable, [sys.executable, "-m", "hpss_batch", *sys.argv[1:]])
"""
"""A driver that hears Ctrl-C even where pytest runs in the background, whose children ignore it from birth."""


def written(out: Path) -> dict[str, bytes]:
    """Every byte that counts: shards and commits."""
    records = {f"commits/{path.name}": path.read_bytes() for path in (out / "commits").glob("*.json")}
    return dict(shards(out)) | records


def driver(job: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "hpss_batch", "run", str(job)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def commits(out: Path) -> int:
    return len(list((out / "commits").glob("*.json"))) if (out / "commits").exists() else 0


@pytest.mark.slow
def test_kill_9_of_the_driver_at_random_moments(
    long_corpus: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    dice, kills = random.Random(1), 0
    moments = []
    out, job, attempt = tmp_path / "out0", tmp_path / "job.yaml", 0
    while kills < TRIES:
        job.write_text(Job.parse(settings(long_corpus, out)).to_yaml())
        process, before = driver(job), commits(out)
        if dice.random() < 0.8:  # somewhere in the work; else anywhere, the start-up included
            while commits(out) == before and process.poll() is None:
                time.sleep(0.002)
            delay = dice.uniform(0, 0.3)
        else:
            delay = dice.uniform(0, 3)
        time.sleep(delay)
        process.kill()
        process.wait()
        kills += 1
        moments.append(commits(out))
        if moments[-1] == commits_needed(undisturbed):  # it was through: start over with another directory
            assert written(out) == undisturbed
            attempt += 1
            out = tmp_path / f"out{attempt}"
    assert run(Job.parse(settings(long_corpus, out))).exit_status == 0
    assert written(out) == undisturbed
    assert len(set(moments)) > 5, "the kills came at all stages of the work"
    assert set(open_corpus(out)) == {"0.flac", "1.flac", "2.flac", "talk.mp3"}


@pytest.mark.parametrize("when", ["workers start", "workers work"])
def test_a_signal_ends_a_run_in_good_order(when: str, long_corpus: Path, tmp_path: Path) -> None:
    """SIGTERM, as batch systems and `timeout` send it to the driver."""
    out, job = tmp_path / "out", tmp_path / "job.yaml"
    cluster = {"cluster": {"kwargs": {"n_workers": 2}}}
    job.write_text(Job.parse(settings(long_corpus, out) | cluster).to_yaml())
    command = [sys.executable, "-m", "hpss_batch", "run", str(job)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (workers_of(process.pid) if when == "workers start" else commits(out)):
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.002)
    process.terminate()
    assert process.communicate(timeout=60)[1] == STOPPED
    assert process.returncode == 128 + signal.SIGTERM
    assert not workers_of(process.pid)


JOBQUEUE = """
import signal, sys
from distributed import LocalCluster as Cluster
signal.signal(signal.SIGINT, lambda *_: sys.exit())
"""
"""What importing dask-jobqueue 0.9.0 does."""


def test_ctrl_c_is_no_success_where_the_cluster_s_package_wants_it_to_be(
    long_corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "rude_cluster.py").write_text(JOBQUEUE)
    out, job = tmp_path / "out", tmp_path / "job.yaml"
    cluster = {"cluster": {"class": "rude_cluster.Cluster", "kwargs": {"n_workers": 1}}}
    job.write_text(Job.parse(settings(long_corpus, out) | cluster).to_yaml())
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", HEARING, "run", str(job), "--allow-cluster-class"],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    while not commits(out):
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    assert STOPPED in process.communicate(timeout=60)[1]
    assert process.returncode == 130


@pytest.mark.parametrize("when", ["workers start", "workers work"])
def test_ctrl_c_ends_a_run_without_a_word_too_many(when: str, long_corpus: Path, tmp_path: Path) -> None:
    """A terminal sends it to every process: the driver, and workers as they start and as they work."""
    out, job = tmp_path / "out", tmp_path / "job.yaml"
    cluster = {"cluster": {"kwargs": {"n_workers": 2}}}
    job.write_text(Job.parse(settings(long_corpus, out) | cluster).to_yaml())
    command = [sys.executable, "-c", HEARING, "run", str(job)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (workers_of(process.pid) if when == "workers start" else commits(out)):
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode in (130, -signal.SIGINT)  # to a shell, both are 130
    assert said == STOPPED


def commits_needed(files: dict[str, bytes]) -> int:
    return sum(name.startswith("commits/") for name in files)


@pytest.mark.slow
def test_kill_9_of_workers_at_random_moments(
    long_corpus: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    dice, job, kills, run_number = random.Random(2), tmp_path / "job.yaml", 0, 0
    cluster = {
        "cluster": {"kwargs": {"n_workers": 2}},
        "dask": {"distributed.scheduler.allowed-failures": 100},
    }
    while kills < TRIES:
        out, run_number = tmp_path / f"out{run_number}", run_number + 1
        job.write_text(Job.parse(settings(long_corpus, out) | cluster).to_yaml())
        process, before = driver(job), 0
        while process.poll() is None:
            if commits(out) == before:  # let something happen between two kills, or nothing ever will
                time.sleep(0.002)
                continue
            time.sleep(dice.uniform(0, 0.2))
            before = commits(out)
            for worker in workers_of(process.pid)[: dice.choice([1, 1, 2])]:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
                    kills += 1
        assert process.wait() == 0
        assert written(out) == undisturbed


def workers_of(driver: int) -> list[int]:
    """Worker processes of a run: what its fork server forked, or what began from nothing."""
    try:
        children = psutil.Process(driver).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = []
    for child in children:
        try:
            command, forked = " ".join(child.cmdline()), child.ppid() != driver
            is_worker = "spawn_main" in command or ("forkserver" in command and forked)
            if is_worker and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found
