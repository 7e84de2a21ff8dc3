"""FLAC files with another one behind their end, and with what may stand there."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.audio import headers
from hpss_batch.audio.headers import is_joined_flac
from hpss_batch.audio.recording import Recording
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
