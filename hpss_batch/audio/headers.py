"""What do the raw bytes of a file say of its length: do the sizes in its header agree with it, and is it one file?

libsndfile reads what there is of a WAV or AIFF file and says nothing, or only in its log, when there should be more.
Three cases look alike and are not: a file cut short, which is an error; a stream, whose writer could not go back to
fill in the size and put a placeholder; and a recording whose recorder died before it filled in the size, which is 0
then. So the chunks of these files are looked at here: id and size, then as many bytes (EBU Tech 3285, AIFF 1.3).
NIST SPHERE files have a header in text, which says how many samples follow; libsndfile goes by the file's size alone.
Of other kinds, what libsndfile's log says is believed.

`cat a.flac b.flac` makes a file of which only the first part would be read. A FLAC file begins with a mark and a block
of stream information, which is always the first and always 34 bytes long (RFC 9639, 8.1 and 8.2). These eight bytes
stand nowhere else: in frames they come up once in 2**64 positions, and the metadata before the frames, where a program
might keep anything, is skipped.

Long files are looked through in a mapping, and what was seen is let go of, so that it does not pile up in memory.
"""

import io
import mmap
import os
import re
import struct
from dataclasses import dataclass
from typing import Any

from hpss_batch.audio.reasons import too_short
from hpss_batch.errors import AudioError

_ORDER = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">", b"FORM": ">"}
_SAMPLES = (b"data", b"SSND", b"BODY")
_MOST_CHUNKS = 4096

_LOGGED = tuple(
    re.compile(
        r"(?:^|\n)\s*" + line.replace("ANNOUNCED", r"(?P<announced>\d+)").replace("HELD", r"(?P<held>\d+)")
    )
    for line in (
        r"(?:Data Size|riff)\s*: ANNOUNCED \(should be HELD\)",  # AU, W64
        r"Data length ANNOUNCED should be HELD",  # WVE
        r"\*\*\* File seems to be truncated\. HELD <--> ANNOUNCED",  # MAT4
    )
)
# as libsndfile's log has them; it holds 2,048 characters only, so tags before the samples fill it

_LONGEST_SPHERE = 2**16
_SPHERE = re.compile(rb"NIST_1A\r?\n\s*(\d{1,7})\r?\n")
_SPHERE_COUNT = re.compile(rb"^sample_count\s+-i\s+(\d{1,18})\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Samples:
    """The chunk that holds a file's samples: bytes announced, bytes there, and bytes behind that are not a chunk."""

    announced: int
    held: int
    junk: int


def check_sizes(path: str, size: int, log: str, frames: int, rate: int) -> None:
    """Raise `AudioError` where sizes in a header say that a file is cut short, or that most of it is not audio.

    Parameters
    ----------
    path : str
        The file.
    size : int
        Its bytes.
    log : str
        What libsndfile noted on it.
    frames, rate : int
        What libsndfile announces.
    """
    samples = _find_samples(path, size)
    if samples is None:
        logged = next(filter(None, (line.search(log) for line in _LOGGED)), None)
        samples = _Samples(int(logged["announced"]), int(logged["held"]), 0) if logged else _Samples(0, 0, 0)
    if samples.announced > samples.held and not _is_placeholder(samples.announced):
        if not frames:
            raise AudioError(
                f"is cut short: its header announces {samples.announced:,} bytes of audio, none follow; copy it again"
            )
        reason = too_short(frames, round(frames * samples.announced / samples.held), rate)
        if reason:
            raise AudioError(reason)
    reason = too_short(frames, _sphere_count(path), rate)
    if reason:
        raise AudioError(reason)
    if "Seems to be a truncated file" in log:  # VOC
        raise AudioError(
            f"is cut short: it holds {frames / rate:.1f} s of what its header announces; copy it again"
        )
    if samples.announced and samples.junk > size // 2:
        raise AudioError(
            f"has a wrong header: it announces {frames / rate:.1f} s of audio, but {samples.junk:,} of the file's "
            f"{size:,} bytes lie behind their end; rewrite it, e.g. with ffmpeg -ignore_length 1"
        )


def _find_samples(path: str, size: int) -> _Samples | None:
    descriptor = os.open(os.fsencode(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        order = _ORDER.get(os.pread(descriptor, 4, 0))
        at, wide = 12, None
        for _ in range(_MOST_CHUNKS if order else 0):
            head = os.pread(descriptor, 8, at)
            if len(head) < 8:
                break
            name, announced = struct.unpack(f"{order}4sI", head)
            at += 8
            if name == b"ds64":  # where the sizes of RF64 files are
                wide = struct.unpack("<8xQ", os.pread(descriptor, 16, at).ljust(16, b"\0"))[0]
            elif name in _SAMPLES:
                if wide is not None and announced == 0xFFFFFFFF:
                    announced = wide
                held = min(announced, size - at)
                behind = os.pread(descriptor, 5, at + held)
                junk = size - at - held if not (_is_name(behind[:4]) or _is_name(behind[1:])) else 0
                return _Samples(announced, held, junk)
            at += announced + announced % 2
        return None
    finally:
        os.close(descriptor)


def _sphere_count(path: str) -> int:
    """The samples a channel that a NIST SPHERE header announces; 0 where it does not, or there is none."""
    descriptor = os.open(os.fsencode(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(descriptor, _LONGEST_SPHERE, 0) if os.pread(descriptor, 7, 0) == b"NIST_1A" else b""
    finally:
        os.close(descriptor)
    size = _SPHERE.match(head)
    count = _SPHERE_COUNT.search(head, 0, int(size[1])) if size else None
    return int(count[1]) if count else 0


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in name)


def _is_placeholder(size: int) -> bool:
    """Whether a size is what writers into a pipe put, who cannot come back to fill in the true one."""
    return 0x7FFFEF00 <= size <= 0x80000000 or size >= 0xFFFFEF00


def is_unfinished(path: str) -> bool:
    """Whether a WAV file's samples have size 0, and what follows is not a chunk, and so is samples."""
    samples = _find_samples(path, os.stat(path).st_size)
    return samples is not None and samples.announced == 0 and samples.junk > 0


class Unfinished(io.FileIO):
    """A WAV file whose sizes were never filled in, saying so in the only way that libsndfile understands.

    Of the sizes that recorders leave behind when they die, libsndfile reads on to the file's end where the outer one
    is 8. This is the file with that size.
    """

    def readinto(self, buffer: Any) -> int:
        """Read on, with the size at bytes 4 to 8 replaced."""
        at = self.tell()
        view = memoryview(buffer).cast("B")
        n = super().readinto(view) or 0
        for byte in range(max(4, at), min(8, at + n)):
            view[byte - at] = 8 if byte == 4 else 0
        return n


STEP = 2**24
"""Bytes that are let go of together; a multiple of the size of any system's pages."""


def let_go(data: mmap.mmap, begin: int, end: int) -> int:
    """Let go of the mapping's bytes `begin … end`, in whole steps; `begin` is 0 or what this returned before.

    Returns
    -------
    int
        Where what is still held begins. What was let go of can be read again: it is mapped again.
    """
    end = end // STEP * STEP
    if end > begin:
        data.madvise(mmap.MADV_DONTNEED, begin, end - begin)
    return max(begin, end)


JOINED_FLAC = (
    "holds several FLAC files one after the other, as joined with cat, of which only the first would be read; split "
    "it, or join the parts again, e.g. with sox PART PART FILE.flac"
)
"""Why a file of several is not read."""

_MARK = b"fLaC"
_INFORMATION = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")  # with other metadata behind it, and without any


def is_joined_flac(path: str) -> bool:
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
