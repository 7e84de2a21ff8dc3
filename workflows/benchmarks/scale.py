"""How do planning, opening and running grow with the number of tracks and units?

    python workflows/benchmarks/scale.py [--tracks 1000000] [--units 20000] [--workers 1 2]

Planning and opening use a synthetic table of tracks of 20 to 400 s. The run is over one long recording of noise, cut
into tiny units whose separation costs next to nothing, so that what is left is the driver's and scheduler's share:
both live in this process, and its CPU time and memory are what is printed.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile as sf

from hpss_batch.config.job import Job
from hpss_batch.corpus.tracks import Track
from hpss_batch.dsp.stft import StftParams
from hpss_batch.runner.execution import Silent
from hpss_batch.runner.placement import placed
from hpss_batch.runner.run import run
from hpss_batch.store.arrays.group import write_arrays, write_tracks
from hpss_batch.store.arrays.schema import Shape
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.generations import Generation
from hpss_batch.store.layout import default_unit_frames
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.store.records import Commit, Outcome

MiB = 2**20


def timed(name: str, action: Callable[[], Any]) -> Any:
    """Do something, and print what it took."""
    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    result = action()
    grown = (psutil.Process().memory_info().rss - before) / MiB
    print(f"  {name:<44} {time.perf_counter() - began:8.2f} s   {grown:+8.0f} MiB")
    return result


def tracks(n_tracks: int) -> None:
    """Plan, encode, decode, write and open a table of tracks."""
    print(f"{n_tracks:,} tracks")
    rng, stft = np.random.default_rng(0), StftParams()
    lengths = rng.integers(20 * 44100, 400 * 44100, n_tracks).tolist()
    table = [
        Track(
            f"{i // 1000:04}/{i:07}.flac",
            f"/music/{i // 1000:04}/{i:07}.flac",
            n // 4,
            10**18 + i,
            n,
            44100,
            2,
        )
        for i, n in enumerate(lengths)
    ]
    settings = {
        "sample_rate": 44100,
        "unit_frames": default_unit_frames(stft.n_bins),
        "n_channels": 1,
        "stft": asdict(stft),
        "numerics": {"corpus": {"channels": "mono"}},
        "fingerprint": "benchmark",
    }
    rows = timed("place on the frame axis", lambda: placed(table, settings, 0))
    catalog = Catalog([Generation(0, rows, settings)], {})
    pending = timed("cut into units, find what is pending", catalog.pending_units)
    data = timed("encode the layout", catalog.generations[0].encode)
    print(
        f"  layout of {len(data) / MiB:.1f} MiB, {len(pending):,} units, {sum(lengths) / 44100 / 3600:,.0f} hours"
    )
    timed("decode the layout", lambda: Generation.decode(data, "layout"))
    commits = {u.number: Commit(u.number, {p.index: Outcome("done") for p in u.pieces}) for u in pending}
    done = Catalog(catalog.generations, commits)
    with tempfile.TemporaryDirectory() as folder:
        shape = Shape(("harmonic_mask",), "float32", stft.n_bins, settings["unit_frames"], 44100)
        directory = RunDirectory(folder)
        group = directory.group("a")
        write_arrays(group, shape, done, {"frequency": stft.frequencies(44100)})
        timed("write the variables on track", lambda: write_tracks(directory.folder, group, shape, done))
        corpus = timed("open the corpus and count what is done", lambda: _opened(folder))
        timed("look at one track", lambda: corpus[f"{(n_tracks - 1) // 1000:04}/{n_tracks - 1:07}.flac"])
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB\n")


def _opened(folder: str) -> object:
    corpus = open_corpus(folder)
    assert len(corpus)
    return corpus


class Watch(Silent):
    """Takes this process's CPU time and memory while units are finished."""

    def __init__(self, every: int) -> None:
        self.every, self.units = every, 0
        self.samples: list[tuple[int, float, float, float]] = []

    def finished_unit(self, *_: object) -> None:
        """Take a sample now and then."""
        self._count()

    def finished(self, *_: object) -> None:
        """Take a sample now and then."""
        self._count()

    def elsewhere(self, *_: object) -> None:
        """Nobody else is at it."""

    def _count(self) -> None:
        self.units += 1
        if self.units % self.every == 1:
            process = psutil.Process()
            cpu = sum(process.cpu_times()[:2])
            self.samples.append((self.units, time.perf_counter(), cpu, process.memory_info().rss / MiB))


def units(n_units: int, n_workers: int) -> None:
    """Run tiny units and watch the driver and the scheduler."""
    with tempfile.TemporaryDirectory() as folder:
        music, rate = Path(folder, "music"), 16000
        music.mkdir()
        with sf.SoundFile(music / "noise.wav", "w", rate, 1, "PCM_U8") as file:
            for _ in range(n_units):
                file.write(np.random.default_rng(0).uniform(-0.1, 0.1, 512 * 16).astype(np.float32))
        job = Job.parse(
            {
                "corpus": {"path": str(music), "sample_rate": rate},
                "stft": {"n_fft": 64, "hop_length": 16},
                "hpss": {"kernel_size": 9},
                "output": {"path": f"{folder}/out", "arrays": ["harmonic_mask"], "unit_frames": 512},
                "cluster": {"kwargs": {"n_workers": n_workers}},
            }
        )
        watch = Watch(max(n_units // 8, 1))
        assert run(job, reporter=watch).exit_status == 0
    print(
        f"{n_units:,} units, workers: {n_workers}\n    units done, ms of driver and scheduler for each, their MiB"
    )
    for (a, _, cpu_a, _), (b, _, cpu_b, memory) in zip(watch.samples, watch.samples[1:], strict=False):
        print(f"  {b - 1:>8,} {1000 * (cpu_b - cpu_a) / (b - a):8.2f} {memory:8.0f}")
    first, last = watch.samples[0], watch.samples[-1]
    print(f"  {(last[0] - first[0]) / (last[1] - first[1]):.0f} units a second\n")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--units", type=int, default=20_000)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    arguments = parser.parse_args()
    for n_tracks in arguments.tracks:
        tracks(n_tracks)
    for n_workers in arguments.workers:
        units(arguments.units, n_workers)


if __name__ == "__main__":
    main()
