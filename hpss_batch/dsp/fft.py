"""How are many rows transformed in float32 so that a row's bits depend on that row alone?

An FFT library works on as many rows at once as a register has lanes, and transforms what is left over by another
path, with other last bits. Here nothing is left over:

- Rows of a power of two go through code of our own (`kernels.fft`), several at a time; the last are made up to that
  number. That is a few times faster than SciPy, and the same bits on every processor.
- Rows of any other size go through SciPy (imported when needed: it takes a while), in batches of a whole number
  of the widest registers, filled up with zeros.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hpss_batch.dsp.kernels import fft as fftcode
from hpss_batch.dsp.kernels import jit
from hpss_batch.dsp.kernels.memory import Scratch, address_of

Float32 = npt.NDArray[np.float32]
Complex64 = npt.NDArray[np.complex64]

COMPILED = tuple(2**exponent for exponent in range(5, 16))
# 16 float32 fill the widest register there is. A batch of half a megabyte stays in the cache.
SCIPY_LANES = 16
BATCH_BYTES = 1 << 19


_buffers = Scratch()


def forward(rows: Float32, window: Float32, out: Complex64) -> None:
    """Write the transforms of windowed rows (k, n_fft), any strides, into `out`, (k, n_bins)."""
    n_fft = window.size
    if n_fft in COMPILED:
        rows = rows if rows.strides[1] == rows.itemsize else np.ascontiguousarray(rows)
        target = out if out.strides[1] == out.itemsize else np.empty(out.shape, out.dtype)
        _run("forward", n_fft, rows, window, target)
        if target is not out:
            out[...] = target
    else:
        _scipy_forward(rows, window, out)


def _scipy_forward(rows: Float32, window: Float32, out: Complex64) -> None:
    import scipy.fft

    n_fft = window.size
    for start, stop in _batches(len(rows), n_fft):
        batch = _buffers.get("batch", (-(-(stop - start) // SCIPY_LANES) * SCIPY_LANES, n_fft), np.float32)
        np.multiply(rows[start:stop], window, out=batch[: stop - start])
        batch[stop - start :] = 0
        out[start:stop] = scipy.fft.rfft(batch, axis=1, overwrite_x=True)[: stop - start]


def backward(frames: Complex64, window: Float32) -> Iterator[Float32]:
    """Windowed inverse transforms of `frames`, (k, n_bins), any strides; a batch at a time, each for a while."""
    n_fft = window.size
    if n_fft not in COMPILED:
        yield from _scipy_backward(frames, window)
        return
    # Divided by a power of two, a window is still exact.
    scaled = window / np.float32(n_fft)
    for start, stop in _batches(len(frames), n_fft):
        part = frames[start:stop]
        if part.dtype != np.complex64 or part.strides[1] != part.itemsize:
            copy = _buffers.get("batch", part.shape, np.complex64)
            copy[...] = part
            part = copy
        rows = _buffers.get("rows", (stop - start, n_fft), np.float32)
        _run("backward", n_fft, part, scaled, rows)
        yield rows


def _scipy_backward(frames: Complex64, window: Float32) -> Iterator[Float32]:
    import scipy.fft

    for start, stop in _batches(len(frames), window.size):
        height = -(-(stop - start) // SCIPY_LANES) * SCIPY_LANES
        batch = _buffers.get("batch", (height, frames.shape[1]), np.complex64)
        batch[: stop - start] = frames[start:stop]
        batch[stop - start :] = 0
        rows = scipy.fft.irfft(batch, n=window.size, axis=1, overwrite_x=True)[: stop - start]
        rows *= window
        yield rows


def _batches(n_rows: int, n_fft: int) -> Iterator[tuple[int, int]]:
    size = max(SCIPY_LANES, BATCH_BYTES // (4 * n_fft) // SCIPY_LANES * SCIPY_LANES)
    return ((start, min(n_rows, start + size)) for start in range(0, n_rows, size))


def _run(way: str, n_fft: int, rows: npt.NDArray[Any], window: Float32, out: npt.NDArray[Any]) -> None:
    """Transform each row of `rows` to one of `out`; the rows' own elements are contiguous."""
    if not len(rows):
        return
    function, twiddles = _compiled(way, n_fft)
    lanes = fftcode.LANES
    # The last vector of rows is made up with the last row; what comes of that goes to a row of no use.
    n_rows = -(-len(rows) // lanes) * lanes
    work = _buffers.get("work", (2 * (n_fft + 2) * lanes + n_fft + 2,), np.float32)
    places = np.arange(n_rows)
    inputs, outputs = (address_of(array) + array.strides[0] * places for array in (rows, out))
    inputs[len(rows) :] = inputs[len(rows) - 1]
    outputs[len(rows) :] = address_of(work) + work.nbytes - 4 * (n_fft + 2)
    window = np.ascontiguousarray(window, np.float32)
    function(*[address_of(array) for array in (inputs, window, twiddles, outputs, work)], n_rows)


@functools.cache
def _compiled(way: str, n_fft: int) -> tuple[Any, Float32]:
    """The function that `kernels.fft` writes, and its table."""
    build = {"forward": fftcode.forward_code, "backward": fftcode.backward_code}[way]
    name = f"fft_{way}_{n_fft}"
    arguments = [ctypes.c_void_p] * 5 + [ctypes.c_int64]
    function = jit.function(name, lambda machine: build(name, n_fft, machine), arguments)
    return function, fftcode.twiddles(n_fft)
