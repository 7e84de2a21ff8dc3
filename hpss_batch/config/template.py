"""Which YAML does `hpss-batch init` write? Every key of a job, with what it is and its value.

The keys, their defaults and what they are stand where they are declared, so that no key can be missing here. What a
reader asked for is filled in: stems, features, or a cluster, with all the keys that these have.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hpss_batch.config.job import Job
from hpss_batch.config.messages import Blocks, block_of, keys
from hpss_batch.config.yaml_reader import inline

HEAD = """\
# A job of hpss-batch: `hpss-batch plan job.yaml` says what it will do, `hpss-batch run job.yaml` does it.
# Every key but the two paths may be left out; `--set hpss.margin=3` changes one for a run.
# Keys of stft and hpss that are commented out follow hpss.method.
# Paths are relative to the folder in which you run it; ~ and $VARIABLES are replaced.
"""

_OF_A_BATCH_SYSTEM = {
    "queue": (None, "or partition; null: your site's default"),
    "account": (None, "who pays; null: your default"),
    "cores": (4, "of one job of the queue ..."),
    "processes": (4, "... shared among so many workers"),
    "memory": ("8GiB", "of one job; `hpss-batch plan` says what a worker needs"),
    "walltime": ("01:00:00", "of one job; when jobs end, others are asked for"),
    "worker_extra_args": (
        ["--lifetime", "55m", "--lifetime-stagger", "4m"],
        "workers leave shortly before that, and not all at once",
    ),
    "job_script_prologue": ([], 'lines for the top of the script, such as ["module load ffmpeg"]'),
}

CLUSTERS: dict[str, dict[str, Any]] = {
    "slurm": {"class": "dask_jobqueue.SLURMCluster", "kwargs": _OF_A_BATCH_SYSTEM, "scale": {"jobs": 4}},
    "pbs": {"class": "dask_jobqueue.PBSCluster", "kwargs": _OF_A_BATCH_SYSTEM, "scale": {"jobs": 4}},
    "kubernetes": {
        "class": "dask_kubernetes.operator.KubeCluster",
        "kwargs": {
            "name": ("hpss-batch", "of the cluster"),
            "image": ("registry.example.org/hpss-batch:0.1.0", "yours; workflows/Dockerfile makes it"),
            "worker_command": ("dask worker --nthreads 1", "one thread for each worker"),
            "resources": (
                {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
                "of each worker, and of the scheduler",
            ),
        },
        "scale": 4,
    },
}
"""By name, a cluster to start from: keys of `cluster`, and of its `kwargs` also what they are."""


def template(
    corpus: str = "music/",
    output: str = "out/",
    *,
    stems: bool = False,
    features: bool = False,
    cluster: str | None = None,
) -> str:
    """The YAML of a job.

    Parameters
    ----------
    corpus, output : str
        Its two paths.
    stems, features : bool
        Whether it makes these, and then no arrays.
    cluster : str, optional
        A name of `CLUSTERS`; by default it runs on this machine.
    """
    results = {f"output.{name}": True for name, asked in (("stems", stems), ("features", features)) if asked}
    changes: dict[str, Any] = results | ({"output.arrays": []} if results else {})
    chosen = CLUSTERS[cluster] if cluster else {}
    for name, value in chosen.items():
        plain = {key: given for key, (given, _) in value.items()} if name == "kwargs" else value
        changes[f"cluster.{name}"] = plain
    values = Job.from_command_line(corpus, output, changes.items()).model_dump(by_alias=True)
    lines = list(_lines(Job, values, chosen.get("kwargs", {}), ()))
    return HEAD + "\n".join(lines) + "\n"


def _lines(
    block: Blocks, values: Mapping[str, Any], kwargs: Mapping[str, tuple[Any, str]], parents: tuple[str, ...]
) -> Iterator[str]:
    """A block's keys, and those of the blocks in it that are not null; `kwargs` are the cluster's."""
    indent = "  " * len(parents)
    for name, info in keys(block).items():
        if not parents:
            yield ""
        inner, value = block_of(info), values[name]
        if inner is not None and value is not None:
            yield from _headed(indent, f"{name}:", info.description or "")
            plain = value if isinstance(value, Mapping) else vars(value)
            yield from _lines(inner, plain, kwargs, (*parents, name))
        elif kwargs and (*parents, name) == ("cluster", "kwargs"):
            yield from _headed(indent, f"{name}:", info.description or "")
            for argument, (given, about) in kwargs.items():
                yield from _headed(f"{indent}  ", f"{argument}: {inline(given)}", about)
        else:
            follows = "# " if parents in (("stft",), ("hpss",)) and name != "method" else ""
            yield from _headed(indent, f"{follows}{name}: {inline(value)}", info.description or "")


def _headed(indent: str, key: str, about: str) -> Iterator[str]:
    """A key with what it is: behind those at the edge, above those in a block."""
    if indent:
        yield f"{indent}# {about}"
        yield f"{indent}{key}"
    else:
        yield f"{key}    # {about}"
