"""Which tables does a report have, and how do its parts link to tracks? Each row of the tracks' table is a target."""

from collections.abc import Sequence

from hpss_batch.products.report.gather import Findings
from hpss_batch.products.report.html import Child, Html, element, path
from hpss_batch.products.report.metrics import FIGURES, Measured
from hpss_batch.text import counted, duration

LISTED = 200
"""Tracks that are listed in one table, at most."""


Heads = Sequence[tuple[str, str]]
"""Of each column: its words, and the class of its cells."""


def row(heads: Heads, cells: Sequence[Child], **attributes: object) -> Html:
    """A row whose cells know their column's words: where the page is narrow, they stand below each other."""
    return element(
        "tr",
        [
            element("td", cell, class_=kind or None, data_label=words)
            for (words, kind), cell in zip(heads, cells, strict=True)
        ],
        **attributes,
    )


def table(heads: Heads, rows: Sequence[Html]) -> Html:
    """A table of `row`s."""
    head = element("tr", [element("th", words, class_=kind or None, scope="col") for words, kind in heads])
    return element(
        "div",
        element(
            "table", element("thead", head), element("tbody", rows), class_="wide" if len(heads) > 6 else None
        ),
        class_="scroll",
        tabindex="0",
    )


def link(measured: Measured) -> Html:
    """A track's name, leading to its row in the table of tracks."""
    return element("a", path(measured.track), href=f"#row-{measured.row}")


def outlier_table(found: Findings) -> Html | None:
    """Tracks far from all others."""
    if not found.outliers:
        return None
    heads = [("Track", "name"), ("Figure", ""), ("Value", "n"), ("Deviations", "n")]
    rows = [
        row(
            heads,
            [
                link(outlier.measured),
                outlier.figure.title,
                outlier.figure.words(outlier.value),
                f"{abs(outlier.distance):.1f} {'above' if outlier.distance > 0 else 'below'}",
            ],
            class_="far",
        )
        for outlier in found.outliers
    ]
    about = (
        "Tracks more than 3.5 robust deviations from the median of a figure (1.4826 times the median absolute "
        "deviation). Far away is not wrong: a drum solo is an outlier among string quartets. It is where to listen "
        "first."
    )
    return element("div", element("p", about, class_="soft"), table(heads, rows))


def track_table(found: Findings) -> Html | None:
    """The tracks that figures were made of, those that are linked to at least."""
    linked = {o.measured.row for o in found.outliers} | {p.measured.row for p in found.portraits}
    chosen = [m for m in found.measured if m.row in linked]
    chosen += [m for m in found.measured if m.row not in linked][: max(LISTED - len(chosen), 0)]
    if not chosen:
        return None
    chosen.sort(key=lambda m: m.row)
    figures = [f for f in FIGURES if f.key != "seconds" and any(f.key in m.values for m in chosen)]
    heads = [("Track", "name"), ("Length", "n"), *((f.title, "n") for f in figures)]
    rows = [
        row(
            heads,
            [
                path(m.track),
                duration(m.seconds),
                *(f.words(m.values[f.key]) if f.key in m.values else "" for f in figures),
            ],
            id=f"row-{m.row}",
        )
        for m in chosen
    ]
    total = found.n_measurable
    words = (
        "All tracks that are done."
        if len(chosen) == total
        else f"{len(chosen):,} of the {counted(total, 'track')} that are done."
    )
    return element("div", element("p", words, class_="soft"), table(heads, rows))
