"""Does an Ogg file end as it should, and may positions in it be sought?

An Ogg page (RFC 3533) says in its *granule position* how many samples are complete where it ends. libsndfile believes
that when it seeks; reading on, it counts what the packets hold. Both agree in a file as an encoder leaves it, and
differ after some editors: in one of six songs tried by 5,784 samples, and sought positions are wrong by as much.

`sought_until` therefore adds up the packets' lengths, which their first bytes tell (Vorbis I, 1.3.2 and 4.3; RFC
6716, 3.1), and compares: where every page agrees, positions may be sought, up to the last pages, whose granule
positions cut off padding. It reads headers only, takes about 0.4 s an hour of music, and errs on the safe side: what
it does not understand is not to be sought.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice

from hpss_batch.audio.headers import STEP, let_go
from hpss_batch.errors import AudioError

_PAGE = struct.Struct("<4sBBqIIIB")
_Page = tuple[bytes, int, int, int, int, int, int, int]
_LARGEST = _PAGE.size + 255 + 255 * 255
_FIRST, _LAST = 2, 4
_CHECKSUM = 22
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MARGIN = 2**14
"""Samples before the last pages that are not sought either: more than two of the largest blocks."""


_BEGINNINGS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")

SEVERAL = (
    "holds several streams one after the other, as recorded from internet radio or joined with cat, of which only the "
    "first would be read; split it, or join it with ffmpeg -i FILE FILE.flac"
)
"""Why a chained Ogg file is not read."""


class _OddError(Exception):
    """A file is not laid out as encoders do; nothing in it may be sought."""


def check_ogg(path: str, size: int, frames: int, rate: int) -> None:
    """Look whether an Ogg file ends as it should.

    Parameters
    ----------
    path : str
        The file.
    size : int
        Its bytes.
    frames, rate : int
        What libsndfile announces.

    Raises
    ------
    AudioError
        Where the file is cut short, its last page is damaged, or it holds one stream after the other.
    """
    descriptor = os.open(os.fsencode(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(descriptor, _LARGEST, 0)
        tail = os.pread(descriptor, 2 * _LARGEST, max(size - 2 * _LARGEST, 0))
    finally:
        os.close(descriptor)
    streams = set()
    at = 0
    while page := _page(head, at):
        if not page[2] & _FIRST:
            break
        streams.add(page[4])
        at = _behind(head, at)
    last = None
    at = len(tail)
    while last is None and at > 0:
        at = tail.rfind(b"OggS", 0, at)
        last = _page(tail, at) if at >= 0 else None
    if last and streams and last[4] not in streams:
        raise AudioError(SEVERAL)
    flaw = _flaw(tail, at, last)
    if flaw:
        held = f"it holds {frames / rate:.1f} s, and " if frames < 2**62 else ""
        raise AudioError(
            f"is {flaw[0]}: {held}{flaw[1]}; copy it again, or keep what is there with ffmpeg -i FILE -c copy FILE.ogg"
        )


def _flaw(tail: bytes, at: int, last: _Page | None) -> tuple[str, str] | None:
    """What is wrong with the last page, which decoders skip in silence unless all of it is there."""
    if not last or not last[2] & _LAST:
        return "cut short", "the mark at the stream's end is missing"
    if _behind(tail, at) > len(tail):
        return "cut short", "its last page is cut off inside"
    if not _is_sound(tail[at : _behind(tail, at)]):
        return "damaged", "its last page's checksum is wrong"
    return None


def is_chained(path: str) -> bool:
    """Whether another stream of audio begins behind the first one's pages, even under the same serial number.

    It passes the headers of all pages (50 ms an hour of music that has just been read). What else may stand behind
    the end, such as tags, padding or garbage, does not matter.
    """
    with open(os.fsencode(path), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, held, goes_on = 0, 0, False
        while (at := data.find(b"OggS", at)) >= 0:
            if at - held >= STEP:
                held = let_go(data, held, at)
            page = _page(data, at)
            behind = _behind(data, at) if page else len(data) + 1
            if page is None or behind > len(data):
                at += 4
                continue
            begins = page[2] & _FIRST
            if begins and goes_on and data[at + _PAGE.size + page[7] : behind].startswith(_BEGINNINGS):
                return True
            goes_on = goes_on or not begins
            at = behind
        return False


def _page(data: bytes | mmap.mmap, at: int) -> _Page | None:
    """The header of a page, or None where there is none."""
    if at < 0 or at + _PAGE.size > len(data):
        return None
    page = _PAGE.unpack_from(data, at)
    return page if page[:2] == (b"OggS", 0) else None


def _behind(data: bytes | mmap.mmap, at: int) -> int:
    """Where a page ends: behind the end of the data where it is cut inside."""
    body = at + _PAGE.size + data[at + _PAGE.size - 1]
    return body + sum(data[at + _PAGE.size : body])


def _is_sound(page: bytes) -> bool:
    """Whether a page has the checksum that it says: zlib's, of bits in the other order, that begins and ends with 0."""
    bare = page[:_CHECKSUM] + bytes(4) + page[_CHECKSUM + 4 :]
    found = zlib.crc32(bare.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return found.to_bytes(4, "big").translate(_REVERSED) == page[_CHECKSUM : _CHECKSUM + 4]


def sought_until(path: str) -> int:
    """The last sample of a Vorbis or Opus file that may be sought, at the stream's own rate; 0 for none.

    Parameters
    ----------
    path : str
        An Ogg file.
    """
    found = os.stat(path)
    return _sought_until(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _sought_until(path: str, size: int, mtime_ns: int) -> int:
    with open(os.fsencode(path), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _walk(data)
        except (_OddError, struct.error, IndexError):
            return 0


def _walk(data: mmap.mmap) -> int:
    """Compare granule positions with the lengths of the packets before them."""
    headers = list(islice(_packets(data), 3))
    if headers[0].startswith(b"\x01vorbis"):
        n_headers, skipped, length = 3, 0, _vorbis_lengths(headers)
    elif headers[0].startswith(b"OpusHead"):
        n_headers, skipped, length = 2, struct.unpack_from("<H", headers[0], 10)[0], _opus_length
    else:
        raise _OddError
    total, passed, before, stated = 0, 0, 0, 0
    first = None  # the first bytes of a packet that goes on on the next page
    for granule, body, lacing in _pages(data):
        if stated != total:
            raise _OddError  # which only the last page may do, to cut off padding
        begin = end = body
        for size in lacing:
            end += size
            if size == 255:
                continue
            passed += 1
            if passed > n_headers:
                if begin == end and first is None:
                    raise _OddError
                total += length(first or data[begin : begin + 2])
            first, begin = None, end
        if begin < end and first is None:
            first = data[begin : begin + 2]
        if granule > 0:
            before, stated = stated, granule
    if stated > total:
        raise _OddError
    return max(before - skipped - _MARGIN, 0)


def _pages(data: mmap.mmap) -> Iterator[tuple[int, int, bytes]]:
    """Granule position, offset of the body and lacing values of each page of a file with one whole stream."""
    at, held, expected, serial = 0, 0, 0, None
    while at < len(data):
        if at - held >= STEP:
            held = let_go(data, held, at)
        page = _page(data, at)
        if page is None or page[5] != expected or page[4] != (page[4] if serial is None else serial):
            raise _OddError
        expected, serial = expected + 1, page[4]
        body = at + _PAGE.size + page[7]
        lacing = data[at + _PAGE.size : body]
        at = body + sum(lacing)
        if bool(page[2] & _LAST) != (at == len(data)):
            raise _OddError
        yield page[3], body, lacing


def _packets(data: mmap.mmap) -> Iterator[bytes]:
    """Whole packets, one after the other."""
    packet = b""
    for _, body, lacing in _pages(data):
        for size in lacing:
            packet += data[body : body + size]
            body += size
            if size < 255:
                yield packet
                packet = b""


def _vorbis_lengths(headers: list[bytes]) -> Callable[[bytes], int]:
    """Samples that each audio packet of a Vorbis stream completes: a quarter of its block's and the last one's size."""
    sizes = headers[0][28]
    long_blocks = _vorbis_modes(headers[2])
    mask = (1 << (len(long_blocks) - 1).bit_length()) - 1
    blocks = [1 << (sizes >> 4 if is_long else sizes & 15) for is_long in long_blocks]
    last = 0

    def length(packet: bytes) -> int:
        nonlocal last
        if packet[0] & 1:
            raise _OddError  # no audio
        block = blocks[packet[0] >> 1 & mask]
        samples = (last + block) // 4 if last else 0
        last = block
        return samples

    return length


def _vorbis_modes(setup: bytes) -> list[bool]:
    """Which modes have long blocks.

    Modes end the setup header: six bits of their number less one, then 41 bits each (long or not, two zeros of 16 bits,
    a mapping), then a one and padding, bits in order of significance. What lies before can only be parsed from its
    start, at length; from the end, modes are recognised by their zeros and by their number.
    """
    bits = "".join(f"{byte:08b}"[::-1] for byte in setup).rstrip("0")[:-1]
    found: list[bool] = []
    flags: list[bool] = []
    while len(bits) >= 47 and bits[-40:-8] == "0" * 32 and bits[-2:] == "00":
        flags.insert(0, bits[-41] == "1")
        bits = bits[:-41]
        if int(bits[:-7:-1], 2) + 1 == len(flags):
            found = flags.copy()
    if not found:
        raise _OddError
    return found


def _opus_length(packet: bytes) -> int:
    """Samples at 48 kHz of an Opus packet."""
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        samples = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        samples = (480, 960)[config & 1]
    else:
        samples = 120 << (config & 3)
    return samples * ((1, 2, 2)[code] if code < 3 else packet[1] & 63)
