"""Is this file a recording that can be read, and what does it say about itself?

`probe` answers from the header alone, in well under a millisecond, and trusts nothing that it reads there:

1. what the name leads to must be a regular file that is not empty; FIFOs and devices are never opened;
2. libsndfile must know it, or FFmpeg; where neither does, the first bytes tell a person what it is instead;
3. rate and channels must be sane;
4. a header that promises more than the file holds means a file cut short, and one that promises less, a wrong
   header; unless its writer could not know the length (a stream into a pipe): then all that follows is read;
5. a length that no file of this size could hold is replaced by decoding and counting.

What is left is an upper bound of the length. The truth is what decoding yields (`audio.Recording`).
"""

import functools
import math
import os
from dataclasses import dataclass

import numpy as np

from hpss_batch.audio.choices import Choice, Decoding
from hpss_batch.audio.containers.chunks import find_extent
from hpss_batch.audio.containers.foreign import check_size
from hpss_batch.audio.containers.headers import check_sizes
from hpss_batch.audio.containers.mp3 import mp3_flaw, mp3_header
from hpss_batch.audio.containers.mp3_unheaded import Endless
from hpss_batch.audio.containers.ogg import check_ogg
from hpss_batch.audio.containers.reasons import cannot_decode, not_a_file, too_short, why_no_file
from hpss_batch.audio.ffmpeg import FFmpegError, FFmpegFile
from hpss_batch.audio.kinds import why_not_audio
from hpss_batch.audio.opening import FAILURES, HEADERLESS, Handle, open_handle
from hpss_batch.audio.speakers.layouts import Layout
from hpss_batch.audio.speakers.naming import read_layout
from hpss_batch.errors import AudioError
from hpss_batch.files import hold, stat

MAX_CHANNELS = 256
"""The most channels that are believed: seventh-order ambisonics has 64, large microphone arrays have 128."""

MAX_SAMPLE_RATE = 2**24
"""The highest rate that is believed, in Hz: ultrasonic recorders reach 10 MHz."""

_MOST_SAMPLES_PER_BYTE = 256
# Real recordings stay below 64 (Opus at 6 kbit/s); digital silence in FLAC reaches thousands, and is quickly counted.

_MOST_COUNTED = 2**33
# 54 hours at 44.1 kHz, which take half a minute: a few megabytes of FLAC can be made to decode for days.

_SLACK = 2**14
# Samples that FFmpeg may give beyond what a file announces: the padding of a last frame, and rounded times.


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a recording's header announces.

    Attributes
    ----------
    n_samples : int
        Samples a channel, at the file's rate: an upper bound of what decoding yields.
    sample_rate : int
        Hz.
    channels : int
        How many, at least 1.
    format : str
        Container and coding in the decoder's words, as "FLAC/PCM_16" or "matroska,webm/opus".
    decoder : {"libsndfile", "ffmpeg"}
        What reads it.
    layout : tuple of str
        The speaker of each channel, in the order of the samples; see `layouts`.
    """

    n_samples: int
    sample_rate: int
    channels: int
    format: str
    decoder: Decoding = "libsndfile"
    layout: Layout = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file, what it announces, and how far that can be relied on.

    Attributes
    ----------
    file : Handle or FFmpegFile
        At its first sample. Whoever opened it closes it.
    info : AudioInfo
        As `probe` returns it.
    promised : int or None
        The samples that the header promises, against which decoding is checked; None where the length is
        unknown or only estimated from the file's size, so that a shortfall means nothing.
    """

    file: Handle | FFmpegFile
    info: AudioInfo
    promised: int | None


def probe(path: str, decoder: Choice = "auto") -> AudioInfo:
    """Read what a recording's header announces, without decoding it.

    Parameters
    ----------
    path : str
        Any name that the file system holds; bytes that are not UTF-8 as `os.fsdecode` gives them.
    decoder : {"auto", "libsndfile", "ffmpeg"}
        What may read it; auto takes libsndfile where that knows the file.

    Returns
    -------
    AudioInfo
        Its `n_samples` is an upper bound.

    Raises
    ------
    AudioError
        The file cannot be read as audio; the message is the reason, without the path.
    """
    opened = open_file(path, decoder)
    opened.file.close()
    return opened.info


def open_file(path: str, decoder: Choice = "auto") -> Opened:
    """Open a recording and believe its header as far as it goes; errors as `probe`."""
    _kept, found = hold(path), _stat(path)
    file = open_handle(path, decoder)
    try:
        return _describe(path, file, found)
    except FFmpegError as e:
        file.close()
        raise AudioError(why_not_audio(path, e.error_string, "FFmpeg")) from e
    except OSError as e:
        file.close()
        raise AudioError(why_no_file(e)) from e
    except BaseException:
        file.close()
        raise


def decode_count(path: str, decoder: Choice = "auto") -> int:
    """Decode a whole recording from its first sample and count the samples a channel; errors as `probe`."""
    _kept = hold(path)
    open_file(path, decoder).file.close()
    found = _stat(path)
    return _count(path, decoder, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _announced(path: str, size: int, mtime_ns: int) -> int:
    with FFmpegFile(path) as file:
        return file.announced()


@functools.lru_cache(maxsize=256)
def _count(path: str, decoder: Choice, size: int, mtime_ns: int, most: float = math.inf) -> int:
    with open_handle(path, decoder) as file:
        block = np.empty((max(4096, 2**17 // file.channels), file.channels), np.float32)
        count = 0
        try:
            while n := len(file.read(out=block)):
                count += n
                if count > most:
                    raise AudioError(
                        f"holds more than {count / file.samplerate / 3600:.0f} hours of audio in {size:,} bytes, which "
                        "no recording does; if it is one, split it"
                    )
        except FAILURES as e:
            # the block that failed is long, so nothing is said of where
            said = e.error_string
            raise AudioError(cannot_decode(None, None, file.samplerate, said, file.decoder)) from e
        return count


def _stat(path: str) -> os.stat_result:
    try:
        found = stat(path)
    except (OSError, ValueError) as e:
        raise AudioError(why_no_file(e)) from e
    kind = not_a_file(found.st_mode)
    if kind:
        raise AudioError(kind)
    if not found.st_size:
        raise AudioError("is empty (0 bytes), as an interrupted copy or download leaves it; copy it again")
    return found


def _describe(path: str, file: Handle | FFmpegFile, found: os.stat_result) -> Opened:
    if file.format == "RAW" and not path.lower().endswith(HEADERLESS):
        raise AudioError(why_not_audio(path, "it has no header"))
    _check_sane(file.samplerate, file.channels)
    promised: int | None
    rate, channels, kind = file.samplerate, file.channels, f"{file.format}/{file.subtype}"
    if isinstance(file, FFmpegFile):
        n_samples, promised = _length_by_ffmpeg(path, file, found)
        layout = file.layout
    else:
        n_samples, promised = _length(path, file, found)
        layout = read_layout(path, file.format, file.subtype, channels)
    return Opened(file, AudioInfo(n_samples, rate, channels, kind, file.decoder, layout), promised)


def _check_sane(rate: int, channels: int) -> None:
    if not 1 <= rate <= MAX_SAMPLE_RATE:
        raise AudioError(
            f"has a damaged header: it announces {rate} samples a second (allowed: 1 to {MAX_SAMPLE_RATE:,})"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"has a damaged header: it announces {channels} channels (allowed: 1 to {MAX_CHANNELS})"
        )


def _length_by_ffmpeg(path: str, file: FFmpegFile, found: os.stat_result) -> tuple[int, int]:
    """The most samples that decoding may yield, and those that are promised."""
    if file.format == "ogg":
        check_ogg(path, found.st_size, 2**62, file.samplerate)
    if reason := check_size(path, file.format, found.st_size):
        raise AudioError(reason)
    promised = _announced(path, found.st_size, found.st_mtime_ns)
    return promised + promised // 1000 + _SLACK, promised


def _length(path: str, file: Handle, found: os.stat_result) -> tuple[int, int | None]:
    """The same, of a file that libsndfile reads; see `Opened`."""
    rate, frames = file.samplerate, file.frames
    promised: int | None = frames
    if file.format == "OGG":
        check_ogg(path, found.st_size, frames, rate)
    elif file.format == "MP3":
        header = mp3_header(path)
        frames = file.name.n_samples if isinstance(file.name, Endless) else frames
        promised = frames if header and header.announced else None
        if not frames and (flaw := mp3_flaw(path, 0, rate)):
            raise AudioError(flaw)
    else:
        check_sizes(path, found.st_size, find_extent(path), file)
    if frames > _MOST_SAMPLES_PER_BYTE * found.st_size:
        unknown = frames >= 2**62  # libsndfile's way to say that the header gives no length
        held = _count(path, "libsndfile", found.st_size, found.st_mtime_ns, _MOST_COUNTED)
        reason = None if unknown else too_short(held, frames, rate)
        if reason:
            raise AudioError(reason)
        frames, promised = held, held
    return frames, promised
