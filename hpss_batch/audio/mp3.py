"""Does an MP3 file say how long it is, and if not, how long is it?

An MP3 file is a row of frames (ISO 11172-3, ISO 13818-3), each with a header of four bytes that gives its size. Many
encoders put a Xing, Info or VBRI header into the first one, with the number of frames. Without it, mpg123 divides the
file's size by the first frame's: too much where tags hold pictures, and wrong either way where the bit rate varies.
"""

import mmap
import os
from typing import Literal

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

_ID3V1 = 128
"""Bytes of the tag that stands behind the audio of most files."""


def mp3_header(path: str, size: int) -> Literal["whole", "partial", "none"]:
    """What an MP3 file's first frame says of its length: nothing, that of the whole file, or perhaps of a part only.

    Two files that were joined (`cat a.mp3 b.mp3`) have the header of the first. Tags look the same from here, so that
    `mp3_count` must tell them apart, once the file has been read.
    """
    descriptor = os.open(os.fsencode(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        start = _behind_tags(os.pread(descriptor, 10, 0))
        head = os.pread(descriptor, 8192, start)
    finally:
        os.close(descriptor)
    at = _next_frame(head, 0)
    frame = head[at : at + 200].ljust(200, b"\0") if at >= 0 else b""
    announced = 0
    if (mark := max(frame.find(b"Xing"), frame.find(b"Info"))) >= 0:
        flags = frame[mark + 7]
        if flags & 2:
            announced = int.from_bytes(frame[mark + 8 + 4 * (flags & 1) :][:4])
    elif (mark := frame.find(b"VBRI")) >= 0:
        announced = int.from_bytes(frame[mark + 10 : mark + 14])
    else:
        return "none"
    return "partial" if size - start - at > announced + _ID3V1 else "whole"


def mp3_count(path: str) -> int:
    """Samples in all frames of an MP3 file, by its frames' headers alone."""
    with open(os.fsencode(path), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, held, count, size = _behind_tags(data[:10]), 0, 0, len(data)
        while at + 4 <= size:
            if at - held >= STEP:
                held = let_go(data, held, at)
            frame = _FRAMES.get(data[at + 1] << 8 | data[at + 2]) if data[at] == 0xFF else None
            if frame is None:
                at = _next_frame(data, at + 1)
                if at < 0:
                    break
                continue
            at += frame[0]
            count += frame[1] if at <= size else 0
        return count


def _behind_tags(head: bytes) -> int:
    """Where an ID3v2 tag at the start of a file ends; its size is in sevens of bits."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])


def _next_frame(data: bytes | mmap.mmap, at: int) -> int:
    """Where the next MPEG frame begins that another one follows, or -1."""
    size = len(data)
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= size:
        frame = _FRAMES.get(data[at + 1] << 8 | data[at + 2])
        if frame:
            after = at + frame[0]
            if after + 3 > size or (
                data[after] == 0xFF and data[after + 1] << 8 | data[after + 2] in _FRAMES
            ):
                return at
        at += 1
    return -1
