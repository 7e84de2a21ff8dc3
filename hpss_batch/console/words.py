"""How are times, sizes and names written in a terminal, and where to?"""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape

SHOWN = 20
"""Failed tracks that are listed; `status --json` has all."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, as short as they can be read.

    >>> clock(3725), clock(61.4), clock(0.25)
    ('1:02:05', '1:01', '0.2 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(n_bytes: float) -> str:
    """Bytes in the unit that reads best.

    >>> size(1500), size(3 * 2**30)
    ('1.5 KiB', '3.0 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if n_bytes < 1024 or unit == "TiB":
            break
        n_bytes /= 1024
    return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"


def pace(audio: float, seconds: float) -> str:
    """How many times as fast as it plays audio was worked on.

    >>> pace(3600, 6), pace(1, 0.8)
    ('600 × real time', '1.2 × real time')
    """
    times = audio / max(seconds, 1e-9)
    return f"{times:.0f} × real time" if times >= 10 else f"{times:.1f} × real time"


def printable(text: str) -> str:
    """A name from a file system, with nothing in it that a terminal would obey.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_reasons(heading: str, reasons: Mapping[str, str]) -> None:
    """A list of tracks and why, as far as a person reads it; nothing where there is none."""
    if not reasons:
        return
    out.print(f"[bold]{len(reasons):,} {heading}:")
    for track, reason in list(reasons.items())[:SHOWN]:
        out.print(f"  [red]{escape(printable(track))}[/]: {escape(printable(reason))}")
    if len(reasons) > SHOWN:
        out.print(f"  … and {len(reasons) - SHOWN:,} more")
