"""How are many rows transformed in float32 so that a row's bits depend on that row alone?

An FFT library works on as many rows at once as a register has lanes, and transforms what is left over by
another path, with other last bits. Here rows go in batches of a whole number of the widest registers, filled up
with zeros, so that nothing is ever left over: whichever rows stand beside it, a row's transform is the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.fft

Float32 = npt.NDArray[np.float32]
Complex64 = npt.NDArray[np.complex64]

# 16 float32 fill the widest register there is; a batch of half a megabyte stays in the cache.
LANES = 16
BATCH_BYTES = 1 << 19


class _Buffers(threading.local):
    """One batch for each thread, kept: fresh memory costs more than the arithmetic on it."""

    def __init__(self) -> None:
        self.memory = np.empty(0, np.uint8)

    def batch(self, shape: tuple[int, int], dtype: type[np.generic]) -> npt.NDArray[np.generic]:
        size = shape[0] * shape[1] * np.dtype(dtype).itemsize
        if self.memory.size < size:
            self.memory = np.empty(size, np.uint8)
        return self.memory[:size].view(dtype).reshape(shape)


_buffers = _Buffers()


def _batches(n_rows: int, n_fft: int) -> Iterator[tuple[int, int, int]]:
    """(start, stop, rows of the batch) for all rows."""
    most = max(LANES, BATCH_BYTES // (4 * n_fft) // LANES * LANES)
    for start in range(0, n_rows, most):
        stop = min(n_rows, start + most)
        yield start, stop, -(-(stop - start) // LANES) * LANES


def forward(rows: Float32, window: Float32, out: Complex64) -> None:
    """Write the transforms of windowed rows (k, n_fft), any strides, into `out`, (k, n_bins)."""
    n_fft = window.size
    for start, stop, height in _batches(len(rows), n_fft):
        batch = _buffers.batch((height, n_fft), np.float32)
        np.multiply(rows[start:stop], window, out=batch[: stop - start])
        batch[stop - start :] = 0
        out[start:stop] = scipy.fft.rfft(batch, axis=1, overwrite_x=True)[: stop - start]


def backward(frames: Complex64, window: Float32) -> Iterator[Float32]:
    """Windowed inverse transforms of `frames`, shape (k, n_bins), any strides, a batch at a time."""
    n_fft = window.size
    for start, stop, height in _batches(len(frames), n_fft):
        batch = _buffers.batch((height, frames.shape[1]), np.complex64)
        batch[: stop - start] = frames[start:stop]
        batch[stop - start :] = 0
        rows = scipy.fft.irfft(batch, n=n_fft, axis=1, overwrite_x=True)[: stop - start]
        rows *= window
        yield rows
