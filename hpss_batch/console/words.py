"""How are times, sizes and names written in a terminal, and where to?"""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape

from hpss_batch.text import printable

SHOWN = 20
"""Failed tracks that are listed; `status --json` has all."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)


def print_reasons(heading: str, reasons: Mapping[str, str]) -> None:
    """A list of tracks and why, as far as a person reads it; nothing where there is none."""
    if not reasons:
        return
    out.print(f"[bold]{len(reasons):,} {heading}:")
    for track, reason in list(reasons.items())[:SHOWN]:
        out.print(f"  [red]{escape(printable(track))}[/]: {escape(printable(reason))}")
    if len(reasons) > SHOWN:
        out.print(f"  … and {len(reasons) - SHOWN:,} more")
