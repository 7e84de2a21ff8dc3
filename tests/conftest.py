"""Small corpora that tests run on: made here, so that nothing but the package is needed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.config.job import Job
from hpss_batch.runner.run import Result, run

THREADS = {
    "class": "distributed.LocalCluster",
    "kwargs": {"processes": False, "n_workers": 1, "memory_limit": 0},
}
"""A cluster that is up in a moment: one thread of this process, whose memory is not the worker's alone."""

SMALL = {"n_fft": 256, "hop_length": 64}
"""A transform whose units of 512 frames are 1.5 s at 22,050 Hz."""


def music(seconds: float, rate: int, channels: int = 1, seed: int = 0) -> np.ndarray[Any, Any]:
    """A chord with clicks on it, float32 of shape (samples, channels), distinct everywhere."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * f * t) for f in (220.0, 331.0, 447.0)) / 6
    clicks = rng.standard_normal((len(t), channels)) * (np.mod(t, 0.23) < 0.01)[:, None]
    return np.asarray(tone[:, None] * np.linspace(1, 0.7, channels) + 0.2 * clicks, np.float32).clip(
        -0.99, 0.99
    )


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks of many formats, rates, channels and lengths; some straddle several units of 512 frames."""
    root = tmp_path_factory.mktemp("music")
    (root / "album").mkdir()
    sf.write(root / "album" / "long.flac", music(9.0, 22050, 2, 1), 22050)
    sf.write(root / "album" / "song.ogg", music(5.0, 22050, 2, 2), 22050)
    sf.write(root / "talk.mp3", music(6.0, 22050, 1, 3), 22050)
    sf.write(root / "other rate.wav", music(4.0, 32000, 1, 4), 32000)
    sf.write(root / "short.wav", music(0.3, 22050, 2, 5), 22050)
    sf.write(root / "one sample.wav", music(0.5, 22050)[:1], 22050)
    sf.write(root / "no samples.wav", music(0.5, 22050)[:0], 22050)
    return root


def settings(corpus: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """A job for small corpora, as a mapping; `changes` are dotted keys with __ for dots."""
    job: dict[str, Any] = {
        "corpus": {"path": str(corpus), "sample_rate": 22050},
        "stft": dict(SMALL),
        "hpss": {"kernel_size": 17},
        "output": {
            "path": str(out),
            "arrays": ["spectrogram", "harmonic_mask", "percussive_mask"],
            "unit_frames": 512,
        },
        "cluster": THREADS,
    }
    for key, value in changes.items():
        block, _, name = key.partition("__")
        job.setdefault(block, {})[name] = value
    return job


@pytest.fixture
def run_job() -> Callable[..., Result]:
    """Run a small job in this process."""

    def run_it(corpus: Path, out: Path, retry_failed: bool = False, **changes: Any) -> Result:
        return run(Job.parse(settings(corpus, out, **changes)), retry_failed=retry_failed)

    return run_it


def shards(out: Path, *, without: tuple[str, ...] = ()) -> Mapping[str, bytes]:
    """Every file of a store's arrays along frames, by name: what must be the same byte for byte."""
    root = out / "corpus.zarr"
    metadata = {path.parent.name: json.loads(path.read_text()) for path in root.glob("*/zarr.json")}
    frames = [name for name, array in metadata.items() if "frame" in array["dimension_names"]]
    return {
        f"{name}/{file.name}": file.read_bytes()
        for name in sorted(frames)
        if name not in without
        for file in sorted((root / name).iterdir())
        if file.name.startswith("c.") and not file.name.endswith(".partial")  # what a crash leaves
    }
