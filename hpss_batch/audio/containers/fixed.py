"""Where do samples lie in files whose header, at fixed places, counts them?

libsndfile reads most of these to the file's end, whatever the header says, so that one cut short looks whole. Where a
header says nothing, as that of an unfinished file, there is no extent.

Sources: libsndfile's avr.c, mpc2k.c, xi.c, sds.c, mat5.c and voc.c, which quote the specifications.
"""

import struct
from collections.abc import Callable

from hpss_batch.audio.containers.extent import Extent

Read = Callable[[int, int], bytes]
"""Bytes of a file: from where, and how many."""

_SOUND = {1: 2, 2: 0, 9: 12}
"""Kinds of VOC blocks that hold sound, and bytes of their heads behind kind and size."""
_MOST_BLOCKS = 4096


def find_fixed(read: Read, size: int) -> Extent | None:
    """Find the samples of a file of one of these kinds, of `size` bytes; None for others."""
    head = read(0, 300).ljust(300, b"\0")
    begin = announced = unread = 0
    if head.startswith(b"2BIT"):  # AVR
        begin, announced = 128, _number(head, ">I", 26) * (1 + (head[13] & 1)) * (head[15] // 8)
    elif head.startswith(b"\x01\x04") and head[38:40] in (b"\0\1", b"\1\1"):  # Akai MPC 2000
        begin, announced = 42, _number(head, "<I", 30) * (2 if head[21] else 1) * 2
    elif head.startswith(b"Extended Instrument:"):  # FastTracker: 40 bytes a sample, the first four its size
        begin = 298 + 40 * _number(head, "<H", 296)
        announced = sum(_number(read(at, 4), "<I", 0) for at in range(298, min(begin, size - 4), 40))
    elif head.startswith(b"\xf0\x7e") and head[3] == 1 and 8 <= head[6] <= 28:
        # MIDI sample dump: blocks of 127 bytes, 120 of them samples, in which each byte has seven bits
        samples = head[10] | head[11] << 7 | head[12] << 14
        begin, announced = 21, -(-samples // (120 // ((head[6] + 6) // 7))) * 127
        unread = max(size - begin - announced, 0)
    elif head.startswith(b"MATLAB 5.0"):
        begin, announced = _matrix(head, read)
    elif head.startswith(b"Creative Voice File"):
        begin, announced, unread = _blocks(head, read)
    begin = min(begin, size)
    return Extent(begin, min(begin + announced, size), announced, unread) if announced > 0 else None


def _number(data: bytes, code: str, at: int) -> int:
    n = struct.calcsize(code)
    return int(struct.unpack(code, data[at : at + n].ljust(n, b"\0"))[0])


def _matrix(head: bytes, read: Read) -> tuple[int, int]:
    """Beginning and size of the second array of a MATLAB 5 file, behind that of the sample rate, or of the only one."""
    code = "<I" if head[126:128] == b"IM" else ">I"
    begin, announced = 128, 0
    for _ in range(2):
        element = read(begin + announced, 8)
        if _number(element, code, 0) != 14:
            break
        begin, announced = begin + announced + 8, _number(element, code, 4)
    return begin, announced


def _blocks(head: bytes, read: Read) -> tuple[int, int, int]:
    """Beginning and size of the samples in the first block of sound of a VOC file, and bytes in all others."""
    at, begin, announced, others = _number(head, "<H", 20), 0, 0, 0
    for _ in range(_MOST_BLOCKS):
        block = read(at, 4).ljust(4, b"\0")
        n = int.from_bytes(block[1:4], "little")
        if not block[0]:
            break
        if block[0] in _SOUND and not announced:
            begin, announced = at + 4 + _SOUND[block[0]], n - _SOUND[block[0]]
        elif block[0] in _SOUND:
            others += n
        at += 4 + n
    return begin, announced, others
