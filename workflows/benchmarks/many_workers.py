"""Does one driver with its scheduler keep hundreds of workers busy, and in how much memory?

    python workflows/benchmarks/many_workers.py [--workers 256] [--units 20000] [--seconds 4 1]

The run's own code submits real units of a real plan to Dask's scheduler, both in this process, as they are where a job
asks for a cluster. Workers are real ones, of one thread, many in a process, over TCP; only that they sleep for as long
as a unit takes, instead of computing it. They have to share this machine with the driver, so that what is printed is
the least that a cluster does.

For each length of a unit: how busy the workers were from the first task's begin to the last one's end, and while there
was enough to do; how long one waited for its next task; CPU time of driver and scheduler for each unit; their memory.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile as sf
from distributed import Client, LocalCluster, Worker, get_worker

from hpss_batch.cluster.workforce import Workforce
from hpss_batch.config.job import Job
from hpss_batch.runner.execution import Execution, Silent
from hpss_batch.runner.plan import Plan, plan
from hpss_batch.runner.share import Share
from hpss_batch.runner.work import UnitWork
from hpss_batch.store.records import Commit, Outcome

MiB = 2**20
PER_PROCESS = 64
HEADER = """
unit, s    units      busy   until the  waited, ms: median  CPU, ms
                            last began         and 99 of 100  a unit     MiB"""


def simulated(recipe: Any, unit: Any, excluded: Any, last_try: bool, seconds: float) -> Commit:
    """Take as long as a unit does, and say what its commit would."""
    begin = time.time()
    time.sleep(seconds)
    tracks = {piece.index: Outcome("done", contents=2**31) for piece in unit.pieces}
    digests: dict[str, list[int | None]] = {name: [2**31] for name in recipe.shape.names}
    pieces = {name: [[2**31] * len(tracks)] for name in recipe.shape.names}
    port = float(get_worker().address.rpartition(":")[2])
    steps = {"begin": begin, "end": time.time(), "worker": port}
    return Commit(unit.number, tracks, digests, pieces, seconds=steps)


class SimulatedWork(UnitWork):
    """A unit of which only the time is spent."""

    def __init__(self, planned: Plan, unit: Any, seconds: float) -> None:
        super().__init__(planned, unit)
        self.takes = seconds

    def call(self, last_try: bool = True) -> Any:
        """As long as a unit's."""
        _, arguments = super().call(last_try)
        return simulated, (*arguments, self.takes)


def planned_units(folder: Path, n_units: int) -> Plan:
    """A plan of so many units."""
    folder.mkdir()
    with sf.SoundFile(folder / "noise.wav", "w", 16000, 1, "PCM_U8") as file:
        for _ in range(n_units):
            file.write(np.zeros(512 * 16, np.float32))
    return plan(
        Job.parse(
            {
                "corpus": {"path": str(folder), "sample_rate": 16000},
                "stft": {"n_fft": 64, "hop_length": 16},
                "hpss": {"kernel_size": 9},
                "output": {"path": f"{folder}-out", "unit_frames": 512},
            }
        )
    )


async def serve(address: str, n_workers: int) -> None:
    """Be so many workers until the scheduler goes."""
    workers = [Worker(address, nthreads=1, memory_limit=0, dashboard=False) for _ in range(n_workers)]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))


class Watch(Silent):
    """Takes this process's CPU time and memory while units are finished."""

    def __init__(self, every: int) -> None:
        self.every, self.units = every, 0
        self.samples = list[tuple[int, float, float]]()

    def finished(self, *_: object) -> None:
        """Take a sample now and then."""
        self.units += 1
        if self.units % self.every == 1:
            process = psutil.Process()
            self.samples.append((self.units, sum(process.cpu_times()[:2]), process.memory_info().rss / MiB))


def measure(client: Client, planned: Plan, n_units: int, seconds: float) -> None:
    """Do so many units of so many seconds."""
    units = planned.pending[:n_units]
    workforce, watch = Workforce(client), Watch(max(n_units // 4, 1))
    workforce.begin(n_units)
    execution = Execution(workforce, watch)
    execution.run(Share([SimulatedWork(planned, unit, seconds) for unit in units], set, alone=True))
    assert len(execution.records) == n_units
    times = np.array(
        [[taken[name] for name in ("begin", "end", "worker")] for taken in execution.records.values()]
    )
    times = times[np.argsort(times[:, 0])]
    begin, end = times[:, 0], times[:, 1]
    n_workers = len(client.nthreads())
    last_begin = begin.max()
    steady = (np.minimum(end, last_begin) - np.minimum(begin, last_begin)).sum()
    waits = np.concatenate(
        [
            np.maximum(own[1:, 0] - own[:-1, 1], 0)
            for own in (times[times[:, 2] == w] for w in set(times[:, 2]))
        ]
    )
    (n0, cpu0, _), (n1, cpu1, memory) = watch.samples[0], watch.samples[-1]
    whole = (end - begin).sum() / n_workers / (end.max() - begin.min())
    steady /= n_workers * (last_begin - begin.min())
    middle, late = 1000 * np.percentile(waits, [50, 99])
    print(
        f"{seconds:7.2f} {n_units:8,} {whole:9.1%} {steady:9.1%} {middle:9.1f} {late:9.1f} "
        f"{1000 * (cpu1 - cpu0) / (n1 - n0):9.2f} {memory:7.0f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=256)
    parser.add_argument("--units", type=int, default=20_000, help="at most, of each length")
    parser.add_argument("--minutes", type=float, default=2, help="at most, of each length")
    parser.add_argument("--seconds", type=float, nargs="*", default=[8, 4, 2, 1, 0.5])
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve[0], int(arguments.serve[1])))
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=0, processes=False, dashboard_address=None, protocol="tcp") as cluster,
        Client(cluster) as client,
    ):
        words = [sys.executable, __file__, "--serve", cluster.scheduler_address]
        sizes = [min(PER_PROCESS, arguments.workers - at) for at in range(0, arguments.workers, PER_PROCESS)]
        quiet = os.environ | {"DASK_LOGGING__DISTRIBUTED": "error"}
        processes = [subprocess.Popen([*words, str(size)], env=quiet) for size in sizes]
        try:
            client.wait_for_workers(arguments.workers, timeout=120)
            planned = planned_units(Path(folder, "music"), arguments.units)
            print(f"{arguments.workers} workers\n" + HEADER)
            for seconds in arguments.seconds:
                n_units = int(
                    min(arguments.units, arguments.workers * arguments.minutes * 60 / max(seconds, 0.01))
                )
                measure(client, planned, n_units, seconds)
        finally:
            for process in processes:
                process.terminate()


if __name__ == "__main__":
    main()
