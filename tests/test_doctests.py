"""Every example in a docstring does what it shows, in a folder with a song and a run directory."""

import doctest
import importlib
import re
from pathlib import Path

import pytest
import soundfile as sf
from helpers import THREADS, music

import hpss_batch
from hpss_batch.config.job import Job
from hpss_batch.runner.run import run

ROOT = Path(hpss_batch.__file__).parent
MODULES = [
    ".".join(("hpss_batch", *path.relative_to(ROOT).with_suffix("").parts))
    for path in sorted(ROOT.rglob("*.py"))
    if re.search(r"^ +>>> ", path.read_text(), re.MULTILINE)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What examples take for granted: `song.ogg`, and `out/` with `song.flac` and `album/song.flac`."""
    root = tmp_path_factory.mktemp("examples")
    (root / "music" / "album").mkdir(parents=True)
    sf.write(root / "song.ogg", music(2.0, 22050, 2), 22050)
    for seed, name in enumerate(("song.flac", "album/song.flac")):
        sf.write(root / "music" / name, music(41.0, 22050, 1, seed), 22050)
    corpus = {"path": str(root / "music"), "sample_rate": 22050}
    run(Job.parse({"corpus": corpus, "output": {"path": str(root / "out")}, "cluster": THREADS}))
    return root


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
