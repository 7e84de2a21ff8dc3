"""How do a few tracks, and the figures of many, look on a page?

Figures are small SVG drawings in the page's own colours. They stretch to whatever width there is; words stand beside
them as text, so that they stay readable on a phone and are found by a search.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hpss_batch.products.report.excerpts import Excerpt
from hpss_batch.products.report.gather import Findings, Portrait
from hpss_batch.products.report.html import Html, data_uri, element
from hpss_batch.products.report.measure import SPANS
from hpss_batch.products.report.metrics import FIGURES, Figure
from hpss_batch.products.report.tables import link
from hpss_batch.text import duration

VOICES = {
    "full": "Full",
    "harmonic": "Harmonic",
    "percussive": "Percussive",
    "residual": "Residual",
    "harmonic_mask": "Harmonic mask",
    "percussive_mask": "Percussive mask",
}


_BADGES = ("percussive_energy", "percussive_weight", "entropy", "residual")


def portraits(found: Findings) -> Html | None:
    """A few tracks, to look at and listen to."""
    if not found.portraits:
        return None
    about = (
        "The middle of a few tracks. Frequencies are logarithmic, brightness is in decibels below the loudest point "
        "of the full spectrogram, and all sounds of a track have the same gain."
    )
    cards = [_card(portrait) for portrait in found.portraits]
    return element("div", element("p", about, class_="soft"), element("div", cards, class_="cards"))


def _card(portrait: Portrait) -> Html:
    excerpt, measured = portrait.excerpt, portrait.measured
    facts = [
        f"{figure.title.lower()} {figure.words(measured.values[figure.key])}"
        for figure in FIGURES
        if figure.key in measured.values and figure.key in _BADGES
    ]
    badges = [element("span", text, class_="badge") for text in (duration(measured.seconds), *facts)]
    note = element("p", excerpt.note, class_="soft small") if excerpt.note else None
    voices = [_voice(name, excerpt, measured.track) for name in excerpt.pictures]
    return element(
        "article",
        element("h3", link(measured)),
        element("p", portrait.why[:1].upper() + portrait.why[1:] + ".", class_="why"),
        element("div", badges, class_="badges"),
        note,
        voices,
        class_="card",
    )


def _voice(name: str, excerpt: Excerpt, track: str) -> Html:
    words, sound = VOICES[name], excerpt.sounds.get(name)
    player = (
        element(
            "audio", controls=True, preload="metadata", src=data_uri("audio/flac", sound), aria_label=words
        )
        if sound
        else None
    )
    picture = element(
        "img",
        src=data_uri("image/png", excerpt.pictures[name]),
        alt=f"{words} spectrogram of {track}",
    )
    end = excerpt.start + excerpt.seconds
    middle = excerpt.start + excerpt.seconds / 2
    times = (excerpt.start, middle, end)
    short = excerpt.seconds < 1
    seconds = [element("span", f"{1000 * at:.0f} ms" if short else f"{at:.1f} s") for at in times]
    return element(
        "figure",
        element("figcaption", element("span", words), player),
        element("div", picture, _ticks(excerpt), class_="spectrogram"),
        element("div", seconds, class_="seconds"),
        class_=f"voice {name.split('_')[0]}",
    )


def _ticks(excerpt: Excerpt) -> Iterator[Html]:
    span = np.log(excerpt.highest / excerpt.lowest)
    for hz, words in ((100, "100 Hz"), (1000, "1 kHz"), (10_000, "10 kHz")):
        at = float(np.log(hz / excerpt.lowest) / span) if excerpt.lowest > 0 else -1
        if 0.03 < at < 0.97:
            yield element("span", words, class_="hz", style=f"bottom:{100 * at:.1f}%")


def distributions(found: Findings) -> Html | None:
    """How each figure is spread over the tracks that were looked at."""
    plots, alike = list[Html](), list[str]()
    for figure in FIGURES:
        values = [m.values[figure.key] for m in found.measured if figure.key in m.values]
        if len(values) > 1 and min(values) < max(values):
            plots.append(_plot(figure, values))
        elif len(values) > 1:
            alike.append(f"{figure.title.lower()} {figure.words(values[0])}")
    if not plots:
        return None
    looked, total = len(found.measured), found.n_measurable
    about = (
        f"Over all {total:,} tracks that are done"
        if looked == total
        else f"Over {looked:,} of the {total:,} tracks that are done, drawn at random"
    )
    about += f", from up to {SPANS} stretches of each. No ground truth is needed for these figures: they say what was "
    about += "done, not how well. The dashed line is the median; every tick is a track."
    return element(
        "div",
        element("p", about, class_="soft"),
        element("div", plots, class_="plots"),
        element("p", f"The same in all of them: {', '.join(alike)}.", class_="soft") if alike else None,
    )


def _plot(figure: Figure, values: Sequence[float]) -> Html:
    middle = figure.words(float(np.median(values)))
    return element(
        "div",
        element("h3", figure.title),
        element("p", middle, " ", element("small", "median"), class_="middle"),
        _histogram(figure, values, middle),
        element("p", figure.about, class_="soft small"),
        class_=f"card of-{figure.key.replace('_', '-')}",
    )


def _histogram(figure: Figure, values: Sequence[float], middle: str) -> Html:
    low, high = figure.ends or (min(values), max(values))
    middle_of_axis = (low * high) ** 0.5 if figure.log else (low + high) / 2
    ends = [figure.words(at) for at in (low, middle_of_axis, high)]
    if ends[1] in (ends[0], ends[2]):  # of small counts
        ends[1] = ""
    label = (
        f"{figure.title}: median {middle}, from {figure.words(min(values))} to {figure.words(max(values))}"
    )
    shown = [float(np.log(v)) if figure.log else v for v in (low, high, *values)]
    return histogram(shown[2:], shown[0], shown[1], ends, label)


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
