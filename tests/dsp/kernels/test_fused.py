"""Whatever the tiles, panels and strides, a row's results are its own, and nothing else is written."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpss_batch.dsp.kernels import fused
from hpss_batch.dsp.kernels.fused import Operands, cross
from hpss_batch.dsp.kernels.masks import Finish
from hpss_batch.dsp.kernels.passes import Crossing
from hpss_batch.dsp.kernels.tiles import Band, RankKernel
from hpss_batch.errors import ParameterError

WINDOWS = st.sampled_from([None, RankKernel(1, 0), RankKernel(8, 4), RankKernel(31, 15), RankKernel(64, 20)])


def ranks(x, window, axis):
    padding = [(0, 0), (0, 0)]
    padding[axis] = (window.half, window.size)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, padding, mode="symmetric"), window.size, axis=axis
    )
    return np.sort(windows, axis=-1)[..., window.rank].take(range(x.shape[axis]), axis=axis)


@settings(max_examples=120, deadline=None)
@given(
    rows=st.integers(1, 150),
    columns=st.integers(1, 150),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    windows=st.tuples(WINDOWS, WINDOWS).filter(any),
    dtype=st.sampled_from(["f4", "f8"]),
    tile_bytes=st.sampled_from([1, fused.TILE_BYTES]),
    seed=st.integers(0, 1000),
)
def test_ranks_of_some_rows_among_others(rows, columns, cut, windows, dtype, tile_bytes, seed):
    rng = np.random.default_rng(seed)
    source = rng.random((rows, columns + 3)).astype(dtype)[:, :columns]
    start, stop = sorted(round(part * rows) for part in cut)
    space = np.full((2, rows + 2, columns + 5), -1, dtype)
    outs = tuple(part[1 : 1 + stop - start, 2 : 2 + columns] for part in space)
    down, along = windows
    original, fused.TILE_BYTES = fused.TILE_BYTES, tile_bytes  # one byte: panels as narrow as can be
    try:
        for ways, out, axis in (((down, None), outs[0], 0), ((None, along), outs[1], 1)):
            if any(ways):
                cross(Crossing(source.itemsize, (Band(*ways),)), Operands(source, (out,), start))
                np.testing.assert_array_equal(out, ranks(source, ways[axis], axis)[start:stop])
    finally:
        fused.TILE_BYTES = original
    for part, out in zip(space, outs, strict=True):
        out[...] = -1
        assert (part == -1).all()


def test_panels_and_tiles_do_not_change_a_bit(monkeypatch):
    source = np.random.default_rng(0).random((300, 700), np.float32)
    what = Crossing(
        4, (Band(RankKernel(17, 8), RankKernel(9, 4)),), Finish(2.0, False, "mask"), nonnegative=True
    )
    found = []
    for size in (fused.TILE_BYTES, 100_000, 1):
        monkeypatch.setattr(fused, "TILE_BYTES", size)
        out = np.zeros((2, 300, 700), np.float32)
        cross(what, Operands(source, (out[0], out[1])))
        found.append(out)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-45])
def test_values_that_are_not_allowed_are_found_wherever_they_are(bad):
    what = Crossing(
        4, (Band(RankKernel(3, 1), RankKernel(5, 2)),), Finish(2.0, False, "mask"), nonnegative=True
    )
    out = np.zeros((70, 50), np.float32), np.zeros((70, 50), np.float32)
    for row, column in itertools.product((0, 31, 32, 69), (0, 15, 16, 49)):
        source = np.ones((70, 50), np.float32)
        source[row, column] = bad
        with pytest.raises(ParameterError, match="finite ones"):
            cross(what, Operands(source, out))
    source[row, column] = -0.0
    cross(what, Operands(source, out))


def test_context_is_looked_at_too():
    what = Crossing(4, (Band(RankKernel(31, 15), None),), nonnegative=True)
    source = np.ones((100, 40), np.float32)
    source[40] = np.nan
    out = np.zeros((10, 40), np.float32)
    with pytest.raises(ParameterError, match="finite ones"):
        cross(what, Operands(source, (out,), 50))
    cross(what, Operands(source, (out,), 60))


def test_nothing_to_do():
    what = Crossing(4, (Band(RankKernel(31, 15), None),))
    for shape in ((0, 5), (5, 0)):
        cross(what, Operands(np.ones((5, shape[1]), np.float32), (np.ones(shape, np.float32),)))


def test_threads_have_memory_of_their_own():
    what = Crossing(
        4, (Band(RankKernel(17, 8), RankKernel(17, 8)),), Finish(2.0, False, "mask"), nonnegative=True
    )
    sources = [np.random.default_rng(seed).random((200 + seed, 300), np.float32) for seed in range(4)]

    def separate(source):
        out = np.empty_like(source), np.empty_like(source)
        cross(what, Operands(source, out))
        return np.stack(out)

    alone, together = [separate(source) for source in sources], {}

    def work(number):
        together[number] = [separate(sources[number]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, right in enumerate(alone):
        assert all(np.array_equal(right, found) for found in together[number])
