"""MP3 files: how long they are, by their frames, whatever their headers say."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.audio.containers.mp3 import mp3_header, read_frames
from hpss_batch.audio.containers.mp3_frames import Frames, frame_length, next_frame
from hpss_batch.audio.recording import Recording, probe
from hpss_batch.errors import AudioError

Damage = Callable[[bytearray, int, int], None]
"""Does something to a file's bytes, at a frame that begins and ends there."""

NOISE = 0.2 * np.random.default_rng(0).standard_normal((200_000, 2)).astype(np.float32).clip(-4, 4)


def make(path: Path, mode: str = "CONSTANT", rate: int = 44100, samples: np.ndarray = NOISE) -> bytes:
    with sf.SoundFile(
        path, "w", rate, samples.shape[1], format="MP3", bitrate_mode=mode, compression_level=0.5
    ) as file:
        file.write(samples)
    return path.read_bytes()


def frames_of(path: Path) -> Frames:
    header = mp3_header(str(path))
    assert header is not None
    return read_frames(str(path), header)


def frames(data: bytes) -> list[tuple[int, int]]:
    """Where frames begin and end."""
    found, at = list[tuple[int, int]](), 0
    while at < len(data):
        length = frame_length(int.from_bytes(data[at : at + 4]))
        assert length
        found.append((at, at + length))
        at += length
    return found


def read_all(path: Path, piece: int = 2**16) -> np.ndarray:
    with Recording(str(path), channels="all") as recording:
        parts = [recording.read(at, at + piece) for at in range(0, recording.bound, piece)]
        return np.concatenate(parts, axis=1)


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
    found = frames_of(path)
    assert found.samples == frame
    assert 200_000 < found.count * frame < 200_000 + 5 * frame  # the encoder's delay, padding
    path.write_bytes(b"ID3\x03\0\0\0\0\x07\x68" + bytes(1000) + data + b"TAG" + bytes(125))
    assert frames_of(path) == found
    assert mp3_header(str(path)).announced == found.count


def test_no_header_and_a_constant_rate(tmp_path: Path) -> None:
    """What is announced is the file's size over the first frame's, pictures in tags and all: no promise."""
    path = tmp_path / "a.mp3"
    data = without_header(make(path))
    picture = b"ID3\x03\0\0\0\x06\x00\x00" + bytes(6 * 128 * 128)
    path.write_bytes(picture + data)
    assert mp3_header(str(path)).announced == 0
    with Recording(str(path)) as recording:
        assert recording.bound > 1.2 * 200_000
        found = recording.read(0, recording.bound)
        assert recording.n_samples == found.shape[1] == frames_of(path).count * 1152
    path.write_bytes(data[: frames(data)[88][0]])  # nobody can tell that it was longer
    with Recording(str(path)) as recording:
        recording.read(0, recording.bound)
        assert recording.n_samples is not None
        assert abs(recording.n_samples - 100_000) < 5_000


@pytest.mark.parametrize("slope", [(1, 0), (0, 1)], ids=["loud first", "loud last"])
def test_no_header_and_a_rate_that_varies(tmp_path: Path, slope: tuple[int, int]) -> None:
    """As from a pipe: libsndfile would end where an estimate from the first frame does, and nobody would know."""
    path = tmp_path / "a.mp3"
    samples = NOISE * np.linspace(*slope, len(NOISE), dtype=np.float32)[:, None] ** 8
    data = make(path, "VARIABLE", samples=samples)
    expected = read_all(path)
    path.write_bytes(without_header(data) + b"TAG" + bytes(125))
    found = read_all(path)
    assert found.shape[1] == 1152 * (len(frames(data)) - 1)
    lead = 576 + 529  # LAME's delay and any decoder's, which the header would have cut off
    np.testing.assert_allclose(found[:, lead : lead + 200_000], expected, atol=1e-6)
    np.testing.assert_array_equal(read_all(path, 1_000), found)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("inside", [1, 3, 200])
def test_no_header_and_cut_short(tmp_path: Path, mode: str, inside: int) -> None:
    path = tmp_path / "a.mp3"
    data = without_header(make(path, mode))
    path.write_bytes(data[: frames(data)[88][0] + inside])
    with pytest.raises(
        AudioError, match=r"is cut short: its last MPEG frame is cut off inside, after 2\.3 s"
    ):
        read_all(path)


def without(data: bytearray, begin: int, end: int) -> None:
    """A frame is missing."""
    del data[begin:end]


def with_a_hole(data: bytearray, begin: int, end: int) -> None:
    """Zeros where one frame meets the next."""
    data[begin - 100 : begin + 100] = bytes(200)


def flipped(bit: int) -> Damage:
    """One bit of a frame's header: decoders look for the next one in silence, and everything comes 26 ms too early."""

    def flip(data: bytearray, begin: int, end: int) -> None:
        data[begin + bit // 8] ^= 128 >> bit % 8

    return flip


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without, r"announces 175 MPEG frames and holds 174 \(4\.5 s\)"),
        (with_a_hole, r"is damaged at 2\.3 s"),
        *(
            (flipped(bit), r"is damaged at 2\.3 s|after 2\.3 s|and holds 174 ")
            for bit in (0, 10, *range(12, 23))
        ),
    ],
)
def test_damage_in_the_middle(tmp_path: Path, damage: Damage, said: str) -> None:
    path = tmp_path / "a.mp3"
    data = bytearray(make(path))
    damage(data, *frames(data)[88])
    path.write_bytes(data)
    with pytest.raises(AudioError, match=said):
        read_all(path)


def test_checksums_of_frames(tmp_path: Path) -> None:
    """They are CRC-16 with the polynomial 0x8005 of the header's last two bytes and 32 of side information."""
    path = tmp_path / "a.mp3"
    data = bytearray(make(path))
    for at, _ in frames(data):
        data[at + 1] &= ~1
        remainder = 0xFFFF
        for byte in data[at + 2 : at + 4] + data[at + 6 : at + 38]:
            for bit in range(8):
                top = remainder >> 15 ^ byte >> 7 - bit & 1
                remainder = remainder << 1 & 0xFFFF ^ 0x8005 * top
        data[at + 4 : at + 6] = remainder.to_bytes(2)
    path.write_bytes(data)
    assert frames_of(path).gap is None
    data[frames(data)[88][0] + 20] ^= 4
    path.write_bytes(data)
    assert frames_of(path).gap in (87, 88)
    for at, _ in frames(data):
        data[at + 4] ^= 1
    path.write_bytes(data)
    assert frames_of(path).gap is None  # an encoder that computes them otherwise


def test_what_stands_before_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    data, tag = make(path), b"ID3\x03\0\0\0\0\x07\x68" + bytes(1000)
    expected = read_all(path)
    for before in (tag, tag + tag, tag + bytes(100)):
        path.write_bytes(before + data)
        np.testing.assert_array_equal(read_all(path), expected)
    path.write_bytes(tag + data[frames(data)[1][0] + 100 :])
    with pytest.raises(AudioError, match=r"is damaged at 0\.0 s"):
        read_all(path)


@pytest.mark.parametrize("count", [2, 8])
def test_a_header_that_leaves_nothing(tmp_path: Path, count: int) -> None:
    """LAME makes two frames of no samples, and says so; nothing else is heard of more than a few."""
    path = tmp_path / "a.mp3"
    data = make(path, rate=22050, samples=NOISE[:22050, :1])
    data = bytearray(data[: frames(data)[count][1]])
    info, lame = data.find(b"Info"), data.find(b"LAME")
    data[info + 8 : info + 12] = count.to_bytes(4)
    data[lame + 21 : lame + 24] = (576 * count - 576 << 12 | 576).to_bytes(3)
    path.write_bytes(data)
    if count == 2:
        assert probe(str(path)).n_samples == 0
        return
    with pytest.raises(AudioError, match=r"0\.0 s can be read of about 0\.2 s"):
        probe(str(path))


def test_the_decoder_keeps_its_words_to_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.mp3"
    data = bytearray(make(path))
    at = frames(data)[88][0]
    data[at - 100 : at + 100] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(AudioError):
        read_all(path)
    assert capfd.readouterr().err == ""
    sf.read(path)
    assert "Trying to resync" in capfd.readouterr().err


def test_two_files_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    data = make(path)
    path.write_bytes(data * 3)
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
        assert mp3_header(str(path)) is None
        assert next_frame(data, 0) == -1
