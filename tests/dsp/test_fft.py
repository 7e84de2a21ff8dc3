"""A row's transform depends on that row alone, and is the right one."""

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hpss_batch.dsp.fft import COMPILED, backward, forward
from hpss_batch.dsp.kernels import fft as fftcode

SIZES = [2, 3, 4, 7, 8, 16, 30, 32, 64, 100, 127, 128, 256, 512, 1000, 1024, 2047, 2048, 4096, 8192]


def rows_of(n_fft, count=37, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, n_fft)).astype(np.float32), np.hamming(n_fft).astype(np.float32)


def transform(rows, window):
    out = np.empty((len(rows), 1 + window.size // 2), np.complex64)
    forward(rows, window, out)
    return out


def restore(frames, window):
    """Batches are good until the next one comes, so they are copied."""
    return np.concatenate([np.empty((0, window.size), np.float32), *map(np.copy, backward(frames, window))])


@pytest.mark.parametrize("n_fft", SIZES)
def test_transforms_are_those_of_numpy_in_double(n_fft):
    rows, window = rows_of(n_fft)
    exact = np.fft.rfft(rows.astype(np.float64) * window)
    found = transform(rows, window)
    assert np.abs(found - exact).max() < 1e-6 * np.abs(exact).max()
    back = np.fft.irfft(exact, n=n_fft) * window
    assert np.abs(restore(found, window) - back).max() < 1e-6 * np.abs(back).max()


@pytest.mark.parametrize("n_fft", SIZES)
@pytest.mark.parametrize("height", [1, 2, 5, 15, 16, 17])
def test_batches_do_not_change_a_bit(n_fft, height):
    rows, window = rows_of(n_fft)
    frames = transform(rows, window)
    samples = restore(frames, window)
    for first in (0, 1, 3, 8):
        parts = slice(first, first + height)
        np.testing.assert_array_equal(transform(rows[parts], window), frames[parts])
        np.testing.assert_array_equal(restore(frames[parts], window), samples[parts])


@pytest.mark.parametrize("n_fft", [64, 100, 2048])
def test_any_strides(n_fft):
    rows, window = rows_of(n_fft)
    frames = transform(rows, window)
    np.testing.assert_array_equal(transform(np.asfortranarray(rows), window), frames)
    np.testing.assert_array_equal(transform(rows[::-2], window), frames[::-2])
    out = np.empty((3, frames.shape[1], len(rows)), np.complex64)
    forward(rows, window, out[1].T)
    np.testing.assert_array_equal(out[1].T, frames)
    np.testing.assert_array_equal(restore(np.asfortranarray(frames), window), restore(frames, window))


@pytest.mark.parametrize("n_fft", [64, 100, 2048])
def test_nan_and_infinity_stay_in_their_row(n_fft):
    rows, window = rows_of(n_fft)
    frames = transform(rows, window)
    spoilt = rows.copy()
    spoilt[5, 3] = np.nan
    spoilt[20, 1] = np.inf
    with np.errstate(invalid="ignore"):
        found = transform(spoilt, window)
    good = np.setdiff1d(np.arange(len(rows)), [5, 20])
    np.testing.assert_array_equal(found[good], frames[good])
    assert np.isnan(found[5]).any()


@pytest.mark.parametrize("n_fft", [100, 2048])
def test_silence_is_zero(n_fft):
    frames = transform(np.zeros((3, n_fft), np.float32), np.ones(n_fft, np.float32))
    assert not frames.any()
    assert not restore(frames, np.ones(n_fft, np.float32)).any()


def digest():
    rng = np.random.default_rng(0)
    found = hashlib.sha256()
    for n_fft in (32, 64, 128, 2048):
        # Whole numbers, so that NumPy's own processor-dependent functions play no part.
        rows = rng.integers(-99, 99, (11, n_fft)).astype(np.float32)
        window = rng.integers(0, 99, n_fft).astype(np.float32)
        frames = transform(rows, window)
        found.update(frames.tobytes() + restore(frames, window).tobytes())
    return found.hexdigest()


def test_processors_agree_on_every_bit():
    """The code for a processor without any extension, and that for the one at hand."""
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-c", "import test_fft; print(test_fft.digest())"]
    plain = subprocess.run(
        command, env=environment, cwd=Path(__file__).parent, check=True, capture_output=True, text=True
    )
    assert plain.stdout.strip() == digest()


@pytest.mark.parametrize("n_fft", COMPILED)
def test_radices_make_up_the_size(n_fft):
    assert np.prod(fftcode.radices(n_fft)) == n_fft // 2
    assert np.isin(fftcode.radices(n_fft), [2, 4, 8]).all()


def test_threads_do_not_share_their_buffers():
    rows, window = rows_of(512, count=2000)
    expected = transform(rows, window)
    found = {}
    threads = [
        threading.Thread(target=lambda key=key: found.update({key: transform(rows[key:], window)}))
        for key in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key in range(4):
        np.testing.assert_array_equal(found[key], expected[key:])
