"""Runs over recordings that FFmpeg reads: with PyAV, without it, and with it on one of two machines."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from helpers import ENCODED_RATE as RATE
from helpers import encode, music, settings

from hpss_batch import open_corpus, plan, verify
from hpss_batch.config.job import Job
from hpss_batch.corpus.listing import find
from hpss_batch.errors import ParameterError, StoreError
from hpss_batch.runner.run import Result
from hpss_batch.store.directory import RunDirectory
from hpss_batch.tasks.unit import worker_address

LENGTH = 100_001

RunJob = Callable[..., Result]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A WAV file, the same in AAC and in Opus, and what no decoder reads."""
    folder = tmp_path / "music"
    folder.mkdir()
    samples = music(LENGTH / RATE, RATE, 2)
    sf.write(folder / "a.wav", samples, RATE)
    encode(folder / "b.m4a", "aac", "mp4", samples.T)
    encode(folder / "c.webm", "libopus", "webm", samples.T)
    (folder / "d.m4p").write_bytes(b"protected")
    return folder


@pytest.fixture
def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda *name: None if name[0] == "av" else honest(*name))


@pytest.mark.usefixtures("verifying_threads")
def test_any_units_give_the_same_and_say_who_decoded(mixed: Path, tmp_path: Path, run_job: RunJob) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    assert run_job(mixed, small, output__unit_frames=512).catalog.counts == {"done": 3}
    assert run_job(mixed, large, output__unit_frames=8192, output__stems=True).exit_status == 0
    one, other = open_corpus(small), open_corpus(large)
    for track in ("a.wav", "b.m4a", "c.webm"):
        for name in one[track].data_vars:
            np.testing.assert_array_equal(one[track][name].values, other[track][name].values)
    rows = {row.id: row.decoder for row in RunDirectory(small).catalog().rows}
    assert rows == {"a.wav": "libsndfile", "b.m4a": "ffmpeg", "c.webm": "ffmpeg"}
    versions = json.loads((large / "commits" / "00000000.json").read_text())["versions"]
    assert {"libsndfile", "av", "libavcodec", "libavformat"} <= versions.keys()
    assert verify(small, sample=None).exit_status == 0
    assert LENGTH <= sf.info(large / "stems" / "b.harmonic.flac").frames < LENGTH + 1024


def test_the_decoder_is_part_of_a_job_only_where_it_changes_numbers(
    mixed: Path, tmp_path: Path, run_job: RunJob
) -> None:
    def job(decoder: str) -> Job:
        return Job.parse(settings(mixed, tmp_path / "out", corpus__decoder=decoder))

    assert "decoder" not in job("auto").numerics()["corpus"]
    assert job("auto").fingerprint() == job("libsndfile").fingerprint() != job("ffmpeg").fingerprint()
    assert run_job(mixed, tmp_path / "out", corpus__decoder="libsndfile").catalog.counts == {"done": 1}
    assert run_job(mixed, tmp_path / "out").catalog.counts == {"done": 3}
    with pytest.raises(StoreError, match=r"corpus\.decoder: not set there, .?ffmpeg.? here"):
        plan(job("ffmpeg"))


@pytest.mark.usefixtures("without_pyav")
def test_without_pyav_files_are_skipped_with_the_command_that_helps(mixed: Path, tmp_path: Path) -> None:
    listing = find(mixed)
    assert [found.id for found in listing.files] == ["a.wav"]
    said = dict(listing.unreadable)
    for name in ("b.m4a", "c.webm"):
        assert "pip install 'hpss-batch[ffmpeg]'" in said[name]
    assert "pip" not in said["d.m4p"]
    with pytest.raises(ParameterError, match=r"decoder is ffmpeg.*pip install 'hpss-batch\[ffmpeg\]'"):
        plan(Job.parse(settings(mixed, tmp_path / "out", corpus__decoder="ffmpeg")))


@pytest.mark.parametrize("stems", [None, True])
def test_a_worker_without_pyav_costs_a_try_and_no_track(
    stems: bool | None, mixed: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str, package: str | None = None) -> object:
        return None if name == "av" and worker_address() else honest(name, package)

    honest = importlib.util.find_spec
    changes = {"output__stems": stems, "output__arrays": [] if stems else ["harmonic_mask"]}
    with monkeypatch.context() as there:
        there.setattr(importlib.util, "find_spec", find_spec)
        result = run_job(mixed, tmp_path / "out", **changes)
    assert result.catalog.counts == {"done": 1, "failed": 2}
    assert "there is no PyAV; pip install 'hpss-batch[ffmpeg]' there" in result.failed["b.m4a"]
    again = run_job(mixed, tmp_path / "out", **changes)  # without being asked to try again
    assert again.catalog.counts["done"] == 3
    assert again.exit_status == 0
