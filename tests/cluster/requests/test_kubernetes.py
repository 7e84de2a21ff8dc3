"""What Kubernetes would be asked for, held to the definitions that dask-kubernetes is installed with."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from dask_kubernetes.operator import make_cluster_spec

from hpss_batch.cluster.arguments import INHERITED
from hpss_batch.cluster.client import request
from hpss_batch.cluster.requests.kubernetes import check_manifest, manifests
from hpss_batch.config.job import Job
from hpss_batch.config.sections import Cluster
from hpss_batch.errors import ClusterError

ROOT = Path(__file__).parents[3]
LIMITS = {"limits": {"cpu": "1", "memory": "2Gi"}}
KWARGS = {"name": "music", "n_workers": 4, "resources": LIMITS, "worker_command": "dask worker --nthreads 1"}


def block(kwargs: dict[str, Any] = KWARGS, **others: Any) -> Cluster:
    return Cluster.model_validate(
        {"class": "dask_kubernetes.operator.KubeCluster", "kwargs": kwargs, **others}
    )


def made(**changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = copy.deepcopy(make_cluster_spec(**KWARGS | changes))
    return spec


@pytest.mark.parametrize("path", ["configs/kubernetes.yaml", "workflows/kubernetes/job.yaml"])
def test_shipped_jobs_ask_for_what_there_is(path: str) -> None:
    cluster = Job.load(ROOT / path).cluster
    kinds = [manifest["kind"] for manifest in manifests(cluster, cluster.kwargs)]
    assert kinds == ["DaskCluster", *["DaskAutoscaler"] * (cluster.adapt is not None)]
    asked = request(cluster, {})
    assert asked is not None
    assert asked.process_bytes > 0


def test_manifests_are_those_of_dask_kubernetes() -> None:
    asked = request(block(scale=7), {})
    assert asked is not None
    found = yaml.safe_load(str(asked.text))
    expected = made(n_workers=7, env={})
    del expected["spec"]["idleTimeout"]  # of which Dask's configuration has null: the operator's default
    for part in ("worker", "scheduler"):  # which get Dask's settings
        (variable,) = found["spec"][part]["spec"]["containers"][0]["env"]
        assert variable["name"] == INHERITED
        expected["spec"][part]["spec"]["containers"][0]["env"] = [variable]
    assert found == expected
    assert (asked.threads, asked.process_bytes) == (1, 2 * 2**30)


def test_what_adapts_has_an_autoscaler() -> None:
    asked = request(block(adapt={"minimum": 0, "maximum": 20}), {})
    assert asked is not None
    _, autoscaler = yaml.safe_load_all(str(asked.text))
    assert autoscaler["spec"] == {"cluster": "music", "minimum": 0, "maximum": 20}
    with pytest.raises(ClusterError, match=r"DaskAutoscaler.spec.minimum is missing; .*maximum_jobs"):
        request(block(adapt={"maximum_jobs": 20}), {})


def changed(*place: Any, value: Any) -> dict[str, Any]:
    """A DaskCluster with a value put, or taken away, somewhere in it."""
    manifest = made(env={})
    manifest["spec"]["idleTimeout"] = 0
    inner: Any = manifest
    for name in place[:-1]:
        inner = inner[name]
    if value is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return manifest


CONTAINER = ("spec", "worker", "spec", "containers", 0)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("spec", "worker", "replicsa"), 2, r"spec.worker.replicsa is nothing .*did you mean replicas\?"),
        (("spec", "worker", "replicas"), "two", "spec.worker.replicas is 'two'; allowed: integer"),
        (("spec", "worker", "replicas"), True, "spec.worker.replicas is True; allowed: integer"),
        (("spec", "wroker"), {}, r"spec.wroker is nothing .*did you mean worker\?"),
        (("spec", "worker"), None, "DaskCluster.spec.worker is missing"),
        (("spec", "scheduler", "service"), None, "spec.scheduler.service is missing"),
        ((*CONTAINER, "imgae"), "x", r"containers\[0\].imgae is nothing .*did you mean image\?"),
        ((*CONTAINER, "name"), None, r"containers\[0\].name is missing"),
        ((*CONTAINER, "args"), "dask worker", "args is 'dask worker'; allowed: array"),
        ((*CONTAINER, "resources", "limits", "cpu"), 1, "limits.cpu is 1; allowed: string"),
        ((*CONTAINER, "env"), [{"name": "X", "value": 1}], r"env\[0\].value is 1; allowed: string"),
        (("kind",), None, "DaskCluster.kind is missing"),
        (("metdata",), {}, "DaskCluster.metdata is nothing .*did you mean metadata"),
    ],
)
def test_what_an_api_server_would_drop_or_refuse_is_named(place: Any, value: Any, said: str) -> None:
    check_manifest(changed("kind", value="DaskCluster"), "DaskCluster")
    custom = changed(*place, value=value)
    with pytest.raises(ClusterError, match=said):
        request(block({"custom_cluster_spec": custom}), {})


def test_a_manifest_of_ones_own_comes_from_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(changed("spec", "worker", "replicas", value=3)))
    asked = request(block({"custom_cluster_spec": str(path)}), {})
    assert asked is not None
    assert yaml.safe_load(str(asked.text))["spec"]["worker"]["replicas"] == 3
    for damaged in ("[", "- a list"):
        path.write_text(damaged)
        with pytest.raises(ClusterError):
            request(block({"custom_cluster_spec": str(path)}), {})
    path.unlink()
    with pytest.raises(ClusterError, match=r"custom_cluster_spec cannot be read: .*cluster.yaml"):
        request(block({"custom_cluster_spec": str(path)}), {})


def test_arguments_that_the_class_does_not_have_are_refused() -> None:
    with pytest.raises(ClusterError, match=r"cluster.kwargs.imgae is nothing .*did you mean image\?"):
        request(block({**KWARGS, "imgae": "x"}), {})


def test_a_pod_s_memory_is_shared_by_its_workers() -> None:
    command = ["dask", "worker", "--nworkers=2", "--nthreads", "3"]
    asked = request(block({**KWARGS, "worker_command": command}), {})
    assert asked is not None
    assert (asked.threads, asked.process_bytes) == (3, 2**30)
