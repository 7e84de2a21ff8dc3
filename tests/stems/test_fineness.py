"""Stems are as fine as their track where a job leaves the encoding open, as far as the format goes."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from helpers import music, settings

from hpss_batch.config.job import Job
from hpss_batch.runner.plan import plan
from hpss_batch.runner.run import Result, run

RATE = 22050


def stems(corpus: Path, out: Path, **given: str) -> Result:
    return run(Job.parse(settings(corpus, out, output__arrays=[], output__stems=given)))


@pytest.mark.parametrize(
    ("source", "format_", "expected"),
    [
        ("wav PCM_U8", "wav", "PCM_16"),
        ("wav PCM_16", "wav", "PCM_16"),
        ("ogg VORBIS", "wav", "PCM_16"),
        ("wav PCM_24", "flac", "PCM_24"),
        ("flac PCM_24", "wav", "PCM_24"),
        ("caf ALAC_24", "aiff", "PCM_24"),
        ("wav PCM_24", "caf", "PCM_24"),
        ("wav PCM_32", "w64", "PCM_32"),
        ("wav PCM_32", "flac", "PCM_24"),
        ("wav FLOAT", "rf64", "FLOAT"),
        ("wav DOUBLE", "au", "FLOAT"),
        ("wav FLOAT", "flac", "PCM_24"),
        ("wav FLOAT", "ogg", "VORBIS"),
        ("wav PCM_24", "mp3", "MPEG_LAYER_III"),
    ],
)
def test_stems_are_as_fine_as_their_track(source: str, format_: str, expected: str, tmp_path: Path) -> None:
    extension, subtype = source.split()
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / f"a.{extension}", music(0.5, RATE), RATE, subtype=subtype)
    mixture, _ = sf.read(tmp_path / "music" / f"a.{extension}", always_2d=True)
    assert stems(tmp_path / "music", tmp_path / "out", format=format_).exit_status == 0
    files = sorted((tmp_path / "out/stems").iterdir())
    assert [sf.info(file).subtype for file in files] == [expected] * 2
    if expected.startswith(
        ("PCM", "FLOAT")
    ):  # and what is fine is there: 24 bits of the float that was read, or 16
        error = np.abs(sum(sf.read(file, always_2d=True)[0] for file in files) - mixture).max()
        assert error <= (2.0**-16 if expected == "PCM_16" else 2.0**-24) * 1.01


def test_a_subtype_that_is_given_is_that_of_all(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "a.wav", music(0.5, RATE), RATE, subtype="FLOAT")
    sf.write(tmp_path / "music" / "b.wav", music(0.5, RATE), RATE)
    job = settings(
        tmp_path / "music", tmp_path / "out", output__arrays=[], output__stems={"subtype": "PCM_16"}
    )
    planned = plan(Job.parse(job))
    assert planned.stems is not None
    assert stems(tmp_path / "music", tmp_path / "out", subtype="PCM_16").exit_status == 0
    assert {sf.info(file).subtype for file in (tmp_path / "out/stems").iterdir()} == {"PCM_16"}
