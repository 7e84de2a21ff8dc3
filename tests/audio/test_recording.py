"""A recording's samples are the same bits whatever was read before, and its end is where decoding ends."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpss_batch.audio import decoder, resampler
from hpss_batch.audio.recording import AudioInfo, Recording, decode_count, probe
from hpss_batch.errors import AudioError, ParameterError

Array = np.ndarray[Any, Any]

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float": ("WAV", "FLOAT"),
    "ulaw": ("AU", "ULAW"),
    "ima": ("WAV", "IMA_ADPCM"),
    "gsm": ("WAV", "GSM610"),
    "aiff": ("AIFF", "PCM_24"),
    "flac": ("FLAC", "PCM_16"),
    "alac": ("CAF", "ALAC_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


def music(n: int, channels: int = 2, rate: int = 16000, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    t = np.arange(n) / rate
    tone = 0.3 * np.sin(2 * np.pi * (300 * t + 40 * t**2))
    return np.asarray(tone[:, None] + 0.1 * rng.standard_normal((n, channels)), np.float32).clip(-0.9, 0.9)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("audio")
    found = {}
    for name, (container, coding) in FORMATS.items():
        path = root / name
        samples = music(70_001)[:, :1] if name == "gsm" else music(70_001)
        sf.write(path, samples, 16000, format=container, subtype=coding)
        found[name] = str(path)
    return found


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have short recordings consist of many pieces and blocks, as long ones do."""
    real = decoder.block_samples

    def blocks(info: AudioInfo) -> int:
        return 20_000 if info.format.startswith(("MP3", "OGG")) else real(info)

    monkeypatch.setattr(decoder, "block_samples", blocks)
    monkeypatch.setattr(decoder, "_BEFORE", 3_000)
    monkeypatch.setattr(decoder, "_PIECE", 4_096)
    monkeypatch.setattr(decoder, "_HELD", 12_000)
    monkeypatch.setattr(resampler, "_BLOCK", 9_000)


def whole(path: str, rate: int | None, channels: Literal["mono", "all"]) -> tuple[Array, int]:
    with Recording(path, sample_rate=rate, channels=channels) as recording:
        samples = recording.read(0, recording.bound + 10)
        assert recording.n_samples == samples.shape[1] <= recording.bound
        return samples, samples.shape[1]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("channels", ["mono", "all"])
def test_samples_are_those_of_soundfile(
    recordings: dict[str, str], name: str, channels: Literal["mono", "all"]
) -> None:
    samples, n = whole(recordings[name], None, channels)
    expected, rate = sf.read(recordings[name], dtype="float32", always_2d=True)
    wanted = expected.T.mean(axis=0, keepdims=True) if channels == "mono" else expected.T
    assert rate == probe(recordings[name]).sample_rate
    assert n == len(expected) == decode_count(recordings[name])
    np.testing.assert_array_equal(samples, wanted)


spans = st.lists(st.tuples(st.integers(-2_000, 75_000), st.integers(0, 40_000)), min_size=1, max_size=6)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["flac", "gsm", "ima", "mp3", "ogg", "opus"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=spans,
    rate=st.sampled_from([None, 16000, 22050, 8000, 16001]),
    channels=st.sampled_from(["mono", "all"]),
)
def test_any_spans_in_any_order_have_the_same_bits(
    recordings: dict[str, str],
    name: str,
    wanted: list[tuple[int, int]],
    rate: int | None,
    channels: Literal["mono", "all"],
) -> None:
    samples, n = whole(recordings[name], rate, channels)
    with Recording(recordings[name], sample_rate=rate, channels=channels) as recording:
        for start, length in wanted:
            found = recording.read(start, start + length)
            np.testing.assert_array_equal(found, samples[:, max(start, 0) : max(start + length, 0)])
            assert recording.n_samples in (None, n)
            if length and start < n < start + length:
                assert recording.n_samples == n


@pytest.mark.usefixtures("small_blocks")
def test_a_long_ogg_is_read_from_its_middle(
    recordings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    real = decoder.Decoder._fill
    monkeypatch.setattr(decoder.Decoder, "_fill", lambda self, n: decoded.append(n) or real(self, n))
    expected, _ = whole(recordings["ogg"], None, "all")
    decoded.clear()
    with Recording(recordings["ogg"], channels="all") as recording:
        np.testing.assert_array_equal(recording.read(40_000, 41_000), expected[:, 40_000:41_000])
    assert sum(decoded) < 10_000


def test_memory_given_is_used(recordings: dict[str, str]) -> None:
    out = np.full((1, 5_000), 7, np.float32)
    with Recording(recordings["wav"]) as recording:
        found = recording.read(100, 1_100, out)
        assert found.shape == (1, 1_000)
        assert np.shares_memory(found, out)
        np.testing.assert_array_equal(found, recording.read(100, 1_100))
    assert (out[:, 1_000:] == 7).all()


def test_behind_the_end_is_nothing(recordings: dict[str, str]) -> None:
    for rate in (None, 8000):
        with Recording(recordings["wav"], sample_rate=rate, channels="all") as recording:
            assert recording.read(10**9, 10**9 + 5).shape == (2, 0)
            assert recording.n_samples is None
            assert recording.read(-50, 0).shape == (2, 0)
            assert recording.read(recording.bound - 3, recording.bound).shape == (2, 3)
            assert recording.n_samples == recording.bound


@pytest.mark.parametrize("n", [0, 1, 2, 100])
@pytest.mark.parametrize("name", ["wav", "flac", "ogg", "mp3"])
def test_few_samples(tmp_path: Path, name: str, n: int) -> None:
    container, coding = FORMATS[name]
    path = tmp_path / "few"
    sf.write(path, music(n), 16000, format=container, subtype=coding)
    if name in ("mp3", "flac") and n == 0:
        with pytest.raises(AudioError):  # a file of no frames, and one of no bytes
            probe(str(path))
        return
    samples, found = whole(str(path), None, "mono")
    assert samples.shape == (1, found)
    assert found == n
    assert whole(str(path), 48000, "all")[1] == 3 * n


def test_a_header_that_promises_too_much(tmp_path: Path) -> None:
    """Up to 0.1%, or a second that is at most a tenth, is what encoders leave; more is a file cut short."""
    path = tmp_path / "lying.flac"
    sf.write(path, music(40_000), 16000)
    data = bytearray(path.read_bytes())

    def announce(n: int) -> str:
        held = int.from_bytes(data[18:26])
        data[18:26] = (held >> 36 << 36 | n).to_bytes(8)
        path.write_bytes(data)
        return str(path)

    samples, n = whole(announce(44_000), None, "mono")
    assert n == 40_000
    with Recording(str(path)) as recording:  # met from a span that begins near the end, too
        assert recording.read(39_990, 50_000).shape == (1, 10)
        assert recording.n_samples == 40_000
    announce(80_000)
    with Recording(str(path)) as recording:
        np.testing.assert_array_equal(recording.read(0, 39_000), samples[:, :39_000])
        for _ in range(2):  # every time
            with pytest.raises(AudioError, match=r"announces 5\.0 s and holds 2\.5 s"):
                recording.read(39_000, 60_000)
    with pytest.raises(AudioError, match=r"holds 2\.5 s"):
        probe(announce(2**36 - 1))
    assert probe(announce(0)).n_samples == 40_000  # not announced at all, as streams do


def test_damage_is_an_error_that_says_where(tmp_path: Path) -> None:
    path = tmp_path / "damaged.flac"
    sf.write(path, music(160_000), 16000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 9000] = bytes(9000)
    path.write_bytes(data)
    with Recording(str(path)) as recording:
        with pytest.raises(AudioError, match=r"stops with an error after [45]\.\d s of the 10\.0 s"):
            recording.read(0, 160_000)
        assert recording.read(0, 1_000).shape == (1, 1_000)


@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf"), (1e30, r"1e\+30")]
)
def test_samples_that_are_no_sound(tmp_path: Path, value: float, said: str) -> None:
    path = tmp_path / "bad.wav"
    samples = music(50_000)
    samples[12_000, 1] = value
    sf.write(path, samples, 16000, subtype="FLOAT")
    with Recording(str(path), channels="all") as recording:
        assert recording.read(0, 12_000).shape == (2, 12_000)
        assert recording.read(12_001, 50_000).shape == (2, 37_999)
        with pytest.raises(AudioError, match=rf"holds .*{said}.* at 0\.750 s"):
            recording.read(11_000, 13_000)


def test_integers_kept_as_floats_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    sf.write(path, music(100) * 2.0**31, 16000, subtype="FLOAT")
    assert np.abs(whole(str(path), None, "mono")[0]).max() > 1e8


@pytest.mark.parametrize("rate", [0, -5, 50, 16000 * 257])
def test_rates_that_make_no_sense(recordings: dict[str, str], rate: int) -> None:
    with pytest.raises(AudioError, match=str(rate)):
        Recording(recordings["wav"], sample_rate=rate)


def test_channels_are_mono_or_all(recordings: dict[str, str]) -> None:
    with pytest.raises(ParameterError, match="allowed: 'mono'"):
        Recording(recordings["wav"], channels="left")  # type: ignore[arg-type]


def test_a_file_that_vanishes_while_it_is_read(tmp_path: Path, small_blocks: None) -> None:
    path = tmp_path / "song.mp3"
    sf.write(path, music(70_000), 16000)
    with Recording(str(path)) as recording:
        recording.read(0, 1_000)
        path.unlink()
        with pytest.raises(AudioError, match="not there"):
            recording.read(60_000, 61_000)


def test_any_name_will_do(tmp_path: Path) -> None:
    for name in (b"caf\xe9.wav", b"new\nline.wav", b"-rf.wav", b"100%.wav", b"x.raw"[:1] * 200 + b".wav"):
        path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
        with open(os.fsencode(path), "wb") as file:
            sf.write(file, music(100), 16000, format="WAV")
        assert whole(path, None, "mono")[1] == 100
