"""Channels are mixed to the bit as NumPy would, and samples of which no spectrum can be computed are named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.audio.mixdown import LARGEST, check_samples, mix
from hpss_batch.errors import AudioError


def test_mixing_adds_in_the_order_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    for channels in (1, 2, 3, 5, 6, 8):
        samples = rng.standard_normal((1000, channels)).astype(np.float32)
        out = np.empty((1, 1000), np.float32)
        mix(samples, out)
        np.testing.assert_array_equal(out[0], np.ascontiguousarray(samples.T).mean(axis=0))


def test_every_channel_is_kept() -> None:
    samples = np.arange(12, dtype=np.float32).reshape(4, 3)
    out = np.empty((3, 4), np.float32)
    mix(samples, out)
    np.testing.assert_array_equal(out, samples.T)


@given(
    st.integers(1, 3),
    st.integers(1, 50),
    st.data(),
    st.sampled_from([np.nan, np.inf, -np.inf, 2 * LARGEST, -2 * LARGEST]),
)
def test_one_bad_sample_is_found(channels: int, n: int, data: st.DataObject, bad: float) -> None:
    samples = np.zeros((channels, n), np.float32)
    check_samples(samples, 0, 10)
    at = data.draw(st.integers(0, n - 1))
    samples[data.draw(st.integers(0, channels - 1)), at] = bad
    with pytest.raises(AudioError, match=rf" at {(70 + at) / 10:.3f} s"):
        check_samples(samples, 70, 10)


def test_large_samples_are_fine() -> None:
    check_samples(np.array([[LARGEST, -LARGEST]]), 0, 10)
