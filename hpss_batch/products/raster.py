"""How is a stretch of a track, however long, reduced to a picture of so many pixels?

A picture's columns are means of power over equal runs of frames, its rows means over bands of equal width on a
logarithmic axis, of the spectrum as straight lines between bins: low bands are narrower than a bin and show its shape,
high ones cover many. Frames are taken block by block, so that ten hours need no more memory than ten seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpss_batch.errors import ParameterError
from hpss_batch.products.spectra import Frames

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

LOWEST = 32.7
"""Hz where the axis begins at the lowest: C1, below which music has little."""

READ_FRAMES = 1024
"""Frames that are taken at once, where a column has no more."""


@dataclass(frozen=True)
class Stretch:
    """Frames of a track, and what their bins are.

    Attributes
    ----------
    first, stop : int
        Frames.
    frequencies : ndarray of float64, shape (bins,)
        Centre of each bin, evenly spaced from 0 on; Hz, or just numbers.
    rows, most_columns : int
        Pixels of its pictures.
    """

    first: int
    stop: int
    frequencies: Float64
    rows: int = 480
    most_columns: int = 1600

    def __post_init__(self) -> None:
        steps = np.diff(self.frequencies)
        if len(steps) < 1 or steps[0] <= 0 or not np.allclose(steps, steps[0], rtol=1e-3, atol=0):
            raise ParameterError(
                f"frequencies are {self.frequencies[:4]} …; a picture needs two bins or more, evenly spaced, rising"
            )

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest frequency of the axis: bin 0 has no place on a logarithmic one."""
        step, highest = float(self.frequencies[1] - self.frequencies[0]), float(self.frequencies[-1])
        lowest = max(step, LOWEST) if highest > 20 * LOWEST else step
        return min(lowest, highest / 2), highest

    def columns(self) -> NDArray[np.int64]:
        """First frame of each column, and the last one's stop."""
        n_columns = min(self.stop - self.first, self.most_columns)
        return np.linspace(self.first, self.stop, n_columns + 1).astype(np.int64)


def images(values: Mapping[str, Frames], stretch: Stretch) -> tuple[dict[str, Float64], dict[str, float]]:
    """Reduce magnitudes, or weights, of a stretch to pictures.

    Returns
    -------
    pictures : dict of ndarray, shape (rows, columns)
        Mean squares, over channels too; the lowest band first.
    energies : dict of float
        Sum of squares over the stretch, of all bins; mean over channels.
    """
    bands, edges = _bands(stretch), stretch.columns()
    pictures = {name: np.zeros((len(bands), len(edges) - 1)) for name in values}
    energies = dict.fromkeys(values, 0.0)
    column_of = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    for first in range(stretch.first, stretch.stop, READ_FRAMES):
        stop = min(first + READ_FRAMES, stretch.stop)
        columns, begins = np.unique(
            column_of[first - stretch.first : stop - stretch.first], return_index=True
        )
        for name, frames in values.items():
            power = np.square(frames(first, stop)).mean(axis=0)
            energies[name] += float(power.sum(dtype=np.float64))
            pictures[name][:, columns] += np.add.reduceat(power @ bands.T, begins, axis=0).T
    for picture in pictures.values():
        picture /= np.diff(edges)
    return pictures, energies


def levels(pictures: Mapping[str, Float64]) -> dict[str, Float64]:
    """Pictures in dB relative to the maximum of the one called "full"."""
    peak = max(float(pictures["full"].max()), np.finfo(np.float64).tiny)
    return {name: 10 * np.log10(np.maximum(image / peak, 1e-30)) for name, image in pictures.items()}


def _bands(stretch: Stretch) -> Float32:
    """Weights of bins in each row, shape (rows, bins): integrals of straight lines between bins."""
    edges = np.geomspace(*stretch.range, stretch.rows + 1)
    step = stretch.frequencies[1] - stretch.frequencies[0]
    u = np.clip((edges[:, None] - stretch.frequencies) / step, -1, 1)
    # integral of a bin's share, which falls from 1 at its centre to 0 at its neighbours', up to each edge
    integral = np.where(u < 0, (1 + u) ** 2, 2 - (1 - u) ** 2) / 2
    weights: Float32 = (np.diff(integral, axis=0) * step / np.diff(edges)[:, None]).astype(np.float32)
    return weights
