"""What is left of channels in their mean."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.audio.mixdown import cancel, energies
from hpss_batch.audio.recording import Recording

RATE = 22050
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
NOISE = 0.1 * np.random.default_rng(0).standard_normal((2, len(TONE)))


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ((TONE, -TONE), True),
        ((TONE, -0.99 * TONE), True),  # (1 − 0.99)²/4 of (1 + 0.99²)/2: −46 dB
        ((TONE, -0.97 * TONE), False),  # −36 dB
        ((TONE, TONE), False),
        ((NOISE[0], NOISE[1]), False),  # a half is left
        ((TONE, -TONE / 2, -TONE / 2), True),
        ((0 * TONE, 0 * TONE), False),  # silence is not of our making
        ((TONE / 2**14, -TONE / 2**14), False),  # nor is what is next to it
        ((TONE,), False),
    ],
)
def test_channels_cancel_by_the_ratio_of_energies(
    channels: tuple[np.ndarray, ...], expected: bool, tmp_path: Path
) -> None:
    samples = np.stack(channels, 1).astype(np.float32)
    found = energies(samples, samples.mean(1))
    wanted = [
        np.square(samples.mean(1, dtype=float)).sum(),
        np.square(samples, dtype=float).mean(1).sum(),
        len(TONE),
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-9)
    assert cancel(found) is expected
    sf.write(tmp_path / "x.wav", samples, RATE, subtype="FLOAT")
    for rate in (None, 16000):
        with Recording(str(tmp_path / "x.wav"), sample_rate=rate) as recording:
            recording.read(0, recording.bound)
            assert cancel(recording.energies) is expected
    with Recording(str(tmp_path / "x.wav"), channels="all") as recording:
        recording.read(0, recording.bound)
        assert not cancel(recording.energies)


@pytest.mark.parametrize("extension", ["flac", "ogg", "mp3"])
def test_what_codings_leave_in_the_mean_does_not_hide_it(tmp_path: Path, extension: str) -> None:
    for name, right, expected in (
        ("opposite", -TONE, True),
        ("equal", TONE, False),
        ("others", NOISE[1], False),
    ):
        sf.write(tmp_path / f"{name}.{extension}", np.stack([TONE, right], 1), RATE)
        with Recording(str(tmp_path / f"{name}.{extension}")) as recording:
            recording.read(0, recording.bound)
            assert cancel(recording.energies) is expected
