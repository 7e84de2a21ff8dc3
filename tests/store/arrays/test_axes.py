"""`time` and `track_index` follow from the layout: in few files, the same from anyone, whatever came in between."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile as sf
import xarray as xr
import zarr
from helpers import music, shards

from hpss_batch.runner.run import Result
from hpss_batch.store.arrays.axes import _write_shard as WRITE
from hpss_batch.store.arrays.axes import lacking, write_axes
from hpss_batch.store.arrays.schema import AXES
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import RunDirectory
from hpss_batch.verification.verify import verify

UNIT = 512
RunJob = Callable[..., Result]


@pytest.fixture(autouse=True)
def _shards_of_four_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpss_batch.store.arrays.schema.AXIS_FRAMES", 4 * UNIT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tracks of which some fill a unit to the frame, and some lie in several shards."""
    (tmp_path / "music").mkdir()
    for number, frames in enumerate((512, 100, 300, 2500, 1024, 7)):
        sf.write(
            tmp_path / "music" / f"{number}.wav", music(64 * (frames - 1) / 22050, 22050, 1, number), 22050
        )
    return tmp_path / "music"


def axes(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in shards(out).items() if name.split("/")[0] in AXES}


def expected(catalog: Catalog) -> dict[str, np.ndarray[Any, Any]]:
    """What coordinates hold, from the layout and librosa."""
    n_frames = 512 * -(-max(row.frame_start + row.n_frames for row in catalog.rows) // 512)
    found = {"time": np.full(n_frames, np.nan), "track_index": np.full(n_frames, -1, np.int32)}
    for index, row in enumerate(catalog.rows):
        where = slice(row.frame_start, row.frame_start + row.n_frames)
        found["track_index"][where] = index
        found["time"][where] = librosa.frames_to_time(np.arange(row.n_frames), sr=22050, hop_length=64)
    return found


def test_a_store_without_this_package_says_where_tracks_lie(
    folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    out = tmp_path / "out"
    for late in range(3):  # a generation each, which begins within a shard
        sf.write(folder / f"late {late}.wav", music(1.0 + late, 22050, 1, 10 + late), 22050)
        catalog = run_job(folder, out).catalog
        packed, wanted = xr.open_zarr(out / "corpus.zarr"), expected(catalog)
        for name in AXES:
            np.testing.assert_array_equal(packed[name], wanted[name])
    n_shards = -(-len(wanted["time"]) // (4 * UNIT))
    assert axes(out).keys() == {f"{name}/c.{number}" for name in AXES for number in range(n_shards)}
    # zarr, given the same values, writes the same bytes
    before, group = axes(out), zarr.open_group(out / "corpus.zarr", mode="r+", use_consolidated=False)
    for name in AXES:
        array = group[name]
        assert isinstance(array, zarr.Array)
        array[:] = array[:]
    assert axes(out) == before


def test_a_driver_of_an_older_layout_takes_nothing_back(
    folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    older = run_job(folder, tmp_path / "out").catalog
    sf.write(folder / "late.wav", music(1.0, 22050), 22050)
    run_job(folder, tmp_path / "out")
    whole, directory = axes(tmp_path / "out"), RunDirectory(tmp_path / "out")
    write_axes(directory, older, {name: range(3) for name in AXES})
    assert axes(tmp_path / "out") == whole
    assert not lacking(directory, directory.group(), directory.catalog())


def test_a_run_that_was_killed_before_or_while_they_were_written(
    folder: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(folder, tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "undisturbed")
    sf.write(folder / "late.wav", music(4.0, 22050), 22050)
    run_job(folder, tmp_path / "undisturbed")
    for n_written in range(4):
        out, asked = tmp_path / f"out{n_written}", list[str]()
        shutil.copytree(tmp_path / "before", out)

        def write(*given: Any, n: int = n_written, asked: list[str] = asked) -> None:
            asked.append(given[1].basename)
            if len(asked) > n:
                raise KeyboardInterrupt
            WRITE(*given)

        with monkeypatch.context() as patch:
            patch.setattr("hpss_batch.store.arrays.axes._write_shard", write)
            with pytest.raises(KeyboardInterrupt):
                run_job(folder, out)
        run_job(folder, out)
        assert shards(out) == shards(tmp_path / "undisturbed")


def test_shards_of_a_unit_each_stay_so_and_those_that_are_missing_come(
    folder: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions wrote them with each unit: units that are still to be done have none."""
    out = tmp_path / "out"
    monkeypatch.setattr("hpss_batch.store.arrays.schema.AXIS_FRAMES", 1)
    catalog = run_job(folder, out).catalog
    monkeypatch.undo()
    whole = shards(out)
    assert {name for name in whole if name.startswith("time/")} == {f"time/c.{n}" for n in catalog.commits}
    for unit in (2, 5):
        for path in (*(out / "corpus.zarr").glob(f"*/c.0.{unit}*"), out / f"commits/{unit:08d}.json"):
            path.unlink()
        for name in AXES:
            (out / "corpus.zarr" / name / f"c.{unit}").unlink()
    assert verify(out, sample=0, heal=True).exit_status == 0  # tracks are pending again
    assert not (out / "corpus.zarr/time/c.5").exists()
    assert run_job(folder, out).exit_status == 0
    assert shards(out) == whole
    assert verify(out, sample=0).exit_status == 0
