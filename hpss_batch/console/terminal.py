"""What does a command say while it is at work, and of tracks of which there is something to say?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from hpss_batch.console.streams import err, out, shown
from hpss_batch.text import clock, counted, pace

if TYPE_CHECKING:
    from hpss_batch.runner.plan import Plan
    from hpss_batch.runner.work import Work

SHOWN = 20
"""Failed tracks that are listed; `status --json` has all."""


def print_reasons(heading: str, reasons: Mapping[str, str]) -> None:
    """A list of tracks and why, as far as a person reads it; nothing where there is none."""
    if not reasons:
        return
    out.print(f"[bold]{len(reasons):,} {heading}:")
    for track, reason in list(reasons.items())[:SHOWN]:
        out.print(f"  [red]{shown(track)}[/]: {shown(reason)}")
    if len(reasons) > SHOWN:
        out.print(f"  … and {len(reasons) - SHOWN:,} more")


QUIET_SECONDS = 30
"""How often a run says how far it is where no bar can be drawn."""


def _can_draw(console: Console) -> bool:
    """Whether a bar can be drawn: in a terminal, and in a notebook that has ipywidgets."""
    return console.is_terminal and not (console.is_jupyter and find_spec("ipywidgets") is None)


class _Line(Progress):
    """Columns in a line as wide as the terminal; see `_bar` and `_whole`."""

    def __init__(self, *columns: ProgressColumn, transient: bool = False) -> None:
        super().__init__(*columns, console=err, transient=transient, expand=True, disable=not _can_draw(err))

    def get_renderables(self) -> Iterable[RenderableType]:
        """The line, less room for the `^C^C` that terminals write behind it: at their edge that begins another line."""
        yield Constrain(self.make_tasks_table(self.tasks), err.width - 4)


def _bar() -> BarColumn:
    """A bar that takes the width which words leave."""
    return BarColumn(None, table_column=Column(ratio=1))


def _whole() -> Column:
    """Words that are not broken into lines."""
    return Column(no_wrap=True)


class _Pace(ProgressColumn):
    """Audio done and to do, how many times real time, the time left, and tracks that failed: as much as fits."""

    def render(self, task: Task) -> Text:
        elapsed, done, total = task.elapsed or 0.0, task.completed, task.total or 0.0
        audio, failed = f"{clock(done)} of {clock(total)}", task.fields["failed"]
        ways = [f"{audio} of audio", audio]
        if elapsed and done:
            left, fast = f"{clock((total - done) * elapsed / done)} left", pace(done, elapsed)
            ways = [
                f"{audio} of audio, {fast}, {left}",
                f"{audio}, {fast}, {left}",
                f"{audio}, {left}",
                audio,
            ]
        ways = [f"{words}, {failed}" if failed else words for words in ways]
        fitting = (words for words in ways if len(words) <= err.width - _SHORTEST)
        return Text(next(fitting, ways[-1]))


_SHORTEST = 12
"""Columns that are left for a bar, and for what terminals write behind it."""


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
        self.counter = _Line(
            TextColumn(words), _bar(), MofNCompleteColumn(table_column=_whole()), transient=True
        )
        self.draws = _can_draw(err)
        self.bar = _Line(_bar(), _Pace(table_column=_whole()))
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

    def started(self, plan: Plan, work: Sequence[Work], dashboard: str | None) -> None:
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
        out.say(f"{words}." + (f" Dashboard: {dashboard}" if dashboard else ""))
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

    def elsewhere(self, work: Sequence[Work]) -> None:
        """Make the bar shorter by what others have done."""
        self.total -= sum(task.seconds for task in work)
        if self.task is not None:
            self.bar.update(self.task, total=self.total)

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        err.say(text, "yellow")
