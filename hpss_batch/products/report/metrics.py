"""What can be said of a separation without knowing the truth?

    percussive share     energy of the percussive component over that of both
    indecision           entropy of the masks [bit]: 0 where every bin goes to one component, 1 at half and half
    residual share       what margins above 1 leave to neither
    reconstruction       energy of spectrogram less all components over that of the spectrogram [dB]
    peak, clipping       how loud stems came out, and how many samples their format could not hold

These figures say what was done, not how well; but a track far from all others is where to look first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hpss_batch.store.catalog import Catalog
from hpss_batch.store.stem_records import StemRecord
from hpss_batch.text import duration

FLOOR = -200.0
"""What is said of a reconstruction without any error [dB]."""


@dataclass(frozen=True)
class Figure:
    """A figure that a report shows.

    Attributes
    ----------
    key, title, unit : str
        Its name, for people, and its unit.
    about : str
        What it says, in a sentence.
    scale : float
        What it is multiplied with to be shown.
    digits : int
        Decimals that are shown.
    ends : tuple of float, optional
        The axis, before `scale`; by default as far as values go.
    log : bool
        Whether equal ratios are equally far apart.
    """

    key: str
    title: str
    unit: str
    about: str
    scale: float = 1.0
    digits: int = 1
    ends: tuple[float, float] | None = None
    log: bool = False

    def words(self, value: float) -> str:
        """A value with its unit."""
        if self.key == "reconstruction" and value <= FLOOR:
            return "exact"
        if self.key == "clipped" and not round(value):
            return "none"
        if self.key == "seconds":
            return duration(value)
        return f"{value * self.scale:,.{self.digits}f} {self.unit}".rstrip().replace("-", "−")


FIGURES = (
    Figure(
        "percussive_energy",
        "Percussive share",
        "%",
        "Energy of the percussive component, of the energy of both.",
        100,
        0,
        (0, 1),
    ),
    Figure(
        "percussive_weight",
        "Percussive share",
        "%",
        "Mean weight of the percussive mask, of the weights of both masks; every bin counts alike, loud or not.",
        100,
        0,
        (0, 1),
    ),
    Figure(
        "entropy",
        "Indecision",
        "bit",
        "Entropy of the masks: 0 where each bin goes to one component as a whole, 1 where it is split in halves "
        "(1.58 in thirds, where margins leave a residual).",
        1,
        2,
    ),
    Figure(
        "residual",
        "Residual share",
        "%",
        "Energy that margins above 1 leave to neither component.",
        100,
        0,
        (0, 1),
    ),
    Figure(
        "reconstruction",
        "Reconstruction error",
        "dB",
        "Energy of the spectrogram less its stored components, over that of the spectrogram.",
    ),
    Figure(
        "peak",
        "Peak of stems",
        "dB",
        "The loudest sample of a track's stems; above 0 dB a format clips.",
        1,
        1,
    ),
    Figure(
        "clipped",
        "Clipped samples",
        "",
        "Samples of a track's stems that their format could not hold.",
        1,
        0,
    ),
    Figure("seconds", "Length", "", "Of each track that is done. The axis is logarithmic.", log=True),
)
"""All figures, in the order of the page."""


@dataclass(frozen=True)
class Measured:
    """The figures of one track.

    Attributes
    ----------
    row : int
        Its row.
    track : str
        Its id.
    seconds : float
        Its length.
    values : dict of str to float
        By `Figure.key`, those that could be had.
    """

    row: int
    track: str
    seconds: float
    values: dict[str, float] = field(default_factory=dict)


def sample_rows(catalog: Catalog, limit: int) -> list[int]:
    """Rows of at most `limit` tracks that are done and hold frames: all, or some at random, the same every time."""
    rows = [i for i, state in enumerate(catalog.states) if state.status == "done" and state.n_frames]
    if len(rows) <= limit:
        return rows
    drawn = np.random.default_rng(0).choice(len(rows), limit, replace=False)
    return [rows[i] for i in sorted(drawn.tolist())]


def with_stems(measured: Measured, record: StemRecord | None) -> Measured:
    """The figures of a track, with those that its stems' record has."""
    if record is None or not record.stems:
        return measured
    peak = max(stem.peak for stem in record.stems.values())
    # A count: as a share, a click in a long track would round to nothing.
    values = {"clipped": float(sum(stem.clipped for stem in record.stems.values()))}
    if peak > 0:
        values["peak"] = 20 * float(np.log10(peak))
    return replace(measured, values=measured.values | values)


@dataclass(frozen=True)
class Outlier:
    """A track that lies far from the others in one figure; `distance` in deviations, robustly estimated."""

    measured: Measured
    figure: Figure
    value: float
    distance: float


def outliers(measured: Sequence[Measured], most: int = 3, least_distance: float = 3.5) -> list[Outlier]:
    """Tracks far from the others, the farthest of each figure first.

    Distances are from the median, over 1.4826 times the median absolute deviation: robust, and the standard deviation
    for normal values (Iglewicz & Hoaglin 1993, who propose 3.5 too). Fewer than eight tracks have no outliers.
    """
    found = list[Outlier]()
    for figure in FIGURES:
        having = [m for m in measured if figure.key in m.values]
        values = np.array([m.values[figure.key] for m in having])
        if len(values) < 8:
            continue
        scaled = np.log(np.maximum(values, 1e-9)) if figure.log else values
        middle = np.median(scaled)
        deviation = 1.4826 * float(np.median(np.abs(scaled - middle)))
        if deviation <= 1e-9:
            continue
        distances = (scaled - middle) / deviation
        order = np.argsort(-np.abs(distances), kind="stable")[:most].tolist()
        found += [
            Outlier(having[i], figure, float(values[i]), float(distances[i]))
            for i in order
            if abs(distances[i]) > least_distance
        ]
    return found
