"""What became of a run, of a run directory, of single tracks?"""

import time
from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from hpss_batch.console.live import Live
from hpss_batch.console.words import out, print_reasons
from hpss_batch.runner.run import Result
from hpss_batch.runner.status import RunStatus
from hpss_batch.store.stem_records import StemRecord
from hpss_batch.text import clock, counted, pace, printable, size


def print_result(result: Result, live: Live) -> None:
    """How a run ended, and what to do next."""
    url = result.plan.job.output.path
    if live.n_tasks:
        seconds = time.monotonic() - live.began
        out.print(f"{clock(live.done)} of audio in {clock(seconds)}: {pace(live.done, seconds)}.")
    nothing = "" if live.n_tasks or result.broken else "Nothing to do: "
    out.print(f"{nothing}{result.catalog.told()}. Results: {escape(url)}")
    print_reasons("failed", {track: reason for track, (_, reason) in result.catalog.reasons.items()})
    print_reasons("without stems", result.catalog.stemless)
    print_reasons("with clipped stems", result.clipped)
    print_reasons("not done", result.broken)
    if result.broken:
        out.print("Run the same command again to try these again.")
    elif result.failed:
        out.print("Run again with --retry-failed once their files are mended.")


def print_rendered(url: str, records: Mapping[str, StemRecord]) -> None:
    """Which files were rendered, or why not."""
    folder = f"{url.rstrip('/')}/stems"
    for record in records.values():
        for stem in record.stems.values():
            words = f", {stem.clipped:,} samples clipped (peak {stem.peak:.2f})" if stem.clipped else ""
            out.print(f"{escape(printable(f'{folder}/{stem.name}'))}  {size(stem.n_bytes)}{words}")
    failed = {track: record.error or "" for track, record in records.items() if record.status != "done"}
    print_reasons("failed", failed)


def print_status(status: RunStatus) -> None:
    """The state of a run directory."""
    table = Table(box=None, padding=(0, 2))
    table.add_column("status", style="bold")
    table.add_column("tracks", justify="right")
    table.add_column("audio", justify="right")
    for name, n in sorted(status.catalog.counts.items()):
        table.add_row(name, f"{n:,}", clock(status.seconds[name]))
    out.print(table)
    pending = len(status.catalog.pending_units())
    if status.catalog.has_units:
        out.print(f"{counted(len(status.catalog.commits), 'unit')} done, {pending:,} to do")
    if status.stems is not None:
        out.print(
            "stems of " + ", ".join(f"{counted(n, 'track')} {what}" for what, n in status.stems.items() if n)
        )
    print_reasons("not done", {track: f"{s}: {error}" for track, (s, error) in status.reasons.items()})
    print_reasons("without stems", status.catalog.stemless)
