"""Running medians and other ranks are those of sorted windows."""

import threading

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from hpss_batch.dsp.kernels.median import LONGEST_NETWORK, running_median, running_rank
from hpss_batch.errors import ParameterError

SIZES = st.sampled_from([1, 2, 3, 7, 8, 16, 17, 31, 48, LONGEST_NETWORK + 1])
TYPES = st.sampled_from(["f4", "f8", ">f4", "i2", "u1", "i8"])


def sorted_windows(x, size, rank, axis):
    """By the definition: the axis reflects, its edge repeated, as often as need be."""
    padding = [(0, 0)] * x.ndim
    padding[axis] = (size // 2, size)
    padded = np.pad(x, padding, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=axis)
    return np.sort(windows, axis=-1)[..., rank].take(range(x.shape[axis]), axis=axis)


@st.composite
def arrays(draw):
    """Of any rank, size and memory order, with ties, negative values, zeros of both signs and infinities."""
    shape = draw(st.lists(st.integers(0, 70), min_size=1, max_size=3).filter(lambda s: np.prod(s) < 20_000))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = np.dtype(draw(TYPES))
    x = rng.integers(0 if dtype.kind == "u" else -draw(st.sampled_from([1, 9, 100])), 100, shape)
    x = x.astype(dtype)
    if dtype.kind == "f":
        x = (x * 0.37).astype(dtype)
        x[rng.random(shape) < 0.05] = np.inf
        x[rng.random(shape) < 0.05] = -0.0
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    step = draw(st.sampled_from([1, 1, 2, -1]))
    return x[..., ::step]


@settings(max_examples=300, deadline=None)
@given(x=arrays(), size=SIZES, fraction=st.sampled_from([0.0, 0.25, 0.5, 0.999]), data=st.data())
def test_ranks_are_those_of_sorted_windows(x, size, fraction, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    rank = int(size * fraction)
    found = running_rank(x, size, rank, axis=axis)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    if x.size:
        np.testing.assert_array_equal(found, sorted_windows(x, size, rank, axis))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("size", [1, 6, 15, 31, 101, 201, LONGEST_NETWORK, LONGEST_NETWORK + 1])
def test_medians_are_scipys(size, axis):
    x = np.random.default_rng(size).standard_normal((300, 270)).astype(np.float32)
    sizes = [1, 1]
    sizes[axis] = size
    np.testing.assert_array_equal(
        running_median(x, size, axis=axis), scipy.ndimage.median_filter(x, size=sizes, mode="reflect")
    )


def test_the_switch_to_long_kernels_changes_nothing(monkeypatch):
    x = np.random.default_rng(0).standard_normal((50, 60))
    network = running_median(x, 21, axis=0), running_rank(x, 32, 4)
    monkeypatch.setattr("hpss_batch.dsp.kernels.median.LONGEST_NETWORK", 0)
    np.testing.assert_array_equal(network, (running_median(x, 21, axis=0), running_rank(x, 32, 4)))


@pytest.mark.parametrize("length", [1, 2, 3, 16, 17, 100])
@pytest.mark.parametrize("size", [401, 402, 1001])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint64])
def test_ranks_of_long_windows_are_those_of_sorted_ones(length, size, dtype):
    """Of integers beyond what floats hold, too."""
    rng = np.random.default_rng(length * size)
    lines = rng.integers(0, 30, (5, length)).astype(dtype)
    if lines.dtype.kind != "f":
        lines += np.iinfo(dtype).max - 29
    padded = np.pad(lines, [(0, 0), (size // 2, size)], mode="symmetric")
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, :length], axis=-1)
    for rank in (0, size // 3, size // 2, size - 1):
        np.testing.assert_array_equal(running_rank(lines, size, rank), windows[..., rank])


def test_more_lines_than_are_ranked_at_once(monkeypatch):
    lines = np.random.default_rng(0).random((23, 40))
    whole = running_rank(lines, 407, 3)
    monkeypatch.setattr("hpss_batch.dsp.kernels.median.BATCH", 1000)
    np.testing.assert_array_equal(running_rank(lines, 407, 3), whole)


def test_memory_order_is_kept():
    x = np.random.default_rng(0).random((40, 30, 20)).transpose(1, 2, 0)
    assert running_median(x, 5, axis=1).strides == x.strides


def test_threads_do_not_disturb_each_other():
    x = [np.random.default_rng(seed).random((200, 100 + seed), np.float32) for seed in range(8)]
    alone = [running_median(part, 31, axis=0) for part in x]
    found = [[] for _ in x]

    def work(part, results):
        for _ in range(5):
            results.append(running_median(part, 31, axis=0))

    threads = [threading.Thread(target=work, args=pair) for pair in zip(x, found, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for right, results in zip(alone, found, strict=True):
        assert all(np.array_equal(right, result) for result in results)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(5), 0, 0), "size is 0"),
        ((np.ones(5), 5, 5), "rank 5"),
        ((np.ones(5), 5, -1), "rank -1"),
        ((np.ones(5, np.float16), 5, 2), "float16"),
        ((np.ones(5, complex), 5, 2), "complex128"),
        ((np.ones(5, bool), 5, 2), "bool"),
        ((np.array([1.0, np.nan]), 3, 1), "NaN"),
    ],
)
def test_what_cannot_be_ranked_is_refused(arguments, message):
    with pytest.raises(ParameterError, match=message):
        running_rank(*arguments)


def test_an_axis_that_is_not_there_is_refused():
    with pytest.raises(ParameterError, match="axis is 2, but the array has 2"):
        running_median(np.ones((3, 3)), 3, axis=2)
