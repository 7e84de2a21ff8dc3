"""What is submitted first."""

from pathlib import Path

from helpers import settings

from hpss_batch.config.job import Job
from hpss_batch.runner.plan import plan
from hpss_batch.runner.work import all_work


def test_units_go_in_order_and_tracks_from_the_longest_on(corpus_folder: Path, tmp_path: Path) -> None:
    work = all_work(plan(Job.parse(settings(corpus_folder, tmp_path / "out", output__stems=True))))
    stems = [task for task in work if task.name.startswith("stems of ")]
    assert [task.tracks[0] for task in stems[:3]] == ["album/long.flac", "talk.mp3", "album/song.ogg"]
    assert len(stems) == 7
    assert [task.name for task in work[7:]] == [f"unit {number}" for number in range(len(work) - 7)]
    assert len(work) > 10
