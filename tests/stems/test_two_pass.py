"""Stems in two passes: librosa's by its own functions one after the other, and still parts of their input."""

from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile as sf
from helpers import music, settings

from hpss_batch import Job, plan, run
from hpss_batch.audio.encoding import Encoding
from hpss_batch.audio.recording import Recording
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.params import StftParams
from hpss_batch.dsp.separation import Grid, separation
from hpss_batch.errors import ConfigError
from hpss_batch.stems import stream, two_pass

RATE = 22050
FIRST = {"stft": {"n_fft": 1024, "hop_length": 256}, "hpss": {"kernel_size": 17, "margin": 2.0}}
SECOND = {"stft": {"n_fft": 64, "hop_length": 16}, "hpss": {"kernel_size": 9, "margin": 1.5}}
COMPONENTS = ["harmonic", "percussive", "residual"]


def expected(samples: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Samples of shape (channels, samples) by librosa."""

    def part(samples: Any, how: Any, number: int) -> Any:
        spectrogram = librosa.stft(samples, **how["stft"])
        found = librosa.decompose.hpss(spectrogram, **how["hpss"])[number]
        return librosa.istft(found, **how["stft"], length=samples.shape[-1])

    harmonic = part(samples, FIRST, 0)
    percussive = part(samples - harmonic, SECOND, 1)
    return {"harmonic": harmonic, "percussive": percussive, "residual": samples - harmonic - percussive}


def stems(folder: Path, samples: np.ndarray[Any, Any], subtype: str, **changes: Any) -> dict[str, Any]:
    (folder / "music").mkdir()
    sf.write(folder / "music" / "a.wav", samples.T, RATE, subtype=subtype)
    made = {"format": "wav", "subtype": subtype, "components": COMPONENTS, "second_pass": SECOND} | changes
    job = settings(folder / "music", folder / "out", output__stems=made)
    job["output"] |= {"arrays": []}
    result = run(Job.parse(job | {name: dict(block) for name, block in FIRST.items()}))
    assert result.exit_status == 0
    read = {
        name: sf.read(folder / "out" / "stems" / f"a.{name}.wav", always_2d=True)[0].T for name in COMPONENTS
    }
    return {name: part for name, part in read.items() if name in made["components"]}


@pytest.mark.parametrize("seconds", [0.05, 1.0, 12.0])
def test_stems_are_librosa_s_passes_one_after_the_other(tmp_path: Path, seconds: float) -> None:
    samples = music(seconds, RATE, 2).T
    for name, part in stems(tmp_path, samples, "FLOAT").items():
        np.testing.assert_allclose(part, expected(samples)[name], rtol=0, atol=2e-6)


def test_parts_add_up_to_their_input(tmp_path: Path) -> None:
    samples = np.round(music(5.0, RATE, 2).T * 2**15).clip(-(2**15), 2**15 - 1) / 2**15
    parts = stems(tmp_path, samples, "PCM_16")
    np.testing.assert_array_equal(sum(parts.values()), samples)


def test_blocks_of_any_size_give_the_same_bits_and_hold_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sf.write(tmp_path / "a.wav", music(20.0, RATE, 2), RATE, subtype="FLOAT")
    found = []
    for frames in (256, 48):
        monkeypatch.setattr(stream, "FRAMES", frames)
        passes = [
            (stft, separation(HpssParams(**how["hpss"]), Grid.of(stft, RATE)))
            for how in (FIRST, SECOND)
            for stft in [StftParams(**how["stft"])]
        ]
        held, blocks = 0, []
        with Recording(str(tmp_path / "a.wav"), channels="all") as recording:
            both = two_pass.TwoPass(recording, passes[0], passes[1], COMPONENTS, Encoding("WAV", "FLOAT"))
            for block in both:
                blocks.append({name: part.copy() for name, part in block.samples.items()})
                rest = vars(both.rest)
                held = max(held, rest["_rest"].nbytes + sum(part.nbytes for part in rest["_held"].values()))
        assert held < 4 * 3 * 2 * frames * (256 + 3 * 16), "a block of each pass, and what is read ahead"
        found.append({name: np.concatenate([block[name] for block in blocks]) for name in COMPONENTS})
    for name in COMPONENTS:
        assert found[0][name].tobytes() == found[1][name].tobytes()


def test_the_rest_is_read_in_order(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", music(1.0, RATE), RATE)
    stft = StftParams(256, 64)
    with Recording(str(tmp_path / "a.wav")) as recording:
        how = (stft, separation(HpssParams(), Grid.of(stft, RATE)))
        both = two_pass.TwoPass(recording, how, how, COMPONENTS, Encoding("WAV", "FLOAT"))
        both.rest.read(0, 100)
        with pytest.raises(ValueError, match="sample 100 is next, not 50"):
            both.rest.read(50, 150)


def test_a_second_pass_is_other_stems_and_takes_memory(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "a.wav", music(1.0, RATE), RATE)
    job = Job.parse(settings(tmp_path / "music", tmp_path / "out", output__stems=True))
    other = job.replace({"output.stems.second_pass": True})
    assert other.output.stems is not None
    assert other.output.stems.second_pass is not None
    assert other.output.stems.second_pass.stft == StftParams(256, 64)
    assert other.fingerprint() == job.fingerprint()
    assert other.stems_key != job.stems_key == job.replace({"output.stems.second_pass": None}).stems_key
    assert Job.parse(other.to_yaml()) == other
    assert plan(other).task_bytes > plan(job).task_bytes
    with pytest.raises(ConfigError, match=r"second_pass\.stft.*hop_length"):
        job.replace({"output.stems.second_pass.stft": {"n_fft": 256, "hop_length": 256, "window": "hann"}})
    with pytest.raises(ConfigError, match=r"output\.stems\.second_pass\.hpss\.margin"):
        job.replace({"output.stems.second_pass.hpss.margin": 0.5})
