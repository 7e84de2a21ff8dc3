"""Features are librosa's of the same component, and the same however a track is cut."""

import os
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpss_batch.dsp.features import (
    TABLE,
    FrameFeatures,
    list_features,
    needed_components,
    onset_strength,
    summarise,
)
from hpss_batch.dsp.filterbanks import filter_banks
from hpss_batch.dsp.params import COMPONENTS, KINDS, FeatureParams, StftParams
from hpss_batch.errors import ParameterError

RATE = 22050
STFT = StftParams(1024, 256)
PARAMS = FeatureParams(kinds=KINDS, components=COMPONENTS, n_mels=40, fmin=20.0, fmax=10_000.0)
BANKS = filter_banks(PARAMS, STFT, RATE)


def frame_features(parts, params=PARAMS):
    """Features of a whole track."""
    return FrameFeatures(params, STFT, BANKS).of(parts)


def magnitudes(n_frames=150, stft=STFT, seed=0):
    """Loud and quiet frames, silent ones, and lone bins."""
    rng = np.random.default_rng(seed)
    made = {}
    for component in COMPONENTS:
        level = 10 ** rng.uniform(-6, 2, (n_frames, 1))
        values = np.abs(rng.standard_normal((n_frames, stft.n_bins))) * level
        values[n_frames // 3 : n_frames // 2] = 0
        made[component] = values.astype(np.float32)
    return made


def test_kinds_that_may_be_asked_for_are_those_of_the_table():
    assert tuple(TABLE) == KINDS
    assert all(f'"{kind}"' in FeatureParams.__doc__ for kind in KINDS)


def test_each_is_librosas():
    parts = magnitudes()
    found = frame_features(parts)
    mels = {
        part: librosa.feature.melspectrogram(
            S=values.T**2, sr=RATE, n_fft=1024, n_mels=40, fmin=20.0, fmax=10_000.0
        )
        for part, values in parts.items()
    }
    decibels = {part: librosa.power_to_db(mel, ref=1.0, top_db=None) for part, mel in mels.items()}
    expected = {
        "chroma_harmonic": librosa.feature.chroma_stft(
            S=parts["harmonic"].T ** 2, sr=RATE, n_fft=1024, tuning=0
        ),
        "onset": librosa.onset.onset_strength(S=decibels["percussive"], sr=RATE, n_fft=1024, hop_length=256),
    }
    for part, values in parts.items():
        expected[f"mel_{part}"] = mels[part]
        expected[f"log_mel_{part}"] = decibels[part]
        expected[f"rms_{part}"] = librosa.feature.rms(S=values.T, frame_length=1024, hop_length=256)[0]
    energies = [expected[f"rms_{part}"].astype(np.float64) ** 2 for part in ("harmonic", "percussive")]
    silent = sum(energies) == 0
    expected["harmonic_ratio"] = np.where(silent, 0.5, energies[0] / np.where(silent, 1, sum(energies)))
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values.T, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("stft", [STFT, StftParams(1024, 256, center=False), StftParams(1023, 700)])
def test_onsets_are_librosas_for_other_frames(stft):
    log_mel = librosa.power_to_db(magnitudes()["percussive"][:, :30] ** 2, top_db=None)
    expected = librosa.onset.onset_strength(
        S=log_mel.T, n_fft=stft.n_fft, hop_length=stft.hop_length, center=stft.center
    )
    delay = stft.n_fft // (2 * stft.hop_length) if stft.center else 0
    np.testing.assert_allclose(onset_strength(log_mel, delay), expected, atol=1e-5)


@settings(deadline=None)
@given(st.integers(0, 150), st.data())
def test_any_cutting_gives_the_same_bits(n_frames, data):
    """From any frame on, once those that are looked back on have passed, in blocks of any size."""
    parts = magnitudes(n_frames)
    whole = frame_features(parts)
    passing = FrameFeatures(PARAMS, STFT, BANKS)
    start = data.draw(st.integers(0, n_frames))
    at = data.draw(st.integers(0, max(0, start - passing.lookback)))
    while at < n_frames:
        stop = data.draw(st.integers(at, n_frames))
        found = passing.of({part: values[at:stop] for part, values in parts.items()})
        for name, values in whole.items():
            np.testing.assert_array_equal(
                found[name][max(start - at, 0) :], values[max(start, at) : stop], name
            )
        at = stop if stop > at else n_frames


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from(KINDS), min_size=1, unique=True),
    st.lists(st.sampled_from(COMPONENTS), min_size=1, unique=True),
)
def test_what_else_is_asked_for_changes_no_bit(kinds, components):
    parts = magnitudes(40)
    whole = frame_features(parts)
    params = FeatureParams(kinds=kinds, components=components, n_mels=40, fmin=20.0, fmax=10_000.0)
    needed = {part: parts[part] for part in needed_components(params)}
    found = frame_features(needed, params)
    listed = list_features(params)
    assert list(found) == [feature.name for feature in listed]
    for feature in listed:
        assert found[feature.name].shape == (40, *feature.shape)
        assert found[feature.name].dtype == np.float32
        assert len(feature.dims) == len(feature.shape)
        np.testing.assert_array_equal(found[feature.name], whole[feature.name])


def test_memory_order_changes_no_bit():
    parts = magnitudes()
    whole = frame_features(parts)
    turned = {part: np.asfortranarray(values) for part, values in parts.items()}
    for name, values in frame_features(turned).items():
        np.testing.assert_array_equal(values, whole[name])


def test_only_onsets_look_back():
    assert FrameFeatures(PARAMS, STFT, BANKS).lookback == 3
    assert FrameFeatures(PARAMS, StftParams(center=False), BANKS).lookback == 1
    assert FrameFeatures(FeatureParams(kinds=("mel", "rms")), STFT, BANKS).lookback == 0


def test_silence():
    parts = {part: np.zeros((5, STFT.n_bins), np.float32) for part in COMPONENTS}
    found = frame_features(parts)
    assert (found["harmonic_ratio"] == 0.5).all()
    np.testing.assert_allclose(found["log_mel_harmonic"], -100, rtol=1e-6)
    assert not any(found[name].any() for name in ("chroma_harmonic", "onset", "rms_harmonic", "mel_residual"))


def test_a_missing_component_is_named():
    with pytest.raises(ParameterError, match="harmonic, percussive is missing"):
        frame_features({"residual": np.zeros((3, STFT.n_bins), np.float32)})


def test_summaries_are_of_each_band_alone():
    values = np.random.default_rng(0).standard_normal((1000, 7)).astype(np.float32)
    found = summarise(values, percentiles=(5, 50, 99.5))
    assert list(found) == ["mean", "deviation", "p5", "p50", "p99.5"]
    np.testing.assert_allclose(found["mean"], values.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found["deviation"], values.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["p50"], np.median(values, axis=0), rtol=1e-6)
    for band in range(7):
        for name, value in summarise(values[:, band], percentiles=(5, 50, 99.5)).items():
            assert value == found[name][band]
            assert value.dtype == np.float32


def test_no_frames_have_no_mean():
    found = summarise(np.zeros((0, 3), np.float32))
    assert list(found) == ["mean", "deviation", "p5", "p25", "p50", "p75", "p95"]
    assert all(value.shape == (3,) and np.isnan(value).all() for value in found.values())


def test_filter_banks_need_no_home_folder(tmp_path: Path) -> None:
    """As of a container's user, of whom nobody knows anything, with packages that are not its own."""
    code = (
        "import os, sys, tempfile; os.path.expanduser = lambda path: path\n"
        "from hpss_batch.dsp.filterbanks import filter_banks\n"
        "from hpss_batch.dsp.params import FeatureParams, StftParams\n"
        "filter_banks(FeatureParams(), StftParams(), 22050)\n"
        "print(os.environ['NUMBA_CACHE_DIR'])"
    )
    hidden = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).parent == tmp_path
    assert os.listdir(tmp_path) == []
