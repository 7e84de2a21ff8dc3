"""Does another FLAC file stand behind the end of this one, as `cat a.flac b.flac` makes it?

A FLAC file begins with a mark and a block of stream information, which is always the first and always 34 bytes long
(RFC 9639, 8.1 and 8.2). These eight bytes stand nowhere else: in frames they come up once in 2**64 positions, and the
metadata before the frames, where a program might keep anything, is passed over.
"""

import mmap
import os

from hpss_batch.corpus.mapped import STEP, let_go

JOINED = (
    "holds several FLAC files one after the other, as joined with cat, of which only the first would be read; split "
    "it, or join the parts anew, e.g. with sox PART PART FILE.flac"
)
"""Why a file of several is not read."""

_MARK = b"fLaC"
_INFORMATION = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")  # with other metadata behind it, and without any


def is_joined(path: str) -> bool:
    """Whether another FLAC file begins behind the metadata of the one at `path`.

    It looks at all bytes, nearly two gigabytes a second where they have just been read.
    """
    with open(os.fsencode(path), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        first = _beginning(data, 0)
        return first >= 0 and _beginning(data, _behind_metadata(data, first)) >= 0


def _beginning(data: mmap.mmap, at: int) -> int:
    """Where the next FLAC file begins from `at` on, or -1."""
    held = 0
    while at < len(data):
        until = (at // STEP + 1) * STEP
        found = data.find(_MARK, at, until + len(_MARK) - 1)
        if found >= 0 and data[found + 4 : found + 8] in _INFORMATION:
            return found
        at = found + 1 if found >= 0 else until
        held = let_go(data, held, min(at, len(data)))
    return -1


def _behind_metadata(data: mmap.mmap, at: int) -> int:
    """Where the first frame begins of the file that begins at `at`."""
    at += len(_MARK)
    last = 0
    while not last and at + 4 <= len(data):
        last = data[at] & 0x80
        at += 4 + int.from_bytes(data[at + 1 : at + 4])
    return at
