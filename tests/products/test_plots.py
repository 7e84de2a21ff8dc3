"""Pictures: what is drawn, from what, and where it stands."""

import io
import pickle
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import xarray as xr
from click.testing import CliRunner
from helpers import music
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

import hpss_batch
from hpss_batch import open_corpus, separate, stft
from hpss_batch.cli import main
from hpss_batch.errors import HpssBatchError, ParameterError, TrackError
from hpss_batch.products import raster
from hpss_batch.products.plots.plot import plot, plot_track, save
from hpss_batch.products.raster import Stretch, images

RATE = 22050
TICKS = ["50", "100", "200", "500", "1k", "2k", "5k", "10k"]


def panels(figure: Any) -> dict[str, Any]:
    """The picture of each panel by its title, as drawn."""
    return {ax.get_title(loc="left"): ax.images[0] for ax in figure.axes if ax.images}


def spectrogram(frequency: float = 1000.0, seconds: float = 3.0, channels: int = 1) -> xr.DataArray:
    """A tone with a click in the middle, dims (channel, frequency, time)."""
    t = np.arange(round(seconds * RATE)) / RATE
    samples = 0.5 * np.sin(2 * np.pi * frequency * t).astype(np.float32)
    samples[len(t) // 2] = 1
    found = stft(np.stack([samples] * channels), n_fft=1024)
    coords = {"frequency": np.linspace(0, RATE / 2, 513), "time": np.arange(found.shape[2]) * 256 / RATE}
    return xr.DataArray(found, dims=("channel", "frequency", "time"), coords=coords)


def row_of(stretch: Stretch, frequency: float) -> int:
    low, high = stretch.range
    return int(np.log(frequency / low) / np.log(high / low) * stretch.rows)


@pytest.fixture
def track(tmp_path: Path, run_job: Callable[..., Any]) -> Callable[..., Path]:
    """Run a job on one stereo file of 4 seconds."""
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "a $b$.wav", music(4.0, RATE, 2), RATE)

    def run(*arrays: str, **changes: Any) -> Path:
        run_job(tmp_path / "music", tmp_path / "out", output__arrays=list(arrays), **changes)
        return tmp_path / "out"

    return run


def test_a_tone_is_harmonic_and_a_click_percussive() -> None:
    figure = plot(separate(spectrogram()))
    found = panels(figure)
    assert list(found) == ["Full", "Harmonic", "Percussive"]  # at margin 1 the residual is rounding
    stretch = Stretch(0, 259, np.linspace(0, RATE / 2, 513))
    tone, other, middle = row_of(stretch, 1000), row_of(stretch, 5000), 259 // 2
    levels = {name: image.get_array() for name, image in found.items()}
    assert levels["Full"].max() == 0
    assert levels["Harmonic"][tone, 40] > -3 > -60 > levels["Percussive"][tone, 40]
    assert levels["Percussive"][other, middle] > levels["Harmonic"][other, middle] + 20


def test_the_residual_is_drawn_where_there_is_one() -> None:
    noisy = spectrogram() + 0.1 * stft(music(3.0, RATE, seed=3)[:, 0], n_fft=1024)
    assert list(panels(plot(separate(noisy, margin=3)))) == ["Full", "Harmonic", "Percussive", "Residual"]


def test_axes_are_shared_and_named() -> None:
    figure = plot(separate(spectrogram()), start=0.5, duration=1.5, title="A title")
    axes = [ax for ax in figure.axes if ax.images]
    assert {ax.get_xlim() for ax in axes} == {axes[0].get_xlim()}
    left, right = axes[0].get_xlim()
    np.testing.assert_allclose((left, right), (0.5, 2.0), atol=256 / RATE)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == TICKS
    assert axes[-1].get_xlabel() == "time [s]"
    assert figure.get_supylabel() == "frequency [Hz]"
    assert figure.get_suptitle() == "A title"
    assert {image.get_cmap().name for image in panels(figure).values()} == {"magma"}


def test_long_stretches_have_minutes() -> None:
    n_frames = 70 * RATE // 2048
    ones = np.ones((n_frames, 513), np.float32)
    dataset = xr.Dataset(
        {"harmonic": (("frame", "frequency"), ones), "percussive": (("frame", "frequency"), ones)},
        coords={"time": ("frame", np.arange(n_frames) * 2048 / RATE)},
        attrs={"sample_rate": RATE},
    )
    figure = plot(dataset)
    figure.draw_without_rendering()
    axes = [ax for ax in figure.axes if ax.images]
    assert "1:00" in [label.get_text() for label in axes[-1].get_xticklabels()]


@pytest.mark.parametrize("lazy", [False, True])
def test_any_order_of_dimensions_any_chunks(lazy: bool) -> None:
    whole = spectrogram(channels=2)
    reference = panels(plot(separate(whole.isel(channel=0))))
    other = separate(whole.chunk(time=50) if lazy else whole).transpose("time", "channel", "frequency")
    for name, image in panels(plot(other)).items():
        np.testing.assert_allclose(image.get_array(), reference[name].get_array(), atol=0.01)


def test_a_stored_spectrogram_is_drawn(track: Callable[..., Path]) -> None:
    out = track("spectrogram", "harmonic_mask", "percussive_mask", hpss__margin=2.0)
    from_store = panels(plot_track(out, "a $b$.wav"))
    assert list(from_store) == ["Full", "Harmonic", "Percussive", "Residual"]
    from_view = panels(plot(open_corpus(out)["a $b$.wav"]))
    for name, image in from_store.items():
        np.testing.assert_array_equal(image.get_array(), from_view[name].get_array())


@pytest.mark.parametrize("channels", ["mono", "all"])
def test_of_masks_the_audio_is_drawn(track: Callable[..., Path], channels: str) -> None:
    out = track("harmonic_mask", "percussive_mask", corpus__channels=channels)
    view = open_corpus(out)["a $b$.wav"]
    assert list(panels(plot(view))) == ["Harmonic mask", "Percussive mask"]
    drawn = panels(plot_track(out, "a $b$.wav", start=1.0, duration=2.0))
    assert list(drawn) == ["Full", "Harmonic", "Percussive"]
    samples, _ = sf.read(out.parent / "music" / "a $b$.wav", dtype="float32")
    mixed = samples.mean(axis=1, keepdims=True) if channels == "mono" else samples
    whole = xr.Dataset(
        {"spectrogram": (("channel", "frequency", "frame"), stft(mixed.T, n_fft=256, hop_length=64))},
        coords={"time": ("frame", view.time.values), "frequency": view.frequency.values},
    )
    expected = panels(plot(whole, start=1.0, duration=2.0))["Full"].get_array()
    np.testing.assert_allclose(drawn["Full"].get_array(), expected, atol=0.01)


def test_of_masks_made_from_a_run_its_spectrograms_are_drawn(
    track: Callable[..., Path], run_job: Callable[..., Any]
) -> None:
    first = track("spectrogram", "harmonic_mask", "percussive_mask")
    second = first.with_name("second")
    run_job(first, second, output__arrays=["harmonic_mask", "percussive_mask"])
    drawn, expected = (panels(plot_track(out, "a $b$.wav")) for out in (second, first))
    assert list(drawn) == list(expected) == ["Full", "Harmonic", "Percussive"]
    for name, image in drawn.items():
        np.testing.assert_allclose(image.get_array(), expected[name].get_array(), atol=0.01)


@pytest.mark.parametrize("gone", [True, False])
def test_without_the_audio_masks_are_drawn(track: Callable[..., Path], gone: bool) -> None:
    out = track("harmonic_mask", "percussive_mask")
    file = out.parent / "music" / "a $b$.wav"
    if gone:
        file.unlink()
    else:
        sf.write(file, music(5.0, RATE), RATE)
    assert list(panels(plot_track(out, "a $b$.wav"))) == ["Harmonic mask", "Percussive mask"]


def test_silence_is_drawn_black() -> None:
    figure = plot(separate(0 * spectrogram()))
    assert all((image.get_array() <= -80).all() for image in panels(figure).values())
    assert "silent" in [ax.get_title(loc="right") for ax in figure.axes]


@settings(deadline=None)
@given(
    st.integers(1, 4000),
    st.integers(1, 1500),
    st.integers(30, 700),
    st.sampled_from([2, 3, 20, 129]),
)
def test_pictures_do_not_depend_on_blocks(n_frames: int, columns: int, block: int, n_bins: int) -> None:
    values = np.random.default_rng(0).random((n_frames, n_bins), np.float32)
    stretch = Stretch(0, n_frames, np.linspace(0, RATE / 2, n_bins), rows=16, most_columns=columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raster, "READ_FRAMES", block)
        pictures, energies = images({"x": lambda first, stop: values[None, first:stop]}, stretch)
        constant, _ = images(
            {"x": lambda first, stop: np.full((2, stop - first, n_bins), 2, np.float32)}, stretch
        )
    assert pictures["x"].shape == (16, min(columns, n_frames))
    np.testing.assert_allclose(energies["x"], np.square(values, dtype=np.float64).sum(), rtol=1e-5)
    edges = stretch_edges(n_frames, min(columns, n_frames))
    by_frame = np.square(values) @ weights(stretch).T
    expected = [by_frame[a:b].mean(axis=0) for a, b in pairwise(edges)]
    np.testing.assert_allclose(pictures["x"], np.transpose(expected), rtol=1e-3)
    np.testing.assert_allclose(constant["x"], 4, rtol=1e-4)  # rows are means


def stretch_edges(n_frames: int, columns: int) -> list[int]:
    return [int(x) for x in np.linspace(0, n_frames, columns + 1)]


def weights(stretch: Stretch) -> np.ndarray:
    """Rows by brute force: the mean of straight lines between bins, over many points of each band."""
    edges = np.geomspace(*stretch.range, 17)
    step = stretch.frequencies[1]
    rows = []
    for low, high in pairwise(edges):
        points = low + (np.arange(4000) + 0.5) / 4000 * (high - low)
        rows.append(np.clip(1 - np.abs(points[:, None] - stretch.frequencies) / step, 0, 1).mean(axis=0))
    return np.array(rows)


def test_what_cannot_be_drawn_is_said() -> None:
    parts = separate(spectrogram())
    with pytest.raises(ParameterError, match=r"holds no frames; the track has 0 to 3\.0 s"):
        plot(parts, start=99)
    with pytest.raises(ParameterError, match="start=-1"):
        plot(parts, start=-1)
    with pytest.raises(ParameterError, match="the dataset holds x; a picture needs some of harmonic"):
        plot(xr.Dataset({"x": ("frame", [1.0])}))
    with pytest.raises(ParameterError, match="several along track: choose one"):
        plot(parts.expand_dims(track=2))
    with pytest.raises(ParameterError, match="needs one called one of frame"):
        plot(parts.rename(time="when"))
    with pytest.raises(ParameterError, match="evenly spaced"):
        plot(parts.assign_coords(frequency=np.geomspace(1, 1000, 513)))


def test_without_matplotlib_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "hpss_batch.products.plots.figure", raising=False)
    with pytest.raises(HpssBatchError, match=r"pip install 'hpss-batch\[plot\]'"):
        plot(separate(spectrogram()))


def test_saving(tmp_path: Path) -> None:
    figure = hpss_batch.plot(separate(spectrogram(seconds=0.5)))
    assert save(figure, tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ParameterError, match=r"x\.doc ends in none of the formats"):
        save(figure, tmp_path / "x.doc")
    with pytest.raises(ParameterError, match="cannot be written: No such file or directory"):
        save(figure, tmp_path / "no" / "x.png")


def test_the_command(track: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = track("harmonic_mask", "percussive_mask")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["show", str(out), "a $b$.wav", "--start", "1", "--duration", "1"])
    assert result.exit_code == 0, result.output
    assert result.output == "Wrote a $b$.png\n"
    assert (tmp_path / "a $b$.png").stat().st_size > 10_000
    assert CliRunner().invoke(main, ["show", str(out), "nothing"]).exit_code == 2
    with pytest.raises(TrackError):
        plot_track(out, "nothing")


def test_a_notebook_shows_a_figure() -> None:
    """IPython asks the value of a cell for what it looks like; no pyplot has to be there, or be told."""
    figure: Any = pickle.loads(pickle.dumps(plot(separate(spectrogram()))))
    picture = imread(io.BytesIO(figure._repr_png_()), format="png")
    assert picture.shape[:2] == tuple(round(150 * inches) for inches in figure.get_size_inches()[::-1])
    assert np.ptp(picture[..., :3]) > 0.5
