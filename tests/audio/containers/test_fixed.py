"""Headers that count samples at fixed places: AVR, MPC, XI, SDS, MAT5 and VOC."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.audio.recording import Recording, probe
from hpss_batch.errors import AudioError

SAMPLES = np.random.default_rng(0).integers(-9000, 9000, 30_000).astype(np.int16)


def written(path: Path, container: str, coding: str, channels: int) -> bytes:
    samples = SAMPLES.reshape(-1, channels)
    sf.write(path, samples, 44100, format=container, subtype=coding)
    data = path.read_bytes()
    if container == "XI":  # libsndfile leaves the size 0
        data = data[:298] + struct.pack("<I", len(data) - 338) + data[302:]
    return data


@pytest.mark.parametrize(
    ("container", "coding", "channels"),
    [
        ("AVR", "PCM_16", 1),
        ("AVR", "PCM_U8", 2),
        ("MPC2K", "PCM_16", 1),
        ("MPC2K", "PCM_16", 2),
        ("XI", "DPCM_16", 1),
        ("XI", "DPCM_8", 1),
        ("SDS", "PCM_S8", 1),
        ("SDS", "PCM_16", 1),
        ("SDS", "PCM_24", 1),
        ("MAT5", "PCM_16", 2),
        ("MAT5", "DOUBLE", 1),
        ("VOC", "PCM_16", 2),
    ],
)
def test_whole_and_cut_short(tmp_path: Path, container: str, coding: str, channels: int) -> None:
    path = tmp_path / "a"
    data = written(path, container, coding, channels)
    path.write_bytes(data)
    with Recording(str(path)) as recording:
        assert recording.read(0, recording.bound).shape[1] == len(SAMPLES) // channels
    for part in (0.1, 0.3, 0.5, 0.7):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(AudioError, match="cut short"):
            probe(str(path))


def test_a_header_without_a_size(tmp_path: Path) -> None:
    """What an unfinished file holds is read to its end."""
    path = tmp_path / "a"
    data = written(path, "AVR", "PCM_16", 1)
    path.write_bytes(data[:26] + bytes(4) + data[30:])
    with Recording(str(path)) as recording:
        assert recording.read(0, recording.bound).shape[1] == len(SAMPLES)


def test_blocks_of_sound(tmp_path: Path) -> None:
    """Of a VOC file in several blocks, libsndfile reads the first, and the heads of the others as noise."""
    path = tmp_path / "a"
    head = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x0114, 0x111F)
    form = struct.pack("<IBBHI", 16000, 16, 1, 4, 0)
    halves = [SAMPLES[:15_000].tobytes(), SAMPLES[15_000:].tobytes()]

    def block(kind: int, content: bytes) -> bytes:
        return struct.pack("<I", kind | len(content) << 8) + content

    path.write_bytes(head + block(9, form + SAMPLES.tobytes()) + b"\0")
    with Recording(str(path)) as recording:
        assert recording.read(0, recording.bound).shape[1] == len(SAMPLES)
    path.write_bytes(head + block(5, b"text\0") + block(9, form + halves[0]) + block(2, halves[1]) + b"\0")
    with pytest.raises(
        AudioError, match=r"several blocks of sound.* convert it, e\.g\. with ffmpeg -i FILE FILE\.flac"
    ):
        probe(str(path))


@pytest.mark.parametrize("announced", [0, 8_000])
def test_sample_dumps_that_hold_more(tmp_path: Path, announced: int) -> None:
    path = tmp_path / "a"
    data = bytearray(written(path, "SDS", "PCM_16", 1))
    data[10:13] = bytes((announced & 127, announced >> 7, 0))
    path.write_bytes(data)
    with pytest.raises(AudioError, match=rf"wrong header: it announces {announced / 44100:.1f} s"):
        probe(str(path))
