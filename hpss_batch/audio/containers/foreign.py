"""Is all of a file there that FFmpeg reads, where FFmpeg itself does not ask?

AVI is a RIFF file, whose first eight bytes are a mark and the size of the rest. ASF (.wma, .wmv) has an object with the
file's properties, the size among them (ASF Specification, 3.2); a stream that was recorded as it came has 0 there.

A Matroska or WebM file (RFC 9559) is a row of elements, each with an identifier and a size (EBML, RFC 8794), some of
them within others:

    segment  |information|tracks|cluster: time, block, block …|cluster: …|cues|

A demuxer that meets nonsense looks for the next cluster, and drops blocks of tracks that it does not know; whatever it
leaves out is a gap that nobody hears of. So the row must be whole, each block of a track that was announced, and a
checksum right where an element begins with one (as most do that FFmpeg writes; WebM has none).
"""

import mmap
import os
import zlib
from typing import NamedTuple

from hpss_batch.audio.containers.headers import STEP, let_go

_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_SIZE = 40
"""Bytes of the object before the size: GUID, its own size, the file's identifier."""

_SEGMENT, _TRACKS, _TRACK, _NUMBER, _CLUSTER = 0x18538067, 0x1654AE6B, 0xAE, 0xD7, 0x1F43B675
_GROUP, _BLOCKS, _CHECKSUM, _VOID = 0xA0, (0xA3, 0xA1), 0xBF, 0xEC
_IN_SEGMENT = {
    _TRACKS, _CLUSTER, _VOID, _CHECKSUM, 0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367,
}  # fmt: skip
_IN_CLUSTER = {_GROUP, *_BLOCKS, _VOID, _CHECKSUM, 0xE7, 0xA7, 0xAB, 0x5854, 0xAF}


class _Element(NamedTuple):
    kind: int
    begin: int
    stop: int | None  # None: it goes on until one comes that cannot lie within it


def check_size(path: str, container: str, size: int) -> str | None:
    """Why a file in a container, as FFmpeg names it, is not whole: it has fewer bytes than announced; None if not."""
    with open(os.fsencode(path), "rb") as file:
        head = file.read(2**16)
    announced = 0
    if container == "avi":
        announced = 8 + int.from_bytes(head[4:8], "little")
    elif container == "asf" and (at := head.find(_PROPERTIES)) >= 0:
        announced = int.from_bytes(head[at + _SIZE : at + _SIZE + 8], "little")
    if announced <= size:
        return None
    return f"is cut short: its header announces {announced:,} bytes, and there are {size:,}; copy it again"


def matroska_flaw(path: str) -> str | None:
    """Why not all sound of a Matroska file is heard, as a reason; None where all is. It looks at all bytes."""
    with open(os.fsencode(path), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = _broken_at(data)
        if at is None:
            return None
        return (
            f"is damaged or cut short behind {at:,} of its {len(data):,} bytes, where its row of Matroska elements "
            "breaks, which decoders pass over in silence; copy it again, or keep what is there with ffmpeg -i FILE "
            "FILE.flac"
        )


def _broken_at(data: mmap.mmap) -> int | None:
    """Where the row of elements breaks; None where it does not."""
    head = _element(data, 0)
    segment = _element(data, head.stop or 0) if head else None
    if segment is None or segment.kind != _SEGMENT:
        return 0
    end = len(data) if segment.stop is None else segment.stop
    numbers, allowed, cluster_end = set[int](), _IN_SEGMENT, end
    at, held = segment.begin, 0
    while at < end:
        if at - held >= STEP:
            held = let_go(data, held, at)
        if at == cluster_end:
            allowed = _IN_SEGMENT
        element = _element(data, at)
        if element is None or element.kind not in allowed or not _is_sound(data, element, numbers):
            return at
        if element.kind == _TRACKS:
            numbers = set(_numbers(data, element))
        if element.kind == _CLUSTER:  # which is gone through, part by part
            cluster_end, at = element.stop or -1, element.begin
            allowed = _IN_CLUSTER if element.stop else _IN_CLUSTER | _IN_SEGMENT
        else:
            at = element.stop or end
    return None if at == end else end


def _is_sound(data: mmap.mmap, element: _Element, numbers: set[int]) -> bool:
    """Whether an element lies within the file, its checksum is right, and its block is of a track that is known."""
    kind, begin, stop = element
    if stop is None:
        return kind == _CLUSTER
    if stop > len(data):
        return False
    if kind == _GROUP:
        return all(
            _is_sound(data, inner, numbers) for inner in _children(data, element) if inner.kind in _BLOCKS
        )
    if kind in _BLOCKS:
        return _number(data, begin, keep=False)[0] in numbers
    first = _element(data, begin) if kind in _IN_SEGMENT - {_VOID, _CHECKSUM} else None
    if first is None or first.kind != _CHECKSUM or first.stop is None:
        return True
    return zlib.crc32(memoryview(data)[first.stop : stop]) == int.from_bytes(
        data[first.begin : first.stop], "little"
    )


def _children(data: mmap.mmap, parent: _Element) -> list[_Element]:
    found, at = list[_Element](), parent.begin
    while parent.stop and at < parent.stop and (element := _element(data, at)) and element.stop:
        found.append(element)
        at = element.stop
    return found


def _numbers(data: mmap.mmap, tracks: _Element) -> list[int]:
    """The numbers of the tracks."""
    return [
        int.from_bytes(data[inner.begin : inner.stop])
        for track in _children(data, tracks)
        if track.kind == _TRACK
        for inner in _children(data, track)
        if inner.kind == _NUMBER
    ]


def _element(data: mmap.mmap, at: int) -> _Element | None:
    """The element at a place; None where there cannot be one."""
    kind, at, _ = _number(data, at, keep=True)
    size, begin, unknown = _number(data, at, keep=False)
    return _Element(kind, begin, None if unknown else begin + size) if kind and begin else None


def _number(data: mmap.mmap, at: int, *, keep: bool) -> tuple[int, int, bool]:
    """A number whose first byte tells its length, where it ends, and whether all its bits are set; zeros for none."""
    length = 9 - data[at].bit_length() if at < len(data) else 9
    if length > 8 or at + length > len(data):
        return 0, 0, False
    value, room = int.from_bytes(data[at : at + length]), 1 << (7 * length)
    return (value if keep else value & (room - 1)), at + length, value & (room - 1) == room - 1
