"""Runs of manifests: what their columns become, and what a later manifest changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import xarray as xr
from helpers import music

from hpss_batch.errors import CorpusError
from hpss_batch.runner.run import Result
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.verification.verify import verify

Manifest = Callable[[str], Result]


@pytest.fixture
def manifest(tmp_path: Path, run_job: Callable[..., Result]) -> Manifest:
    """Run a manifest of this text; it may name a.wav and b.wav."""
    for name in "ab":
        sf.write(tmp_path / f"{name}.wav", music(0.5, 22050), 22050)

    def run_it(text: str) -> Result:
        (tmp_path / "m.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
        return run_job(tmp_path / "m.csv", tmp_path / "out")

    return run_it


def column(out: Path, name: str) -> Any:
    packed = xr.open_zarr(out / "corpus.zarr")
    assert (packed[name].values == open_corpus(out).tracks[name].values).all()
    return packed[name].values


def test_a_column_may_change_its_type(manifest: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest("path,year\na.wav,1999\n")
    assert column(out, "meta_year").dtype == np.int64
    manifest("path,year\na.wav,1999\nb.wav,unknown\n")
    assert column(out, "meta_year").tolist() == ["1999", "unknown"]
    manifest("path,year\na.wav,1999\nb.wav,2004\n")
    assert column(out, "meta_year").tolist() == [1999, 2004]
    assert verify(out).exit_status == 0


def test_any_column_is_a_variable(manifest: Manifest, tmp_path: Path) -> None:
    out, long = tmp_path / "out", "é" * 300
    manifest(f"path,artist/album,x/../y,..,{long},id 64\na.wav,A/B,1,2,3,9007199254740993\n")
    assert column(out, "meta_artist%2Falbum").tolist() == ["A/B"]
    assert column(out, "meta_x%2F..%2Fy").tolist() == [1]
    assert column(out, "meta_id 64").tolist() == [9007199254740993]
    names = {v.attrs["long_name"] for v in open_corpus(out).tracks.variables.values()}
    assert f"{long}, as in the manifest" in names
    assert verify(out).exit_status == 0


def test_mended_labels_and_new_columns_are_taken_over(manifest: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest("path,genre\na.wav,jazz\nb.wav,rock\n")
    commits = {path: path.stat().st_mtime_ns for path in (out / "commits").iterdir()}
    text = "path,genre,split\na.wav,blues,train\nb.wav,rock,\n"
    manifest(text)
    assert column(out, "meta_genre").tolist() == ["blues", "rock"]
    assert column(out, "meta_split").tolist() == ["train", ""]
    assert {path: path.stat().st_mtime_ns for path in (out / "commits").iterdir()} == commits
    layouts = len(RunDirectory(out).generations())
    manifest(text)
    assert len(RunDirectory(out).generations()) == layouts == 2
    manifest("path,split\na.wav,test\n")  # a track that is not named, and a column that is gone
    assert column(out, "meta_genre").tolist() == ["", "rock"]
    assert column(out, "meta_split").tolist() == ["test", ""]
    assert verify(out).exit_status == 0
    sf.write(tmp_path / "a.wav", music(0.7, 22050), 22050)  # placed again: its own labels count
    manifest("path,split\na.wav,valid\n")
    labels = open_corpus(out).tracks.meta_split
    assert dict(zip(labels.track.values, labels.values, strict=True)) == {
        "a.wav@0": "",
        "b.wav": "",
        "a.wav": "valid",
    }


def test_layouts_of_earlier_versions_are_read(manifest: Manifest, tmp_path: Path) -> None:
    directory = tmp_path / "out"
    manifest("path,n,x\na.wav,1,0.5\nb.wav,2,\n")
    first = RunDirectory(directory).generations()[0]
    old = [{"n": 1, "x": 0.5}, {"n": 2, "x": float("nan")}]
    for row, meta in zip(first.rows, old, strict=True):
        object.__setattr__(row, "meta", meta)
    (directory / first.name).write_bytes(first.encode())
    assert RunDirectory(directory).catalog().labels == [{"n": "1", "x": "0.5"}, {"n": "2", "x": ""}]
    assert verify(directory).exit_status == 0


def test_what_is_refused_is_refused_before_anything_is_written(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="line 2, column 'genre'"):
        manifest("path,genre\na.wav,caf\udce9\n")
    assert not (tmp_path / "out").exists()
