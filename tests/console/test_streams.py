"""Words reach whoever reads them, end no run, and do nothing to a terminal."""

import errno
import io
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpss_batch.console.streams import err, out, print_json, shown

EVIL = "a\x1b[2J\rb\x9b31m\u202e[bold]:fire:\udce9"
SHOWN = "a\\x1b[2J\\rb\\x9b31m\\u202e[bold]:fire:\\udce9"


@pytest.mark.parametrize("way", ["markup", "text", "error"])
def test_a_name_is_shown_and_not_obeyed(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    if way == "markup":
        out.print(f"[bold]{shown(EVIL)}")
    else:
        (out if way == "text" else err).say(EVIL)
    said = capsys.readouterr()
    assert (said.err if way == "error" else said.out) == f"{SHOWN}\n"


def test_markup_that_nobody_escaped_is_still_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    out.print("a\x1b]0;title\x07b")
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", "60 x real time... inf -> \\U0001f941 caf\\xe9"),
        ("latin-1", "60 × real time... inf -> \\U0001f941 café"),
        ("utf-8", "60 × real time… ∞ → 🥁 café"),
    ],
)
def test_what_an_encoding_lacks_is_spelled(
    encoding: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file, encoding))
    out.print("60 × real time… ∞ → 🥁 café")
    assert file.getvalue().decode(encoding) == f"{written}\n"


def test_nobody_who_reads_is_nobody_s_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        out.say("one")
        print_json({"two": 2})
        monkeypatch.undo()
    monkeypatch.setattr(sys, "stdout", pipe)  # closed
    out.say("three")
    monkeypatch.setattr(sys, "stdout", None)
    out.say("four")


@pytest.fixture
def no_room() -> Iterator[None]:
    """Files that may not grow, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_behind_a_log_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_room: None
) -> None:
    with (tmp_path / "full").open("w") as log:
        log.write("one")
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            log.flush()
        monkeypatch.setattr(sys, "stdout", log)
        out.say("two")
        monkeypatch.undo()
