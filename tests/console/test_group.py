"""What ends a command, and with which exit status."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import contextlib, signal, sys, time
import click
from hpss_batch.console.group import Group

number = int(sys.argv[1])
signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

class Finalized:
    def __del__(self):
        signal.raise_signal(number)

def finalizer():
    Finalized()

def library():
    with contextlib.suppress(BaseException):
        signal.raise_signal(number)

def cleanup():
    try:
        signal.raise_signal(number)
    finally:
        raise OSError("the cluster cannot be closed")

@click.group(cls=Group)
def main(): ...

@main.command()
def wait():
    globals()[sys.argv[2]]()
    time.sleep(60)

main(["wait"])
"""


@pytest.mark.parametrize("where", ["finalizer", "library", "cleanup"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_heard_wherever_it_comes(number: signal.Signals, where: str) -> None:
    """Python drops what is raised in finalizers and while garbage is collected; some libraries clear all errors."""
    words = [sys.executable, "-c", PROGRAM, str(int(number)), where]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 128 + number
    assert done.stderr == "\nStopped. What is committed is safe: the same command goes on from there.\n"
