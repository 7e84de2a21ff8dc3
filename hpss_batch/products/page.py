"""How is a report laid out? Its sections, from what was gathered; every name goes through `markup`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from hpss_batch import __version__
from hpss_batch.products.charts import histogram, shares
from hpss_batch.products.excerpts import Excerpt
from hpss_batch.products.figures import FIGURES, SPANS, Figure, Measured
from hpss_batch.products.markup import Html, data_uri, duration, element, escape, n_bytes

if TYPE_CHECKING:
    from hpss_batch.products.report import Findings, Portrait

LISTED = 200
"""Tracks that are listed in one table, at most."""

STEPS = {"read": "read and decode", "stft": "transform", "hpss": "separate", "write": "compress and write"}
VOICES = {
    "full": "Full",
    "harmonic": "Harmonic",
    "percussive": "Percussive",
    "residual": "Residual",
    "harmonic_mask": "Harmonic mask",
    "percussive_mask": "Percussive mask",
}


def render(found: "Findings") -> str:
    """The page."""
    sections = {
        "totals": ("Totals", _totals(found)),
        "failures": ("Not done", _failures(found)),
        "tracks": ("Look and listen", _portraits(found)),
        "distributions": ("Distributions", _distributions(found)),
        "outliers": ("Outliers", _outliers(found)),
        "speed": ("Speed", _speed(found)),
        "sample": ("Tracks", _sample(found)),
        "job": ("How it was made", _job(found)),
    }
    shown = {key: value for key, value in sections.items() if value[1] is not None}
    title = _name(found)
    body = [
        element(
            "header",
            element("p", "Harmonic and percussive parts of a corpus", class_="eyebrow"),
            element("h1", title),
            element("p", _lead(found), class_="lead"),
            element("nav", [element("a", words, href=f"#{key}") for key, (words, _) in shown.items()]),
        ),
        element(
            "main",
            [
                element("section", element("h2", words), content, id=key)
                for key, (words, content) in shown.items()
            ],
        ),
        element(
            "footer",
            f"Written {found.written:%Y-%m-%d %H:%M} UTC by hpss_batch {__version__}. "
            "Harmonic/percussive separation by median filtering: Fitzgerald 2010; margins and residual: "
            "Driedger, Müller & Disch 2014.",
        ),
    ]
    style = files("hpss_batch.products").joinpath("report.css").read_text(encoding="utf-8")
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title}: harmonic and percussive"),
        element("link", rel="icon", href="data:,"),
        element("style", Html(style)),
    ]
    page = element("html", element("head", head), element("body", body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _name(found: "Findings") -> str:
    return found.plan.job.corpus.path.rstrip("/").rsplit("/", 1)[-1] or found.plan.job.corpus.path


def _audio_seconds(found: "Findings", status: str = "done") -> float:
    catalog, rate = found.plan.catalog, found.plan.shape.sample_rate
    return sum(state.n_samples for state in catalog.states if state.status == status) / rate


def _lead(found: "Findings") -> str:
    counts = _counts(found)
    words = f"{counts['done']:,} of {sum(counts.values()):,} tracks done, {duration(_audio_seconds(found))} of audio"
    return f"{words}. Corpus {found.plan.job.corpus.path}, results in {found.plan.job.output.path}."


def _counts(found: "Findings") -> Counter[str]:
    """Tracks by status, without rows that a later one took the place of."""
    counts = Counter(found.plan.catalog.counts)
    del counts["superseded"]
    return counts


def _tile(value: str, words: str, more: str = "") -> Html:
    small = element("small", more) if more else None
    return element("div", element("b", value), element("span", words), small, class_="tile")


def _totals(found: "Findings") -> Html:
    plan, catalog = found.plan, found.plan.catalog
    counts, seconds = _counts(found), _audio_seconds(found)
    frames = sum(state.n_frames for state in catalog.states if state.status == "done")
    spent = sum(sum(commit.seconds.values()) for commit in catalog.commits.values())
    tiles = [
        _tile(f"{counts['done']:,}", "tracks done", f"of {sum(counts.values()):,}"),
        _tile(duration(seconds), "of audio", f"arrays at {plan.shape.sample_rate:,} Hz"),
        _tile(f"{frames:,}", "frames", f"of {plan.shape.n_bins:,} bins"),
    ]
    if found.stored_bytes is not None:
        tiles.append(
            _tile(n_bytes(found.stored_bytes), "on disk", ", ".join(plan.shape.arrays) or "no arrays")
        )
    if spent:
        tiles.append(_tile(f"{seconds / spent:,.0f} ×", "real time, a core", f"{duration(spent)} of work"))
    ordered = {status: counts[status] for status in ("done", "pending", "failed", "quarantined", "vanished")}
    bar = shares({status: n for status, n in ordered.items() if n}, "tracks by status")
    legend = [element("li", _key(status), f"{n:,} {status}") for status, n in ordered.items() if n]
    return element("div", element("div", tiles, class_="tiles"), bar, element("ul", legend, class_="legend"))


def _key(name: str) -> Html:
    """A spot in the colour of a part."""
    spot = element("rect", width="10", height="10", rx="3", class_=f"part {name}")
    return element("svg", spot, viewBox="0 0 10 10", class_="key", aria_hidden="true")


def _table(heads: Sequence[tuple[str, str]], rows: Sequence[Html]) -> Html:
    """A table that may be wider than the page; heads are words and classes."""
    head = element("tr", [element("th", words, class_=kind or None, scope="col") for words, kind in heads])
    return element(
        "div",
        element("table", element("thead", head), element("tbody", rows)),
        class_="scroll",
        tabindex="0",
    )


def _failures(found: "Findings") -> Html | None:
    catalog = found.plan.catalog
    bad = [
        (track, state.status, state.error)
        for track, state in zip(catalog.ids, catalog.states, strict=True)
        if state.status in ("failed", "quarantined", "vanished")
    ]
    pending = catalog.counts["pending"]
    if not bad and not pending:
        return None
    words = list[str]()
    if bad:
        words.append(
            f"{len(bad):,} tracks could not be done, each for a reason of its own; all others are unharmed."
        )
    if pending:
        words.append(f"{pending:,} tracks are still to do: run the job again, and it goes on.")
    rows = [
        element(
            "tr",
            element("td", track, class_="name"),
            element("td", status, class_=f"status {status}"),
            element("td", error, class_="reason"),
        )
        for track, status, error in bad[:LISTED]
    ]
    more = f"and {len(bad) - LISTED:,} more: `hpss-batch status` lists them" if len(bad) > LISTED else ""
    table = _table([("Track", ""), ("Status", ""), ("Reason", "")], rows) if rows else None
    return element("div", [element("p", text) for text in words], table, element("p", more) if more else None)


def _link(measured: Measured) -> Html:
    return element("a", measured.track, href=f"#row-{measured.row}")


def _portraits(found: "Findings") -> Html | None:
    if not found.portraits:
        return None
    about = (
        "The middle of a few tracks. Frequencies are logarithmic, brightness is in decibels below the loudest point "
        "of the full spectrogram, and all sounds of a track have the same gain."
    )
    cards = [_card(portrait) for portrait in found.portraits]
    return element("div", element("p", about, class_="soft"), element("div", cards, class_="cards"))


def _card(portrait: "Portrait") -> Html:
    excerpt, measured = portrait.excerpt, portrait.measured
    facts = [
        f"{figure.title.lower()} {figure.words(measured.values[figure.key])}"
        for figure in FIGURES
        if figure.key in measured.values and figure.key not in ("seconds", "clipped")
    ]
    badges = [element("span", text, class_="badge") for text in (duration(measured.seconds), *facts)]
    note = element("p", excerpt.note, class_="soft small") if excerpt.note else None
    voices = [_voice(name, excerpt, measured.track) for name in excerpt.pictures]
    return element(
        "article",
        element("h3", _link(measured)),
        element("p", portrait.why[:1].upper() + portrait.why[1:] + ".", class_="why"),
        element("div", badges),
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
        loading="lazy",
    )
    end = excerpt.start + excerpt.seconds
    middle = excerpt.start + excerpt.seconds / 2
    seconds = [element("span", f"{at:.1f} s") for at in (excerpt.start, middle, end)]
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


def _distributions(found: "Findings") -> Html | None:
    plots = [plot for figure in FIGURES if (plot := _plot(figure, found)) is not None]
    if not plots:
        return None
    looked, total = len(found.measured), found.n_measurable
    about = (
        f"Over all {total:,} tracks that are done"
        if looked == total
        else (f"Over {looked:,} of {total:,} tracks that are done, drawn at random")
    )
    about += (
        f", from up to {SPANS} stretches of each. No ground truth is needed for these figures, and none is "
    )
    about += (
        "implied: they say what was done, not how well. The dashed line is the median; every tick is a track."
    )
    return element("div", element("p", about, class_="soft"), element("div", plots, class_="plots"))


def _plot(figure: Figure, found: "Findings") -> Html | None:
    values = [m.values[figure.key] for m in found.measured if figure.key in m.values]
    if len(values) < 2:
        return None
    middle, alike = figure.words(float(np.median(values))), min(values) == max(values)
    return element(
        "div",
        element("h3", figure.title),
        element("p", middle, " ", element("small", "in all of them" if alike else "median"), class_="middle"),
        None if alike else _histogram(figure, values, middle),
        element("p", figure.about, class_="soft small"),
        class_=f"card of-{figure.key.replace('_', '-')}",
    )


def _histogram(figure: Figure, values: Sequence[float], middle: str) -> Html:
    low, high = figure.ends or (min(values), max(values))
    ends = [figure.words(at) for at in (low, (low * high) ** 0.5 if figure.log else (low + high) / 2, high)]
    label = (
        f"{figure.title}: median {middle}, from {figure.words(min(values))} to {figure.words(max(values))}"
    )
    shown = [float(np.log(v)) if figure.log else v for v in (low, high, *values)]
    return histogram(shown[2:], shown[0], shown[1], ends, label)


def _outliers(found: "Findings") -> Html | None:
    if not found.outliers:
        return None
    rows = [
        element(
            "tr",
            element("td", _link(outlier.measured), class_="name"),
            element("td", outlier.figure.title),
            element("td", outlier.figure.words(outlier.value), class_="n"),
            element(
                "td",
                f"{abs(outlier.distance):.1f} {'above' if outlier.distance > 0 else 'below'}",
                class_="n",
            ),
        )
        for outlier in found.outliers
    ]
    about = (
        "Tracks more than 3.5 robust deviations from the median of a figure (1.4826 times the median absolute "
        "deviation). Far away is not wrong: a drum solo is an outlier among string quartets. It is where to listen "
        "first."
    )
    heads = [("Track", ""), ("Figure", ""), ("Value", "n"), ("Deviations", "n")]
    return element("div", element("p", about, class_="soft"), _table(heads, rows))


def _speed(found: "Findings") -> Html | None:
    catalog, stft = found.plan.catalog, found.plan.stft
    done = [unit for unit in catalog.units if unit.number in catalog.commits]
    audio = sum(unit.n_frames for unit in done) * stft.hop_length / found.plan.shape.sample_rate
    rendered = [record for record in found.stems.values() if record.seconds and record.sample_rate]
    sung = sum(record.n_samples / record.sample_rate for record in rendered)
    parts = [
        _steps(f"{len(done):,} units", audio, [commit.seconds for commit in catalog.commits.values()]),
        _steps(f"The stems of {len(rendered):,} tracks", sung, [record.seconds for record in rendered]),
    ]
    shown = [part for part in parts if part is not None]
    return element("div", shown) if shown else None


def _steps(what: str, audio: float, taken: Sequence[Mapping[str, float]]) -> Html | None:
    """What the steps of some work took."""
    spent = dict[str, float]()
    for seconds in taken:
        for step, value in seconds.items():
            spent[step] = spent.get(step, 0.0) + float(value)
    total = sum(spent.values())
    if not total:
        return None
    rows = [
        element(
            "tr",
            element("td", _key(step), STEPS.get(step, step), class_="name"),
            element("td", duration(value), class_="n"),
            element("td", f"{100 * value / total:.0f} %", class_="n"),
            element("td", f"{audio / value:,.0f} ×" if value else "", class_="n"),
        )
        for step, value in spent.items()
    ]
    about = f"{what} took {duration(total)} of work, over all workers, for {duration(audio)} of audio."
    heads = [("Step", ""), ("Time", "n"), ("Share", "n"), ("Real time", "n")]
    return element(
        "div", element("p", about, class_="soft"), shares(spent, "time by step"), _table(heads, rows)
    )


def _sample(found: "Findings") -> Html | None:
    linked = {o.measured.row for o in found.outliers} | {p.measured.row for p in found.portraits}
    chosen = [m for m in found.measured if m.row in linked]
    chosen += [m for m in found.measured if m.row not in linked][: max(LISTED - len(chosen), 0)]
    if not chosen:
        return None
    chosen.sort(key=lambda m: m.row)
    figures = [f for f in FIGURES if f.key != "seconds" and any(f.key in m.values for m in chosen)]
    rows = [
        element(
            "tr",
            element("td", m.track, class_="name"),
            element("td", duration(m.seconds), class_="n"),
            [
                element("td", f.words(m.values[f.key]) if f.key in m.values else "", class_="n")
                for f in figures
            ],
            id=f"row-{m.row}",
        )
        for m in chosen
    ]
    heads = [("Track", ""), ("Length", "n"), *((f.title, "n") for f in figures)]
    total = found.n_measurable
    words = (
        "All tracks that are done."
        if len(chosen) == total
        else f"{len(chosen):,} of {total:,} tracks that are done."
    )
    return element("div", element("p", words, class_="soft"), _table(heads, rows))


def _job(found: "Findings") -> Html:
    catalog = found.plan.catalog
    made = Counter(
        ", ".join(f"{name} {number}" for name, number in commit.versions.items())
        for commit in catalog.commits.values()
    )
    by = [
        element("p", f"{n:,} units by {words}" if len(made) > 1 else f"By {words}", ".", class_="small soft")
        for words, n in made.most_common(5)
    ]
    facts = (
        f"Fingerprint {catalog.settings['fingerprint']}: any run of these settings on the same files, with the same "
        f"packages, gives the same bits. {len(catalog.generations):,} generations, {len(catalog.commits):,} units; "
        "`hpss-batch verify` proves it."
    )
    yaml = element("pre", escape(found.job_yaml, keep="\n"))
    return element(
        "div", element("p", facts), by, element("details", element("summary", "The job as run"), yaml)
    )
