"""Which bytes of a file are its samples, and how is libsndfile made to read these and no others?

Where a header says so itself, libsndfile reads the file by its path. Where it does not, `Corrected` is the file as its
header should have it; nothing is copied or written.
"""

import io
import os
from dataclasses import dataclass
from typing import Any

Changes = tuple[tuple[int, bytes], ...]
"""Places in a file, and what is read there instead."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The samples of a file.

    Attributes
    ----------
    begin, end : int
        Their bytes, as far as they are there.
    announced : int
        Bytes that the header announces; those that are there where it does not know.
    unexplained : int
        Bytes behind the end that are neither chunk nor tag nor padding.
    changes : tuple of (int, bytes)
        Where the header must read otherwise for libsndfile to read these samples and no others.
    skipped : int
        Bytes of the file that come before all this, from which all other places are counted.
    """

    begin: int
    end: int
    announced: int
    unexplained: int = 0
    changes: Changes = ()
    skipped: int = 0


class Rewritten(io.RawIOBase):
    """A file that is read otherwise than it is."""

    def __init__(self, file: io.RawIOBase) -> None:
        self.file = file

    @property
    def failure(self) -> Exception | None:
        """See `ranges.RangedStream`."""
        return getattr(self.file, "failure", None)

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """Any place can be read."""
        return True

    def tell(self) -> int:
        """Say where reading goes on."""
        return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        super().close()


class Corrected(Rewritten):
    """A file with an extent's changes, from the first byte that is not skipped to the end of its samples."""

    def __init__(self, file: io.RawIOBase, extent: Extent) -> None:
        super().__init__(file)
        self._extent = extent
        self.seek(0)

    def readinto(self, buffer: Any) -> int:
        """Read on, up to the samples' end, with what is changed replaced."""
        at = self.tell()
        view = memoryview(buffer).cast("B")[: max(self._extent.end - at, 0)]
        n = self.file.readinto(view) or 0
        for where, data in self._extent.changes:
            begin, end = max(where, at), min(where + len(data), at + n)
            if begin < end:
                view[begin - at : end - at] = data[begin - where : end - where]
        return n

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek as in a file that is no longer than that."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._extent.end}[whence]
        return self.file.seek(max(base + offset, 0) + self._extent.skipped) - self._extent.skipped

    def tell(self) -> int:
        """Say how many bytes come before, of those that are not skipped."""
        return self.file.tell() - self._extent.skipped
