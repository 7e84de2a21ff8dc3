"""On what does a run work? A Dask client, from the `cluster:` block of a job.

Any cluster class of the Dask family is taken by name, or a scheduler that is there already. A job may be anybody's, so
a name is imported only from packages that are known, unless a person allows others, and called only if it is a
cluster. Workers of our own LocalCluster have one thread a process, so that one that hangs or dies takes nothing else
along; they and the scheduler talk TLS with certificates of this run alone, since a port of this machine is open to all
of its users, and whoever reaches a scheduler can have it run anything.
"""

import importlib
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing import resource_tracker
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, cast

from hpss_batch.cluster.arguments import arguments, asked, starts_processes
from hpss_batch.cluster.fork_server import start_method
from hpss_batch.cluster.jobs import is_kept_up, tell
from hpss_batch.cluster.program import GUARD, check_main
from hpss_batch.cluster.requests.request import Request
from hpss_batch.config.job import Job
from hpss_batch.config.sections import Cluster
from hpss_batch.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

DEATHS = 3
"""How many workers a task may kill before it is held to be the cause."""

KEPT_BYTES = 2**32
"""Memory that a worker of ours keeps for its next chunk, at most: Dask has workers return theirs to the system, and
touching fresh memory costs a run a tenth of its time."""

ENVIRON = dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), KEPT_BYTES) | dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1
)
"""What worker processes begin with, unless the environment says otherwise; threads are as Dask has them."""

OURS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": DEATHS - 1,
    # sampling what workers are at, a hundred times a second, costs a fiftieth of all CPU time
    "distributed.worker.profile.enabled": False,
    # where a cluster scales itself by its load: by how many tasks there are, however short they are
    "distributed.adaptive.target-duration": "10 ms",
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ENVIRON.items()},
}
"""Dask's settings, of driver and workers, where the job's `dask:` block says nothing else."""

PACKAGES = (
    "coiled",
    "dask",
    "dask_cloudprovider",
    "dask_cuda",
    "dask_gateway",
    "dask_jobqueue",
    "dask_kubernetes",
    "dask_mpi",
    "dask_ssh",
    "dask_yarn",
    "distributed",
)
"""Packages whose cluster classes a job may name."""

LOOKALIKE = {
    "dask": "SSHCluster",  # a function
    "dask_gateway": "GatewayCluster",
    "dask_yarn": "YarnCluster",
    "distributed": "SSHCluster",
}
"""Clusters that are no subclass of Dask's."""


@contextmanager
def open_client(
    cluster: Cluster,
    settings: dict[str, Any],
    allow_class: bool = False,
    task_bytes: int = 0,
    logs: str | None = None,
) -> Iterator["Client"]:
    """A client of the job's cluster, which is closed with it if it was started here.

    Parameters
    ----------
    cluster : Cluster
        The job's `cluster:` block.
    settings : dict
        The job's `dask:` block; it wins over what is set here.
    allow_class : bool
        Whether the class may be of any package.
    task_bytes : int
        Memory that a worker of one thread needs; see `Plan.task_bytes`.
    logs : str, optional
        A folder for what jobs of a queueing system write.

    Raises
    ------
    ClusterError
        If the class is not there, not allowed or no cluster, its workers have too little memory, or the cluster cannot
        be started or reached.
    """
    import dask

    settings = OURS | settings
    if starts_processes(cluster):
        check_main()
        with _deaf_to_interrupts(), dask.config.set(settings):
            method = start_method(dask.config.get("distributed.nanny.pre-spawn-environ"))
        # dropped for good would be a worker that happens to be away this long after some death: nannies restart them
        nannies = {"distributed.deploy.lost-worker-timeout": "100 days"}
        settings = {"distributed.worker.multiprocessing-method": method} | nannies | settings
    import distributed.utils  # which the fork server imports at the same time
    from distributed import Client

    # or Dask has the server, and this process, import pandas as well
    distributed.utils._forkserver_preload_set = True
    kind = None if cluster.connect is not None else _imported(cluster, allow_class)
    with dask.config.set(settings), ExitStack() as stack:
        if kind is None:
            try:
                where = "scheduler_file" if cluster.scheduler_file else "address"
                client = Client(**{where: cluster.connect}, set_as_default=False)
            except (OSError, ValueError) as error:
                raise ClusterError(
                    f"no Dask scheduler answers at {cluster.connect}: {error}. "
                    "Start one with `dask scheduler`, or leave cluster.connect out to run on this machine"
                ) from error
            yield stack.enter_context(client)
            return
        with _deaf_to_interrupts():
            kwargs, _ = _checked(kind, cluster, settings, task_bytes, logs)
            started = stack.enter_context(_start(cluster, kind, kwargs))
        if not is_kept_up(started):
            for key, argument in (("scale", cluster.scale), ("adapt", cluster.adapt)):
                if argument is not None:
                    tell(started, key, argument)
        yield stack.enter_context(Client(started, set_as_default=False))


def request(
    cluster: Cluster,
    settings: dict[str, Any],
    allow_class: bool = False,
    task_bytes: int = 0,
    logs: str | None = None,
) -> Request | None:
    """What a job's cluster would be asked for; None where there is one to connect to. Nothing is started.

    Raises
    ------
    ClusterError
        As `open_client`, of which these are the parameters, would raise before it starts anything.
    """
    import dask
    import distributed  # noqa: F401 - whose defaults would go with what is set here, if it came later

    if cluster.connect is not None:
        return None
    kind, settings = _imported(cluster, allow_class), OURS | settings
    with _deaf_to_interrupts(), dask.config.set(settings):
        return _checked(kind, cluster, settings, task_bytes, logs)[1]


def _imported(cluster: Cluster, allow_class: bool) -> Callable[..., Any]:
    """The class that a job names. Not to be called where Dask has settings for a while: with them would go, when they
    end, the defaults that a package such as dask-jobqueue brings as it is imported."""
    with _deaf_to_interrupts():
        return _cluster_class(cluster, allow_class)


def _checked(
    kind: Callable[..., Any], cluster: Cluster, settings: Mapping[str, Any], task_bytes: int, logs: str | None
) -> tuple[dict[str, Any], Request]:
    """What a job's class is called with, and what it then asks for; both checked."""
    kwargs = arguments(kind, cluster, settings, logs)
    found = asked(kind, cluster, kwargs)
    found.check_memory(task_bytes)
    return kwargs, found


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Have Ctrl-C, which a terminal sends to all processes, reach this thread and none that begin in here.

    Threads and processes take over what is blocked; workers that a nanny starts later do, too. This thread ends them
    in good order, and is told what came in the meantime when it is out of here: a cluster that is half there cannot be
    closed. SIGTERM waits as well, but is not blocked, since it is what ends workers. Handlers are then as they were:
    importing dask-jobqueue makes Ctrl-C an end with exit status 0.
    """
    resource_tracker.ensure_running()  # whoever starts it, as every first process does, is deaf no more
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    came = list[int]()
    for number, handler in handlers.items():
        if number != signal.SIGINT and callable(handler) and current_thread() is main_thread():
            signal.signal(number, lambda number, _: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for late in came:
            signal.raise_signal(late)


def dashboard(client: "Client") -> str | None:
    """Where to watch a cluster; None where that needs bokeh, which is not here, or a link cannot be made.

    Its template may name environment variables (distributed.dashboard.link, as JupyterHub sets it) that are not set.
    """
    if find_spec("bokeh") is None:
        return None
    try:
        return client.dashboard_link or None
    except (LookupError, AttributeError, ValueError):
        return None


def _cluster_class(cluster: Cluster, allow_class: bool) -> Callable[..., Any]:
    """The class that a job names, imported and checked, not called."""
    from distributed.deploy.cluster import Cluster as DaskCluster

    assert cluster.class_name is not None
    module, _, name = cluster.class_name.rpartition(".")
    package = module.split(".")[0]
    if package not in PACKAGES and not allow_class:
        raise ClusterError(
            f"cluster.class is {cluster.class_name}, and importing {package} may run anything. Without asking, a "
            f"class is taken from {', '.join(PACKAGES)}. If you trust {package}, run again with --allow-cluster-class "
            "(in Python: run(job, allow_cluster_class=True))"
        )
    try:
        kind: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ClusterError(
            f"cluster.class is {cluster.class_name}, which cannot be imported: {error}. "
            f"Install the package that has it (`pip install {package.replace('_', '-')}`)"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, DaskCluster)) and LOOKALIKE.get(package) != name:
        raise ClusterError(
            f"cluster.class is {cluster.class_name}, which is not a Dask cluster; allowed is a class such as "
            "distributed.LocalCluster or dask_jobqueue.SLURMCluster"
        )
    return cast("Callable[..., Any]", kind)


def _start(cluster: Cluster, kind: Callable[..., Any], kwargs: Mapping[str, Any], tries: int = 2) -> Any:
    """The cluster; begun once more where a worker dies before it is there, which Dask takes for the end of all."""
    try:
        return kind(**kwargs)
    except Exception as error:
        died = next((cause for cause in _causes(error) if "Nanny failed" in str(cause)), None)
        if died is not None and tries > 1:
            return _start(cluster, kind, kwargs, tries - 1)
        cause = died or error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        hint = f". {GUARD}" if died else ""
        raise ClusterError(
            f"{cluster.class_name} could not be started with cluster.kwargs={cluster.kwargs}: "
            f"{type(cause).__name__}: {cause}{hint}"
        ) from (None if hint else error)


def _causes(error: BaseException) -> list[BaseException]:
    """An error, and those before it: to close what has begun may fail as well, and hide why it must be closed."""
    before = error.__cause__ or error.__context__
    return [error, *(_causes(before) if before is not None else ())]


def with_workers(job: Job, n: int) -> Job:
    """A job on so many workers of its cluster."""
    asked: dict[str, Any] = {"cluster.scale": n}
    if job.cluster.is_local:
        asked = {"cluster.kwargs.n_workers": n, "cluster.scale": None}
    return job.replace({"cluster.adapt": None} | asked)


def describe(cluster: Cluster) -> str:
    """The cluster in a few words, as `plan` prints it."""
    if cluster.connect is not None:
        return f"the scheduler at {cluster.connect}"
    arguments = ", ".join(f"{name}={value!r}" for name, value in cluster.kwargs.items())
    words = f"{cluster.class_name}({arguments})"
    if cluster.scale is not None:
        words += f", scaled to {cluster.scale}"
    if cluster.adapt is not None:
        words += f", adapting to {cluster.adapt}"
    return words
