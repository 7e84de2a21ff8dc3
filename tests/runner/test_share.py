"""Several drivers at the same job share its work, and leave what one would have left."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from helpers import music, settings

from hpss_batch.config.job import Job
from hpss_batch.runner.run import run
from hpss_batch.runner.share import Share
from hpss_batch.store.reading.corpus import open_corpus


@dataclass
class Task:
    """Work, as far as `Share` looks at it."""

    record: str


TASKS: Any = [Task(str(number)) for number in range(100)]


def test_a_driver_that_is_alone_does_all_in_order_and_lists_nothing() -> None:
    share = Share(TASKS, lambda: pytest.fail("it listed"), alone=True)
    assert list(share) == TASKS


def test_who_is_not_alone_begins_anywhere_and_goes_around() -> None:
    begins = set[int]()
    for _ in range(20):
        found = list(Share(TASKS, set, alone=False))
        begin = TASKS.index(found[0])
        assert found == TASKS[begin:] + TASKS[:begin]
        begins.add(begin)
    assert len(begins) > 1


def test_who_meets_another_leaves_out_what_is_committed_and_lists_no_more_for_a_while() -> None:
    theirs, listed = {str(number) for number in range(40, 90)}, []

    def committed() -> set[str]:
        listed.append(time.monotonic())
        return theirs

    share = Share(TASKS, committed, alone=True)
    mine = [next(share) for _ in range(30)]
    assert share.__length_hint__() == 70
    assert share.meet() == TASKS[40:90]
    assert share.meet() == []
    assert len(listed) == 1
    rest = list(share)
    assert sorted(map(TASKS.index, mine + rest)) == [*range(40), *range(90, 100)]
    assert share.meet() == []


DRIVER = """
import os, sys, time
import distributed
from hpss_batch import Job, run
from hpss_batch.stems import task as stems
from hpss_batch.tasks import unit

def counted(function, number):
    def count(recipe, task, *more, **options):
        log.write("at work\\n")
        while not os.path.exists(f"{go}.work"):
            time.sleep(0.01)
        result = function(recipe, task, *more, **options)
        log.write(f"{getattr(task, number)}\\n")
        time.sleep(0.1)
        if os.path.exists(f"{place}.die"):
            os._exit(9)
        return result
    return count

if __name__ == "__main__":
    job, place, go = sys.argv[1:]
    log = open(place, "w", buffering=1)
    unit.separate_unit, stems.render = counted(unit.separate_unit, "number"), counted(stems.render, "row")
    log.write("ready\\n")
    while not os.path.exists(go):
        time.sleep(0.01)
    result = run(Job.load(job))
    print(result.exit_status, result.elsewhere)
"""
"""A driver that writes down each unit and each track's stems that it computes, and begins when it is told to."""


class Drivers:
    """Processes at one job, each with a thread for a worker."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.folder = folder
        self.job, self.script = folder / "job.yaml", folder / "driver.py"
        self.job.write_text(job.to_yaml())
        self.script.write_text(DRIVER)
        self.processes = list[subprocess.Popen[str]]()

    def add(self, go: str) -> None:
        """One more, which begins at `go`."""
        place = self.folder / f"log{len(self.processes)}"
        words = [sys.executable, self.script, self.job, place, self.folder / go]
        self.processes.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        self.wait(len(self.processes) - 1, lambda said: "ready" in said)

    def go(self, name: str, *numbers: int) -> None:
        """Let drivers begin at the same time: none does its first task before all of them have one."""
        (self.folder / name).touch()
        for number in numbers:
            self.wait(number, lambda said: "at work" in said)
        (self.folder / f"{name}.work").touch()

    def said(self, number: int) -> list[str]:
        """What a driver has written down."""
        place = self.folder / f"log{number}"
        return place.read_text().splitlines() if place.exists() else []

    def computed(self, number: int) -> list[str]:
        """What a driver has computed, each time that it did."""
        return [line for line in self.said(number) if line.isdecimal()]

    def wait(self, number: int, until: Callable[[list[str]], bool]) -> None:
        """Return when a driver has written something down."""
        while not until(self.said(number)):
            assert self.processes[number].poll() is None, "it ended"
            time.sleep(0.01)

    def ended(self, number: int) -> tuple[int, int]:
        """A driver's exit status, and how many tasks it says others did."""
        words, _ = self.processes[number].communicate()
        assert self.processes[number].returncode == 0
        status, elsewhere = map(int, words.split())
        return status, elsewhere


def records(out: Path) -> dict[str, bytes]:
    """Every byte that counts: shards, commits, stems and their records, and what is derived from them."""
    places = [*out.glob("commits/**/*.json"), *out.glob("stems/**/*.*"), *out.glob("layout/*")]
    places += [
        *out.glob("corpus.zarr/**/c"),
        *out.glob("corpus.zarr/**/c.*"),
        *out.glob("corpus.zarr/**/zarr.json"),
    ]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in places if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty units, of tracks of several lengths."""
    folder = tmp_path_factory.mktemp("shared")
    for number in range(12):
        sf.write(folder / f"{number:02}.wav", music(3.0 + number % 4 * 3, 22050, 1, number), 22050)
    return folder


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("alone") / "out"
    assert run(Job.parse(settings(corpus, out))).exit_status == 0
    return records(out)


def test_three_drivers_that_begin_at_once_share_the_units(
    corpus: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    drivers = Drivers(Job.parse(settings(corpus, tmp_path / "out")), tmp_path)
    for _ in range(3):
        drivers.add("go")
    drivers.go("go", 0, 1, 2)
    ends = [drivers.ended(number) for number in range(3)]
    units = len([name for name in alone if name.startswith("commits/")])
    computed = [drivers.computed(number) for number in range(3)]
    assert records(tmp_path / "out") == alone
    assert [status for status, _ in ends] == [0, 0, 0]
    # who comes late to a unit says that it was done elsewhere
    assert sum(units - elsewhere for _, elsewhere in ends) == units
    assert all(len(set(mine)) == len(mine) for mine in computed)
    assert sum(map(len, computed)) < 1.3 * units
    assert min(map(len, computed)) > units / 6


def test_one_driver_comes_late_and_one_dies(corpus: Path, alone: dict[str, bytes], tmp_path: Path) -> None:
    drivers = Drivers(Job.parse(settings(corpus, tmp_path / "out")), tmp_path)
    drivers.add("first")
    drivers.add("second")
    drivers.go("first", 0)
    drivers.wait(0, lambda said: len(said) > 20)
    drivers.go("second", 1)
    drivers.wait(1, lambda said: len(said) > 10)
    (tmp_path / "log0.die").touch()
    drivers.processes[0].communicate()
    assert drivers.processes[0].returncode == 9
    status, elsewhere = drivers.ended(1)
    units = len([name for name in alone if name.startswith("commits/")])
    assert status == 0
    assert elsewhere > 0
    assert records(tmp_path / "out") == alone
    assert len(drivers.computed(0) + drivers.computed(1)) < 1.3 * units


def test_two_drivers_share_the_tracks_whose_stems_they_make(corpus: Path, tmp_path: Path) -> None:
    changes = {"output__arrays": [], "output__stems": {"format": "ogg"}}
    run(Job.parse(settings(corpus, tmp_path / "alone", **changes)))
    drivers = Drivers(Job.parse(settings(corpus, tmp_path / "out", **changes)), tmp_path)
    drivers.add("go")
    drivers.add("go")
    drivers.go("go", 0, 1)
    assert [drivers.ended(number)[0] for number in range(2)] == [0, 0]
    assert records(tmp_path / "out") == records(tmp_path / "alone")
    assert len(drivers.computed(0) + drivers.computed(1)) < 24
    assert (open_corpus(tmp_path / "out").tracks.status == "done").all()
