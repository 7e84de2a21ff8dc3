"""A wait that nothing will end ends all the same, and says why."""

from pathlib import Path

import psutil
import pytest
import soundfile as sf
from helpers import THREADS, music, settings

from hpss_batch.config.job import Job
from hpss_batch.errors import ClusterError
from hpss_batch.runner import cluster
from hpss_batch.runner.run import run
from hpss_batch.verification.verify import verify


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 3)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.2)


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
    run(Job.parse(settings(song, out)))
    text = (out / "job.yaml").read_text()
    assert "n_workers: 1" in text
    (out / "job.yaml").write_text(text.replace("n_workers: 1", "n_workers: 0"))
    with pytest.raises(ClusterError, match="no worker has been alive"):
        verify(out)
