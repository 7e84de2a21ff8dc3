"""Which tables does a report have, and how do its parts link to tracks? Each row of the tracks' table is a target."""

from collections.abc import Sequence

from hpss_batch.products.figures import FIGURES, Measured
from hpss_batch.products.gathered import Findings
from hpss_batch.products.markup import Html, duration, element

LISTED = 200
"""Tracks that are listed in one table, at most."""


def table(heads: Sequence[tuple[str, str]], rows: Sequence[Html]) -> Html:
    """A table that may be wider than the page; heads are words and classes."""
    head = element("tr", [element("th", words, class_=kind or None, scope="col") for words, kind in heads])
    return element(
        "div",
        element("table", element("thead", head), element("tbody", rows)),
        class_="scroll",
        tabindex="0",
    )


def link(measured: Measured) -> Html:
    """A track's name, leading to its row in the table of tracks."""
    return element("a", measured.track, href=f"#row-{measured.row}")


def outlier_table(found: Findings) -> Html | None:
    """Tracks far from all others."""
    if not found.outliers:
        return None
    rows = [
        element(
            "tr",
            element("td", link(outlier.measured), class_="name"),
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
    return element("div", element("p", words, class_="soft"), table(heads, rows))
