"""What would Kubernetes be asked for? The manifests that dask-kubernetes' operator gets, held to its own definitions.

An API server drops what it does not know from a manifest, without a word: workers that were asked for as `replicsa`
never come. So a manifest is compared with the custom resource definition that dask-kubernetes was installed with,
and every name has to be one of its names.
"""

import getpass
import inspect
import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import yaml

from hpss_batch.cluster.requests.request import Request, parsed_bytes
from hpss_batch.config.sections import Cluster
from hpss_batch.config.yaml_reader import dump
from hpss_batch.errors import ClusterError
from hpss_batch.text import did_you_mean

DEFINITIONS = "operator/deployment/helm/dask-kubernetes-operator/crds"
"""Where dask-kubernetes has them."""

SETTINGS = {"n_workers": "count.start", "jupyter": "scheduler-jupyter"}
"""Where arguments of `KubeCluster` have another name in Dask's configuration, in which their defaults stand."""

TYPES: dict[str, Any] = {"object": Mapping, "array": list, "string": str, "integer": int, "boolean": bool}

EVERYWHERE = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
"""What every resource of Kubernetes has, and definitions need not name."""


def is_kubernetes(kind: Any) -> bool:
    """Whether a cluster class is the operator's."""
    return bool(kind.__module__.startswith("dask_kubernetes.operator"))


def manifests(cluster: Cluster, kwargs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is created for a job's `cluster:` block: a DaskCluster, and where it adapts a DaskAutoscaler.

    Raises
    ------
    ClusterError
        If something in them is not in their definitions, is of another type than there, or is missing.
    """
    made = [_dask_cluster(kwargs)]
    check_manifest(made[0], "DaskCluster")
    if isinstance(cluster.scale, int):
        made[0]["spec"]["worker"]["replicas"] = cluster.scale
    if cluster.adapt is not None:
        spec = {"cluster": made[0]["metadata"]["name"], **cluster.adapt}
        made.append({**made[0], "kind": "DaskAutoscaler", "spec": spec})
        check_manifest(made[1], "DaskAutoscaler")
    return made


def kubernetes_request(cluster: Cluster, kwargs: Mapping[str, Any]) -> Request:
    """The manifests of a job's `cluster:` block, and its workers; those of a pod share the memory of its container."""
    made = manifests(cluster, kwargs)
    container = made[0]["spec"]["worker"]["spec"]["containers"][0]
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    words = [part for word in container.get("args", []) for part in word.split("=")]

    def number(option: str) -> int:
        following = words[words.index(option) + 1 :] if option in words else []
        return int(following[0]) if following and following[0].isdecimal() else 1

    return Request(
        text="---\n".join(map(dump, made)),
        memory=f"the memory limit of a worker's container is {limit}",
        process_bytes=parsed_bytes(limit) // number("--nworkers"),
        threads=number("--nthreads"),
    )


def _dask_cluster(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The DaskCluster that a `KubeCluster` called with these arguments creates."""
    import dask
    from dask_kubernetes.operator import make_cluster_spec

    def setting(name: str) -> Any:
        given = kwargs.get(name)
        return dask.config.get(f"kubernetes.{SETTINGS.get(name, name)}") if given is None else given

    custom = setting("custom_cluster_spec")
    if isinstance(custom, str):
        try:
            with open(custom) as file:
                custom = yaml.safe_load(file)
        except (OSError, yaml.YAMLError) as error:
            raise ClusterError(f"cluster.kwargs.custom_cluster_spec cannot be read: {error}") from error
    if custom is not None:
        return custom  # type: ignore[no-any-return]
    settings = {name: setting(name) for name in inspect.signature(make_cluster_spec).parameters}
    name = settings.pop("name").format(user=getpass.getuser(), uuid="UUID", **os.environ)
    return _without_nulls(make_cluster_spec(name, **settings))  # type: ignore[no-any-return]


def _without_nulls(value: Any) -> Any:
    """A manifest without what is null, which an API server leaves out."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def check_manifest(manifest: Any, kind: str) -> None:
    """Raise `ClusterError` where a manifest is not what dask-kubernetes' definition of this kind has."""
    definition = (files("dask_kubernetes") / DEFINITIONS / f"{kind.lower()}.yaml").read_bytes()
    (version,) = yaml.load(definition, yaml.CSafeLoader)["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"] |= EVERYWHERE
    schema["required"] = [*EVERYWHERE, "spec"]
    wrong = list(_differences(manifest, schema, kind))
    if wrong:
        raise ClusterError(f"cluster asks for what Kubernetes does not have: {'; '.join(wrong)}")


def _differences(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    """Where a value is not what a schema of OpenAPI has, taken strictly: nothing may be there that it does not name."""
    expected = schema["type"]
    if not isinstance(value, TYPES[expected]) or isinstance(value, bool) != (expected == "boolean"):
        yield f"{place} is {value!r}; allowed: {expected}"
    elif expected == "array":
        for number, inner in enumerate(value):
            yield from _differences(inner, schema["items"], f"{place}[{number}]")
    elif expected == "object":
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        yield from (f"{place}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, inner in value.items():
            if name in known or others:
                yield from _differences(inner, known.get(name, others), f"{place}.{name}")
            elif known:
                hint = did_you_mean(str(name), known) or f"; allowed: {', '.join(sorted(known))}"
                yield f"{place}.{name} is nothing that it has{hint}"
