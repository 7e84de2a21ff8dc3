"""How are the bytes of an object read, of a bucket or of a web server? By ranges, all of one version.

Ranges are larger the longer an object is read on, and one that is small is fetched at once. What was fetched is kept as
long as somebody in the same thread holds the object (`ranged`), and no more of it than `HELD_BYTES`. An object that is
replaced meanwhile is refused.
"""

import errno
import io
import mmap
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import local
from typing import Any, overload
from weakref import WeakValueDictionary

from hpss_batch.errors import AudioError
from hpss_batch.objects import located, persistently, reaching, why_refused
from hpss_batch.text import name_text

CHANGED = "changed after it was listed; run again to list it as it is now"

SMALL_BYTES = 2**24
"""Bytes of an object that is fetched at once when it is decoded."""

HELD_BYTES = 2**25
"""Bytes of an object that are held at most."""

_BLOCK = 2**17
_MOST_BLOCKS = 64
"""Blocks that are fetched by one request, of an object that is read on and on."""


def look(url: str) -> tuple[int, int]:
    """Size and time of an object; errors as `files.stat`.

    The time is the store's, to the second; smaller digits are made of the entity tag, so that another version within
    the same second has another time.
    """
    held = _held.files.get(url)
    if held is not None:
        return held.size, held.mtime_ns
    store, name = located(name_text(url))
    with _telling(url):
        found = persistently(lambda: store.head(name))
    return found["size"], mtime_ns(found["last_modified"], found["e_tag"])


def mtime_ns(modified: datetime, tag: str | None) -> int:
    """The time of an object as `look` has it."""
    digits = zlib.crc32((tag or "").removeprefix("W/").strip('"').encode()) % 10**9 if tag else 0
    return int(modified.timestamp()) * 10**9 + digits


class RangedFile:
    """An object, of which bytes are read here and there, or searched as in a mapping."""

    def __init__(self, url: str, size: int | None = None) -> None:
        self.url = url
        self._tag: str | None = None
        self._store, self._name = located(name_text(url))
        self._blocks = dict[int, memoryview]()
        self._next, self._ahead = 0, 1  # the block behind what was fetched last, and how many to fetch then
        self._whole: mmap.mmap | None = None  # from a server that knows no ranges
        self._first = SMALL_BYTES if size and size <= SMALL_BYTES else _BLOCK
        self._known: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return self._facts()[0]

    @property
    def mtime_ns(self) -> int:
        """A time; see `look`."""
        return self._facts()[1]

    def _facts(self) -> tuple[int, int]:
        """Size and time, of which the first request tells."""
        if self._known is None:
            self._fetch(0, self._first)
        assert self._known is not None
        return self._known

    def read(self, at: int, n: int) -> bytes:
        """Bytes from `at` on; fewer than `n` where the object ends."""
        end = min(at + n, self.size)
        if self._whole is not None:
            return self._whole[at:end]
        parts = []
        while at < end:
            number, first = divmod(at, _BLOCK)
            if number not in self._blocks:
                self._read_on(number, -(-end // _BLOCK))
            block = self._blocks[number]
            parts.append(block[first : first + end - at])
            at += len(parts[-1])
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Nothing is open between two requests."""

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, slice):
            start, stop, _ = key.indices(self.size)
            return self.read(start, stop - start)
        return self.read(range(self.size)[key], 1)[0]

    def find(self, sought: bytes, start: int = 0, end: int | None = None) -> int:
        """As `bytes.find`."""
        end = self.size if end is None else min(end, self.size)
        while start < end:
            behind = min((start // _BLOCK + 1) * _BLOCK, end)
            at = self.read(start, min(behind + len(sought) - 1, end) - start).find(sought)
            if at >= 0:
                return start + at
            start = behind
        return -1

    def rfind(self, sought: bytes, start: int, end: int) -> int:
        """As `bytes.rfind`."""
        end = stop = min(end, self.size)
        while start < stop:
            first = max((stop - 1) // _BLOCK * _BLOCK, start)
            at = self.read(first, min(stop + len(sought) - 1, end) - first).rfind(sought)
            if at >= 0:
                return first + at
            stop = first
        return -1

    def madvise(self, _option: int, _begin: int, _length: int) -> None:
        """Nothing needs to be let go of, since no more is held than `HELD_BYTES`."""

    def _read_on(self, number: int, stop: int) -> None:
        """Fetch a block, and more behind it: up to `stop`, or twice as many as the last time where that is read on."""
        self._ahead = 2 * self._ahead if number == self._next else 1
        self._ahead = min(max(self._ahead, stop - number), _MOST_BLOCKS)
        self._fetch(number * _BLOCK, (number + self._ahead) * _BLOCK)

    def _fetch(self, begin: int, end: int) -> None:
        """Fetch bytes from the start of a block to the end of another."""
        with _telling(self.url):
            from obstore.exceptions import GenericError, NotSupportedError

            options: Any = {"range": (begin, end)} | ({"if_match": self._tag} if self._tag else {})
            try:
                result = persistently(lambda: self._store.get(self._name, options=options))
                data = memoryview(bytes(result.bytes()))
            except NotSupportedError:
                self._fetch_whole()
            except GenericError as error:
                if "status code: 416" not in str(error) or begin:
                    raise
                self._learn(self._store.head(self._name))  # no bytes at all
            else:
                self._learn(result.meta)
                self._keep(begin // _BLOCK, data)

    def _keep(self, first: int, data: memoryview) -> None:
        """Hold blocks that were fetched, from a first one on, and let go of the oldest."""
        for at in range(0, len(data), _BLOCK):
            self._blocks[first + at // _BLOCK] = data[at : at + _BLOCK]
        self._next = first - (-len(data) // _BLOCK)
        for number in list(self._blocks)[: -HELD_BYTES // _BLOCK]:
            del self._blocks[number]

    def _fetch_whole(self) -> None:
        """Keep the whole object in a nameless file, where the system keeps such (`TMPDIR`)."""
        result = self._store.get(self._name)
        self._learn(result.meta)
        if not self.size:
            return
        with tempfile.TemporaryFile() as file:
            for data in result:
                file.write(data)
            file.flush()
            self._whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _learn(self, found: Any) -> None:
        tag = found["e_tag"]
        self._known = found["size"], mtime_ns(found["last_modified"], tag)
        self._tag = None if not tag or tag.startswith("W/") else tag  # weak ones match nothing


class RangedStream(io.RawIOBase):
    """An object as a file that a decoder reads.

    libsndfile calls this from C, where no error can pass: unless it `raises`, the last is kept in `failure`, and
    nothing is read.
    """

    def __init__(self, url: str, raises: bool = False) -> None:
        self._file, self._at, self._raises = ranged(url), 0, raises
        self.failure: Exception | None = None

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """Any place can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read on."""
        view = memoryview(buffer).cast("B")
        try:
            data = self._file.read(self._at, len(view))
        except Exception as error:
            if self._raises:
                raise
            self.failure = error
            return 0
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere else."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """Say where reading goes on."""
        return self._at


class _Held(local):
    """The objects that a thread has in hand, by URL."""

    def __init__(self) -> None:
        self.files = WeakValueDictionary[str, RangedFile]()


_held = _Held()


def ranged(url: str, size: int | None = None) -> RangedFile:
    """An object, the same one while this thread holds it; one whose `size` is known to be small is fetched at once."""
    file = _held.files.get(url)
    if file is None:
        file = _held.files[url] = RangedFile(url, size)
    return file


@contextmanager
def _telling(url: str) -> Iterator[None]:
    """Make what obstore raises an error of a file's: it is not there, it is refused, it changed, it is out of reach."""
    from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

    try:
        with reaching(url):
            try:
                yield
            except PreconditionError as error:
                raise AudioError(CHANGED) from error
            except (PermissionDeniedError, UnauthenticatedError) as error:
                raise OSError(f"it {why_refused(url, error)}") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from error
