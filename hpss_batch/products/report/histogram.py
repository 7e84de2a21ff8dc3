"""How are the figures of many tracks spread? A small drawing in the page's own colours, whose numbers are made here.

It stretches to whatever width there is; words stand beside it as text, so that they stay readable on a phone and are
found by a search.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from hpss_batch.products.report.metrics import Figure

BINS = 28


@dataclass(frozen=True)
class Histogram:
    """A histogram, in units of its drawing.

    Attributes
    ----------
    width, height, floor : int
        Of the drawing; where bars stand.
    figure : Figure
        What is shown.
    median, label : str
        For people: the median; what is shown, for those who cannot see it.
    ends : list of str
        What stands below the axis, evenly spread: at its beginning, its middle, its end.
    bars : list of tuple of float
        Left, top, width and height of each.
    ticks : list of float
        Where the tracks are.
    middle : float
        Where the median is.
    """

    width: ClassVar[int] = 300
    height: ClassVar[int] = 90
    floor: ClassVar[int] = height - 12

    figure: Figure
    median: str
    label: str
    ends: list[str]
    bars: list[tuple[float, float, float, float]]
    ticks: list[float]
    middle: float

    @classmethod
    def of(cls, figure: Figure, values: Sequence[float]) -> Self:
        """A figure of several tracks; values beyond its ends are counted there."""
        least, largest, median = min(values), max(values), figure.words(float(np.median(values)))
        low, high = figure.ends or (least, largest)
        words = [
            figure.words(at) for at in (low, (low * high) ** 0.5 if figure.log else (low + high) / 2, high)
        ]
        if words[1] in (words[0], words[2]):  # of small counts
            words[1] = ""
        label = f"{figure.title}: median {median}, from {figure.words(least)} to {figure.words(largest)}"
        low, high, *shown = np.log([low, high, *values]) if figure.log else [low, high, *values]
        places = np.clip((np.array(shown) - low) / ((high - low) or 1.0), 0, 1)
        counts, _ = np.histogram(places, BINS, (0, 1))
        step, scale = cls.width / BINS, (cls.floor - 4) / max(int(counts.max()), 1)
        bars = [
            (i * step + 0.75, cls.floor - n * scale, step - 1.5, n * scale)
            for i, n in enumerate(counts.tolist())
            if n
        ]
        ticks = (np.unique(np.round(places, 3)) * cls.width).tolist()
        return cls(figure, median, label, words, bars, ticks, float(np.median(places)) * cls.width)
