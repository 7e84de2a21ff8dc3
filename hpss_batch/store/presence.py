"""Is a run at work in a run directory? Each says that it is alive, in a file of its own that goes when it ends.

Runs of the same job may work side by side, and need not know of each other. Only who takes the place of another job
asks, whose workers would write among the new arrays, and who frees files that look as if a crash had left them.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from urllib.request import url2pathname

from hpss_batch.errors import HpssBatchError
from hpss_batch.paths import is_url
from hpss_batch.store.storage import Folder

RUNNING = "running"
BEAT_SECONDS = 15
"""How often a run says that it is alive; one that has said nothing four times is not."""


@contextmanager
def at_work(folder: Folder) -> Iterator[str]:
    """Say, for as long as this lasts, that a run works in a run directory: what it places is not to be cleared.

    Yields the name of the file that says so.
    """
    name, ended = f"{RUNNING}/{process_name()}.json", Event()

    def beat() -> None:
        with contextlib.suppress(OSError, HpssBatchError):  # the run itself finds out, and says so
            folder.replace(name, json.dumps({"alive": time.time()}).encode())

    def go_on() -> None:
        while not ended.wait(BEAT_SECONDS):
            beat()

    for left in killed(folder):
        folder.delete(f"{RUNNING}/{left}")
    beat()
    thread = Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield name
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError, HpssBatchError):
            folder.delete(name)
            if folder.url.startswith("file://"):  # where a folder stays when it is empty
                os.rmdir(os.path.join(url2pathname(folder.url.removeprefix("file://")), RUNNING))
            elif not is_url(folder.url):
                os.rmdir(os.path.join(folder.url, RUNNING))


def running(folder: Folder) -> list[str]:
    """Names of the other processes, host-number, whose runs are at work in a run directory, as far as they can tell."""
    names = [name.removesuffix(".json") for name in folder.names(RUNNING) if _is_alive(folder, name)]
    return [name for name in names if name != process_name()]


def killed(folder: Folder) -> list[str]:
    """Names of the files that runs left that were killed."""
    return [name for name in folder.names(RUNNING) if not _is_alive(folder, name)]


def _is_alive(folder: Folder, name: str) -> bool:
    try:
        alive = json.loads(folder.read(f"{RUNNING}/{name}") or b"")["alive"]
        return bool(time.time() - alive < 4 * BEAT_SECONDS)
    except (ValueError, KeyError, TypeError):
        return False


def process_name() -> str:
    """What this process is called among those of all machines."""
    return f"{socket.gethostname()}-{os.getpid()}"
