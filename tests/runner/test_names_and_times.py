"""Runs whose files have odd names and times: an id is a name's bytes, whatever the locale, and no time stops a run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from helpers import music

from hpss_batch.runner.run import Result
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.generations import Generation
from hpss_batch.store.layout import Placed
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.verification.verify import verify

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A locale in which `os.fsdecode` knows no more than ASCII."""

NAMES = ("Björk.wav", "a.wav", "東京 100%.wav", "caf\udce9.wav")


@pytest.mark.slow
def test_ids_are_the_same_in_every_locale(tmp_path: Path, run_job: Callable[..., Result]) -> None:
    corpus, out = tmp_path / "Müsik", tmp_path / "out"
    corpus.mkdir()
    for name in NAMES:
        sf.write(os.fsencode(corpus / name), music(0.5, 22050), 22050, format="WAV")
    (tmp_path / "m.csv").write_text("path\nMüsik/Björk.wav\n")
    stft = ["--set", "stft.n_fft=256", "--set", "stft.hop_length=64"]

    def run_in_ascii(source: str, place: str) -> None:
        command = [sys.executable, "-m", "hpss_batch", "run", source, "-o", place, "--stems", *stft]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | ASCII, capture_output=True, text=True, errors="replace"
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run_in_ascii("Müsik", "out")
    assert set(open_corpus(out)) == {"Björk.wav", "a.wav", "東京 100%.wav", "caf%E9.wav"}
    assert (out / "stems" / "Björk.harmonic.flac").exists()
    catalog = RunDirectory(out).catalog()
    assert {row.path for row in catalog.rows} == {str(corpus / name) for name in NAMES}
    run_in_ascii("m.csv", "listed")
    assert list(open_corpus(tmp_path / "listed")) == ["Müsik/Björk.wav"]


@pytest.mark.parametrize("year", [-719162, 157054, 1000000, 2932896])
def test_no_time_of_a_file_stops_a_run(year: int, tmp_path: Path, run_job: Callable[..., Result]) -> None:
    """Days since 1970: the years 1, 2400, 4707 and 9999, where the file system has them."""
    corpus, out = tmp_path / "music", tmp_path / "out"
    corpus.mkdir()
    for name in "ab":
        sf.write(corpus / f"{name}.wav", music(0.5, 22050), 22050)
    os.utime(corpus / "a.wav", ns=(0, year * 86_400 * 10**9))
    assert run_job(corpus, out).exit_status == 0
    assert len(open_corpus(out)) == 2
    run_job(corpus, out)
    assert len(RunDirectory(out).generations()) == 1
    assert verify(out).exit_status == 0


def test_layouts_keep_times_that_64_bits_do_not(tmp_path: Path) -> None:
    from hpss_batch.store.arrays.track_table import track_variables
    from hpss_batch.store.catalog import Catalog

    times = [-62_135_596_800 * 10**9, 5, 253_402_300_799 * 10**9, 910_692_730_085 * 10**9]
    rows = [Placed(str(n), "p", 0, 0, 0, 0, 44100, 1, 10, time) for n, time in enumerate(times)]
    settings = {"stft": {}, "sample_rate": 44100, "unit_frames": 512}
    first = Generation.decode(Generation(0, rows, settings).encode(), "0000")
    assert [row.source_mtime for row in first.rows] == times
    assert not any(row.has_changed(10, time) for row, time in zip(first.rows, times, strict=True))
    values = track_variables(Catalog([first], {}))["source_mtime"][0]
    ends = np.iinfo(np.int64)
    assert values.tolist() == [ends.min, 5, ends.max, ends.max]
