"""How is a separation cut into Dask's chunks, along frames and along bins, without changing a bit?

A median looks half its kernel beyond its place. So each chunk is lent that much of its neighbours (the halo),
and what is computed there is dropped again:

    chunk      |          |##########|          |
    is given           ...|##########|...            halo on either side; at a true edge none: there the
    gives                 |##########|               medians reflect, as they do at the edge of an array

1. Chunks shorter than the halo are joined to their neighbours until none is: one neighbour then lends enough.
2. An axis that ends up in one chunk needs no halo, however short it is.
3. The results are cut as the input was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp import hpss as dsp
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.separation import separation
from hpss_batch.errors import ParameterError

Array = NDArray[Any]
Kernel = Callable[[Array, slice, slice], Array]


def is_dask(array: Any) -> bool:
    """Whether `array` is a Dask array; Dask is not imported to find out."""
    return type(array).__module__.partition(".")[0] == "dask" and hasattr(array, "chunks")


def hpss(
    S: Any, *, kernel_size: Any = 31, power: float = 2.0, mask: bool = False, margin: Any = 1.0
) -> tuple[Any, Any]:
    """Separate a spectrogram as `librosa.decompose.hpss` does; lazily if it is a Dask array, in any chunks.

    Parameters
    ----------
    S : array (..., bins, frames)
        Complex spectrogram, or magnitude, which is not negative; finite, of 32 or 64 bits a number, or integers.
    kernel_size : int or pair of int
        Length of the medians, from 1 on: of the harmonic one in frames, of the percussive one in bins.
    power : float
        Exponent of the soft masks, above 0. Infinity makes them hard, of zeros and ones; ties then belong to neither.
    mask : bool
        Return masks, weights in [0, 1], rather than components, mask × S.
    margin : float or pair of float
        How many times the harmonic median must exceed the percussive one, and vice versa, from 1 on. Above 1
        harmonic + percussive is not S: what is left is the residual.

    Returns
    -------
    harmonic, percussive : arrays of the shape of S
        Components or masks. Of a Dask array they are Dask arrays of its chunks.

    Raises
    ------
    ParameterError
        If a parameter is not allowed, or S holds NaN, infinity or, if real, a negative value; for the values of a
        Dask array, when it is computed.

    References
    ----------
    Fitzgerald, D. (2010): Harmonic/percussive separation using median filtering. DAFx-10, Graz.
    Driedger, J., Müller, M., Disch, S. (2014): Extending harmonic-percussive separation of audio. ISMIR, Taipei.
    """
    if not is_dask(S):
        return dsp.hpss(S, kernel_size=kernel_size, power=power, mask=mask, margin=margin)
    params = HpssParams(kernel_size, power, margin)
    if S.ndim < 2:
        raise ParameterError(f"S has shape {S.shape}; it needs bins and frames as its last two dimensions")

    def kernel(block: Array, bins: slice, frames: slice) -> Array:
        # NumPy takes the absolute value of a reversed view by another path, with other last bits.
        block = np.ascontiguousarray(block)
        both = dsp.hpss(block, kernel_size=kernel_size, power=power, mask=mask, margin=margin)
        return np.stack([part[..., bins, frames] for part in both])

    how = separation(params)
    halo = (how.bin_halo(S.shape[-2]), how.halo)
    dtype = kernel(np.ones((1, 1), S.dtype), slice(None), slice(None)).dtype
    harmonic, percussive = overlapped(S, halo, kernel, 2, dtype)
    return harmonic, percussive


def overlapped(array: Any, halo: tuple[int, int], kernel: Kernel, n_results: int, dtype: Any) -> list[Any]:
    """Apply a kernel to the chunks of a Dask array, each with a halo along the last two axes.

    Parameters
    ----------
    array : dask.array.Array, shape (..., m, n)
        Chunks of any sizes.
    halo : pair of int
        Entries of context along the last two axes.
    kernel : callable
        ``kernel(block, rows, columns)`` returns an array of shape (n_results, ..., rows, columns): its results
        for that part of the block, of which the rest is context.
    n_results : int
        How many arrays of the shape of `array` the kernel makes.
    dtype : dtype
        Type of what the kernel returns.

    Returns
    -------
    list of dask.array.Array
        `n_results` of them, with the shape and chunks of `array`.

    Raises
    ------
    ParameterError
        If the sizes of the chunks are not known.
    """
    import dask.array as da

    if any(math.isnan(size) for sizes in array.chunks for size in sizes):
        raise ParameterError("the chunks' sizes are not known: call compute_chunk_sizes() on the array first")
    chunks = (*array.chunks[:-2], *map(_joined, array.chunks[-2:], halo))
    depth = tuple(0 if len(sizes) == 1 else n for sizes, n in zip(chunks[-2:], halo, strict=True))
    stacked = da.map_overlap(
        _without_halo,
        array.rechunk(chunks),
        depth=(*(0 for _ in chunks[:-2]), *depth),
        boundary="none",
        trim=False,
        allow_rechunk=False,
        new_axis=0,
        chunks=((n_results,), *chunks),
        dtype=dtype,
        meta=np.empty((0,) * (array.ndim + 1), dtype),
        kernel=kernel,
        halo=depth,
    )
    return [stacked[i].rechunk(array.chunks) for i in range(n_results)]


def _joined(sizes: tuple[int, ...], least: int) -> tuple[int, ...]:
    """Neighbouring chunks joined until each has at least `least` entries, or there is one."""
    joined = [0]
    for size in sizes:
        if joined[-1] >= max(least, 1):
            joined.append(0)
        joined[-1] += size
    if len(joined) > 1 and joined[-1] < least:
        last = joined.pop()
        joined[-1] += last
    return tuple(joined)


def _without_halo(
    block: Array, *, kernel: Kernel, halo: tuple[int, int], block_info: dict[Any, Any] | None = None
) -> Array:
    """What the kernel makes of a block, less the halo: there is one on each side that has a neighbour."""
    assert block_info is not None
    here = block_info[0]
    own = []
    for axis, depth in zip((-2, -1), halo, strict=True):
        place, count = here["chunk-location"][axis], here["num-chunks"][axis]
        stop = block.shape[axis] - (depth if place < count - 1 else 0)
        own.append(slice(depth if place > 0 else 0, stop))
    return kernel(block, own[0], own[1])
