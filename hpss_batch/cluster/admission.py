"""Can a worker do this run's tasks? It is asked before it gets any.

Dask gives tasks to whoever connects, and a worker without the corpus, the run directory or this package would fail
one after the other, faster than its neighbours can do them. So tasks need a resource, in Dask's sense, that no worker
is started with: one that answers as it should gives it to itself.
"""

import platform
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from hpss_batch.cluster.fetch import fetched
from hpss_batch.errors import HpssBatchError, StoreError
from hpss_batch.files import opened
from hpss_batch.paths import is_url
from hpss_batch.store.records import versions
from hpss_batch.store.storage import open_folder
from hpss_batch.text import file_name

if TYPE_CHECKING:
    from distributed import Client, Worker

PLENTY = 10**9
"""Of the resource; a task takes one."""


@dataclass(frozen=True)
class Question:
    """What a worker is asked, by the name of the resource that it gets.

    Attributes
    ----------
    resource : str
        Another for each run: workers may outlive one.
    versions : mapping
        Of what has to be the same here and there; see `needed`.
    folder, token : str
        The run directory, and the name of a file in it.
    recording : str or None
        A file of the corpus, or its URL.
    """

    resource: str
    versions: Mapping[str, str]
    folder: str
    token: str
    recording: str | None = None


def needed() -> dict[str, str]:
    """Versions that workers share with who started the run, by name: those that numbers, or pickles, depend on."""
    found = {name: versions()[name] for name in ("hpss-batch", "numpy")}
    return found | {"python": ".".join(platform.python_version_tuple()[:2])}


class Gate:
    """Whoever comes to a cluster is asked, and gets tasks if it answers as it should.

    Parameters
    ----------
    client : Client
        The cluster.
    say : callable
        Tells a person who is left out, and what to do: once for each reason.

    Attributes
    ----------
    question : Question or None
        What is asked; without one, whoever comes gets tasks.
    threads : dict of str to int
        Threads of the workers that get tasks, by address.
    left_out : dict of str to str
        What stands against others, by address.
    asked : dict of str to Future
        The answers of all that are there, by address.
    came : float
        When somebody last came.
    """

    def __init__(self, client: "Client", say: Callable[[str], None]) -> None:
        self.client, self.say = client, say
        self.question: Question | None = None
        self.threads, self.left_out = dict[str, int](), dict[str, str]()
        self.asked, self.came = dict[str, Any](), 0.0

    @property
    def undecided(self) -> int:
        """How many have not answered."""
        return len(self.asked) - len(self.threads) - len(self.left_out)

    def look(self, wake: Callable[[Any], None]) -> None:
        """Ask who came, take in the answers, forget who went; `wake` is called when somebody answers."""
        there: Mapping[str, int] = self.client.nthreads()
        if self.question is None:
            self.threads = dict(there)
            return
        for met in (self.threads, self.left_out, self.asked):
            for address in met.keys() - there.keys():
                del met[address]
        for address in there.keys() - self.asked.keys():
            self.asked[address] = future = self._ask(address)
            future.add_done_callback(wake)
        for address in self.asked.keys() - self.threads.keys() - self.left_out.keys():
            answer = fetched(self.asked[address])
            if answer is None:
                continue
            who, complaint = self._understood(address, answer)
            if complaint is None:
                self.threads[address] = there[address]
                continue
            if complaint not in self.left_out.values():
                self.say(f"{who} is left out: {complaint}")
            self.left_out[address] = complaint

    def _ask(self, address: str) -> Any:
        """Have a worker look for `ask`, and call it: one that is sent something of a package that it lacks dies."""
        from dask.utils import apply

        self.came, token = time.monotonic(), uuid.uuid4().hex
        there: dict[str, Any] = {"workers": [address], "pure": False}
        found = self.client.submit(resolve_name, f"{__name__}:{ask.__name__}", key=f"find-{token}", **there)
        return self.client.submit(apply, found, [vars(self.question)], key=f"ask-{token}", **there)

    def _understood(self, address: str, answer: "Future[Any]") -> tuple[str, str | None]:
        """Who answered, and what stands against it."""
        try:
            who, complaint = answer.result()
        except ImportError as error:
            version = needed()["hpss-batch"]
            cure = f"Install hpss-batch {version} in the environment that workers start from"
            return f"the worker at {address}", f"it does not have this package ({error}). {cure}"
        except Exception as error:
            return f"the worker at {address}", f"it cannot answer ({type(error).__name__}: {error})"
        return f"{who} ({address})", complaint


def ask(asked: Mapping[str, Any]) -> tuple[str, str | None]:
    """On a worker: who it is, and what stands against giving it tasks; if nothing does, it takes them from now on.

    The `Question` comes as a mapping, which any worker can unpack.
    """
    from distributed import get_worker
    from distributed.utils import sync

    question = Question(**asked)
    worker, complaint = get_worker(), _complaint(question)
    if complaint is None:
        sync(worker.loop, _admit, worker, question.resource)
    return f"worker {worker.name} on {socket.gethostname()}", complaint


async def _admit(worker: "Worker", resource: str) -> None:
    """Have the resource, and have the scheduler look for tasks that waited for it, as it does for who was paused."""
    from distributed.core import Status

    await worker.set_resources(**{resource: PLENTY})
    worker.status = Status.paused
    worker.status = Status.running


def _complaint(question: Question) -> str | None:
    here = needed()
    for name, there in question.versions.items():
        if here[name] != there:
            return f"it has {name} {here[name]}, and the run {there}. Start workers from the same environment"
    try:
        seen = open_folder(question.folder).read(question.token) is not None
        why = "is not there"
    except (OSError, StoreError) as error:
        seen, why = False, str(error)
    if not seen:
        return (
            f"it does not see the run directory: {question.folder}/{question.token} {why}. Put output.path on a file "
            "system that all machines share, and mount it there"
        )
    try:
        if question.recording is not None:
            with opened(file_name(question.recording)) as file:
                file.read(0, 1)
    except (OSError, HpssBatchError) as error:
        why = str(getattr(error, "strerror", None) or error)
        cure = "Put the corpus on a file system that all machines share, and mount it there"
        if is_url(str(question.recording)):
            cure = "Start workers with a way to the store, and with the credentials that the run has in its environment"
        return f"it cannot read the corpus: {question.recording}: {why}. {cure}"
    return None
