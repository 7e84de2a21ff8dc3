"""Where do words go, and what does a command say while it is at work?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
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


QUIET_SECONDS = 30
"""How often a run says how far it is where no bar can be drawn."""


def _can_draw(console: Console) -> bool:
    """Whether a bar can be drawn: in a terminal, and in a notebook that has ipywidgets."""
    return console.is_terminal and not (console.is_jupyter and find_spec("ipywidgets") is None)


def _counter(words: str) -> Progress:
    """A bar for things that are done one by one, gone when it stops."""
    columns = TextColumn(words), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, console=err, transient=True, disable=not _can_draw(err))


class _Pace(ProgressColumn):
    """Audio done and to do, how many times real time, and the time left."""

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        words = f"{clock(task.completed)} of {clock(task.total or 0)} of audio"
        if elapsed and task.completed:
            left = ((task.total or 0) - task.completed) * elapsed / task.completed
            words += f", {pace(task.completed, elapsed)}, {clock(left)} left"
        return Text(words)


class ProgressBar:
    """Shows how far something is, in a terminal or a notebook; where no bar can be drawn, runs say so in lines.

    A context manager. It is the `reporter` of `hpss_batch.run`, and the `progress` of `plan`, `verify`, `report` and
    `evaluate`.

    Parameters
    ----------
    words : str
        What is counted, where it is a `progress`.

    Examples
    --------
    >>> from hpss_batch import Job, plan
    >>> with ProgressBar() as bar:
    ...     planned = plan(Job.from_command_line("music/", "new/"), progress=bar)
    """

    def __init__(self, words: str = "opening tracks") -> None:
        self.counter = _counter(words)
        self.draws = _can_draw(err)
        columns = BarColumn(), _Pace(), TextColumn("{task.fields[failed]}")
        self.bar = Progress(*columns, console=err, disable=not self.draws)
        self.total = self.done = 0.0
        self.failed = self.n_tasks = 0
        self.began = self.spoke = time.monotonic()
        self.task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.counter.stop()
        self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """So many are done, of so many."""
        if not self.counter.tasks:
            self.counter.start()
            self.counter.add_task("", total=total)
        self.counter.update(self.counter.tasks[0].id, completed=done)
        if done >= total:
            self.counter.stop()

    def placing(self, opened: int, total: int) -> None:
        """See `hpss_batch.runner.execution.Reporter`."""
        self(opened, total)

    def started(self, plan: Plan, work: Sequence[Work], dashboard: str) -> None:
        """Say what begins, and where to watch it."""
        self.counter.stop()
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
        if self.draws:
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
