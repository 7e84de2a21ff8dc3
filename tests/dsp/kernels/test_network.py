"""Networks are right: proved by the 0–1 principle where all inputs can be tried, compared with sorting elsewhere."""

import random

import pytest

from hpss_batch.dsp.kernels.network import Network, merging, sliding_rank, sorting


def truth_table(net: Network) -> list[int]:
    """The outputs for all 0–1 inputs at once: a wire is an integer, with one bit for each of the 2^n inputs."""
    n = net.n_inputs
    ones = (1 << (1 << n)) - 1
    # Bit j of input i is bit i of j: blocks of 2^i zeros and 2^i ones.
    inputs = [ones // ((1 << (1 << i)) + 1) << (1 << i) for i in range(n)]
    return net.run(inputs, lambda a, b: a & b, lambda a, b: a | b)


def ranked(bits: int, rank: int, n: int) -> int:
    """The value of a rank among n bits: 1 if fewer than rank + 1 of them are zeros."""
    return int(n - bits.bit_count() <= rank)


@pytest.mark.parametrize("n", range(1, 13))
def test_sorting_is_right_for_all_zeros_and_ones(n: int) -> None:
    table = truth_table(sorting(n))
    for bits in range(1 << n):
        assert [wire >> bits & 1 for wire in table] == [ranked(bits, rank, n) for rank in range(n)]


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("m", range(1, 10))
def test_merging_is_right_for_all_zeros_and_ones(n: int, m: int) -> None:
    net = merging(n, m)
    for p in range(n + 1):
        for q in range(m + 1):
            merged = net.run([0] * p + [1] * (n - p) + [0] * q + [1] * (m - q), min, max)
            assert merged == [0] * (p + q) + [1] * (n + m - p - q)


@pytest.mark.parametrize(
    ("size", "block"),
    [(size, block) for block in (1, 2, 4, 8) for size in range(1, 12) if size + block <= 13],
)
def test_sliding_ranks_are_right_for_all_zeros_and_ones(size: int, block: int) -> None:
    for rank in range(size):
        table = truth_table(sliding_rank(size, rank, block))
        for window, wire in enumerate(table):
            for bits in range(1 << (size + block - 1)):
                seen = bits >> window & ((1 << size) - 1)
                assert wire >> bits & 1 == ranked(seen, rank, size)


@pytest.mark.parametrize("size", [1, 2, 16, 17, 31, 32, 33, 47, 63, 64, 101, 255])
@pytest.mark.parametrize("block", [4, 32, 128])
def test_sliding_ranks_are_those_of_sorting(size: int, block: int) -> None:
    drawn = random.Random(size * block)
    for rank in {0, size // 3, size // 2, size - 1}:
        net = sliding_rank(size, rank, block)
        for highest in (1, 5, 10**6):
            rows = [drawn.randint(0, highest) for _ in range(net.n_inputs)]
            windows = (rows[window : window + size] for window in range(block))
            assert net.run(rows, min, max) == [sorted(window)[rank] for window in windows]


def test_neighbouring_windows_share_their_work() -> None:
    alone, together = sliding_rank(31, 15, 1), sliding_rank(31, 15, 32)
    assert len(together.operations) / 32 <= 25 < len(alone.operations) / 10


def test_nothing_is_computed_in_vain() -> None:
    for size, block in ((5, 4), (31, 32), (64, 16)):
        net = sliding_rank(size, size // 2, block)
        read = {wire for operation in net.operations for wire in operation[1:]} | set(net.outputs)
        assert read == set(range(net.n_inputs + len(net.operations)))
        assert len(set(net.operations)) == len(net.operations)


def test_the_median_of_one_is_itself() -> None:
    assert sliding_rank(1, 0, 4).outputs == (0, 1, 2, 3)
