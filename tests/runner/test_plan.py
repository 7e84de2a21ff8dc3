"""A plan says what a run takes: bytes exactly, memory as an upper bound that real tasks are held to."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from helpers import music, settings

from hpss_batch.cli import main
from hpss_batch.cluster.requests.request import INTERPRETER_BYTES
from hpss_batch.config.job import Job
from hpss_batch.config.sections import Cluster
from hpss_batch.errors import ClusterError
from hpss_batch.runner.estimate import START, estimate, n_cores, n_threads, n_workers, plan_figures
from hpss_batch.runner.plan import plan
from hpss_batch.runner.run import Result, run
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.text import size

MEASURE = """
import sys
from pathlib import Path
from hpss_batch.store.storage import open_folder
from hpss_batch.config.job import Job
from hpss_batch.runner.plan import plan
from hpss_batch.runner.run import run
from hpss_batch.tasks.unit import separate_unit

job = Job.load(sys.argv[1])
planned = plan(job)
for unit in planned.pending:
    separate_unit(planned.recipe, unit, {}, write=False)
# not ru_maxrss, which begins with that of the process that started this one
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(planned.task_bytes, int(peak.split()[1]) * 1024)
"""


def test_bytes_of_arrays_are_those_of_the_finished_store(corpus_folder: Path, tmp_path: Path) -> None:
    job = Job.parse(settings(corpus_folder, tmp_path / "out", corpus__include=["*.flac", "*.wav"]))
    planned = plan(job)
    run(job)
    corpus = open_corpus(tmp_path / "out")
    for name, n_bytes in planned.array_bytes.items():
        assert n_bytes == sum(corpus[track][name].nbytes for track in corpus)


@pytest.mark.parametrize(
    ("changes", "features"),
    [({}, None), ({"channels": "all"}, None), ({"sample_rate": 11025}, None), ({}, True)],
)
def test_a_real_task_takes_no_more_memory_than_planned(
    changes: dict[str, object], features: bool | None, tmp_path: Path
) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    sf.write(folder / "long.flac", np.tile(music(20.0, 44100, 2), (6, 1)), 44100)
    job = {
        "corpus": {"path": str(folder)} | changes,
        "output": {
            "path": str(tmp_path / "out"),
            "unit_frames": 8192,
            "arrays": ["spectrogram", "harmonic_mask"],
            "features": features,
        },
    }
    (tmp_path / "job.yaml").write_text(Job.parse(job).to_yaml())
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "job.yaml")],
        capture_output=True,
        text=True,
        check=True,
    )
    predicted, measured = map(int, done.stdout.split())
    assert measured <= predicted
    assert measured > predicted / 3, "a bound that is this far off says nothing"


def test_memory_does_not_depend_on_the_length_of_tracks(tmp_path: Path) -> None:
    bounds = []
    for seconds in (10.0, 200.0):
        folder = tmp_path / f"{seconds:.0f}"
        folder.mkdir()
        sf.write(folder / "a.wav", music(seconds, 22050), 22050)
        bounds.append(plan(Job.parse(settings(folder, tmp_path / "out"))).task_bytes)
    assert bounds[0] == bounds[1]


def test_a_system_that_does_not_say_which_cores_it_lends_still_plans(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert n_cores() == 3
    assert plan_figures(plan(Job.parse(settings(corpus_folder, tmp_path / "out"))))["seconds"] > 0


def test_time_is_what_is_typical_until_something_is_done(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "a.flac", music(8.0, 22050), 22050)
    changes = {"output__stems": True, "cluster__kwargs": {"processes": False, "n_workers": 1}}
    job = Job.parse(settings(tmp_path / "music", tmp_path / "out", **changes))
    before = plan(job)
    shutil.move(tmp_path / "music", tmp_path / "away")  # which an estimate does not look at
    typical = estimate(before)
    assert typical is not None
    assert typical.basis == "typical"
    shutil.move(tmp_path / "away", tmp_path / "music")
    run(job)
    assert estimate(plan(job)) is None
    assert (plan_figures(plan(job))["seconds"], plan_figures(plan(job))["seconds_basis"]) == (0.0, None)

    shutil.copy(tmp_path / "music" / "a.flac", tmp_path / "music" / "b.flac")
    found = []
    for times in (0.0, 1.0, 3.0):
        ahead = plan(job)
        for records in (ahead.catalog.commits, ahead.catalog.stems):
            for number, record in records.items():
                seconds = {step: times * value for step, value in record.seconds.items()}
                records[number] = replace(record, seconds=seconds)
        found.append(estimate(ahead))
    # a copy takes what its original took, and as much more as that took more
    unknown, once, thrice = found
    assert unknown == typical
    assert (once.basis, thrice.basis) == ("earlier", "earlier")
    assert thrice.seconds - START == pytest.approx(3 * (once.seconds - START))
    taken = [
        sum(r.seconds.values())
        for r in (*plan(job).catalog.commits.values(), *plan(job).catalog.stems.values())
    ]
    assert once.seconds - START == pytest.approx(sum(taken))


@pytest.mark.parametrize(
    "more",
    [
        {"hpss__kernel_size": 31},
        {"hpss__kernel_size": 500},
        {"corpus__channels": "all"},
        {"corpus__sample_rate": 44100},
        {"output__arrays": ["harmonic", "percussive", "residual", "spectrogram"]},
        {"output__features": {"kinds": ["rms"]}},
        {"output__stems": True},
    ],
    ids=str,
)
def test_more_work_is_expected_to_take_longer(
    more: dict[str, object], corpus_folder: Path, tmp_path: Path
) -> None:
    seconds = [
        plan_figures(plan(Job.parse(settings(corpus_folder, tmp_path / "out", **changes))))["seconds"]
        for changes in ({}, more)
    ]
    assert seconds[0] < seconds[1]


BATCH = {"cores": 4, "processes": 2, "memory": "8GB"}
WHOLE = {"cores": 16, "memory": "64GB"}


@pytest.mark.parametrize(
    ("cluster", "workers", "threads"),
    [
        ({}, 3, 1),
        ({"kwargs": {"n_workers": 2}}, 2, 1),
        ({"kwargs": {"threads_per_worker": 2}}, 1, 2),
        ({"scale": 5}, 5, 1),
        ({"adapt": {"minimum": 0, "maximum": 20}}, 20, 1),
        ({"connect": "tcp://host:8786"}, None, None),
        ({"class": "dask_jobqueue.SLURMCluster", "kwargs": BATCH}, None, 2),
        ({"class": "dask_jobqueue.SLURMCluster", "kwargs": BATCH, "scale": 6}, 6, 2),
        ({"class": "dask_jobqueue.SLURMCluster", "kwargs": BATCH, "scale": {"jobs": 10}}, 20, 2),
        ({"class": "dask_jobqueue.SLURMCluster", "kwargs": BATCH, "adapt": {"maximum_jobs": 3}}, 6, 2),
        ({"class": "dask_jobqueue.SLURMCluster", "kwargs": WHOLE, "scale": {"jobs": 3}}, 12, 4),
        ({"class": "dask_ssh.SSHCluster", "scale": {"cores": 6}}, None, None),
    ],
    ids=str,
)
def test_how_many_workers_a_job_asks_for(
    cluster: dict[str, object], workers: int | None, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpss_batch.runner.estimate.n_cores", lambda: 3)
    asked = Cluster.model_validate(cluster)
    assert (n_workers(asked), n_threads(asked)) == (workers, threads)


def test_a_plan_tells_workers_and_the_memory_of_all(corpus_folder: Path, tmp_path: Path) -> None:
    words = ["plan", str(corpus_folder), "-o", str(tmp_path / "out"), "--set", "corpus.sample_rate=22050"]
    words += ["--set", "cluster.kwargs={n_workers: 3, threads_per_worker: 2}"]
    figures = json.loads(CliRunner().invoke(main, [*words, "--json"]).output)
    assert figures["workers"] == 3
    assert figures["total_bytes"] == 3 * (2 * figures["task_bytes"] - INTERPRETER_BYTES)
    said = CliRunner().invoke(main, words).output
    assert f"{size(figures['total_bytes'])} for all workers" in said
    assert re.search(r"^workers +3$", said, re.MULTILINE)


def test_a_plan_for_a_cluster_elsewhere_tells_no_time(corpus_folder: Path, tmp_path: Path) -> None:
    elsewhere = {"class": "distributed.SpecCluster", "scale": 4}
    job = Job.parse(settings(corpus_folder, tmp_path / "out") | {"cluster": elsewhere})
    figures = plan_figures(plan(job))
    assert (figures["seconds"], figures["seconds_basis"], figures["workers"]) == (None, None, 4)
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    said = CliRunner().invoke(main, ["plan", str(tmp_path / "job.yaml")])
    assert said.exit_code == 0
    assert "not known: it depends on the cluster's machines" in said.output


def test_a_plan_tells_the_hours_of_a_cluster_once_it_has_done_something(
    corpus_folder: Path, tmp_path: Path, run_job: Callable[..., Result]
) -> None:
    short = {"corpus__include": ["*.mp3"]}
    commits = run_job(corpus_folder, tmp_path / "out", **short).catalog.commits.values()
    assert commits
    cluster = {"class": "distributed.SpecCluster", "scale": 3}
    job = settings(corpus_folder, tmp_path / "out") | {"cluster": cluster}
    planned = plan(Job.parse(job))
    here = plan(Job.parse(settings(corpus_folder, tmp_path / "out")))
    alone, both = estimate(here), estimate(planned)
    assert alone is not None
    assert both is not None
    assert both.basis == "earlier"
    assert both.seconds == pytest.approx((alone.seconds - START) / 3)
    (tmp_path / "job.yaml").write_text(Job.parse(job).to_yaml())
    said = CliRunner().invoke(main, ["plan", str(tmp_path / "job.yaml")]).output
    assert "once all workers are there, from what earlier units took" in said


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ({"class": "distributed.NoCluster"}, "cannot be imported"),
        ({"class": "distributed.Client"}, "is not a Dask cluster"),
        ({"class": "subprocess.Popen"}, "importing subprocess may run anything"),
        ({"kwargs": {"n_worker": 2}}, "did you mean n_workers?"),
        ({"kwargs": {"memory_limit": "100MB"}}, "may need"),
    ],
    ids=str,
)
def test_a_plan_checks_the_cluster_as_a_run_does(
    cluster: dict[str, object], message: str, corpus_folder: Path, tmp_path: Path
) -> None:
    job = Job.parse(settings(corpus_folder, tmp_path / "out") | {"cluster": cluster})
    said = list[str]()
    for look in (plan, run):
        with pytest.raises(ClusterError) as error:
            look(job)
        said.append(str(error.value))
    assert said[0] == said[1]
    assert message in said[0]
    with pytest.raises(ClusterError, match="is not a Dask cluster"):
        plan(job.replace({"cluster": {"class": "subprocess.Popen"}}), allow_cluster_class=True)
