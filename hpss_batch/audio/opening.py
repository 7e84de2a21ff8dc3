"""Which decoder opens this file, and from which bytes does it read?

libsndfile is asked first, and FFmpeg where that does not know the file. libsndfile reads a file by its path, or through
Python: where it lies behind a URL, has too long a path, or has a header that has to be corrected first (`containers`).
Whether what the header says can be relied on is the affair of `probe`.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import soundfile as sf

from hpss_batch.audio.choices import Choice, Decoding
from hpss_batch.audio.containers.chunks import find_extent
from hpss_batch.audio.containers.extent import Corrected
from hpss_batch.audio.containers.headers import find_flac_extent
from hpss_batch.audio.containers.mp3_unheaded import Endless, samples_unannounced
from hpss_batch.audio.ffmpeg import FFmpegError, FFmpegFile
from hpss_batch.audio.kinds import INSTALL, ffmpeg_is_here, is_foreign, why_not_audio
from hpss_batch.audio.quiet import quiet
from hpss_batch.errors import AudioError
from hpss_batch.files import stream
from hpss_batch.paths import is_url

_SAID = {
    7: "no audio is found in it",
    24: "its header has an impossible rate, length or number of channels",
}
# libsndfile's errors whose own words mislead: "is not a regular file" and "SF_INFO struct incomplete"

HEADERLESS = (".vox", ".vox6", ".gsm")
"""libsndfile reads these by their names alone. It does so with .au and .snd as well, where it makes noise of text."""

_LONGEST_PATH = 1023
# Bytes of a path that libsndfile takes; systems take 4,095. What lies deeper is opened here, and read through Python.


FAILURES = (sf.LibsndfileError, FFmpegError)
"""What goes wrong while decoding; its `error_string` is what the decoder says."""


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


def open_handle(path: str, decoder: Choice = "auto") -> Handle | FFmpegFile:
    """Open a file by what knows it, libsndfile first; errors as `probe.probe`."""
    if decoder != "ffmpeg":
        try:
            return _open_libsndfile(path)
        except AudioError:
            if decoder == "libsndfile" or not ffmpeg_is_here() or not is_foreign(path):
                raise
    if not ffmpeg_is_here():
        raise AudioError(f"is read by FFmpeg, through PyAV, which is not installed here; {INSTALL}")
    try:
        return FFmpegFile(path)
    except (FFmpegError, OSError) as e:
        said = e.error_string if isinstance(e, FFmpegError) else ""
        raise AudioError(why_not_audio(path, said, "FFmpeg")) from e


def _open_libsndfile(path: str) -> Handle:
    name = os.fsencode(path)
    by_name = len(name) <= _LONGEST_PATH and not is_url(path)
    if not by_name and path.lower().endswith(HEADERLESS):
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
        raise AudioError(why_not_audio(path, said)) from e


def _handle(source: bytes | io.RawIOBase) -> Handle:
    try:
        return Handle(source)
    except BaseException:
        if isinstance(source, io.RawIOBase):
            source.close()
        raise
