"""MP3 files: how long they are, by their frames, whatever their headers say."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.audio.mp3 import mp3_count, mp3_header
from hpss_batch.audio.recording import Recording
from hpss_batch.errors import AudioError

NOISE = 0.2 * np.random.default_rng(0).standard_normal((200_000, 2)).astype(np.float32).clip(-4, 4)


def make(path: Path, mode: str = "CONSTANT", rate: int = 44100, samples: np.ndarray = NOISE) -> bytes:
    with sf.SoundFile(
        path, "w", rate, samples.shape[1], format="MP3", bitrate_mode=mode, compression_level=0.5
    ) as file:
        file.write(samples)
    return path.read_bytes()


def without_header(data: bytes) -> bytes:
    """The file without its first frame, which holds the Xing or Info header."""
    second = data.index(data[:2], 4)
    while data[second + 2] >> 4 in (0, 15):
        second = data.index(data[:2], second + 1)
    return data[second:]


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_frames_are_counted(tmp_path: Path, rate: int, mode: str) -> None:
    path = tmp_path / "a.mp3"
    data = make(path, mode, rate)
    frame = 1152 if rate >= 32000 else 576
    n = mp3_count(str(path))
    assert n % frame == 0
    assert 200_000 < n < 200_000 + 6 * frame  # the header's frame, the encoder's delay, padding
    path.write_bytes(b"ID3\x03\0\0\0\0\x07\x68" + bytes(1000) + data + b"TAG" + bytes(125))
    assert mp3_count(str(path)) == n
    assert mp3_header(str(path), path.stat().st_size) == "whole"


def test_no_header_and_a_constant_rate(tmp_path: Path) -> None:
    """What is announced is the file's size over the first frame's, pictures in tags and all: no promise."""
    path = tmp_path / "a.mp3"
    data = without_header(make(path))
    picture = b"ID3\x03\0\0\0\x06\x00\x00" + bytes(6 * 128 * 128)
    path.write_bytes(picture + data)
    assert mp3_header(str(path), path.stat().st_size) == "none"
    with Recording(str(path)) as recording:
        assert recording.bound > 1.2 * 200_000
        found = recording.read(0, recording.bound)
        assert recording.n_samples == found.shape[1] == mp3_count(str(path))
    path.write_bytes(data[: len(data) // 2])  # nobody can tell that it was longer
    with Recording(str(path)) as recording:
        recording.read(0, recording.bound)
        assert recording.n_samples is not None
        assert abs(recording.n_samples - 100_000) < 5_000


def test_no_header_and_a_rate_that_varies(tmp_path: Path) -> None:
    """libsndfile would end where the estimate does, and nobody would know."""
    path = tmp_path / "a.mp3"
    loud_first = NOISE * np.linspace(1, 0, len(NOISE), dtype=np.float32)[:, None] ** 8
    path.write_bytes(without_header(make(path, "VARIABLE", samples=loud_first)))
    with pytest.raises(AudioError, match="wrong header or none"), Recording(str(path)) as recording:
        recording.read(0, recording.bound)


def test_two_files_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    data = make(path)
    path.write_bytes(data * 3)
    assert mp3_header(str(path), 3 * len(data)) == "partial"
    with (
        pytest.raises(AudioError, match=r"4\.5 s can be read of about 13\.8 s"),
        Recording(str(path)) as recording,
    ):
        recording.read(0, recording.bound)


@pytest.mark.parametrize("seconds", [0.3, 1, 2])
@pytest.mark.parametrize("between", [b"", b"TAG" + bytes(125), b"ID3\x03\0\0\0\0\x07\x68" + bytes(1000)])
def test_two_short_files_joined(tmp_path: Path, seconds: float, between: bytes) -> None:
    """A few kilobytes might be a tag: whether frames are among them is looked at when the end is met."""
    path = tmp_path / "a.mp3"
    data = make(path, samples=NOISE[: round(44100 * seconds), :1])
    assert len(data) < 2**16
    path.write_bytes(data + between + data)
    with pytest.raises(AudioError, match="wrong header or none"), Recording(str(path)) as recording:
        recording.read(0, recording.bound)


@pytest.mark.parametrize(
    "behind",
    [
        b"TAG" + bytes(125),
        b"APETAGEX\xd0\x07\0\0" + bytes(3000) + b"TAG" + bytes(125),
        b"3DI\x04\0\0\0\0\x07\x68" + bytes(1000),
        b"LYRICSBEGIN" + b"la" * 5000 + b"LYRICS200",
        b"\xff\xd8\xff\xe0\0\x10JFIF" + np.random.default_rng(0).bytes(100_000),
        b"\xff" * 500,
        bytes(5_000),
    ],
    ids=["ID3v1", "APE", "ID3v2.4", "lyrics", "picture", "ones", "zeros"],
)
def test_what_may_stand_behind_the_end(tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(make(path, samples=NOISE[:80_000]) + behind)
    with Recording(str(path)) as recording:
        assert recording.read(0, recording.bound).shape == (1, 80_000)
        assert recording.n_samples == 80_000


def read_by(path: Path, piece: int) -> None:
    with Recording(str(path)) as recording:
        for start in range(0, recording.bound, piece):
            recording.read(start, start + piece)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("piece", [1_000, 44_100, 200_000])
def test_it_is_said_where_the_damage_lies(tmp_path: Path, channels: int, piece: int) -> None:
    """Whatever is asked for in whatever pieces: decoding fails for a whole piece, whose start is not the place."""
    path = tmp_path / "a.mp3"
    data = bytearray(make(path, samples=NOISE[:176_400, :channels]))
    data[len(data) // 2 : len(data) // 2 + 600] = bytes(600)
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"stops with an error after (1\.9|2\.0) s of the 4\.0 s"):
        read_by(path, piece)


def test_anything_else_has_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (b"x", b"\xff", b"\xff\xfb\x90", bytes(1000), b"\xff" * 1000, b"ID3"):
        path.write_bytes(data)
        assert mp3_count(str(path)) == 0
        assert mp3_header(str(path), len(data)) == "none"
