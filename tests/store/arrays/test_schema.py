"""Codes mean what CF's attributes say, and are the nearest."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.errors import StoreError
from hpss_batch.store.arrays.schema import Coding, Shape

SPANS = [(0.0, 1.0), (-48.0, 48.0), (-100.0, 27.0), (0.5, 0.75)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_masks_have_their_codes(dtype: Any) -> None:
    top = int(np.iinfo(dtype).max)
    coding = Shape(("harmonic_mask",), dtype, 5, 512, 8000).coding("harmonic_mask")
    assert coding is not None
    assert coding.attributes == {"scale_factor": 1.0 / (top - 1), "add_offset": 0.0, "_FillValue": top}
    weights = np.random.default_rng(0).random((7, 1001), np.float32)
    codes = np.empty(weights.shape, dtype)
    coding.encode(weights, codes)
    np.testing.assert_array_equal(codes, np.rint(weights * np.float32(top - 1)))
    np.testing.assert_array_equal(coding.decode(codes), codes * np.float32(1 / (top - 1)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("span", SPANS)
def test_every_code_comes_back_and_the_greatest_is_a_gap(span: tuple[float, float], dtype: str) -> None:
    coding = Coding.over(span, np.dtype(dtype))
    codes = np.arange(coding.fill + 1, dtype=dtype)
    values = coding.decode(codes)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[:-1], np.linspace(*span, coding.fill), rtol=1e-6, atol=1e-5)
    assert np.isnan(values[-1])
    again = np.empty_like(codes[:-1])
    coding.encode(values[:-1], again)
    np.testing.assert_array_equal(again, codes[:-1])


@given(st.sampled_from(SPANS), st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1))
def test_codes_are_the_nearest_within_the_span(span: tuple[float, float], numbers: list[float]) -> None:
    values, coding = np.array(numbers, np.float32), Coding.over(span, np.dtype("u1"))
    before, codes = values.copy(), np.empty(len(values), np.uint8)
    coding.encode(values, codes, np.empty_like(values))
    np.testing.assert_array_equal(values, before)
    assert codes.max() < coding.fill
    off = np.abs(coding.decode(codes) - values.clip(*span).astype(np.float64))
    assert off.max() <= coding.scale / 2 + 1e-5


def test_only_integers_are_coded_and_say_how() -> None:
    told = Coding.over((-1, 1), np.dtype("u1")).attributes
    assert Coding.of("x", np.dtype("u1"), told) == Coding.over((-1, 1), np.dtype("u1"))
    assert Coding.of("x", np.dtype("f4"), {}) is None
    for missing in told:
        with pytest.raises(StoreError, match=f"x holds codes.*{missing}"):
            Coding.of("x", np.dtype("u1"), {key: told[key] for key in told if key != missing})
