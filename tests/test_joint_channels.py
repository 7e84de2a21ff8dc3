"""Joint channels: all of a track have the masks of the root of the mean of their powers, wherever masks are made."""

from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile as sf
from helpers import SMALL, music, settings, shards
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import hpss_batch
from hpss_batch.audio.encoding import Encoding
from hpss_batch.audio.recording import Recording
from hpss_batch.config.job import Job
from hpss_batch.dsp.kernels.magnitude import joint_magnitude
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.params import StftParams
from hpss_batch.dsp.separation import Grid, separation
from hpss_batch.products.evaluation.evaluate import evaluate
from hpss_batch.products.evaluation.result import Settings
from hpss_batch.products.evaluation.scores import Gram
from hpss_batch.products.report.excerpts import Cutter
from hpss_batch.products.report.measure import Meter
from hpss_batch.products.spectra import Spectra
from hpss_batch.runner.plan import plan
from hpss_batch.runner.run import run
from hpss_batch.stems.stream import Stream

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A track of several units whose channels differ, and one whose channels are alike."""
    root = tmp_path_factory.mktemp("music")
    sf.write(root / "wide.wav", music(7.0, 22050, 2, 1) * [1, 0.3], 22050, subtype="FLOAT")
    sf.write(root / "same.wav", music(1.0, 22050, 1, 2) * [1, 1], 22050, subtype="FLOAT")
    return root


def job(corpus: Path, out: Path, read: str = "all", **hpss: Any) -> Job:
    features = {"kinds": ["rms", "harmonic_ratio"]}
    values = settings(corpus, out, corpus__channels=read, output__features=features)
    return Job.parse(values | {"hpss": {"channels": "joint", **hpss}})


def librosas(samples: Array, **stft: int) -> tuple[Array, Array]:
    """What librosa makes of channels whose masks are those of the root of the mean of their powers."""
    spectrogram = librosa.stft(samples, **stft)
    together = np.sqrt(np.mean(np.abs(spectrogram) ** 2, axis=0))
    both = librosa.decompose.hpss(together, mask=True)
    harmonic, percussive = (
        librosa.istft(spectrogram * mask, length=samples.shape[1], **stft) for mask in both
    )
    return harmonic, percussive


@pytest.mark.parametrize("method", ["librosa", "banded"])
def test_arrays_share_masks_and_two_stages_give_the_same_bytes(
    method: str, folder: Path, tmp_path: Path
) -> None:
    assert run(job(folder, tmp_path / "audio", method=method)).exit_status == 0
    corpus = hpss_batch.open_corpus(tmp_path / "audio")
    for track in ("wide.wav", "same.wav"):
        found = corpus[track]
        for mask in ("harmonic_mask", "percussive_mask"):
            np.testing.assert_array_equal(found[mask].values[0], found[mask].values[1])
        together = np.sqrt(np.mean(np.abs(found.spectrogram.values.astype(np.complex128)) ** 2, axis=0))
        grid = {"sample_rate": 22050, "hop_length": SMALL["hop_length"]}
        labelled = found.spectrogram[0].copy(data=together.astype(np.float32))
        expected = hpss_batch.separate(labelled, method=method, output="masks", **grid)
        np.testing.assert_allclose(found.harmonic_mask[0], expected.harmonic_mask, atol=1e-5)

    computed = hpss_batch.open_corpus(folder, job(folder, tmp_path / "none", method=method))["wide.wav"]
    stored_mask = corpus["wide.wav"].percussive_mask
    np.testing.assert_array_equal(computed.percussive_mask[:, 400:900], stored_mask[:, 400:900])

    again = job(folder, tmp_path / "stored", method=method).to_yaml(defaults=False)
    stored = Job.parse(again, [("corpus", {"path": str(tmp_path / "audio")})])
    assert run(stored).exit_status == 0
    assert shards(tmp_path / "audio") == shards(tmp_path / "stored")


def test_in_mono_they_change_no_byte(folder: Path, tmp_path: Path) -> None:
    for name in ("each", "joint"):
        assert run(job(folder, tmp_path / name, "mono", channels=name)).exit_status == 0
    assert shards(tmp_path / "each") == shards(tmp_path / "joint")


def streamed(path: Path, stft: StftParams, hpss: HpssParams, rate: int) -> Array:
    """Harmonic and percussive stems, in floats, of (stem, channel, sample)."""
    how = separation(hpss, Grid.of(stft, rate))
    with Recording(str(path), channels="all") as recording:
        stream = Stream(recording, stft, how, ("harmonic", "percussive"), Encoding("WAV", "FLOAT"))
        blocks = [np.stack([part.T.copy() for part in block.samples.values()]) for block in stream]
    return np.concatenate(blocks, axis=-1)


def test_stems_in_many_blocks_are_those_of_the_whole(folder: Path) -> None:
    samples = sf.read(folder / "wide.wav", dtype="float32")[0].T
    found = streamed(folder / "wide.wav", StftParams(64, 16), HpssParams(channels="joint"), 22050)
    for stem, expected in zip(found, librosas(samples, n_fft=64, hop_length=16), strict=True):
        np.testing.assert_allclose(stem, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=0), samples, atol=1e-6)


@pytest.mark.parametrize("method", ["librosa", "banded"])
def test_channels_that_are_alike_have_the_masks_of_either(method: str, folder: Path) -> None:
    ways = [HpssParams(method=method, channels=name) for name in ("each", "joint")]
    each, joint = (streamed(folder / "same.wav", StftParams(**SMALL), hpss, 22050) for hpss in ways)
    np.testing.assert_array_equal(each, joint)


magnitudes = st.just(0.0) | st.floats(2.0**-60, 2.0**60, width=32)


@examples(deadline=None)
@given(st.lists(magnitudes, min_size=1, max_size=40), st.integers(0, 40))
def test_a_joint_magnitude_is_the_same_in_any_cutting_and_that_of_channels_alike(
    values: list[float], cut: int
) -> None:
    one = np.array(values, np.float32)[:, None]
    np.testing.assert_array_equal(joint_magnitude([one, one]), one)
    assert joint_magnitude([one]) is one
    other = one[::-1].copy()
    parts = [joint_magnitude([one[part], other[part]]) for part in (slice(0, cut), slice(cut, None))]
    whole = joint_magnitude([one, other])
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    exact = np.sqrt((one.astype(np.float64) ** 2 + other.astype(np.float64) ** 2) / 2)
    np.testing.assert_allclose(whole, exact, rtol=3e-7)


def test_they_are_what_is_evaluated(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    harmonic = music(2.0, 22050, 2).T * np.float32([[0.5], [0.2]])
    clicks = 0.3 * rng.standard_normal((1, harmonic.shape[1])) * (np.arange(harmonic.shape[1]) % 4000 < 200)
    percussive = (clicks * [[0.3], [1]]).astype(np.float32)
    for name, stem in (("harmonic", harmonic), ("percussive", percussive)):
        (tmp_path / "truth" / "piece").mkdir(parents=True, exist_ok=True)
        sf.write(tmp_path / "truth" / "piece" / f"{name}.wav", stem.T, 22050, subtype="FLOAT")
    stft = StftParams(512, 128)
    expected = librosas(harmonic + percussive, n_fft=512, hop_length=128)
    signals = np.stack([harmonic, percussive, *expected]).reshape(4, -1)
    gram = Gram.of(signals)
    joint = Settings(stft, HpssParams(channels="joint"), channels="all")
    found = evaluate(tmp_path / "truth", joint, pattern="{track}/{stem}.wav").scores[0]
    for at, name in enumerate(("harmonic", "percussive")):
        wanted = gram.ratios(2 + at, stem=at, other=1 - at)
        np.testing.assert_allclose(found.ratios[name, "separated"].values(), wanted.values(), atol=1e-3)


def test_excerpts_of_a_report_have_them_where_no_masks_are_stored(folder: Path, tmp_path: Path) -> None:
    parts = {}
    for name in ("masks", "features"):
        arrays = ["harmonic_mask", "percussive_mask"] if name == "masks" else []
        made = job(folder, tmp_path / name).replace({"output.arrays": arrays})
        assert run(made).exit_status == 0
        planned = plan(made)
        spectra = Spectra(planned.directory, planned.catalog)
        cutter = Cutter(planned, Meter(planned, spectra, planned.directory.group()))
        parts[name] = cutter.cut(planned.catalog.ids.index("wide.wav")).sounds
    assert parts["masks"]["harmonic"] == parts["features"]["harmonic"] != parts["masks"]["full"]


def test_a_plan_and_a_method_say_so() -> None:
    assert HpssParams(method="banded", channels="joint").title == "banded, channels joint"
    assert HpssParams(channels="joint").words["channels"] == "joint"
