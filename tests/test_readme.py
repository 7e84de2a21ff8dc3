"""README.md does what it says: each block of Python is a script that runs, each command is typed, jobs are taken."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import soundfile as sf
from helpers import THREADS, music

from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.config.template import template
from hpss_batch.runner.run import run

README = Path(__file__).parents[1] / "README.md"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

TORCH = """
class DataLoader:
    '''As much of PyTorch's as needs no torch, which is none of this package's dependencies.'''

    def __init__(self, dataset, batch_sampler, num_workers=0):
        self.dataset, self.batch_sampler = dataset, batch_sampler

    def __iter__(self):
        for batch in self.batch_sampler:
            yield [self.dataset[int(i)] for i in batch]
"""


def blocks(*languages: str) -> list[tuple[str, str]]:
    """README's blocks in these languages, and the line where each begins."""
    text = README.read_text()
    return [
        (f"README.md, line {text.count(chr(10), 0, found.start()) + 2}", found[2])
        for found in FENCE.finditer(text)
        if found[1] in languages
    ]


def without_prompts(block: str) -> str:
    """What is typed after the prompts of an interactive session; blocks without prompts as they are."""
    if not block.startswith(">>>"):
        return block
    lines = [line[4:] for line in block.splitlines() if line.startswith((">>>", "..."))]
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of hpss-batch that README shows, as a shell takes it apart."""
    for place, block in blocks("console", "text", "bash", "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = (
                shlex.split(line.removeprefix("$ "), comments=True) if line.startswith("$ hpss-batch") else []
            )
            if words:
                yield f"{place}: {line}", words[1:]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder: the demo, `music/` and its run directory `out/`, and a job."""
    home = tmp_path_factory.mktemp("home")
    demo = subprocess.run(
        [sys.executable, "-W", "error", "-m", "hpss_batch", "demo"], cwd=home, capture_output=True, text=True
    )
    assert demo.returncode == 0, demo.stderr
    (home / "music" / "album").mkdir(parents=True)
    for number, name in enumerate(("a.flac", "album/song.flac")):
        sf.write(home / "music" / name, music(4.0, 44100, 2, number), 44100)
    (home / "manifest.csv").write_text("path,genre\nmusic/a.flac,jazz\nmusic/album/song.flac,rock\n")
    arrays = ("output.arrays", ["spectrogram", "harmonic_mask", "percussive_mask"])
    cluster = [(f"cluster.{key}", value) for key, value in THREADS.items()]
    run(Job.from_command_line(home / "music", home / "out", [arrays, *cluster]))
    (home / "job.yaml").write_text(template("music/", "job_out/"))
    (home / "stand_in" / "torch" / "utils").mkdir(parents=True)
    (home / "stand_in" / "torch" / "__init__.py").write_text("class Tensor: ...\n")
    (home / "stand_in" / "torch" / "utils" / "data.py").write_text(TORCH)
    return home


@pytest.mark.slow
def test_each_block_of_python_is_a_script(home: Path) -> None:
    said = dict[str, str]()
    for place, block in blocks("python"):
        (home / "script.py").write_text(without_prompts(block))
        found = [os.environ.get("PYTHONPATH", ""), *([str(home / "stand_in")] if "torch" in block else [])]
        path = {"PYTHONPATH": os.pathsep.join(filter(None, found))}
        command = [sys.executable, "-W", "error", "script.py"]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, env=os.environ | path)
        assert done.returncode == 0, f"{place}: {done.stderr}"
        said[place] = done.stdout
    assert len(said) >= 6
    assert "3 done, 1 failed" in "".join(said.values())


@pytest.mark.slow
def test_each_command_is_typed(tmp_path: Path) -> None:
    """In README's order, in a folder with what README speaks of; what installs or tests the package is left out."""
    for number, name in enumerate(
        (
            "music/asc-music/time_to_strike.mp3",
            "music/asc-music/machine_wars.mp3",
            "live/a.wav",
            "studio/a.wav",
            "song.flac",
        )
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        sf.write(tmp_path / name, music(2.0, 44100, 2, number), 44100)
    (tmp_path / "truth").symlink_to("hpss-batch-demo/truth")
    programs = tmp_path / "programs"
    programs.mkdir()
    ours = f'"{sys.executable}" -W error -m hpss_batch "$@"'
    for name, does in (("hpss-batch", ours), ("pip", ":"), ("python", ":")):
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    for place, block in blocks("console"):
        lines = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        done = subprocess.run(
            ["sh", "-ec", "\n".join(lines)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=os.environ | path,
        )
        assert done.returncode == 0, f"{place}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("language", ["console", "text"])
def test_every_shell_takes_commands_as_they_stand(language: str) -> None:
    """Typed into zsh, which knows no comments there, and to which brackets outside of quotes are patterns."""
    lines = [line for _, block in blocks(language) for line in block.splitlines() if line.startswith("$ ")]
    assert lines
    for line in lines:
        unquoted = re.sub("'[^']*'|\"[^\"]*\"", "", line[2:])
        assert not re.search(r"""[][*?{}()<>|;&!~^#$`\\'"]|(^|\s)=""", unquoted), line


@pytest.mark.parametrize(("line", "words"), list(commands()))
def test_commands_are_taken(line: str, words: list[str]) -> None:
    if words[0].startswith("-"):
        return  # --help, --version
    command = main.commands.get(words[0])
    assert command is not None, f"{line}: there is no hpss-batch {words[0]}"
    try:
        with command.make_context(words[0], words[1:]) as context:
            Job.from_command_line("music/", "out/", context.params.get("overrides", ()))
    except click.ClickException as error:
        pytest.fail(f"{line}: {error.format_message()}")


def test_every_command_is_told_and_every_one_that_is_told_exists() -> None:
    told = set(re.findall(r"(?<=hpss-batch )[a-z]+(?=[ `\n])", README.read_text()))
    assert {"demo", "init", "plan", "run", "status"} <= told
    assert told <= set(main.commands)


def test_jobs_load() -> None:
    found = blocks("yaml")
    assert found
    for place, block in found:
        whole = "" if re.search("^corpus:", block, re.MULTILINE) else "corpus: {path: music/}\n"
        whole += block if re.search("^output:", block, re.MULTILINE) else block + "output: {path: out/}\n"
        job = Job.parse(whole, name=place)
        if "cluster" in block and "stft" in block:  # the reference, which shows defaults
            assert job == Job.from_command_line("music/", "out/")
