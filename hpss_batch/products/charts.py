"""How does a number, or a few hundred of them, look on a page? As small SVG drawings in the page's own colours.

Drawings stretch to whatever width there is; words stand beside them as text, so that they stay readable on a phone
and are found by a search.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hpss_batch.products.markup import Html, element

WIDTH, HEIGHT = 300, 90
BINS = 28


def histogram(values: Sequence[float], low: float, high: float, words: Sequence[str], label: str) -> Html:
    """How values are spread over low … high, with the median marked and each value as a tick below.

    Parameters
    ----------
    values : sequence of float
        Finite.
    low, high : float
        Ends of the axis; values beyond are counted at the end.
    words : sequence of str
        What stands below the axis, evenly spread: at its beginning, its middle, its end.
    label : str
        What it shows, for those who cannot see it.
    """
    span = (high - low) or 1.0
    clipped = np.clip((np.asarray(values, dtype=float) - low) / span, 0, 1)
    counts, _ = np.histogram(clipped, BINS, (0, 1))
    step, top = WIDTH / BINS, HEIGHT - 12
    scale = (top - 4) / max(int(counts.max()), 1)
    bars = [
        element(
            "rect",
            x=f"{i * step + 0.75:.2f}",
            y=f"{top - n * scale:.2f}",
            width=f"{step - 1.5:.2f}",
            height=f"{n * scale:.2f}",
            rx="1",
            class_="bar",
        )
        for i, n in enumerate(counts.tolist())
        if n
    ]
    middle = f"{float(np.median(clipped)) * WIDTH:.2f}"
    ticks = "".join(f"M{x * WIDTH:.1f} {top + 4}v6" for x in np.unique(np.round(clipped, 3)))
    drawing = element(
        "svg",
        bars,
        element("path", d=f"M0 {top + 0.5}H{WIDTH}", class_="axis"),
        element("path", d=ticks, class_="rug"),
        element("path", d=f"M{middle} 0V{top}", class_="median"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )
    return element("div", drawing, _scale(words), class_="histogram")


def _scale(words: Sequence[str]) -> Html:
    return element("div", [element("span", word) for word in words], class_="scale")


def shares(parts: Mapping[str, float], label: str) -> Html:
    """Parts of a whole as one bar; `parts` names each part's class and gives its size."""
    total = sum(parts.values()) or 1.0
    grown = [
        element("span", class_=f"part {name}", style=f"flex-grow:{1000 * value / total:.3f}")
        for name, value in parts.items()
    ]
    return element("div", grown, role="img", aria_label=label, class_="shares")
