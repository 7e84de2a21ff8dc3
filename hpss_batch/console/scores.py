"""How does an evaluation look in a terminal? Medians of all ratios first, then each recording's SI-SDR."""

import math
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from hpss_batch.console.streams import Terminal, shown
from hpss_batch.console.terminal import print_reasons
from hpss_batch.products.evaluation.result import ESTIMATES, Comparison, Settings
from hpss_batch.products.evaluation.scores import NAMES
from hpss_batch.products.evaluation.truth import SOURCES

_WIDTH = 400
"""Columns that the tables may need: in a narrower terminal lines are broken, and no digit is lost."""

HEADINGS = {"si_sdr": "SI-SDR", "sdr": "SDR", "sir": "SIR", "sar": "SAR"}


def print_scores(found: Comparison, console: Console | None = None) -> None:
    """Print medians over recordings, with the gain over the mixture, and lines for each recording.

    Of several methods also how each is set, and on which recordings it loses against the first.
    """
    out = console or Terminal("stdout", soft_wrap=True)
    out.width = max(out.width, _WIDTH)
    first, *others = found.evaluations
    one = found.evaluations[first]
    minutes, seconds = divmod(round(sum(score.seconds for score in one.scores)), 60)
    total = f"{len(one.scores)} recording{'s' * (len(one.scores) != 1)}, {minutes}:{seconds:02} of audio"
    if others:
        out.print(total)
        for name, each in found.evaluations.items():
            out.print(f"  {shown(name)}: {_words(each.settings)}")
    else:
        out.print(f"{total}; {_words(one.settings)}")
    out.print("\nMedian over recordings in dB, larger is better; behind it the gain over the mixture:")
    out.print(_medians(found))
    if len(one.scores) > 1:
        out.print(
            "\nSI-SDR of each recording in dB: mixture → separated, and what an ideal ratio mask reaches:"
        )
        out.print(_pieces(found))
    if others:
        out.print(f"\nWorse than {shown(first)} in SI-SDR, the mean of both components:")
    for name in others:
        lost = found.losses(name)
        worse = ", ".join(f"{shown(track)} by {loss:.1f} dB" for track, loss in lost.items())
        out.print(f"  {shown(name)} on {len(lost)} of {len(one.scores)}{': ' * bool(lost)}{worse}")
    print_reasons("not scored", one.failed)


def _words(settings: Settings) -> str:
    stft, hpss = settings.stft, settings.hpss
    return f"n_fft {stft.n_fft}, hop_length {stft.hop_length}, " + ", ".join(
        f"{key} {_said(of)}" for key, of in hpss.words.items()
    )


def _medians(found: Comparison) -> Table:
    one, *others = found.evaluations.values()
    rows = [("mixture", one, "mixture")]
    rows += [(name if others else "separated", each, "separated") for name, each in found.evaluations.items()]
    ideals = {replace(each.settings, hpss=one.settings.hpss): each for each in found.evaluations.values()}
    rows += [
        (f"ideal {each.settings.stft.n_fft}" if len(ideals) > 1 else "ideal mask", each, "ideal")
        for each in ideals.values()
    ]
    table = _table("component", "estimate", *HEADINGS.values())
    for component in SOURCES:
        for title, each, estimate in rows:
            ratios, gained = each.median(component, estimate), each.gain(component, estimate)
            cells = [
                _decibel(getattr(ratios, name))
                + ("" if estimate == "mixture" else _gain(getattr(gained, name)))
                for name in NAMES
            ]
            table.add_row(component if estimate == "mixture" else "", shown(title), *cells)
    return table


def _pieces(found: Comparison) -> Table:
    several = len(found.evaluations) > 1
    headings = ["recording", "method"] if several else ["recording"]
    table = _table(*headings, *SOURCES, text=len(headings))
    for scores in zip(*(each.scores for each in found.evaluations.values()), strict=True):
        for number, (name, score) in enumerate(zip(found.evaluations, scores, strict=True)):
            cells = []
            for component in SOURCES:
                before, after, best = (score.ratios[component, e].si_sdr for e in ESTIMATES)
                cells.append(f"{_decibel(before)} → {_decibel(after)} [dim]of {_decibel(best)}[/]")
            titles = ["" if number else shown(score.track), shown(name)]
            table.add_row(*titles[: len(headings)], *cells)
    return table


def _table(*headings: str, text: int = 2) -> Table:
    table = Table(box=None, padding=(0, 1))
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i < text else "right", no_wrap=True)
    return table


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return _said(value[0]) if value[0] == value[1] else f"({', '.join(map(_said, value))})"
    return value if isinstance(value, str) else f"{value:g}"


def _decibel(value: float) -> str:
    """At a fixed width, so that columns align.

    >>> _decibel(3.14159), _decibel(float("inf")), _decibel(float("nan"))
    ('  3.1', '    ∞', '    –')
    """
    if math.isnan(value):
        return "    –"
    return f"{value:5.1f}" if math.isfinite(value) else f"{'∞' if value > 0 else '-∞':>5}"


def _gain(value: float) -> str:
    return f" [dim]{value:+5.1f}[/]" if math.isfinite(value) else " " * 6
