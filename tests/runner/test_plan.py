"""A plan says what a run takes: bytes exactly, memory as an upper bound that real tasks are held to."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from helpers import music, settings

from hpss_batch.config.job import Job
from hpss_batch.runner.estimate import START, estimate, n_cores, plan_figures
from hpss_batch.runner.plan import plan
from hpss_batch.runner.run import run
from hpss_batch.store.reading.corpus import open_corpus

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
