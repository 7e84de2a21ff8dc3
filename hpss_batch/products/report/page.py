"""How is a report laid out? Its sections, from what was gathered; every name goes through `markup`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files

from hpss_batch.products.report.cards import distributions, portraits, shares
from hpss_batch.products.report.gather import Findings
from hpss_batch.products.report.html import Html, element, escape, path, prose
from hpss_batch.products.report.tables import LISTED, outlier_table, row, table, track_table
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.records import versions
from hpss_batch.text import counted, duration, size

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
            f"Written {found.written:%Y-%m-%d %H:%M} UTC by hpss_batch {versions()['hpss-batch']}. "
            "Harmonic/percussive separation by median filtering: Fitzgerald 2010; margins and residual: "
            "Driedger, Müller & Disch 2014.",
        ),
    ]
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
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
    tracks = f"{counts['done']:,} of {counted(sum(counts.values()), 'track')} done"
    words = f"{tracks}, {duration(_audio_seconds(found))} of audio"
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
    catalog, counts = found.plan.catalog, _counts(found)
    statuses = ("done", "pending", "failed", "quarantined", "vanished")
    ordered = {status: counts[status] for status in statuses if counts[status]}
    stemless = _stemless(catalog)
    more = {"done": f", {len(stemless):,} of them without stems" if stemless else ""}
    legend = [
        element("li", _key(status), f"{n:,} {status}{more.get(status, '')}") for status, n in ordered.items()
    ]
    return element(
        "div",
        element("div", _tiles(found), class_="tiles"),
        shares(ordered, "tracks by status"),
        element("ul", legend, class_="legend"),
    )


def _tiles(found: Findings) -> Iterator[Html]:
    """The few numbers that matter most; those of arrays only where there are any."""
    plan, catalog, counts = found.plan, found.plan.catalog, _counts(found)
    done, seconds = counts["done"], _audio_seconds(found)
    what = "track done" if done == 1 else "tracks done"
    yield _tile(f"{done:,}", what, f"of {sum(counts.values()):,}")
    if catalog.has_units:
        frames = sum(state.n_frames for state in catalog.states if state.status == "done")
        yield _tile(duration(seconds), "of audio", f"arrays at {plan.shape.sample_rate:,} Hz")
        yield _tile(f"{frames:,}", "frames", f"of {plan.shape.n_bins:,} bins")
    else:
        yield _tile(duration(seconds), "of audio")
    if found.stored_bytes is not None:
        made = [*plan.shape.arrays]
        made += ["features"] if plan.job.output.features else []
        made += ["stems"] if found.stems else []
        yield _tile(size(found.stored_bytes), "on disk", ", ".join(made))
    commits = [commit.seconds for commit in catalog.commits.values()]
    taken = [*commits, *(record.seconds for record in found.stems.values())]
    if spent := sum(sum(steps.values()) for steps in taken):
        yield _tile(f"{seconds / spent:,.0f} ×", "real time, a core", f"{duration(spent)} of work")


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
    stemless = [(track, "no stems", error) for track, error in _stemless(catalog).items()]
    words = _what_is_missing(len(bad), len(stemless), catalog.counts["pending"])
    if not words:
        return None
    heads = [("Track", "name"), ("Status", ""), ("Reason", "reason")]
    listed = [*bad, *stemless]
    rows = [
        row(
            heads,
            [path(track), element("span", status, class_=f"status {status.replace(' ', '-')}"), error],
            class_="bad",
        )
        for track, status, error in listed[:LISTED]
    ]
    if len(listed) > LISTED:
        more = element("p", prose(f"and {len(listed) - LISTED:,} more: `hpss-batch status` lists them"))
    else:
        more = None
    return element("div", [element("p", text) for text in words], table(heads, rows) if rows else None, more)


def _stemless(catalog: Catalog) -> dict[str, str]:
    """Why tracks have no stems, by id, that are done but for these; of others there is more to say than that."""
    done = {track for track, state in zip(catalog.ids, catalog.states, strict=True) if state.status == "done"}
    return {track: error for track, error in catalog.stemless.items() if track in done}


def _what_is_missing(n_bad: int, n_stemless: int, n_pending: int) -> list[str]:
    """A sentence for each kind of track that is not done in full."""
    words = list[str]()
    if n_bad:
        why = "for a reason of its own" if n_bad == 1 else "each for a reason of its own"
        words.append(f"{counted(n_bad, 'track')} could not be done, {why}; all others are unharmed.")
    if n_stemless:
        have, them = ("has", "it") if n_stemless == 1 else ("have", "them")
        words.append(f"{counted(n_stemless, 'track')} {have} no stems; all else of {them} is done.")
    if n_pending:
        are = "is" if n_pending == 1 else "are"
        words.append(f"{counted(n_pending, 'track')} {are} still to do: run the job again, and it goes on.")
    return words


def _speed(found: Findings) -> Html | None:
    catalog, stft = found.plan.catalog, found.plan.stft
    done = [unit for unit in catalog.units if unit.number in catalog.commits]
    audio = sum(unit.n_frames for unit in done) * stft.hop_length / found.plan.shape.sample_rate
    rendered = [record for record in found.stems.values() if record.seconds and record.sample_rate]
    sung = sum(record.n_samples / record.sample_rate for record in rendered)
    parts = [
        _steps(counted(len(done), "unit"), audio, [commit.seconds for commit in catalog.commits.values()]),
        _steps(
            f"The stems of {counted(len(rendered), 'track')}", sung, [record.seconds for record in rendered]
        ),
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
    heads = [("Step", "name"), ("Time", "n"), ("Share", "n"), ("Real time", "n")]
    rows = [
        row(
            heads,
            [
                [_key(step), STEPS.get(step, step)],
                duration(value),
                f"{100 * value / total:.0f} %",
                f"{audio / value:,.0f} ×" if value else "",
            ],
        )
        for step, value in spent.items()
    ]
    about = f"{what} took {duration(total)} of work, over all workers, for {duration(audio)} of audio."
    words = element("p", about, class_="soft")
    return element("div", words, shares(spent, "time by step"), table(heads, rows), class_="work")


def _job(found: Findings) -> Html:
    catalog = found.plan.catalog
    made = Counter(
        ", ".join(f"{name} {number}" for name, number in commit.versions.items())
        for commit in catalog.commits.values()
    )
    by = [
        element(
            "p",
            f"{counted(n, 'unit')} by {words}" if len(made) > 1 else f"By {words}",
            ".",
            class_="small soft",
        )
        for words, n in made.most_common(5)
    ]
    facts = (
        f"Fingerprint {catalog.settings['fingerprint']}: any run of these settings on the same files, with the same "
        f"packages, gives the same bits. Generations: {len(catalog.generations):,}; units: {len(catalog.commits):,}; "
        "`hpss-batch verify` proves it."
    )
    yaml = element("pre", escape(found.job_yaml, keep="\n"))
    return element(
        "div", element("p", prose(facts)), by, element("details", element("summary", "The job as run"), yaml)
    )
