"""Why can a recording not be used, in words that help a person: not there, damaged, cut short, longer than it says?

Each is the end of a sentence that begins with the file's name, and says what to do. What else than a recording a file
is: `audio.kinds`.
"""

import errno
import os
import stat

REMEDY = "convert it, e.g. with ffmpeg -i FILE FILE.flac"
"""What to do with a recording that no decoder here reads."""

_NOT_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def not_a_file(mode: int) -> str | None:
    """What a name leads to that is not a regular file, as a reason; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    kind = next((name for is_it, name in _NOT_FILES if is_it(mode)), "no regular file")
    return f"is {kind}, not a recording; such things are never opened"


def why_no_file(error: OSError | ValueError) -> str:
    """Say why a file cannot be looked at, let alone read."""
    if isinstance(error, ValueError):
        return "has a name that no file can have, with a zero byte or half a character in it"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "is not there: moved, deleted, or a link that leads nowhere"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "may not be read by this user (permission denied); change its permissions, as with chmod a+r"
    if error.errno == errno.ELOOP:
        return "is a link in a circle"
    return f"cannot be read: {os.strerror(error.errno) if error.errno else error}"


def in_words(said: str) -> str:
    """What a decoder gives as its reason, to stand in a sentence."""
    return said.strip().rstrip(".").removeprefix("Error : ") or "no reason given"


def cannot_decode(
    at: int | None, announced: int | None, sample_rate: int, said: str, by: str = "libsndfile"
) -> str:
    """Say why decoding ended in an error behind sample `at`; None where that is not known."""
    of = "" if announced is None else f" of the {announced / sample_rate:.1f} s that it announces"
    after = "" if at is None else f" after {at / sample_rate:.1f} s{of}"
    return (
        f"is damaged or cut short: decoding stops with an error{after} ({by}: {in_words(said)}); copy it again, or "
        "save what can be saved with ffmpeg -i FILE FILE.flac"
    )


def too_short(held: int, announced: int, sample_rate: int) -> str | None:
    """Say that a recording ends too early, or None where the shortfall is what encoders leave.

    Real files end a little early: MP3 and Ogg headers count samples that the decoder then drops. Up to 0.1% is
    fine, and so is up to a second where that is at most a tenth.
    """
    allowed = max(announced / 1000, min(sample_rate, announced / 10))
    if announced - held <= allowed:
        return None
    return (
        f"is cut short or its header is wrong: it announces {announced / sample_rate:.1f} s and holds "
        f"{held / sample_rate:.1f} s; copy it again, or keep what is there with ffmpeg -i FILE FILE.flac"
    )


def goes_on(announced: int, sample_rate: int) -> str:
    """Say that a recording is longer than it announces."""
    return (
        f"has a wrong header: it announces {announced / sample_rate:.1f} s, and goes on behind; rewrite it, e.g. with "
        "ffmpeg -i FILE FILE.flac"
    )


def joined(files: str) -> str:
    """Say that a file is several, and so is not read."""
    return (
        f"holds several {files} one after the other, as joined with cat, of which only the first would be read; "
        "split it, or join the parts again, e.g. with sox PART PART FILE.flac"
    )


_IGNORING = {"CAF": "", **dict.fromkeys(("WAV", "WAVEX", "RF64"), "ffmpeg -ignore_length 1 -i FILE")}
"""What reads a file up to its end, whatever its header says, by libsndfile's name of its container."""


def wrong_header(container: str, unread: int, size: int, seconds: float) -> str:
    """Say that a header announces `seconds`, behind which `unread` of the file's `size` bytes lie."""
    if container == "VOC":
        return f"has several blocks of sound, of which only the first is read here; {REMEDY}"
    command = _IGNORING.get(container, "sox --ignore-length FILE")
    remedy = (
        f"rewrite it with {command} FILE.flac" if command else "save it again with the program that wrote it"
    )
    return (
        f"has a wrong header: it announces {seconds:.1f} s of audio, but {unread:,} of the file's {size:,} bytes lie "
        f"behind their end, and are no tags; if they are audio, {remedy}"
    )
