"""How is a report laid out? Its sections, from what was gathered; every name goes through `markup`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files

from hpss_batch import __version__
from hpss_batch.products.cards import distributions, portraits
from hpss_batch.products.charts import shares
from hpss_batch.products.gathered import Findings
from hpss_batch.products.markup import Html, duration, element, escape, n_bytes
from hpss_batch.products.tables import LISTED, outlier_table, table, track_table

STEPS = {"read": "read and decode", "stft": "transform", "hpss": "separate", "write": "compress and write"}


def render(found: Findings) -> str:
    """The page."""
    sections = {
        "totals": ("Totals", _totals(found)),
        "failures": ("Not done", _failures(found)),
        "tracks": ("Look and listen", portraits(found)),
        "distributions": ("Distributions", distributions(found)),
        "outliers": ("Outliers", outlier_table(found)),
        "speed": ("Speed", _speed(found)),
        "sample": ("Tracks", track_table(found)),
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


def _name(found: Findings) -> str:
    return found.plan.job.corpus.path.rstrip("/").rsplit("/", 1)[-1] or found.plan.job.corpus.path


def _audio_seconds(found: Findings, status: str = "done") -> float:
    catalog, rate = found.plan.catalog, found.plan.shape.sample_rate
    return sum(state.n_samples for state in catalog.states if state.status == status) / rate


def _lead(found: Findings) -> str:
    counts = _counts(found)
    words = f"{counts['done']:,} of {sum(counts.values()):,} tracks done, {duration(_audio_seconds(found))} of audio"
    return f"{words}. Corpus {found.plan.job.corpus.path}, results in {found.plan.job.output.path}."


def _counts(found: Findings) -> Counter[str]:
    """Tracks by status, without rows that a later one took the place of."""
    counts = Counter(found.plan.catalog.counts)
    del counts["superseded"]
    return counts


def _tile(value: str, words: str, more: str = "") -> Html:
    small = element("small", more) if more else None
    return element("div", element("b", value), element("span", words), small, class_="tile")


def _totals(found: Findings) -> Html:
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


def _failures(found: Findings) -> Html | None:
    catalog = found.plan.catalog
    bad = [(track, status, error) for track, (status, error) in catalog.reasons.items()]
    bad += [
        (track, state.status, state.error)
        for track, state in zip(catalog.ids, catalog.states, strict=True)
        if state.status == "vanished"
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
    listing = table([("Track", ""), ("Status", ""), ("Reason", "")], rows) if rows else None
    return element(
        "div", [element("p", text) for text in words], listing, element("p", more) if more else None
    )


def _speed(found: Findings) -> Html | None:
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
    words = element("p", about, class_="soft")
    return element("div", words, shares(spent, "time by step"), table(heads, rows), class_="work")


def _job(found: Findings) -> Html:
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
        f"packages, gives the same bits. Generations: {len(catalog.generations):,}; units: {len(catalog.commits):,}; "
        "`hpss-batch verify` proves it."
    )
    yaml = element("pre", escape(found.job_yaml, keep="\n"))
    return element(
        "div", element("p", facts), by, element("details", element("summary", "The job as run"), yaml)
    )
