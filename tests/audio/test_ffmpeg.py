"""Recordings that FFmpeg reads: what comes out is what was encoded, however it is cut, and damage does not pass."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile as sf
from helpers import ENCODED_RATE, encode, music

from hpss_batch.audio.probe import probe
from hpss_batch.audio.recording import Recording
from hpss_batch.errors import AudioError

RATE, LENGTH = ENCODED_RATE, 100_001
TIME = np.arange(LENGTH) / RATE
SINES = np.stack([0.5 * np.sin(2 * np.pi * 440 * TIME), 0.25 * np.sin(2 * np.pi * 1000 * TIME + 1)])
STEPS = np.round(SINES * 2**15).astype(np.int16)

LOSSY = [
    ("a.m4a", "aac", "mp4"), ("a.aac", "aac", "adts"), ("a.webm", "libopus", "webm"), ("a.mka", "libopus", "matroska"),
    ("a.wma", "wmav2", "asf"), ("a.ac3", "ac3", "ac3"), ("a.mov", "aac", "mov"), ("a.avi", "libmp3lame", "avi"),
]  # fmt: skip
WITHOUT_PADDING = {
    "adts": (1024, 99 * 1024),  # a frame of priming, and whole frames
    "ac3": (256, 66 * 1536),
    "avi": (1105, 88 * 1152),  # LAME's 576, and the decoder's 529
    "asf": (-2048, 48 * 2048),  # FFmpeg gives neither the first frame nor the last
}
"""Where sound begins, and how many samples there are, in files that do not say."""

LOSSLESS = [
    ("a.m4a", "alac", "mp4", 16), ("a.mka", "flac", "matroska", 16), ("a.tta", "tta", "tta", 16),
    ("a.wv", "wavpack", "wv", 16), ("a.oga", "flac", "ogg", 16), ("a.mov", "pcm_s24le", "mov", 24),
    ("a.mka", "pcm_u8", "matroska", 8), ("a.mov", "pcm_s32le", "mov", 32), ("a.mka", "pcm_f64le", "matroska", 0),
]  # fmt: skip
CHECKED = [kind[:3] for kind in LOSSLESS[1:5]] + [("a.ac3", "ac3", "ac3"), ("a.mka", "libopus", "matroska")]
"""Files that have checksums."""


def whole(path: Path, **options: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    with Recording(str(path), channels="all", **options) as recording:
        found = recording.read(0, recording.bound)
        assert recording.n_samples == found.shape[1]
        return found


@pytest.mark.parametrize(("name", "codec", "container"), LOSSY)
def test_sines_come_back_where_they_were(tmp_path: Path, name: str, codec: str, container: str) -> None:
    """Opus, and AAC in MPEG-4, say how much of what is decoded comes before and behind; others do not."""
    path = encode(tmp_path / name, codec, container, SINES)
    found, info = whole(path), probe(str(path))
    assert (info.sample_rate, info.channels, info.decoder) == (RATE, 2, "ffmpeg")
    assert info.n_samples >= found.shape[1]
    late, length = WITHOUT_PADDING.get(container, (0, LENGTH))
    assert (
        length <= found.shape[1] < length + (1024 if container in ("mp4", "mov") else 1)
    )  # FFmpeg 8 leaves padding
    middle = slice(5_000, 95_000)
    error = found[:, middle.start + late : middle.stop + late] - SINES[:, middle]
    assert np.sqrt(np.mean(error**2)) < 0.01  # 31 dB below; a sample too early or late is an error of 0.03


@pytest.mark.parametrize(("name", "codec", "container", "bits"), LOSSLESS)
def test_whole_numbers_are_scaled_as_libsndfile_scales_them(
    tmp_path: Path, name: str, codec: str, container: str, bits: int
) -> None:
    samples = SINES if not bits else np.round(SINES * 2.0 ** (bits - 1)) / 2.0 ** (bits - 1)
    found = whole(encode(tmp_path / name, codec, container, samples))
    assert found.shape == SINES.shape
    np.testing.assert_allclose(found, samples, rtol=0, atol=2.0**-24 if bits in (0, 32) else 0)


@pytest.mark.parametrize(("name", "codec", "container"), LOSSY)
def test_any_cutting_gives_the_same_bits(tmp_path: Path, name: str, codec: str, container: str) -> None:
    path = encode(tmp_path / name, codec, container, SINES)
    expected = whole(path)
    draw = random.Random(0)
    with Recording(str(path), channels="all") as recording:
        for _ in range(20):
            start = draw.randrange(-100, LENGTH)
            found = recording.read(start, start + draw.randrange(9000))
            np.testing.assert_array_equal(found, expected[:, max(start, 0) :][:, : found.shape[1]])


@pytest.mark.parametrize(("name", "codec", "container"), LOSSY)
def test_an_object_gives_the_bits_of_a_file(tmp_path: Path, name: str, codec: str, container: str) -> None:
    path = encode(tmp_path / name, codec, container, SINES)
    with Recording(f"file://{path}", channels="all") as recording:
        np.testing.assert_array_equal(recording.read(0, recording.bound), whole(path))


def test_the_sound_of_a_video(tmp_path: Path) -> None:
    six = np.stack([*SINES, *-SINES, *(SINES / 2)])
    for name, container, codec in (("a.mp4", "mp4", "aac"), ("a.mkv", "matroska", "ac3")):
        found = whole(encode(tmp_path / name, codec, container, six, video=True))
        assert found.shape[0] == 6
        assert abs(found.shape[1] - LENGTH) < 2048


def test_a_video_without_sound(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream: Any = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(stream.encode(None))
    with pytest.raises(AudioError, match="there is no sound in it"):
        probe(str(tmp_path / "a.mp4"))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "PCM_U8", "FLOAT", "DOUBLE", "ULAW"])
def test_both_decoders_give_the_same_samples(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, SINES.T, RATE, subtype=subtype)
    assert probe(str(path)).decoder == "libsndfile"
    assert probe(str(path), "ffmpeg").decoder == "ffmpeg"
    np.testing.assert_array_equal(whole(path), whole(path, decoder="ffmpeg"))


def damaged(path: Path, change: Callable[[bytearray, random.Random], None], tries: int = 12) -> None:
    """No changed file may be read at all; FFmpeg itself passes over most of this."""
    good, draw = path.read_bytes(), random.Random(1)
    whole(path)
    for _ in range(tries):
        data = bytearray(good)
        change(data, draw)
        path.write_bytes(data)
        with pytest.raises(AudioError):
            whole(path)


@pytest.mark.parametrize(("name", "codec", "container"), [*LOSSY, *(kind[:3] for kind in LOSSLESS)])
def test_a_file_cut_short_fails(
    tmp_path: Path, name: str, codec: str, container: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def cut(data: bytearray, draw: random.Random) -> None:
        del data[draw.randrange(len(data) // 10, len(data) - 20) :]

    damaged(encode(tmp_path / name, codec, container, SINES), cut)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "codec", "container"), [*LOSSY, *(kind[:3] for kind in LOSSLESS[:5])])
def test_a_file_with_a_hole_fails(tmp_path: Path, name: str, codec: str, container: str) -> None:
    def hole(data: bytearray, draw: random.Random) -> None:
        at = draw.randrange(len(data) // 4, len(data) * 3 // 4)
        del data[at : at + 777]

    damaged(encode(tmp_path / name, codec, container, music(LENGTH / RATE, RATE, 2).T), hole)


@pytest.mark.parametrize(("name", "codec", "container"), CHECKED)
def test_one_bit_fails_where_there_are_checksums(
    tmp_path: Path, name: str, codec: str, container: str
) -> None:
    def flip(data: bytearray, draw: random.Random) -> None:
        data[draw.randrange(len(data) // 4, len(data) * 3 // 4)] ^= 1 << draw.randrange(8)

    damaged(encode(tmp_path / name, codec, container, SINES), flip)


def test_what_is_no_recording_has_the_same_reason_with_either_decoder(tmp_path: Path) -> None:
    for name, data, said in (
        ("a.m4a", b"a text, and no sound at all\n" * 9, "is not audio but text"),
        ("b.m4a", b"\x89PNG\r\n\x1a\n" + bytes(99), "is not audio but a PNG image"),
        ("c.m4a", bytes(999), "nothing but zeros"),
        ("d.m4a", b"\0\0\0\x20ftypM4A " + bytes(999), r"is damaged.* \(FFmpeg: .*copy it again"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(AudioError, match=said):
            probe(str(tmp_path / name))


def test_a_playlist_reads_no_other_file(tmp_path: Path) -> None:
    sound = encode(tmp_path / "a.aac", "aac", "adts", SINES)
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\n{sound}\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(AudioError):
        probe(str(tmp_path / "list.m3u8"), "ffmpeg")
