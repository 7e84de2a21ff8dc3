"""How are the bytes of a recording read, wherever it is: on a disk, in an object store or on a web server?

Whoever looks at a recording by its path, or its URL, does so by these calls:

    stat      size and time                               os.stat             a request for the header
    opened    bytes here and there                        a descriptor        `RangedFile`
    mapped    all bytes, to be searched                   a mapping           `RangedFile`
    stream    what a decoder reads, where not by path     a file              `RangedStream`

Objects are read by `ranges`; what was fetched of one is kept as long as somebody in the same thread holds it (`hold`).
"""

import io
import mmap
import os
import stat as modes
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import google_crc32c

from hpss_batch.paths import is_url
from hpss_batch.ranges import RangedFile, RangedStream, look, ranged

_BLOCK = 2**22
"""Bytes that are read at once where all are."""


def stat(path: str) -> os.stat_result:
    """What `os.stat` says of a path; of an object, its size and time, as `ranges.look` has them.

    Raises
    ------
    OSError
        If it is not there, or may not be read.
    UnreachableError
        If the store cannot be asked, here or from any other call.
    """
    if not is_url(path):
        return os.stat(path)
    return as_stat(*look(path))


def is_there(path: str) -> bool:
    """Whether there is something at a path, if only a link to nothing."""
    if not is_url(path):
        return os.path.lexists(path)
    try:
        stat(path)
    except FileNotFoundError:
        return False
    return True


def read_bytes(path: str) -> bytes:
    """All bytes of a file."""
    with opened(path) as file:
        return file.read(0, file.size)


def blocks(path: str, begin: int = 0, end: int = sys.maxsize) -> Iterator[bytes]:
    """Bytes of a file from `begin` on, some megabytes at a time, up to `end` or to where it ends."""
    with opened(path) as file:
        while begin < end and (data := file.read(begin, min(end - begin, _BLOCK))):
            yield data
            begin += len(data)


def measured(data: Iterable[bytes]) -> tuple[int, int]:
    """How many bytes there are in some blocks of them, and their CRC32C."""
    size, digest = 0, 0
    for block in data:
        size, digest = size + len(block), google_crc32c.extend(digest, block)
    return size, digest


class DiskFile:
    """A file on a disk, of which bytes are read here and there."""

    def __init__(self, path: str) -> None:
        # not blocking: should the file have become a FIFO by now, this must not wait for a writer
        self._descriptor = os.open(os.fsencode(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self._descriptor).st_size

    def read(self, at: int, n: int) -> bytes:
        """Bytes from `at` on; fewer than `n` where the file ends."""
        return os.pread(self._descriptor, n, at)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


Mapped = mmap.mmap | RangedFile
"""All bytes of a file, to be searched."""


@contextmanager
def opened(path: str) -> Iterator[DiskFile | RangedFile]:
    """A file of which bytes are read here and there."""
    file = ranged(path) if is_url(path) else DiskFile(path)
    try:
        yield file
    finally:
        file.close()


@contextmanager
def mapped(path: str) -> Iterator[Mapped]:
    """All bytes of a file that has some, to be searched."""
    if is_url(path):
        yield ranged(path)
        return
    with open(os.fsencode(path), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def stream(path: str, raises: bool = False) -> io.RawIOBase:
    """A file that a decoder reads; of an object, see `RangedStream`."""
    return RangedStream(path, raises) if is_url(path) else io.FileIO(os.fsencode(path))


def hold(path: str, size: int | None = None) -> RangedFile | None:
    """Keep what is fetched of an object, for all who read it in this thread, as long as the result is kept.

    One that is known to be small by its `size` is fetched at once. Of a file on a disk nothing is kept.
    """
    return ranged(path, size) if is_url(path) else None


def as_stat(size: int, time: int) -> os.stat_result:
    """Size and time [ns since the epoch] as `os.stat` has them of a file."""
    seconds = time // 10**9
    values = (modes.S_IFREG | 0o444, 0, 0, 1, 0, 0, size, seconds, seconds, seconds)
    return os.stat_result(values, {"st_mtime_ns": time})
