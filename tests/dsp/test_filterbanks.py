"""Bands are weighted sums of power, and their weights librosa's."""

import builtins

import librosa
import numpy as np
import pytest

from hpss_batch.dsp.filterbanks import FilterBanks, band_sums, filter_banks
from hpss_batch.dsp.params import FeatureParams, StftParams
from hpss_batch.errors import ParameterError


def test_banks_are_librosas():
    stft = StftParams(2048, 512)
    banks = filter_banks(FeatureParams(n_mels=64, fmin=30.0, n_chroma=24), stft, 44100)
    mel = librosa.filters.mel(sr=44100, n_fft=2048, n_mels=64, fmin=30.0)
    np.testing.assert_array_equal(banks.mel.toarray(), mel)
    chroma = librosa.filters.chroma(sr=44100, n_fft=2048, n_chroma=24)
    np.testing.assert_array_equal(banks.chroma.toarray(), chroma)
    peaks = stft.frequencies(44100)[mel.argmax(axis=1)]
    assert np.abs(banks.mel_frequencies - peaks).max() < 44100 / 2048
    assert banks.mel_frequencies.shape == (64,)


@pytest.mark.parametrize("n_fft", [64, 65])
def test_energy_is_the_mean_square(n_fft):
    frame = np.random.default_rng(0).standard_normal(n_fft)
    magnitude = np.abs(np.fft.rfft(frame)).astype(np.float32)[None]
    banks = FilterBanks(*_banks(n_fft), mel_frequencies=np.zeros(1))
    (sums,) = band_sums(magnitude, [banks.energy])
    assert sums[0, 0] == pytest.approx(np.mean(frame**2), rel=1e-6)


def _banks(n_fft):
    from hpss_batch.dsp.filterbanks import energy_weights

    nothing = np.zeros((1, 1 + n_fft // 2), np.float32)
    return nothing, nothing, energy_weights(StftParams(n_fft, 8))


@pytest.mark.parametrize("n_frames", [0, 1, 2, 63, 64, 65, 200])
def test_sums_are_those_of_numpy(n_frames):
    rng = np.random.default_rng(0)
    magnitude = rng.random((n_frames, 33), np.float32)
    weights = [rng.random((5, 33), np.float32), rng.random((1, 33), np.float32)]
    weights[0][:, 4:9] = 0
    banks = FilterBanks(weights[0], weights[1], weights[1], np.zeros(5))
    found = band_sums(magnitude, [banks.mel, banks.chroma])
    for sums, bank in zip(found, weights, strict=True):
        np.testing.assert_allclose(sums, magnitude.astype(np.float64) ** 2 @ bank.T, rtol=1e-5)
        assert sums.flags.c_contiguous


def test_bands_beyond_half_the_sample_rate_are_refused():
    with pytest.raises(ParameterError, match=r"fmax=10000.0 do not fit a sample rate of 8000 Hz.* 4000"):
        filter_banks(FeatureParams(fmax=10_000), StftParams(), 8000)


def test_without_librosa_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "librosa":
            raise ImportError("No module named 'librosa'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ParameterError, match=r"pip install 'hpss-batch\[features\]'"):
        filter_banks(FeatureParams(), StftParams(), 44100)
