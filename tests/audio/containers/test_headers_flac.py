"""FLAC files with another one behind their end, and with what may stand there."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.audio.containers import headers
from hpss_batch.audio.containers.headers import find_flac_extent, is_joined_flac
from hpss_batch.audio.recording import Recording, probe
from hpss_batch.errors import AudioError

NOISE = np.random.default_rng(0).integers(-9000, 9000, (40_000, 2)).astype(np.int16)
ID3 = b"ID3\x03\0\0\0\0\x07\x68" + bytes(1000)


@pytest.fixture
def flac(tmp_path: Path) -> Path:
    path = tmp_path / "a.flac"
    sf.write(path, NOISE, 16000)
    return path


def bare(data: bytes) -> bytes:
    """A file without any metadata but its stream information."""
    at, last = 4, 0
    while not last:
        last, size = data[at] & 0x80, int.from_bytes(data[at + 1 : at + 4])
        at += 4 + size
    return b"fLaC\x80" + data[5:42] + data[at:]


@pytest.mark.parametrize("between", [b"", b"TAG" + bytes(125), ID3])
def test_two_files_joined(flac: Path, between: bytes) -> None:
    """The decoder ends where the first one does."""
    data = flac.read_bytes()
    for first in (data, bare(data), ID3 + data):
        for second in (data, bare(data)):
            flac.write_bytes(first + between + second)
            with (
                pytest.raises(AudioError, match="holds several FLAC files"),
                Recording(str(flac)) as recording,
            ):
                recording.read(0, recording.bound)


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        b"TAG" + bytes(125),
        b"fLaC",
        b"fLaC and more",
        bytes(5_000),
        np.random.default_rng(0).bytes(5_000),
    ],
)
def test_what_may_stand_behind_the_end(flac: Path, behind: bytes) -> None:
    data = flac.read_bytes()
    for whole in (data, bare(data), ID3 + data):
        flac.write_bytes(whole + behind)
        with Recording(str(flac), channels="all") as recording:
            found = recording.read(0, recording.bound)
        np.testing.assert_array_equal(found, NOISE.T / np.float32(2**15))


def test_what_metadata_holds_is_no_second_file(flac: Path) -> None:
    data = flac.read_bytes()
    kept = b"riff" + data  # as programs keep what they do not understand
    block = b"\x02" + len(kept).to_bytes(3) + kept
    flac.write_bytes(data[:42] + block + data[42:])
    assert not is_joined_flac(str(flac))
    with Recording(str(flac)) as recording:
        assert recording.read(0, recording.bound).shape == (1, 40_000)


@pytest.mark.parametrize("shift", range(-9, 2))
def test_a_beginning_across_two_steps(flac: Path, monkeypatch: pytest.MonkeyPatch, shift: int) -> None:
    monkeypatch.setattr(headers, "STEP", 2**18)
    data = flac.read_bytes()
    flac.write_bytes(data + bytes(2**18 + shift - len(data)) + data)
    assert is_joined_flac(str(flac))


def test_anything_else_is_not_joined(flac: Path) -> None:
    for data in (b"fLaC", b"fLaC\0\0\0\x22", b"fLaC\0\0\0\x22" + bytes(40), b"x", b"OggS" * 9):
        flac.write_bytes(data)
        assert not is_joined_flac(str(flac))


def announce(data: bytes, n: int) -> bytes:
    """The file whose stream information announces `n` samples."""
    at = data.index(b"fLaC") + 18
    packed = int.from_bytes(data[at : at + 8]) >> 36 << 36 | n
    return data[:at] + packed.to_bytes(8) + data[at + 8 :]


@pytest.mark.parametrize("n", [0, 1, 4096, 10_000, 39_999])
def test_fewer_samples_are_announced_than_there_are(flac: Path, n: int) -> None:
    """The last frame's number tells how many there are."""
    data = flac.read_bytes()
    for whole in (data, bare(data), ID3 + data, data + b"TAG" + bytes(125), data + bytes(3_000)):
        flac.write_bytes(announce(whole, n))
        assert probe(str(flac)).n_samples == 40_000
        with Recording(str(flac), channels="all") as recording:
            np.testing.assert_array_equal(recording.read(0, recording.bound), NOISE.T / np.float32(2**15))
            part = recording.read(30_000, 30_100)
        np.testing.assert_array_equal(part, NOISE[30_000:30_100].T / np.float32(2**15))
    flac.write_bytes(announce(data, n)[: len(data) * 2 // 3])
    with pytest.raises(AudioError, match="cut short"), Recording(str(flac)) as recording:
        recording.read(0, recording.bound)


@pytest.mark.parametrize("n", [1, 500, 4096, 4097, 9000])
@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 37_800, 96_000, 65_000])
def test_frames_of_every_length(tmp_path: Path, n: int, rate: int) -> None:
    """Headers of frames say block and rate in different numbers of bytes."""
    path = tmp_path / "a.flac"
    sf.write(path, NOISE[:n, 0], rate)
    data = path.read_bytes()
    assert find_flac_extent(str(path)) is None
    path.write_bytes(announce(data, n // 2))
    assert probe(str(path)).n_samples == n


def test_checksum() -> None:
    """The check value of CRC-8 in the catalogue of parametrised CRC algorithms."""
    assert headers._crc8(b"123456789") == 0xF4
