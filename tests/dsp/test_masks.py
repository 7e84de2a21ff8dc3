"""Masks are librosa's to the last bit, in NumPy and in vector code."""

import math

import librosa
import numpy as np
import pytest

from hpss_batch.dsp.kernels.fused import Operands, cross
from hpss_batch.dsp.kernels.masks import Finish
from hpss_batch.dsp.kernels.passes import Crossing
from hpss_batch.dsp.kernels.tiles import Band, RankKernel
from hpss_batch.dsp.masks import mask_pair, soft_mask

MARGINS = [(1.0, 1.0), (1.0, 5.0), (3.0, 3.0), (2.5, 1.0)]
POWERS = [1.0, 2.0, math.inf]
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:librosa")


def medians(dtype):
    """All pairs of values where something may go wrong, and random ones of all sizes."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    special = [0.0, info.smallest_subnormal, info.tiny / 3, info.tiny, 2 * info.tiny, 1.0, 3.0, info.max / 2]
    special += [np.nextafter(info.tiny, dtype(0)), info.max, 1e-20, 1e-10, 1 + info.eps]
    spread = 10 ** rng.uniform(-40, 38, 200)
    x = np.concatenate([special, spread, rng.random(200), np.round(rng.random(200) * 5)]).astype(dtype)
    return tuple(np.ascontiguousarray(part) for part in np.meshgrid(x, x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("margins", MARGINS)
@pytest.mark.parametrize("power", [*POWERS, 0.5, 1.7, 3.0])
def test_numpy_masks_are_librosas(dtype, margins, power):
    x, y = medians(dtype)
    for found, (a, b, margin) in zip(
        mask_pair(x, y, power, margins), [(x, y, margins[0]), (y, x, margins[1])], strict=True
    ):
        split = margins == (1.0, 1.0)
        with np.errstate(all="ignore"):
            right = librosa.util.softmask(a, b * margin, power=power, split_zeros=split)
        np.testing.assert_array_equal(found, right)
        assert found.dtype == right.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("margins", MARGINS)
@pytest.mark.parametrize("power", POWERS)
def test_vector_code_gives_the_masks_of_numpy(dtype, margins, power):
    """Windows of one value, down and along, rank nothing: both medians are the value, times what follows."""
    x, y = medians(dtype)
    # One array whose medians down, of windows of 3 equal rows, are x, and along, of 1 column, y: rows x, y, x.
    stacked = np.stack([x, y, x], axis=1).reshape(-1, x.shape[1])
    out = np.empty_like(stacked), np.empty_like(stacked)
    finish = Finish(power, margins != (1.0, 1.0), "mask")
    what = Crossing(x.dtype.itemsize, (Band(RankKernel(3, 1), RankKernel(1, 0)),), finish, nonnegative=True)
    cross(what, Operands(stacked, out, margins=margins))
    middle = slice(1, None, 3)
    for found, right in zip(out, mask_pair(x, y, power, margins), strict=True):
        np.testing.assert_array_equal(found[middle], right.astype(dtype))


def test_silence_belongs_to_both_or_to_neither():
    nothing = np.zeros(3, np.float32)
    assert (soft_mask(nothing, nothing, 2.0, split=True) == 0.5).all()
    assert (soft_mask(nothing, nothing, 2.0, split=False) == 0).all()
    assert not soft_mask(nothing, nothing, math.inf, split=True).any()


def test_masks_add_up_to_one_without_margins():
    x, y = medians(np.float64)
    harmonic, percussive = mask_pair(x, y, 2.0, (1.0, 1.0))
    np.testing.assert_allclose(harmonic + percussive, 1, rtol=1e-15)
