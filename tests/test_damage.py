"""Whatever a disk or a person did to a run directory, every command says it in words, and what to do."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from helpers import settings

from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.runner.run import run
from hpss_batch.store.directory import RunDirectory

TRACK = "album/song.ogg"


@pytest.fixture(scope="module")
def sound(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory as a run leaves it."""
    out = tmp_path_factory.mktemp("sound") / "out"
    wanted = {"corpus__include": ["song.ogg", "short.wav"], "output__unit_frames": 1024}
    assert run(Job.parse(settings(corpus_folder, out, **wanted))).exit_status == 0
    return out


@pytest.fixture
def out(sound: Path, tmp_path: Path) -> Path:
    """A copy of it to damage, and the YAML of its job beside it."""
    shutil.copytree(sound, tmp_path / "out")
    job = Job.load(sound / "job.yaml", [("output.path", str(tmp_path / "out"))]).to_yaml()
    for path in (tmp_path / "job.yaml", tmp_path / "out" / "job.yaml"):
        path.write_text(job)
    return tmp_path / "out"


def command(*arguments: object) -> Result:
    """What a command does; anything but words and an exit status is a failure."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize(
    "data", [b"\xff\xfejob", b"corpus: [", b"\x00" * 100], ids=["no text", "halved", "zeros"]
)
def test_a_damaged_job_yaml_is_said_and_written_again_by_its_job(data: bytes, out: Path) -> None:
    whole = (out / "job.yaml").read_bytes()
    (out / "job.yaml").write_bytes(data)
    for arguments in (("status", out), ("render", out, TRACK), ("report", out)):
        result = command(*arguments)
        assert result.exit_code == 2
        assert f"{out}/job.yaml is damaged" in result.output
        assert "run again with the job's YAML" in result.output
    result = command("verify", out, "--sample", 0)
    assert result.exit_code == 1
    assert "job.yaml cannot be read" in result.output
    assert command("run", out.parent / "job.yaml").exit_code == 0
    assert (out / "job.yaml").read_bytes() == whole
    assert command("status", out).exit_code == 0


def test_a_job_yaml_of_another_job_is_written_again_by_its_own(out: Path) -> None:
    whole = (out / "job.yaml").read_text()
    (out / "job.yaml").write_text(whole.replace("kernel_size: 17", "kernel_size: 19"))
    assert command("verify", out, "--sample", 0).exit_code == 1
    assert command("run", out.parent / "job.yaml").exit_code == 0
    assert (out / "job.yaml").read_text() == whole


def garble(path: Path) -> None:
    path.write_bytes(b"\x07" * 999)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blank(path: Path) -> None:
    path.write_text("{}")


@pytest.mark.parametrize(("name", "damage"), [("harmonic_mask", garble), ("spectrogram", halve)])
def test_damaged_shards_are_said_by_whoever_reads_them(
    name: str, damage: Callable[[Path], None], out: Path
) -> None:
    for path in (out / "corpus.zarr" / name).glob("c.*"):
        damage(path)
    picture = out.parent / "picture.png"
    for arguments in (("report", out), ("show", out, TRACK, "-o", picture)):
        result = command(*arguments)
        assert result.exit_code == 2
        assert f"{out}/corpus.zarr is damaged" in result.output
        assert f"`hpss-batch verify --heal {out}`" in result.output
    assert command("verify", "--heal", out, "--sample", 0).exit_code == 0
    assert command("show", out, TRACK, "-o", picture).exit_code == 0


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("zarr.json", blank),
        ("harmonic_mask/zarr.json", halve),
        ("status/c.0", garble),
        ("track/c.0", garble),
        ("frequency/c.0", garble),
        ("time/c.0", garble),
    ],
)
def test_damaged_metadata_and_coordinates_are_said_by_show(
    name: str, damage: Callable[[Path], None], out: Path
) -> None:
    damage(out / "corpus.zarr" / name)
    picture = out.parent / "picture.png"
    result = command("show", out, TRACK, "-o", picture)
    assert result.exit_code == 2
    assert f"{out}/corpus.zarr is damaged" in result.output
    assert "verify --heal" in result.output
    assert command("report", out).exit_code in (0, 2)


def test_stems_cannot_be_rendered_from_a_damaged_store(out: Path) -> None:
    layout = out / "layout"
    catalog = RunDirectory(out).catalog()
    for path in (out / "corpus.zarr" / "spectrogram").glob("c.*"):
        garble(path)
    generation = catalog.generations[0]
    gone = replace(generation, rows=[replace(row, path="/nowhere/song.ogg") for row in generation.rows])
    (layout / "0000.jsonl.gz").write_bytes(gone.encode())
    result = command("render", out, TRACK)
    assert result.exit_code == 2
    assert f"{out}/corpus.zarr is damaged" in result.output
