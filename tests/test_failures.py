"""Files that cannot be read, and workers that die: a reason that a person understands, and nothing else lost."""

import errno
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from helpers import THREADS, music, settings

from hpss_batch.config.job import Job
from hpss_batch.errors import StoreError, TrackError
from hpss_batch.runner.plan import plan
from hpss_batch.runner.run import Result, run
from hpss_batch.store.layout import Placed
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.tasks.unit import worker_address

RunJob = Callable[..., Result]


@pytest.fixture
def spoilt(corpus_folder: Path, tmp_path: Path) -> Path:
    """A copy of the corpus with one file of each kind of bad."""
    folder = tmp_path / "music"
    shutil.copytree(corpus_folder, folder)
    whole = (folder / "album" / "long.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "zero.wav").touch()
    (folder / "text.mp3").write_text("Dear diary, this is no music.\n" * 40)
    samples = music(3.0, 22050)
    sf.write(folder / "lying.wav", samples, 22050)
    lying = bytearray((folder / "lying.wav").read_bytes())
    at = lying.find(b"data") + 4
    lying[at : at + 4] = struct.pack("<I", 20 * len(samples) * 2)
    (folder / "lying.wav").write_bytes(lying)
    samples[40_000] = np.nan
    sf.write(folder / "nan.wav", samples, 22050, subtype="FLOAT")
    os.mkfifo(folder / "pipe.wav")
    (folder / "circle").symlink_to(folder)
    return folder


REASONS = {
    "truncated.flac": "cut short",
    "zero.wav": "is empty",
    "text.mp3": "not audio but text",
    "lying.wav": "announces",
    "nan.wav": "NaN (not a number) at 1.8",
}


def test_bad_files_get_a_reason_and_the_rest_is_unharmed(
    spoilt: Path, corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    result = run_job(spoilt, tmp_path / "out")
    assert result.exit_status == 1
    assert set(result.failed) == set(REASONS)
    for track, reason in REASONS.items():
        assert reason in result.failed[track]
    run_job(corpus_folder, tmp_path / "good")
    corpus, good = open_corpus(tmp_path / "out"), open_corpus(tmp_path / "good")
    assert set(corpus) == set(good)
    for track in good:
        assert corpus[track].drop_attrs().load().identical(good[track].drop_attrs().load())
    with pytest.raises(TrackError, match=r"nan.wav is failed: holds NaN"):
        corpus["nan.wav"]


def test_frames_of_a_failed_track_are_a_gap(spoilt: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(spoilt, tmp_path / "out")
    corpus = open_corpus(tmp_path / "out")
    row = corpus.tracks.to_pandas().loc["nan.wav"]
    failed = slice(row.frame_start + 512, row.frame_start + 1024)  # its second unit, which holds the NaN
    assert np.isnan(corpus.dataset.harmonic_mask[0, failed].values).all()


def test_a_corpus_of_which_nothing_can_be_read_ends_with_status_2(tmp_path: Path, run_job: RunJob) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.wav").write_text("no")
    assert run_job(tmp_path / "music", tmp_path / "out").exit_status == 2


def test_the_command_line_says_so_and_exits_with_1(spoilt: Path, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(Job.parse(settings(spoilt, tmp_path / "out")).to_yaml())

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hpss_batch", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )

    done = command("run", "job.yaml")
    assert done.returncode == 1, done.stderr
    for track, reason in REASONS.items():
        assert track in done.stdout
        assert reason in done.stdout
    again = command("run", "job.yaml")
    assert again.returncode == 1
    assert "Nothing to do" in again.stdout
    status = command("status", "out", "--json")
    assert status.returncode == 1
    figures = json.loads(status.stdout)
    assert figures["counts"] == {"done": 7, "failed": 5}
    assert {t["track"] for t in figures["tracks"] if t["status"] == "failed"} == set(REASONS)
    other = command("run", "job.yaml", "--set", "hpss.power=1")
    assert other.returncode == 2
    assert "hpss.power: 2.0 there, 1.0 here" in other.stderr
    assert "Traceback" not in other.stderr + done.stderr


KILLER = """
import os
import signal

from hpss_batch.audio import decoder

if "honest" not in globals():  # Dask may load this twice
    honest = decoder.Decoder.__init__

    def deadly(self, path, **kwargs):
        if path.endswith("killer.wav"):
            os.kill(os.getpid(), signal.SIGKILL)
        honest(self, path, **kwargs)

    decoder.Decoder.__init__ = deadly
"""


@pytest.mark.slow
def test_a_track_that_kills_workers_is_found_and_quarantined(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for name in ("a.wav", "killer.wav", "z.wav"):
        sf.write(folder / name, music(0.4, 22050), 22050)
    (tmp_path / "killer.py").write_text(KILLER)
    cluster = {"kwargs": {"n_workers": 1, "preload": str(tmp_path / "killer.py")}}
    job = Job.parse(settings(folder, tmp_path / "out") | {"cluster": cluster})
    result = run(job)
    assert result.exit_status == 1
    assert "killed its worker 3 times" in result.failed["killer.wav"]
    assert plan(job).is_done
    assert len(plan(job.replace({"cluster.kwargs.memory_limit": "3GiB"})).pending) == 1
    assert result.catalog.counts == {"done": 2, "quarantined": 1}
    assert set(open_corpus(tmp_path / "out")) == {"a.wav", "z.wav"}


def test_a_unit_that_cannot_be_written_is_not_reported_as_done(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_job: RunJob
) -> None:
    from hpss_batch.store.storage import LocalFile

    honest = LocalFile.write

    def full_disk(self: LocalFile, data: bytes) -> None:
        if self.final.name.startswith("c.0.1."):
            raise OSError(28, "No space left on device")
        honest(self, data)

    monkeypatch.setattr(LocalFile, "write", full_disk)
    result = run_job(corpus_folder, tmp_path / "out")
    assert result.exit_status == 1
    assert "No space left on device" in result.broken["unit 1"]
    assert result.catalog.counts["pending"] > 0
    assert not [*(tmp_path / "out").rglob("*.partial*")]
    monkeypatch.setattr(LocalFile, "write", honest)
    assert run_job(corpus_folder, tmp_path / "out").exit_status == 0


@pytest.mark.parametrize(
    "fails",
    [
        "store.directory.RunDirectory.place",
        "store.arrays.group.write_arrays",
        "store.arrays.group.write_tracks",
    ],
)
def test_a_disk_that_is_full_when_records_are_written_is_reported(
    fails: str, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "a.wav", music(1.0, 22050), 22050)
    monkeypatch.setattr(f"hpss_batch.{fails}", full)
    with pytest.raises(StoreError, match=r"out cannot be written: No space left on device\. Make room"):
        run_job(tmp_path / "music", tmp_path / "out")
    monkeypatch.undo()
    assert run_job(tmp_path / "music", tmp_path / "out").catalog.counts == {"done": 1}


@pytest.mark.slow
def test_a_track_that_stalls_is_ended_and_quarantined(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    sf.write(folder / "killer.wav", music(0.4, 22050), 22050)
    stalling = KILLER.replace("os.kill(os.getpid(), signal.SIGKILL)", "__import__('time').sleep(3600)")
    (tmp_path / "stalling.py").write_text(stalling)
    cluster = {"kwargs": {"n_workers": 1, "preload": str(tmp_path / "stalling.py")}, "stalled_after": 4}
    dask = {"distributed.scheduler.allowed-failures": 0}
    result = run(Job.parse(settings(folder, tmp_path / "out") | {"cluster": cluster, "dask": dask}))
    assert "stalled 3 times, alone: its worker was ended after 4.2 s" in result.failed["killer.wav"]
    assert result.catalog.counts == {"quarantined": 1}
    assert result.exit_status == 2


@pytest.mark.parametrize("stems", [None, True])
def test_a_worker_that_cannot_reach_a_file_costs_a_try_and_no_track(
    stems: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers; from one of them the corpus cannot be read: a mount that is missing, a network that is down."""
    folder, out = tmp_path / "music", tmp_path / "out"
    folder.mkdir()
    for number in range(6):
        sf.write(folder / f"{number}.wav", music(1.0, 22050), 22050)
    cluster = {**THREADS, "kwargs": {**THREADS["kwargs"], "n_workers": 2}}
    arrays: list[str] = [] if stems else ["harmonic_mask"]
    job = Job.parse(settings(folder, out, output__stems=stems, output__arrays=arrays) | {"cluster": cluster})
    cut_off, most, honest = set[str](), 2, Placed.check_file

    def check_file(track: Placed) -> None:
        if len(cut_off) < most:
            cut_off.add(worker_address())
        if worker_address() in cut_off:
            raise OSError(errno.EIO, "Input/output error")
        honest(track)

    def unreachable(track: Placed) -> str | None:
        return "cannot be reached from node7: Input/output error" if worker_address() in cut_off else None

    monkeypatch.setattr(Placed, "check_file", check_file)
    monkeypatch.setattr("hpss_batch.tasks.unit.why_unreachable", unreachable)
    monkeypatch.setattr("hpss_batch.stems.task.why_unreachable", unreachable)
    none = run(job)
    assert none.catalog.counts == {"failed": 6}
    assert "node7: Input/output error" in none.failed["3.wav"]
    cut_off.clear()
    most = 1
    both = run(job)  # without being asked to try again
    assert both.catalog.counts["done"] == 6
    assert both.exit_status == 0
