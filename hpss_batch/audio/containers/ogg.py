"""Is all of an Ogg file heard: does it end as it should, and is no page of it dropped on the way?

An Ogg file is a row of pages (RFC 3533). Each has a checksum and, within its stream, a number. libogg drops a page
whose checksum is wrong and goes on with the next one, and no decoder says a word: one flipped bit loses a quarter of a
second, and everything behind it comes too early. So the pages that libogg takes must be numbered without a gap, from
the first to the one that has the mark of the end.

`check_ogg` looks at the last page, without which libsndfile does not know the length; `ogg_flaw` at all of them, once
decoding has read them. `set_serial` makes files of the same audio the same.
"""

import os
import struct
import zlib

from hpss_batch.audio.containers.headers import STEP, let_go
from hpss_batch.errors import AudioError
from hpss_batch.files import Mapped, mapped, opened

PAGE = struct.Struct("<4sBBqIIIB")
"""A page's header: "OggS", version, marks, granule position, serial number, its own number, checksum, lacing values."""

_Page = tuple[bytes, int, int, int, int, int, int, int]
_LARGEST = PAGE.size + 255 + 255 * 255
_FIRST, LAST = 2, 4
_SERIAL, _CHECKSUM = 14, 22
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_BEGINNINGS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")

SEVERAL = (
    "holds several streams one after the other, as recorded from internet radio or joined with cat, of which only the "
    "first would be read; split it, or join it with ffmpeg -i FILE FILE.flac"
)
"""Why a chained Ogg file is not read."""

_REMEDY = "copy it again, or keep what is there with ffmpeg -i FILE -c copy FILE.ogg"


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
    with opened(path) as file:
        head = file.read(0, _LARGEST)
        tail = file.read(max(size - 2 * _LARGEST, 0), 2 * _LARGEST)
    streams = set()
    at = 0
    while page := page_at(head, at):
        if not page[2] & _FIRST:
            break
        streams.add(page[4])
        at = _behind(head, at)
    last = None
    at = len(tail)
    while last is None and at > 0:
        at = tail.rfind(b"OggS", 0, at)
        last = page_at(tail, at) if at >= 0 else None
    if last and streams and last[4] not in streams:
        raise AudioError(SEVERAL)
    flaw = _flaw(tail, at, last)
    if flaw:
        held = f"it holds {frames / rate:.1f} s, and " if frames < 2**62 else ""
        raise AudioError(f"is {flaw[0]}: {held}{flaw[1]}; {_REMEDY}")


def _flaw(tail: bytes, at: int, last: _Page | None) -> tuple[str, str] | None:
    """What is wrong with the last page, which decoders skip in silence unless all of it is there."""
    if not last or not last[2] & LAST:
        return "cut short", "the mark at the stream's end is missing"
    if _behind(tail, at) > len(tail):
        return "cut short", "its last page is cut off inside"
    if not _is_sound(tail, at, _behind(tail, at)):
        return "damaged", "its last page's checksum is wrong"
    return None


def ogg_flaw(path: str, rate: int) -> str | None:
    """Why not all audio of an Ogg file is heard, as a reason; None where all is.

    It looks at all bytes, about 0.7 s a gigabyte that has just been read. What else may stand between pages and behind
    the end, such as tags, padding or garbage, does not matter.

    Parameters
    ----------
    path : str
        The file.
    rate : int
        What its granule positions count a second, to say where it is damaged.
    """
    with mapped(path) as data:
        at, held, seconds, goes_on = 0, 0, 0.0, False
        expected = dict[int, int]()  # the next page's number, by its stream's
        while (at := data.find(b"OggS", at)) >= 0:
            if at - held >= STEP:
                held = let_go(data, held, at)
            page = page_at(data, at)
            behind = _behind(data, at) if page else len(data) + 1
            if page is None or behind > len(data) or not _is_sound(data, at, behind):
                at += 4  # decoders, too, look for the next page from here
                continue
            _, _, marks, granule, serial, number, _, lacing = page
            if marks & _FIRST:
                if goes_on and data[at + PAGE.size + lacing : behind].startswith(_BEGINNINGS):
                    return SEVERAL
            elif number != expected.get(serial, number):
                return (
                    f"is damaged at {seconds:.1f} s: page {expected[serial]} of its Ogg stream is missing or has "
                    f"a wrong checksum, which decoders pass over in silence; {_REMEDY}"
                )
            else:
                goes_on = True
            expected[serial] = number + 1
            seconds = max(granule / rate, seconds)
            at = behind
        return None


def page_at(data: bytes | Mapped, at: int) -> _Page | None:
    """The header of a page, or None where there is none."""
    if at < 0 or at + PAGE.size > len(data):
        return None
    page = PAGE.unpack(data[at : at + PAGE.size])
    return page if page[:2] == (b"OggS", 0) else None


def _behind(data: bytes | Mapped, at: int) -> int:
    """Where a page ends: behind the end of the data where it is cut inside."""
    body = at + PAGE.size + data[at + PAGE.size - 1]
    return body + sum(data[at + PAGE.size : body])


def _is_sound(data: bytes | Mapped, at: int, behind: int) -> bool:
    """Whether a page has the checksum that it says."""
    return _checksum(data, at, behind) == data[at + _CHECKSUM : at + _CHECKSUM + 4]


def _checksum(data: bytes | Mapped, at: int, behind: int) -> bytes:
    """The checksum of a page: zlib's, of bits in the other order, that begins and ends with 0."""
    stated, rest = at + _CHECKSUM, at + _CHECKSUM + 4
    found = zlib.crc32(data[at:stated].translate(_REVERSED) + bytes(4), 0xFFFFFFFF)
    found = zlib.crc32(data[rest:behind].translate(_REVERSED), found) ^ 0xFFFFFFFF
    return found.to_bytes(4, "big").translate(_REVERSED)


def set_serial(path: bytes, serial: int) -> None:
    """Give the stream of an Ogg file, of which libsndfile draws the serial number by lot, this one.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    at = 0
    with open(path, "r+b") as file:
        while page_at(page := os.pread(file.fileno(), _LARGEST, at), 0):
            behind = _behind(page, 0)
            page = page[:_SERIAL] + serial.to_bytes(4, "little") + page[_SERIAL + 4 : behind]
            file.seek(at)
            file.write(page[:_CHECKSUM] + _checksum(page, 0, behind) + page[_CHECKSUM + 4 :])
            file.flush()
            at += behind
