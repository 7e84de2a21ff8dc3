"""How is libmpg123, which writes to the terminal of its own accord, kept quiet?

libsndfile does not tell it to be. What it has to say of a damaged file is said better in the track's reason, and of a
whole one not at all. It writes to C's `stderr`, a variable that holds a stream; here it holds another one meanwhile,
which leads nowhere. Python itself and whoever writes to descriptor 2 are not concerned. Only where that variable is
known and may be set (glibc, macOS); elsewhere nothing happens.
"""

import ctypes
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def _variable() -> ctypes.c_void_p | None:
    name = {"darwin": "__stderrp", "linux": "stderr"}.get(sys.platform)
    if name is None or (sys.platform == "linux" and platform.libc_ver()[0] != "glibc"):
        return None
    try:
        return ctypes.c_void_p.in_dll(ctypes.CDLL(None), name)
    except (OSError, ValueError):
        return None


def _nowhere() -> int | None:
    fopen = ctypes.CDLL(None).fopen
    fopen.restype = ctypes.c_void_p
    stream: int | None = fopen(b"/dev/null", b"we")
    return stream


class _Stderr:
    """C's variable, what it holds, and how many threads want it quiet."""

    def __init__(self) -> None:
        self.lock, self.wanted = threading.Lock(), 0
        self.variable = _variable()
        self.own = self.variable.value if self.variable else None
        self.nowhere = _nowhere() if self.variable else None

    def want(self, change: int) -> None:
        """One thread more, or one less, wants it quiet."""
        with self.lock:
            self.wanted += change
            if self.variable and self.nowhere:
                self.variable.value = self.nowhere if self.wanted else self.own


_stderr = _Stderr()


@contextmanager
def quiet() -> Iterator[None]:
    """Let no C library write to the terminal through C's streams meanwhile."""
    _stderr.want(1)
    try:
        yield
    finally:
        _stderr.want(-1)
