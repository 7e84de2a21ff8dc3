"""A bar is one line, whatever the width."""

import io
from typing import Any

import pytest
from rich.progress import Task

from hpss_batch.console import terminal
from hpss_batch.console.streams import Terminal
from hpss_batch.console.terminal import ProgressBar


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("hours", [0.01, 1.5, 20_000])
def test_a_bar_is_one_line_with_room_behind_it(
    hours: float, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Terminal("stderr", width=width, force_terminal=True)
    monkeypatch.setattr(terminal, "err", console)
    monkeypatch.setattr(Task, "elapsed", property(lambda _: 1234.5))
    bar = ProgressBar("looking at tracks")
    counted: Any = bar.counter.add_task("", total=1_000_000, completed=123_456)
    paced: Any = bar.bar.add_task("", total=3600 * hours, failed="12 failed", completed=1000 * hours)
    for progress, task in ((bar.counter, counted), (bar.bar, paced)):
        lines = console.render_lines(progress.get_renderable(), pad=False)
        assert len(lines) == 1
        words = "".join(piece.text for piece in lines[0])
        assert len(words) <= width - 4
        assert "…" not in words
        assert "━" in words or hours > 1000
        assert task is not None
    assert "12 failed" in words


def test_a_message_is_one_line_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    monkeypatch.setattr(terminal, "err", Terminal("stderr", width=40))
    ProgressBar().message("see " + "https://example.org/" + "a" * 100 + " \x1b[2J")
    assert file.getvalue() == "see https://example.org/" + "a" * 100 + " \\x1b[2J\n"
