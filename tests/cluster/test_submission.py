"""A wait that nothing will end ends all the same, and says why."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import soundfile as sf
from helpers import THREADS, music, settings

from hpss_batch.cluster import submission, workforce
from hpss_batch.config.job import Job
from hpss_batch.errors import ClusterError
from hpss_batch.runner.run import run


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workforce, "PATIENCE_SECONDS", 3)
    monkeypatch.setattr(workforce, "LOOK_SECONDS", 0.2)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "song.wav", music(3.0, 22050), 22050)
    return tmp_path / "music"


def test_workers_that_wait_for_memory_that_never_comes(song: Path, tmp_path: Path, impatient: None) -> None:
    limit = int(
        1.1 * psutil.Process().memory_info().rss
    )  # more than 80 % of it is taken: Dask pauses the worker
    threads = {"class": THREADS["class"], "kwargs": {**THREADS["kwargs"], "memory_limit": limit}}
    job = settings(song, tmp_path / "out", output__unit_frames=512) | {"cluster": threads}
    job["dask"] = {"distributed.worker.memory.monitor-interval": "20 ms"}
    with pytest.raises(ClusterError, match=r"paused by Dask.* memory_limit"):
        run(Job.parse(job))


def test_a_cluster_without_workers(song: Path, tmp_path: Path, impatient: None) -> None:
    out = tmp_path / "out"
    nobody = {"class": THREADS["class"], "kwargs": {**THREADS["kwargs"], "n_workers": 0}}
    with pytest.raises(ClusterError, match="no worker has been alive"):
        run(Job.parse(settings(song, out) | {"cluster": nobody}))


class _Client:
    """A client of two threads, whose futures are done at once."""

    status, cluster = "running", None

    def nthreads(self) -> dict[str, int]:
        return {"a": 1, "b": 1}

    def submit(self, function: Callable[..., Any], *arguments: Any, key: str, **options: Any) -> "_Future":
        return _Future(key, function(*arguments))


class _Future:
    """A future; every second one is lost with its worker, once."""

    status = "finished"

    def __init__(self, key: str, value: Any) -> None:
        self.key, self.value, self.lost = key, value, value % 2

    def result(self, timeout: float) -> Any:
        if self.lost:
            self.lost = False
            raise TimeoutError
        return self.value

    def done(self) -> bool:
        return True

    def add_done_callback(self, done: Callable[[Any], None]) -> None:
        done(self)


def test_a_few_tasks_a_thread_are_under_way_and_each_comes_back_until_it_is_done() -> None:
    taken, tries = list[int](), Counter[int]()

    def tasks() -> Iterator[int]:
        for task in range(20):
            taken.append(task)
            yield task

    client: Any = _Client()
    workers = workforce.Workforce(client)
    submissions = submission.Submissions(workers, tasks(), lambda task: (abs, (-task,)), "task-{}".format)
    for task, result in submissions:
        assert result.result() == task
        assert len(taken) <= sum(tries.values()) + 4 + 1  # nothing is made before there is room for it
        tries[task] += 1
        if task % 7 == 3 and tries[task] < 3:
            submissions.again(task)
    assert tries == {task: 3 if task % 7 == 3 else 1 for task in range(20)}
