"""Every file that is no recording gets a reason that a person understands, and no file is waited for."""

import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.audio import probe as probing
from hpss_batch.audio.probe import AudioInfo, probe
from hpss_batch.audio.recording import Recording, decode_count
from hpss_batch.errors import AudioError

NOISE = np.random.default_rng(0).standard_normal((30_000, 2)).astype(np.float32).clip(-3, 3) / 4
BYTES = np.random.default_rng(1).bytes(5_000)


def reason(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        probe(str(path), "libsndfile")
    with pytest.raises(AudioError):
        Recording(str(path), decoder="libsndfile")
    with pytest.raises(AudioError):
        decode_count(str(path), "libsndfile")
    said = str(caught.value)
    assert str(path) not in said
    assert "\n" not in said
    return said


def test_what_a_header_announces(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    sf.write(path, NOISE, 16000, subtype="PCM_24")
    assert probe(str(path)) == AudioInfo(30_000, 16000, 2, "FLAC/PCM_24")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("empty.wav", b"", "is empty (0 bytes)"),
        ("text.wav", b"not a sound, but a note\n" * 9, "is not audio but text"),
        ("page.mp3", b"<!DOCTYPE html><title>404</title>" * 9, "is not audio but text"),
        ("utf16.mp3", ("words " * 99).encode("utf-16"), "UTF-16 text"),
        ("photo.flac", b"\xff\xd8\xff\xe0\0\x10JFIF" + BYTES, "a JPEG image"),
        ("drawing.ogg", b"\x89PNG\r\n\x1a\n" + BYTES, "a PNG image"),
        ("pack.wav", b"PK\x03\x04" + BYTES, "a ZIP archive"),
        ("zeros.wav", bytes(5_000), "nothing but zeros"),
        ("zeros.mp3", bytes(5_000), "nothing but zeros"),
        ("noise.wav", b"\x01\x80" + BYTES, "is not audio, or of a kind"),
        ("tag.mp3", b"ID3\x03\0\0\0\0\x07\x76" + bytes(2_000), "no audio is found in it"),
        ("song.m4a", b"\0\0\0\x20ftypM4A " + BYTES, "MPEG-4"),
        ("renamed.mp3", b"\0\0\0\x20ftypM4A " + BYTES, "which is not read here; set corpus.decoder=auto"),
        ("song.wma", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + BYTES, "Windows Media"),
        ("song.wma", b"\x01\x80" + BYTES, "is Windows Media Audio"),
        ("song.au", b"a text that libsndfile would play as noise\n" * 9, "is not audio but text"),
        (
            "samples.raw",
            b"\x01\x80" + BYTES,
            "is samples without a header, which is not read here; say what they are",
        ),
        ("pointer.wav", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (
            "flac.oga",
            b"OggS\0\2" + bytes(20) + b"\1\x33\x7fFLAC\1\0\0\1fLaC" + BYTES,
            "is FLAC in Ogg, which is not read",
        ),
        ("head.wav", b"RIFF", "is damaged, cut short"),
        ("head.flac", b"fLaC" + BYTES, "is damaged, cut short"),
    ],
)
def test_what_is_no_recording(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert said in reason(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")  # opening it would wait for a writer, for ever
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "a.wav").symlink_to("b.wav")
    (tmp_path / "b.wav").symlink_to("a.wav")
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    (tmp_path / "nowhere.wav").symlink_to("gone.wav")
    for name, said in (
        ("pipe.wav", "is a named pipe"),
        ("folder.wav", "is a folder"),
        ("a.wav", "is a link in a circle"),
        ("device.wav", "is a device"),
        ("nowhere.wav", "is not there"),
        ("missing.wav", "is not there"),
        ("x" * 300 + ".wav", "File name too long"),
        ("zero\0byte.wav", "no file can have"),
    ):
        assert said in reason(tmp_path / name)


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.wav")
        assert "is a socket" in reason(Path("socket.wav"))


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.wav"
    sf.write(path, NOISE, 16000)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)  # tests may run as root, who may read everything
    with pytest.raises(AudioError, match="permission denied"):
        probe(str(path))
    monkeypatch.undo()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(AudioError, match="permission denied"):
        probe(str(path))


@pytest.mark.parametrize(
    ("at", "code", "value", "said"),
    [
        (24, "<I", 0, "impossible rate"),
        (24, "<I", 0xFFFFFFF0, "impossible rate"),
        (24, "<I", 0x7FFFFFFF, "2147483647 samples a second"),
        (22, "<H", 0, "Channel count is zero"),
        (22, "<H", 1000, "1000 channels"),
        (22, "<H", 60000, "Too many channels"),
    ],
)
def test_headers_that_make_no_sense(tmp_path: Path, at: int, code: str, value: int, said: str) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, NOISE, 16000)
    data = bytearray(path.read_bytes())
    struct.pack_into(code, data, at, value)
    path.write_bytes(data)
    assert said in reason(path)


@pytest.mark.parametrize(
    ("container", "coding"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "IMA_ADPCM"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("VOC", "PCM_16"),
        ("CAF", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_half_a_file(tmp_path: Path, container: str, coding: str) -> None:
    """Cut anywhere in the middle: an error when it is opened, or when the end is met."""
    path = tmp_path / "half"
    sf.write(path, NOISE, 16000, format=container, subtype=coding)
    data = path.read_bytes()
    for part in (0.3, 0.5, 0.7):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(AudioError, match="cut short"), Recording(str(path)) as recording:
            recording.read(0, recording.bound)


@pytest.mark.parametrize(
    ("suffix", "coding"),
    [
        ("wav", "PCM_16"),
        ("flac", "PCM_24"),
        ("ogg", "VORBIS"),
        ("opus", "OPUS"),
        ("mp3", "MPEG_LAYER_III"),
        ("sph", "PCM_16"),
    ],
)
def test_a_path_longer_than_libsndfile_takes(tmp_path: Path, suffix: str, coding: str) -> None:
    """The same samples as from a short path, wherever reading begins."""
    container = {"opus": "OGG", "sph": "NIST"}.get(suffix, suffix.upper())
    short = tmp_path / f"a.{suffix}"
    sf.write(short, NOISE, 16000, format=container, subtype=coding)
    deep = deep_folder(tmp_path)
    for n_bytes in (1023, 1024, 1025, 1200):
        path = deep / ("x" * (n_bytes - len(os.fsencode(deep)) - len(suffix) - 2) + f".{suffix}")
        os.link(short, path)
        assert len(os.fsencode(path)) == n_bytes
        assert probe(str(path)) == probe(str(short))
        assert decode_count(str(path)) == 30_000
        with Recording(str(path)) as far, Recording(str(short)) as near:
            for start, stop in ((20_000, 21_000), (0, 30_000), (100, 200)):
                np.testing.assert_array_equal(far.read(start, stop), near.read(start, stop))


def test_what_is_no_recording_at_a_long_path(tmp_path: Path) -> None:
    deep = deep_folder(tmp_path)
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else None
    for name, said in (
        ("x" * 200 + ".wav", "is not audio but text"),
        ("x" * 200 + ".vox", "has a path of 1,"),
    ):
        (deep / name).write_text("not a sound, but a note\n" * 9)
        assert said in reason(deep / name)
    assert before is None or len(os.listdir("/proc/self/fd")) == before


def deep_folder(parent: Path) -> Path:
    """A folder whose path has about 950 bytes."""
    while (room := 950 - len(os.fsencode(parent))) > 1:
        parent /= "d" * min(room - 1, 200)
    parent.mkdir(parents=True)
    return parent


def test_a_length_that_is_absurd_is_counted(tmp_path: Path) -> None:
    """Silence takes next to no bytes, and a stream does not know its length; both are decoded to know it."""
    path = tmp_path / "silence.flac"
    sf.write(path, np.zeros(2_000_000, np.int16), 16000)
    assert path.stat().st_size * 256 < 2_000_000
    assert probe(str(path)).n_samples == 2_000_000
    with Recording(str(path)) as recording:
        assert recording.read(1_999_999, 3_000_000).shape == (1, 1)
        assert recording.n_samples == 2_000_000


def test_what_decodes_for_days_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.flac"
    sf.write(path, np.zeros(2_000_000, np.int16), 16000)
    monkeypatch.setattr(probing, "_MOST_COUNTED", 1_000_000)
    with pytest.raises(AudioError, match=r"hours of audio in [0-9,]+ bytes"):
        probe(str(path))
