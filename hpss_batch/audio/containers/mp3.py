"""Is all of an MP3 file heard?

Many encoders put a Xing, Info or VBRI header into the first frame, with the number of frames. Where the row of frames
is broken, decoders look for the next one and go on in silence, and what follows comes too early. So the frames are
counted, once decoding has read them (`mp3_flaw`): they must follow one another to the last, be as many as the header
says, and be heard.

What nobody can know: that a frame has other bits behind its header, unless its encoder wrote checksums (`lame -p`), and
those cover the first of them only; and that whole frames are missing in a file without a header.
"""

from dataclasses import dataclass

from hpss_batch.audio.containers.mp3_frames import Frames, frame_length, next_frame, tag_length, walk
from hpss_batch.files import opened

_SLACK = 1152
"""Samples that may be missing: one frame at high rates, two at low ones. mpg123 drops half of one as its own delay."""

_REMEDY = "copy it again, or keep what is there with ffmpeg -i FILE -c copy FILE.mp3"


_EMPTY = 4
"""Frames that a file may have of which nothing is heard: LAME makes up to three of no samples at all."""


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


def mp3_header(path: str) -> Mp3Header | None:
    """What an MP3 file's first frame says; None where its size is not given by its header (free format)."""
    with opened(path) as file:
        start = 0
        while tag := tag_length(file.read(start, 16)):
            start += tag
        data = file.read(start, 2**15)
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
    """The frames of audio of the file that has this header."""
    return walk(path, header.start, header.head, is_first=header.is_first)


def _is_free(data: bytes) -> bool:
    """Whether a frame of free format begins here, whose bit rate is none of the standard's."""
    return len(data) > 3 and data[0] == 0xFF and data[1] >= 0xE2 and data[2] >> 4 == 0
