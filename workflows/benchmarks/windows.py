"""How many training windows a second, shuffled: out of a store, beside the dataset that one writes oneself?

    python workflows/benchmarks/windows.py                       # 2,000 tracks of 30 s, 128 bands, 128 frames
    python workflows/benchmarks/windows.py --seconds 180 --tracks 500

Measured one after the other, in one run, on one core, without collating:

npy         A map-style dataset over one .npy file a track: load the file, cut the window out. Random order.
ours        `TrackWindows` in the order of its `batches`.
any order   `TrackWindows` in a random order, as with DataLoader(shuffle=True): what the order is worth.
chunks      The ceiling: all chunks of the store in order, each decompressed once, no windows cut; counted as windows.
zarr        The same through zarr, whole shards at a time.

Cold: the files were dropped from the page cache before (by posix_fadvise; no root needed); warm: all was read before.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from made_music import CHORDS, bar

from hpss_batch import TrackWindows, stft
from hpss_batch.config.job import Job
from hpss_batch.dsp.params import StftParams
from hpss_batch.store.arrays.group import write_arrays, write_tracks, zarr_settings
from hpss_batch.store.arrays.schema import Shape
from hpss_batch.store.arrays.shard import ShardWriter, shard_key
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import GROUP, RunDirectory
from hpss_batch.store.generations import Generation
from hpss_batch.store.layout import Placed, place
from hpss_batch.store.reading.chunk_reader import ChunkReader
from hpss_batch.store.records import Commit, Outcome

BANDS, HOP, SAMPLE_RATE = 128, 512, 44_100
NAME = "magnitude"


def bank(minutes: float) -> np.ndarray:
    """Frames of 128 bands in dB, float32 of shape (frame, band), out of which tracks take excerpts."""
    rng = np.random.default_rng(0)
    bars = [bar(rng, CHORDS[i % len(CHORDS)])[:, 0] for i in range(round(minutes * 30))]
    spectrogram = stft(np.concatenate(bars), n_fft=2 * (BANDS - 1), hop_length=HOP // 4)
    power = np.abs(spectrogram.T[: spectrogram.shape[1] // 4 * 4]) ** 2
    return (10 * np.log10(power.reshape(-1, 4, BANDS).mean(axis=1) + 1e-10)).astype(np.float32)


def make(folder: Path, n_tracks: int, seconds: float) -> None:
    """The same tracks twice: out/, a store, and npy/, a file each."""
    frames = 1 + round(seconds * SAMPLE_RATE) // HOP
    source, rng = bank(max(10.0, 2 * seconds / 60)), np.random.default_rng(1)
    cuts = rng.integers(0, len(source) - frames, n_tracks)
    excerpts = (source[cut : cut + frames] for cut in cuts)
    (folder / "npy").mkdir()
    make_store(folder / "out", excerpts, n_tracks, frames, folder / "npy")


def make_store(out: Path, excerpts: Iterable[np.ndarray], n_tracks: int, frames: int, npy: Path) -> None:
    """What a run leaves, without the run: layout, shards, commits, variables on track."""
    stft_block = {"n_fft": 2 * (BANDS - 1), "hop_length": HOP // 4}
    job = Job.parse(
        {
            "corpus": {"path": "music", "sample_rate": SAMPLE_RATE},
            "stft": stft_block,
            "output": {"path": str(out), "arrays": [NAME]},
        }
    )
    shape = Shape((NAME,), "float32", BANDS, 262_144, SAMPLE_RATE)
    n_samples = (frames - 1) * (HOP // 4)
    rows = [
        Placed(f"track_{i:05}.flac", "", start, frames, n_samples, n_samples, SAMPLE_RATE, 1, 0, 0)
        for i, start in enumerate(place([frames] * n_tracks, shape.unit_frames))
    ]
    settings = {
        "sample_rate": SAMPLE_RATE,
        "unit_frames": shape.unit_frames,
        "n_channels": 1,
        "stft": asdict(job.stft),
        "numerics": job.numerics(),
        "fingerprint": job.fingerprint(),
    }
    generation = Generation(0, rows, settings)
    directory = RunDirectory(out)
    directory.place(generation)
    catalog = Catalog([generation], {})
    group = directory.group("a")
    write_arrays(group, shape, catalog, {"frequency": StftParams(**stft_block).frequencies(SAMPLE_RATE)})
    shard = ShardWriter(np.dtype(np.float32), (BANDS,), shape.unit_frames, np.nan)
    for unit in catalog.units:
        shard.begin(partial(directory.folder.begin, f"{GROUP}/{NAME}/{shard_key(unit.number, 0, 1)}"))
        for piece, excerpt in zip(unit.pieces, excerpts, strict=False):
            shard.write(piece.offset, excerpt)
            np.save(npy / f"{piece.index:05}.npy", excerpt)
        shard.finish()
        commit = Commit(unit.number, {piece.index: Outcome("done") for piece in unit.pieces})
        catalog = catalog.with_commits([commit])
    write_tracks(directory.folder, group, shape, catalog)


class NpyWindows:
    """The dataset that one writes oneself."""

    def __init__(self, folder: Path, frames: int) -> None:
        self.paths = sorted(folder.iterdir())
        self.frames = frames
        self.each = np.load(self.paths[0], mmap_mode="r").shape[0] // frames

    def __len__(self) -> int:
        return self.each * len(self.paths)

    def __getitem__(self, index: int) -> dict:
        track, window = divmod(index, self.each)
        features = np.load(self.paths[track])
        begin = window * self.frames
        return {"features": features[begin : begin + self.frames].copy(), "track": self.paths[track].name}


def rate(dataset: NpyWindows | TrackWindows, order: Iterable[int], seconds: float) -> float:
    """Windows a second, over at most so many seconds."""
    done, started = 0, time.perf_counter()
    for done, index in enumerate(order, 1):
        dataset[index]
        if done % 64 == 0 and time.perf_counter() - started > seconds:
            break
    return done / (time.perf_counter() - started)


def ours(out: Path, frames: int, seconds: float) -> float:
    windows = TrackWindows(out, NAME, frames=frames)
    return rate(windows, (i for batch in windows.batches(64) for i in batch), seconds)


def any_order(out: Path, frames: int, seconds: float) -> float:
    windows = TrackWindows(out, NAME, frames=frames)
    return rate(windows, np.random.default_rng(2).permutation(len(windows)).tolist(), seconds)


def npy(folder: Path, frames: int, seconds: float) -> float:
    dataset = NpyWindows(folder, frames)
    return rate(dataset, np.random.default_rng(2).permutation(len(dataset)).tolist(), seconds)


def chunks(out: Path, frames: int, seconds: float) -> float:
    array = RunDirectory(out).group()[NAME]
    reader = ChunkReader(RunDirectory(out), array)
    done, started = 0, time.perf_counter()
    for done in range(1, array.shape[1] // reader.frames + 1):
        reader.read(done - 1)
        if time.perf_counter() - started > seconds:
            break
    return done * reader.frames / frames / (time.perf_counter() - started)


def shards(out: Path, frames: int, seconds: float) -> float:
    array = RunDirectory(out).group()[NAME]
    step, done, started = array.shards[1] // 8, 0, time.perf_counter()
    with zarr_settings():
        for done in range(step, array.shape[1] + 1, step):
            array[0, done - step : done]
            if time.perf_counter() - started > seconds:
                break
    return done / frames / (time.perf_counter() - started)


def forget(folder: Path) -> None:
    """Drop files from the page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def remember(folder: Path) -> None:
    """Read every file once."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 22):
                    pass


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a track")
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds to measure each case for")
    parser.add_argument("--repeats", type=int, default=3, help="of warm cases; the best counts")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="windows-"))
    try:
        make(folder, given.tracks, given.seconds)
        out, files = folder / "out", folder / "npy"
        size = {p: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) for p in (out, files)}
        print(f"{given.tracks:,} tracks of {given.seconds:g} s: ", end="")
        print(f"store {size[out] / 1e9:.2f} GB, .npy {size[files] / 1e9:.2f} GB")
        print(f"windows of {given.frames} × {BANDS} float32 a second, one process\n")
        cases: dict[str, tuple[Callable[[Path, int, float], float], Path]] = {
            "npy": (npy, files),
            "ours": (ours, out),
            "any order": (any_order, out),
            "chunks": (chunks, out),
            "zarr": (shards, out),
        }
        cold, warm = {}, dict.fromkeys(cases, 0.0)
        for name, (measure, where) in cases.items():
            forget(where)
            cold[name] = measure(where, given.frames, given.limit)
        for name, (measure, where) in cases.items():
            remember(where)
            for _ in range(given.repeats):
                warm[name] = max(warm[name], measure(where, given.frames, given.limit))
        print(f"{'':10} {'cold':>9} {'warm':>9}   × npy, cold and warm")
        for name in cases:
            ratios = f"{cold[name] / cold['npy']:5.1f} {warm[name] / warm['npy']:5.1f}"
            print(f"{name:10} {cold[name]:9,.0f} {warm[name]:9,.0f}   {ratios}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
