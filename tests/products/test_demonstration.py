"""The demonstration's music is the sum of stems that are kept where `evaluate` looks for them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.config.job import Job
from hpss_batch.products.demonstration import demo, instruments
from hpss_batch.products.evaluation.truth import SOURCES, find_stems
from hpss_batch.runner.plan import plan


def test_music_is_made_once_and_scored_against_its_stems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SONGS", tuple(replace(song, bars=2) for song in demo.SONGS))
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
    first, second = found.evaluations.values()
    for component in SOURCES:
        assert (
            0.5 < first.gain(component, "separated").si_sdr < second.gain(component, "separated").si_sdr - 1
        )
    assert found.losses("banded") == {}


def test_parts_of_a_piece_add_up_to_it_by_either_method(tmp_path: Path) -> None:
    demo.example_corpus(tmp_path)
    target = demo.write_parts(tmp_path)
    assert len(list(target.iterdir())) == 4
    whole, _ = sf.read(tmp_path / "music" / "groove.ogg")
    for method in ("librosa", "banded"):
        parts = sum(sf.read(target / f"groove.{part}.{method}.flac")[0] for part in SOURCES)
        np.testing.assert_allclose(parts, whole, rtol=0, atol=3 / 2**15)


@pytest.mark.parametrize("frequency", [98.0, 246.94, 523.25])
def test_notes_are_in_tune(frequency: float) -> None:
    """All that is on a note's partials, to a fiftieth of a semitone, is 99 of 100 parts of it."""
    rng, rate = np.random.default_rng(0), 44100
    for sound in (instruments.plucked(frequency, 2, rate, rng), instruments.bass(frequency, 2, rate)):
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 2**18)) ** 2
        partial = np.fft.rfftfreq(2**18, 1 / rate) / frequency
        near = np.abs(partial - np.round(partial)) < 0.02
        assert power[near].sum() > 0.99 * power.sum()
