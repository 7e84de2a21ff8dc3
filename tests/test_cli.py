"""The command line as a person uses it."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner, Result
from helpers import music, settings

from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.config.template import CLUSTERS
from hpss_batch.dsp.methods import PRESETS


def command(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_init_writes_a_job_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("init", "job.yaml").exit_code == 0
    assert Job.load("job.yaml") == Job.from_command_line("music/", "out/")
    again = command("init", "job.yaml")
    assert again.exit_code == 2
    assert "is there already" in again.output


@pytest.mark.parametrize(
    ("words", "shows"),
    [
        (("--stems",), ("stems ", "LocalCluster")),
        (("--features",), ("log_mel_harmonic ", "LocalCluster")),
        (("--cluster", "slurm"), ("harmonic_mask ", "#SBATCH --cpus-per-task=4")),
        (("--cluster", "pbs", "--stems"), ("stems ", "#PBS -l walltime=01:00:00")),
        (("--cluster", "kubernetes", "--features"), ("onset ", "replicas: 4")),
    ],
)
def test_plan_takes_what_init_writes_for_each_reader(
    words: tuple[str, ...], shows: tuple[str, ...], corpus_folder: Path, tmp_path: Path
) -> None:
    job, out = str(tmp_path / "job.yaml"), str(tmp_path / "out")
    assert command("init", job, "--corpus", str(corpus_folder), "-o", out, *words).exit_code == 0
    shown = command("plan", job)
    assert shown.exit_code == 0, shown.output
    assert all(words in shown.output for words in shows)
    assert ("harmonic_mask" in shown.output) == (words == ("--cluster", "slurm"))


def test_init_offers_every_cluster_that_it_knows() -> None:
    assert f"--cluster [{'|'.join(CLUSTERS)}]" in command("init", "--help").output


def test_version_tells_the_libraries_and_imports_none() -> None:
    program = (
        "import sys; from hpss_batch.console.versions import told; print(told('1.2.3'));"
        "heavy = {'numpy', 'scipy', 'dask', 'zarr', 'soundfile'} & set(sys.modules); sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    lines = dict(line.split() for line in done.stdout.splitlines())
    assert lines["hpss-batch"] == "1.2.3"
    assert lines["libsndfile"] == sf.__libsndfile_version__
    assert lines["numpy"] == np.__version__
    assert {"scipy", "zarr", "dask", "librosa", "av"} <= set(lines)
    assert command("--version").output.splitlines()[1:] == done.stdout.splitlines()[1:]


def test_help_tells_exit_statuses() -> None:
    said = command("--help").output
    assert all(f"\n    {number} " in said for number in (0, 1, 2))
    assert "129, 130, 143" in said


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


@pytest.mark.parametrize("name", ["plan", "run", "submit", "evaluate", "report"])
def test_the_help_of_method_names_every_method(name: str) -> None:
    *others, last = PRESETS
    assert f"by {', '.join(others)} or {last}" in " ".join(command(name, "--help").output.split())


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
        assert len(gains) == 12
        assert min(gains) > 0.5
        assert min(gains[1::2]) > 4, "banded"


ODD = {"cluster.kwargs": "{processes: false, n_workers: 1}", "corpus.sample_rate": "22050"}
SETS = [word for key, value in ODD.items() for word in ("--set", f"{key}={value}")]


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = {"HPSS": f"{sys.executable} -m hpss_batch", "SETS": shlex.join(SETS)}
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=os.environ | ours | environment,
        capture_output=True,
        text=True,
        errors="replace",
    )


def test_a_run_does_not_need_anybody_who_reads_what_it_says(tmp_path: Path, odd_corpus: Path) -> None:
    line = f"(eval $HPSS run {odd_corpus} -o out $SETS; echo $? >status) 2>&1 | true"
    assert shell(line, tmp_path).stderr == ""
    assert (tmp_path / "status").read_text() == "1\n"  # for one of its tracks
    assert json.loads(command("status", str(tmp_path / "out"), "--json").output)["counts"] == {
        "done": 1,
        "failed": 1,
    }


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
def test_a_run_speaks_any_encoding(encoding: str, tmp_path: Path, odd_corpus: Path) -> None:
    done = shell(f"eval $HPSS run {odd_corpus} -o out $SETS", tmp_path, PYTHONIOENCODING=encoding)
    assert done.stderr == ""
    assert "1 done, 1 failed. Results: out" in done.stdout
    assert "\\U0001f941.wav: " in done.stdout


def test_what_was_skipped_is_named_by_run_status_and_report(tmp_path: Path, odd_corpus: Path) -> None:
    skipped = {
        "dead.flac": "link that leads nowhere",
        "pipe.wav": "named pipe",
        "evil\\x1b[2J\\n.m4p": "protected",
    }
    out = str(tmp_path / "out")
    for words in (("run", str(odd_corpus), "-o", out, *SETS), ("status", out)):
        said = command(*words).output
        assert "\x1b" not in said
        assert "3 skipped:" in said
        for name, why in skipped.items():
            assert any(name in line and why in line for line in said.splitlines())
    assert command("report", out).exit_code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "3 files of the corpus are no\ntracks, and skipped" in page
    assert all(name in page for name in skipped)
    found = json.loads(command("status", out, "--json").output)["skipped"]
    assert len(found) == 3
    (odd_corpus / "dead.flac").unlink()
    command("run", str(odd_corpus), "-o", out, *SETS)
    assert list(json.loads(command("status", out, "--json").output)["skipped"]) == [
        name for name in found if name != "dead.flac"
    ]


@pytest.fixture
def odd_corpus(tmp_path: Path) -> Path:
    """A track, one that cannot be read, and what is none."""
    corpus = tmp_path / "odd"
    corpus.mkdir()
    sf.write(corpus / "track.wav", music(2.0, 22050), 22050)
    (corpus / "🥁.wav").write_text("no audio")
    (corpus / "evil\x1b[2J\n.m4p").touch()
    (corpus / "dead.flac").symlink_to("nowhere")
    os.mkfifo(corpus / "pipe.wav")
    return corpus


def test_commands_are_listed_in_the_order_of_use() -> None:
    lines = command("--help").output.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines][:7] == [
        "demo", "init", "plan", "run", "submit", "status", "verify",
    ]  # fmt: skip


def test_words_of_a_job_on_the_command_line(corpus_folder: Path, tmp_path: Path) -> None:
    words = ("plan", str(corpus_folder), "-o", str(tmp_path / "out"), "--json")
    both = json.loads(command(*words, "--stems", "--features", "--workers", "3").output)
    assert both["cluster"] == "distributed.LocalCluster(n_workers=3)"
    assert both["stems"]["files"] == 14
    assert "log_mel_harmonic" in both["array_bytes"]
    assert "harmonic_mask" not in both["array_bytes"]
    queue = ("--set", "cluster.class=dask_jobqueue.SLURMCluster", "--set", "cluster.adapt={maximum: 9}")
    size = ("--set", "cluster.kwargs={cores: 1, memory: 2GiB}")
    asked = json.loads(command(*words, *queue, *size, "--workers", "3").output)
    assert asked["cluster"] == "dask_jobqueue.SLURMCluster(cores=1, memory='2GiB'), scaled to 3"
    assert asked["request"]["text"].startswith("#!/usr/bin/env bash\n\n#SBATCH -J dask-worker\n")
    assert [asked["request"][name] for name in ("workers", "threads", "process_bytes")] == [1, 1, 2**31]
    there = command(*words, "--set", "cluster.connect=tcp://here:8786", "--workers", "3")
    assert there.exit_code == 2
    assert "has its workers" in there.output


def test_a_quiet_run_says_what_is_wrong_and_nothing_else(tmp_path: Path, odd_corpus: Path) -> None:
    words = ("run", str(odd_corpus), "-o", str(tmp_path / "out"), *SETS, "--quiet")
    said = command(*words)
    assert said.exit_code == 1
    assert "🥁.wav" in said.output
    assert "real time" not in said.output
    (odd_corpus / "🥁.wav").unlink()
    assert command(*words[:3], str(tmp_path / "again"), *words[4:]).output == ""
