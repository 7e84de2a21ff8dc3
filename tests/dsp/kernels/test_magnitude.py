"""Magnitudes have the same bits wherever they are computed."""

import os
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.dsp.kernels.magnitude import magnitude, rounded_once

DIGEST = """
import zlib, numpy as np
from hpss_batch.dsp.kernels import magnitude
rng = np.random.default_rng(1)
z = (rng.standard_normal((1000, 129)) + 1j * rng.standard_normal((1000, 129))).astype(np.complex64)
z[3] = 0
z[:, 5] *= np.float32(1e-30)
print(magnitude._is_fused(), zlib.crc32(magnitude.magnitude(z).tobytes()))
"""


def spectrogram(seed: int, shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-20, 5, shape)
    return ((rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * scale).astype(np.complex64)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 70))
def test_it_is_the_correctly_rounded_formula(seed: int, rows: int, columns: int) -> None:
    z = spectrogram(seed, (rows, columns))
    z[rng_rows := seed % rows] = 0
    parts = np.sort(np.abs([z.real, z.imag]), axis=0).astype(np.longdouble)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (parts[0].astype(np.float32) / parts[1].astype(np.float32)).astype(np.longdouble)
        expected = parts[1].astype(np.float32) * np.sqrt((ratio * ratio + 1).astype(np.float32))
    expected[rng_rows] = 0
    np.testing.assert_array_equal(rounded_once(z), expected)
    np.testing.assert_array_equal(magnitude(z), expected)
    out = np.empty(z.shape, np.float32)
    assert rounded_once(z, out) is out
    np.testing.assert_array_equal(out, expected)


def test_a_cpu_without_fused_multiply_add_gives_the_same() -> None:
    found, here = [], np._core._multiarray_umath.__cpu_features__
    names = "X86_V3 X86_V4 AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
    for disabled in ("", " ".join(name for name in names.split() if here.get(name))):
        environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": disabled}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        found.append(done.stdout.split())
    assert found[0][1] == found[1][1]
