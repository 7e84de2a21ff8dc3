"""Frames, samples, seconds and hertz: the counts and spans that everything else relies on."""

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.dsp.framing import StftParams, window_of
from hpss_batch.errors import ParameterError

sizes = st.integers(2, 70)
cuts = st.builds(
    StftParams, n_fft=sizes, hop_length=st.integers(1, 90), center=st.booleans(), window=st.just("hamming")
)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"n_fft": 1}, "n_fft=1"),
        ({"n_fft": 2048.0}, "n_fft=2048.0"),
        ({"hop_length": 0}, "hop_length=0"),
        ({"hop_length": True}, "hop_length=True"),
        ({"win_length": 4096}, "win_length=4096 is larger than n_fft=2048"),
        ({"win_length": 0}, "win_length=0"),
        ({"window": "hannn"}, "window='hannn'"),
        ({"window": 14.0}, "window=14.0"),
        ({"window": ("kaiser",)}, "window=\\('kaiser',\\)"),
        ({"window": "hann", "win_length": 2, "n_fft": 2, "center": "yes"}, "center='yes'"),
        ({"pad_mode": "wrap"}, "pad_mode='wrap' is not allowed: give one of constant, edge"),
    ],
)
def test_impossible_values_are_named(keywords, said):
    with pytest.raises(ParameterError, match=said):
        StftParams(**keywords)


def test_parameters_are_plain_and_hashable():
    params = StftParams(n_fft=np.int64(512), window=["kaiser", 14.0], center=np.bool_(True))
    assert params == StftParams(n_fft=512, window=("kaiser", 14.0))
    assert hash(params) == hash(StftParams(n_fft=512, window=("kaiser", 14.0)))
    assert type(params.n_fft) is int
    assert type(params.center) is bool


@pytest.mark.parametrize("win_length", [None, 1, 5, 10, 11])
@pytest.mark.parametrize("n_fft", [11, 12])
def test_window_is_librosas(n_fft, win_length):
    size = win_length or n_fft
    expected = librosa.util.pad_center(librosa.filters.get_window("hann", size, fftbins=True), size=n_fft)
    window = window_of(StftParams(n_fft, 3, win_length, "hann"))
    assert window.dtype == np.float32
    np.testing.assert_array_equal(window, expected.astype(np.float32))


@given(cuts, st.integers(0, 400))
def test_a_frame_more_would_reach_beyond_the_padding(params, n_samples):
    n_frames = params.n_frames(n_samples)
    if n_samples == 0:
        assert n_frames == 0
    else:
        stop = params.sample_span(n_frames, n_frames + 1)[1]
        assert stop > n_samples + params.pad
        if n_frames:
            assert params.sample_span(0, n_frames)[1] <= n_samples + params.pad


@given(cuts, st.integers(-50, 300), st.integers(0, 50), st.integers(0, 12))
def test_frame_span_is_every_frame_that_touches(params, start, length, n_frames):
    stop = start + length
    spans = [params.sample_span(t, t + 1) for t in range(n_frames)]
    touching = [t for t, (a, b) in enumerate(spans) if a < stop and b > start and length]
    first, end = params.frame_span(start, stop, n_frames)
    assert list(range(first, end)) == touching
    assert 0 <= first <= end <= n_frames


@given(sizes, st.integers(1, 50), st.sampled_from([8000, 22050, 44100, 96000.0]))
def test_axes_are_librosas(n_fft, hop_length, rate):
    params = StftParams(n_fft, hop_length, window="boxcar")
    np.testing.assert_array_equal(params.frequencies(rate), librosa.fft_frequencies(sr=rate, n_fft=n_fft))
    expected = librosa.frames_to_time(np.arange(5, 40), sr=rate, hop_length=hop_length)
    np.testing.assert_array_equal(params.times(5, 40, rate), expected)
    assert params.frequencies(rate).shape == (params.n_bins,)
