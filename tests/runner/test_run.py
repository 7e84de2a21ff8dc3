"""A run from end to end: the same numbers however it is cut, resumed, grown or interrupted."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile as sf
import xarray as xr
from helpers import SMALL, music, settings, shards

from hpss_batch.config.job import Job
from hpss_batch.errors import CorpusError, ParameterError, StoreError
from hpss_batch.runner.plan import plan
from hpss_batch.runner.run import Result, run
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.store.storage import LocalFolder
from hpss_batch.tasks.sources import AudioSource

RunJob = Callable[..., Result]


def by_track(out: Path) -> dict[str, xr.Dataset]:
    corpus = open_corpus(out)
    return {track: corpus[track].load() for track in corpus}


def assert_same(a: dict[str, xr.Dataset], b: dict[str, xr.Dataset]) -> None:
    assert a.keys() == b.keys()
    for track in a:
        for name in set(a[track].variables) & set(b[track].variables):
            np.testing.assert_array_equal(
                a[track][name].values, b[track][name].values, err_msg=f"{track} {name}"
            )


@pytest.fixture(scope="module")
def reference(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in units of 512 frames, which cut the longer tracks to pieces."""
    out = tmp_path_factory.mktemp("reference") / "out"
    assert run(Job.parse(settings(corpus_folder, out))).exit_status == 0
    return out


def test_masks_are_librosas_exactly_across_units(reference: Path) -> None:
    tracks = by_track(reference)
    assert len(tracks) == 7
    assert max(data.sizes["frame"] for data in tracks.values()) > 5 * 512
    for track, data in tracks.items():
        if not data.sizes["frame"]:
            continue
        spectrogram = data.spectrogram.transpose("channel", "frequency", "frame").values
        expected = librosa.decompose.hpss(spectrogram, mask=True, kernel_size=17)
        for name, mask in zip(("harmonic_mask", "percussive_mask"), expected, strict=True):
            found = data[name].transpose("channel", "frequency", "frame").values
            np.testing.assert_array_equal(found, mask, err_msg=f"{track} {name}")


def test_spectrograms_are_librosas_to_rounding(reference: Path, corpus_folder: Path) -> None:
    track = open_corpus(reference)["album/long.flac"]
    samples, _ = sf.read(corpus_folder / "album" / "long.flac", dtype="float32")
    expected = librosa.stft(samples.mean(axis=1), **SMALL).T
    found = track.spectrogram.values[0]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()


def test_lengths_are_what_decoding_yields(reference: Path, corpus_folder: Path) -> None:
    tracks = open_corpus(reference).tracks.to_pandas()
    samples, _ = sf.read(corpus_folder / "talk.mp3")
    assert tracks.n_samples["talk.mp3"] == len(samples)
    assert tracks.n_samples["other rate.wav"] == -(-4 * 32000 * 22050 // 32000)
    assert tracks.n_samples["one sample.wav"] == 1
    assert tracks.n_frames["one sample.wav"] == 1
    assert tracks.n_frames["no samples.wav"] == 0
    assert (tracks.status == "done").all()


@pytest.mark.parametrize("unit_frames", [1024, 4096, None])
def test_every_cutting_gives_the_same_bits(
    unit_frames: int | None, reference: Path, corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    run_job(corpus_folder, tmp_path / "out", output__unit_frames=unit_frames)
    assert_same(by_track(reference), by_track(tmp_path / "out"))


def test_two_processes_give_the_same_bytes(
    reference: Path, corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    cluster = {"kwargs": {"n_workers": 2}}
    job = settings(corpus_folder, tmp_path / "out") | {"cluster": cluster}
    run(Job.parse(job))
    assert shards(reference) == shards(tmp_path / "out")


def test_stored_spectrograms_give_the_same_bytes_as_audio(
    reference: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    job = {
        "corpus": {"path": str(reference)},
        "hpss": {"kernel_size": 17},
        "output": {"path": str(tmp_path / "out"), "arrays": ["harmonic_mask", "percussive_mask"]},
        "cluster": settings(reference, tmp_path)["cluster"],
    }
    assert run(Job.parse(job)).exit_status == 0
    one_pass = {name: data for name, data in shards(reference).items() if not name.startswith("spectrogram")}
    assert shards(tmp_path / "out") == one_pass
    assert_same(by_track(reference), by_track(tmp_path / "out"))


def test_a_second_stage_takes_its_settings_from_the_first(
    reference: Path, tmp_path: Path, run_job: RunJob
) -> None:
    with pytest.raises(ParameterError, match=r"stft.hop_length.*hop_length=64"):
        run_job(reference, tmp_path / "out", stft__hop_length=128)
    with pytest.raises(CorpusError, match="json"):
        run_job(reference / "commits", tmp_path / "out")


@pytest.mark.parametrize("margin", [1.0, [1.0, 5.0], 3.0])
def test_components_are_masks_times_spectrogram_and_add_up(
    margin: object, corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    arrays = ["spectrogram", "harmonic_mask", "percussive_mask", "harmonic", "percussive", "residual"]
    run_job(
        corpus_folder,
        tmp_path / "out",
        hpss__margin=margin,
        output__arrays=arrays,
        corpus__include=["song.ogg"],
    )
    data = open_corpus(tmp_path / "out")["album/song.ogg"].load()
    whole = data.spectrogram.values
    for name in ("harmonic", "percussive"):
        np.testing.assert_array_equal(data[name].values, whole * data[f"{name}_mask"].values)
    residual = whole - data.harmonic.values - data.percussive.values
    np.testing.assert_array_equal(data.residual.values, residual)
    expected = librosa.decompose.hpss(
        whole[0].T, kernel_size=17, margin=margin if isinstance(margin, float) else (1.0, 5.0)
    )
    for name, component in zip(("harmonic", "percussive"), expected, strict=True):
        error = np.abs(data[name].values[0].T - component).max()
        assert error <= 4e-7 * np.abs(whole).max(), name


@pytest.mark.parametrize(("dtype", "step"), [("uint16", 1 / 65534), ("uint8", 1 / 254)])
def test_quantised_masks_are_the_nearest_codes(
    dtype: str, step: float, reference: Path, corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    out = tmp_path / "out"
    run_job(corpus_folder, out, output__mask_dtype=dtype, output__arrays=["harmonic_mask", "percussive_mask"])
    exact, found = by_track(reference), by_track(out)
    for track, data in found.items():
        for name in ("harmonic_mask", "percussive_mask"):
            assert data[name].dtype == np.float32
            difference = np.abs(data[name].values - exact[track][name].values)
            assert difference.max(initial=0) <= step / 2 + 1.2e-7  # and float32's own rounding
    packed = xr.open_zarr(out / "corpus.zarr")
    assert float(packed.harmonic_mask.min()) >= 0
    assert float(packed.harmonic_mask.max()) <= 1
    gap = packed.harmonic_mask.isel(channel=0).where((packed.track_index < 0).compute(), drop=True)
    assert bool(gap.isnull().all())


def test_channels_all_keeps_every_channel_and_absent_ones_cost_no_bytes(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    out = tmp_path / "out"
    run_job(corpus_folder, out, corpus__channels="all", output__unit_frames=1024)
    corpus = open_corpus(out)
    assert corpus["album/long.flac"].sizes["channel"] == 2
    assert corpus["talk.mp3"].sizes["channel"] == 1
    stereo, _ = sf.read(corpus_folder / "album" / "long.flac", dtype="float32", always_2d=True)
    expected = librosa.stft(stereo.T.copy(), **SMALL)
    found = corpus["album/long.flac"].spectrogram.transpose("channel", "frequency", "frame").values
    assert np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()
    only_mono = [row for row in corpus.tracks.to_pandas().itertuples() if row.source_channels == 1]
    assert only_mono
    stored = shards(out)
    units = {int(name.split(".")[2]) for name in stored if name.startswith("harmonic_mask/c.1.")}
    stereo_units = {
        frame // 1024
        for row in corpus.tracks.to_pandas().itertuples()
        if row.source_channels == 2 and row.n_frames
        for frame in (row.frame_start, row.frame_start + row.n_frames - 1)
    }
    assert units <= {u for a in stereo_units for u in range(a, max(stereo_units) + 1)}
    assert len(units) < len(
        {int(name.split(".")[2]) for name in stored if name.startswith("harmonic_mask/c.0.")}
    )


def test_the_store_reads_sensibly_without_this_package(reference: Path) -> None:
    packed = xr.open_zarr(reference / "corpus.zarr")
    assert packed.harmonic_mask.dims == ("channel", "frame", "frequency")
    assert packed.time.attrs["units"] == "s"
    assert packed.frequency.values[-1] == 11025
    index = packed.track_index.values
    starts, counts = packed.frame_start.values, packed.n_frames.values
    for row, (start, n_frames) in enumerate(zip(starts, counts, strict=True)):
        assert (index[start : start + n_frames] == row).all()
        times = packed.time.values[start : start + n_frames]
        np.testing.assert_array_equal(
            times, librosa.frames_to_time(np.arange(n_frames), sr=22050, hop_length=64)
        )
    assert (index == -1).sum() == packed.sizes["frame"] - counts.sum()
    per_track = (
        packed.harmonic_mask.isel(channel=0)
        .mean("frequency")
        .load()
        .groupby(packed.track_index.load())
        .mean()
    )
    assert per_track.sizes["track_index"] == 7  # six tracks with frames, and the gaps
    assert packed.attrs["Conventions"].startswith("CF")
    assert all("long_name" in variable.attrs for variable in packed.variables.values())


def test_a_finished_run_does_nothing(reference: Path, corpus_folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in reference.rglob("*")}
    job = settings(corpus_folder, reference) | {"cluster": {"class": "no.such.Cluster"}}  # none is started
    result = run(Job.parse(job))
    assert not result.plan.pending
    assert result.exit_status == 0
    assert before == {path: path.stat().st_mtime_ns for path in reference.rglob("*")}


def test_a_plan_changes_nothing(corpus_folder: Path, tmp_path: Path) -> None:
    planned = plan(Job.parse(settings(corpus_folder, tmp_path / "out")))
    assert len(planned.pending) == len(planned.catalog.units) > 5
    assert planned.task_bytes > 0
    assert not (tmp_path / "out").exists()


def test_other_settings_in_the_same_directory_are_refused_by_name(
    reference: Path, corpus_folder: Path, run_job: RunJob
) -> None:
    with pytest.raises(StoreError, match=r"hpss.margin: 1.0 there, 3.0 here"):
        run_job(corpus_folder, reference, hpss__margin=3.0)


@pytest.fixture
def growing(corpus_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    shutil.copytree(corpus_folder, folder)
    return folder


def test_new_changed_and_vanished_files_become_generations(
    growing: Path, tmp_path: Path, run_job: RunJob, reference: Path
) -> None:
    out = tmp_path / "out"
    (growing / "broken.wav").write_bytes(b"no audio at all")
    first = run_job(growing, out)
    assert first.exit_status == 1
    untouched = shards(out, without=("time", "track_index"))
    (growing / "broken.wav").unlink()
    sf.write(growing / "new.wav", music(2.0, 22050, 1, 9), 22050)
    sf.write(growing / "short.wav", music(0.8, 22050, 1, 10), 22050)
    second = run_job(growing, out)
    assert second.exit_status == 0
    now = shards(out, without=("time", "track_index"))  # which have shards of many units
    assert {name: data for name, data in now.items() if name in untouched} == untouched
    tracks = open_corpus(out).tracks.to_pandas()
    assert tracks.status["broken.wav"] == "vanished"
    assert tracks.status["short.wav@0"] == "superseded"
    assert tracks.status["short.wav"] == "done"
    assert tracks.n_samples["short.wav"] == round(0.8 * 22050)
    fresh = tmp_path / "fresh"
    run_job(growing, fresh)
    assert_same(by_track(out), by_track(fresh))


def test_the_same_run_twice_gives_the_same_commits(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    for name in ("once", "twice"):
        run_job(corpus_folder, tmp_path / name, output__stems=True, output__features={"kinds": ["rms"]})
    once, twice = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.json")}
        for name in ("once", "twice")
    )
    commits = [path for path in once if path.parts[0] == "commits"]
    assert len(commits) > 10
    assert {path: once[path] for path in commits} == {path: twice[path] for path in commits}


@pytest.mark.parametrize(
    "changes", [{}, {"output__stems": True, "output__arrays": []}], ids=["arrays", "stems"]
)
def test_what_a_late_worker_commits_of_a_layout_that_was_cleared_counts_for_nothing(
    changes: dict[str, Any], corpus_folder: Path, growing: Path, tmp_path: Path, run_job: RunJob
) -> None:
    out, expected = tmp_path / "out", tmp_path / "expected"
    sf.write(growing / "a first one.wav", music(1.0, 22050), 22050)  # so that all others have other rows
    run_job(growing, tmp_path / "late", **changes)
    run_job(corpus_folder, expected, **changes)
    shutil.copytree(expected, out)
    theirs = {
        path.relative_to(tmp_path / "late"): path for path in (tmp_path / "late").glob("commits/**/0*.json")
    }
    for path in out.glob("commits/**/0*.json"):
        path.unlink()
    for name, path in theirs.items():
        shutil.copy(path, out / name)
    result = run_job(corpus_folder, out, **changes)
    assert not result.plan.is_done
    assert result.catalog.counts == {"done": 7}
    commits = {path.relative_to(expected): path.read_bytes() for path in expected.glob("commits/**/0*.json")}
    assert {name: (out / name).read_bytes() for name in commits} == commits
    assert shards(out) == shards(expected)


def test_a_corpus_that_moved_is_the_same_corpus(growing: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(growing, tmp_path / "out")
    elsewhere = tmp_path / "elsewhere"
    growing.rename(elsewhere)
    assert not run_job(elsewhere, tmp_path / "out").plan.pending


def test_another_corpus_in_the_same_directory_is_refused_by_name(
    growing: Path, tmp_path: Path, run_job: RunJob
) -> None:
    run_job(growing, tmp_path / "out")
    other = tmp_path / "other"
    other.mkdir()
    sf.write(other / "talk.mp3", music(1.0, 22050, 1, 12), 22050)  # a name that is there too
    with pytest.raises(StoreError, match=rf"made from another corpus: .* {growing}/, and none of {other}"):
        run_job(other, tmp_path / "out")
    (other / "talk.mp3").unlink()
    shutil.copy(growing / "short.wav", other)  # some of it, moved, and a new one
    sf.write(other / "new.wav", music(1.0, 22050, 1, 13), 22050)
    assert run_job(other, tmp_path / "out").catalog.counts["done"] == 8


def test_a_run_directory_that_cannot_be_is_refused_before_anything_is_probed(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place, what in (("notes.txt/out", "a file"), ("notes.txt", "a file"), ("link", "a link to nothing")):
        with pytest.raises(StoreError, match=rf"{place} cannot be a run directory: .* is {what}"):
            run_job(corpus_folder, tmp_path / place)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_failed_tracks_are_tried_again_only_when_asked(
    growing: Path, tmp_path: Path, run_job: RunJob
) -> None:
    samples = music(2.0, 22050, 1, 11)
    samples[10_000] = np.nan
    sf.write(growing / "nan.wav", samples, 22050, subtype="FLOAT")
    result = run_job(growing, tmp_path / "out")
    assert result.exit_status == 1
    assert "NaN" in result.failed["nan.wav"]
    stamp = os.stat(growing / "nan.wav")
    again = run_job(growing, tmp_path / "out")
    assert not again.plan.pending
    assert again.exit_status == 1
    sf.write(growing / "nan.wav", np.nan_to_num(samples), 22050, subtype="FLOAT")
    os.utime(growing / "nan.wav", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # repaired, but it does not show
    retried = run_job(growing, tmp_path / "out", retry_failed=True)
    assert len(retried.plan.pending) <= 2
    assert retried.exit_status == 0
    assert "nan.wav" in open_corpus(tmp_path / "out")


def test_a_file_that_changes_while_it_is_read_is_not_done(
    growing: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = AudioSource.hold

    def touching(self: AudioSource, first: int, stop: int) -> int:
        held = hold(self, first, stop)
        if self.track.id == "album/song.ogg":
            os.utime(self.track.path)
        return held

    monkeypatch.setattr(AudioSource, "hold", touching)
    result = run_job(growing, tmp_path / "out")
    assert result.catalog.counts == {"done": 6, "failed": 1}
    assert "changed after it was listed" in result.failed["album/song.ogg"]
    monkeypatch.undo()
    assert run_job(growing, tmp_path / "out").exit_status == 0


def test_what_a_run_made_within_its_corpus_is_no_part_of_it(
    growing: Path, tmp_path: Path, run_job: RunJob
) -> None:
    (growing / "layout").mkdir()  # a folder of music that is called like one of ours
    sf.write(growing / "layout" / "song.wav", music(0.5, 22050, 1, 14), 22050)
    for _ in range(2):
        result = run_job(growing, growing / "out", output__arrays=[], output__stems=True)
        assert result.catalog.counts == {"done": 8}
    assert list((growing / "out" / "stems").rglob("*.flac"))
    assert (
        "out/",
        "is a run directory; its stems are not part of a corpus around it",
    ) in result.plan.listing.skipped


def test_a_name_in_layout_that_is_taken_is_reported(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    (tmp_path / "out" / "layout" / "0000.jsonl.gz").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"layout/0000.jsonl.gz is neither there nor can it be made"):
        run_job(corpus_folder, tmp_path / "out")


def test_two_drivers_at_once_share_the_work(corpus_folder: Path, tmp_path: Path, reference: Path) -> None:
    out, job = tmp_path / "out", tmp_path / "job.yaml"
    job.write_text(Job.parse(settings(corpus_folder, out)).to_yaml())
    drivers = [subprocess.Popen([sys.executable, "-m", "hpss_batch", "run", str(job)]) for _ in range(2)]
    assert [driver.wait(120) for driver in drivers] == [0, 0]
    assert len(list((out / "layout").iterdir())) == 1
    assert shards(out) == shards(reference)
    assert set(open_corpus(out)) == set(open_corpus(reference))


def test_what_is_pending_in_the_source_is_pending_here(
    growing: Path, tmp_path: Path, run_job: RunJob
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    run_job(growing, source)
    last = max(RunDirectory(source).committed())
    (source / "commits" / f"{last:08d}.json").unlink()
    stage = {"hpss__margin": 2.0, "output__arrays": ["harmonic_mask"]}
    first = run_job(source, out, **stage)
    assert first.plan.waiting
    assert first.catalog.counts["pending"] > 0
    assert first.exit_status == 1
    run_job(growing, source)
    second = run_job(source, out, **stage)
    assert len(second.plan.pending) == first.plan.waiting
    assert second.catalog.counts["pending"] == 0
    assert second.exit_status == 0


@pytest.mark.parametrize("stems", [None, True])
def test_a_listing_that_is_behind_costs_nothing(
    stems: bool | None, corpus_folder: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a driver on NFS sees it: what workers committed can be read by name, and is not listed yet."""
    listed = LocalFolder.names
    monkeypatch.setattr(
        LocalFolder, "names", lambda self, prefix: [] if "commits" in prefix else listed(self, prefix)
    )
    result = run_job(corpus_folder, tmp_path / "out", output__stems=stems)
    monkeypatch.undo()
    assert (
        result.catalog.counts == run_job(corpus_folder, tmp_path / "out", output__stems=stems).catalog.counts
    )
    assert result.catalog.counts["pending"] == 0
    assert result.exit_status == (1 if result.failed else 0)


@pytest.mark.parametrize("name", ["C# major", "who?", "100%23", "a&b=c;d", "A$AP [live]"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_any_character_of_a_path_is_a_character(
    scheme: str, name: str, tmp_path: Path, run_job: RunJob
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    sf.write(folder / "t#1?.wav", music(1.0, 22050), 22050)
    written = name.replace("%", "%25").replace("$", "%24") if scheme else name  # as in every URL
    out = f"{scheme}{tmp_path / written}/out"
    (folder / "out" / "corpus.zarr").mkdir(parents=True)
    run_job(folder, Path("out"), output__path=out, output__stems={"components": ["harmonic"]})
    assert sorted(path.name for path in (folder / "out").iterdir() if path.name != "packs") == [
        "commits", "corpus.zarr", "job.yaml", "layout", "stems", "timings",
    ]  # fmt: skip
    assert os.listdir(tmp_path) == [name]
    assert len(shards(folder / "out")) > 3
    assert open_corpus(out)["t#1?.wav"].harmonic_mask.load().notnull().all()
    assert (folder / "out" / "stems" / "t#1?.harmonic.flac").exists()


def test_workers_in_another_folder_write_where_the_driver_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_job: RunJob
) -> None:
    from distributed import LocalCluster

    for name in ("here/music", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    sf.write(tmp_path / "here" / "music" / "a.wav", music(1.0, 22050), 22050)
    monkeypatch.chdir(tmp_path / "elsewhere")
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.chdir(tmp_path / "here")
        job = settings(Path("music"), Path("out"), output__stems=True)
        job["cluster"] = {"connect": cluster.scheduler_address}
        assert run(Job.parse(job)).exit_status == 0
        again = settings(Path("out"), Path("again"), hpss__margin=2) | {"cluster": job["cluster"]}
        assert run(Job.parse(again)).exit_status == 0
        assert os.listdir(tmp_path / "elsewhere") == []
        monkeypatch.chdir(tmp_path)
        assert len(shards(Path("here/out"))) == len(shards(Path("here/again"))) > 3
    written = Job.load("here/out/job.yaml")
    assert (written.corpus.path, written.output.path) == (f"{tmp_path}/here/music", f"{tmp_path}/here/out")
