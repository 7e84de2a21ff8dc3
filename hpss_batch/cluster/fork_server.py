"""How do worker processes of this machine start quickly? As copies of one that has imported what they need.

Importing Dask, zarr and NumPy costs half a second of CPU time, in every worker that begins from nothing. Python's fork
server imports them once, while this process prepares the cluster; workers, also those that a nanny starts later, are
forks of it. On Linux only: elsewhere libraries do not survive being forked.
"""

import os
import sys
from collections.abc import Mapping
from multiprocessing import forkserver

IMPORTED = ["distributed.nanny", "zarr", "hpss_batch.tasks.unit", "hpss_batch.stems.task"]
"""What workers need. None of it starts a thread, which would not be forked."""

_begun_with = dict[str, str]()


def start_method(environ: Mapping[str, object]) -> str:
    """How multiprocessing is to start workers: as forks of a server, which is started now if it is not there yet.

    Parameters
    ----------
    environ : mapping
        Environment variables that mean something only where a process begins, and their values unless this process
        has others. Where these have changed since the server began, workers begin from nothing.
    """
    if sys.platform != "linux":
        return "spawn"
    wanted = {name: os.environ.get(name, str(value)) for name, value in environ.items()}
    if not _begun_with:
        _begun_with.update(wanted)
        os.environ.update(wanted)  # as nannies do
        forkserver.set_forkserver_preload(IMPORTED)
        forkserver.ensure_running()
    return "forkserver" if wanted == _begun_with else "spawn"
