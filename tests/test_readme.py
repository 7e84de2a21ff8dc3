"""README.md and the pages that it leads to do what they say: read from top to bottom, with every block run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import soundfile as sf
from helpers import THREADS, music
from slurm import Slurm

from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.products.demonstration.demo import example_corpus
from hpss_batch.runner.run import run

ROOT = Path(__file__).parents[1]
PAGES = [
    path.relative_to(ROOT)
    for path in (
        ROOT / "README.md",
        ROOT / "configs" / "README.md",
        *sorted(ROOT.glob("workflows/**/README.md")),
    )
]
"""What users read, from the front door on."""

README = PAGES[0]

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


def blocks(page: Path, *languages: str) -> list[tuple[str, str, str]]:
    """A page's blocks in these languages: the line where each begins, its language, and its text."""
    text = (ROOT / page).read_text()
    return [
        (f"{page}, line {text.count(chr(10), 0, found.start()) + 2}", found[1], found[2])
        for found in FENCE.finditer(text)
        if found[1] in languages
    ]


def without_prompts(block: str) -> str:
    """What is typed after the prompts of an interactive session; blocks without prompts as they are."""
    if not block.startswith(">>>"):
        return block
    lines = [line[4:] for line in block.splitlines() if line.startswith((">>>", "..."))]
    return "\n".join(lines) + "\n"


def typed(block: str) -> list[str]:
    """The commands of a console's block, without what they answer."""
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of hpss-batch that a page shows, as a shell takes it apart."""
    for page in PAGES:
        for place, _, block in blocks(page, "console", "text"):
            for line in typed(block):
                name, *words = shlex.split(line)
                if name == "hpss-batch":
                    yield f"{place}: {line}", words


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `hpss-batch demo` makes."""
    folder = tmp_path_factory.mktemp("demo") / "hpss-batch-demo"
    example_corpus(folder, damaged=True)
    cluster = [(f"cluster.{key}", value) for key, value in THREADS.items()]
    run(Job.from_command_line(folder / "music", folder / "out", cluster))
    return folder


@pytest.fixture
def home(tmp_path: Path, demo: Path) -> Path:
    """A reader's folder: the project's, with music and its list, and the demo for whoever does not make it."""
    home = tmp_path / "home"
    tracks = ("machine_wars.mp3", "time_to_strike.mp3")
    names = [*(f"music/asc-music/{name}" for name in tracks), "live/a.wav", "studio/a.wav", "song.flac"]
    for number, name in enumerate(names):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        sf.write(home / name, music(2.0, 44100, 2, number), 44100)
    (home / "manifest.csv").write_text(f"path,genre\n{names[0]},chiptune\n{names[1]},rock\n")
    shutil.copytree(demo, home / "hpss-batch-demo")
    (home / "truth").symlink_to("hpss-batch-demo/truth")
    for name in ("configs", "workflows"):
        (home / name).symlink_to(ROOT / name)
    return home


@pytest.fixture
def reader(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has installed it, as `pip` would, with a queue that holds all jobs."""
    queue = Slurm(tmp_path / "queue")
    queue.hold()
    (tmp_path / "torch" / "utils").mkdir(parents=True)
    (tmp_path / "torch" / "__init__.py").write_text("class Tensor: ...\n")
    (tmp_path / "torch" / "utils" / "data.py").write_text(TORCH)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, does in {
        "hpss-batch": f'"{sys.executable}" -W error -m hpss_batch "$@"',
        "python": 'test -f "$1"',
        "pip": ":",
        "docker": ":",
        "jupyter": 'test -f "$2"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    return os.environ | {"PATH": f"{programs}{os.pathsep}{queue.path}"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_is_done_from_top_to_bottom(page: Path, home: Path, reader: dict[str, str]) -> None:
    """All in one folder: commands are typed, scripts run, and no job meets a run directory of another."""
    if "$ hpss-batch demo\n" in (ROOT / page).read_text():
        shutil.rmtree(home / "hpss-batch-demo")
    said = ""
    for place, language, block in blocks(page, "console", "python"):
        environment = reader
        if language == "python":
            (home / "script.py").write_text(without_prompts(block))
            command = [sys.executable, "-W", "error", "script.py"]
            if "torch" in block:
                found = [os.environ.get("PYTHONPATH", ""), str(home.parent)]
                environment = reader | {"PYTHONPATH": os.pathsep.join(filter(None, found))}
        else:
            command = ["bash", "-ec", "\n".join(typed(block))]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{place}: {done.stdout}{done.stderr}"
        said += done.stdout
    assert page != README or "3 done, 1 failed" in said


def test_the_line_for_a_shell_s_completion_is_taken(reader: dict[str, str]) -> None:
    line = re.search(r'`(eval "[^`]+")`', (ROOT / README).read_text())
    assert line is not None
    command = ["bash", "-ec", f"{line[1]}; complete -p hpss-batch"]
    done = subprocess.run(command, capture_output=True, text=True, env=reader)
    assert done.stdout.endswith("-F _hpss_batch_completion hpss-batch\n"), done.stderr


def test_the_front_door_is_short() -> None:
    assert len((ROOT / README).read_text().splitlines()) <= 250


@pytest.mark.parametrize("page", [*PAGES, Path(".github/SECURITY.md"), Path("hpss_batch/README.md")], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links to them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_recipe_and_every_benchmark_is_told() -> None:
    recipes, benchmarks = (ROOT / "workflows" / page / "README.md" for page in (".", "benchmarks"))
    assert all(
        f"]({page.parent.name}/README.md)" in recipes.read_text()
        for page in recipes.parent.glob("*/README.md")
    )
    assert all(path.name in benchmarks.read_text() for path in benchmarks.parent.glob("*.py"))


def test_extras_that_are_told_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = {extra for page in PAGES for extra in re.findall(r"'\.\[(\w+)\]'", (ROOT / page).read_text())}
    assert {"cluster", "features", "ffmpeg", "plot"} <= told <= set(extras)


@pytest.mark.parametrize("language", ["console", "text"])
def test_every_shell_takes_commands_as_they_stand(language: str) -> None:
    """Typed into zsh, which knows no comments there, and to which brackets outside of quotes are patterns."""
    lines = [line for page in PAGES for _, _, block in blocks(page, language) for line in typed(block)]
    assert lines
    for line in lines:
        unquoted = re.sub("'[^']*'|\"[^\"]*\"", "", line)
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
    told = {
        word
        for page in PAGES
        for word in re.findall(r"hpss-batch ([a-z]+)(?=[ `\n])", (ROOT / page).read_text())
    }
    assert told - {"job"} == set(main.commands)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_jobs_load(page: Path) -> None:
    for place, _, block in blocks(page, "yaml"):
        whole = "" if re.search("^corpus:", block, re.MULTILINE) else "corpus: {path: music/}\n"
        whole += block if re.search("^output:", block, re.MULTILINE) else block + "output: {path: out/}\n"
        Job.parse(whole, name=place)
