"""Every workflow as a newcomer would start it: one command, on small made audio, without a warning."""

import csv
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from helpers import music

from hpss_batch.cli import main
from hpss_batch.config.job import Job

pytestmark = pytest.mark.slow

WORKFLOWS = Path(__file__).parents[1] / "workflows"
COMMANDS = sorted(path.parent.name for path in WORKFLOWS.glob("*/run.py"))


def tried(workflow: str, out: Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Its one command, and how it ended."""
    command = [
        sys.executable,
        "-W",
        "error",
        str(WORKFLOWS / workflow / "run.py"),
        *arguments,
        "-o",
        str(out),
    ]
    return subprocess.run(command, capture_output=True, text=True)


def start(workflow: str, out: Path | str, *arguments: str) -> str:
    """What its one command prints."""
    done = tried(workflow, out, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_a_folder_for_each_and_all_that_belongs_into_it() -> None:
    assert COMMANDS == ["long_recording", "ml_features", "object_store", "parameter_sweep", "stem_extraction"]
    for workflow in COMMANDS:
        readme = (WORKFLOWS / workflow / "README.md").read_text()
        assert f"python workflows/{workflow}/run.py" in readme
        for job in (WORKFLOWS / workflow).glob("*.yaml"):
            made = Job.load(job)
            assert Job.parse(made.to_yaml()) == made
            assert job.name in readme
            assert job.read_text().startswith("# ")


@pytest.mark.parametrize("workflow", ["kubernetes", "slurm"])
def test_what_runs_elsewhere_is_one_command_of_the_command_line(workflow: str) -> None:
    readme = (WORKFLOWS / workflow / "README.md").read_text()
    job = f"workflows/{workflow}/job.yaml"
    assert re.search(rf"^\$ hpss-batch (run|submit) {job}", readme, re.MULTILINE)
    for line in re.findall(r"^\$ hpss-batch (.*?)(?: +#.*)?$", readme, re.MULTILINE):
        main.make_context("hpss-batch", shlex.split(line)[:1])
    made = Job.load(WORKFLOWS.parent / job)
    assert Job.parse(made.to_yaml()) == made


EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, "done.ipynb")
"""


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = WORKFLOWS / "notebook" / "explore.ipynb"
    assert not any(cell.get("outputs") for cell in json.loads(notebook.read_text())["cells"])
    ran = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(notebook)], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    outputs = [
        output
        for cell in json.loads((tmp_path / "done.ipynb").read_text())["cells"]
        for output in cell.get("outputs", [])
    ]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert "3 done" in "".join("".join(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert "(8, 64, 2049)" in "".join(outputs[-1]["data"]["text/plain"])


def test_the_image_is_made_of_what_is_here() -> None:
    lines = (WORKFLOWS / "Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert "pyproject.toml" in copied
    assert all((WORKFLOWS.parent / name).exists() for name in copied)
    project = tomllib.loads((WORKFLOWS.parent / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"]} <= set(copied)  # which pip reads
    python = next(line for line in lines if line.startswith("FROM "))
    assert (
        f"Programming Language :: Python :: {re.findall(r'3[.][0-9]+', python)[0]}" in project["classifiers"]
    )


@pytest.mark.parametrize("workflow", COMMANDS)
def test_a_wrong_path_is_a_message_and_status_2(workflow: str, tmp_path: Path) -> None:
    done = tried(workflow, tmp_path / "out", str(tmp_path / "nothing.csv"))
    assert done.returncode == 2
    assert f"{tmp_path}/nothing.csv" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_stems_of_a_folder_add_up_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "my music"
    (folder / "album").mkdir(parents=True)
    sf.write(folder / "album" / "song.ogg", music(3.0, 44100, 2, 1), 44100)
    sf.write(folder / "talk.wav", music(2.0, 22050, 1, 2), 22050)
    said = start("stem_extraction", tmp_path, str(folder))
    assert re.search(r"talk\.wav +1 +22050 +2\.0 +exactly 0", said)
    error = re.search(r"album/song\.ogg +2 +44100 +3\.0 +(-[\d.]+) dB", said)
    assert error is not None
    assert float(error[1]) < -130  # 24 bit
    stems = tmp_path / "out_my music" / "stems"
    names = [
        f"{track}.{c}.flac"
        for track in ("album/song", "talk")
        for c in ("harmonic", "percussive", "residual")
    ]
    assert sorted(str(path.relative_to(stems)) for path in stems.rglob("*.flac")) == names

    other = tmp_path / "other music"
    other.mkdir()
    (folder / "talk.wav").rename(other / "speech.wav")
    said = start("stem_extraction", tmp_path, str(other))
    assert [line.split()[0] for line in said.splitlines()[1:-1]] == ["speech.wav"]
    assert said.endswith(f"Listen to {tmp_path / 'out_other music' / 'stems'}\n")
    said = start("stem_extraction", tmp_path, str(folder))  # which has lost a file since
    assert [line.split()[0] for line in said.splitlines()[1:-1]] == ["album/song.ogg"]


def test_a_sweep_compares_settings_on_one_spectrogram(tmp_path: Path) -> None:
    said = start("parameter_sweep", tmp_path, "--margins", "1", "2,3", "--powers", "2")
    with (tmp_path / "results.csv").open() as file:
        one, large = csv.DictReader(file)
    assert [(row["margin"], row["power"]) for row in (one, large)] == [("1", "2"), ("2,3", "2")]
    assert float(one["residual_share"]) < 1e-4  # what uint8 leaves
    assert float(large["residual_share"]) > 0.05
    assert all(float(row[f"{c}_dB"]) > 0 for row in (one, large) for c in ("harmonic", "percussive"))
    assert len(said.splitlines()) == 4
    stored = [path.name for path in tmp_path.iterdir() if (path / "corpus.zarr").is_dir()]
    assert sorted(stored) == ["margin_1_power_2", "margin_2,3_power_2", "spectrograms"]


def test_a_long_recording_takes_no_more_memory_than_planned(tmp_path: Path) -> None:
    lines = start("long_recording", tmp_path, "--hours", "0.3").splitlines()
    figures = {line.split()[0]: [float(word) for word in line.split()[1:]] for line in lines[-2:]}
    assert list(figures) == ["short", "long"]
    (hours, units, planned, most, _), (long_hours, long_units, long_planned, long_most, _) = figures.values()
    assert long_hours > 3 * hours
    assert long_units > units
    assert long_planned == planned
    assert 50 < most <= planned
    assert 50 < long_most <= planned


def test_a_model_learns_from_windows_of_tracks(tmp_path: Path) -> None:
    said = start("ml_features", tmp_path)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", said)]
    assert losses[0] == pytest.approx(np.log(3), abs=1e-3)
    assert losses[-1] < 0.5 * losses[0]
    told = re.search(r"Told right on tracks not trained on: ([\d.]+)%", said)
    assert told is not None
    assert float(told[1]) > 80

    # and from a list of one's own, where another one of the same name was run before
    (tmp_path / "out").rename(tmp_path / "out_mine.csv")
    mine = tmp_path / "music" / "mine.csv"
    rows = [(f"{number:02}.flac", ("even", "odd")[number % 2]) for number in range(8)]
    with mine.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "kind"), *rows, ("09.flac", "")])
    said = start("ml_features", tmp_path, str(mine), "--label", "kind")
    assert not (tmp_path / "out").exists()
    assert "16 of 24 tracks have no kind" in said  # 15 of them of the manifest of before
    assert re.search(r"of 6 tracks to train on, [\d,]+ of 2 to test on", said)
    assert "by chance 50.0%" in said
    unknown = tried("ml_features", tmp_path, str(mine), "--label", "genre")
    assert unknown.returncode == 2
    assert "may name: kind" in unknown.stderr


def test_three_pieces_go_from_bucket_to_bucket() -> None:
    said = start("object_store", "s3://hpss-batch/out").splitlines()
    assert [line.split()[0] for line in said] == ["ballad.flac", "groove.ogg", "study.wav", "Saved"]
    assert all(re.search(r"the first 512 are [1-9]\d% harmonic$", line) for line in said[:3])
