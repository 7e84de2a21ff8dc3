"""hpss() is librosa's, bit for bit, whatever is thrown at it; and masks() does not care how a recording is cut."""

import itertools
import math
import warnings

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpss_batch.dsp.hpss import hpss, masks
from hpss_batch.dsp.kernels.median import LONGEST_NETWORK
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.separation import separation
from hpss_batch.errors import ParameterError

SIZES = st.sampled_from([1, 2, 3, 8, 9, 16, 17, 30, 31, 64, LONGEST_NETWORK + 1])
MARGINS = st.sampled_from([1.0, 1, 2.5, (1.0, 5.0), (1, 5), [3, 1.5]])
POWERS = st.sampled_from([1.0, 2.0, 2, math.inf, 0.5, 1.5, 3.0])
TYPES = st.sampled_from(["f4", "f4", "f8", "c8", "c8", "c16", "u1", "i2", "i4", "i8"])


def theirs(S, kernel_size, **parameters):
    """librosa's answer. Where scipy would read out of bounds, of a spectrogram that is reflected by hand."""
    harmonic, percussive = (size // 2 for size in kernel_size)
    n_bins, n_frames = S.shape[-2:]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if harmonic < 4 * n_frames and percussive < 4 * n_bins:
            return librosa.decompose.hpss(S, kernel_size=kernel_size, **parameters)
        padding = [(0, 0)] * (S.ndim - 2) + [(percussive, percussive + 1), (harmonic, harmonic + 1)]
        padded = np.pad(np.abs(S) if np.iscomplexobj(S) else S, padding, mode="symmetric")
        wide = librosa.decompose.hpss(padded, kernel_size=kernel_size, **(parameters | {"mask": True}))
        within = ..., slice(percussive, percussive + n_bins), slice(harmonic, harmonic + n_frames)
        both = tuple(mask[within] for mask in wide)
        if parameters["mask"]:
            return both
        magnitude, phase = librosa.magphase(S) if np.iscomplexobj(S) else (S, 1)
        return tuple((magnitude * mask) * phase for mask in both)


@st.composite
def spectrograms(draw):
    """Real, complex or integer; loud, silent and next to silent; with ties; of any memory order."""
    leading = draw(st.sampled_from([(), (), (1,), (2,), (2, 3)]))
    shape = *leading, draw(st.integers(1, 90)), draw(st.integers(1, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = np.dtype(draw(TYPES))
    silence = draw(st.sampled_from([0, 0.1, 0.6, 0.97]))
    if dtype.kind in "iu":
        S = rng.integers(0, draw(st.sampled_from([2, 7, 25])), shape)
    else:
        low, high = draw(st.sampled_from([(0, 0), (-3, 3), (-37, 37), (-44, -36)]))
        S = rng.random(shape) * 10.0 ** rng.uniform(low, high, shape)
        S = np.round(4 * S) if draw(st.booleans()) and (low, high) == (0, 0) else S
    S = S * (rng.random(shape) >= silence)
    if dtype.kind == "c":
        S = S * np.exp(2j * np.pi * rng.random(shape))
    S = S.astype(dtype)
    order = draw(st.sampled_from("CFTSRM"))
    if order == "F":
        S = np.asfortranarray(S)
    elif order == "T":
        S = np.ascontiguousarray(S.swapaxes(-1, -2)).swapaxes(-1, -2)
    elif order == "S":
        S = np.repeat(S, 2, axis=-1)[..., ::2]
    elif order == "R":
        S = S[..., ::-1]
    elif order == "M":
        S = np.moveaxis(np.ascontiguousarray(np.moveaxis(S, 0, -1)), -1, 0)
    return S


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    S=spectrograms(),
    kernel_size=st.tuples(SIZES, SIZES),
    power=POWERS,
    mask=st.sampled_from([True, True, False]),
    margin=MARGINS,
)
def test_equals_librosa_bit_for_bit(S, kernel_size, power, mask, margin):
    parameters = {"power": power, "mask": mask, "margin": margin}
    found = hpss(S, kernel_size=kernel_size, **parameters)
    for ours, right in zip(found, theirs(S, kernel_size, **parameters), strict=True):
        assert ours.dtype == right.dtype
        np.testing.assert_array_equal(ours, right)


def test_equals_librosa_on_something_like_music():
    rng = np.random.default_rng(0)
    t = np.arange(3 * 22050) / 22050
    y = np.sin(2 * np.pi * 440 * t) + rng.standard_normal(t.size) * (t % 0.25 < 0.01)
    D = librosa.stft(y.astype(np.float32))
    for mask in (True, False):
        for ours, right in zip(hpss(D, mask=mask), librosa.decompose.hpss(D, mask=mask), strict=True):
            np.testing.assert_array_equal(ours, right)
            assert ours.strides == right.strides


@settings(max_examples=100, deadline=None)
@given(
    frames=st.integers(1, 200),
    bins=st.integers(1, 80),
    cuts=st.lists(st.integers(0, 200), max_size=4),
    kernel_size=st.tuples(st.sampled_from([1, 8, 17, 31, LONGEST_NETWORK + 1]), st.sampled_from([1, 9, 64])),
    power=POWERS,
    margin=MARGINS,
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_cutting_gives_the_same_bits(frames, bins, cuts, kernel_size, power, margin, dtype):
    params = separation(HpssParams(kernel_size, power, margin))
    magnitude = np.random.default_rng(frames * bins).random((frames, bins + 2)).astype(dtype)[:, 1:-1]
    whole = hpss(magnitude.T, kernel_size=kernel_size, power=power, margin=margin, mask=True)
    edges = sorted({0, frames, *(cut for cut in cuts if cut < frames)})
    for start, stop in itertools.pairwise(edges):
        first, last = max(0, start - params.halo), min(frames, stop + params.halo)
        space = np.full((2, stop - start, bins + 1), np.nan, dtype)
        out = space[0, :, 1:], space[1, :, 1:]
        found = masks(magnitude[first:last], params, start=start - first, stop=stop - first, out=out)
        assert found[0] is out[0]
        for ours, right in zip(found, whole, strict=True):
            np.testing.assert_array_equal(ours, right.T[start:stop].astype(dtype))
        assert np.isnan(space[..., 0]).all()


def test_masks_are_made_in_arrays_of_any_kind():
    magnitude = np.random.default_rng(0).random((60, 50))
    params = separation(HpssParams(9))
    right = masks(magnitude, params)
    for out in (
        tuple(np.zeros((50, 60)).T for _ in range(2)),
        tuple(np.zeros((60, 100))[:, ::2] for _ in range(2)),
        tuple(np.zeros((60, 50), np.float32) for _ in range(2)),
        tuple(np.zeros((60, 50))[::-1] for _ in range(2)),
    ):
        for ours, expected in zip(masks(magnitude, params, out=out), right, strict=True):
            np.testing.assert_array_equal(ours, expected.astype(ours.dtype))
    for view in (np.asfortranarray(magnitude), np.repeat(magnitude, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(masks(view, params), right)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (2, 0, 0), (0, 4, 4)])
def test_empty_spectrograms(shape):
    for dtype in (np.float32, np.complex128, np.int16):
        for power in (2.0, 1.3):
            for part in hpss(np.zeros(shape, dtype), power=power):
                assert part.shape == shape


def test_byte_order_does_not_matter():
    S = np.random.default_rng(0).random((40, 30))
    np.testing.assert_array_equal(hpss(S.astype(">f8")), hpss(S))


@pytest.mark.parametrize("power", [2.0, 1.3, math.inf])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, complex(np.nan, 0), complex(0, np.inf)])
def test_what_is_not_finite_is_refused(bad, power):
    S = np.ones((30, 40), np.result_type(type(bad), np.float32))
    S[7, 39] = bad
    with pytest.raises(ParameterError, match="finite ones"):
        hpss(S, power=power)


@pytest.mark.parametrize("S", [np.full((9, 9), -1.0), np.full((9, 9), -1, np.int8), -np.eye(40)])
def test_negative_values_are_refused(S):
    with pytest.raises(ParameterError, match="not negative"):
        hpss(S)


@pytest.mark.parametrize(
    ("S", "message"),
    [
        (np.ones(5), "two dimensions"),
        (np.ones((5, 5), np.float16), "float16"),
        (np.ones((5, 5), bool), "bool"),
        (np.ones((5, 5), object), "object"),
    ],
)
def test_what_is_no_spectrogram_is_refused(S, message):
    with pytest.raises(ParameterError, match=message):
        hpss(S)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": -1}, "frames -1 to 9"),
        ({"start": 5, "stop": 4}, "frames 5 to 4"),
        ({"stop": 10}, "frames 0 to 10"),
        ({"out": (np.zeros((9, 5)), np.zeros((9, 4)))}, "out has arrays"),
    ],
)
def test_masks_that_cannot_be_made_are_refused(arguments, message):
    with pytest.raises(ParameterError, match=message):
        masks(np.ones((9, 5)), separation(HpssParams()), **arguments)


@pytest.mark.parametrize("magnitude", [np.ones((2, 2, 2)), np.ones((2, 2), int), np.ones((2, 2), complex)])
def test_masks_need_a_magnitude(magnitude):
    with pytest.raises(ParameterError, match="allowed are 2-D"):
        masks(magnitude, separation(HpssParams()))
