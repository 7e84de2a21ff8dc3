"""How fast are the medians and masks, beside librosa's, other median filters, and copying memory?

    python workflows/benchmarks/kernel.py                    # some minutes, most of them librosa's
    python workflows/benchmarks/kernel.py --kernels 17 31

Needs librosa; compares with bottleneck and dask-image as well where they are installed. One thread, the best of
several repeats, by turns in one run: nanoseconds a bin differ between machines and hours, ratios less.

hpss     masks of a magnitude (4096 frames, 1025 bins) of float32, power 2, written into arrays that exist
copy     the same bytes: one array read, two written
medians  along frames and along bins. bottleneck's windows trail, and do not reflect; dask-image's filter is scipy's
start    a process that imports, compiles and separates a small spectrogram: with nothing compiled, then again
"""

import argparse
import contextlib
import importlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import librosa
import numpy as np

from hpss_batch.dsp.hpss import hpss, masks
from hpss_batch.dsp.kernels import jit
from hpss_batch.dsp.kernels.median import running_median
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.separation import separation

FRAMES, BINS = 4096, 1025
SLOW_BINS = 250_000  # what librosa, scipy and bottleneck are timed on
KERNELS = [9, 17, 31, 63, 101, 201]

START = """
import time
started = time.perf_counter()
import numpy as np
numpy = time.perf_counter()
from hpss_batch.dsp.hpss import hpss
hpss(np.ones((1025, 100), np.float32), mask=True)
print(time.perf_counter() - numpy)
"""


def by_turns(*works: Callable[[], object], rounds: int = 3) -> list[float]:
    """Seconds of the fastest repeat of each. They take turns, so that a busy moment is one for all of them."""
    fastest = [math.inf] * len(works)
    for work in works:
        work()
    for _ in range(rounds):
        for i, work in enumerate(works):
            spent = 0.0
            while spent < 0.2:
                started = time.perf_counter()
                work()
                spent += (took := time.perf_counter() - started)
                fastest[i] = min(fastest[i], took)
    return fastest


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    """In Markdown, for a README."""
    print(f"\n{title}\n")
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
    sys.stdout.flush()


def times(slower: float, faster: float) -> str:
    return f"{slower / faster:,.0f} ×" if slower > 10 * faster else f"{slower / faster:.1f} ×"


def music(frames: int) -> np.ndarray:
    """A magnitude (frames, BINS) with partials, strokes, noise and silence."""
    rng = np.random.default_rng(0)
    S = np.abs(rng.standard_normal((frames, BINS), np.float32))
    S[:, ::37] += 20
    S[::50] += 10
    S[100:140] = 0
    return S


def hpss_masks(S: np.ndarray, kernels: list[int]) -> None:
    few = np.ascontiguousarray(S[: SLOW_BINS // BINS].T)
    outs = np.zeros_like(S), np.zeros_like(S)

    def copy() -> None:
        np.copyto(outs[0], S)
        np.copyto(outs[1], S)

    cases: list[tuple[str, dict]] = [(f"kernel {size}", {"kernel_size": size}) for size in kernels]
    cases += [("margin (1, 5)", {"margin": (1.0, 5.0)}), ("power 1", {"power": 1.0})]
    cases += [("hard masks", {"power": math.inf})]
    rows = []
    for name, parameters in cases:
        params = separation(HpssParams(**parameters))
        ours, floor, theirs = by_turns(
            lambda p=params: masks(S, p, out=outs),
            copy,
            lambda p=parameters: librosa.decompose.hpss(few, mask=True, **p),
        )
        ours, floor, theirs = ours / S.size, floor / S.size, theirs / few.size
        rows.append(
            [name, f"{ours * 1e9:.2f}", f"{theirs * 1e9:.0f}", times(theirs, ours), times(ours, floor)]
        )
    head = ["masks", "ns a bin", "librosa, ns", "librosa / ours", "ours / copy"]
    table(f"HPSS, {FRAMES} frames × {BINS} bins, float32, power 2, one thread", head, rows)


def calls(S: np.ndarray) -> None:
    """hpss() itself, with results in fresh memory."""
    phase = np.exp(2j * np.pi * np.random.default_rng(1).random(S.shape)).astype(np.complex64)
    spectrum = S * phase
    few = SLOW_BINS // BINS
    rows = []
    for name, array, mask in (
        ("masks, memory (bin, frame)", np.ascontiguousarray(S.T), True),
        ("masks, memory (frame, bin)", S.T, True),
        ("masks, float64", S.astype(np.float64).T, True),
        ("components of a magnitude", S.T, False),
        ("components of a complex spectrogram", spectrum.T, False),
    ):
        part = np.copy(array[:, :few], order="K")
        ours, theirs = by_turns(
            lambda a=array, m=mask: hpss(a, mask=m),
            lambda a=part, m=mask: librosa.decompose.hpss(a, mask=m),
        )
        ours, theirs = ours / array.size, theirs / part.size
        rows.append([name, f"{ours * 1e9:.2f}", f"{theirs * 1e9:.0f}", times(theirs, ours)])
    table("hpss(), allocating its results", ["", "ns a bin", "librosa, ns", "librosa / ours"], rows)


def medians(S: np.ndarray, kernels: list[int]) -> None:
    few = S[: SLOW_BINS // BINS]
    others: dict[str, Callable[[int, int], object]] = {}
    with contextlib.suppress(ImportError):
        move_median = importlib.import_module("bottleneck").move_median
        others["bottleneck"] = lambda size, axis: move_median(few, size, axis=axis)
    with contextlib.suppress(ImportError):
        import dask.array

        filters = importlib.import_module("dask_image.ndfilters")
        lazy = dask.array.from_array(few, chunks=few.shape)

        def dask_image(size: int, axis: int) -> object:
            shape = (size, 1) if axis == 0 else (1, size)
            return filters.median_filter(lazy, shape, mode="reflect").compute(scheduler="synchronous")

        others["dask-image"] = dask_image
    copied = np.zeros_like(S)
    rows = []
    for size in kernels:
        for axis, way in ((0, "frames"), (1, "bins")):
            ours, floor, *theirs = by_turns(
                lambda size=size, axis=axis: running_median(S, size, axis=axis),
                lambda: np.copyto(copied, S),
                *(lambda o=other, size=size, axis=axis: o(size, axis) for other in others.values()),
            )
            row = [f"{size} {way}", f"{ours / S.size * 1e9:.2f}", times(ours, floor)]
            for other in theirs:
                row += [f"{other / few.size * 1e9:.0f}", times(other / few.size, ours / S.size)]
            rows.append(row)
    head = ["median of", "ns a value", "ours / copy"]
    head += [part for name in others for part in (f"{name}, ns", f"{name} / ours")]
    table("Running medians, any sign, allocating their results", head, rows)
    missing = {"bottleneck", "dask-image"} - set(others)
    if missing:
        print(f"\nNot compared with, since not installed: {', '.join(sorted(missing))}.")


def start_up() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"HPSS_BATCH_CACHE_DIR": folder}
        for name in ("nothing compiled", "compiled before"):
            command = [sys.executable, "-c", START]
            printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            rows.append([name, f"{float(printed.stdout):.2f} s"])
    table("First call in a process, after importing NumPy", ["", ""], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kernels", type=int, nargs="+", default=KERNELS, help="kernel sizes")
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames that ours is timed on")
    options = parser.parse_args()
    at = jit.machine()
    print(
        f"{at.cpu}, vectors of {8 * at.register_bytes} bits; NumPy {np.__version__}, librosa {librosa.__version__}"
    )
    start_up()
    S = music(options.frames)
    hpss_masks(S, options.kernels)
    calls(S)
    medians(S, options.kernels)


if __name__ == "__main__":
    main()
