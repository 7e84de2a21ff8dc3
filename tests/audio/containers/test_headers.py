"""Sizes in headers: cut short, streamed, never filled in, or wrong."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.audio.recording import Recording, probe
from hpss_batch.errors import AudioError

SAMPLES = np.random.default_rng(0).integers(-9000, 9000, (50_000, 2)).astype(np.int16)


def wav(path: Path, riff: int, data: int, *, before: bytes = b"", audio: bytes | None = None) -> str:
    """A WAV file whose two sizes say what they are told to."""
    audio = SAMPLES.tobytes() if audio is None else audio
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, 16000, 64000, 4, 16)
    path.write_bytes(
        struct.pack("<4sI4s", b"RIFF", riff, b"WAVE")
        + form
        + before
        + struct.pack("<4sI", b"data", data)
        + audio
    )
    return str(path)


def count(path: str) -> int:
    with Recording(path) as recording:
        n = recording.read(0, recording.bound).shape[1]
        assert recording.n_samples == n
        return n


@pytest.mark.parametrize(
    ("riff", "data"),
    [
        (200_036, 200_000),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x7FFFF024, 0x7FFFF000),
        (0x7FFFFFFF, 0x7FFFFFFF),
        (0, 0xFFFFFFFF),
        (8, 0),
        (0, 0),
        (36, 0),
        (200_036, 0),
    ],
)
@pytest.mark.parametrize("silence", [0, 4000])
def test_streams_and_recorders_that_died(tmp_path: Path, riff: int, data: int, silence: int) -> None:
    """A size that was never filled in means all that follows, even where that begins with zeros."""
    audio = bytes(silence) + SAMPLES.tobytes()
    path = wav(tmp_path / "a.wav", riff, data if data != 200_000 else len(audio), audio=audio)
    assert count(path) == 50_000 + silence // 4
    with Recording(path, channels="all") as recording:
        found = recording.read(silence // 4 + 1_000, silence // 4 + 1_200)
        np.testing.assert_array_equal(found, SAMPLES[1_000:1_200].T / np.float32(2**15))


def test_nothing_is_nothing(tmp_path: Path) -> None:
    tags = b"LIST" + struct.pack("<I", 100) + b"INFO" + bytes(96)
    assert count(wav(tmp_path / "a.wav", 36, 0, audio=b"")) == 0
    assert count(wav(tmp_path / "b.wav", 136, 0, audio=tags)) == 0


def test_more_is_announced_than_there_is(tmp_path: Path) -> None:
    assert count(wav(tmp_path / "a.wav", 200_040, 200_004)) == 50_000  # a sample more does not matter
    with pytest.raises(AudioError, match=r"announces 6\.2 s and holds 3\.1 s"):
        probe(wav(tmp_path / "b.wav", 400_036, 400_000))
    with pytest.raises(AudioError, match="400,000 bytes of audio, none follow"):
        probe(wav(tmp_path / "c.wav", 400_036, 400_000, audio=b""))


def test_tags_hide_nothing(tmp_path: Path) -> None:
    """libsndfile's log is full after 2,048 characters, long before the samples here."""
    comments = b"".join(b"ICMT" + struct.pack("<I", 200) + b"x" * 199 + b"\0" for _ in range(30))
    tags = b"LIST" + struct.pack("<I", len(comments) + 4) + b"INFO" + comments
    assert count(wav(tmp_path / "a.wav", 206_276, 200_000, before=tags)) == 50_000
    with pytest.raises(AudioError, match="cut short"):
        probe(wav(tmp_path / "b.wav", 406_276, 400_000, before=tags))


def test_less_is_announced_than_there_is(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"wrong header.*199,900 of the file's 200,044 bytes"):
        probe(wav(tmp_path / "a.wav", 200_036, 100))
    tags = b"LIST" + struct.pack("<I", 300_000) + b"INFO" + bytes(299_996)  # a picture, say
    assert count(wav(tmp_path / "b.wav", 500_044, 200_000, audio=SAMPLES.tobytes() + tags)) == 50_000


def test_chunks_without_end(tmp_path: Path) -> None:
    """A file of a million tiny chunks is given up, not walked through."""
    assert count(wav(tmp_path / "a.wav", 200_036, 200_000, before=(b"junk" + bytes(4)) * 5_000)) == 50_000


def test_sizes_of_other_containers(tmp_path: Path) -> None:
    for container in ("AIFF", "RF64", "W64", "AU", "SVX"):
        path = tmp_path / container
        sf.write(path, SAMPLES[:, :1], 16000, format=container, subtype="PCM_16")
        assert count(str(path)) == 50_000


def sphere(
    path: Path, count: bytes, *, size: int = 1024, audio: bytes | None = None, before: bytes = b""
) -> str:
    """A NIST SPHERE file, as speech corpora are made of, at 16 kHz."""
    fields = (
        b"channel_count -i 2\nsample_rate -i 16000\nsample_n_bytes -i 2\nsample_byte_format -s2 01\n"
        b"sample_sig_bits -i 16\nsample_coding -s3 pcm\n"
    )
    head = b"NIST_1A\n%7d\n" % size + before + fields + count + b"end_head\n"
    path.write_bytes(head.ljust(size) + (SAMPLES.tobytes() if audio is None else audio))
    return str(path)


def test_sphere_files(tmp_path: Path) -> None:
    """libsndfile goes by the file's size; the samples announced are those of each channel."""
    for n, announced in enumerate(
        (b"sample_count -i 50000\n", b"", b"sample_count -i 0\n", b"sample_count -i 49000\n")
    ):
        assert count(sphere(tmp_path / f"{n}.sph", announced)) == 50_000
    with pytest.raises(AudioError, match=r"announces 6\.2 s and holds 3\.1 s"):
        probe(sphere(tmp_path / "b.sph", b"sample_count -i 100000\n"))
    with pytest.raises(AudioError, match="cut short"):
        probe(sphere(tmp_path / "c.sph", b"sample_count -i 50000\n", audio=SAMPLES.tobytes()[:80_000]))


def test_sphere_files_with_more_to_say(tmp_path: Path) -> None:
    """What stands behind the header are samples; what libsndfile does not read of these files is still no text."""
    quoted = b"\nsample_count -i 90000\n".ljust(24) + SAMPLES.tobytes()
    assert count(sphere(tmp_path / "b.sph", b"", audio=quoted)) == 50_006
    said = b"speaker_id -s4 fadg\n" * 60
    with pytest.raises(AudioError, match=r"of a kind that is not read here .* convert it"):
        probe(sphere(tmp_path / "c.sph", b"sample_count -i 50000\n", size=2048, before=said))


@pytest.mark.parametrize(
    ("container", "coding"), [("NIST", "PCM_16"), ("NIST", "ULAW"), ("WVE", "ALAW"), ("MAT4", "PCM_16")]
)
def test_half_a_file_of_the_rarer_kinds(tmp_path: Path, container: str, coding: str) -> None:
    path = tmp_path / "a"
    sf.write(path, SAMPLES[:, :1], 8000, format=container, subtype=coding)
    assert count(str(path)) == 50_000
    data = path.read_bytes()
    for part in (0.3, 0.5, 0.7):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(AudioError, match="cut short"):
            probe(str(path))
