"""What has become of the files of a run directory: new, changed, touched, vanished; and what a run makes of it."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile as sf
from click.testing import CliRunner
from helpers import music, settings, shards

from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.runner.plan import plan
from hpss_batch.runner.run import Result
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.store.records import Commit

RunJob = Callable[..., Result]
KINDS = {
    "arrays": {},
    "stems": {"output__arrays": [], "output__stems": True},
    "both": {"output__stems": {"components": ["harmonic"]}},
}


@pytest.fixture
def corpus(corpus_folder: Path, tmp_path: Path) -> Path:
    """Music that may be changed, with a file in it that cannot be read at all, and one that cannot be decoded."""
    folder = tmp_path / "music"
    shutil.copytree(corpus_folder, folder)
    (folder / "no audio.wav").write_bytes(b"nothing")
    whole = (folder / "talk.mp3").read_bytes()
    (folder / "torn.mp3").write_bytes(whole[: len(whole) // 2] + bytes(4000) + whole[len(whole) // 2 :])
    return folder


@pytest.fixture
def done(corpus: Path, tmp_path: Path, run_job: RunJob) -> RunDirectory:
    """What a run made of it."""
    run_job(corpus, tmp_path / "out")
    return RunDirectory(tmp_path / "out")


def touch(folder: Path, seconds: int) -> int:
    """Give all files another time; how many there are."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        os.utime(path, (seconds, seconds))
    return len(files)


def records(out: Path) -> dict[str, bytes]:
    """All commits, those of stems too, by name."""
    return {str(path.relative_to(out)): path.read_bytes() for path in (out / "commits").rglob("*.json")}


@pytest.mark.parametrize("kind", KINDS)
def test_other_times_with_the_same_contents_compute_nothing(
    kind: str, corpus: Path, tmp_path: Path, run_job: RunJob
) -> None:
    """As `touch`, `cp`, tar and zip leave files: done, failed while decoding, failed while listing, empty."""
    out, changes = tmp_path / "out", KINDS[kind]
    first = run_job(corpus, out, **changes)
    before = shards(out), records(out)
    n_files = touch(corpus, 1_000_000_000)
    ahead = plan(Job.parse(settings(corpus, out, **changes)))
    assert ahead.files == Counter(touched=n_files)
    assert ahead.is_done
    second = run_job(corpus, out, **changes)
    assert (shards(out), records(out)) == before
    assert second.catalog.counts == first.catalog.counts
    assert set(open_corpus(out).tracks.source_mtime.values) == {10**18}
    third = run_job(corpus, out, **changes)  # which need not look at contents any more
    assert third.plan.files.total() == 0
    assert not third.plan.new
    assert len(third.catalog.generations) == 2


def test_a_byte_that_changed_is_seen_wherever_it_is(corpus: Path, tmp_path: Path, run_job: RunJob) -> None:
    """In a track of many units, of which each knows its share of the file."""
    out, long = tmp_path / "out", corpus / "album" / "long.flac"
    run_job(corpus, out)
    original = long.read_bytes()
    for place in (0, 1, len(original) // 3, len(original) // 2, len(original) - 1):
        edited = bytearray(original)
        edited[place] ^= 1
        long.write_bytes(edited)
        assert plan(Job.parse(settings(corpus, out))).files["changed"] == 1, place
    long.write_bytes(original)
    assert plan(Job.parse(settings(corpus, out))).files["touched"] == 1


def test_what_was_edited_at_the_same_size_is_computed_again(
    corpus: Path, tmp_path: Path, run_job: RunJob
) -> None:
    out, song = tmp_path / "out", corpus / "other rate.wav"
    run_job(corpus, out)
    touch(corpus, 1_000_000_000)
    size = song.stat().st_size
    sf.write(song, music(4.0, 32000, 1, 77), 32000)
    assert song.stat().st_size == size
    result = run_job(corpus, out)
    assert result.plan.files["changed"] == 1
    fresh = tmp_path / "fresh"
    run_job(corpus, fresh)
    for name in ("spectrogram", "harmonic_mask"):
        found, expected = open_corpus(out)[song.name][name], open_corpus(fresh)[song.name][name]
        assert found.values.tobytes() == expected.values.tobytes()


def test_of_directories_without_digests_another_time_means_other_contents(
    corpus: Path, done: RunDirectory, run_job: RunJob
) -> None:
    for number, commit in done.commits().items():
        tracks = {row: replace(outcome, contents=None) for row, outcome in commit.tracks.items()}
        done.folder.replace(Commit(number, {}).name, replace(commit, tracks=tracks).encode())
    os.utime(corpus / "short.wav", (1, 1))
    assert plan(Job.parse(settings(corpus, Path(done.url)))).files["changed"] == 1
    assert run_job(corpus, done.url).catalog.counts["superseded"] == 1


def test_a_track_that_was_touched_before_all_of_it_was_read_is_placed_again(
    corpus: Path, done: RunDirectory, run_job: RunJob
) -> None:
    row = done.catalog().current["album/long.flac"]
    last = max(number for number, commit in done.commits().items() if row in commit.tracks)
    done.folder.delete(Commit(last, {}).name)
    os.utime(corpus / "album" / "long.flac", (1, 1))
    assert plan(Job.parse(settings(corpus, Path(done.url)))).files["changed"] == 1
    assert run_job(corpus, done.url).catalog.counts["pending"] == 0


def test_plan_counts_what_is_new_changed_and_vanished(corpus: Path, tmp_path: Path, run_job: RunJob) -> None:
    out, job = tmp_path / "out", tmp_path / "job.yaml"
    job.write_text(Job.parse(settings(corpus, out)).to_yaml())

    def planned(*options: str) -> str:
        return CliRunner().invoke(main, ["plan", str(job), *options], catch_exceptions=False).stdout

    n_files = sum(path.is_file() for path in corpus.rglob("*"))
    files = json.loads(planned("--json"))["files"]
    assert files == {"new": n_files, "changed": 0, "touched": 0, "vanished": 0}
    run_job(corpus, out)
    (corpus / "talk.mp3").unlink()  # which is done
    (corpus / "torn.mp3").unlink()  # which is not
    os.utime(corpus / "short.wav", (1, 1))
    for name in ("new 1.wav", "new 2.wav", "new 3.wav", "other rate.wav"):
        sf.write(corpus / name, music(1.0, 22050), 22050)
    assert json.loads(planned("--json"))["files"] == {"new": 3, "changed": 1, "touched": 1, "vanished": 2}
    words = planned()
    assert "3 new, 1 changed, 2 vanished, 1 of other times but the same contents" in words
    assert "old rows are superseded" in words
    assert "rows of what vanished stay" in words
    states = run_job(corpus, out).status.figures()["tracks"]
    said = {state["track"]: state["status"] for state in states}
    assert (said["talk.mp3"], said["torn.mp3"], said["other rate.wav@0"]) == (
        "done",
        "vanished",
        "superseded",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_quarantined_is_tried_again_where_workers_have_other_limits(
    kind: str, corpus: Path, tmp_path: Path, run_job: RunJob
) -> None:
    out, changes = tmp_path / "out", KINDS[kind]
    run_job(corpus, out, **changes)
    job, directory = Job.parse(settings(corpus, out, **changes)), RunDirectory(out)
    more = job.replace({"cluster.kwargs.memory_limit": "7GiB"})
    patient = job.replace({"cluster.stalled_after": 1200})
    elsewhere = job.replace({"cluster.kwargs.dashboard_address": ":0"})
    row = directory.catalog().current["short.wav"]

    def quarantine(limits: str | None) -> None:
        for number, commit in directory.commits().items():
            if row in commit.tracks:
                gone = replace(commit.tracks[row], status="quarantined", error="killed", limits=limits)
                tracks = {**commit.tracks, row: gone}
                directory.folder.replace(Commit(number, {}).name, replace(commit, tracks=tracks).encode())
        for record in directory.stem_records(job.stems_key).values():
            if record.row == row:
                gone = replace(record, status="quarantined", error="killed", limits=limits, stems={})
                directory.folder.replace(record.name(job.stems_key or ""), gone.encode())

    quarantine(job.limits)
    assert plan(job).is_done
    assert plan(elsewhere).is_done
    assert not plan(more).is_done
    assert not plan(patient).is_done
    quarantine(None)  # as earlier versions had it
    assert plan(more).is_done
    quarantine(more.limits)
    assert run_job(corpus, out, **changes).catalog.counts["quarantined"] == 0
