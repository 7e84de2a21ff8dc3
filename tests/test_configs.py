"""The jobs in `configs/`, run as they are: from a folder in which `music/` lies, as their comments say."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile as sf
import yaml
from distributed import Client
from helpers import THREADS, music, shards

from hpss_batch.config.job import Job
from hpss_batch.dsp.methods import Band, Logistic
from hpss_batch.runner.run import run
from hpss_batch.store.reading.corpus import Corpus, open_corpus

CONFIGS = Path(__file__).parents[1] / "configs"
N_TRACKS = 12


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `music/` in it: more tracks than a first try takes."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "music").mkdir()
    for number in range(N_TRACKS):
        kind = ("flac", "ogg", "wav")[number % 3]
        sf.write(folder / "music" / f"{number:02}.{kind}", music(2.0 + number / 4, 44100, 2, number), 44100)
    return folder


Do = Callable[..., Corpus]


@pytest.fixture
def do(home: Path, monkeypatch: pytest.MonkeyPatch) -> Do:
    """Run a config on a thread of this process, started in that folder."""
    monkeypatch.chdir(home)

    def do_it(name: str, *overrides: str) -> Corpus:
        cluster = [(f"cluster.{key}", value) for key, value in THREADS.items()]
        job = Job.load(CONFIGS / f"{name}.yaml", [*cluster, *overrides])
        result = run(job)
        assert result.exit_status == 0
        return open_corpus(job.output.path)

    return do_it


def rows(section: str) -> list[tuple[str, Any]]:
    """Keys and defaults in the tables of a section of the page, whose heading begins with its name."""
    page = (CONFIGS / "README.md").read_text()
    start = page.index(f"\n{'#' * (2 + section.count('.'))} `{section}`")
    found = re.match(r"(?:(?!\n##).)*", page[start + 3 :], re.DOTALL)
    assert found is not None
    cells = re.findall(r"^\| `(\w+)` \| ?(.*?) ?\|", found[0], re.MULTILINE)
    return [(name, yaml.safe_load(default.strip("`"))) for name, default in cells]


def test_the_page_has_every_key_of_a_job_with_its_default() -> None:
    plain = yaml.safe_load(Job.from_command_line("needed", "out/").to_yaml())
    plain["output"]["path"] = "needed"
    full = Job.from_command_line("music/", "out/", ["output.stems=true", "output.features=true"])
    output = yaml.safe_load(full.to_yaml())["output"]
    for section in ("corpus", "stft", "output", "cluster"):
        assert rows(section) == list(plain[section].items())
    for section in ("stems", "features"):
        assert rows(f"output.{section}") == list(output[section].items())
    nested = [
        json.loads(json.dumps(asdict(block))) for block in (Band(), Logistic())
    ]  # of kernel_size, of power
    assert rows("hpss") == [item for block in (plain["hpss"], *nested) for item in block.items()]
    assert rows("dask") == [("dask", plain["dask"])]
    assert set(plain) == {"corpus", "stft", "hpss", "output", "cluster", "dask"}


def test_every_file_is_told_in_the_page() -> None:
    page = (CONFIGS / "README.md").read_text()
    assert all(f"]({path.name})" in page for path in CONFIGS.glob("*.yaml"))


def test_laptop_runs_from_the_command_line_as_it_stands(home: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "hpss_batch", "run", str(CONFIGS / "laptop.yaml")]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    corpus = open_corpus(home / "out")
    assert list(corpus) == [path.name for path in sorted((home / "music").iterdir())][:10]
    assert corpus.sample_rate == 22050
    assert corpus["03.flac"].harmonic_mask.shape == (1, 1 + round(2.75 * 22050) // 512, 1025)


def test_two_stages_give_librosas_masks(do: Do) -> None:
    spectrograms = do("spectrograms")
    assert len(spectrograms) == N_TRACKS
    masks = do("masks_from_spectrograms")
    other = do("masks_from_spectrograms", "hpss.margin=5", "output.path=out_margin_5/")  # as its comment says
    for corpus, margin in ((masks, 3.0), (other, 5.0)):
        assert list(corpus) == list(spectrograms)
        track = "07.ogg"
        spectrogram = spectrograms[track].spectrogram.values[0].T
        expected = librosa.decompose.hpss(spectrogram, mask=True, margin=margin)
        for name, mask in zip(("harmonic_mask", "percussive_mask"), expected, strict=True):
            np.testing.assert_array_equal(corpus[track][name].values[0].T, mask)


def test_uint8_masks_are_off_by_a_508th_and_a_third_of_the_disk(do: Do, home: Path) -> None:
    small, exact = do("masks_uint8"), do("masks_uint8", "output.mask_dtype=float32", "output.path=out_exact/")
    for track in exact:
        for name in ("harmonic_mask", "percussive_mask"):
            found = small[track][name]
            assert found.dtype == np.float32
            assert float(np.abs(found - exact[track][name]).max()) <= 1 / 508 + 1e-6
    taken = [sum(map(len, shards(home / out).values())) for out in ("out_uint8", "out_exact")]
    assert taken[0] < 0.4 * taken[1]


def test_tuned_gives_librosas_masks_of_its_lengths(do: Do) -> None:
    corpus = do("tuned", "output.arrays=[spectrogram, harmonic_mask, percussive_mask]")
    assert len(corpus) == N_TRACKS
    track = corpus["07.ogg"]
    spectrogram = track.spectrogram.values[0].T
    assert spectrogram.shape[0] == 2049
    lengths = (15, 19)  # 0.35 s of 1024 samples, and 205 Hz of 44100 / 4096, to the nearest odd number
    expected = librosa.decompose.hpss(spectrogram, mask=True, kernel_size=lengths)
    for name, mask in zip(("harmonic_mask", "percussive_mask"), expected, strict=True):
        np.testing.assert_array_equal(track[name].values[0].T, mask)


def test_banded_gives_stems_that_add_up_and_tell_tones_from_clicks(do: Do, home: Path) -> None:
    corpus = do("banded")
    assert len(corpus) == N_TRACKS
    source, _ = sf.read(home / "music" / "00.flac")
    harmonic, percussive = (sf.read(path)[0] for path in corpus.stem_files("00.flac").values())
    np.testing.assert_allclose(harmonic + percussive, source, rtol=0, atol=2**-16)
    (home / "clicks").mkdir()
    clicks = np.zeros((44100, 1))
    clicks[::11025] = 0.5
    sf.write(home / "clicks" / "clicks.wav", clicks, 44100)
    made = do("banded", "corpus.path=clicks/", "output.path=out_clicks/").stem_files("clicks.wav")
    energy = {name: float((sf.read(path)[0] ** 2).sum()) for name, path in made.items()}
    assert energy["percussive"] > 100 * energy["harmonic"]


@contextmanager
def started(folder: Path, *command: str) -> Iterator[None]:
    """A process of Dask's command line, ended at the end; what it says is in `folder`."""
    with (folder / f"{command[0]}.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *command], stdout=log, stderr=log, cwd=folder
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of `dask scheduler` with two `dask worker`s, started by hand."""
    place = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        options = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
        stack.enter_context(started(tmp_path, "scheduler", *options, "--scheduler-file", str(place)))
        for _ in range(600):
            if place.exists() and place.read_text().endswith("}"):
                break
            time.sleep(0.1)
        with Client(scheduler_file=str(place)) as client:
            address = client.scheduler.address
            for _ in range(2):
                options = ("--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path))
                stack.enter_context(started(tmp_path, "worker", address, *options))
            client.wait_for_workers(2, timeout=120)
        yield address


def test_an_existing_scheduler_gives_the_same_bytes(scheduler: str, home: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared" / "music"
    shutil.copytree(home / "music", shared)
    common = [f"corpus.path={shared}", "output.unit_frames=512"]  # more tasks than workers
    job = Job.load(
        CONFIGS / "existing_scheduler.yaml",
        [*common, f"output.path={tmp_path / 'by_hand'}", f"cluster.connect={scheduler}"],
    )
    result = run(job)
    assert result.exit_status == 0
    assert len(result.catalog.units) >= N_TRACKS // 2
    local = Job.from_command_line(
        shared, tmp_path / "local", [*common[1:], "cluster.kwargs={n_workers: 2, threads_per_worker: 1}"]
    )
    assert local.cluster.connect is None
    assert run(local).exit_status == 0
    assert shards(tmp_path / "by_hand")
    assert shards(tmp_path / "by_hand") == shards(tmp_path / "local")
