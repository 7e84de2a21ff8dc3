"""Logarithms and powers of 2 are off by no more than is said, wherever they are allowed."""

import ctypes

import numpy as np
import pytest

from hpss_batch.dsp.kernels import jit
from hpss_batch.dsp.kernels.elementary import LOWEST_POWER, exp2, log2
from hpss_batch.dsp.kernels.ir import Writer
from hpss_batch.dsp.kernels.jit import Machine

SMALLEST, LARGEST = np.finfo(np.float32).tiny, np.finfo(np.float32).max


def computed(function, x):
    """A function's values of a float32 array, whose length is a multiple of 16."""
    name = f"test_{function.__name__}"

    def build(machine: Machine) -> str:
        w = Writer(machine, np.dtype(np.float32), name, ["ptr x", "ptr y", "i64 n"])
        with w.loop(w["n"], w.lanes) as i:
            w.store(function(w, w.load(w.place(w["x"], w.bytes(i)))), w.place(w["y"], w.bytes(i)))
        return w.finish()

    y = np.empty_like(x)
    compiled = jit.function(name, build, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64])
    compiled(x.ctypes.data, y.ctypes.data, len(x))
    return y


def units(found, right):
    """How far values are off, in units in the last place of what is right."""
    return np.abs(found - right) / np.spacing(np.abs(right).astype(np.float32)).astype(np.float64)


def floats(low, high, step):
    """Every step-th float32 from low to high, both positive, in numbers that vectors divide."""
    first, last = np.array([low, high], np.float32).view(np.uint32).astype(np.int64)
    bits = np.append(np.arange(first, last, step), last)
    return np.resize(bits, -(-len(bits) // 16) * 16).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize(("low", "high", "step"), [(SMALLEST, LARGEST, 997), (0.70, 1.42, 7)])
def test_log2(low, high, step):
    x = floats(low, high, step)
    right = np.log2(x.astype(np.float64))
    found = computed(log2, x)
    assert units(found, right).max() < 2.5
    assert (found[x == 1] == 0).all()


@pytest.mark.parametrize(("low", "high", "step"), [(SMALLEST, -LOWEST_POWER, 499), (0.3, 2.0, 7)])
def test_exp2(low, high, step):
    x = -floats(low, high, step)
    assert units(computed(exp2, x), np.exp2(x.astype(np.float64))).max() < 1.2
    assert (computed(exp2, np.zeros(16, np.float32)) == 1).all()
