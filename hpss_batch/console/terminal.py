"""Where do words go, and what does a command say while it is at work?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from hpss_batch.text import clock, counted, pace, printable

if TYPE_CHECKING:
    from hpss_batch.runner.plan import Plan
    from hpss_batch.runner.work import Work

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


OPENING = "opening tracks"
"""What planning does that takes long."""

QUIET_SECONDS = 30
"""How often a run says how far it is where there is no terminal to draw a bar on."""


def _counter(words: str) -> Progress:
    """A bar for things that are done one by one, gone when it stops; none where there is no terminal."""
    columns = TextColumn(words), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


@contextmanager
def counting(words: str) -> Iterator[Callable[[int, int], None]]:
    """Such a bar; called with how many are done, of how many."""
    with _counter(words) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _Pace(ProgressColumn):
    """Audio done and to do, how many times real time, and the time left."""

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        words = f"{clock(task.completed)} of {clock(task.total or 0)} of audio"
        if elapsed and task.completed:
            left = ((task.total or 0) - task.completed) * elapsed / task.completed
            words += f", {pace(task.completed, elapsed)}, {clock(left)} left"
        return Text(words)


class Live:
    """Tells a run in a terminal; see `hpss_batch.runner.execution.Reporter`."""

    def __init__(self) -> None:
        self.opening = _counter(OPENING)
        columns = BarColumn(), _Pace(), TextColumn("{task.fields[failed]}")
        self.bar = Progress(*columns, console=err, disable=not err.is_terminal)
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
            fast = pace(self.done, self.spoke - self.began)
            err.print(f"{clock(self.done)} of {clock(self.total)} of audio, {fast} {shown}".rstrip())

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        (self.bar.console if self.task is not None else err).print(f"[yellow]{escape(text)}")
