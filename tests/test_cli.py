"""The command line as a person uses it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from helpers import settings

from hpss_batch.cli import main
from hpss_batch.config.job import Job


def command(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_init_writes_a_job_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("init", "job.yaml").exit_code == 0
    assert Job.load("job.yaml") == Job.from_command_line("music/", "out/")
    again = command("init", "job.yaml")
    assert again.exit_code == 1
    assert "is there already" in again.output


def test_plan_prints_and_changes_nothing(corpus_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("plan", str(corpus_folder), "-o", str(out), "--set", "corpus.sample_rate=22050")
    shown = command(*words)
    assert shown.exit_code == 0
    assert "7, " in shown.output
    assert "for each worker thread" in shown.output
    assert ", from what is typical" in shown.output
    figures = json.loads(command(*words, "--json").output)
    assert figures["tracks"] == {"pending": 6, "done": 1}
    assert set(figures["array_bytes"]) == {"harmonic_mask", "percussive_mask"}
    assert figures["seconds"] > 0
    assert not out.exists()


def test_a_corpus_needs_an_output(corpus_folder: Path) -> None:
    said = command("run", str(corpus_folder))
    assert said.exit_code == 2
    assert "-o DIR" in said.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "no/such/folder", "-o", "out"), "no/such/folder"),
        (("run", "no-such-job.yaml"), "no-such-job.yaml"),
        (("status", "."), "not a run directory"),
        (("run", ".", "-o", "out", "--set", "hpss.margn=3"), "hpss.margin"),
        (("run", ".", "-o", "out", "--set", "hpss.margin=0"), "hpss.margin"),
    ],
)
def test_mistakes_are_named_and_end_with_status_2(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = command(*words)
    assert said.exit_code == 2
    assert message in said.output
    assert "Traceback" not in said.output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hpss_batch.cli import main; main(['--help'], standalone_mode=False);"
        "print([m for m in ('numpy', 'xarray', 'zarr', 'distributed', 'scipy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_finished_run_imports_neither_distributed_nor_xarray(corpus_folder: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(Job.parse(settings(corpus_folder, tmp_path / "out")).to_yaml())
    code = (
        "import sys; from hpss_batch.cli import main\n"
        "try: main(['run', sys.argv[1]])\n"
        "except SystemExit as end: print(end.code)\n"
        "print([m for m in ('xarray', 'distributed', 'scipy.signal') if m in sys.modules])"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code, str(job)], capture_output=True, text=True, check=True
        )
    assert "Nothing to do" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["0", "[]"]


@pytest.mark.slow
def test_the_demo_works_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "hpss_batch", "demo"], capture_output=True, text=True, check=True
        )
        assert "3 done, 1 failed" in done.stdout
        assert "damaged.flac" in done.stdout
        gains = [float(word) for word in done.stdout.split() if word[0] == "+" and word[1:2].isdigit()]
        assert len(gains) == 6
        assert min(gains) > 3
