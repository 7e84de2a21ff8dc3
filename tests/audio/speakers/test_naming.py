"""Layouts are read as FFmpeg reads them."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf
from helpers import ENCODED_RATE, encode, music

from hpss_batch.audio.probe import probe
from hpss_batch.audio.recording import Recording
from hpss_batch.audio.speakers.layouts import arrangement


def caf(path: Path, layout: bytes, channels: int) -> Path:
    """A CAF file of 480 samples with a layout chunk, by Apple's specification."""
    description = struct.pack(">d4sIIIII", 48_000, b"lpcm", 0, 2 * channels, 1, channels, 16)
    chunks = {b"desc": description, b"chan": layout, b"data": bytes(4 + 2 * channels * 480)}
    path.write_bytes(
        struct.pack(">4sHH", b"caff", 1, 0)
        + b"".join(name + struct.pack(">Q", len(data)) + data for name, data in chunks.items())
    )
    return path


def names(layout: str) -> tuple[str, ...]:
    return tuple(layout.split())


def ffmpeg_says(path: Path) -> tuple[str, ...]:
    with av.open(str(path)) as file:
        return tuple(channel.name for channel in file.streams.audio[0].layout.channels)


APPLE = {
    108: 4, 113: 3, 114: 3, 115: 4, 116: 4, 117: 5, 118: 5, 119: 5, 120: 5, 121: 6, 122: 6, 123: 6, 124: 6, 125: 7,
    126: 8, 127: 8, 128: 8, 129: 8, 131: 3, 132: 4, 133: 3, 134: 4, 135: 5, 136: 4, 137: 5, 138: 5, 139: 6, 140: 7,
    141: 6, 142: 7, 143: 7, 144: 8,
}  # fmt: skip
"""Tags of CoreAudioTypes.h, and their channels."""


@pytest.mark.parametrize(("tag", "channels"), APPLE.items())
def test_apple_s_tags_are_what_ffmpeg_takes_them_for(tag: int, channels: int, tmp_path: Path) -> None:
    file = caf(tmp_path / "a.caf", struct.pack(">III", tag << 16 | channels, 0, 0), channels)
    assert probe(str(file)).layout == ffmpeg_says(file)


@pytest.mark.parametrize("labels", [(1, 2, 4), (3, 1, 2, 5, 6, 4), (1, 2, 10, 11)])
def test_so_are_descriptions_of_single_channels(labels: tuple[int, ...], tmp_path: Path) -> None:
    content = struct.pack(">III", 0, 0, len(labels))
    content += b"".join(struct.pack(">II12x", label, 0) for label in labels)
    file = caf(tmp_path / "a.caf", content, len(labels))
    assert probe(str(file)).layout == ffmpeg_says(file)


@pytest.mark.parametrize(
    ("content", "channels"),
    [
        (struct.pack(">III", 0xFFFF0003, 0, 0), 3),
        (struct.pack(">III", 121 << 16 | 6, 0, 0), 5),
        (struct.pack(">III", 1 << 16, 0b11, 0), 3),
        (struct.pack(">III5I", 0, 0, 900, 1, 0, 0, 0, 0), 3),
        (b"\x00", 3),
    ],
)
def test_a_layout_that_does_not_fit_the_channels_is_none(
    content: bytes, channels: int, tmp_path: Path
) -> None:
    assert probe(str(caf(tmp_path / "a.caf", content, channels))).layout == ()


@pytest.mark.parametrize("channels", range(3, 9))
@pytest.mark.parametrize(
    ("extension", "subtype"), [("ogg", "VORBIS"), ("ogg", "OPUS"), ("flac", "PCM_16"), ("caf", "ALAC_16")]
)
def test_formats_whose_order_is_fixed_have_ffmpeg_s(
    extension: str, subtype: str, channels: int, tmp_path: Path
) -> None:
    """FFmpeg decodes to an order of its own, so what libsndfile decodes must be that when it is put into it."""
    file = tmp_path / f"a.{extension}"
    sf.write(file, music(0.5, 48_000, channels), 48_000, subtype=subtype)
    with (
        Recording(str(file), channels="all") as own,
        Recording(str(file), channels="all", decoder="ffmpeg") as theirs,
    ):
        found, expected = own.read(0, 20_000), theirs.read(0, 20_000)
        assert set(own.info.layout) == set(theirs.info.layout)
        order = [own.info.layout.index(name) for name in theirs.info.layout]
    assert len(order) == channels
    np.testing.assert_allclose(found[order], expected, atol=2e-2 if subtype == "OPUS" else 1e-3)


def test_what_has_no_layout_is_told_apart_from_what_has(tmp_path: Path) -> None:
    samples = music(0.1, ENCODED_RATE, 6)
    sf.write(tmp_path / "plain.wav", samples, ENCODED_RATE)
    sf.write(tmp_path / "stereo.wav", samples[:, :2], ENCODED_RATE, format="WAVEX")
    encode(tmp_path / "named.wav", "pcm_s16le", "wav", samples.T)
    assert probe(str(tmp_path / "plain.wav")).layout == ()
    assert probe(str(tmp_path / "stereo.wav")).layout == ()
    assert probe(str(tmp_path / "named.wav")).layout == ffmpeg_says(tmp_path / "named.wav")


@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_f64le", "pcm_s24le", "pcm_s16le"])
@pytest.mark.parametrize("channels", [2, 6])
def test_w64_of_ffmpeg_has_the_samples_that_were_written(codec: str, channels: int, tmp_path: Path) -> None:
    """libsndfile takes its floats of 32 bits for whole numbers."""
    samples = music(0.2, ENCODED_RATE, channels).T
    with Recording(str(encode(tmp_path / "a.w64", codec, "w64", samples)), channels="all") as recording:
        found = recording.read(0, samples.shape[1])
    np.testing.assert_allclose(found, samples, atol=2.0**-15 if codec == "pcm_s16le" else 2.0**-22)


def test_the_pair_behind_the_listener_may_be_at_the_sides() -> None:
    back, side = names("FL FR FC LFE BL BR"), names("FL FR FC LFE SL SR")
    assert arrangement("OGG", "VORBIS", 6, back) == arrangement("OGG", "VORBIS", 6, side)
    wide = names("FL FR FC LFE BL BR FLC FRC")
    assert arrangement("OGG", "VORBIS", 8, wide) is None
    found = arrangement("OGG", "VORBIS", 8, names("FL FR FC LFE SL SR BL BR"))
    assert found is not None
    assert found.order == (0, 2, 1, 4, 5, 6, 7, 3)
