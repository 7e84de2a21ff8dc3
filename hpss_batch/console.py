"""How plans, runs and states look in a terminal."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from hpss_batch.corpus.stemrecords import StemRecord
from hpss_batch.job.cluster import describe
from hpss_batch.job.findings import Finding, Verification
from hpss_batch.job.plan import Plan
from hpss_batch.job.run import Result
from hpss_batch.job.status import RunStatus
from hpss_batch.job.stemplan import StemPlan
from hpss_batch.job.work import Work

if TYPE_CHECKING:
    from hpss_batch.products.demo import Score

SHOWN = 20
"""Failed tracks that are listed; `status --json` has all."""

QUIET_SECONDS = 30
"""How often a run says how far it is where there is no terminal to draw a bar on."""

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


def counted(n: int, thing: str) -> str:
    """A number of things, in the singular where it is one.

    >>> counted(1, "unit"), counted(1200, "unit")
    ('1 unit', '1,200 units')
    """
    return f"{n:,} {thing}" + ("" if n == 1 else "s")


@contextmanager
def opening() -> Iterator[Callable[[int, int], None]]:
    """A bar for the tracks that are opened while planning."""
    columns = (TextColumn("opening tracks"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda opened, total: progress.update(task, completed=opened, total=total)


class _Pace(ProgressColumn):
    """Audio done and to do, how many times real time, and the time left."""

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        pace = task.completed / elapsed if elapsed else 0.0
        left = ((task.total or 0) - task.completed) / pace if pace else None
        words = f"{clock(task.completed)} of {clock(task.total or 0)} of audio"
        if pace:
            words += f", {pace:.0f} × real time"
        if left is not None:
            words += f", {clock(left)} left"
        return Text(words)


class Live:
    """Tells a run in a terminal; see `hpss_batch.job.run.Reporter`."""

    def __init__(self) -> None:
        self.opening = Progress(
            TextColumn("opening tracks"), BarColumn(), MofNCompleteColumn(), console=err, transient=True
        )
        self.bar = Progress(BarColumn(), _Pace(), TextColumn("{task.fields[failed]}"), console=err)
        self.total = self.done = 0.0
        self.failed = self.n_tasks = 0
        self.began = self.spoke = time.monotonic()
        self.task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.opening.stop()
        self.bar.stop()

    def placing(self, opened: int, total: int) -> None:
        """Move the bar of tracks that are opened."""
        if not self.opening.tasks:
            self.opening.start()
            self.opening.add_task("", total=total)
        self.opening.update(self.opening.tasks[0].id, completed=opened)
        if opened >= total:
            self.opening.stop()

    def started(self, plan: Plan, work: Sequence[Work], dashboard: str) -> None:
        """Say what begins, and where to watch it."""
        self.opening.stop()
        self.total = sum(task.seconds for task in work)
        self.began = self.spoke = time.monotonic()
        done = len(plan.catalog.commits)
        stems = (
            f"stems of {counted(len(plan.stems.tasks), 'track')}" if plan.stems and plan.stems.tasks else ""
        )
        units = counted(len(plan.pending), "unit") if plan.pending else ""
        words = f"{' and '.join(filter(None, (units, stems)))}, {clock(self.total)} of audio" + (
            f"; {counted(done, 'unit')} done" if done else ""
        )
        out.print(f"{words}. Dashboard: {dashboard}")
        if err.is_terminal:
            self.bar.start()
            self.task = self.bar.add_task("", total=self.total, failed="")

    def finished(self, work: Work, failed: int | None) -> None:
        """Move the bar."""
        self.n_tasks += 1
        self.done += work.seconds
        self.failed += failed or 0
        shown = f"{self.failed} failed" if self.failed else ""
        if self.task is not None:
            self.bar.update(self.task, completed=self.done, failed=shown)
        elif time.monotonic() - self.spoke > QUIET_SECONDS:
            self.spoke = time.monotonic()
            pace = self.done / (self.spoke - self.began)
            err.print(
                f"{clock(self.done)} of {clock(self.total)} of audio, {pace:.0f} × real time {shown}".rstrip()
            )

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        (self.bar.console if self.task is not None else err).print(f"[yellow]{escape(text)}")


def print_plan(plan: Plan) -> None:
    """A plan as a person reads it."""
    figures = plan_figures(plan)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    rows = figures["tracks"]
    table.add_row("corpus", escape(plan.job.corpus.path))
    table.add_row("run directory", escape(plan.job.output.path))
    words = f"{sum(rows.values()):,}, {clock(figures['audio_seconds'])} of audio"
    table.add_row("tracks", words + "".join(f"; {n:,} {status}" for status, n in sorted(rows.items())))
    units = figures["units"]
    words = f"{units['total']:,} of {units['frames']:,} frames; {units['done']:,} done, {units['pending']:,} to do"
    table.add_row(
        "units", words + (f", {units['waiting']:,} wait for the source" if units["waiting"] else "")
    )
    for name, n_bytes in figures["array_bytes"].items():
        table.add_row(name, f"{plan.shape.dtype(name)}, {size(n_bytes)} before compression")
    if plan.stems is not None:
        stems = figures["stems"]
        words = f"{stems['files']:,} files ({stems['encoding']}) of {stems['pending']:,} tracks to make"
        table.add_row("stems", words + (f", {stems['done']:,} tracks done" if stems["done"] else ""))
    table.add_row("memory", f"at most {size(figures['task_bytes'])} for each worker thread")
    table.add_row("cluster", escape(describe(plan.job.cluster)))
    if figures["seconds"] is not None:
        table.add_row("time", f"about {clock(figures['seconds'])}, from a short measurement on this machine")
    out.print(table)
    if plan.listing is not None:
        for heading, found in (
            ("not read here", plan.listing.unreadable),
            ("passed over", plan.listing.skipped),
        ):
            _print_reasons(heading, {str(a): str(b) for a, b in found})
    _print_reasons("cannot be read", figures["unreadable"])
    if plan.stems is not None:
        _print_reasons("cannot have such stems", plan.stems.refused)


def plan_figures(plan: Plan) -> dict[str, Any]:
    """A plan's figures, fit for JSON."""
    from hpss_batch.job.measure import estimate_seconds

    catalog, counts = plan.catalog, plan.catalog.counts
    tracks = {status: n for status, n in counts.items() if status not in ("superseded", "vanished")}
    return {
        "corpus": plan.job.corpus.path,
        "output": plan.job.output.path,
        "fingerprint": catalog.settings["fingerprint"],
        "tracks": tracks,
        "audio_seconds": sum(row.n_samples for row in plan.tracks) / plan.shape.sample_rate,
        "units": {
            "frames": plan.shape.unit_frames,
            "total": len(catalog.units),
            "done": len(catalog.commits),
            "pending": len(plan.pending),
            "waiting": plan.waiting,
        },
        "stems": stem_figures(plan.stems),
        "array_bytes": plan.array_bytes,
        "task_bytes": plan.task_bytes,
        "cluster": describe(plan.job.cluster),
        "seconds": estimate_seconds(plan),
        "unreadable": {row.id: row.error for row in plan.tracks if row.error},
    }


def stem_figures(stems: StemPlan | None) -> dict[str, Any] | None:
    """The figures of a plan's stems."""
    if stems is None:
        return None
    return {
        "encoding": f"{stems.recipe.encoding.format} {stems.recipe.encoding.subtype}",
        "files": stems.n_files,
        "pending": len(stems.tasks),
        "done": stems.n_done,
        "failed": stems.n_failed,
        "refused": stems.refused,
    }


def print_result(result: Result, live: Live) -> None:
    """How a run ended, and what to do next."""
    counts = result.catalog.counts
    url = result.plan.job.output.path
    if live.n_tasks:
        seconds = time.monotonic() - live.began
        pace = live.done / max(seconds, 1e-9)
        out.print(f"{clock(live.done)} of audio in {clock(seconds)}: {pace:.0f} × real time.")
    words = ", ".join(f"{n:,} {status}" for status, n in sorted(counts.items()))
    nothing = "" if live.n_tasks or result.broken else "Nothing to do: "
    out.print(f"{nothing}{words or 'no tracks'}. Results: {escape(url)}")
    _print_reasons("failed", result.failed)
    _print_reasons("with clipped stems", result.clipped)
    _print_reasons("not done", result.broken)
    if result.broken:
        out.print("Run the same command again to try these again.")
    elif result.failed:
        out.print("Run again with --retry-failed once their files are mended.")


def print_rendered(url: str, records: Mapping[str, StemRecord]) -> None:
    """Which files were rendered, or why not."""
    for record in records.values():
        for stem in record.stems.values():
            words = f", {stem.clipped:,} samples clipped (peak {stem.peak:.2f})" if stem.clipped else ""
            out.print(f"{escape(printable(f'{url}/stems/{stem.name}'))}  {size(stem.n_bytes)}{words}")
    failed = {track: record.error or "" for track, record in records.items() if record.status != "done"}
    _print_reasons("failed", failed)


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
        out.print(f"{len(status.catalog.commits):,} units done, {pending:,} to do")
    if status.stems is not None:
        out.print("stems of " + ", ".join(f"{n:,} tracks {what}" for what, n in status.stems.items() if n))
    _print_reasons("not done", {track: f"{s}: {error}" for track, (s, error) in status.reasons.items()})


@contextmanager
def counting(words: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for things that are done one by one; called with how many are done, of how many."""
    with Progress(
        TextColumn(words), BarColumn(), MofNCompleteColumn(), console=err, transient=True
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def print_verification(found: Verification) -> None:
    """What a verification found, and what to do about it."""
    standing = [f for f in found.findings if not f.healed and f.level != "leftover"]
    others = [f for f in found.findings if f.healed or f.level == "leftover"]
    for finding in [*standing[:SHOWN], *others[:SHOWN]]:
        _print_finding(finding)
    hidden = sum(max(len(group) - SHOWN, 0) for group in (standing, others))
    if hidden:
        out.print(f"… and {hidden:,} more: --json has all")
    out.print(escape(printable(found.summary())))


def _print_finding(finding: Finding) -> None:
    colour = "green" if finding.healed else {"wrong": "red", "unproven": "yellow"}.get(finding.level, "dim")
    word = "healed" if finding.healed else finding.level
    out.print(f"[{colour}]{word}[/] [bold]{escape(finding.place)}[/]: {escape(printable(finding.what))}")
    rows = {"means": finding.means, "heal" if not finding.healed else "done": finding.cure}
    if finding.tracks:
        more = f" and {len(finding.tracks) - 3:,} more" if len(finding.tracks) > 3 else ""
        rows = {"tracks": ", ".join(finding.tracks[:3]) + more} | rows
    for name, text in rows.items():
        out.print(f"  {name:7}{escape(printable(text))}")


def print_demo_corpus(music: Path, run_directory: Path) -> None:
    """What the demonstration made, and what it runs."""
    from hpss_batch.products.demo import DAMAGED, PIECES

    out.print(f"Made {music}/: chords and drums, mixed from known stems, in three formats")
    out.print("  " + ", ".join(f"{p.name} ({_layout(p.channels)}, {p.sample_rate:,} Hz)" for p in PIECES))
    out.print(f"  and {DAMAGED}, of which two thirds are missing.")
    out.print(f"\n[bold]$ hpss-batch run {music} -o {run_directory}")


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}[channels]


def print_scores(scores: "dict[str, list[Score]]") -> None:
    """How well masks tell the known stems apart."""
    out.print("\nSignal-to-distortion ratio against the known stems, in dB (larger is better):")
    table = Table(box=None, padding=(0, 2))
    for heading in ("track", "component", "mixture", "separated", "gain"):
        table.add_column(heading, justify="left" if heading in ("track", "component") else "right")
    for track, found in scores.items():
        for s in found:
            table.add_row(
                track, s.component, f"{s.before:.1f}", f"{s.after:.1f}", f"{s.after - s.before:+.1f}"
            )
    out.print(table)


def print_demo_end(run_directory: Path) -> None:
    """What to type next."""
    from hpss_batch.products.demo import PIECES

    out.print("\nNext:")
    out.print(f"  hpss-batch status {run_directory}")
    out.print("  hpss-batch run YOUR_MUSIC/ -o out/")
    out.print("  python")
    out.print("  >>> import hpss_batch")
    out.print(f'  >>> corpus = hpss_batch.open_corpus("{run_directory}")')
    out.print(f'  >>> corpus["{PIECES[0].name}"].harmonic_mask')


def _print_reasons(heading: str, reasons: dict[str, str]) -> None:
    if not reasons:
        return
    out.print(f"[bold]{len(reasons):,} {heading}:")
    for track, reason in list(reasons.items())[:SHOWN]:
        out.print(f"  [red]{escape(printable(track))}[/]: {escape(printable(reason))}")
    if len(reasons) > SHOWN:
        out.print(f"  … and {len(reasons) - SHOWN:,} more")


def printable(text: str) -> str:
    """A name from a file system, with nothing in it that a terminal would obey.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
