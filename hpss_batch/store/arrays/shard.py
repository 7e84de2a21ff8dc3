"""What is in a shard, and how does it get there without ever being in memory?

A shard is Zarr v3's `sharding_indexed` (https://zarr-specs.readthedocs.io, version 1.0): chunks, each compressed on its
own, and behind them where each of them lies:

    | chunk 0 | chunk 1 | chunk 3 | …    | index: offset and size of each chunk, uint64 | crc32c of the index |

A unit computes frames in order, so that a chunk can be compressed while the cache still holds it, and leave. zarr
wants the shard in one assignment, hence in memory, where it costs more than all arithmetic: fresh memory is dear.
The bytes are those that zarr writes for the same values (tests/store/arrays/test_shard.py).
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from hpss_batch.errors import StoreError
from hpss_batch.store.layout import CHUNK_FRAMES
from hpss_batch.store.storage import NewFile

Array = NDArray[Any]


ABSENT = 2**64 - 1
"""Offset and size, in an index, of a chunk that holds nothing but fill values."""

CNAME: Final = "lz4"
CLEVEL: Final = 5
"""How Blosc compresses chunks, with their bits shuffled."""


def shard_key(unit: int, channel: int | None, n_dims: int) -> str:
    """A shard's name in its array's folder; `n_dims` are the dimensions beyond channel and frame."""
    place = (unit,) if channel is None else (channel, unit)
    return ".".join(["c", *map(str, place), *("0" for _ in range(n_dims))])


def shard_place(key: str, *, axis: bool = False) -> tuple[int, int] | None:
    """Unit and channel of a shard, by its name; 0 that of an axis; None for what is called otherwise.

    >>> shard_place(shard_key(7, 1, 1)), shard_place("zarr.json")
    ((7, 1), None)
    """
    match = re.fullmatch(r"c\.([0-9]+)(?:\.([0-9]+))?(?:\.[0-9]+)*", key)
    if match is None or not (axis or match[2]):
        return None
    return (int(match[1]), 0) if axis else (int(match[2]), int(match[1]))


class ShardWriter:
    """Writes shards of one array, one after the other, each from its first frame to its last.

    One chunk is held, in memory that is used again for all chunks of all shards. Frames that are skipped are gaps;
    a chunk of nothing but gaps takes no bytes, and a shard of such chunks no file. Frames are put where `rows` says,
    then taken by `written`.

    Parameters
    ----------
    dtype : dtype
        As stored.
    frame_shape : tuple of int
        Shape of one frame.
    n_frames : int
        Frames of a shard: a whole number of chunks.
    fill : scalar
        What gaps hold, and no frame is full of.

    Attributes
    ----------
    digest : int or None
        CRC32C over the values of all frames written, in order; None where there are none.
    chunk_frames : int
        Frames of a chunk.
    """

    def __init__(
        self,
        dtype: np.dtype[Any],
        frame_shape: tuple[int, ...],
        n_frames: int,
        fill: Any,
        chunk_frames: int = CHUNK_FRAMES,
    ) -> None:
        self.fill, self.chunk_frames = fill, chunk_frames
        self._chunk = np.empty((chunk_frames, *frame_shape), dtype)
        self._spare = np.empty_like(self._chunk)
        self._index = np.empty((n_frames // chunk_frames, 2), "<u8")
        self._file: NewFile | None = None
        self.digest: int | None = None

    def begin(self, create: Callable[[], NewFile] | None) -> None:
        """Begin a shard.

        Parameters
        ----------
        create : callable or None
            Makes its file, once there is something to write; None to write nothing.
        """
        self.abandon()
        self._create = create
        self._index[:] = ABSENT
        self._number = self._used = self._size = 0  # the chunk held, frames that it has, bytes written
        self.digest = None
        self.mark()

    def mark(self) -> None:
        """Remember this place, for `rewind`."""
        self._marked = self._number, self._used, self._size, self.digest
        self._kept = False

    def rewind(self) -> None:
        """Forget all frames since the last mark."""
        if self._kept:
            self._chunk, self._spare, self._kept = self._spare, self._chunk, False
        self._number, self._used, self._size, self.digest = self._marked
        self._index[self._number :] = ABSENT
        if self._file is not None:
            self._file.cut(self._size)

    def rows(self, begin: int, stop: int) -> Array:
        """Where to put frames `begin … stop` of the shard, behind all before and within one chunk, at once."""
        number, first = divmod(begin, self.chunk_frames)
        if number != self._number:
            self._write_chunk()
            self._number = number
        self._chunk[self._used : first] = self.fill
        self._used = first + stop - begin
        self._rows = self._chunk[first : self._used]
        return self._rows

    def written(self) -> None:
        """Take what the last `rows` hold now; a chunk that is full leaves."""
        self.digest = google_crc32c.extend(self.digest or 0, self._rows.reshape(-1).view(np.uint8))
        if self._used == self.chunk_frames:
            self._write_chunk()

    def write(self, begin: int, values: Array) -> None:
        """Frames from `begin` on, as many as there are."""
        at, stop = begin, begin + len(values)
        while at < stop:
            end = min(at - at % self.chunk_frames + self.chunk_frames, stop)
            self.rows(at, end)[...] = values[at - begin : end - begin]
            self.written()
            at = end

    def finish(self) -> None:
        """Return when the shard is on disk."""
        self._write_chunk()
        if not self._size:  # all that was written has been taken back
            self.abandon()
        if self._file is not None:
            index = self._index.tobytes()
            with _telling_disk():
                self._file.write(index + google_crc32c.value(index).to_bytes(4, "little"))
                self._file.finish()
            self._file = None

    def abandon(self) -> None:
        """Leave no trace of a shard that was begun and not finished; safe to repeat."""
        if self._file is not None:
            self._file.abandon()
            self._file = None

    def _write_chunk(self) -> None:
        """Write the chunk held, if it holds anything, and begin the next."""
        if self._used and self._create is not None:
            self._chunk[self._used :] = self.fill
            data = blosc.compress(self._chunk, CNAME.encode(), CLEVEL, blosc.BITSHUFFLE)
            with _telling_disk():
                if self._file is None:
                    self._file = self._create()
                self._file.write(data)
            self._index[self._number] = self._size, len(data)
            self._size += len(data)
            if self._number == self._marked[0] and not self._kept:  # a rewind would want it back
                self._chunk, self._spare, self._kept = self._spare, self._chunk, True
        self._number, self._used = self._number + 1, 0


@contextmanager
def _telling_disk() -> Iterator[None]:
    """Say of an error that it is the disk's, not the audio's."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"a shard cannot be written: {error}. Check the output's disk, then run again: what is done stays"
        ) from error


class ShardReader:
    """An open shard: its descriptor, which is closed with it, and (offset, size) of its chunks in bytes.

    Raises
    ------
    StoreError
        If its index is damaged.
    """

    def __init__(self, path: Path, n_chunks: int) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        length = 16 * n_chunks + 4
        size = os.fstat(self.descriptor).st_size
        data = os.pread(self.descriptor, length, max(size - length, 0))
        index, checksum = data[:-4], int.from_bytes(data[-4:], "little")
        if len(data) != length or google_crc32c.value(index) != checksum:
            raise StoreError(
                f"{path} is damaged: its index does not match its checksum. `hpss-batch verify --heal` computes it "
                "again"
            )
        self.index: list[tuple[int, int]] = list(
            map(tuple, np.frombuffer(index, "<u8").reshape(-1, 2).tolist())
        )

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)
