"""A method in a job: everything that librosa's can do, with the same promises."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import xarray as xr
from helpers import SMALL, music, settings, shards

import hpss_batch
from hpss_batch.config.job import Job
from hpss_batch.dsp.hpss import masks
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.separation import Grid, separation
from hpss_batch.errors import ConfigError, ParameterError, StoreError
from hpss_batch.labelled import separate
from hpss_batch.runner.run import run

BANDED: dict[str, Any] = {"hpss": {"method": "banded", "margin": 1.5}}


def job(corpus: Path, out: Path, **changes: Any) -> Job:
    return Job.parse(settings(corpus, out, **changes) | BANDED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tracks: one lies in several units, one is shorter than the kernels."""
    root = tmp_path_factory.mktemp("music")
    sf.write(root / "long.wav", music(7.0, 22050, 2, 1), 22050, subtype="FLOAT")
    sf.write(root / "short.wav", music(0.02, 22050, 2, 2), 22050, subtype="FLOAT")
    return root


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    arrays = [
        "spectrogram",
        "magnitude",
        "harmonic_mask",
        "percussive_mask",
        "harmonic",
        "percussive",
        "residual",
    ]
    assert run(job(folder, out, output__arrays=arrays)).exit_status == 0
    return out


def test_arrays_are_those_of_the_whole_track(made: Path) -> None:
    """Whatever units and blocks it was cut into."""
    corpus = hpss_batch.open_corpus(made)
    how = separation(
        HpssParams(method="banded", margin=1.5), Grid.of(Job.load(made / "job.yaml").stft, 22050)
    )
    for track in ("long.wav", "short.wav"):
        found = corpus[track]
        for mask, whole in zip(
            ("harmonic_mask", "percussive_mask"), masks(found.magnitude.values[0], how), strict=True
        ):
            np.testing.assert_array_equal(found[mask].values[0], whole)
        parts = found.harmonic + found.percussive + found.residual
        np.testing.assert_allclose(parts, found.spectrogram, atol=1e-5)
        assert np.abs(found.residual).max() > 0, "margins leave something"


def test_two_stages_give_the_same_bytes(folder: Path, made: Path, tmp_path: Path) -> None:
    arrays = ["harmonic_mask", "percussive_mask"]
    for name, source in (("audio", folder), ("stored", made)):
        values = settings(source, tmp_path / name, output__arrays=arrays) | BANDED
        if source is made:
            del values["stft"], values["corpus"]["sample_rate"], values["output"]["unit_frames"]
        assert run(Job.parse(values)).exit_status == 0
    assert shards(tmp_path / "audio") == shards(tmp_path / "stored")


def test_verify_computes_the_same_bits(made: Path, verifying_threads: None) -> None:
    assert hpss_batch.verify(made, sample=None).exit_status == 0


def test_stems_add_up(folder: Path, tmp_path: Path) -> None:
    stems = {"components": ["harmonic", "percussive", "residual"], "format": "wav", "subtype": "FLOAT"}
    assert run(job(folder, tmp_path / "out", output__arrays=[], output__stems=stems)).exit_status == 0
    for track in ("long", "short"):
        source, _ = sf.read(folder / f"{track}.wav")
        read = (
            sf.read(tmp_path / "out" / "stems" / f"{track}.{name}.wav")[0] for name in stems["components"]
        )
        np.testing.assert_allclose(sum(read), source, atol=1e-6)


def test_a_report_and_a_picture_are_made(made: Path, tmp_path: Path) -> None:
    assert Path(hpss_batch.report(made, tmp_path / "report.html")).stat().st_size > 0
    from hpss_batch.products.plots.plot import plot_track

    figure = plot_track(str(made), "long.wav")
    assert "kernel 6 bands   power logistic   margin 1.5" in {
        text.get_text() for text in figure.findobj() if hasattr(text, "get_text")
    }


# The job


def test_stft_follows_the_method_unless_given() -> None:
    found = Job.parse({"corpus": {"path": "a"}, "output": {"path": "b"}, "hpss": {"method": "banded"}})
    assert (found.stft, found.hpss) == (hpss_batch.methods["banded"].stft, hpss_batch.methods["banded"].hpss)
    own = found.replace({"stft.hop_length": 512})
    assert (own.stft.n_fft, own.stft.hop_length) == (4096, 512)
    assert Job.parse(own.to_yaml()) == own


@pytest.mark.parametrize(
    ("changes", "fingerprint"),
    [
        ([], "34fcd3dfa161525a"),
        (["hpss.margin=3"], "4567e367e8623cde"),
        (["hpss.kernel_size=[17,31]", "hpss.power=.inf"], "cb4b34570f0dc8e6"),
    ],
)
def test_run_directories_of_before_there_were_methods_are_gone_on_with(
    changes: list[str], fingerprint: str
) -> None:
    assert Job.from_command_line("m/", "o/", changes).fingerprint() == fingerprint


def test_the_fingerprint_covers_all_of_a_description_and_no_name() -> None:
    base = Job.from_command_line("m/", "o/", ["hpss.method=banded"])
    changes = ["method=tuned", "margin=2", "kernel_size=31", "power=2", "power.slope=2", "power.smoothing=1",
               "power.floor=0.01", "power.offset=0", "power.knots=[50,110,250,600,1500,4000]",
               "channels=joint"]  # fmt: skip
    found = {
        base.replace({f"hpss.{key}": yaml_value(text)}).fingerprint()
        for key, _, text in (c.partition("=") for c in changes)
    }
    assert len(found | {base.fingerprint()}) == len(changes) + 1
    spelled = Job.parse(base.to_yaml(), ["hpss.method=librosa"])
    assert spelled.hpss == replace(base.hpss, method="librosa")
    assert spelled.fingerprint() == base.fingerprint()


def yaml_value(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


def test_another_method_in_the_same_run_directory_is_refused(folder: Path, made: Path) -> None:
    with pytest.raises(StoreError, match=r"hpss\.kernel_size"):
        run(Job.parse(settings(folder, made)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("channels=all", "hpss.channels is 'all'; allowed: each, joint"),
        ("method=best", "hpss.method is 'best'; allowed: librosa, tuned, banded"),
        ("kernel_size=[205 Hz, 31]", r"hpss.kernel_size is \[205 Hz, 31\]; allowed: .*0.35 s, 205 Hz"),
        ("kernel_size=[0 s, 31]", r"hpss.kernel_size is \[0 s, 31\]"),
        ("kernel_size=0.35 s", "hpss.kernel_size is '0.35 s'; allowed"),
        ("kernel_size=[{start: 90}]", r"hpss.kernel_size has bands that start at \[90.0\]; allowed: 0, then"),
        ("kernel_size=[{from: 90}]", "hpss.kernel_size.from is not a key; the keys of kernel_size are start"),
        ("kernel_size=[{widening: 0}]", "hpss.kernel_size.widening is 0; allowed: a number of bins"),
        ("power={knots: [5, 2]}", r"hpss.power.knots is \[5, 2\]; allowed: ascending"),
        ("power={knots: [5, 9], slope: [1]}", r"hpss.power.slope is \[1\]; allowed: a number for each"),
        ("power={floor: 0}", "hpss.power.floor is 0; allowed"),
    ],
)
def test_what_is_no_method_is_told(change: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Job.from_command_line("m/", "o/", [f"hpss.{change}"])


# Labelled arrays


def spectrogram(frames: int = 60, bins: int = 90) -> xr.DataArray:
    rng = np.random.default_rng(1)
    values = (rng.standard_normal((2, frames, bins)) * 10.0 ** rng.uniform(-4, 1, (2, frames, bins))).astype(
        np.complex64
    )
    coords = {"time": ("frame", np.arange(frames) * 0.023), "frequency": np.arange(bins) * 86.1}
    return xr.DataArray(values, dims=("channel", "frame", "frequency"), coords=coords)


@pytest.mark.parametrize("method", ["tuned", "banded"])
def test_chunks_of_labelled_arrays_change_no_bit(method: str) -> None:
    whole = spectrogram()
    expected = separate(whole, method=method)
    found = separate(whole.chunk(frame=7, frequency=11), method=method)
    assert found.harmonic.chunks is not None
    xr.testing.assert_identical(found.compute(), expected)
    how = separation(hpss_batch.methods[method].hpss, Grid(90, 86.1, 0.023))
    np.testing.assert_array_equal(
        separate(whole, method=method, output="masks").harmonic_mask[0],
        masks(np.abs(whole.values[0]), how)[0],
    )


def test_rate_and_hop_may_be_said_where_there_are_no_coordinates() -> None:
    whole = spectrogram().drop_vars(["time", "frequency"])
    rate = 86.1 * 178
    found = separate(whole, method="banded", sample_rate=rate, hop_length=round(0.023 * rate))
    np.testing.assert_array_equal(found.harmonic, separate(spectrogram(), method="banded").harmonic)
    with pytest.raises(ParameterError, match="give the sample rate and the hop"):
        separate(whole, method="banded")
    with pytest.raises(ParameterError, match="give the sample rate"):
        separate(spectrogram().isel(frequency=slice(5, None)), method="banded")


def test_plans_say_frames_and_bins(folder: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from hpss_batch.cli import main

    shown = (
        CliRunner()
        .invoke(main, ["plan", str(folder), "-o", str(tmp_path / "o"), "--method", "banded"])
        .stdout
    )
    assert "banded; n_fft 4096, hop_length 1024, which follow it" in shown
    assert "15 frames (highest of 3) × 5 bins from bin 0; 13 frames" in shown
    own = ["--set", "hpss.kernel_size=[0.35 s, 205 Hz]", "--set", f"stft.hop_length={SMALL['hop_length']}"]
    shown = CliRunner().invoke(main, ["plan", str(folder), "-o", str(tmp_path / "o"), *own]).stdout
    assert "tuned; n_fft 2048, hop_length 64, as given" in shown
    assert "241 frames × 9 bins" in shown
