"""The demonstration's music is the sum of stems that are kept where `evaluate` looks for them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.config.job import Job
from hpss_batch.products.demonstration import demo
from hpss_batch.products.evaluation.truth import SOURCES, find_stems
from hpss_batch.runner.plan import plan


def test_music_is_made_once_and_scored_against_its_stems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SONGS", tuple(replace(song, seconds=4.0) for song in demo.SONGS))
    pieces = demo.example_corpus(tmp_path, damaged=True)
    assert [piece.track for piece in pieces] == ["ballad.flac", "groove.ogg", "study.wav"]
    found, _ = find_stems([tmp_path / "truth"])
    assert [(p.harmonic, p.percussive) for p in found] == [(p.harmonic, p.percussive) for p in pieces]
    for piece in (pieces[0], pieces[2]):
        mixture, *stems = (sf.read(path)[0] for path in (piece.mixture, piece.harmonic, piece.percussive))
        np.testing.assert_allclose(sum(stems), mixture, rtol=0, atol=2 / 2**15)

    Path(pieces[0].harmonic).unlink()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert demo.example_corpus(tmp_path, damaged=True) == pieces
    assert Path(pieces[0].harmonic).exists()
    assert before == {path: path.stat().st_mtime_ns for path in files}

    found = demo.score(pieces, plan(Job.from_command_line(tmp_path / "music", tmp_path / "out")))
    assert min(found.gain(component, "separated").sdr for component in SOURCES) > 3
