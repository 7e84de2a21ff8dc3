"""stft is librosa's to float32 rounding; any run of frames is, bit for bit, a part of the whole."""

import itertools

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpss_batch.dsp.stft import StftParams, context, padded, stft, stft_frames
from hpss_batch.errors import ParameterError

MODES = ["constant", "edge", "reflect", "symmetric"]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@st.composite
def parameters(draw):
    n_fft = draw(st.one_of(st.integers(2, 64), st.sampled_from([128, 256, 300])))
    return StftParams(
        n_fft=n_fft,
        hop_length=draw(st.integers(1, n_fft + 10)),
        win_length=draw(st.none() | st.integers(1, n_fft)),
        window=draw(st.sampled_from(["hamming", "boxcar", ("kaiser", 8.0)])),
        center=draw(st.booleans()),
        pad_mode=draw(st.sampled_from(MODES)),
    )


def keywords(params):
    names = ("n_fft", "hop_length", "win_length", "window", "center", "pad_mode")
    return {name: getattr(params, name) for name in names}


def librosa_stft(y, params):
    """librosa's, of the padded signal: at its ends librosa pads parts, which reflects short ones otherwise."""
    padding = [(0, 0)] * (y.ndim - 1) + [(params.pad, params.pad)]
    whole = np.pad(y, padding, mode=params.pad_mode)
    return librosa.stft(whole, **{**keywords(params), "center": False})


@settings(deadline=None)
@given(parameters(), st.integers(1, 600), st.integers(0, 9))
def test_stft_is_librosas(params, n_samples, seed):
    y = noise(n_samples, seed=seed)
    found = stft(y, **keywords(params))
    assert found.dtype == np.complex64
    assert found.shape == (params.n_bins, params.n_frames(n_samples))
    if found.size:
        expected = librosa_stft(y, params)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n_fft", [512, 511, 2048])
def test_stft_is_librosas_as_it_stands(mode, n_fft):
    y = noise(2, 3, 7000)
    found = stft(y, n_fft=n_fft, pad_mode=mode)
    expected = librosa.stft(y, n_fft=n_fft, pad_mode=mode)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@settings(deadline=None)
@given(parameters(), st.integers(1, 900), st.data())
def test_any_run_of_frames_is_a_part_of_the_whole(params, n_samples, data):
    """Only the samples that a run may look at are held, and no more is known of the end than need be."""
    y = noise(n_samples)
    n_frames = params.n_frames(n_samples)
    whole = stft_frames(y, 0, n_samples, 0, n_frames, params)
    first = data.draw(st.integers(0, n_frames))
    stop = data.draw(st.integers(first, n_frames))
    start, end = params.sample_span(first, stop)
    extra = context(params) + data.draw(st.sampled_from([0, 0, 3]))
    low, high = max(0, start - extra), max(0, min(n_samples, end + extra))
    known = None if end + context(params) <= n_samples and high == end + extra else n_samples
    found = stft_frames(y[low:high], low, known, first, stop, params)
    np.testing.assert_array_equal(found, whole[first:stop])


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 90), max_size=6), st.sampled_from([512, 500]))
def test_blocks_of_any_sizes_join(borders, n_fft):
    params = StftParams(n_fft=n_fft, hop_length=100, pad_mode="reflect")
    y = noise(8_950)
    n_frames = params.n_frames(y.size)
    whole = stft_frames(y, 0, y.size, 0, n_frames, params)
    edges = [0, *sorted(borders), n_frames]
    parts = [stft_frames(y, 0, y.size, a, b, params) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_out_is_written_whatever_its_strides():
    params = StftParams(n_fft=64, hop_length=16)
    y = noise(1000)
    n_frames = params.n_frames(1000)
    whole = stft_frames(y, 0, 1000, 0, n_frames, params)
    store = np.zeros((2, params.n_bins, n_frames), np.complex64)
    out = store[1].T
    assert stft_frames(y, 0, 1000, 0, n_frames, params, out=out) is out
    np.testing.assert_array_equal(store[1].T, whole)
    assert not store[0].any()
    with pytest.raises(ParameterError, match="give complex64 of shape"):
        stft_frames(y, 0, 1000, 0, n_frames - 1, params, out=out)


def test_no_samples_no_frames():
    assert stft(np.zeros((2, 0), np.float32)).shape == (2, 1025, 0)
    assert stft(np.zeros(100, np.float32), center=False).shape == (1025, 0)


def test_integers_and_doubles_are_taken_as_float32():
    y = np.arange(100)
    np.testing.assert_array_equal(stft(y, n_fft=16), stft(y.astype(np.float64), n_fft=16))
    assert stft(y, n_fft=16).dtype == np.complex64


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.float32(1), "give real audio"),
        (np.zeros(100, np.complex64), "y is complex64"),
        (np.full(100, np.nan, np.float32), "NaN"),
    ],
)
def test_what_is_not_audio_is_refused(y, said):
    with pytest.raises(ParameterError, match=said):
        stft(y, n_fft=16)


def test_frames_that_the_track_does_not_have_are_refused():
    params = StftParams(n_fft=64, hop_length=16)
    with pytest.raises(ParameterError, match="of a track of 100 samples, which has 7"):
        stft_frames(noise(100), 0, 100, 0, 8, params)
    with pytest.raises(ParameterError, match="are held"):
        stft_frames(noise(100), 0, None, 0, 8, params)
    with pytest.raises(ParameterError, match="0 <= first <= stop"):
        stft_frames(noise(100), 0, 100, -1, 3, params)


@given(
    st.integers(1, 30),
    st.integers(-70, 60),
    st.integers(0, 60),
    st.sampled_from(MODES),
)
def test_padding_is_numpys(n_samples, start, length, mode):
    track = np.arange(1, n_samples + 1, dtype=np.float32)
    whole = np.pad(track, 130, mode=mode)
    found = padded(track, 0, n_samples, start, start + length, mode)
    np.testing.assert_array_equal(found, whole[130 + start : 130 + start + length])


def test_what_is_held_is_not_copied():
    held = np.arange(10, dtype=np.float32)
    assert np.shares_memory(padded(held, 100, None, 102, 108, "reflect"), held)


def test_samples_that_are_not_held_are_named():
    with pytest.raises(ParameterError, match="samples 95 to 105 are needed, but 100 to 110 are held"):
        padded(np.zeros(10, np.float32), 100, None, 95, 105, "constant")


@given(
    st.builds(
        StftParams,
        n_fft=st.integers(2, 70),
        hop_length=st.integers(1, 90),
        center=st.booleans(),
        window=st.just("boxcar"),
        pad_mode=st.sampled_from(MODES),
    ),
    st.integers(1, 300),
    st.data(),
)
def test_context_is_enough_for_any_run_of_frames(params, n_samples, data):
    n_frames = params.n_frames(n_samples)
    first = data.draw(st.integers(0, n_frames))
    stop = data.draw(st.integers(first, n_frames))
    start, end = params.sample_span(first, stop)
    low, high = max(0, start - context(params)), max(0, min(n_samples, end + context(params)))
    track = np.arange(1, n_samples + 1, dtype=np.float32)
    whole = np.pad(track, params.pad, mode=params.pad_mode)
    found = padded(track[low:high], low, n_samples, start, end, params.pad_mode)
    np.testing.assert_array_equal(found, whole[start + params.pad : end + params.pad])
