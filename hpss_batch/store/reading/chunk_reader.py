"""How is one chunk of a store's array read, over and over, at little more than the cost of decompressing it?

Reading a chunk through zarr costs a few times what decompressing it costs: planning, an event loop, and the shard's
index, which is read again each time. Training reads chunks in random order by the million, so here a shard is opened
once, its index is kept (see `shard`), and a chunk is one `pread` and one call of Blosc. Any array that was not written
by this package, or lies on an object store, is read through zarr: the same values, slower.
"""

import os
from collections.abc import Iterable
from functools import cached_property, lru_cache
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
import zarr
from numcodecs import blosc
from numpy.typing import NDArray

from hpss_batch.errors import StoreError
from hpss_batch.paths import is_url
from hpss_batch.store.arrays.group import zarr_settings
from hpss_batch.store.arrays.schema import Coding
from hpss_batch.store.arrays.shard import ABSENT, ShardReader
from hpss_batch.store.directory import GROUP, RunDirectory

Array = NDArray[Any]

OPEN_SHARDS = 64
"""Shards of one array that are kept open."""


class ChunkReader:
    """Chunks of one array with a dimension `frame`, by their place along it.

    Parameters
    ----------
    directory : RunDirectory
        Where.
    array : zarr.Array
        One of its arrays: dims (frame, …) or (channel, frame, …), of which only the first two are cut into chunks.

    Attributes
    ----------
    frames : int
        Frames in a chunk.
    dtype : dtype
        As stored.
    tail : tuple of int
        Shape of one frame.
    direct : bool
        Whether chunks are read without zarr.

    Raises
    ------
    StoreError
        If the array's dimensions are others.
    """

    def __init__(self, directory: RunDirectory, array: "zarr.Array[Any]") -> None:
        dims = tuple(getattr(array.metadata, "dimension_names", None) or ())
        if dims[:1] != ("frame",) and dims[:2] != ("channel", "frame"):
            raise StoreError(
                f"{array.basename} has the dimensions {dims}; windows need (frame, …) or (channel, frame, …)"
            )
        self.directory, self.array = directory, array
        self.axis = dims.index("frame")
        self.frames = int(array.chunks[self.axis])
        self.dtype = array.dtype
        self.tail = tuple(int(n) for n in array.shape[self.axis + 1 :])
        self.direct = not is_url(directory.url) and _as_written_here(array)
        self._folder = Path(directory.url, GROUP, array.basename) if self.direct else None
        self._shard = lru_cache(OPEN_SHARDS)(self._open_shard)
        self._shard_chunks = int((array.shards or array.chunks)[self.axis]) // self.frames
        self._compressed = local()

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk in memory, as stored."""
        return self.frames * int(np.prod(self.tail)) * int(self.dtype.itemsize)

    @cached_property
    def coding(self) -> Coding | None:
        """What the codes in chunks mean; None if they hold values as they are."""
        return Coding.of(self.array.basename, self.dtype, self.array.attrs)

    def read(self, number: int, channel: int = 0) -> Array:
        """A chunk as stored, shape (frames, *tail); the last of an array is filled up.

        Parameters
        ----------
        number : int
            Its place along frames.
        channel : int
            Its channel; ignored where the array has none.

        Raises
        ------
        StoreError
            If the shard's index or the chunk is damaged.
        """
        if not self.direct:
            return self._through_zarr(number, channel)
        shard, place = divmod(number, self._shard_chunks)
        opened = self._shard(shard, channel if self.axis else 0)
        out = np.empty((self.frames, *self.tail), self.dtype)
        offset, size = opened.index[place] if opened is not None else (ABSENT, ABSENT)
        if opened is None or offset == ABSENT:
            out[...] = self.array.fill_value
            return out
        try:
            blosc.decompress(self._pread(opened, size, offset), out)
        except (RuntimeError, ValueError) as error:
            raise StoreError(
                f"{opened.path}: chunk {place} is damaged ({error}); `hpss-batch verify --heal` computes it again"
            ) from error
        return out

    def _pread(self, opened: ShardReader, size: int, offset: int) -> memoryview:
        """Bytes of a shard, in memory that this thread uses again for the next chunk: fresh memory is dear."""
        buffer = getattr(self._compressed, "buffer", b"")
        if len(buffer) < size:
            buffer = self._compressed.buffer = bytearray(2 * size)
        view = memoryview(buffer)[:size]
        if os.preadv(opened.descriptor, [view], offset) < size:
            raise ValueError("the file ends within it")
        return view

    def _through_zarr(self, number: int, channel: int) -> Array:
        frames = slice(number * self.frames, (number + 1) * self.frames)
        out = np.full((self.frames, *self.tail), self.array.fill_value, self.dtype)
        with zarr_settings(), self.directory.reading():
            found = np.asarray(self.array[(channel, frames) if self.axis else frames])
        out[: len(found)] = found
        return out

    def _open_shard(self, number: int, channel: int) -> ShardReader | None:
        """A shard's file and index; None if there is no file, since it would hold nothing but fill values."""
        assert self._folder is not None
        place = (channel, number) if self.axis else (number,)
        key = self.array.metadata.encode_chunk_key((*place, *(0 for _ in self.tail)))
        try:
            return ShardReader(self._folder / key, self._shard_chunks)
        except FileNotFoundError:
            return None


def open_readers(url: str, names: Iterable[str]) -> dict[str, ChunkReader]:
    """Readers of a run directory's arrays, by name."""
    directory = RunDirectory(url)
    group = directory.group()
    with directory.reading():
        return {name: ChunkReader(directory, group[name]) for name in names}  # type: ignore[arg-type]


def _as_written_here(array: "zarr.Array[Any]") -> bool:
    """Whether an array's shards hold what this module knows how to read: one chunk across, Blosc, index at the end."""
    if array.shards is None or array.dtype.byteorder == ">":
        return False
    dims = getattr(array.metadata, "dimension_names", None) or ()
    axis = dims.index("frame")
    across = [n for i, n in enumerate(array.chunks) if i > axis]
    if across != list(array.shape[axis + 1 :]) or (axis and array.chunks[0] != 1):
        return False
    codecs = [codec.to_dict() for codec in getattr(array.metadata, "codecs", ())]
    return (
        [codec["name"] for codec in codecs] == ["sharding_indexed"]
        and _names(codecs[0], "codecs") == ["bytes", "blosc"]
        and _names(codecs[0], "index_codecs") == ["bytes", "crc32c"]
        and codecs[0]["configuration"].get("index_location", "end") == "end"
    )


def _names(codec: Any, key: str) -> list[str]:
    return [str(inner["name"]) for inner in codec["configuration"][key]]
