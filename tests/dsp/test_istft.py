"""istft is librosa's to float32 rounding and undoes stft; any span of samples is a part of the whole."""

import itertools

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stft import noise, parameters

from hpss_batch.dsp.framing import smallest_overlap
from hpss_batch.dsp.stft import StftParams, check_nola, istft, istft_samples, stft, stft_frames
from hpss_batch.errors import ParameterError


def spectrogram(params, n_frames, seed=0):
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((2, n_frames, params.n_bins)).astype(np.float32)
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


@settings(deadline=None)
@given(parameters(), st.integers(1, 40), st.none() | st.integers(1, 700))
def test_istft_is_librosas(params, n_frames, length):
    frames = spectrogram(params, n_frames).T
    names = ("n_fft", "hop_length", "win_length", "window", "center")
    keywords = {name: getattr(params, name) for name in names}
    expected = librosa.istft(frames, length=length, **keywords)
    found = istft(frames, length=length, **keywords)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    # Where the windows nearly vanish, what they were divided by makes rounding large: in librosa's as in ours.
    np.testing.assert_allclose(
        found, expected, rtol=1e-5, atol=2e-6 * max(1, np.abs(expected).max(initial=0))
    )


@settings(deadline=None)
@given(parameters(), st.integers(0, 60), st.data())
def test_any_span_of_samples_is_a_part_of_the_whole(params, n_frames, data):
    frames = spectrogram(params, n_frames)
    begin, end = params.sample_span(0, n_frames)
    begin, end = begin - 20, end + 20
    whole = istft_samples(frames, 0, n_frames, begin, end, params)
    start = data.draw(st.integers(begin, end))
    stop = data.draw(st.integers(start, end))
    first, last = params.frame_span(start, stop, n_frames)
    found = istft_samples(frames[first:last], first, n_frames, start, stop, params)
    np.testing.assert_array_equal(found, whole[start - begin : stop - begin])


def test_blocks_join_over_many_batches():
    params = StftParams(n_fft=2048, hop_length=500)
    frames = spectrogram(params, 333)
    whole = istft(frames.T, hop_length=500)
    edges = [0, 1, 5, 7000, 7001, 100_000, whole.size]
    parts = [istft_samples(frames, 0, 333, a, b, params) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("n_samples", [1, 100, 511, 512, 513, 5000, 100_000])
@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_a_track_comes_back(n_samples, mode):
    y = noise(2, n_samples)
    found = istft(stft(y, pad_mode=mode), hop_length=512, length=n_samples)
    assert found.shape == y.shape
    assert np.abs(found - y).max() < 3e-6


@given(st.integers(2, 64), st.data())
def test_nola_is_what_brings_every_track_back(n_fft, data):
    """The worst sample of the worst track: seen by one frame alone, at the edge of its window."""
    params = StftParams(n_fft, data.draw(st.integers(1, n_fft)), window="hamming")
    if smallest_overlap(params) >= 1e-4:
        check_nola(params)
        n_samples = data.draw(st.integers(1, 200))
        y = noise(n_samples)
        frames = stft_frames(y, 0, n_samples, 0, params.n_frames(n_samples), params)
        found = istft_samples(frames, 0, len(frames), 0, n_samples, params)
        assert np.abs(found - y).max() < 3e-6 / np.sqrt(smallest_overlap(params))
    else:
        with pytest.raises(ParameterError, match="NOLA"):
            check_nola(params)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (StftParams(center=False), "center=False"),
        (StftParams(2048, 1024), "hop_length=1024 .*NOLA.* for instance 512"),
        (StftParams(2048, 512, 512), "for instance 128"),
        (StftParams(512, 600, window="boxcar"), "NOLA"),
    ],
)
def test_parameters_that_lose_samples_are_refused(params, said):
    with pytest.raises(ParameterError, match=said):
        check_nola(params)


def test_the_defaults_lose_nothing():
    check_nola(StftParams())
    assert smallest_overlap(StftParams(2048, 512)) == pytest.approx(0.25, abs=0.01)


def test_no_frames_give_silence():
    np.testing.assert_array_equal(istft(np.zeros((1025, 0), np.complex64), length=5), np.zeros(5))
    assert istft(np.zeros((1025, 0), np.complex64)).shape == (0,)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match="has 1025 bins, but n_fft=1024 makes 513"):
        istft(np.zeros((1025, 3), np.complex64), n_fft=1024)
    with pytest.raises(ParameterError, match="n_bins, n_frames"):
        istft(np.zeros(1025, np.complex64))
    with pytest.raises(ParameterError, match="length=-1"):
        istft(np.zeros((1025, 3), np.complex64), length=-1)
    params = StftParams(64, 16)
    with pytest.raises(ParameterError, match="samples 0 to 100 need frames 0 to 9, but 2 to 5 are held"):
        istft_samples(spectrogram(params, 3), 2, 20, 0, 100, params)
