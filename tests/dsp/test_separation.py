"""Methods are their formulas, in any cutting; lengths in seconds and Hz are what is said, at every rate."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpss_batch.dsp.hpss import masks
from hpss_batch.dsp.kernels.median import LONGEST_NETWORK
from hpss_batch.dsp.methods import PRESETS, Band, HpssParams, Logistic, methods
from hpss_batch.dsp.params import StftParams
from hpss_batch.dsp.separation import Grid, separation
from hpss_batch.errors import ParameterError

GRID = Grid.of(StftParams(4096, 1024), 44100)


# The formulas, in float64, window by window


def windows(x, size, axis):
    """Windows of size values around each, the last axis of the result; the axis reflects, the edge repeated."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (size // 2, size - 1 - size // 2)
    return np.lib.stride_tricks.sliding_window_view(np.pad(x, pad, mode="symmetric"), size, axis=axis)


def median(x, size, axis):
    return np.sort(windows(x, size, axis), axis=-1)[..., size // 2]


def medians(S, how):
    harmonic, percussive = np.empty_like(S), np.empty_like(S)
    for band in how.bands:  # each goes over what those before it computed beyond their end
        highest = windows(S, band.widening, 1).max(axis=-1)
        harmonic[:, band.start :] = median(highest, band.frames, 0)[:, band.start :]
        percussive[:, band.start :] = median(S, band.bins, 1)[:, band.start :]
    return harmonic.astype(np.float64), percussive.astype(np.float64)


def reference(S, params, grid):
    """Both masks, from the formulas; NaN where a ratio's are anybody's."""
    how = separation(params, grid)
    h, p = medians(S, how)
    if not isinstance(params.power, Logistic):
        if params.power == math.inf:
            return (h > p * params.margin[0]) * 1.0, (p > h * params.margin[1]) * 1.0
        with np.errstate(all="ignore"):
            return tuple(
                1 / (1 + (m * b / a) ** params.power)
                for a, b, m in ((h, p, params.margin[0]), (p, h, params.margin[1]))
            )
    logistic, n = params.power, S.shape[1]
    f = np.arange(n) * grid.bin_hz
    at = np.log(np.clip(f, logistic.knots[0], logistic.knots[-1]))
    slope, offset = (np.interp(at, np.log(logistic.knots), v) for v in (logistic.slope, logistic.offset))
    D = np.log((h + logistic.floor) / (p + logistic.floor))
    half = how.curves.smoothing // 2
    D = np.stack([D[:, max(0, b - half) : b + half + 1].mean(axis=1) for b in range(n)], axis=1)

    def sigmoid(z):
        return 1 / (1 + np.exp(-np.clip(z, -80, 80)))

    first, second = np.log(params.margin)
    return sigmoid(slope * (D - first) + offset), sigmoid(-(slope * (D + second) + offset))


SIZES = st.one_of(st.integers(1, 12), st.sampled_from([17, 31, 64, 90]))


@st.composite
def parameters(draw, sizes=SIZES):
    starts = [0, *sorted(draw(st.sets(st.integers(1, 90), max_size=4)))]
    bands = tuple(
        Band(10.0 * start, (draw(sizes), draw(sizes)), draw(st.sampled_from([1, 1, 3, 5])))
        for start in starts
    )
    knots = sorted(draw(st.sets(st.sampled_from([5.0, 80.0, 200.0, 1500.0]), min_size=1)))
    curves = st.lists(st.floats(-3, 3), min_size=len(knots), max_size=len(knots))
    logistic = st.builds(
        Logistic,
        st.just(knots),
        curves.map(lambda slopes: [abs(slope) for slope in slopes]),
        curves,
        st.sampled_from([1, 3, 5]),
        st.sampled_from([1e-3, 1e-6]),
    )
    return HpssParams(
        bands,
        draw(st.one_of(logistic, logistic, st.sampled_from([1.0, 2.0, 1.3, math.inf]))),
        draw(st.sampled_from([1.0, 1.0, 2.0, (1.0, 5.0)])),
    )


def magnitude(frames, bins, seed):
    rng = np.random.default_rng(seed)
    S = rng.random((frames, bins)) * 10.0 ** rng.integers(-6, 3, (frames, bins))
    return (S * (rng.random((frames, bins)) > 0.1)).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(parameters(), st.integers(1, 70), st.integers(1, 120), st.integers(0, 99))
def test_masks_are_their_formulas(params, frames, bins, seed):
    S, grid = magnitude(frames, bins, seed), Grid(bins, 10.0, 0.01)
    found = masks(S, separation(params, grid))
    for ours, right in zip(found, reference(S, params, grid), strict=True):
        known = np.isfinite(right)  # a ratio of nothing to nothing is a half, or nothing
        assert np.abs(ours - right)[known].max(initial=0) < 3e-6
        assert np.isfinite(ours).all()


@pytest.mark.parametrize("margin", [1.0, (1.0, 3.0)])
def test_long_kernels_have_the_bits_of_short_ones(margin):
    """Kernels beyond what is compiled take another way, to the same masks where they rank the same."""
    S = magnitude(7, 40, 1)
    S[:] = S[:1]  # every window along frames holds one value
    grid = Grid(40, 10.0, 0.01)
    power = PRESETS["banded"]["power"]
    how = [
        separation(HpssParams([Band(0, (size, 5), 3), Band(100, (size, 9))], power, margin), grid)
        for size in (7, LONGEST_NETWORK + 7)
    ]
    for short, long in zip(masks(S, how[0]), masks(S, how[1]), strict=True):
        np.testing.assert_array_equal(short, long)


@settings(max_examples=60, deadline=None)
@given(
    parameters(st.one_of(SIZES, st.just(LONGEST_NETWORK + 1))),
    st.integers(1, 200),
    st.integers(1, 120),
    st.lists(st.integers(0, 200), max_size=4),
    st.sampled_from([np.float32, np.float64]),
)
def test_any_cutting_gives_the_same_bits(params, frames, bins, cuts, dtype):
    how, S = (
        separation(params, Grid(bins, 10.0, 0.01)),
        magnitude(frames, bins + 2, frames)[:, 1:-1].astype(dtype),
    )
    whole = masks(S, how)
    for start, stop in itertools.pairwise(sorted({0, frames, *(cut for cut in cuts if cut < frames)})):
        first, last = max(0, start - how.halo), min(frames, stop + how.halo)
        found = masks(S[first:last], how, start=start - first, stop=stop - first)
        for ours, right in zip(found, whole, strict=True):
            assert ours.dtype == dtype
            np.testing.assert_array_equal(ours, right[start:stop])


@pytest.mark.parametrize("name", methods)
def test_presets_cut_anywhere_and_no_less_context_will_do(name):
    how, S = separation(methods[name].hpss, GRID), magnitude(120, 2049, 3)
    whole = masks(S, how)[0]
    enough, less = (masks(S[60 - halo :], how, start=halo)[0] for halo in (how.halo, how.halo - 1))
    np.testing.assert_array_equal(enough, whole[60:])
    assert (less != whole[60:]).any()


def test_masks_add_up_and_louder_margins_leave_more():
    S = magnitude(90, 2049, 5)
    both = [masks(S, separation(HpssParams(method="banded", margin=margin), GRID)) for margin in (1, 2, 4)]
    assert np.abs(both[0][0] + both[0][1] - 1).max() < 2e-7
    for fewer, more in itertools.pairwise(both):
        assert (fewer[0] <= more[0]).sum() == (fewer[0] == more[0]).sum()
        assert (fewer[0] + fewer[1]).mean() > (more[0] + more[1]).mean()


def test_loud_and_silent_values_saturate():
    S = np.zeros((40, 2049), np.float32)
    S[:, ::2], S[20] = 3e38, 3e38
    for mask in masks(S, separation(methods["banded"].hpss, GRID)):
        assert ((mask >= 0) & (mask <= 1)).all()
    assert np.isfinite(masks(np.zeros_like(S), separation(methods["banded"].hpss, GRID))).all()
    with pytest.raises(ParameterError, match="finite ones"):
        masks(S.astype(np.float64) * 100, separation(methods["banded"].hpss, GRID))


# Frames and bins


def test_banded_is_what_was_found():
    """The table of frames and bins that the method was tuned with, at 44.1 kHz."""
    how = separation(methods["banded"].hpss, GRID)
    assert [tuple(band) for band in how.bands] == [
        (0, 15, 5, 3), (9, 13, 5, 3), (28, 11, 9, 3), (56, 11, 19, 3), (112, 9, 33, 3), (223, 7, 65, 3)
    ]  # fmt: skip
    assert (how.halo, how.curves.smoothing) == (7, 3)
    assert tuple(separation(methods["tuned"].hpss, GRID).bands[0])[1:3] == (15, 19)
    assert separation(methods["librosa"].hpss) == separation(HpssParams(31, 2.0, 1.0))


@pytest.mark.parametrize(
    ("length", "frames"),
    [
        ("10 ms", 1),
        ("19.9 ms", 1),
        ("20 ms", 3),
        ("0.03 s", 3),
        ("39 ms", 3),
        ("0.04 s", 5),
        ("1e-9 s", 1),
        (4, 4),
    ],
)
def test_lengths_are_the_nearest_odd_number_of_frames_and_of_two_the_larger(length, frames):
    assert separation(HpssParams((length, 1)), Grid(10, 1.0, 0.01)).bands[0].frames == frames


def test_units_are_one_and_the_same_however_they_are_written():
    assert (
        HpssParams(("350 ms", "0.205 kHz"))
        == HpssParams(("0.35 s", "205Hz"))
        == HpssParams((" .35s", "205.0 Hz"))
    )


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("n_fft", [512, 2048, 4096, 8192])
def test_seconds_and_hz_mean_the_same_at_every_rate(rate, n_fft):
    grid = Grid.of(StftParams(n_fft, n_fft // 4), rate)
    how = separation(methods["banded"].hpss, grid)
    assert how.bands[0].start == 0
    assert all(a.start < b.start for a, b in itertools.pairwise(how.bands))
    assert how.bands[-1].start < grid.n_bins
    for band in how.bands:
        for size in band[1:]:
            assert size % 2 == 1
    given = [band for band in methods["banded"].hpss.bands if band.start < rate / 2][-1]
    seconds, hz = (float(length.split()[0]) for length in given.kernel_size)
    assert abs(how.bands[-1].frames * grid.frame_seconds - seconds) <= grid.frame_seconds
    assert abs(how.bands[-1].bins * grid.bin_hz - hz) <= grid.bin_hz


def test_knots_above_half_the_rate_change_nothing_below():
    low, high = (separation(methods["banded"].hpss, Grid(bins, 10.0, 0.02)) for bins in (101, 1000))
    assert max(methods["banded"].hpss.power.knots) > 10 * 100
    np.testing.assert_array_equal(low.curves.values[1:], high.curves.values[1:, :101])


def test_curves_are_linear_in_the_logarithm_of_frequency():
    logistic = Logistic([100, 1000], [3, 1], [0, math.log(2)])
    slope, offset = separation(HpssParams(31, logistic), Grid(2000, 1.0, 0.01)).curves.values[1:]
    assert slope[[0, 50, 100, 1000, 1999]].tolist() == [3, 3, 3, 1, 1]
    np.testing.assert_allclose(
        slope[[200, 316]], [3 - 2 * math.log10(2), 3 - 2 * math.log10(3.16)], rtol=1e-6
    )
    assert offset[1000] == pytest.approx(1), "of logarithms to the base 2"


def test_bands_that_begin_at_one_bin_are_the_last_of_them():
    how = separation(HpssParams([Band(0, (3, 3)), Band(2, (5, 5)), Band(4, (7, 7))]), Grid(9, 10.0, 0.1))
    assert [tuple(band)[:2] for band in how.bands] == [(0, 3), (1, 7)]


@pytest.mark.parametrize(
    "params", [HpssParams(("0.3 s", 5)), HpssParams((5, "99 Hz")), methods["banded"].hpss]
)
def test_what_is_not_known_is_asked_for(params):
    with pytest.raises(ParameterError, match="sample rate"):
        separation(params)


def test_a_separation_is_of_some_bins():
    with pytest.raises(ParameterError, match="magnitude has 5 bins; the separation is for 2049"):
        masks(np.ones((9, 5), np.float32), separation(methods["banded"].hpss, GRID))
