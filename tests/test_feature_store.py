"""Features computed in a run: librosa's numbers, the same bits however it is cut, labelled, summed up, verified."""

import builtins
import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile as sf
import xarray as xr
import zarr
from helpers import music, settings, shards

from hpss_batch.config.job import Job
from hpss_batch.dsp.features import TABLE, Kind, decibels, list_features
from hpss_batch.dsp.params import KINDS, FeatureParams
from hpss_batch.errors import ParameterError, StoreError
from hpss_batch.products.training.windows import TrackWindows
from hpss_batch.runner.plan import plan
from hpss_batch.runner.run import Result, run
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.verification.verify import verify

RunJob = Callable[..., Result]

FEATURES: dict[str, Any] = {
    "kinds": list(KINDS),
    "components": ["harmonic", "percussive", "residual"],
    "n_mels": 8,
    "fmin": 100.0,
}
STFT = {"n_fft": 512, "hop_length": 64}
"""An onset strength that looks five frames back."""

BARE = FEATURES | {"summaries": False}


def job_settings(corpus: Path, out: Path, **changes: Any) -> dict[str, Any]:
    wanted = {"stft": dict(STFT), "hpss__margin": 1.5, "output__features": FEATURES} | changes
    stft = wanted.pop("stft")
    return settings(corpus, out, **wanted) | {"stft": stft}


def features(out: Path) -> dict[str, dict[str, np.ndarray]]:
    """Values of everything but arrays over bins, by track."""
    corpus = open_corpus(out)
    return {
        track: {
            str(name): array.values
            for name, array in corpus[track].data_vars.items()
            if "frequency" not in array.dims
        }
        for track in corpus
    }


def assert_same(a: dict[str, dict[str, np.ndarray]], b: dict[str, dict[str, np.ndarray]]) -> None:
    assert a.keys() == b.keys()
    for track in a:
        assert a[track].keys() == b[track].keys()
        for name, values in a[track].items():
            np.testing.assert_array_equal(values, b[track][name], err_msg=f"{track} {name}")


@pytest.fixture(scope="module")
def reference(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of components and features in units of 512 frames, all channels kept."""
    out = tmp_path_factory.mktemp("features") / "out"
    arrays = ["harmonic_mask", "harmonic", "percussive", "residual"]
    changes = {"corpus__channels": "all", "output__arrays": arrays}
    assert run(Job.parse(job_settings(corpus_folder, out, **changes))).exit_status == 0
    return out


def expected(track: xr.Dataset) -> dict[str, np.ndarray]:
    """librosa's features of a track's stored components, one channel, (frame, ...)."""
    sr, parts = 22050, ("harmonic", "percussive", "residual")
    magnitude = {part: np.abs(track[part].values).T for part in parts}
    mel = {
        part: librosa.feature.melspectrogram(S=values**2, sr=sr, n_mels=8, fmin=100.0)
        for part, values in magnitude.items()
    }
    log_mel = {part: librosa.power_to_db(values, ref=1.0, top_db=None) for part, values in mel.items()}
    rms = {part: librosa.feature.rms(S=values, frame_length=512)[0] for part, values in magnitude.items()}
    found = {f"mel_{part}": values.T for part, values in mel.items()}
    found |= {f"log_mel_{part}": values.T for part, values in log_mel.items()}
    found |= {f"rms_{part}": values for part, values in rms.items()}
    chroma = librosa.feature.chroma_stft(S=magnitude["harmonic"] ** 2, sr=sr, n_fft=512, tuning=0)
    found["chroma_harmonic"] = chroma.T
    found["onset"] = librosa.onset.onset_strength(
        S=log_mel["percussive"], sr=sr, n_fft=512, hop_length=64, center=True
    )
    energy = {part: values**2 for part, values in rms.items()}
    found["harmonic_ratio"] = energy["harmonic"] / (energy["harmonic"] + energy["percussive"])
    return found


def test_features_are_librosas_of_the_stored_components(reference: Path) -> None:
    corpus = open_corpus(reference)
    listed = {feature.name: feature for feature in list_features(FeatureParams(**FEATURES))}
    for name in ("album/long.flac", "talk.mp3"):
        track = corpus[name].load()
        assert track.sizes["frame"] > 3 * 512
        for channel in range(track.sizes["channel"]):
            wanted = expected(track.isel(channel=channel))
            assert wanted.keys() == listed.keys()
            for feature, values in wanted.items():
                found = track[feature].values[channel]
                assert found.dtype == np.float32
                # relative to what the feature may be: linear power has no bound
                scale = max(1.0, float(np.abs(values).max())) if feature.startswith("mel") else 1.0
                # and half a code of what is stored in a byte
                least, most = listed[feature].span or (-np.inf, np.inf)
                off = 1e-4 * scale + ((most - least) / 508 if listed[feature].span else 0)
                values = values.clip(least, most)
                np.testing.assert_allclose(found, values, rtol=0, atol=off, err_msg=f"{name} {feature}")


RATIO, LEVEL = (-6.0, 6.0), (-80.0, 20.0)
"""Spans of features in a byte, beyond which some values of the corpus are."""


@pytest.fixture
def in_bytes(corpus_folder: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of two kinds of features more than there are, stored in bytes, beside what they are made of."""

    def decibels_between(harmonic: np.ndarray, percussive: np.ndarray) -> np.ndarray:
        least = np.finfo(np.float32).tiny
        return 10 * np.log10(np.maximum(harmonic[:, 0], least) / np.maximum(percussive[:, 0], least))

    parts = ("harmonic", "percussive")
    ratio = Kind(parts, "energy", decibels_between, "dB", "harmonic to percussive energy", span=RATIO)
    level = Kind((), "mel", decibels, "dB", "power, of the {} component", ("mel",), span=LEVEL)
    monkeypatch.setitem(TABLE, "ratio_db", ratio)
    monkeypatch.setitem(TABLE, "level", level)
    # KINDS, as the check of `kinds` keeps it
    allowed = (
        next(field for field in fields(FeatureParams) if field.name == "kinds")
        .metadata["check"]
        .__closure__[0]
    )
    assert allowed.cell_contents == KINDS
    monkeypatch.setattr(allowed, "cell_contents", tuple(TABLE))
    wanted = {"kinds": ["ratio_db", "rms", "level", "log_mel"], "n_mels": 8, "fmin": 100.0}
    shutil.copytree(corpus_folder, tmp_path / "music")
    sf.write(tmp_path / "music" / "silence.wav", np.zeros(22050), 22050)
    changes = {"corpus__channels": "all", "output__arrays": ["harmonic_mask"], "output__mask_dtype": "uint8"}
    result = run_job(tmp_path / "music", tmp_path / "out", output__features=wanted, **changes)
    assert result.exit_status == 0
    return tmp_path / "out"


def test_features_in_a_byte_are_decoded_by_every_reader(in_bytes: Path) -> None:
    corpus, packed = open_corpus(in_bytes), xr.open_zarr(in_bytes / "corpus.zarr")
    gaps = (packed.track_index < 0).values
    table = corpus.tracks.to_pandas()
    assert gaps.any()
    for name, (least, most) in {"ratio_db": RATIO, "level_percussive": LEVEL}.items():
        stored = zarr.open_group(in_bytes / "corpus.zarr", mode="r")[name]
        assert isinstance(stored, zarr.Array)
        assert (stored.dtype, stored.fill_value) == (np.uint8, 255)
        told = {"scale_factor": (most - least) / 254, "add_offset": least, "_FillValue": 255, "units": "dB"}
        assert told.items() <= dict(stored.attrs).items()
        codes = np.asarray(stored[:])
        assert (codes[:, gaps] == 255).all()
        assert codes.min() == 0
        assert len(np.unique(codes)) > 100
        windows = TrackWindows(in_bytes, name, frames=64, tracks=["album/long.flac"])
        for track in corpus:
            data = corpus[track].load()
            found, start, n = data[name], data.attrs["frame_start"], data.sizes["frame"]
            assert found.dtype == np.float32
            assert set(found.attrs) == {"units", "long_name", "references"}
            there = packed[name][: data.sizes["channel"], start : start + n]
            np.testing.assert_allclose(found, there, atol=1e-5)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = 20 * np.log10(data.rms_harmonic.astype(float) / data.rms_percussive.astype(float))
            exact = data.log_mel_percussive if found.ndim == 3 else ratio.fillna(0)
            step = (most - least) / 254
            np.testing.assert_allclose(found, exact.clip(least, most), rtol=0, atol=step / 2 + 1e-4)
            if n:
                column = f"{name}_p75_3" if found.ndim == 3 else f"{name}_p75"
                band = found.values[..., 3] if found.ndim == 3 else found.values
                assert table[column][track] == pytest.approx(np.percentile(band, 75), abs=1e-4)
        np.testing.assert_array_equal(windows[0][name], corpus["album/long.flac"][name].values[0, :64])


@pytest.mark.usefixtures("verifying_threads")
def test_verify_proves_features_in_a_byte_and_what_their_codes_mean(in_bytes: Path) -> None:
    right, whole = features(in_bytes), shards(in_bytes)
    assert verify(in_bytes, sample=None).findings == ()
    group = zarr.open_group(in_bytes / "corpus.zarr", mode="r+", use_consolidated=False)
    group["ratio_db"].attrs["scale_factor"] = 0.5
    group["harmonic_mask"].attrs["add_offset"] = 1.0
    told = dict(group["level_harmonic"].attrs)
    group["level_harmonic"].attrs.put({key: told[key] for key in told if key != "scale_factor"})
    with pytest.raises(StoreError, match=r"level_harmonic holds codes.*'scale_factor'.*verify --heal"):
        TrackWindows(in_bytes, "level_harmonic", frames=64)[0]
    found = verify(in_bytes, sample=0).open
    assert {finding.array for finding in found} >= {"ratio_db", "harmonic_mask", "level_harmonic"}
    assert verify(in_bytes, sample=0, heal=True).exit_status == 0
    assert verify(in_bytes, sample=0).findings == ()
    assert shards(in_bytes) == whole
    assert_same(features(in_bytes), right)


@pytest.mark.parametrize("unit_frames", [512, 1536, None])
def test_every_cutting_gives_the_same_bits_and_needs_no_arrays(
    unit_frames: int | None, reference: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    changes = {"corpus__channels": "all", "output__arrays": [], "output__unit_frames": unit_frames}
    changes["output__features"] = BARE
    assert run(Job.parse(job_settings(corpus_folder, tmp_path / "out", **changes))).exit_status == 0
    assert_same(features(tmp_path / "out"), features(reference))
    assert not {name.split("/")[0] for name in shards(tmp_path / "out")} & {"harmonic", "harmonic_mask"}


def test_onsets_may_look_back_on_more_than_a_block(tmp_path: Path) -> None:
    """Frames of one sample, of which an onset looks 513 back: pieces begin with more than a block of them."""
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "a.wav", music(0.08, 22050), 22050)
    found = {}
    for unit_frames in (512, 2048):
        out, stft = tmp_path / f"{unit_frames}", {"n_fft": 1024, "hop_length": 1}
        changes = {"output__arrays": [], "output__unit_frames": unit_frames}
        job = job_settings(tmp_path / "music", out, stft=stft, **changes)
        assert run(Job.parse(job)).exit_status == 0
        found[unit_frames] = features(out)
    assert_same(found[512], found[2048])
    assert found[512]["a.wav"]["onset"][0, 514:].any()


def test_stored_spectrograms_give_the_same_bits_as_audio(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    spectrograms, one, two = tmp_path / "spectrograms", tmp_path / "one", tmp_path / "two"
    run_job(corpus_folder, spectrograms, output__arrays=["spectrogram"], corpus__limit=2)
    changes = {"output__arrays": [], "output__features": BARE}
    run_job(corpus_folder, one, **changes, corpus__limit=2)
    again = settings(spectrograms, two, **changes)
    del again["stft"], again["corpus"]["sample_rate"], again["output"]["unit_frames"]
    run(Job.parse(again))
    assert_same(features(one), features(two))


def test_features_do_not_change_the_arrays_beside_them(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    for dtype in ("float32", "uint8"):
        changes = {
            "output__arrays": ["harmonic_mask", "percussive_mask", "residual"],
            "output__mask_dtype": dtype,
            "corpus__limit": 2,
        }
        plain, featured = tmp_path / f"plain {dtype}", tmp_path / f"featured {dtype}"
        run_job(corpus_folder, plain, **changes)
        run_job(corpus_folder, featured, **changes, output__features=BARE)
        found = shards(featured)
        assert {name: found[name] for name in shards(plain)} == shards(plain)


def test_a_track_shows_its_features_with_coordinates(reference: Path) -> None:
    track = open_corpus(reference)["album/long.flac"]
    assert track.log_mel_percussive.dims == ("channel", "frame", "mel")
    assert track.chroma_harmonic.dims == ("channel", "frame", "chroma")
    assert track.onset.dims == ("channel", "frame")
    assert track.onset.attrs["units"] == "dB"
    assert "onset_mean" not in track.attrs  # a track has its features; the table has summaries
    assert all(track[name].attrs["long_name"] for name in track.variables)
    expected_mel = librosa.mel_frequencies(n_mels=10, fmin=100.0, fmax=11025)[1:-1]
    np.testing.assert_allclose(track.mel.values, expected_mel)
    assert track.mel.attrs["units"] == "Hz"
    assert track.time.dims == ("frame",)
    assert track.log_mel_percussive.chunks[1][0] <= 512


def test_shards_are_units_and_chunks_are_512_frames(reference: Path) -> None:
    for name, across in (("log_mel_harmonic", [8]), ("rms_residual", [])):
        metadata = json.loads((reference / "corpus.zarr" / name / "zarr.json").read_text())
        assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [1, 512, *across]
        inner = metadata["codecs"][0]["configuration"]["chunk_shape"]
        assert inner == [1, 512, *across]


def test_the_table_of_tracks_has_summaries_of_all_frames_and_goes_to_pandas(reference: Path) -> None:
    corpus = open_corpus(reference)
    table = corpus.tracks.to_pandas()
    assert len(table) == 7
    for name in ("album/long.flac", "short.wav", "other rate.wav"):
        track = corpus[name].load()
        rms = track.rms_harmonic.values.ravel()
        assert table.rms_harmonic_mean[name] == pytest.approx(rms.mean(dtype=float), rel=1e-6)
        assert table.rms_harmonic_deviation[name] == pytest.approx(rms.std(dtype=float), rel=1e-5)
        band = track.log_mel_percussive.values[..., 6].ravel()
        assert table.log_mel_percussive_p75_6[name] == pytest.approx(np.percentile(band, 75), rel=1e-5)
    assert np.isnan(table.rms_harmonic_mean["no samples.wav"])
    packed = xr.open_zarr(reference / "corpus.zarr")
    assert packed.log_mel_percussive_p75.dims == ("track", "mel")
    assert packed.rms_harmonic_mean.attrs["cell_methods"] == "frame: mean"
    numbers = table.drop(columns=["status", "error", "source_layout"])
    assert all(dtype.kind in "fiu" for dtype in numbers.dtypes)


def test_long_tracks_are_summed_up_some_bands_at_a_time(
    reference: Path, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpss_batch.store.arrays.track_table.VALUES", 16384)
    monkeypatch.setattr("hpss_batch.store.arrays.track_table.TRACKS", 3)
    some = FEATURES | {"kinds": ["log_mel", "rms"], "components": ["harmonic"]}
    changes = {"corpus__channels": "all", "output__arrays": [], "output__features": some}
    run(Job.parse(job_settings(corpus_folder, tmp_path / "out", **changes)))
    found, wanted = open_corpus(tmp_path / "out").tracks, open_corpus(reference).tracks
    assert "log_mel_harmonic_p95_7" in found
    xr.testing.assert_equal(found.drop_vars("frame_start"), wanted[list(found)].drop_vars("frame_start"))


def test_summaries_can_be_left_out(corpus_folder: Path, tmp_path: Path, run_job: RunJob) -> None:
    wanted = {"kinds": ["rms"], "summaries": False}
    run_job(corpus_folder, tmp_path / "out", output__arrays=[], output__features=wanted)
    corpus = open_corpus(tmp_path / "out")
    assert not [name for name in corpus.tracks if str(name).startswith("rms")]
    commits = RunDirectory(tmp_path / "out").commits().values()
    assert all(commit.seconds["features"] >= 0 for commit in commits)


def test_a_grown_corpus_gets_the_summaries_of_its_new_tracks(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    folder = tmp_path / "music"
    shutil.copytree(corpus_folder, folder)
    changes = {"output__arrays": [], "output__features": {"kinds": ["rms", "log_mel"], "n_mels": 8}}
    run_job(folder, tmp_path / "out", **changes)
    before = open_corpus(tmp_path / "out").tracks.to_pandas()
    sf.write(folder / "new.wav", music(2.0, 22050, 1, 9), 22050)
    run_job(folder, tmp_path / "out", **changes)
    after = open_corpus(tmp_path / "out").tracks.to_pandas()
    assert after.rms_harmonic_mean["new.wav"] > 0
    assert before.equals(after.loc[before.index])
    assert verify(tmp_path / "out").findings == ()


@pytest.mark.slow
def test_verify_proves_features_and_heals_them(reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(reference, out)
    good = shards(out)
    assert verify(out, sample=None, corpus=None).findings == ()
    (out / "corpus.zarr" / "rms_harmonic" / "c.0.2").unlink()
    (out / "corpus.zarr" / "chroma_harmonic" / "c.0.1.0").unlink(missing_ok=True)
    for name in ("onset_mean", "rms_harmonic_p50"):
        shutil.rmtree(out / "corpus.zarr" / name)
    (out / "corpus.zarr" / "mel" / "zarr.json").unlink()
    found = verify(out)
    assert {finding.array for finding in found.findings} >= {
        "rms_harmonic",
        "onset_mean",
        "rms_harmonic_p50",
        "mel",
    }
    healed = verify(out, heal=True)
    assert healed.findings
    assert all(finding.healed for finding in healed.findings)
    assert shards(out) == good
    assert verify(out, sample=None).findings == ()


def test_a_file_too_loud_for_its_energy_fails_alone(tmp_path: Path, run_job: RunJob) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    sf.write(folder / "loud.wav", music(1.0, 22050) * 1e20, 22050, subtype="FLOAT")
    sf.write(folder / "song.wav", music(1.0, 22050), 22050)
    changes = {"output__arrays": [], "output__features": {"kinds": ["rms"]}}
    result = run_job(folder, tmp_path / "out", **changes)
    assert result.exit_status == 1
    assert list(open_corpus(tmp_path / "out")) == ["song.wav"]


def test_plans_count_the_bytes_of_features(corpus_folder: Path, tmp_path: Path) -> None:
    planned = plan(Job.parse(job_settings(corpus_folder, tmp_path / "out", output__arrays=["harmonic_mask"])))
    frames = planned.array_bytes["rms_harmonic"] // 4
    assert planned.array_bytes["log_mel_residual"] == frames * 8 * 4
    assert planned.array_bytes["harmonic_mask"] == frames * 257 * 4
    plain = plan(Job.parse(settings(corpus_folder, tmp_path / "out", output__arrays=["harmonic_mask"])))
    assert planned.task_bytes > plain.task_bytes


def test_without_librosa_the_error_says_what_to_install(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "librosa":
            raise ImportError("no librosa here")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ParameterError, match=r"pip install 'hpss-batch\[features\]'"):
        run(Job.parse(job_settings(corpus_folder, tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_mel_bands_beyond_the_sample_rate_of_the_corpus_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    sf.write(folder / "song.wav", music(1.0, 22050), 22050)
    job = job_settings(folder, tmp_path / "out", corpus__sample_rate=None)
    job["output"]["features"] = FEATURES | {"fmax": 16000.0}
    with pytest.raises(ParameterError, match=r"fmax=16000.0 do not fit a sample rate of 22050"):
        plan(Job.parse(job))


def test_empty_mel_bands_are_told_once(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    sf.write(folder / "song.wav", music(1.0, 22050), 22050)
    job = settings(folder, tmp_path / "out", output__features={"kinds": ["mel"], "n_mels": 100})
    with pytest.warns(UserWarning, match="of the 100 mel bands lie between two bins"):
        plan(Job.parse(job))
