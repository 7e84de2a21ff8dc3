"""Which positions may be sought depends on the file's kind and length alone, and little is decoded twice."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.audio.decoder import _PIECE, _WHOLE, LARGEST, Decoder, block_samples, check_samples, mix
from hpss_batch.audio.probe import AudioInfo
from hpss_batch.errors import AudioError


@given(st.integers(0, 2**45))
def test_blocks_of_mp3_balance_seeking_and_decoding(n: int) -> None:
    block = block_samples(AudioInfo(n, 44100, 2, "MP3/MPEG_LAYER_III"))
    assert block == 1 << (block.bit_length() - 1)
    assert 2**20 <= block <= 2**24
    assert n < 2**22 or block == 2**24 or 0.4 < block / (n * 2**20) ** 0.5 < 2.1


@pytest.mark.parametrize(
    ("form", "n", "block"),
    [
        ("FLAC/PCM_24", 10**9, 1),
        ("WAV/FLOAT", 10**9, 1),
        ("WAV/IMA_ADPCM", 10**9, 1),
        ("WAV/MPEG_LAYER_III", 10**6, 2**20),
        ("WAV/GSM610", 10**9, _WHOLE),
        ("CAF/ALAC_16", 10**9, _WHOLE),
        ("SDS/PCM_16", 10**9, _WHOLE),
        ("RAW/VOX_ADPCM", 10**9, _WHOLE),
        ("OGG/VORBIS", 2**24, _WHOLE),
        ("OGG/VORBIS", 2**24 + 1, 2**21),
        ("OGG/OPUS", 10**9, 2**21),
        ("OGG/FLAC", 10**9, _WHOLE),
    ],
)
def test_blocks(form: str, n: int, block: int) -> None:
    assert block_samples(AudioInfo(n, 44100, 2, form)) == block


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_spans_that_overlap_decode_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    path = tmp_path / f"song.{suffix}"
    samples = np.random.default_rng(0).standard_normal((900_000, 1)).clip(-3, 3) / 4
    sf.write(path, samples, 16000)
    decoded = list[int]()
    real = Decoder._fill
    monkeypatch.setattr(Decoder, "_fill", lambda self, n: decoded.append(n) or real(self, n))
    decoder = Decoder(str(path), mono=True)
    out = np.empty((1, 220_000), np.float32)
    for start in range(0, 900_000, 200_000):
        decoder.read(max(start - 20_000, 0), out)
    assert decoder.end == 900_000
    assert sum(decoded) < 900_000 + _PIECE
    decoder.close()
    decoder.close()


def test_mixing_adds_in_the_order_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    for channels in (1, 2, 3, 5, 6, 8):
        samples = rng.standard_normal((1000, channels)).astype(np.float32)
        out = np.empty((1, 1000), np.float32)
        mix(samples, out)
        np.testing.assert_array_equal(out[0], np.ascontiguousarray(samples.T).mean(axis=0))


def test_every_channel_is_kept() -> None:
    samples = np.arange(12, dtype=np.float32).reshape(4, 3)
    out = np.empty((3, 4), np.float32)
    mix(samples, out)
    np.testing.assert_array_equal(out, samples.T)


@given(
    st.integers(1, 3),
    st.integers(1, 50),
    st.data(),
    st.sampled_from([np.nan, np.inf, -np.inf, 2 * LARGEST, -2 * LARGEST]),
)
def test_one_bad_sample_is_found(channels: int, n: int, data: st.DataObject, bad: float) -> None:
    samples = np.zeros((channels, n), np.float32)
    check_samples(samples, 0, 10)
    at = data.draw(st.integers(0, n - 1))
    samples[data.draw(st.integers(0, channels - 1)), at] = bad
    with pytest.raises(AudioError, match=rf" at {(70 + at) / 10:.3f} s"):
        check_samples(samples, 70, 10)


def test_large_samples_are_fine() -> None:
    check_samples(np.array([[LARGEST, -LARGEST]]), 0, 10)
