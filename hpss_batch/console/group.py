"""What becomes of a command that fails, or is told to stop? One message, and the exit status that says so."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import click

from hpss_batch.errors import HpssBatchError
from hpss_batch.text import printable

STOPS = (signal.SIGTERM, signal.SIGHUP)
"""What batch systems and closed terminals send; to Python, Ctrl-C is an exception already."""


class _Stopped(KeyboardInterrupt):
    """A signal came, which is to stop the command in good order, as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _stop(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once more would only disturb the end
    raise _Stopped(number)


@contextmanager
def _hearing() -> Iterator[None]:
    """Make signals exceptions, but for those that somebody ignores or handles: `nohup` does not want to hear."""
    here = threading.current_thread() is threading.main_thread()
    heard = [number for number in STOPS if here and signal.getsignal(number) is signal.SIG_DFL]
    hook = sys.unraisablehook
    for number in heard:
        signal.signal(number, _stop)
    sys.unraisablehook = partial(_stop_later, hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number in heard:
            signal.signal(number, signal.SIG_DFL)


def _stop_later(hook: Callable[[Any], Any], lost: Any) -> None:
    """Have a signal come again that came where exceptions are lost: in a finalizer, or while garbage is collected.

    `hook` is `sys.unraisablehook` as it was, for whatever else is `lost` there.
    """
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        hook(lost)
        return
    number = lost.exc_value.number if isinstance(lost.exc_value, _Stopped) else signal.SIGINT
    if number in STOPS:
        signal.signal(number, _stop)
    threading.Timer(0.1, os.kill, (os.getpid(), number)).start()


class Group(click.Group):
    """Turns errors of ours into a message and exit status 2; Ctrl-C and signals into advice and 128 + their number."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with _hearing():
                return super().invoke(ctx)
        except HpssBatchError as error:
            self._say(f"hpss-batch: {error}", "red")
            ctx.exit(2)
        except KeyboardInterrupt as stop:
            self._say("\nStopped. What is committed is safe: the same command goes on from there.")
            ctx.exit(128 + (stop.number if isinstance(stop, _Stopped) else signal.SIGINT))
        except click.ClickException as error:
            vars(error)["message"] = printable(error.message, "\n")
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of use."""
        return list(self.commands)

    def _say(self, text: str, style: str = "") -> None:
        from hpss_batch.console.streams import err

        err.say(text, style)
