"""How are recordings read that libsndfile does not know? By FFmpeg, through PyAV, where that is installed.

    file -- demuxer --> packets -- decoder, on one thread --> frames of samples --> float32, as libsndfile scales them

What comes out is what ``ffmpeg -i FILE -f f32le`` of the same version writes: priming, edit lists and the padding of
the last frame are seen to by FFmpeg itself. Of several streams of sound, it is the one that is marked as default, then
the one with the most channels. A file is read on from its first packet, never sought: what decoders make of a packet
may depend on all that came before.

FFmpeg goes on where it finds damage, as players should. Here, whatever it calls an error ends the reading: an error
that it logs, one that it returns, or a packet that it marks as damaged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.containers.reasons import REMEDY, too_short
from hpss_batch.audio.kinds import ffmpeg_is_here
from hpss_batch.audio.speakers.layouts import Layout, known
from hpss_batch.errors import AudioError
from hpss_batch.files import opened, stream

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

Float32 = NDArray[np.float32]

_BARE = ("aac", "ac3", "eac3", "dts", "loas")
"""Formats that are packets and nothing else, but for tags."""

_ESTIMATED = (*_BARE, "mp3", "amr", "avi")
"""Formats whose length FFmpeg reckons from a bit rate, or from headers that do not count samples."""

_ENDLESS = ("rm", "mpeg", "mpegts")
"""Containers that are not read, as nothing in them tells where they should end."""

_OPTIONS = {
    "protocol_whitelist": "none",  # a playlist or an .mp4 may name other files and URLs; none is opened
    "err_detect": "crccheck",
}


class FFmpegError(Exception):
    """FFmpeg cannot read on.

    Attributes
    ----------
    error_string : str
        What it says.
    """

    def __init__(self, error_string: str) -> None:
        super().__init__(error_string)
        self.error_string = error_string


@cache
def _av() -> Any:
    """PyAV, having its say to us only."""
    import av
    import av.logging

    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    return av


def ffmpeg_versions() -> dict[str, str]:
    """Versions of PyAV and of what it decodes with, by name; empty where it is not installed."""
    if not ffmpeg_is_here():
        return {}
    av = _av()
    libraries = ("libavcodec", "libavformat", "libavutil")
    return {"av": av.__version__} | {
        name: ".".join(map(str, av.library_versions[name])) for name in libraries
    }


@contextmanager
def _heard() -> Iterator[None]:
    """Turn what FFmpeg calls an error meanwhile, whether it goes on or not, into `FFmpegError`."""
    av = _av()
    try:
        with av.logging.Capture() as said:
            yield
    except (av.FFmpegError, ValueError) as e:
        raise FFmpegError(_words(said[0][2] if said else getattr(e, "strerror", None) or str(e))) from e
    for _, name, words in said:
        if _is_about_sound(name):
            raise FFmpegError(_words(words))


@cache
def _is_about_sound(name: str) -> bool:
    """Whether what logs under this name is no decoder of pictures: those of a video, or a cover, do not matter."""
    try:
        return bool(_av().Codec(name, "r").type == "audio")
    except ValueError:  # it is a container
        return True


def _sound(packets: "Iterator[Packet[Any]]") -> "Iterator[Packet[Any]]":
    """Packets, none of which is damaged."""
    for packet in packets:
        if packet.is_corrupt:
            raise FFmpegError("a packet is damaged or cut short")
        yield packet


def _words(said: str) -> str:
    return " ".join(said.split())


@cache
def _knows_speakers() -> bool:
    """Whether layouts can be read: before PyAV 19, those of single channels lie in memory that was given back."""
    import av

    return int(av.__version__.partition(".")[0]) >= 19


class FFmpegFile:
    """A file's sound, read on from its first sample; what is asked of it is what is asked of `probe.Handle`.

    Parameters
    ----------
    path : str
        The file.

    Attributes
    ----------
    samplerate, channels : int
        Hz; how many.
    format, subtype : str
        FFmpeg's names of container and coding.
    lossy : bool
        Whether the coding keeps less than it was given.
    layout : tuple of str
        The speaker of each channel, in FFmpeg's order, if it knows them; see `layouts`.

    Raises
    ------
    FFmpegError
        If there is no sound in it that FFmpeg reads.
    OSError
        If it cannot be opened.
    """

    decoder: Literal["ffmpeg"] = "ffmpeg"

    def __init__(self, path: str) -> None:
        self._path, self._file = path, stream(path, raises=True)
        try:
            with _heard():
                self._container: InputContainer = _av().open(self._file, options=_OPTIONS)
        except BaseException:
            self._file.close()
            raise
        try:
            self._stream = self._choose()
        except BaseException:
            self.close()
            raise
        context = self._stream.codec_context
        context.thread_count, context.options = 1, {"err_detect": _OPTIONS["err_detect"]}
        self.samplerate, self.channels = self._stream.rate or 0, self._stream.channels
        self.format, self.subtype = self._container.format.name, context.name
        self.lossy = not context.codec.lossless
        named = _knows_speakers()
        speakers = tuple(channel.name for channel in self._stream.layout.channels) if named else ()
        self.layout: Layout = known(speakers, self.channels)
        self._frames = self._decoded()
        self._held, self._next = np.empty((0, self.channels), np.float32), 0

    def _choose(self) -> "AudioStream":
        streams = [stream for stream in self._container.streams.audio if stream.codec_context is not None]
        if not streams:
            raise FFmpegError("there is no sound in it that can be decoded")
        return max(streams, key=lambda stream: (bool(stream.disposition & 1), stream.channels))

    def read(self, out: Float32) -> Float32:
        """Read on; shape (samples, channels). Returns the part of `out` that was filled: all of it but at the end."""
        filled = 0
        while filled < len(out):
            if self._next == len(self._held):
                with _heard():
                    frame = next(self._frames, None)
                if frame is None:
                    break
                self._held, self._next = self._samples(frame), 0
            n = min(len(self._held) - self._next, len(out) - filled)
            out[filled : filled + n] = self._held[self._next : self._next + n]
            self._next += n
            filled += n
        return out[:filled]

    def _size(self) -> int:
        """The file's bytes, but for a tag at their end."""
        with opened(self._path) as file:
            tag = file.read(max(file.size - 128, 0), 3) == b"TAG"
            return file.size - 128 * tag

    def seek(self, sample: int) -> int:
        """Stay: such a file is opened again instead. Returns 0, where that begins."""
        return 0

    def copy_metadata(self) -> dict[str, str]:
        """Title, artist and the like, as `soundfile.SoundFile.copy_metadata` names them."""
        found = {name.lower(): text for name, text in self._container.metadata.items()}
        return found | ({"tracknumber": found["track"]} if "track" in found else {})

    def announced(self) -> int:
        """Samples a channel that the file should give, to a frame or two; this uses up its packets.

        MPEG-4 counts them in its index. Of other files all packets are looked at, and none decoded: their headers tell
        the length of the longest stream, or none. Times are more precise than durations, which may be in milliseconds.

        Raises
        ------
        FFmpegError, AudioError
            If packets are damaged, or end before the header says.
        """
        stream = self._stream
        if stream.frames and stream.duration and "mp4" in self.format:
            return round(stream.duration * stream.time_base * self.samplerate)
        if self.format in _ENDLESS:
            raise AudioError(
                f"is of a kind ({self.format}) that does not tell whether it was cut short; {REMEDY}"
            )
        with _heard():
            length, last, n_bytes = self._walk()
        if self.format in _BARE and (unexplained := self._size() - n_bytes):
            raise FFmpegError(f"{unexplained} bytes are no packets")
        if self._container.duration and self.format not in _ESTIMATED:
            whole = ((self._container.start_time or 0) + self._container.duration) / 10**6
            rate = self.samplerate
            if reason := too_short(round(last * rate), round(whole * rate), rate):
                raise AudioError(reason)
        return round(length * self.samplerate)

    def _walk(self) -> tuple[Fraction, float, int]:
        """How long the packets last, when the last one of any stream ends [s], and the bytes up to the last of ours."""
        begin, end, total, last, n_bytes = None, 0, 0, 0.0, 0
        for packet in _sound(self._container.demux()):
            duration = packet.duration or 0
            last = max(last, float(((packet.pts or 0) + duration) * packet.time_base))
            if packet.stream is not self._stream or not packet.size:
                continue
            at = end if packet.pts is None else packet.pts
            if begin is None:
                begin, end, n_bytes = at, at, packet.pos or 0
            if self.format == "asf" and at - end >= duration > 0:  # nothing else shows that one is missing
                raise FFmpegError(f"a packet is missing at {float(end * packet.time_base):.3f} s")
            end, total, n_bytes = max(end, at + duration), total + duration, n_bytes + packet.size
        return Fraction(max(end - (begin or 0), total) * self._stream.time_base), last, n_bytes

    def _decoded(self) -> "Iterator[AudioFrame]":
        for packet in _sound(self._container.demux(self._stream)):
            yield from cast("list[AudioFrame]", packet.decode())

    def _samples(self, frame: "AudioFrame") -> Float32:
        """A frame's samples, shape (samples, channels)."""
        if (frame.sample_rate, frame.layout.nb_channels) != (self.samplerate, self.channels):
            raise FFmpegError(
                f"{self.channels} channels at {self.samplerate} Hz become {frame.layout.nb_channels} at "
                f"{frame.sample_rate} Hz"
            )
        # frame.to_ndarray() fails where there are planes for eight channels or more
        audio, planar = _av().audio, frame.format.is_planar
        planes = [audio.plane.AudioPlane(frame, i) for i in range(self.channels if planar else 1)]
        dtype, count = (
            audio.frame.format_dtypes[frame.format.name],
            frame.samples * self.channels // len(planes),
        )
        found = np.array([np.frombuffer(plane, dtype, count) for plane in planes])
        found = found.T if planar else found.reshape(-1, self.channels)
        if found.dtype.kind == "f":
            return found.astype(np.float32, copy=False)
        bits = 8 * found.dtype.itemsize
        middle = np.float32(128 if found.dtype.kind == "u" else 0)
        return (found.astype(np.float32) - middle) * np.float32(2.0 ** (1 - bits))

    def close(self) -> None:
        """Close the file; safe to repeat."""
        self._container.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
