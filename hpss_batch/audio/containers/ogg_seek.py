"""May positions in an Ogg file be sought?

An Ogg page (RFC 3533) says in its *granule position* how many samples are complete where it ends. libsndfile believes
that when it seeks; reading on, it counts what the packets hold. Both agree in a file as an encoder leaves it, and
differ after some editors: in one of six songs tried by 5,784 samples, and sought positions are wrong by as much.

`sought_until` therefore adds up the packets' lengths, which their first bytes tell (Vorbis I, 1.3.2 and 4.3; RFC
6716, 3.1), and compares: where every page agrees, positions may be sought, up to the last pages, whose granule
positions cut off padding. It reads headers only, takes about 0.4 s an hour of music, and errs on the safe side: what
it does not understand is not to be sought.
"""

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice

from hpss_batch.audio.containers.headers import STEP, let_go
from hpss_batch.audio.containers.ogg import LAST, PAGE, page_at
from hpss_batch.files import Mapped, mapped, stat

_MARGIN = 2**14
"""Samples before the last pages that are not sought either: more than two of the largest blocks."""


class _OddError(Exception):
    """A file is not laid out as encoders do; nothing in it may be sought."""


def sought_until(path: str) -> int:
    """The last sample of a Vorbis or Opus file that may be sought, at the stream's own rate; 0 for none.

    Parameters
    ----------
    path : str
        An Ogg file.
    """
    found = stat(path)
    return _sought_until(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _sought_until(path: str, size: int, mtime_ns: int) -> int:
    with mapped(path) as data:
        try:
            return _walk(data)
        except (_OddError, struct.error, IndexError):
            return 0


def _walk(data: Mapped) -> int:
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


def _pages(data: Mapped) -> Iterator[tuple[int, int, bytes]]:
    """Granule position, offset of the body and lacing values of each page of a file with one whole stream."""
    at, held, expected, serial = 0, 0, 0, None
    while at < len(data):
        if at - held >= STEP:
            held = let_go(data, held, at)
        page = page_at(data, at)
        if page is None or page[5] != expected or page[4] != (page[4] if serial is None else serial):
            raise _OddError
        expected, serial = expected + 1, page[4]
        body = at + PAGE.size + page[7]
        lacing = data[at + PAGE.size : body]
        at = body + sum(lacing)
        if bool(page[2] & LAST) != (at == len(data)):
            raise _OddError
        yield page[3], body, lacing


def _packets(data: Mapped) -> Iterator[bytes]:
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
