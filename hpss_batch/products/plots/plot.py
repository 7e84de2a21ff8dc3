"""What does a separation look like? Spectrograms of the whole and of its parts, one above the other, on shared axes.

`plot` takes any labelled dataset: a track of a corpus, or what `separate` returns. `plot_track` takes a track of a run
directory, and goes back to its audio where only masks are stored. Both return a matplotlib figure that belongs to
nobody else: a notebook shows it, ``figure.savefig("song.png")`` writes it.
"""

import os
from collections.abc import Hashable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.params import COMPONENTS
from hpss_batch.errors import ParameterError
from hpss_batch.labelled import FRAME_DIMS, FREQUENCY_DIMS
from hpss_batch.products.plots.canvas import Canvas
from hpss_batch.products.raster import Stretch, images
from hpss_batch.products.spectra import Frames, Spectra
from hpss_batch.store.arrays.schema import MASKS
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.reading.corpus import open_corpus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def plot(
    dataset: xr.Dataset,
    *,
    start: float = 0.0,
    duration: float | None = None,
    dynamic_range: float = 80.0,
    title: str | None = None,
) -> "Figure":
    """Draw the spectrograms of a track: full, harmonic, percussive, and residual where there is one.

    Parameters
    ----------
    dataset : xr.Dataset
        A track of `open_corpus`, or what `separate` returned, on a dimension of frames and one of frequencies. Of
        channels the mean power is drawn.
    start, duration : float
        The stretch to draw [s]; to the end by default. In frames if the dataset has no times.
    dynamic_range : float
        What is this many dB below the full one's maximum is black.
    title : str, optional
        The heading; the track's id by default.

    Returns
    -------
    matplotlib.figure.Figure
        Of masks alone, their weights.

    Raises
    ------
    ParameterError
        If there is nothing to draw in the dataset, or in the stretch.
    HpssBatchError
        If matplotlib is not installed.

    Examples
    --------
    >>> plot(open_corpus("out/")["song.flac"], start=30, duration=10).savefig("song.png")
    """
    return _plot(_Labelled(dataset), start, duration, dynamic_range, title)


def plot_track(
    out: str | os.PathLike[str],
    track: str,
    *,
    start: float = 0.0,
    duration: float | None = None,
    dynamic_range: float = 80.0,
) -> "Figure":
    """Draw a track of a run directory as `plot` does; its spectrogram is computed if it is not stored.

    Parameters
    ----------
    out : path or URL
        The run directory.
    track : str
        The track's id.
    start, duration, dynamic_range
        As in `plot`.

    Raises
    ------
    TrackError
        If there is no such track, or it is not done.
    """
    corpus = open_corpus(out)
    labelled = _Labelled(corpus[track], corpus.path)
    if labelled.full is None:
        labelled.full = _full(corpus.path, track)
    params = HpssParams(**corpus.dataset.attrs["job"]["hpss"])
    return _plot(labelled, start, duration, dynamic_range, None, _words(params))


def _full(url: str, track: str) -> Frames | None:
    """A track's magnitudes, from wherever else they can be had."""
    directory = RunDirectory(url)
    catalog = directory.catalog_or_none()
    if catalog is None:
        return None
    spectra, row = Spectra(directory, catalog), catalog.current[track]
    return None if spectra.why_not(row) else partial(spectra.magnitudes, row)


def save(figure: "Figure", path: str | os.PathLike[str]) -> Path:
    """Write a figure to a file, in the format that its name ends in.

    Raises
    ------
    ParameterError
        If there is no such format, or no such folder.
    """
    target = Path(path)
    known = figure.canvas.get_supported_filetypes()
    if target.suffix.removeprefix(".").lower() not in known:
        raise ParameterError(
            f"{target.name} ends in none of the formats that can be drawn: {', '.join(sorted(known))}"
        )
    try:
        figure.savefig(target)
    except OSError as error:
        raise ParameterError(f"{target} cannot be written: {error.strerror}; give another file") from error
    return target


class _Labelled:
    """A dataset's arrays by frames, whatever its dimensions are called; `url` is the run directory that it is of."""

    def __init__(self, dataset: xr.Dataset, url: str | None = None) -> None:
        names = [*COMPONENTS, *MASKS, "spectrogram", "magnitude"]
        held = [name for name in names if name in dataset.data_vars]
        if not held:
            there = ", ".join(map(str, dataset.data_vars)) or "nothing"
            raise ParameterError(
                f"the dataset holds {there}; a picture needs some of {', '.join(names)}: give a track of open_corpus, "
                "or what separate returned"
            )
        self.dataset, self.url, first = dataset, url, dataset[held[0]]
        self.frame_dim, self.frequency_dim = _dim(first, FRAME_DIMS), _dim(first, FREQUENCY_DIMS)
        other = [d for d in first.dims if d not in (self.frame_dim, self.frequency_dim, "channel")]
        if any(first.sizes[d] > 1 for d in other):
            raise ParameterError(
                f"the dataset has several along {other[0]}: choose one, as by isel({other[0]}=0)"
            )
        self.n_frames = first.sizes[self.frame_dim]
        whole = next((name for name in ("spectrogram", "magnitude") if name in dataset), None)
        self.full: Frames | None = partial(self.values, whole) if whole else None
        if whole is None and {"harmonic", "percussive"} <= set(held):
            self.full = self._summed

    def values(self, name: str, first: int, stop: int) -> Float32:
        """Magnitudes, or weights, of some frames, shape (channel, frame, bin)."""
        array = self.dataset[name].isel({self.frame_dim: slice(first, stop)})
        return self._flat(array)

    def parts(self) -> dict[str, Frames]:
        """Every panel's magnitudes."""
        if self.full is None:
            return {}
        parts: dict[str, Frames] = {"full": self.full}
        for name in COMPONENTS:
            if name in self.dataset:
                parts[name] = partial(self.values, name)
            elif f"{name}_mask" in self.dataset:
                parts[name] = partial(self._masked, f"{name}_mask")
        if "residual" not in parts and all(mask in self.dataset for mask in MASKS):
            parts["residual"] = self._rest
        return parts

    def weights(self) -> dict[str, Frames]:
        """Weights, where there is nothing else."""
        return {
            name.removesuffix("_mask"): partial(self.values, name) for name in MASKS if name in self.dataset
        }

    @property
    def times(self) -> Float64 | None:
        """Time of each frame [s]."""
        for name in ("time", self.frame_dim):
            if name in self.dataset.coords and self.dataset[name].dims == (self.frame_dim,):
                return np.asarray(self._read(self.dataset[name]), np.float64)
        return None

    @property
    def frequencies(self) -> tuple[Float64, bool]:
        """Centre of each bin, and whether that is in Hz."""
        for name in ("frequency", self.frequency_dim):
            if name in self.dataset.coords and self.dataset[name].dims == (self.frequency_dim,):
                return np.asarray(self._read(self.dataset[name]), np.float64), True
        n_bins = self.dataset.sizes[self.frequency_dim]
        rate = self.dataset.attrs.get("sample_rate")
        if rate:
            return np.linspace(0, float(rate) / 2, n_bins), True
        return np.arange(n_bins, dtype=np.float64), False

    def _masked(self, mask: str, first: int, stop: int) -> Float32:
        assert self.full is not None
        return self.full(first, stop) * self.values(mask, first, stop)

    def _rest(self, first: int, stop: int) -> Float32:
        assert self.full is not None
        harmonic, percussive = (self.values(mask, first, stop) for mask in MASKS)
        return self.full(first, stop) * (1 - harmonic - percussive)

    def _summed(self, first: int, stop: int) -> Float32:
        names = [name for name in COMPONENTS if name in self.dataset]
        stretch = self.dataset[names].isel({self.frame_dim: slice(first, stop)})
        return self._flat(sum((stretch[name] for name in names[1:]), stretch[names[0]]))

    def _flat(self, array: xr.DataArray) -> Float32:
        values: Float32 = np.abs(self._read(array.transpose(..., self.frame_dim, self.frequency_dim)))
        return values.reshape(-1, *values.shape[-2:])

    def _read(self, array: xr.DataArray) -> NDArray[Any]:
        with RunDirectory(self.url).reading() if self.url else nullcontext():
            return array.values


def _dim(array: xr.DataArray, known: tuple[str, ...]) -> Hashable:
    found = [dim for dim in array.dims if str(dim).lower() in known]
    if len(found) != 1:
        raise ParameterError(
            f"the dataset's dimensions are {', '.join(map(str, array.dims))}; a picture needs one called one of "
            f"{', '.join(known)}: rename it"
        )
    return found[0]


def _plot(
    labelled: _Labelled,
    start: float,
    duration: float | None,
    dynamic_range: float,
    title: str | None,
    subtitle: str = "",
) -> "Figure":
    times = labelled.times
    first, stop = _frames(times, labelled.n_frames, start, duration)
    frequencies, in_hertz = labelled.frequencies
    stretch = Stretch(first, stop, frequencies)
    parts = labelled.parts()
    pictures, energies = images(parts or labelled.weights(), stretch)
    edges = (first, stop) if times is None else _span(times, first, stop)
    canvas = Canvas(edges, stretch.range, times is not None, in_hertz)
    heading = title or str(labelled.dataset.attrs.get("track", "")) or "Harmonic/percussive separation"
    if parts:
        return canvas.spectrograms(pictures, energies, dynamic_range, heading, subtitle)
    return canvas.masks({name: np.sqrt(image) for name, image in pictures.items()}, heading, subtitle)


def _frames(times: Float64 | None, n_frames: int, start: float, duration: float | None) -> tuple[int, int]:
    """First and stop of the frames in a stretch."""
    places = np.arange(n_frames, dtype=np.float64) if times is None else times
    end = np.inf if duration is None else start + duration
    first, stop = int(np.searchsorted(places, start)), int(np.searchsorted(places, end))
    if first >= stop or not start >= 0:
        last, unit = (places[-1], "frames" if times is None else "s") if n_frames else (0, "s")
        raise ParameterError(
            f"start={start:g}, duration={duration} holds no frames; the track has 0 to {last:.1f} {unit}"
        )
    return first, stop


def _span(times: Float64, first: int, stop: int) -> tuple[float, float]:
    step = float(times[1] - times[0]) if len(times) > 1 else 1.0
    return float(times[first]), float(times[stop - 1]) + step


def _words(hpss: HpssParams) -> str:
    """The separation's parameters, for the line below the title."""

    def said(value: Any) -> str:
        if isinstance(value, tuple):
            return said(value[0]) if value[0] == value[1] else " / ".join(map(said, value))
        return value if isinstance(value, str) else f"{value:g}"

    words = hpss.words
    method = "" if hpss.title.startswith("librosa") else f"{hpss.title}   "
    return method + "   ".join(
        f"{heading} {said(words[key])}"
        for heading, key in (("kernel", "kernel_size"), ("power", "power"), ("margin", "margin"))
    )
