"""With what is a cluster's class called, and for what does it then ask?

With a job's `cluster.kwargs`, and what we give where they say nothing.
"""

import inspect
import logging
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from hpss_batch.cluster.requests.batch import is_batch_system, job_request
from hpss_batch.cluster.requests.kubernetes import is_kubernetes, kubernetes_request
from hpss_batch.cluster.requests.request import Request, parsed_bytes
from hpss_batch.config.sections import Cluster
from hpss_batch.errors import ClusterError
from hpss_batch.text import did_you_mean

INHERITED = "DASK_INTERNAL_INHERIT_CONFIG"
"""The variable by which Dask hands its settings on to other processes."""

ANY_PORT = {"dashboard_address": ":0"}
"""Dask's default is one port for all schedulers of a machine, on a login node those of all users."""

QUIET = logging.CRITICAL
"""What workers die of is reported by the run, in words."""


def arguments(kind: Any, cluster: Cluster, settings: Mapping[str, Any], logs: str | None) -> dict[str, Any]:
    """What a class is called with.

    Parameters
    ----------
    kind : class or function
        What makes the cluster.
    cluster : Cluster
        The job's `cluster:` block.
    settings : mapping
        Dask's, by dotted key, that workers are to have.
    logs : str or None
        A folder for what jobs of a queueing system write.
    """
    import dask
    from distributed import LocalCluster
    from distributed.deploy.cluster import Cluster as DaskCluster

    if kind is LocalCluster:
        return _local(cluster)
    handed_on: dict[str, Any] = {}
    dask.config.set(settings, config=handed_on)
    inherited = dask.config.serialize(handed_on)
    kwargs, known = dict(cluster.kwargs), inspect.signature(kind).parameters
    if is_batch_system(kind):
        return _queueing(kwargs, kind.job_cls, f"export {INHERITED}={inherited}", logs)
    if "scheduler_options" in known:
        kwargs["scheduler_options"] = ANY_PORT | (kwargs.get("scheduler_options") or {})
    if is_kubernetes(kind):
        _check_names(cluster, kind, DaskCluster)
    if "env" in known:  # of pods
        given = kwargs.get("env") or {}
        ours = {INHERITED: inherited}
        kwargs["env"] = (
            [*given, {"name": INHERITED, "value": inherited}] if isinstance(given, list) else ours | given
        )
    return kwargs


def starts_processes(cluster: Cluster) -> bool:
    """Whether this process starts workers of this machine."""
    return cluster.is_local and bool(cluster.kwargs.get("processes", True))


def _queueing(kwargs: dict[str, Any], job_class: Any, prologue: str, logs: str | None) -> dict[str, Any]:
    """Arguments for a class of dask-jobqueue, over those that its own configuration file holds."""
    import dask

    section = f"jobqueue.{kwargs.get('config_name') or job_class.config_name}"

    def given(name: str, default: Any) -> Any:
        found = kwargs.get(name)
        return (
            dask.config.get(f"{section}.{name.replace('_', '-')}", None) if found is None else found
        ) or default

    kwargs = {"silence_logs": QUIET} | kwargs
    kwargs["scheduler_options"] = ANY_PORT | given("scheduler_options", {})
    lines = given("job_script_prologue", []) or given("env_extra", [])
    kwargs["job_script_prologue"] = [prologue, *lines]
    # queues have ideas of their own about blanks and % in a log's name
    ours = logs if logs is not None and re.fullmatch(r"[\w./+@=-]+", logs) else None
    kwargs["log_directory"] = given("log_directory", ours)
    return {name: value for name, value in kwargs.items() if name not in ("n_workers", "env_extra")}


def _local(cluster: Cluster) -> dict[str, Any]:
    from distributed import LocalCluster, Nanny, Security, Worker

    _check_names(cluster, LocalCluster, Nanny, Worker)
    defaults: dict[str, Any] = {
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": QUIET,
    }
    if cluster.scale is not None:
        defaults["n_workers"] = 0
    if starts_processes(cluster):
        defaults["env"] = dict(os.environ)  # as it is now: a fork server has what it began with
    kwargs = defaults | dict(cluster.kwargs)
    security = kwargs.get("security", kwargs.get("processes", True) and "protocol" not in kwargs)
    if isinstance(security, Mapping):
        security = Security(**security)
    return kwargs | {"security": security or None}  # True: certificates of this run alone


def _check_names(cluster: Cluster, *takers: Callable[..., Any]) -> None:
    """Refuse arguments that none of those that get them has a name for."""
    known = {
        name
        for taker in takers
        for name, parameter in inspect.signature(taker).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    for name in sorted(cluster.kwargs.keys() - known):
        raise ClusterError(
            f"cluster.kwargs.{name} is nothing that {cluster.class_name} takes"
            + (did_you_mean(name, known) or "; allowed is what its documentation names")
        )


def asked(kind: Any, cluster: Cluster, kwargs: Mapping[str, Any]) -> Request:
    """What a cluster class, called with these arguments, asks for."""
    if is_batch_system(kind):
        return job_request(kind, kwargs)
    if is_kubernetes(kind):
        return kubernetes_request(cluster, kwargs)
    limit, threads = kwargs.get("memory_limit"), kwargs.get("threads_per_worker")
    return Request(
        text=None,
        memory=f"cluster.kwargs.memory_limit is {limit}",
        process_bytes=parsed_bytes(limit),
        threads=threads if isinstance(threads, int) and threads > 0 else 1,
        interpreters=1 if kwargs.get("processes", True) else 0,
    )
