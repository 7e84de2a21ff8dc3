"""What does the page show, and how does text that nobody can trust get there? `report.html` says how it is laid out.

jinja2 escapes whatever the templates show: a track called ``<script>`` cannot become one by being forgotten.
Characters that a page cannot hold, or that would change what is around them (control characters, lone surrogates, marks
that turn the direction of writing) are shown as escapes.
"""

import os
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hpss_batch.products.report.gather import Findings
from hpss_batch.products.report.histogram import Histogram
from hpss_batch.products.report.measure import SPANS
from hpss_batch.products.report.metrics import FIGURES
from hpss_batch.store.records import versions
from hpss_batch.text import counted, duration, listed, printable, size

LISTED = 200
"""Tracks that are listed in one table, at most."""

TEMPLATES = Environment(
    loader=PackageLoader(__package__, "."),
    autoescape=True,
    finalize=lambda value: value if hasattr(value, "__html__") else printable(str(value)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""The templates; all that they show passes `finalize`, and is then escaped unless a template made it."""

TEMPLATES.filters |= {
    "base64": lambda data: b64encode(data).decode(),
    "counted": counted,
    "duration": duration,
    "size": size,
}


def render(found: Findings) -> str:
    """The page."""
    plan, catalog = found.plan, found.plan.catalog
    done = [state for state in catalog.states if state.status == "done"]
    seconds = sum(state.n_samples for state in done) / plan.shape.sample_rate
    statuses = ("done", "pending", "failed", "quarantined", "vanished")
    taken = [commit.seconds for commit in catalog.commits.values()]
    taken += [record.seconds for record in found.stems.values()]
    return TEMPLATES.get_template("report.html").render(
        found=found,
        job=plan.job,
        catalog=catalog,
        shape=plan.shape,
        title=listed([os.path.basename(path.rstrip("/")) or path for path in plan.job.corpus.paths]),
        version=versions()["hpss-batch"],
        counts=Counter({status: n for status in statuses if (n := catalog.counts[status])}),
        seconds=seconds,
        n_frames=sum(state.n_frames for state in done),
        stored=[
            *plan.shape.arrays,
            *(["features"] if plan.job.output.features else []),
            *(["stems"] if found.stems else []),
        ],
        spent=sum(_added(taken).values()),
        most=LISTED,
        **_missing(found),
        figures=FIGURES,
        badges=("percussive_energy", "percussive_weight", "entropy", "residual"),
        spans=SPANS,
        **_distributions(found),
        works=_works(found),
        **_listed(found),
        made=Counter(
            ", ".join(f"{name} {number}" for name, number in commit.versions.items())
            for commit in catalog.commits.values()
        ).most_common(),
    )


def _missing(found: Findings) -> dict[str, Any]:
    """Name, status and reason of tracks that are not done, or have no stems, and of files that are no tracks."""
    catalog = found.plan.catalog
    states = dict(zip(catalog.ids, catalog.states, strict=True))
    bad = [(track, status, error) for track, (status, error) in catalog.reasons.items()]
    bad += [(track, "vanished", state.error) for track, state in states.items() if state.status == "vanished"]
    stemless = [
        (track, "no stems", error)
        for track, error in catalog.stemless.items()
        if states[track].status == "done"
    ]
    skipped = [(file, "skipped", reason) for file, reason in found.skipped.items()]
    cancelled = [(track, "silent in mono", reason) for track, reason in catalog.cancelled.items()]
    return {"bad": bad, "stemless": stemless, "skipped": skipped, "cancelled": cancelled}


def _distributions(found: Findings) -> dict[str, Any]:
    """How each figure is spread over the tracks that were looked at, and what is the same in all of them."""
    plots, alike = list[Histogram](), list[str]()
    for figure in FIGURES:
        values = [m.values[figure.key] for m in found.measured if figure.key in m.values]
        if len(values) > 1 and min(values) < max(values):
            plots.append(Histogram.of(figure, values))
        elif len(values) > 1:
            alike.append(f"{figure.title.lower()} {figure.words(values[0])}")
    return {"plots": plots, "alike": alike}


def _works(found: Findings) -> list[tuple[str, float, dict[str, float]]]:
    """Of units, and of stems: what was done, how many seconds of audio that is, and the seconds that each step took."""
    plan, commits = found.plan, found.plan.catalog.commits
    done = [unit for unit in plan.catalog.units if unit.number in commits]
    audio = sum(unit.n_frames for unit in done) * plan.stft.hop_length / plan.shape.sample_rate
    rendered = [record for record in found.stems.values() if record.seconds and record.sample_rate]
    sung = sum(record.n_samples / record.sample_rate for record in rendered)
    stems = f"The stems of {counted(len(rendered), 'track')}"
    works = [
        (counted(len(done), "unit"), audio, _added(commit.seconds for commit in commits.values())),
        (stems, sung, _added(record.seconds for record in rendered)),
    ]
    return [work for work in works if any(work[2].values())]


def _added(taken: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Seconds of each step, over all who took them."""
    spent = dict[str, float]()
    for seconds in taken:
        for step, value in seconds.items():
            spent[step] = spent.get(step, 0.0) + float(value)
    return spent


def _listed(found: Findings) -> dict[str, Any]:
    """The tracks that figures were made of, those that are linked to at least, and a column for each figure."""
    linked = {o.measured.row for o in found.outliers} | {p.measured.row for p in found.portraits}
    chosen = [m for m in found.measured if m.row in linked]
    chosen += [m for m in found.measured if m.row not in linked][: max(LISTED - len(chosen), 0)]
    chosen.sort(key=lambda m: m.row)
    figures = [f for f in FIGURES if f.key != "seconds" and any(f.key in m.values for m in chosen)]
    return {
        "columns": [(figure.title, "n") for figure in figures],
        "listed": [
            (m, [f.words(m.values[f.key]) if f.key in m.values else "" for f in figures]) for m in chosen
        ],
    }
