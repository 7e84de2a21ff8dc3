"""Whatever is done to a run directory is found, said to be where it is, and healed to the bits that were there."""

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import zarr
from click.testing import CliRunner
from distributed import Client, LocalCluster
from helpers import music, settings, shards
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.errors import StoreError
from hpss_batch.runner.render import render
from hpss_batch.runner.run import Result, run
from hpss_batch.store.arrays.group import consolidate
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.verification.findings import Verification
from hpss_batch.verification.verify import verify

pytestmark = pytest.mark.usefixtures("verifying_threads")

RunJob = Callable[..., Result]
MASK = "corpus.zarr/harmonic_mask"
FRAMES = 1024
"""Frames a unit."""


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(
            processes=False, n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def one_cluster(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of these tests on one cluster: starting one takes longer than most of them."""
    for module in ("verification.verify", "runner.run"):
        monkeypatch.setattr(f"hpss_batch.{module}.open_client", lambda *_: nullcontext(client))


@pytest.fixture(scope="module")
def sound(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory as a run leaves it, with all channels and a track that failed."""
    root = tmp_path_factory.mktemp("sound")
    shutil.copytree(corpus_folder, root / "music")
    samples = music(2.0, 22050, 1, 20)
    samples[10_000] = np.nan
    sf.write(root / "music" / "nan.wav", samples, 22050, subtype="FLOAT")
    sf.write(root / "music" / "short too.wav", music(0.4, 22050, 1, 21), 22050)
    assert (
        run(
            Job.parse(
                settings(root / "music", root / "out", corpus__channels="all", output__unit_frames=FRAMES)
            )
        ).exit_status
        == 1
    )
    return root / "out"


@pytest.fixture
def out(sound: Path, tmp_path: Path) -> Path:
    """A copy of it to damage, whose job reads the same music."""
    shutil.copytree(sound, tmp_path / "out")
    return tmp_path / "out"


def files(out: Path) -> dict[str, bytes]:
    """All of a run directory but what says when and by what it was refreshed last."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "job.yaml"
    }


def open_findings(found: Verification) -> list[tuple[str, str]]:
    return [(finding.level, finding.place) for finding in found.open]


def test_a_sound_run_directory_is_sound(sound: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sound.rglob("*")}
    found = verify(sound, sample=None)
    assert found.findings == ()
    assert found.exit_status == 0
    assert found.checked == found.sampled == found.recomputed > 5
    assert found.n_bytes > 1e6
    assert "Everything is as it was committed" in found.summary()
    assert before == {path: path.stat().st_mtime_ns for path in sound.rglob("*")}


def test_a_sample_is_computed_anew_and_no_more(sound: Path) -> None:
    found = verify(sound, sample=2)
    assert (found.sampled, found.recomputed) == (2, 2)
    assert found.checked > 2
    assert verify(sound, sample=0).recomputed == 0


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at if at >= 0 else len(data) // 3] ^= 0x10
    path.write_bytes(bytes(data))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(path: Path) -> None:
    path.write_bytes(path.with_name("c.0.1.0").read_bytes())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (Path.unlink, "is missing"),
        (truncate, "cannot be decoded"),
        (lambda path: path.write_bytes(b""), "cannot be decoded|lacks chunks"),
        (flip, "cannot be decoded|other values"),
        (swap, "other values|lacks chunks|between tracks"),
    ],
)
def test_damaged_shards_are_found_named_and_healed(
    damage: Callable[[Path], None], words: str, out: Path
) -> None:
    whole = shards(out)
    damage(out / MASK / "c.0.2.0")
    found = verify(out, sample=0)
    assert open_findings(found) == [("wrong", "unit 2, harmonic_mask, channel 0")]
    assert re.search(words, found.open[0].what)
    assert found.open[0].tracks == ("album/long.flac",)
    assert found.exit_status == 1
    healed = verify(out, sample=0, heal=True)
    assert healed.exit_status == 0
    assert [finding.healed for finding in healed.findings] == [True]
    assert shards(out) == whole
    assert verify(out, sample=0).findings == ()


def test_values_that_decode_but_differ_are_pinned_to_their_track(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without computing anything where the commit has digests of each track; commits of earlier versions have none."""
    tracks = open_corpus(out).tracks.to_pandas()
    row = tracks.loc["short too.wav"]
    unit = int(row.frame_start) // FRAMES
    array = zarr.open_group(out / "corpus.zarr", mode="r+")["percussive_mask"]
    frame = int(row.frame_start) + 3
    array[0, frame, 5] = array[0, frame, 5] / 2 + 0.1
    with monkeypatch.context() as nothing_is_computed:
        nothing_is_computed.setattr("hpss_batch.verification.units.separate_unit", None)
        found = verify(out, sample=0).open
        assert [finding.place for finding in found] == [f"unit {unit}, percussive_mask, channel 0"]
        assert found[0].tracks == ("short too.wav",)
        commit = out / "commits" / f"{unit:08d}.json"
        record = json.loads(commit.read_text())
        del record["pieces"], record["crc32c"]
        record["format"] = 1
        commit.write_text(json.dumps(record))
        found = verify(out, sample=0).open
        assert set(found[0].tracks) >= {"short too.wav"}
        assert len(found[0].tracks) > 1
    narrowed = verify(out, sample=None).open
    assert [finding.tracks for finding in narrowed] == [("short too.wav",)]


def test_damage_is_told_from_what_lies_behind_it(tmp_path: Path) -> None:
    """Digests go on from track to track, and yet those behind a damaged one are sound, or behind one that failed."""
    (tmp_path / "music").mkdir()
    for number in range(5):
        samples = music(0.3, 22050, seed=number)
        samples[3000] = np.nan if number == 1 else 0
        sf.write(tmp_path / "music" / f"{number}.wav", samples, 22050, subtype="FLOAT")
    assert run(Job.parse(settings(tmp_path / "music", tmp_path / "out"))).exit_status == 1
    array = zarr.open_group(tmp_path / "out" / "corpus.zarr", mode="r+")["harmonic_mask"]
    tracks = open_corpus(tmp_path / "out").tracks.to_pandas()
    for name in ("0.wav", "3.wav"):
        array[0, int(tracks.loc[name].frame_start), 5] = 2
    found = verify(tmp_path / "out", sample=0).open
    assert [(finding.place, finding.tracks) for finding in found] == [
        ("unit 0, harmonic_mask, channel 0", ("0.wav", "3.wav"))
    ]


def test_values_in_gaps_and_in_absent_channels_are_found_and_removed(out: Path) -> None:
    whole = shards(out)
    group = zarr.open_group(out / "corpus.zarr", mode="r+")
    index = group["track_index"][:]
    gap = int(np.flatnonzero(index == -1)[-1])
    group["spectrogram"][0, gap, 7] = 1
    units = {int(name.split(".")[2]) for name in whole if name.startswith("harmonic_mask/c.1.")}
    committed = {int(path.stem) for path in (out / "commits").iterdir()}
    mono = min(committed - units)
    shutil.copy(out / MASK / "c.0.0.0", out / MASK / f"c.1.{mono}.0")
    found = verify(out, sample=0)
    assert sorted(finding.place for finding in found.open) == sorted(
        [f"unit {gap // FRAMES}, spectrogram, channel 0", f"unit {mono}, harmonic_mask, channel 1"]
    )
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert shards(out) == whole


def test_coordinates_are_healed_without_a_source(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shards(out)
    group = zarr.open_group(out / "corpus.zarr", mode="r+")
    group["track_index"][1700:1900] = 1
    (out / "corpus.zarr" / "time" / "c.0").write_bytes(b"not a shard")
    monkeypatch.setattr("hpss_batch.verification.units.separate_unit", None)
    found = verify(out, sample=0)
    assert [finding.place for finding in found.open] == ["time", "track_index"]
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert shards(out) == whole


@pytest.mark.parametrize("name", ["status", "track"])
@pytest.mark.parametrize("damage", ["values", "bytes", "missing"])
def test_track_variables_are_derived_again(name: str, damage: str, out: Path) -> None:
    expected = open_corpus(out).tracks.to_pandas()
    place = out / "corpus.zarr" / name
    if damage == "values":
        array = zarr.open_group(out / "corpus.zarr", mode="r+")[name]
        array[2] = "?" if name in ("error", "track") else 3
    elif damage == "bytes":
        next(path for path in place.iterdir() if path.name.startswith("c")).write_bytes(b"\x07" * 11)
    else:
        shutil.rmtree(place)
    found = verify(out, sample=0)
    assert name in [finding.array for finding in found.open]
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert open_corpus(out).tracks.to_pandas().equals(expected)


def test_a_run_that_was_stopped_before_its_last_words_is_out_of_date(out: Path) -> None:
    path = out / "corpus.zarr" / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["attributes"]["refreshed"] = [1, 0]
    path.write_text(json.dumps(metadata))
    found = verify(out, sample=0)
    assert ["before the last commits" in finding.what for finding in found.open] == [True]
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert json.loads(path.read_text())["attributes"]["refreshed"] != [1, 0]


def test_the_store_is_opened_as_xarray_does(out: Path) -> None:
    """Metadata that agree with one another may still be none that xarray understands."""
    group = out / "corpus.zarr" / "zarr.json"
    consolidated = json.loads(group.read_text())
    own = consolidated["consolidated_metadata"]["metadata"]["status"]
    own["dimension_names"] = ["frame"]
    group.write_text(json.dumps(consolidated))
    (out / "corpus.zarr" / "status" / "zarr.json").write_text(json.dumps(own))
    found = verify(out, sample=0)
    assert found.exit_status == 1
    assert any("xarray something that it cannot open" in finding.what for finding in found.findings)
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert open_corpus(out).tracks.status.dims == ("track",)


def test_metadata_of_arrays_are_made_again(out: Path) -> None:
    whole = shards(out)
    path = out / MASK / "zarr.json"
    path.write_text(path.read_text()[:100])
    (out / "corpus.zarr" / "frequency" / "zarr.json").unlink()
    metadata = json.loads((out / "corpus.zarr" / "percussive_mask" / "zarr.json").read_text())
    metadata["shape"][1] = 512
    (out / "corpus.zarr" / "percussive_mask" / "zarr.json").write_text(json.dumps(metadata))
    places = {finding.place for finding in verify(out, sample=0).open}
    assert {"harmonic_mask", "frequency", "percussive_mask"} <= {
        place.split(", ")[-1] for place in places
    } | places
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert verify(out, sample=0).findings == ()
    assert shards(out) == whole


@pytest.mark.parametrize("consolidated", [False, True])
def test_attributes_that_say_something_else_are_written_again(consolidated: bool, out: Path) -> None:
    """Those that should not be there as well: a scale factor makes readers multiply."""

    def attributes() -> dict[str, dict[str, object]]:
        """Of each array, as xarray and others read them."""
        metadata = json.loads((out / "corpus.zarr" / "zarr.json").read_text())["consolidated_metadata"]
        return {name: array["attributes"] for name, array in metadata["metadata"].items()}

    right, whole = attributes(), shards(out)
    changes: dict[str, dict[str, object]] = {
        "harmonic_mask": {"scale_factor": 0.5},
        "percussive_mask": {"coordinates": None},
        "spectrogram": {"units": "V"},
        "time": {"units": "ms"},
        "frequency": {"add_offset": 20.0},
        "n_samples": {"long_name": None},
        "status": {"flag_meanings": "failed done"},
    }
    group = zarr.open_group(out / "corpus.zarr", mode="r+", use_consolidated=False)
    for name, change in changes.items():
        told = {**group[name].attrs, **change}
        group[name].attrs.put({key: value for key, value in told.items() if value is not None})  # type: ignore[misc]
    if consolidated:
        consolidate(RunDirectory(out).folder, right, dict(group.attrs))
    found = verify(out, sample=0)
    assert found.exit_status == 1
    assert {finding.array for finding in found.open} >= set(changes)
    said = " ".join(finding.what for finding in found.open)
    assert "corpus.zarr/harmonic_mask has the attributes scale_factor 0.5 instead of None" in said
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert verify(out, sample=0).findings == ()
    assert attributes() == right
    assert shards(out) == whole


def garble(path: Path) -> None:
    path.write_bytes(b"\xff\x00 no JSON")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def blank(path: Path) -> None:
    path.write_text("{}")


def damage_metadata_of_tracks(out: Path, damage: Callable[[Path], None]) -> None:
    for name in ("status", "track", "n_frames", "source_rate"):
        damage(out / "corpus.zarr" / name / "zarr.json")


def damage_all_metadata(out: Path, damage: Callable[[Path], None]) -> None:
    for path in (out / "corpus.zarr").rglob("zarr.json"):
        damage(path)


def damage_group(out: Path, damage: Callable[[Path], None]) -> None:
    damage(out / "corpus.zarr" / "zarr.json")


def damage_coordinates(out: Path, damage: Callable[[Path], None]) -> None:
    damage(out / "corpus.zarr" / "frequency" / "c.0")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (damage_metadata_of_tracks, "corpus.zarr/status is missing, or its metadata cannot be read"),
        (damage_all_metadata, "corpus.zarr is missing, or its metadata cannot be read"),
        (damage_group, "corpus.zarr is missing, or its metadata cannot be read"),
        (damage_coordinates, "corpus.zarr/frequency cannot be decoded|is wrong"),
    ],
)
@pytest.mark.parametrize("damage", [truncate, garble])
def test_small_files_of_the_store_are_written_again_whatever_was_done_to_them(
    place: Callable[[Path, Callable[[Path], None]], None],
    said: str,
    damage: Callable[[Path], None],
    out: Path,
) -> None:
    whole, expected = shards(out), open_corpus(out).tracks.to_pandas()
    place(out, damage)
    found = verify(out, sample=0)
    assert found.exit_status == 1
    assert re.search(said, " ".join(finding.what for finding in found.open))
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert verify(out, sample=0).findings == ()
    assert shards(out) == whole
    assert open_corpus(out).tracks.to_pandas().equals(expected)
    assert open_corpus(out)["short.wav"].frequency[1] == 22050 / 256


@pytest.mark.parametrize("damage", [empty, blank])
def test_everything_that_is_derived_may_be_damaged_at_once(damage: Callable[[Path], None], out: Path) -> None:
    whole, expected = shards(out), open_corpus(out).tracks.to_pandas()
    damage_all_metadata(out, damage)
    for name in ("status", "track", "frequency", "time", "track_index"):
        damage(out / "corpus.zarr" / name / "c.0")
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert verify(out, sample=0).findings == ()
    assert shards(out) == whole
    assert open_corpus(out).tracks.to_pandas().equals(expected)


def test_a_damaged_group_is_said_by_whoever_opens_it(out: Path) -> None:
    damage_group(out, truncate)
    with pytest.raises(StoreError, match=r"corpus.zarr cannot be read: .*`hpss-batch verify --heal "):
        open_corpus(out)
    with pytest.raises(StoreError, match="verify --heal"):
        run(Job.load(out / "job.yaml", [("output.path", out)]))


def test_a_store_that_is_gone_is_made_again_from_its_source(out: Path) -> None:
    whole = shards(out)
    shutil.rmtree(out / "corpus.zarr")
    found = verify(out, sample=0)
    assert found.exit_status == 1
    assert "corpus.zarr is missing" in found.open[0].what
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert shards(out) == whole


def test_commits_that_make_no_sense_are_named_with_their_tracks(out: Path) -> None:
    commits = out / "commits"
    (commits / "00000001.json").write_text("{")
    (commits / "00000099.json").write_bytes((commits / "00000000.json").read_bytes())
    (commits / "00000002.json").write_bytes((commits / "00000000.json").read_bytes())
    found = verify(out, sample=0)
    said = {finding.unit: finding.what for finding in found.open if finding.unit is not None}
    assert "cannot be read" in said[1]
    assert "other tracks" in said[2]
    assert "no track lies in" in said[99]
    assert found.exit_status == 1


def test_job_yaml_that_is_gone_or_another_is_said(out: Path) -> None:
    text = (out / "job.yaml").read_text()
    (out / "job.yaml").write_text(text.replace("kernel_size: 17", "kernel_size: 19"))
    found = verify(out)
    assert any("hpss.kernel_size: 17 there, 19 here" in finding.what for finding in found.open)
    (out / "job.yaml").unlink()
    found = verify(out)
    assert [finding.what for finding in found.open] == ["job.yaml is missing"]
    assert found.recomputed == found.sampled == 4, "what the layout says is enough to compute units again"


def test_layouts_without_meaning_stop_it(out: Path, tmp_path: Path) -> None:
    flip(out / "layout" / "0000.jsonl.gz")
    with pytest.raises(StoreError, match="layout/0000"):
        verify(out)
    with pytest.raises(StoreError, match="not a run directory"):
        verify(tmp_path)


def test_leftovers_are_no_fault(out: Path) -> None:
    (out / MASK / "c.0.2.0.abc.partial").write_bytes(b"half")
    (out / "commits" / "00000000.json").unlink()
    found = verify(out, sample=0)
    assert {finding.level for finding in found.findings if finding.unit is None and not finding.array} >= {
        "leftover"
    }
    words = " ".join(finding.what for finding in found.findings)
    assert "half-written" in words
    assert "not committed" in words
    assert found.pending == 1


@pytest.fixture
def moving(corpus_folder: Path, tmp_path: Path, run_job: RunJob) -> tuple[Path, Path]:
    """Music that may be changed, and a run directory made of it."""
    shutil.copytree(corpus_folder, tmp_path / "music")
    run_job(tmp_path / "music", tmp_path / "out", output__unit_frames=FRAMES)
    return tmp_path / "music", tmp_path / "out"


def test_sources_that_changed_or_went_are_told_from_damage(moving: tuple[Path, Path]) -> None:
    corpus, out = moving
    os.utime(corpus / "album" / "song.ogg", ns=(1, 1))
    (corpus / "talk.mp3").unlink()
    found = verify(out, sample=None)
    said = {(finding.level, finding.tracks) for finding in found.open}
    assert said == {("unproven", ("album/song.ogg",)), ("unproven", ("talk.mp3",))}
    assert found.recomputed == found.checked - len({finding.unit for finding in found.open})
    assert any("changed after it was listed" in finding.what for finding in found.open)
    assert verify(out, sample=0).exit_status == 0, "what is stored is what was committed"


def test_what_the_source_does_not_give_is_not_healed(moving: tuple[Path, Path]) -> None:
    corpus, out = moving
    row = open_corpus(out).tracks.to_pandas().loc["album/long.flac"]
    unit = int(row.frame_start) // FRAMES + 1
    (out / MASK / f"c.0.{unit}.0").unlink()
    (corpus / "album" / "long.flac").unlink()
    before = files(out)
    found = verify(out, sample=0, heal=True)
    assert found.exit_status == 1
    assert "cannot be healed" in found.open[0].cure
    assert "No such file" in found.open[0].cure
    assert f"commits/{unit:08d}.json" in found.open[0].cure
    assert files(out) == before
    (out / "commits" / f"{unit:08d}.json").unlink()  # as it says


def test_content_that_changed_unseen_is_not_taken_for_healing(moving: tuple[Path, Path]) -> None:
    corpus, out = moving
    path = corpus / "other rate.wav"
    stamp = path.stat()
    data = bytearray(path.read_bytes())
    data[20_000:20_400] = bytes(400)
    path.write_bytes(bytes(data))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    found = verify(out, sample=None)
    assert {finding.tracks for finding in found.open} == {("other rate.wav",)}
    assert all(finding.level == "wrong" for finding in found.open)
    assert "same packages" in found.open[0].what
    assert verify(out, sample=None, heal=True).exit_status == 1


def test_other_packages_are_named(moving: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, out = moving
    monkeypatch.setattr("hpss_batch.verification.units.versions", lambda **_: {"numpy": "99.0"})
    path = corpus / "short.wav"
    stamp = path.stat()
    path.write_bytes(path.read_bytes()[:-2000] + bytes(2000))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    found = verify(out, sample=None)
    assert [finding.level for finding in found.open] == ["unproven"]
    assert "99.0 now" in found.open[0].what


def test_audio_that_was_moved_is_read_where_it_is(moving: tuple[Path, Path], tmp_path: Path) -> None:
    corpus, out = moving
    corpus.rename(tmp_path / "elsewhere")
    assert verify(out, sample=None).recomputed == 0
    for path in (tmp_path / "elsewhere").rglob("*.*"):
        os.utime(path, ns=(1, 1))  # as copies have it
    found = verify(out, sample=None, corpus=tmp_path / "elsewhere")
    assert found.findings == ()
    assert found.recomputed == found.checked


def test_a_run_directory_that_was_moved_is_healed_where_it_is(out: Path, tmp_path: Path) -> None:
    out.rename(tmp_path / "moved")
    (tmp_path / "moved" / MASK / "c.0.1.0").unlink()
    assert verify(tmp_path / "moved", heal=True).exit_status == 0
    assert (tmp_path / "moved" / MASK / "c.0.1.0").exists()
    assert not out.exists()


def test_two_stages(moving: tuple[Path, Path], tmp_path: Path) -> None:
    _, source = moving
    out = tmp_path / "second"
    job = {
        "corpus": {"path": str(source)},
        "hpss": {"kernel_size": 17, "margin": 2.0},
        "output": {"path": str(out), "arrays": ["harmonic_mask", "residual"], "mask_dtype": "uint8"},
        "cluster": settings(source, out)["cluster"],
    }
    assert run(Job.parse(job)).exit_status == 0
    whole = shards(out)
    found = verify(out, sample=None)
    assert found.findings == ()
    assert found.recomputed == found.checked > 5
    (out / MASK / "c.0.3.0").unlink()
    truncate(out / "corpus.zarr" / "residual" / "c.0.1.0")
    assert len(verify(out, sample=0).open) == 2
    assert verify(out, sample=0, heal=True).exit_status == 0
    assert shards(out) == whole
    (source / "corpus.zarr" / "spectrogram" / "c.0.2.0").unlink()
    found = verify(out, sample=None)
    assert any("gaps where this track should be" in finding.what for finding in found.open)


def test_growing_keeps_everything_provable(moving: tuple[Path, Path], run_job: RunJob) -> None:
    corpus, out = moving
    sf.write(corpus / "new.wav", music(2.0, 22050, 1, 30), 22050)
    run_job(corpus, out, output__unit_frames=FRAMES)
    found = verify(out, sample=None)
    assert found.findings == ()
    assert found.recomputed == found.checked


def test_tracks_that_were_placed_anew_need_no_proof(moving: tuple[Path, Path], run_job: RunJob) -> None:
    corpus, out = moving
    sf.write(corpus / "short.wav", music(0.7, 22050, 2, 31), 22050)  # another one, in a unit with others
    assert [finding.level for finding in verify(out, sample=None).open] == ["unproven"]
    run_job(corpus, out, output__unit_frames=FRAMES)
    found = verify(out, sample=None)
    assert found.findings == ()
    assert found.recomputed == found.checked
    (corpus / "one sample.wav").unlink()  # done, and gone: nothing can prove it
    cures = [finding.cure for finding in verify(out, sample=None).open]
    assert len(cures) == 1
    assert "put the file back" in cures[0]


@pytest.mark.parametrize("arrays", [[], ["harmonic_mask"]])
def test_stems_are_compared_with_their_records(
    arrays: list[str], corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    out = tmp_path / "out"
    wanted = {"output__arrays": arrays, "output__stems": True, "corpus__include": ["*.ogg", "short.wav"]}
    run_job(corpus_folder, out, **wanted)
    found = verify(out)
    assert found.findings == ()
    assert found.stems == 4
    assert found.exit_status == 0
    files = sorted(path for path in (out / "stems").rglob("*") if path.is_file())
    whole = [path.read_bytes() for path in files]
    flip(files[0])
    truncate(files[1])
    files[2].unlink()
    found = verify(out)
    assert found.exit_status == 1
    said = " ".join(finding.what for finding in found.open)
    for words in ("holds other bytes", "not the", "is missing"):
        assert words in said
    assert set(found.touched) == {"album/song.ogg", "short.wav"}
    assert all("hpss-batch render OUT" in finding.cure for finding in found.open)
    settings_of_stems = next((out / "commits" / "stems").glob("*.json"))
    data = settings_of_stems.read_bytes()
    truncate(settings_of_stems)
    found = verify(out)
    assert settings_of_stems.name in found.open[0].what
    assert len(found.open) == 4, "the files are still compared"
    settings_of_stems.write_bytes(data)
    found = verify(out)
    render(str(out), found.touched)
    assert verify(out).findings == ()
    assert [path.read_bytes() for path in files] == whole


@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_changed_byte_of_any_shard_is_found(seed: int, sound: Path, tmp_path: Path) -> None:
    """Bytes may be changed that decide nothing (an unused part of a header); then every value must be unchanged."""
    out = tmp_path / f"{seed}"
    if not out.exists():
        shutil.copytree(sound, out)
    rng = random.Random(seed)
    path = rng.choice(sorted((out / "corpus.zarr").glob("*/c.*.*.0")))
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))
    _, channel, number, _ = path.name.split(".")
    found = verify(out, sample=0)
    places = [finding.place for finding in found.open]
    if places:
        assert places == [f"unit {int(number)}, {path.parent.name}, channel {channel}"]
    else:
        new, old = (
            zarr.open_group(root / "corpus.zarr", mode="r")[path.parent.name] for root in (out, sound)
        )
        region = slice(int(number) * FRAMES, (int(number) + 1) * FRAMES)
        np.testing.assert_array_equal(new[:, region], old[:, region])
    shutil.rmtree(out)


def test_the_command_says_it_in_words_and_as_json(out: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(main, ["verify", str(out), "--sample", "1"])
    assert result.exit_code == 0, result.output
    assert "1 of 1 computed again gave the same bits" in result.output
    (out / MASK / "c.0.2.0").unlink()
    result = runner.invoke(main, ["verify", str(out), "--sample", "0"])
    assert result.exit_code == 1
    assert "wrong unit 2, harmonic_mask, channel 0" in result.output
    assert "album/long.flac" in result.output
    assert "--heal" in result.output
    result = runner.invoke(main, ["verify", str(out), "--sample", "0", "--json"])
    figures = json.loads(result.output)
    assert figures["findings"][0]["unit"] == 2
    assert figures["exit_status"] == 1
    result = runner.invoke(main, ["verify", str(out), "--all", "--heal"])
    assert result.exit_code == 0
    assert "1 healed" in result.output
    assert runner.invoke(main, ["verify", str(out / "commits")]).exit_code == 2
