"""Windows for training by PyTorch's DataLoader: ours beside what people use.

    pip install torch webdataset datasets xbatcher
    python workflows/benchmarks/loaders.py [--tracks 500] [--workers 0 2] [--limit 10]

The same tracks of 128 bands in five forms, made by `windows.py`, each read as its documentation says, shuffled, in
batches of 64 windows of 128 frames:

ours        `TrackWindows` on the store of a run, in the order of its `batches`
npy         a file a track; a map-style dataset that loads one and cuts the window out
webdataset  windows cut beforehand, in tar shards of 256; shards and a buffer of 1,000 are shuffled
arrow       windows cut beforehand, in a dataset of Hugging Face's `datasets` on disk
xbatcher    a `BatchGenerator` on the same store as ours, opened by xarray; it knows of no tracks

For each: bytes on disk; seconds from opening it to the first batch; windows a second after that, for so many seconds.
Cold: its files were dropped from the page cache before; warm: all of them had been read.
"""

import argparse
import io
import shutil
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import webdataset
import xarray as xr
import xbatcher
import xbatcher.loaders.torch
from torch.utils.data import DataLoader
from windows import BANDS, NAME, NpyWindows, forget, make, remember

from hpss_batch import TrackWindows
from hpss_batch.store.directory import GROUP

BATCH, FRAMES, PER_SHARD = 64, 128, 256


def cut(folder: Path) -> Iterator[np.ndarray]:
    """All windows, one after the other."""
    for path in sorted((folder / "npy").iterdir()):
        features = np.load(path)
        for begin in range(0, len(features) - FRAMES + 1, FRAMES):
            yield features[begin : begin + FRAMES]


def make_webdataset(folder: Path) -> Path:
    """Shards of windows."""
    target = folder / "webdataset"
    target.mkdir()
    shard = None
    for number, window in enumerate(cut(folder)):
        if number % PER_SHARD == 0:
            if shard is not None:
                shard.close()
            shard = tarfile.open(target / f"{number // PER_SHARD:05}.tar", "w")  # noqa: SIM115 - closed above
        held = io.BytesIO()
        np.save(held, window)
        entry = tarfile.TarInfo(f"{number:08}.features.npy")
        entry.size = held.tell()
        held.seek(0)
        shard.addfile(entry, held)
    shard.close()
    return target


def make_arrow(folder: Path) -> Path:
    """A dataset of windows."""
    target, kinds = (
        folder / "arrow",
        datasets.Features({"features": datasets.Array2D((FRAMES, BANDS), "float32")}),
    )
    made = datasets.Dataset.from_generator(
        lambda: ({"features": window} for window in cut(folder)),
        features=kinds,
        cache_dir=str(folder / "cache"),
    )
    made.save_to_disk(target)
    shutil.rmtree(folder / "cache")
    return target


def ours(where: Path, workers: int) -> Any:
    windows = TrackWindows(where, NAME, frames=FRAMES)
    return DataLoader(windows, batch_sampler=windows.batches(BATCH, workers=workers), num_workers=workers)


def npy(where: Path, workers: int) -> Any:
    return DataLoader(NpyWindows(where, FRAMES), BATCH, shuffle=True, num_workers=workers)


def from_webdataset(where: Path, workers: int) -> Any:
    shards = sorted(map(str, where.iterdir()))
    dataset = webdataset.WebDataset(shards, shardshuffle=len(shards)).shuffle(1000).decode()
    return webdataset.WebLoader(
        dataset.to_tuple("features.npy").batched(BATCH), batch_size=None, num_workers=workers
    )


def from_arrow(where: Path, workers: int) -> Any:
    dataset = datasets.load_from_disk(where).with_format("torch")
    return DataLoader(dataset, BATCH, shuffle=True, num_workers=workers)


def from_xbatcher(where: Path, workers: int) -> Any:
    array = xr.open_zarr(where / GROUP, chunks=None)[NAME].isel(channel=0)
    batches = xbatcher.BatchGenerator(array, {"frame": FRAMES, "frequency": BANDS}, preload_batch=False)
    return DataLoader(xbatcher.loaders.torch.MapDataset(batches), BATCH, shuffle=True, num_workers=workers)


def measured(
    open_loader: Callable[[Path, int], Any], where: Path, workers: int, limit: float
) -> tuple[float, float]:
    """Seconds to the first batch, and windows a second from there."""
    began = time.perf_counter()
    batches = iter(open_loader(where, workers))
    next(batches)
    first, done = time.perf_counter(), 0
    for _ in batches:
        done += 1
        if time.perf_counter() - first > limit:
            break
    return first - began, done * BATCH / (time.perf_counter() - first)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=500, help="of 30 s")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    parser.add_argument("--limit", type=float, default=10.0, help="seconds to measure each case for")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="loaders-"))
    try:
        make(folder, given.tracks, 30.0)
        cases = {
            "ours": (ours, folder / "out"),
            "npy": (npy, folder / "npy"),
            "webdataset": (from_webdataset, make_webdataset(folder)),
            "arrow": (from_arrow, make_arrow(folder)),
            "xbatcher": (from_xbatcher, folder / "out"),
        }
        print(
            f"{given.tracks:,} tracks of 30 s, windows of {FRAMES} × {BANDS} float32, torch {torch.__version__}"
        )
        print("                              cold                  warm")
        print("            workers    GB     first s  windows/s    first s  windows/s")
        for workers in given.workers:
            for name, (open_loader, where) in cases.items():
                size = sum(f.stat().st_size for f in where.rglob("*") if f.is_file()) / 1e9
                forget(where)
                cold = measured(open_loader, where, workers, given.limit)
                remember(where)
                warm = measured(open_loader, where, workers, given.limit)
                words = "    ".join(f"{first:7.2f} {rate:10,.0f}" for first, rate in (cold, warm))
                print(f"{name:12} {workers:6} {size:5.2f}     {words}", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
