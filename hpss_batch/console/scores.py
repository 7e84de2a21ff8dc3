"""How does an evaluation look in a terminal? Medians of all ratios first, then each recording's SI-SDR."""

import math
from typing import Any

from rich.console import Console
from rich.table import Table

from hpss_batch.console.streams import Terminal, shown
from hpss_batch.console.terminal import print_reasons
from hpss_batch.products.evaluation.result import ESTIMATES, Evaluation
from hpss_batch.products.evaluation.scores import NAMES
from hpss_batch.products.evaluation.truth import SOURCES

_WIDTH = 80
"""Columns that the tables need: in a narrower terminal lines are broken, and no digit is lost."""

HEADINGS = {"si_sdr": "SI-SDR", "sdr": "SDR", "sir": "SIR", "sar": "SAR"}


def print_scores(found: Evaluation, console: Console | None = None) -> None:
    """Print medians over recordings, with the gain over the mixture, and a line for each recording."""
    out = console or Terminal("stdout", soft_wrap=True)
    out.width = max(out.width, _WIDTH)
    scores, stft, hpss = found.scores, found.settings.stft, found.settings.hpss
    minutes, seconds = divmod(round(sum(score.seconds for score in scores)), 60)
    out.print(
        f"{len(scores)} recording{'s' * (len(scores) != 1)}, {minutes}:{seconds:02} of audio; n_fft {stft.n_fft}, "
        f"hop_length {stft.hop_length}, "
        + ", ".join(f"{key} {_said(of)}" for key, of in hpss.words.items())
        + "\n"
    )
    out.print("Median over recordings in dB, larger is better; behind it the gain over the mixture:")
    out.print(_medians(found))
    if len(scores) > 1:
        out.print(
            "\nSI-SDR of each recording in dB: mixture → separated, and what an ideal ratio mask reaches:"
        )
        out.print(_pieces(found))
    print_reasons("not scored", found.failed)


def _medians(found: Evaluation) -> Table:
    table = _table("component", "estimate", *HEADINGS.values())
    for component in SOURCES:
        for estimate in ESTIMATES:
            ratios, gained = found.median(component, estimate), found.gain(component, estimate)
            cells = [
                _decibel(getattr(ratios, name))
                + ("" if estimate == "mixture" else _gain(getattr(gained, name)))
                for name in NAMES
            ]
            table.add_row(component if estimate == "mixture" else "", _ESTIMATES[estimate], *cells)
    return table


_ESTIMATES = {"mixture": "mixture", "separated": "separated", "ideal": "ideal mask"}


def _pieces(found: Evaluation) -> Table:
    table = _table("recording", *SOURCES, text=1)
    for score in found.scores:
        cells = []
        for component in SOURCES:
            before, after, best = (score.ratios[component, e].si_sdr for e in ESTIMATES)
            cells.append(f"{_decibel(before)} → {_decibel(after)} [dim]of {_decibel(best)}[/]")
        table.add_row(shown(score.track), *cells)
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
