"""Is what libsndfile reads of a file all that the file holds, and is it one file?

libsndfile reads what there is of a WAV or AIFF file and says nothing, or only in its log, when there should be more,
and nothing at all when there is more than a header announces. So what it makes of a file is compared here with the
extent of the samples (see `chunks`). NIST SPHERE files have a header in text, which says how many samples follow;
libsndfile goes by the file's size alone. Of kinds that are not known here, what its log says is believed.

`cat a.flac b.flac` makes a file of which only the first part would be read. A FLAC file begins with a mark and a block
of stream information, which is always the first and always 34 bytes long (RFC 9639, 8.1 and 8.2). These eight bytes
stand nowhere else: in frames they come up once in 2**64 positions, and the metadata before the frames, where a program
might keep anything, is skipped.

Stream information may also announce less than there is. Each frame of a FLAC file begins with its number, under a
checksum (9.1), so the last one tells how long the file really is.

Long files are looked through in a mapping, and what was seen is let go of, so that it does not pile up in memory.
"""

import mmap
import re
from functools import lru_cache
from typing import Any

from hpss_batch.audio.containers.extent import Extent
from hpss_batch.audio.containers.reasons import too_short, wrong_header
from hpss_batch.errors import AudioError
from hpss_batch.files import Mapped, mapped, opened, stat

_CODINGS = {
    1: ("PCM_S8", "PCM_U8", "ULAW", "ALAW", "DPCM_8"),
    2: ("PCM_16", "DPCM_16"),
    3: ("PCM_24",),
    4: ("PCM_32", "FLOAT"),
    8: ("DOUBLE",),
}
_WIDTHS = {coding: width for width, codings in _CODINGS.items() for coding in codings}
"""Bytes of a sample."""

_LARGEST_HEADER = 4096
"""Bytes that may come before the samples in a file of which no extent is found."""

_TOLERATED = 128
"""Bytes that may stand unread behind the samples: a padding of old transfer programs, never a whole block of sound."""

_LOGGED = tuple(
    re.compile(
        r"(?:^|\n)\s*" + line.replace("ANNOUNCED", r"(?P<announced>\d+)").replace("HELD", r"(?P<held>\d+)")
    )
    for line in (
        r"Data length ANNOUNCED should be HELD",  # WVE
        r"\*\*\* File seems to be truncated\. HELD <--> ANNOUNCED",  # MAT4
    )
)
# as libsndfile's log has them; it holds 2,048 characters only, so tags before the samples fill it

_LONGEST_SPHERE = 2**16
_SPHERE = re.compile(rb"NIST_1A\r?\n\s*(\d{1,7})\r?\n")
_SPHERE_COUNT = re.compile(rb"^sample_count\s+-i\s+(\d{1,18})\s*$", re.MULTILINE)


def check_sizes(path: str, size: int, extent: Extent | None, file: Any) -> None:
    """Raise `AudioError` where sizes in a header say that a file is cut short, or that some of it is not read.

    Parameters
    ----------
    path : str
        The file.
    size : int
        Its bytes.
    extent : Extent or None
        Its samples, as its structure has them.
    file : soundfile.SoundFile
        What libsndfile makes of it.
    """
    frames, rate = file.frames, file.samplerate
    announced, held = (extent.announced, extent.end - extent.begin) if extent else _logged(file.extra_info)
    if announced > held:
        if not frames or not held or file.subtype.startswith("ALAC"):  # whose table of packets is at the end
            raise AudioError(
                f"is cut short: its header announces {announced:,} bytes of audio, {f'{held:,}' if held else 'none'} "
                "follow; copy it again"
            )
        whole = frames if file.format == "SDS" else round(frames * announced / held)
        reason = too_short(whole * held // announced, whole, rate)
        if reason:
            raise AudioError(reason)
    reason = too_short(frames, _sphere_count(path), rate)
    if reason:
        raise AudioError(reason)
    unread = extent.unexplained if extent else 0
    held = held if extent else size - _LARGEST_HEADER
    width = _WIDTHS.get(file.subtype)
    if not frames and file.format != "FLAC":
        unread = max(unread, held)
    elif width and not unread and file.format != "SDS" and (extent or file.format == "MAT4"):
        unread = held - frames * file.channels * width
    if unread > max(_TOLERATED, file.channels * (width or 0)):
        raise AudioError(wrong_header(file.format, unread, size, frames / rate))


def _logged(log: str) -> tuple[int, int]:
    """The bytes announced and held by a file that is cut short, in libsndfile's words; zeros where it says nothing."""
    found = next(filter(None, (line.search(log) for line in _LOGGED)), None)
    return (int(found["announced"]), int(found["held"])) if found else (0, 0)


def _sphere_count(path: str) -> int:
    """The samples a channel that a NIST SPHERE header announces; 0 where it does not, or there is none."""
    with opened(path) as file:
        head = file.read(0, _LONGEST_SPHERE) if file.read(0, 7) == b"NIST_1A" else b""
    size = _SPHERE.match(head)
    count = _SPHERE_COUNT.search(head, 0, int(size[1])) if size else None
    return int(count[1]) if count else 0


STEP = 2**24
"""Bytes that are let go of together; a multiple of the size of any system's pages."""


def let_go(data: Mapped, begin: int, end: int) -> int:
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


_MARK = b"fLaC"
_MOST_SAMPLES = 2**36 - 1
_LONGEST_FRAMES = 2**22
"""Bytes at the end of a FLAC file in which its last two frames are looked for."""

_INFORMATION = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")  # with other metadata behind it, and without any


def is_joined_flac(path: str) -> bool:
    """Whether another FLAC file begins behind the metadata of the one at `path`.

    It looks at all bytes, nearly two gigabytes a second where they have just been read.
    """
    with mapped(path) as data:
        first = _beginning(data, 0)
        return first >= 0 and _beginning(data, _behind_metadata(data, first)) >= 0


def _beginning(data: Mapped, at: int) -> int:
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


def _behind_metadata(data: Mapped, at: int) -> int:
    """Where the first frame begins of the file that begins at `at`."""
    at += len(_MARK)
    last = 0
    while not last and at + 4 <= len(data):
        last = data[at] & 0x80
        at += 4 + int.from_bytes(data[at + 1 : at + 4])
    return at


def find_flac_extent(path: str) -> Extent | None:
    """Find the extent of a FLAC file whose stream information announces fewer samples than there are, or does not know.

    None for others.
    """
    found = stat(path)
    return _flac_extent(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=256)
def _flac_extent(path: str, size: int, mtime_ns: int) -> Extent | None:
    with mapped(path) as data:
        start = _beginning(data, 0)
        where = start + len(_MARK) + 14  # rate, channels, bits and, in 36 bits, samples
        packed = int.from_bytes(data[where : where + 8])
        announced = packed & _MOST_SAMPLES
        held = _flac_end(data, _behind_metadata(data, start), int.from_bytes(data[start + 10 : start + 12]))
        if start < 0 or not announced < held <= _MOST_SAMPLES:
            return None
        return Extent(0, size, size, 0, ((where, (packed - announced + held).to_bytes(8)),))


def _flac_end(data: Mapped, first: int, block: int) -> int:
    """The sample behind the last frame, or 0 where frames are not as expected.

    Eleven bytes may look like a frame's header by chance, so one is believed only if the one before it ends where it
    begins.
    """
    head = _frame(data, first, block)
    if head is None:
        return 0
    mark = data[first : first + 2]
    ends: dict[int, int] = {}
    at, lowest = len(data), max(first, len(data) - _LONGEST_FRAMES)
    while (at := data.rfind(mark, lowest, at)) >= 0:
        found = _frame(data, at, block)
        if found and found[2] == head[2]:
            begin, end, _ = found
            if end in ends:
                return ends[end]
            ends[begin] = end
    return head[1] if lowest == first else 0


def _frame(data: Mapped, at: int, block: int) -> tuple[int, int, int] | None:
    """The samples at which a frame begins and ends, and its bits a sample as coded; None where there is no header."""
    head = data[at : at + 16].ljust(16, b"\0")
    coded, rate = head[2] >> 4, head[2] & 15
    more = 8 - (~head[4] & 255).bit_length()  # leading ones: bytes of the number, as in UTF-8
    if not coded or rate == 15 or head[3] >> 4 > 10 or head[3] & 1 or more in (1, 8):
        return None
    number = head[4] & (127 >> more)
    for byte in head[5 : 4 + max(more, 1)]:
        number = number << 6 | (byte & 63)
    end = 4 + max(more, 1)
    size = 192 if coded == 1 else 576 << coded - 2 if coded < 6 else 256 << coded - 8 if coded > 7 else 0
    if coded in (6, 7):
        size = int.from_bytes(head[end : end + coded - 5]) + 1
        end += coded - 5
    end += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if _crc8(head[:end]) != head[end]:
        return None
    begin = number if head[1] & 1 else number * block
    return begin, begin + size, head[3] & 15


def _crc8(data: bytes) -> int:
    """The checksum of a frame's header: x^8 + x^2 + x + 1."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ (0x107 if crc & 0x80 else 0)
    return crc
