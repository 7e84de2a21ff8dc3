"""Which frames does an MP3 file hold, and is all of it heard?

An MP3 file is a row of frames (ISO 11172-3, ISO 13818-3), each with a header of four bytes that gives its size, so that
one leads to the next. Many encoders put a Xing, Info or VBRI header into the first one, with the number of frames.
Where the row is broken, decoders look for the next frame and go on in silence, and what follows comes too early. So the
frames are counted, once decoding has read them (`mp3_flaw`): they must follow one another to the last, be as many as
the header says, and be heard.

What nobody can know: that other bits than the headers' changed inside a frame, unless its encoder wrote checksums
(`lame -p`), and those cover the first bytes only.
"""

import mmap
import os
from dataclasses import dataclass
from functools import lru_cache

from hpss_batch.audio.headers import STEP, let_go

# Bytes a second / 125 (that is kbit/s) by bit rate index: MPEG 1 layers I, II, III; MPEG 2 and 2.5 layers I, II + III
_KBITS = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_KBITS[2, 1] = _KBITS[2, 2]


def _mpeg_frames() -> dict[int, tuple[int, int]]:
    """Bytes and samples of an MPEG frame by bytes 1 and 2 of its header."""
    found = {}
    for version, layer in ((v, la) for v in (0, 2, 3) for la in (1, 2, 3)):
        samples = 384 if layer == 3 else 1152 if layer == 2 or version == 3 else 576
        for index, kbits in enumerate(_KBITS[3 if version == 3 else 2, layer], 1):
            for rate_index, base in enumerate((44100, 48000, 32000)):
                rate = base >> {3: 0, 2: 1, 0: 2}[version]
                for padding in (0, 1):
                    slots = samples * kbits * 125 // rate // (4 if layer == 3 else 1) + padding
                    for rest in range(4):  # bit 0 of byte 1: no checksum; bit 0 of byte 2: private
                        byte1 = 0xE0 | version << 3 | layer << 1 | rest & 1
                        byte2 = index << 4 | rate_index << 2 | padding << 1 | rest >> 1
                        found[byte1 << 8 | byte2] = (slots * (4 if layer == 3 else 1), samples)
    return found


_FRAMES = _mpeg_frames()

_SLACK = 1152
"""Samples that may be missing: one frame at high rates, two at low ones. mpg123 drops half of one as its own delay."""

_ID3V1 = 128
"""Bytes of the tag that stands behind the audio of most files."""

_REMEDY = "copy it again, or keep what is there with ffmpeg -i FILE -c copy FILE.mp3"


_EMPTY = 4
"""Frames that a file may have of which nothing is heard: LAME makes up to three of no samples at all."""


def _crc_table() -> tuple[int, ...]:
    """The checksum of each byte, by x**16 + x**15 + x**2 + 1 (ISO 11172-3, 2.4.3.1)."""
    table = []
    for byte in range(256):
        found = byte << 8
        for _ in range(8):
            found = found << 1 & 0xFFFF ^ (0x8005 if found >> 15 else 0)
        table.append(found)
    return tuple(table)


_CRC = _crc_table()


@dataclass(frozen=True, slots=True)
class Mp3Header:
    """What an MP3 file's first frame says.

    Attributes
    ----------
    start : int
        Where the first frame of audio begins: behind the header's, if there is one.
    head : int
        The four bytes at the start of the first frame.
    announced : int
        How many frames of audio follow; 0 where that is not said.
    exact : bool
        Whether that is known to count all frames of audio, and nothing else.
    cut : int
        Samples that are the encoder's delay and padding, and are not given.
    is_first : bool
        Whether nothing but zeros stands before that frame, behind tags.
    """

    start: int
    head: int
    announced: int = 0
    exact: bool = False
    cut: int = 0
    is_first: bool = True


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of audio that an MP3 file holds.

    Attributes
    ----------
    count : int
        How many are whole.
    samples : int
        Samples of each.
    gap : int or None
        The first frame before which something stands that is no frame and no tag, or whose checksum is wrong.
    is_cut : bool
        Whether another one follows that is cut off inside.
    """

    count: int
    samples: int
    gap: int | None
    is_cut: bool


def mp3_header(path: str) -> Mp3Header | None:
    """What an MP3 file's first frame says; None where its size is not given by its header (free format)."""
    descriptor = os.open(os.fsencode(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        start = 0
        while tag := _tag_length(os.pread(descriptor, 16, start)):
            start += tag
        data = os.pread(descriptor, 2**15, start)
    finally:
        os.close(descriptor)
    at = next_frame(data, 0)
    if at < 0 or _is_free(data):
        return None
    head = int.from_bytes(data[at : at + 4])
    behind, is_first = start + at + frame_length(head), not data[:at].strip(b"\0")
    frame = data[at : at + 200].ljust(200, b"\0")
    if (mark := max(frame.find(b"Xing", 4, 44), frame.find(b"Info", 4, 44))) >= 0:
        has_count, has_bytes, has_table, has_quality = (frame[mark + 7] >> bit & 1 for bit in range(4))
        lame = frame[mark + 8 + 4 * has_count + 4 * has_bytes + 100 * has_table + 4 * has_quality :]
        cut = int.from_bytes(lame[21:24]) if lame[:4].strip(b"\0") else 0
        return Mp3Header(
            start=behind,
            head=head,
            announced=int.from_bytes(frame[mark + 8 : mark + 12]) if has_count else 0,
            exact=lame.startswith((b"LAME", b"Lavc", b"Lavf")),
            cut=(cut >> 12) + (cut & 0xFFF),
            is_first=is_first,
        )
    if (mark := frame.find(b"VBRI", 4, 44)) >= 0:
        return Mp3Header(behind, head, int.from_bytes(frame[mark + 14 : mark + 18]), is_first=is_first)
    return Mp3Header(start + at, head, is_first=is_first)


def mp3_flaw(path: str, heard: int, rate: int) -> str | None:
    """Why not all audio of an MP3 file is heard, as a reason; None where all is, and where nobody can tell.

    Parameters
    ----------
    path : str
        The file.
    heard, rate : int
        Samples that decoding gave, and how many of them are a second.
    """
    header = mp3_header(path)
    if header is None:
        return None
    frames = read_frames(path, header)
    if frames.gap is not None:
        return (
            f"is damaged at {frames.gap * frames.samples / rate:.1f} s: its MPEG frames do not follow one another "
            f"there, or a checksum is wrong, which decoders pass over in silence; {_REMEDY}"
        )
    held = frames.count * frames.samples
    if frames.count < header.announced - (not header.exact):
        return (
            f"is cut short or its header is wrong: it announces {header.announced:,} MPEG frames and holds "
            f"{frames.count:,} ({held / rate:.1f} s); {_REMEDY}"
        )
    if frames.is_cut and not header.announced:
        return f"is cut short: its last MPEG frame is cut off inside, after {held / rate:.1f} s; {_REMEDY}"
    cut = header.cut if heard or frames.count <= _EMPTY else 0
    if held - cut - heard > _SLACK:
        return (
            f"is an MP3 with a wrong header or none: {heard / rate:.1f} s can be read of about {held / rate:.1f} s; "
            "rewrite it with ffmpeg -i FILE -c copy FILE.mp3"
        )
    return None


def read_frames(path: str, header: Mp3Header) -> Frames:
    """Walk along all frames of an MP3 file by their headers, about 0.1 s an hour of music that has just been read."""
    found = os.stat(path)
    return _read_frames(path, header, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _read_frames(path: str, header: Mp3Header, size: int, mtime_ns: int) -> Frames:
    with open(os.fsencode(path), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, held, count, kind = header.start, 0, 0, _kind(header.head)
        gap = None if header.is_first else 0
        checksums = list[int]()  # frames whose checksum is wrong
        end = len(data) - (_ID3V1 if data[-_ID3V1:].startswith(b"TAG") else 0)
        is_checked, is_cut = header.head >> 16 & 7 == 0b010, False  # layer III, with checksums
        while at + 4 <= end:
            if at - held >= STEP:
                held = let_go(data, held, at)
            head = int.from_bytes(data[at : at + 4])
            length = frame_length(head) if _kind(head) == kind else 0
            if not length:
                if tag := _tag_length(data[at : at + 16]):
                    at += tag
                    continue
                found = next_frame(data, at)
                if found < 0:
                    break
                gap = count if gap is None and found > at else gap
                at, kind = found, _kind(int.from_bytes(data[found : found + 4]))
                continue
            if at + length > end:
                is_cut = True
                break
            if is_checked and not _is_sound(data[at : at + 38], kind):
                checksums.append(count)
            at += length
            count += 1
        if (
            checksums and 2 * len(checksums) < count
        ):  # else the encoder does not compute them as the standard does
            gap = min(checksums[0], count if gap is None else gap)
        return Frames(count, _FRAMES[header.head >> 8 & 0xFFFF][1], gap, is_cut)


def frame_length(head: int) -> int:
    """Bytes of the frame whose header these four bytes are; 0 where they are none."""
    return _FRAMES.get(head >> 8 & 0xFFFF, (0, 0))[0] if head >> 24 == 0xFF else 0


def _kind(head: int) -> int:
    """What is the same in all frames of a file; 0 for what is not a frame's header.

    That is version, layer, whether there are checksums, the sample rate, and whether there is one channel.
    """
    return head & 0xFFFF0C00 | (head & 0xC0 == 0xC0) if frame_length(head) else 0


def _is_sound(frame: bytes, kind: int) -> bool:
    """Whether a layer III frame's checksum is right, of the last two bytes of its header and the side information."""
    version_1, mono = kind >> 19 & 1, kind & 1
    side = (17 if mono else 32) if version_1 else (9 if mono else 17)
    found = 0xFFFF
    for byte in frame[2:4] + frame[6 : 6 + side]:
        found = found << 8 & 0xFFFF ^ _CRC[found >> 8 ^ byte]
    return found == frame[4] << 8 | frame[5]


def _is_free(data: bytes) -> bool:
    """Whether a frame of free format begins here, whose bit rate is none of the standard's."""
    return len(data) > 3 and data[0] == 0xFF and data[1] >= 0xE2 and data[2] >> 4 == 0


def _tag_length(head: bytes) -> int:
    """Bytes of the tag that begins like this; 0 where none does."""
    if head.startswith(b"ID3") and len(head) >= 10:  # its size is in sevens of bits, and may have a footer
        return (20 if head[5] & 0x10 else 10) + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    if head.startswith(b"APETAGEX"):
        return 32 + int.from_bytes(head[12:16], "little")
    return _ID3V1 if head.startswith(b"TAG") else 0


def next_frame(data: bytes | mmap.mmap, at: int) -> int:
    """Where the next MPEG frame begins that two of its kind follow, as far as there is data, or -1."""
    size = len(data)
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= size:
        kind = _kind(int.from_bytes(data[at : at + 4]))
        after, following = at, 0
        while kind and following < 3 and after + 4 <= size:
            head = int.from_bytes(data[after : after + 4])
            kind = kind if _kind(head) == kind else 0
            after, following = after + frame_length(head), following + 1
        if kind:
            return at
        at += 1
    return -1
