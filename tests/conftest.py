"""Small corpora that tests run on: made here, so that nothing but the package is needed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
import soundfile as sf
from helpers import THREADS, music, settings
from object_server import ObjectServer, object_server

from hpss_batch.config.job import Job
from hpss_batch.config.sections import Cluster
from hpss_batch.runner.run import Result, run

collect_ignore = (
    []
    if int(av.__version__.partition(".")[0]) >= 19
    else ["audio/speakers/test_naming.py", "stems/test_layouts.py"]
)
"""FFmpeg is the judge of speakers, and PyAV before 19, the last for Python 3.11, reads some from memory given back."""


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks of many formats, rates, channels and lengths; some straddle several units of 512 frames."""
    root = tmp_path_factory.mktemp("music")
    (root / "album").mkdir()
    sf.write(root / "album" / "long.flac", music(9.0, 22050, 2, 1), 22050)
    sf.write(root / "album" / "song.ogg", music(5.0, 22050, 2, 2), 22050)
    sf.write(root / "talk.mp3", music(6.0, 22050, 1, 3), 22050)
    sf.write(root / "other rate.wav", music(4.0, 32000, 1, 4), 32000)
    sf.write(root / "short.wav", music(0.3, 22050, 2, 5), 22050)
    sf.write(root / "one sample.wav", music(0.5, 22050)[:1], 22050)
    sf.write(root / "no samples.wav", music(0.5, 22050)[:0], 22050)
    return root


@pytest.fixture
def run_job() -> Callable[..., Result]:
    """Run a small job in this process."""

    def run_it(corpus: Path, out: Path, retry_failed: bool = False, **changes: Any) -> Result:
        return run(Job.parse(settings(corpus, out, **changes)), retry_failed=retry_failed)

    return run_it


@pytest.fixture
def verifying_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification starts worker processes of its own; tests of what it finds do with a thread of this one."""
    monkeypatch.setattr(
        "hpss_batch.verification.verify.Cluster", lambda kwargs: Cluster(kwargs=THREADS["kwargs"])
    )


@pytest.fixture(scope="session")
def running_object_server() -> Iterator[ObjectServer]:
    """An S3 server for all tests of a process."""
    with object_server() as server:
        yield server


@pytest.fixture
def bucket(running_object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    """An S3 server with an empty bucket, that the environment leads to."""
    running_object_server.empty()
    for name, value in running_object_server.environment.items():
        monkeypatch.setenv(name, value)
    return running_object_server
