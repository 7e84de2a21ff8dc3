"""Resampling in blocks is soxr's to rounding, and the length is every target sample before the end."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.audio import resampler
from hpss_batch.audio.recording import Recording
from hpss_batch.audio.resampler import resampled_length


@given(st.integers(0, 10**12), st.integers(1, 400_000), st.integers(1, 400_000))
def test_length(n: int, rate: int, target: int) -> None:
    length = resampled_length(n, rate, target)
    assert (length - 1) * rate < n * target <= length * rate or n == length == 0


@pytest.mark.parametrize(("rate", "target"), [(44100, 16000), (16000, 44100), (48000, 44100), (96000, 2000)])
def test_blocks_are_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, target: int
) -> None:
    """Nothing of the blocks' borders can be heard, nor measured beyond float32's rounding."""
    monkeypatch.setattr(resampler, "_BLOCK", 20_000)
    path = tmp_path / "noise.wav"
    t = np.arange(100_003) / rate
    samples = 0.4 * np.sin(2 * np.pi * 331 * t) + 0.1 * np.random.default_rng(0).standard_normal(len(t))
    sf.write(path, samples.astype(np.float32), rate, subtype="FLOAT")
    expected = soxr.resample(samples, rate, target, quality="HQ")
    with Recording(str(path), sample_rate=target) as recording:
        found = recording.read(0, recording.bound)[0]
        assert len(found) == recording.n_samples == resampled_length(len(t), rate, target)
    n = min(len(found), len(expected))
    assert len(found) - n <= 1
    np.testing.assert_allclose(found[:n], expected[:n], atol=2e-6)


def test_a_tone_keeps_its_phase_across_blocks(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    t = np.arange(400_000) / 44100
    sf.write(path, np.sin(2 * np.pi * 440 * t).astype(np.float32), 44100, subtype="FLOAT")
    with Recording(str(path), sample_rate=22050) as recording:
        found = recording.read(0, recording.bound)[0]
    inside = slice(1_000, -1_000)
    expected = np.sin(2 * np.pi * 440 * np.arange(len(found)) / 22050)
    np.testing.assert_allclose(found[inside], expected[inside], atol=3e-6)
