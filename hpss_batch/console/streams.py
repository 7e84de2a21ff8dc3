"""How do words get to whoever reads them, so that they neither end a run nor do anything to a terminal?

Every word of a command goes through `out` or `err`. A name may hold what a terminal would obey: it is shown as an
escape. What an encoding does not have is spelled with what it has. A pipe that is closed, or a full disk behind a log,
takes no more words, and the run goes on.
"""

import codecs
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from hpss_batch.text import printable

_LIKENESS = {"×": "x", "…": "...", "→": "->", "∞": "inf", "–": "-", "’": "'"}


def _spelled(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    escaped = character.encode("ascii", "backslashreplace").decode()
    return _LIKENESS.get(character, escaped), error.start + 1


codecs.register_error("hpss_batch.spelled", _spelled)


class Stream:
    """`sys.stdout` or `sys.stderr`, whatever that is at the moment; no word that is written raises anything."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def _now(self) -> Any:
        found = getattr(sys, self.name)
        return getattr(found, "rich_proxied_file", found)  # which a bar puts in its place

    @property
    def encoding(self) -> str:
        """Of what is written."""
        return getattr(self._now, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether this is a terminal."""
        return bool(getattr(self._now, "isatty", bool)())

    def write(self, text: str) -> int:
        """Write text, as far as it can be."""
        self._try("write", text.encode(self.encoding, "hpss_batch.spelled").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Have it read, as far as it can be."""
        self._try("flush")

    def _try(self, method: str, *arguments: str) -> None:
        stream = self._now  # None where Python was started without
        try:
            getattr(stream, method, lambda *_: None)(*arguments)
        except OSError:  # nobody reads any more; nor will anybody read what Python flushes when it ends
            with suppress(OSError, AttributeError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
        except ValueError:  # it was closed
            pass


class Terminal(Console):
    """A console that shows every character it is given, and obeys none; see `Console` for options."""

    def __init__(self, stream: str, **options: Any) -> None:
        file: Any = Stream(stream)
        super().__init__(file=file, highlight=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The pieces of what is printed: those of text with escapes for what cannot be seen."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(printable(piece.text, "\n"), piece.style)

    def say(self, text: str, style: str = "") -> None:
        """Print text as it is, in one piece, however wide the terminal."""
        self.print(Text(printable(text, "\n"), style), soft_wrap=True)


out = Terminal("stdout", soft_wrap=True)
err = Terminal("stderr")


def shown(text: object) -> str:
    """A name or a reason within a line of markup, with escapes for line breaks too."""
    return escape(printable(str(text)))


def say(text: str) -> None:
    """Print text as it is to standard output."""
    out.say(text)


def print_json(figures: Any) -> None:
    """What a program reads."""
    out.file.write(json.dumps(figures, indent=1) + "\n")
    out.file.flush()
