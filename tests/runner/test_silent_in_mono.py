"""Tracks whose channels cancel each other in mono are done, and named by all that look at a run."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf
from click.testing import CliRunner
from helpers import THREADS, music

from hpss_batch.cli import main
from hpss_batch.products.report.report import report
from hpss_batch.runner.run import Result
from hpss_batch.runner.status import status

WHY = "its channels cancel each other, and next to nothing is left in mono; {} keeps them"


def corpus(root: Path) -> Path:
    """Opposite channels for several units, and for part of one; and two tracks that are as others."""
    root.mkdir()
    mono = music(4.0, 22050)
    for name, channels in {
        "long.flac": (mono, -mono),
        "opposite.wav": (mono[:9000], -mono[:9000]),
        "equal.wav": (mono[:9000], mono[:9000]),
        "silent.wav": (0 * mono[:9000], 0 * mono[:9000]),
    }.items():
        sf.write(root / name, np.hstack(channels), 22050)
    return root


def test_a_run_names_them_and_so_do_status_and_report(tmp_path: Path, run_job: Callable[..., Result]) -> None:
    result = run_job(corpus(tmp_path / "music"), tmp_path / "out")
    wanted = dict.fromkeys(["long.flac", "opposite.wav"], WHY.format("corpus.channels=all"))
    assert (result.exit_status, result.failed, result.catalog.cancelled) == (0, {}, wanted)
    assert status(tmp_path / "out").catalog.cancelled == wanted
    said = CliRunner().invoke(main, ["status", str(tmp_path / "out")])
    assert (said.exit_code, "2 silent in mono:\n  long.flac: its channels" in said.output) == (0, True)
    figures = json.loads(CliRunner().invoke(main, ["status", str(tmp_path / "out"), "--json"]).output)
    assert figures["silent_in_mono"] == wanted
    assert "2 tracks are silent in mono." in Path(report(tmp_path / "out", tracks=0)).read_text()
    commits = [json.loads(path.read_bytes()) for path in sorted((tmp_path / "out/commits").glob("*.json"))]
    assert {row for commit in commits for row, track in commit["tracks"].items() if "cancels" in track} == {
        "1",
        "2",
    }


def test_all_channels_cancel_nothing(tmp_path: Path, run_job: Callable[..., Result]) -> None:
    result = run_job(corpus(tmp_path / "music"), tmp_path / "out", corpus__channels="all")
    assert result.catalog.cancelled == {}


def test_stems_in_mono(tmp_path: Path) -> None:
    cluster = [word for key, value in THREADS.items() for word in ("--set", f"cluster.{key}={value}")]
    words = ["run", str(corpus(tmp_path / "music")), "--stems", *cluster, "-o"]
    own = CliRunner().invoke(main, [*words, str(tmp_path / "own")])
    assert (own.exit_code, "silent in mono" in own.output) == (0, False)
    mono = CliRunner().invoke(main, [*words, str(tmp_path / "mono"), "--set", "output.stems.channels=mono"])
    assert mono.exit_code == 0
    assert "2 silent in mono:" in mono.output
    assert status(tmp_path / "mono").catalog.cancelled["opposite.wav"] == WHY.format(
        "output.stems.channels=null"
    )
