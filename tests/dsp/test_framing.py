"""Frames, samples, seconds and hertz: the counts and spans that everything else relies on."""

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.dsp.framing import window_of
from hpss_batch.dsp.params import StftParams

sizes = st.integers(2, 70)
cuts = st.builds(
    StftParams, n_fft=sizes, hop_length=st.integers(1, 90), center=st.booleans(), window=st.just("hamming")
)


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
