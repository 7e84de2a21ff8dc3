"""Which files are recordings, going by their names; and what is one that a decoder does not open, in words that help?

libsndfile says "Format not recognised" of a photograph, of Windows Media and of an interrupted download alike. The
first bytes, or the extension, distinguish these, and what to do differs: nothing, convert it, or copy it again.
"""

import importlib.util
import os

import soundfile as sf

from hpss_batch.audio.containers.reasons import REMEDY, in_words, why_no_file
from hpss_batch.files import opened

_ALIASES = {
    "AIFF": "aif aifc",
    "AU": "snd",
    "IRCAM": "sf",
    "MP3": "mp1 mp2 mpga",
    "NIST": "sph",
    "OGG": "oga opus",
    "RAW": "vox gsm",
    "RF64": "bw64",
    "SVX": "8svx iff",
    "WAV": "wave bwf",
}
# MATLAB's .mat is left out: libsndfile reads those few that hold audio, and folders of research hold many others.

READABLE = frozenset(
    f".{extension}"
    for name in sf.available_formats()
    for extension in (name.lower(), *_ALIASES.get(name, "").split())
) - {".raw", ".sd2", ".mpc2k"}
"""Extensions, in lower case, of what libsndfile reads."""

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
    ".m4v": "MPEG-4 video",
    ".flv": "Flash video",
    ".wmv": "Windows Media Video",
    ".ogv": "Ogg video",
    ".3gp": "3GPP",
    ".mov": "QuickTime",
    ".avi": "AVI video",
    ".spx": "Speex",
    ".sd2": "Sound Designer II, whose header is a resource fork",
    ".raw": "samples without a header",
    ".pcm": "samples without a header",
}
"""Recordings by extension that libsndfile does not read, and what they are."""

INSTALL = "pip install 'hpss-batch[ffmpeg]'"
"""What brings the other decoder."""

_BARE = "say what they are and convert it, e.g. with ffmpeg -f s16le -ar 44100 -ac 2 -i FILE FILE.flac"
_REMEDIES = {
    ".raw": _BARE,
    ".pcm": _BARE,
    ".sd2": "save it as WAV with a program that reads it",
    ".m4p": "get it without protection, which no program converts",
    ".ofr": "convert it with OptimFROG's own program",
    ".ra": REMEDY,
    ".rm": REMEDY,
}
"""What to do with recordings that neither decoder reads, by extension."""

_MAGIC = (
    (4, b"ftyp", "MPEG-4 (as .m4a or .mp4)", True),
    (0, bytes.fromhex("3026b2758e66cf11"), "Windows Media (as .wma)", True),
    (28, b"\x7fFLAC", "FLAC in Ogg", True),
    (28, b"Speex   ", "Speex in Ogg", True),
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
    (28, b"\x7fFLAC", "FLAC in Ogg", True),
    (28, b"Speex   ", "Speex in Ogg", True),
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

_NEITHER = ("RealMedia", "RealAudio")
"""Of these, what neither decoder reads."""

_KNOWN = (
    b"RIFF",
    b"RIFX",
    b"RF64",
    b"BW64",
    b"FORM",
    b"fLaC",
    b"OggS",
    b"caff",
    b".snd",
    b"ID3",
    b"riff",
    b"Crea",
    b"NIST_1A",
)


def not_read(name: str) -> str:
    """Say what a file is whose extension is in `UNREADABLE`, and what to do."""
    extension = os.path.splitext(name)[1].lower()
    return f"is {UNREADABLE[extension]}, which is not read here; {_REMEDIES.get(extension) or _reading()}"


def ffmpeg_is_here() -> bool:
    """Whether PyAV, which brings FFmpeg, is installed."""
    return importlib.util.find_spec("av") is not None


def _reading() -> str:
    """What to do so that FFmpeg reads a recording."""
    return f"{'set corpus.decoder=auto' if ffmpeg_is_here() else INSTALL} to have it read by FFmpeg"


def unread(decoder: str) -> frozenset[str]:
    """Extensions of recordings that are not read with a choice of decoder and what is installed here."""
    return frozenset(UNREADABLE if decoder == "libsndfile" or not ffmpeg_is_here() else _REMEDIES)


def is_foreign(path: str) -> bool:
    """Whether a file that libsndfile does not open is a recording of a kind that FFmpeg may read."""
    extension = os.path.splitext(path)[1].lower()
    if extension in UNREADABLE:
        return extension not in _REMEDIES
    try:
        head = _head(path)
    except OSError:
        return False
    return any(
        converts and name not in _NEITHER and head[offset:].startswith(magic)
        for offset, magic, name, converts in _MAGIC
    )


def why_not_audio(path: str, said: str, by: str = "libsndfile") -> str:
    """Say what a file is that a decoder does not open.

    Parameters
    ----------
    path : str
        A regular file.
    said : str
        The decoder's own reason, or "".
    by : {"libsndfile", "FFmpeg"}
        The decoder.
    """
    try:
        head = _head(path)
    except OSError as e:
        return why_no_file(e)
    for offset, magic, name, converts in _MAGIC:
        if head[offset:].startswith(magic):
            if not converts:
                return f"is not audio but {name}"
            if by == "libsndfile":
                return f"is {name}, which is not read here; {REMEDY if name in _NEITHER else _reading()}"
    extension = os.path.splitext(path)[1].lower()
    if not head.strip(b"\0"):
        return (
            "holds nothing but zeros where audio should begin, as an interrupted download does; copy it again"
        )
    if head.startswith(_KNOWN) or (by == "FFmpeg" and not _is_text(head)):
        remedy = REMEDY if by == "libsndfile" else "copy it again"
        return f"is damaged, cut short, or of a kind that is not read here ({by}: {in_words(said)}); {remedy}"
    if _is_text(head):
        return "is not audio but text"
    if extension in UNREADABLE:
        return not_read(path)
    return "is not audio, or of a kind that is not read here; if it is a recording, " + REMEDY


def _head(path: str, size: int = 512) -> bytes:
    with opened(path) as file:
        return file.read(0, size)


def _is_text(head: bytes) -> bool:
    printable = sum(byte >= 0x20 or byte in b"\t\n\r\f\x1b" for byte in head)
    try:
        head[:-3].decode()
    except UnicodeDecodeError:
        return False
    return printable == len(head)
