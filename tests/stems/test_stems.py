"""Stems: they add up to their input, are whole or not there, never overwrite each other, and are made once."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from helpers import THREADS, music, settings, shards
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from hpss_batch.audio.containers.ogg import ogg_flaw
from hpss_batch.audio.encoding import Encoding
from hpss_batch.audio.recording import Recording
from hpss_batch.audio.speakers.layouts import Arrangement
from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.config.outputs import STEM_FORMATS
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.separation import separation
from hpss_batch.dsp.stft import StftParams
from hpss_batch.errors import ParameterError, StoreError, TrackError
from hpss_batch.runner.plan import plan
from hpss_batch.runner.render import render
from hpss_batch.runner.run import Result, run
from hpss_batch.runner.status import status
from hpss_batch.stems.stream import Stream, block_frames
from hpss_batch.stems.writer import StemFile
from hpss_batch.store.reading.corpus import open_corpus

RunJob = Callable[..., Result]
ALL = ["harmonic", "percussive", "residual"]
LOSSLESS = [
    (name, subtype)
    for name, subtypes in STEM_FORMATS.items()
    for subtype in subtypes
    if subtype not in ("ULAW", "ALAW", "VORBIS", "OPUS", "MPEG_LAYER_III")
]


def stems_job(corpus: Path, out: Path, retry_failed: bool = False, **stems: Any) -> Result:
    """Run a job that makes stems and nothing else."""
    changes = stems.pop("job", {})
    job = settings(corpus, out, output__arrays=[], output__stems=stems or True, **changes)
    return run(Job.parse(job), retry_failed=retry_failed)


def read(path: Path) -> tuple[np.ndarray[Any, Any], int]:
    return sf.read(path, dtype="float64", always_2d=True)


def stem(out: Path, name: str) -> np.ndarray[Any, Any]:
    return read(out / "stems" / name)[0]


@pytest.fixture(scope="module")
def made(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stems of the test corpus, as they come by default but with the residual."""
    out = tmp_path_factory.mktemp("stems") / "out"
    assert stems_job(corpus_folder, out, components=ALL, job={"hpss__margin": 2.0}).exit_status == 0
    return out


def test_stems_have_their_tracks_length_rate_and_channels(made: Path, corpus_folder: Path) -> None:
    for source in ("album/long.flac", "album/song.ogg", "talk.mp3", "other rate.wav", "one sample.wav"):
        mixture, rate = read(corpus_folder / source)
        for component in ALL:
            path = made / "stems" / f"{source.rsplit('.', 1)[0]}.{component}.flac"
            samples, found = read(path)
            assert (samples.shape, found) == (mixture.shape, rate)
            assert sf.info(path).subtype == "PCM_16"
    assert not list((made / "stems").glob("no samples*"))
    assert open_corpus(made).tracks.to_pandas().status.eq("done").all()


def test_stems_of_16_bits_add_up_to_16_bits_exactly_and_to_others_within_half_a_step(
    made: Path, corpus_folder: Path
) -> None:
    for source, exact in (("album/long", True), ("short", True), ("album/song", False), ("talk", False)):
        found = next(p for p in corpus_folder.glob(f"{source}.*"))
        mixture = read(found)[0]
        total = sum(stem(made, f"{source}.{component}.flac") for component in ALL)
        error = np.abs(total - mixture).max()
        assert error == 0 if exact else error < 0.5001 / 32768, source


@pytest.mark.parametrize(("name", "subtype"), LOSSLESS)
def test_every_format_adds_up_to_its_precision(
    name: str, subtype: str, corpus_folder: Path, tmp_path: Path
) -> None:
    job = {"corpus__include": ["song.ogg"], "hpss__margin": [1.0, 3.0]}
    result = stems_job(corpus_folder, tmp_path, format=name, subtype=subtype, components=ALL, job=job)
    assert result.exit_status == 0
    mixture, rate = read(corpus_folder / "album" / "song.ogg")
    encoding = Encoding(name.upper(), subtype)
    half = 2.0**-encoding.bits if encoding.bits else 2.0**-23
    found = [read(tmp_path / "stems" / "album" / f"song.{component}.{name}") for component in ALL]
    assert {info[1] for info in found} == {rate}
    assert np.abs(sum(samples for samples, _ in found) - mixture).max() <= half * 1.01 + 2.0**-31


def test_the_same_audio_makes_the_same_file_at_any_time(tmp_path: Path) -> None:
    kinds = [(name, subtypes[0], 0) for name, subtypes in STEM_FORMATS.items()]
    kinds += [(name, "FLOAT", 0) for name in ("wav", "rf64", "aiff", "caf", "w64", "au")]
    kinds += [("ogg", "OPUS", 0), ("wav", "FLOAT", 3)]

    def written() -> dict[str, bytes]:
        found = dict[str, bytes]()
        for name, subtype, mask in kinds:
            encoding, called = Encoding(name.upper(), subtype), f"PEAK.{subtype}{mask or ''}.{name}"
            speakers = Arrangement(mask=mask)
            stem = StemFile(str(tmp_path), called, 48000, 2, encoding, speakers, {"title": "PEAK"})
            stem.write(np.full((4800, 2), 0.25).astype(encoding.file_dtype))
            stem.finish()
            stem.place()
            found[stem.name] = (tmp_path / "stems" / stem.name).read_bytes()
        return found

    first = written()
    time.sleep(1.1)  # headers have whole seconds
    assert written() == first
    for subtype in ("VORBIS", "OPUS"):
        assert ogg_flaw(str(tmp_path / "stems" / f"PEAK.{subtype}.ogg"), 48000) is None


@pytest.mark.parametrize(
    ("name", "subtype", "rate", "quiet"),
    [
        ("ogg", "VORBIS", None, 0.15),
        ("ogg", "OPUS", 24000, 0.2),
        ("mp3", None, 22050, 0.2),
        ("wav", "ULAW", None, 0.05),
    ],
)
def test_lossy_formats_have_the_exact_length_and_nearly_add_up(
    name: str, subtype: str | None, rate: int | None, quiet: float, corpus_folder: Path, tmp_path: Path
) -> None:
    job = {"corpus__include": ["long.flac"]}
    stems_job(corpus_folder, tmp_path, format=name, subtype=subtype, sample_rate=rate, job=job)
    with Recording(str(corpus_folder / "album" / "long.flac"), sample_rate=rate, channels="all") as recording:
        mixture = recording.read(0, recording.bound).T
    total = sum(stem(tmp_path, f"album/long.{component}.{name}") for component in ("harmonic", "percussive"))
    assert total.shape == mixture.shape
    assert np.sqrt(np.mean((total - mixture) ** 2)) < quiet * np.sqrt(np.mean(mixture**2))


@pytest.mark.parametrize("margin", [1.0, 3.0])
def test_stems_are_those_of_librosa(margin: float, corpus_folder: Path, tmp_path: Path) -> None:
    job = {"corpus__include": ["long.flac"], "hpss__margin": margin}
    stems_job(corpus_folder, tmp_path, format="wav", subtype="FLOAT", job=job)
    mixture = sf.read(corpus_folder / "album" / "long.flac", dtype="float32", always_2d=True)[0]
    expected = librosa.effects.hpss(mixture.T.copy(), kernel_size=17, margin=margin, n_fft=256, hop_length=64)
    for component, samples in zip(("harmonic", "percussive"), expected, strict=True):
        error = np.abs(stem(tmp_path, f"album/long.{component}.wav").T - samples).max()
        assert error < 1e-5, component  # -100 dB


@examples(max_examples=40, deadline=None)
@given(
    n_samples=st.integers(0, 40_000),
    channels=st.integers(1, 3),
    n_fft=st.sampled_from([16, 255, 256, 2048]),
    part=st.sampled_from([2, 3, 4, 8]),
    pad_mode=st.sampled_from(["constant", "reflect", "edge"]),
    kernel=st.integers(1, 40),
    margin=st.sampled_from([(1.0, 1.0), (1.0, 2.5), (4.0, 4.0)]),
    power=st.sampled_from([1.0, 2.0, float("inf")]),
    subtype=st.sampled_from(["PCM_16", "PCM_24", "PCM_32", "FLOAT"]),
    loudness=st.sampled_from([0.01, 0.9, 3.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_blocks_join_and_add_up_whatever_the_settings(
    tmp_path_factory: pytest.TempPathFactory,
    n_samples: int,
    channels: int,
    n_fft: int,
    part: int,
    pad_mode: str,
    kernel: int,
    margin: tuple[float, float],
    power: float,
    subtype: str,
    loudness: float,
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("stream") / "noise.wav"
    samples = (loudness * np.random.default_rng(seed).standard_normal((n_samples, channels))).astype(
        np.float32
    )
    sf.write(path, samples, 8000, subtype="FLOAT")
    encoding = Encoding("WAV", subtype)
    stft = StftParams(n_fft=n_fft, hop_length=max(n_fft // part, 1), pad_mode=pad_mode)
    hpss = separation(HpssParams(kernel, power, margin))
    with Recording(str(path), channels="all") as recording:
        stream = Stream(recording, stft, hpss, ALL, encoding)
        blocks = [({k: v.copy() for k, v in block.samples.items()}, dict(block.clipped)) for block in stream]
        assert stream.n_samples == n_samples
    assert len(blocks) == -(-n_samples // (block_frames(stft) * stft.hop_length))
    if not blocks:
        return
    whole = {name: np.concatenate([b[0][name] for b in blocks]).astype(np.float64) for name in ALL}
    shift = {"PCM_24": 8}.get(subtype, 0)
    total = sum(whole.values()) / (encoding.full_scale * 2**shift)
    assert total.shape == samples.shape
    if not any(sum(b[1].values()) for b in blocks):
        step = 1 / encoding.full_scale if encoding.bits else 2e-7 * max(loudness, 1)
        loudest = max(np.abs(stem).max() for stem in whole.values()) / (encoding.full_scale * 2**shift)
        rounding = 3e-7 * max(loudest, np.abs(samples).max())  # of three float32, whose sum may be smaller
        assert np.abs(total - samples).max() <= 0.5001 * step + rounding
    else:
        assert loudness > 0.5


def test_a_long_track_in_many_blocks_is_the_whole(tmp_path: Path) -> None:
    """Against the same components computed at once, across the borders of blocks."""
    samples = music(9.0, 22050, 2, 3)
    sf.write(tmp_path / "long.wav", samples, 22050, subtype="FLOAT")
    expected = librosa.effects.hpss(samples.T.copy(), kernel_size=9, margin=2.0, n_fft=64, hop_length=16)
    with Recording(str(tmp_path / "long.wav"), channels="all") as recording:
        stream = Stream(
            recording,
            StftParams(64, 16),
            separation(HpssParams(9, 2.0, 2.0)),
            ALL[:2],
            Encoding("WAV", "FLOAT"),
        )
        blocks = [{k: v.copy() for k, v in block.samples.items()} for block in stream]
    assert len(blocks) > 40
    for name, wanted in zip(ALL, expected, strict=False):
        found = np.concatenate([block[name] for block in blocks]).T
        assert np.abs(found - wanted).max() < 1e-5


@pytest.mark.parametrize("components", [ALL, ALL[:2]])
def test_clipping_is_counted_and_told_and_the_others_make_up_for_it(
    components: list[str], tmp_path: Path
) -> None:
    folder, out = tmp_path / "music", tmp_path / "out"
    folder.mkdir()
    loud = 1.8 * music(2.0, 22050, 2, 4)
    sf.write(folder / "loud.wav", loud, 22050, subtype="FLOAT")
    result = stems_job(folder, out, components=components)
    record = result.catalog.stems[0]
    assert sum(stem.clipped for stem in record.stems.values()) > 0
    assert record.stems["harmonic"].peak > 1 or record.stems["percussive"].peak > 1
    assert "samples (peak " in result.clipped["loud.wav"]
    total = sum(stem(out, f"loud.{component}.flac") for component in components)
    assert np.abs(total - loud).max() < 0.51 / 32768


def test_tags_are_carried_over(tmp_path: Path) -> None:
    folder, out = tmp_path / "music", tmp_path / "out"
    folder.mkdir()
    with sf.SoundFile(folder / "song.flac", "w", 22050, 1) as file:
        file.title, file.artist, file.date = "Größe 日本", "Somebody", "1999"
        file.write(music(1.0, 22050))
    for name in ("flac", "ogg", "wav", "aiff", "mp3", "au"):
        assert stems_job(folder, out, format=name).exit_status == 0
        with sf.SoundFile(out / "stems" / f"song.percussive.{name}") as file:
            found = file.copy_metadata()
        if name != "au":  # which has none
            assert found["artist"] == "Somebody"
            assert found["title"] == "Größe 日本"


def test_a_finished_run_does_nothing_and_a_lost_record_costs_one_track(
    corpus_folder: Path, tmp_path: Path
) -> None:
    stems_job(corpus_folder, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    job = settings(corpus_folder, tmp_path, output__arrays=[], output__stems=True)
    again = run(Job.parse(job | {"cluster": {"class": "no.such.Cluster"}}))  # none is started
    assert again.plan.is_done
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    record = next(tmp_path.glob("commits/stems/*/00000001.json"))
    record.unlink()
    (tmp_path / "stems" / "album" / ".0123.partial").write_bytes(b"what a crash leaves")
    os.utime(tmp_path / "stems" / "album" / ".0123.partial", (0, 0))
    third = stems_job(corpus_folder, tmp_path)
    assert [task.row for task in third.plan.stems.tasks] == [1]
    assert record.exists()
    assert not list(tmp_path.rglob("*.partial"))
    assert {p: p.read_bytes() for p in before if p.suffix == ".flac"}


def test_a_damaged_track_fails_alone_leaves_nothing_and_is_tried_again_when_asked(
    corpus_folder: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "music", tmp_path / "out"
    shutil.copytree(corpus_folder, folder)
    whole = (folder / "album" / "long.flac").read_bytes()
    (folder / "album" / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "text.mp3").write_text("no music")
    result = stems_job(folder, out)
    assert result.exit_status == 1
    assert set(result.failed) == {"album/cut.flac", "text.mp3"}
    assert "cut short" in result.failed["album/cut.flac"]
    assert not list((out / "stems").rglob("cut*"))
    assert not list(out.rglob("*.partial"))
    assert len(list((out / "stems").rglob("*.flac"))) == 2 * 6
    found = status(out)
    assert found.exit_status == 1
    assert found.stems == {"done": 7, "failed": 2, "pending": 0}
    assert found.reasons.keys() == result.failed.keys()
    assert stems_job(folder, out).plan.is_done
    (folder / "album" / "cut.flac").write_bytes(whole)
    (folder / "text.mp3").unlink()
    assert stems_job(folder, out, retry_failed=True).exit_status == 0
    np.testing.assert_array_equal(stem(out, "album/cut.harmonic.flac"), stem(out, "album/long.harmonic.flac"))


def test_stems_of_a_changed_track_are_replaced(tmp_path: Path) -> None:
    folder, out = tmp_path / "music", tmp_path / "out"
    folder.mkdir()
    sf.write(folder / "a.wav", music(1.0, 22050), 22050)
    stems_job(folder, out)
    sf.write(folder / "a.wav", music(2.0, 22050, 2, 5), 22050)
    assert stems_job(folder, out).exit_status == 0
    assert stem(out, "a.harmonic.flac").shape == (44100, 2)
    assert {path.name for path in (out / "stems").iterdir()} == {"a.harmonic.flac", "a.percussive.flac"}


def test_names_that_collide_are_told_apart(tmp_path: Path) -> None:
    folder, out = tmp_path / "music", tmp_path / "out"
    folder.mkdir()
    names = [
        "song.wav",
        "song.flac",
        "Other.wav",
        "other.wav",
        "caf\xe9.wav",
        "cafe\u0301.wav",
        "x" * 240 + ".wav",
    ]
    for seed, name in enumerate(names):
        sf.write(folder / name, music(0.2, 22050, 1, seed), 22050)
    assert stems_job(folder, out, components=["harmonic"], path="{id}-{component}").exit_status == 0
    found = {path.name for path in (out / "stems").iterdir()}
    assert len({name.casefold() for name in found}) == len(names)
    assert {"song.wav-harmonic.flac", "song.flac-harmonic.flac"} <= found
    assert all(len(name.encode()) <= 255 for name in found)
    sf.write(folder / "song.aiff", music(0.2, 22050, 1, 20), 22050)  # later: nothing that exists is touched
    stems_job(folder, out, components=["harmonic"], path="{id}-{component}")
    assert {path.name for path in (out / "stems").iterdir()} == found | {"song.aiff-harmonic.flac"}


def test_formats_that_cannot_hold_a_track_say_so_before_and_after(tmp_path: Path) -> None:
    folder, out = tmp_path / "music", tmp_path / "out"
    folder.mkdir()
    sf.write(folder / "many.wav", music(0.5, 22050, 9), 22050)
    sf.write(folder / "two.wav", music(0.5, 22050, 2), 22050)
    job = settings(folder, out, output__arrays=[], output__stems=True)
    assert "up to 8" in plan(Job.parse(job)).stems.refused["many.wav"]
    result = stems_job(folder, out)
    assert result.exit_status == 1
    assert "9 channels, and FLAC holds up to 8" in result.failed["many.wav"]
    masks = tmp_path / "masks"
    both = run(Job.parse(settings(folder, masks, output__stems=True)))
    assert both.exit_status == 1
    assert both.catalog.counts == {"done": 2}, "the arrays are there"
    assert "FLAC holds up to 8" in both.catalog.stemless["many.wav"]
    assert "FLAC holds up to 8" in both.failed["many.wav"]
    assert repr(both) == f"<Result {masks}: 2 done>"
    assert status(str(masks)).exit_status == 1
    said = CliRunner().invoke(main, ["status", str(masks)]).output
    assert "1 without stems" in said
    assert "not done" not in said
    assert stems_job(folder, out, format="wav").exit_status == 0
    assert stems_job(folder, tmp_path / "opus", format="ogg", subtype="OPUS").exit_status == 2
    assert stem(out, "many.percussive.wav").shape[1] == 9


@pytest.mark.parametrize(
    ("encoding", "audio", "word"),
    [
        (("OGG", "VORBIS"), (44100, 256, 10), "255"),
        (("OGG", "VORBIS"), (384_000, 1, 10), "200000"),
        (("OGG", "OPUS"), (44100, 2, 10), "48000"),
        (("MP3", "MPEG_LAYER_III"), (44100, 3, 10), "up to 2"),
        (("FLAC", "PCM_24"), (1_000_000, 1, 10), "655350"),
        (("FLAC", "PCM_16"), (65_537, 1, 10), "multiples of 10"),
        (("FLAC", "PCM_16"), (96_001, 1, 10), "output.stems.format=wav"),
        (("WAV", "PCM_16"), (44100, 2, 2**31), "rf64"),
    ],
)
def test_what_would_crash_or_be_cut_off_is_refused(
    encoding: tuple[str, str], audio: tuple[int, int, int], word: str
) -> None:
    assert word in (Encoding(*encoding).refusal(*audio) or "")
    assert Encoding("RF64", "PCM_16").refusal(*audio) is None


def test_a_full_disk_is_no_fault_of_the_track(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = StemFile.finish

    def full(self: StemFile) -> Any:
        if "talk" in self.name:
            raise StoreError("No space left on device")
        return honest(self)

    monkeypatch.setattr(StemFile, "finish", full)
    result = stems_job(corpus_folder, tmp_path)
    assert result.exit_status == 1
    assert "No space left" in result.broken["stems of talk.mp3"]
    assert result.catalog.counts["pending"] == 1
    assert not list((tmp_path / "stems").rglob("talk*"))
    assert not list(tmp_path.rglob("*.partial"))
    monkeypatch.setattr(StemFile, "finish", honest)
    assert stems_job(corpus_folder, tmp_path).exit_status == 0


def test_stems_beside_arrays_change_no_array(corpus_folder: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(corpus_folder, tmp_path / "plain")
    both = run_job(corpus_folder, tmp_path / "both", output__stems=True)
    assert both.exit_status == 0
    assert shards(tmp_path / "plain") == shards(tmp_path / "both")
    added = run_job(corpus_folder, tmp_path / "plain", output__stems=True)
    assert not added.plan.pending
    files = sorted(
        path.relative_to(tmp_path / "both") for path in (tmp_path / "both" / "stems").rglob("*.flac")
    )
    assert len(files) == 12
    for file in files:
        assert (tmp_path / "plain" / file).read_bytes() == (tmp_path / "both" / file).read_bytes()


def test_other_settings_under_the_same_names_are_refused(corpus_folder: Path, tmp_path: Path) -> None:
    only = {"corpus__include": ["short.wav"]}
    stems_job(corpus_folder, tmp_path, job=only)
    with pytest.raises(StoreError, match=r"output.stems.subtype: null there, 'PCM_24' here"):
        stems_job(corpus_folder, tmp_path, subtype="PCM_24", job=only)
    stems_job(corpus_folder, tmp_path, subtype="PCM_24", path="24/{id}.{component}", job=only)
    before = (tmp_path / "stems" / "short.harmonic.flac").read_bytes()
    stems_job(corpus_folder, tmp_path, components=ALL, job=only)  # one more: the others are the same bits
    assert (tmp_path / "stems" / "short.harmonic.flac").read_bytes() == before
    assert (tmp_path / "stems" / "short.residual.flac").exists()


def test_a_second_stage_renders_from_the_audio_of_the_first(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    run_job(corpus_folder, tmp_path / "first", output__arrays=["spectrogram"])
    job = {
        "corpus": {"path": str(tmp_path / "first")},
        "hpss": {"kernel_size": 17, "margin": 2.0},
        "output": {"path": str(tmp_path / "second"), "arrays": [], "stems": {"components": ALL}},
        "cluster": THREADS,
    }
    assert run(Job.parse(job)).exit_status == 0
    total = sum(stem(tmp_path / "second", f"short.{component}.flac") for component in ALL)
    np.testing.assert_array_equal(total, read(corpus_folder / "short.wav")[0])


def test_render_makes_what_a_run_would_have_made(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    folder, out = tmp_path / "music", tmp_path / "out"
    shutil.copytree(corpus_folder, folder)
    run_job(folder, out)
    stems_job(folder, tmp_path / "stems")
    said = list[str]()
    records = render(str(out), ["album/long.flac"], say=said.append)
    assert records["album/long.flac"].status == "done"
    for component in ALL[:2]:
        file = f"stems/album/long.{component}.flac"
        assert (out / file).read_bytes() == (tmp_path / "stems" / file).read_bytes()
    render(out, "album/long.flac", say=said.append)
    assert said == ["album/long.flac: rendered before"]
    with pytest.raises(TrackError, match=r"did you mean album/long\.flac"):
        render(str(out), ["album/long.wav"])
    with pytest.raises(StoreError, match=r"hpss.margin"):
        render(str(out), ["album/long.flac"], ["hpss.margin=2"])


def test_files_of_stems_are_found_by_track(corpus_folder: Path, tmp_path: Path, run_job: RunJob) -> None:
    out, track = tmp_path / "out", "album/long.flac"
    run_job(corpus_folder, out)
    with pytest.raises(
        TrackError, match=r"has no stems in .*`hpss-batch render .* album/long\.flac` makes them"
    ):
        open_corpus(out).stem_files(track)
    render(out, track)
    flac = {name: f"{out}/stems/album/long.{name}.flac" for name in ALL[:2]}
    assert open_corpus(out).stem_files(track) == flac
    assert all(Path(file).is_file() for file in flac.values())
    render(out, track, ["output.stems.components=[residual]"])
    whole = flac | {"residual": f"{out}/stems/album/long.residual.flac"}
    assert open_corpus(out).stem_files(track) == whole
    render(out, track, ["output.stems.format=wav"])
    corpus = open_corpus(out)
    assert corpus.stem_files(track, format="flac") == whole
    assert corpus.stem_files(track, format="wav").keys() == flac.keys()
    with pytest.raises(TrackError, match=r"stems of 2 kinds.*format='WAV'.*format='FLAC'.*Say which"):
        corpus.stem_files(track)
    with pytest.raises(TrackError, match="has no such stems"):
        corpus.stem_files(track, format="ogg")
    with pytest.raises(TrackError, match=r"did you mean album/long\.flac"):
        corpus.stem_files("album/long.wav")


def test_render_takes_the_store_where_the_audio_is_gone(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    folder, out = tmp_path / "music", tmp_path / "out"
    shutil.copytree(corpus_folder, folder)
    run_job(folder, out)
    mixture = sf.read(folder / "album" / "long.flac")[0].mean(axis=1)
    shutil.rmtree(folder)
    said = list[str]()
    float32 = ["output.stems.format=wav", "output.stems.subtype=FLOAT"]
    records = render(str(out), ["album/long.flac", "talk.mp3"], float32, say=said.append)
    assert all(record.status == "done" for record in records.values())
    assert "rendered from the store" in said[0]
    total = sum(stem(out, f"album/long.{component}.wav")[:, 0] for component in ALL[:2])
    assert np.abs(total - mixture).max() < 2e-6


def test_components_are_had_as_samples(
    made: Path, corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    run_job(corpus_folder, tmp_path, corpus__include=["long.flac"], corpus__channels="all")
    corpus = open_corpus(tmp_path)
    whole = corpus.stems("album/long.flac")
    assert whole.harmonic.dims == ("channel", "sample")
    mixture = sf.read(corpus_folder / "album" / "long.flac", dtype="float32")[0].T
    assert np.abs(whole.harmonic + whole.percussive - mixture).max() < 2e-6
    span = corpus.stems("album/long.flac", 30_000, 30_500)
    np.testing.assert_array_equal(span.harmonic, whole.harmonic[:, 30_000:30_500])
    assert span.time[0] == 30_000 / 22050
    with pytest.raises(ParameterError, match="not within"):
        corpus.stems("album/long.flac", 0, 10**9)
    with pytest.raises(TrackError, match="hpss-batch render"):
        open_corpus(made).stems("album/long.flac")


def test_an_object_store_gets_the_same_files(made: Path, corpus_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bucket" / "out" / "corpus.zarr").mkdir(parents=True)
    url = f"file://{tmp_path}/bucket/out"
    job = settings(corpus_folder, Path("out"), output__arrays=[], output__stems={"components": ALL})
    job["hpss"]["margin"] = 2.0
    job["output"]["path"] = url
    assert run(Job.parse(job)).exit_status == 0
    for file in (made / "stems").rglob("*.flac"):
        there = tmp_path / "bucket" / "out" / "stems" / file.relative_to(made / "stems")
        assert there.read_bytes() == file.read_bytes()


def test_the_command_line_makes_stems_and_nothing_else(corpus_folder: Path, tmp_path: Path) -> None:
    def call(*arguments: object) -> Any:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    small = [
        "--set",
        "cluster.kwargs={processes: false, n_workers: 1}",
        "--set",
        "corpus.include=[short.wav]",
    ]
    planned = call("plan", corpus_folder, "-o", tmp_path / "out", "--stems", "--json", *small)
    assert json.loads(planned.output)["stems"]["files"] == 2
    result = call("run", corpus_folder, "-o", tmp_path / "out", "--stems", *small)
    assert result.exit_code == 0, result.output
    assert not list((tmp_path / "out" / "corpus.zarr").glob("harmonic*"))
    assert sorted(path.name for path in (tmp_path / "out" / "stems").iterdir()) == [
        "short.harmonic.flac",
        "short.percussive.flac",
    ]
    assert call("status", tmp_path / "out").exit_code == 0
    rendered = call("render", tmp_path / "out", "short.wav", "--set", "output.stems.format=wav")
    assert rendered.exit_code == 0
    assert (tmp_path / "out" / "stems" / "short.percussive.wav").exists()


KILLER = """
import os
import signal
from pathlib import Path

from hpss_batch.stems import writer as stemfile

if "honest" not in globals():  # Dask may load this twice
    honest, deaths = stemfile.StemFile.write, Path({deaths!r})

    def deadly(self, block):
        honest(self, block)
        n = len(deaths.read_text())
        if self.name.startswith("b.") and self.expected[0] > 22050 and n < {most}:
            deaths.write_text("x" * (n + 1))
            os.kill(os.getpid(), signal.SIGKILL)

    stemfile.StemFile.write = deadly
"""
"""Kills the worker in the middle of a track's stems, a number of times."""


@pytest.mark.parametrize("most", [1, 100])
def test_a_worker_that_dies_loses_nothing_but_what_keeps_killing_it(tmp_path: Path, most: int) -> None:
    folder, out = tmp_path / "music", tmp_path / "out"
    folder.mkdir()
    for seed, name in enumerate(("a.wav", "b.wav", "c.wav")):
        sf.write(folder / name, music(3.0, 22050, 1, seed), 22050)
    deaths = tmp_path / "deaths"
    deaths.write_text("")
    (tmp_path / "killer.py").write_text(KILLER.format(deaths=str(deaths), most=most))
    cluster = {"class": "distributed.LocalCluster", "kwargs": {"n_workers": 1}}
    cluster["kwargs"]["preload"] = str(tmp_path / "killer.py")  # type: ignore[index]
    job = settings(folder, out, output__arrays=[], output__stems=True) | {"cluster": cluster}
    result = run(Job.parse(job))
    assert len(deaths.read_text()) >= 1
    assert stems_job(folder, tmp_path / "undisturbed").exit_status == 0
    wanted = [path.name for path in sorted((tmp_path / "undisturbed" / "stems").iterdir())]
    if most > 1:
        assert "killed its worker" in result.failed["b.wav"]
        assert result.catalog.counts == {"done": 2, "quarantined": 1}
        wanted = [name for name in wanted if not name.startswith("b.")]
    else:
        assert result.exit_status == 0
    assert [path.name for path in sorted((out / "stems").iterdir()) if path.name[0] != "."] == wanted
    for name in wanted:
        assert (out / "stems" / name).read_bytes() == (tmp_path / "undisturbed" / "stems" / name).read_bytes()
