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
import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile as sf

from hpss_batch.audio.choices import Choice, Decoding
from hpss_batch.audio.containers import reasons
from hpss_batch.audio.containers.chunks import find_extent
from hpss_batch.audio.containers.extent import Corrected
from hpss_batch.audio.containers.foreign import check_size
from hpss_batch.audio.containers.headers import check_sizes, find_flac_extent
from hpss_batch.audio.containers.mp3 import mp3_flaw, mp3_header
from hpss_batch.audio.containers.mp3_unheaded import Endless, samples_unannounced
from hpss_batch.audio.containers.ogg import check_ogg
from hpss_batch.audio.ffmpeg import FFmpegError, FFmpegFile
from hpss_batch.audio.layouts import Layout
from hpss_batch.audio.quiet import quiet
from hpss_batch.audio.speakers import read_layout
from hpss_batch.errors import AudioError
from hpss_batch.files import hold, stat, stream
from hpss_batch.paths import is_url

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

_SAID = {
    7: "no audio is found in it",
    24: "its header has an impossible rate, length or number of channels",
}
# libsndfile's errors whose own words mislead: "is not a regular file" and "SF_INFO struct incomplete"

_HEADERLESS = (".vox", ".vox6", ".gsm")
# libsndfile reads these by their names alone. It does so with .au and .snd as well, where it makes noise of text.

_LONGEST_PATH = 1023
# Bytes of a path that libsndfile takes; systems take 4,095. What lies deeper is opened here, and read through Python.


FAILURES = (sf.LibsndfileError, FFmpegError)
"""What goes wrong while decoding; its `error_string` is what the decoder says."""


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


class Handle(sf.SoundFile):  # type: ignore[misc]
    """An open file whose reads go on where the last one ended, and that writes nothing to the terminal.

    soundfile follows every read of a seekable file by a seek to where it is already. That costs time, and an MP3
    decoder answers it with other last bits; `seek` itself works as ever.
    """

    decoder: Decoding = "libsndfile"

    def __init__(self, source: bytes | io.RawIOBase) -> None:
        with self._answered(source), quiet():
            super().__init__(source)
        self.lossy = self.format in ("OGG", "MP3")

    def read(self, *args: Any, **options: Any) -> Any:
        """Read on."""
        with self._answered(self._name), quiet():
            return super().read(*args, **options)

    def seek(self, *args: Any, **options: Any) -> int:
        """Go somewhere else."""
        with self._answered(self._name), quiet():
            return int(super().seek(*args, **options))

    @staticmethod
    @contextmanager
    def _answered(source: Any) -> Iterator[None]:
        """Raise what kept the source from being read, of which libsndfile knows nothing."""
        try:
            yield
        finally:
            if failure := getattr(source, "failure", None):
                raise failure

    def seekable(self) -> bool:
        """Say no, so that reading never seeks."""
        return False

    def close(self) -> None:
        """Close the file, and what it reads from where that is not a path."""
        super().close()
        source = getattr(self, "_name", None)
        if isinstance(source, io.RawIOBase):
            source.close()


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
        raise AudioError(reasons.why_not_audio(path, e.error_string, "FFmpeg")) from e
    except OSError as e:
        file.close()
        raise AudioError(reasons.why_no_file(e)) from e
    except BaseException:
        file.close()
        raise


def open_handle(path: str, decoder: Choice = "auto") -> Handle | FFmpegFile:
    """Open a file that was checked before, for another pass over it."""
    if decoder != "ffmpeg":
        try:
            return _open_libsndfile(path)
        except AudioError:
            if decoder == "libsndfile" or not reasons.ffmpeg_is_here() or not reasons.is_foreign(path):
                raise
    if not reasons.ffmpeg_is_here():
        raise AudioError(f"is read by FFmpeg, through PyAV, which is not installed here; {reasons.INSTALL}")
    try:
        return FFmpegFile(path)
    except (FFmpegError, OSError) as e:
        said = e.error_string if isinstance(e, FFmpegError) else ""
        raise AudioError(reasons.why_not_audio(path, said, "FFmpeg")) from e


def _open_libsndfile(path: str) -> Handle:
    name = os.fsencode(path)
    by_name = len(name) <= _LONGEST_PATH and not is_url(path)
    if not by_name and path.lower().endswith(_HEADERLESS):
        raise AudioError(
            f"has {'a URL' if is_url(path) else f'a path of {len(name):,} bytes'}, and recordings of its kind, which "
            f"have no header, are read from a disk, by paths of up to {_LONGEST_PATH:,}; move it, or convert it, e.g. "
            "with ffmpeg -i FILE FILE.flac"
        )
    try:
        extent = find_extent(path)
        if extent is None or not extent.changes:
            file = _handle(name if by_name else stream(path))
            if file.format == "MP3" and (held := samples_unannounced(path, file.frames)):
                file.close()
                return _handle(Endless(stream(path), held))
            extent = find_flac_extent(path) if file.format == "FLAC" else None
            if extent is None:
                return file
            file.close()
        return _handle(Corrected(stream(path), extent))
    except (sf.LibsndfileError, TypeError, OSError) as e:
        # TypeError: soundfile wants a sample rate for names in .raw
        said = _SAID.get(e.code, e.error_string) if isinstance(e, sf.LibsndfileError) else ""
        raise AudioError(reasons.why_not_audio(path, said)) from e


def _handle(source: bytes | io.RawIOBase) -> Handle:
    try:
        return Handle(source)
    except BaseException:
        if isinstance(source, io.RawIOBase):
            source.close()
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
            raise AudioError(reasons.cannot_decode(None, None, file.samplerate, said, file.decoder)) from e
        return count


def _stat(path: str) -> os.stat_result:
    try:
        found = stat(path)
    except (OSError, ValueError) as e:
        raise AudioError(reasons.why_no_file(e)) from e
    kind = reasons.not_a_file(found.st_mode)
    if kind:
        raise AudioError(kind)
    if not found.st_size:
        raise AudioError("is empty (0 bytes), as an interrupted copy or download leaves it; copy it again")
    return found


def _describe(path: str, file: Handle | FFmpegFile, found: os.stat_result) -> Opened:
    kind = f"{file.format}/{file.subtype}"
    rate, channels = file.samplerate, file.channels
    if file.format == "RAW" and not path.lower().endswith(_HEADERLESS):
        raise AudioError(reasons.why_not_audio(path, "it has no header"))
    if not 1 <= rate <= MAX_SAMPLE_RATE:
        raise AudioError(
            f"has a damaged header: it announces {rate} samples a second (allowed: 1 to {MAX_SAMPLE_RATE:,})"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"has a damaged header: it announces {channels} channels (allowed: 1 to {MAX_CHANNELS})"
        )
    promised: int | None
    if isinstance(file, FFmpegFile):
        if file.format == "ogg":
            check_ogg(path, found.st_size, 2**62, rate)
        if reason := check_size(path, file.format, found.st_size):
            raise AudioError(reason)
        promised = _announced(path, found.st_size, found.st_mtime_ns)
        most = promised + promised // 1000 + _SLACK
        return Opened(file, AudioInfo(most, rate, channels, kind, "ffmpeg", file.layout), promised)
    frames = file.frames
    promised = frames
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
        reason = None if unknown else reasons.too_short(held, frames, rate)
        if reason:
            raise AudioError(reason)
        frames, promised = held, held
    layout = read_layout(path, file.format, file.subtype, channels)
    return Opened(file, AudioInfo(frames, rate, channels, kind, layout=layout), promised)
