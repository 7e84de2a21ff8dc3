"""What becomes of a command that fails, or is told to stop? One message, and the exit status that says so."""

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import click

from hpss_batch.errors import HpssBatchError
from hpss_batch.text import printable

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a person, a batch system and a terminal that is closed send."""


class _Stopped(KeyboardInterrupt):
    """A signal came, which is to stop the command in good order.

    Python raises it wherever the main thread happens to be, and drops what is raised in a finalizer, and in libraries
    that clear errors. `lost` is called when nobody holds it any more.
    """

    def __init__(self, number: int, lost: Callable[[int], None]) -> None:
        super().__init__()
        self.number, self.lost = number, lost

    def __del__(self) -> None:
        self.lost(self.number)


class _Ear:
    """Makes exceptions of signals, and has those come again that were lost before the command ended."""

    def __init__(self) -> None:
        self.listens = True
        self.last: Callable[[], _Stopped | None] = lambda: None

    def hear(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGINT and self.last() is not None:
            return  # once more would only disturb the end; a person may insist
        stopped = _Stopped(number, self.insist)
        self.last = weakref.ref(stopped)
        try:
            raise stopped
        finally:
            del stopped  # this frame is in its traceback

    def insist(self, number: int) -> None:
        if self.listens:
            threading.Timer(0.1, self._again, (number,)).start()

    def _again(self, number: int) -> None:
        if self.listens:
            os.kill(os.getpid(), number)


@contextmanager
def _hearing() -> Iterator[None]:
    """Make signals exceptions, but for those that somebody ignores or handles: `nohup` does not want to hear."""
    ear, hook = _Ear(), sys.unraisablehook
    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in STOPS if here}
    heard = {n: was for n, was in before.items() if was in (signal.SIG_DFL, signal.default_int_handler)}
    for number in heard:
        signal.signal(number, ear.hear)
    sys.unraisablehook = partial(_unraisable, hook)
    try:
        yield
    finally:
        ear.listens = False
        sys.unraisablehook = hook
        for number, was in heard.items():
            signal.signal(number, was)


def _unraisable(hook: Callable[[Any], Any], lost: Any) -> None:
    """Say nothing of a signal that was dropped, since it comes again; the rest is for the hook that was there."""
    if not isinstance(lost.exc_value, _Stopped):
        hook(lost)


class Group(click.Group):
    """Turns errors of ours into a message and exit status 2; Ctrl-C and signals into advice and 128 + their number."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return self._invoke(ctx)
        except HpssBatchError as error:
            self._say(f"hpss-batch: {error}", "red")
            ctx.exit(2)
        except KeyboardInterrupt as stop:
            self._say("\nStopped. What is committed is safe: the same command goes on from there.")
            ctx.exit(128 + (stop.number if isinstance(stop, _Stopped) else signal.SIGINT))
        except click.ClickException as error:
            vars(error)["message"] = printable(error.message, "\n")
            raise

    def _invoke(self, ctx: click.Context) -> Any:
        """Run the command; what fails while it ends, since it was told to stop, is no news."""
        try:
            with _hearing():
                return super().invoke(ctx)
        except Exception as error:
            behind: BaseException | None = error
            while behind is not None and not isinstance(behind, KeyboardInterrupt):
                behind = behind.__context__
            if behind is None:
                raise
            raise behind from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of use."""
        return list(self.commands)

    def _say(self, text: str, style: str = "") -> None:
        from hpss_batch.console.streams import err

        err.say(text, style)
