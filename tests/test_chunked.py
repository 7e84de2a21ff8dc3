"""Any chunks, the same bits: what Dask computes is what NumPy computes, along frames and bins."""

import dask
import dask.array as da
import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hpss_batch.dsp.hpss as dsp
from hpss_batch.chunked import hpss, overlapped
from hpss_batch.errors import ParameterError


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@st.composite
def chunked(draw, max_leading=1):
    """A spectrogram of any size, and chunks of any sizes, zero included."""
    shape = draw(st.lists(st.integers(1, 3), max_size=max_leading))
    shape += [draw(st.integers(1, 40)), draw(st.integers(1, 40))]
    chunks = []
    for size in shape:
        cuts = sorted(draw(st.lists(st.integers(0, size), max_size=6)))
        chunks.append(tuple(b - a for a, b in zip([0, *cuts], [*cuts, size], strict=True)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    if draw(st.booleans()):
        values[rng.random(shape) < 0.3] = 0
    dtype = draw(st.sampled_from([np.complex64, np.complex128, np.float32, np.float64]))
    values = values.astype(dtype) if np.dtype(dtype).kind == "c" else np.abs(values).astype(dtype)
    return values, tuple(chunks)


kernels = st.one_of(st.integers(1, 50), st.tuples(st.integers(1, 50), st.integers(1, 50)))
margins = st.sampled_from([1.0, 2.5, (1.0, 5.0)])
powers = st.sampled_from([1.0, 2.0, np.inf])


@settings(deadline=None, max_examples=60)
@given(chunked(), kernels, margins, powers, st.booleans())
def test_hpss_of_chunks_is_hpss_of_the_whole(array, kernel_size, margin, power, mask):
    values, chunks = array
    keywords = {"kernel_size": kernel_size, "margin": margin, "power": power, "mask": mask}
    expected = dsp.hpss(values, **keywords)
    for lazy, whole in zip(hpss(da.from_array(values, chunks=chunks), **keywords), expected, strict=True):
        assert lazy.chunks == chunks
        found = lazy.compute()
        assert lazy.dtype == found.dtype == whole.dtype
        np.testing.assert_array_equal(found, whole)


def test_hpss_of_chunks_is_librosas():
    values = np.abs(np.random.default_rng(0).standard_normal((100, 120))).astype(np.float32)
    expected = librosa.decompose.hpss(values, mask=True)
    found = hpss(da.from_array(values, chunks=(7, 50)), mask=True)
    np.testing.assert_array_equal(da.compute(*found), expected)


def test_hpss_of_an_array_is_an_array():
    values = np.ones((20, 20), np.float32)
    assert all(type(part) is np.ndarray for part in hpss(values))


def test_nothing_is_computed_before_it_is_wanted():
    calls = []

    def load(block):
        calls.append(block.shape)
        return block

    whole = da.zeros((40, 40), chunks=10, dtype=np.float32)
    harmonic, percussive = hpss(whole.map_blocks(load, dtype=np.float32, meta=whole._meta), kernel_size=9)
    assert calls == []
    harmonic[:5, :5].compute()
    assert len(calls) == 4, "one chunk needs itself and its neighbours, no more"
    assert percussive.chunks == whole.chunks


def test_what_is_wrong_with_values_shows_when_they_are_computed():
    values = np.ones((40, 40), np.float32)
    values[30, 30] = np.nan
    harmonic, _ = hpss(da.from_array(values, chunks=10), kernel_size=5)
    harmonic[:10, :10].compute()
    with pytest.raises(ParameterError):
        harmonic.compute()


def test_one_dimension_is_refused():
    with pytest.raises(ParameterError, match="bins and frames"):
        hpss(da.ones(10))


def test_unknown_chunks_are_refused():
    values = da.ones((10, 10), chunks=5)
    with pytest.raises(ParameterError, match="compute_chunk_sizes"):
        hpss(values[values[:, 0] > 0])


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(chunked(max_leading=2), st.integers(0, 15), st.integers(0, 15))
def test_blocks_see_real_neighbours_as_far_as_the_halo(array, rows, columns):
    """A kernel that reports what it sees: distinct cells, so that a misplaced one shows."""
    shape, chunks = array[0].shape, array[1]
    cells = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)

    def kernel(block, own_rows, own_columns):
        for axis, own in ((-2, own_rows), (-1, own_columns)):
            size, wanted = shape[axis], (rows, columns)[axis + 2]
            if not block.size:
                continue
            lines = np.moveaxis(block, axis, 0).reshape(block.shape[axis], -1)[:, 0]
            step = 1 if axis == -1 else shape[-1]
            places = ((lines // step) % size).astype(int)
            assert (np.diff(places) == 1).all()
            first, last = places[0], places[-1]
            assert own.start == min(wanted, first + own.start) or first == 0
            assert block.shape[axis] - own.stop >= wanted or last == size - 1
        part = block[..., own_rows, own_columns]
        return np.stack([part, -part])

    lazy = overlapped(da.from_array(cells, chunks=chunks), (rows, columns), kernel, 2, np.float64)
    for sign, result in zip((1, -1), lazy, strict=True):
        assert result.chunks == chunks
        np.testing.assert_array_equal(result.compute(), sign * cells)
