"""Which positions may be sought depends on the file's kind and length alone, and little is decoded twice."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.audio.decoder import _PIECE, _WHOLE, Decoder, block_samples
from hpss_batch.audio.probe import AudioInfo


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
