"""Can a worker do this run's tasks? It is asked before it gets any.

Dask gives tasks to whoever connects, and a worker without the corpus, the run directory or this package would fail
one after the other, faster than its neighbours can do them. So tasks need a resource, in Dask's sense, that no worker
is started with: one that answers as it should gives it to itself.
"""

import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpss_batch.errors import StoreError
from hpss_batch.store.records import versions
from hpss_batch.store.storage import open_folder

if TYPE_CHECKING:
    from distributed import Worker

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
        A file of the corpus.
    """

    resource: str
    versions: Mapping[str, str]
    folder: str
    token: str
    recording: str | None = None


@dataclass(frozen=True)
class Answer:
    """Who answers, and what stands against giving it work; None where nothing does."""

    name: str
    host: str
    complaint: str | None


def needed() -> dict[str, str]:
    """Versions that workers share with who started the run, by name: those that numbers, or pickles, depend on."""
    found = {name: versions()[name] for name in ("hpss-batch", "numpy")}
    return found | {"python": ".".join(platform.python_version_tuple()[:2])}


def ask(question: Question) -> Answer:
    """Answer, on a worker; one against which nothing stands takes tasks from then on."""
    from distributed import get_worker
    from distributed.utils import sync

    worker, complaint = get_worker(), _complaint(question)
    if complaint is None:
        sync(worker.loop, _admit, worker, question.resource)
    return Answer(str(worker.name), socket.gethostname(), complaint)


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
            with open(question.recording, "rb") as file:
                file.read(1)
    except OSError as error:
        return (
            f"it cannot read the corpus: {question.recording}: {error.strerror or error}. Put the corpus on a file "
            "system that all machines share, and mount it there"
        )
    return None
