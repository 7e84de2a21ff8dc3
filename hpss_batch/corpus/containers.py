"""What do a file's own bytes say, where libsndfile keeps silent or its words would puzzle a person?

Three small readers of file formats:

- `why_not_audio` looks at the first bytes of a file that libsndfile refused and names what it is;
- `check_ogg` looks at the first and the last Ogg pages (RFC 3533): a stream that is cut short lacks its last page,
  and one that is followed by others would end unnoticed at the first one's end;
- `mp3_has_length` and `mp3_count` read the headers of MPEG frames (ISO 11172-3): without a Xing, Info or VBRI header
  the length that libsndfile announces is an estimate from the file's size, too long where there are pictures in
  the tags and too short where the bit rate varies.
"""

import errno
import mmap
import os
import stat
import struct

from hpss_batch.errors import AudioError

UNREADABLE = {
    ".m4a": "AAC or ALAC in MPEG-4",
    ".m4b": "an MPEG-4 audio book",
    ".m4p": "protected MPEG-4 audio",
    ".mp4": "MPEG-4",
    ".aac": "AAC",
    ".wma": "Windows Media Audio",
    ".asf": "Windows Media",
    ".ape": "Monkey's Audio",
    ".wv": "WavPack",
    ".mpc": "Musepack",
    ".mpp": "Musepack",
    ".tta": "True Audio",
    ".tak": "TAK",
    ".ofr": "OptimFROG",
    ".shn": "Shorten",
    ".dsf": "DSD",
    ".dff": "DSD",
    ".ra": "RealAudio",
    ".rm": "RealMedia",
    ".amr": "AMR speech",
    ".awb": "AMR speech",
    ".ac3": "Dolby Digital",
    ".eac3": "Dolby Digital",
    ".dts": "DTS",
    ".mka": "Matroska audio",
    ".mkv": "Matroska video",
    ".webm": "WebM",
    ".3gp": "3GPP",
    ".mov": "QuickTime",
    ".avi": "AVI video",
    ".spx": "Speex",
    ".sd2": "Sound Designer II, whose header is a resource fork",
    ".raw": "samples without a header",
    ".pcm": "samples without a header",
}
"""Recordings by extension that no decoder here reads, and what they are."""

REMEDY = "convert it, e.g. with ffmpeg -i FILE FILE.flac"
"""What to do with a recording that no decoder here reads."""

_MAGIC = (
    (4, b"ftyp", "MPEG-4 (as .m4a or .mp4)", True),
    (0, bytes.fromhex("3026b2758e66cf11"), "Windows Media (as .wma)", True),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM", True),
    (0, b"MAC ", "Monkey's Audio", True),
    (0, b"wvpk", "WavPack", True),
    (0, b"MPCK", "Musepack", True),
    (0, b"MP+", "Musepack", True),
    (0, b"TTA1", "True Audio", True),
    (0, b"tBaK", "TAK", True),
    (0, b"ajkg", "Shorten", True),
    (0, b"DSD ", "DSD", True),
    (0, b"FRM8", "DSD", True),
    (0, b"#!AMR", "AMR speech", True),
    (0, b".RMF", "RealMedia", True),
    (0, b".ra\xfd", "RealAudio", True),
    (0, b"\x0b\x77", "Dolby Digital", True),
    (0, b"\xff\xf1", "AAC", True),
    (0, b"\xff\xf9", "AAC", True),
    (0, b"ADIF", "AAC", True),
    (0, b"MThd", "MIDI, which holds notes and no sound", False),
    (0, b"\x89PNG", "a PNG image", False),
    (0, b"\xff\xd8\xff", "a JPEG image", False),
    (0, b"GIF8", "a GIF image", False),
    (0, b"%PDF", "a PDF document", False),
    (0, b"PK\x03\x04", "a ZIP archive", False),
    (0, b"\x1f\x8b", "a gzip archive", False),
    (0, b"7z\xbc\xaf", "a 7-Zip archive", False),
    (0, b"Rar!", "a RAR archive", False),
    (0, b"\x7fELF", "a program", False),
    (0, b"\x89HDF", "an HDF5 file", False),
    (0, b"\x93NUMPY", "a NumPy array", False),
    (0, b"\0\x05\x16\x07", "a macOS resource file beside the recording", False),
    (0, b"\xff\xfe", "UTF-16 text", False),
    (0, b"version https://git-lfs", "a Git LFS pointer; fetch the recording with `git lfs pull`", False),
)
"""Offset, bytes, name, and whether it is a recording that another program can convert."""

_KNOWN = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS", b"caff", b".snd", b"ID3", b"riff", b"Crea")

_NOT_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def not_a_file(mode: int) -> str | None:
    """What a name leads to that is no regular file, as a reason; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    kind = next((name for is_it, name in _NOT_FILES if is_it(mode)), "no regular file")
    return f"is {kind}, not a recording; such things are never opened"


def why_no_file(error: OSError | ValueError) -> str:
    """Say why a file cannot be looked at, let alone read."""
    if isinstance(error, ValueError):
        return "has a name that no file can have (it holds a zero byte)"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "is not there: moved, deleted, or a link that leads nowhere"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "may not be read by this user (permission denied); change its permissions, as with chmod a+r"
    if error.errno == errno.ELOOP:
        return "is a link in a circle"
    return f"cannot be read: {os.strerror(error.errno) if error.errno else error}"


def why_not_audio(path: str, said: str) -> str:
    """Say what a file is that libsndfile does not open.

    Parameters
    ----------
    path : str
        A regular file.
    said : str
        libsndfile's own reason, or "".
    """
    try:
        head = _head(path)
    except OSError as e:
        return why_no_file(e)
    for offset, magic, name, converts in _MAGIC:
        if head[offset:].startswith(magic):
            return f"is {name}, which is not read here; {REMEDY}" if converts else f"is not audio but {name}"
    extension = os.path.splitext(path)[1].lower()
    if not head.strip(b"\0"):
        return (
            "holds nothing but zeros where audio should begin, as an interrupted download does; copy it again"
        )
    if head.startswith(_KNOWN):
        said = said.strip().rstrip(".").removeprefix("Error : ") or "no reason given"
        return f"is damaged, cut short, or of a kind that is not read here (libsndfile: {said}); {REMEDY}"
    if _is_text(head):
        return "is not audio but text"
    if extension in UNREADABLE:
        return f"is {UNREADABLE[extension]}, which is not read here; {REMEDY}"
    return "is not audio, or of a kind that is not read here; if it is a recording, " + REMEDY


def _head(path: str, size: int = 512) -> bytes:
    # not blocking: should the file have become a FIFO by now, this must not wait for a writer
    descriptor = os.open(os.fsencode(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, size, 0)
    finally:
        os.close(descriptor)


def _is_text(head: bytes) -> bool:
    printable = sum(byte >= 0x20 or byte in b"\t\n\r\f\x1b" for byte in head)
    try:
        head[:-3].decode()
    except UnicodeDecodeError:
        return False
    return printable == len(head)


_OGG_END = 65_307
"""The most bytes of a page: its 27, 255 lacing values, 255 times 255 bytes of packets."""


def check_ogg(path: str, size: int, frames: int, rate: int) -> int | None:
    """Look whether an Ogg file ends as it should.

    Parameters
    ----------
    path : str
        The file.
    size : int
        Its bytes.
    frames, rate : int
        What libsndfile announces.

    Returns
    -------
    int or None
        `frames`, where they are promised.

    Raises
    ------
    AudioError
        Where the file is cut short, or holds one stream after the other.
    """
    descriptor = os.open(os.fsencode(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(descriptor, _OGG_END, 0)
        tail = os.pread(descriptor, 2 * _OGG_END, max(size - 2 * _OGG_END, 0))
    finally:
        os.close(descriptor)
    first: set[int] = set()
    at = 0
    while head[at : at + 4] == b"OggS" and len(head) >= at + 27 and head[at + 5] & 2:
        first.add(struct.unpack_from("<I", head, at + 14)[0])
        lacing = head[at + 27 : at + 27 + head[at + 26]]
        at += 27 + len(lacing) + sum(lacing)
    last = tail.rfind(b"OggS")
    while last >= 0 and (len(tail) < last + 27 or tail[last + 4]):  # chance bytes within a packet
        last = tail.rfind(b"OggS", 0, last)
    held = f"holds {frames / rate:.1f} s, and " if frames < 2**62 else ""
    cut = AudioError(
        f"is cut short: {held}the mark at the stream's end is missing; copy it again, or keep what is there with "
        "ffmpeg -i FILE -c copy FILE.ogg"
    )
    if last < 0:
        raise cut
    if first and struct.unpack_from("<I", tail, last + 14)[0] not in first:
        raise AudioError(
            "holds several streams one after the other, as recorded from internet radio, of which only the first would "
            "be read; split it, or join it with ffmpeg -i FILE FILE.flac"
        )
    if not tail[last + 5] & 4:
        raise cut
    return frames


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
        for index, kbits in enumerate(_KBITS[min(version | 2, 3) if version else 2, layer], 1):
            for rate_index, base in enumerate((44100, 48000, 32000)):
                rate = base >> (3 - version if version else 2)
                for padding in (0, 1):
                    slots = samples * kbits * 125 // rate // (4 if layer == 3 else 1) + padding
                    for rest in range(4):  # bit 0 of byte 1: no checksum; bit 0 of byte 2: private
                        byte1 = 0xE0 | version << 3 | layer << 1 | rest & 1
                        byte2 = index << 4 | rate_index << 2 | padding << 1 | rest >> 1
                        found[byte1 << 8 | byte2] = (slots * (4 if layer == 3 else 1), samples)
    return found


_FRAMES = _mpeg_frames()


def mp3_has_length(path: str) -> bool:
    """Whether an MP3 file says how long it is, by a Xing, Info or VBRI header in its first frame."""
    descriptor = os.open(os.fsencode(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        at = _behind_tags(os.pread(descriptor, 10, 0))
        head = os.pread(descriptor, 8192, at)
    finally:
        os.close(descriptor)
    start = _next_frame(head, 0)
    frame = head[start : start + 200]
    return start >= 0 and any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def mp3_count(path: str) -> int:
    """Samples in all frames of an MP3 file, by its frames' headers alone."""
    with open(os.fsencode(path), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, count, size = _behind_tags(data[:10]), 0, len(data)
        while at + 4 <= size:
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
