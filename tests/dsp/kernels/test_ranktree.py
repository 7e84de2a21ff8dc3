"""The tree that counts finds the ranks that sorting finds, at any length."""

import numpy as np
import pytest

from hpss_batch.dsp.kernels.ranktree import rank_lines


@pytest.mark.parametrize("length", [1, 2, 3, 16, 17, 100])
@pytest.mark.parametrize("size", [1, 2, 9, 64, 1001])
def test_ranks_are_those_of_sorted_windows(length, size):
    rng = np.random.default_rng(length * size)
    lines = rng.integers(0, 30, (5, length))
    padded = np.pad(lines, [(0, 0), (size // 2, size)], mode="symmetric")
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, :length], axis=-1)
    for rank in {0, size // 2, size - 1}:
        np.testing.assert_array_equal(rank_lines(lines, size, rank), windows[..., rank])


def test_any_type_that_sorts_is_exact():
    lines = np.array([[2**63 - 1, 2**63 - 2, 2**63 - 3, 0]], np.int64)
    assert rank_lines(lines, 3, 1).tolist() == [[2**63 - 1, 2**63 - 2, 2**63 - 3, 0]]
    assert rank_lines(np.array([["b", "c", "a"]]), 3, 0).tolist() == [["b", "a", "a"]]


def test_more_lines_than_are_sorted_at_once(monkeypatch):
    lines = np.random.default_rng(0).random((23, 40))
    whole = rank_lines(lines, 7, 3)
    monkeypatch.setattr("hpss_batch.dsp.kernels.ranktree.BATCH", 100)
    np.testing.assert_array_equal(rank_lines(lines, 7, 3), whole)
