"""Does memory grow with the length of a recording? Runs a short one and a long one, and watches the workers.

    python workflows/long_recording/run.py [RECORDING] [-o FOLDER] [--hours 10]

Prints what `hpss-batch plan` predicts, and the most that a worker of `hpss-batch run` really held.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

JOB = Path(__file__).with_name("job.yaml")
RATE = 8000
MINUTE = 60 * RATE


def made_recording(path: Path, hours: float) -> Path:
    """A hum, birds and rain drops, written minute by minute; a file that is there is left as it is."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    t = np.arange(MINUTE, dtype=np.float32) / RATE
    hum = 0.1 * np.sin(2 * np.pi * 100 * t) + 0.03 * np.sin(2 * np.pi * 300 * t)
    drop = np.exp(-np.arange(200) / 20).astype(np.float32)
    n_samples = round(hours * 60 * MINUTE)
    with soundfile.SoundFile(partial, "w", RATE, 1, format="FLAC") as file:
        for minute, start in enumerate(range(0, n_samples, MINUTE)):
            rng = np.random.default_rng(minute)
            samples = hum + 0.002 * rng.standard_normal(MINUTE, np.float32)
            bird = 0.1 * np.sin(2 * np.pi * rng.uniform(1500, 3000) * t[: 2 * RATE])
            for at in rng.integers(0, MINUTE - len(bird), 6):
                samples[at : at + len(bird)] += bird * np.hanning(len(bird))
            for at in rng.integers(0, MINUTE - len(drop), 200):
                samples[at : at + len(drop)] += drop * 0.3 * rng.standard_normal(len(drop))
            file.write(samples[: n_samples - start])
    partial.rename(path)
    return path


def hpss_batch(command: str, recording: Path, out: Path, *options: str) -> list[str]:
    """A command of hpss-batch for a recording, as one would type it."""
    paths = ("--set", f"corpus.path={json.dumps(str(recording))}", "-o", str(out))
    return [
        sys.executable,
        *(f"-W{o}" for o in sys.warnoptions),
        "-m",
        "hpss_batch",
        command,
        str(JOB),
        *paths,
        *options,
    ]


def planned(recording: Path, out: Path) -> dict:
    """What `hpss-batch plan --json` says."""
    answer = subprocess.run(hpss_batch("plan", recording, out, "--json"), stdout=subprocess.PIPE)
    if answer.returncode:  # it has said why
        raise SystemExit(answer.returncode)
    return json.loads(answer.stdout)


def watched(recording: Path, out: Path) -> tuple[int, float]:
    """Run it: the most bytes that one of its workers held at any time, looked at 20 times a second; and seconds."""
    began, most = time.monotonic(), 0
    with subprocess.Popen(hpss_batch("run", recording, out)) as driver:
        while driver.poll() is None:
            for worker in psutil.Process(driver.pid).children(recursive=True):
                try:
                    most = max(most, worker.memory_info().rss)
                except psutil.NoSuchProcess:  # it ended just now
                    continue
            time.sleep(0.05)
    if driver.returncode:
        raise SystemExit(driver.returncode)
    return most, time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a long recording in memory that does not grow with it.")
    parser.add_argument("recording", nargs="?", type=Path, help="a file; one is made if it is left out")
    parser.add_argument("-o", "--output", type=Path, default=Path("hpss-batch-long"), help="where to put it")
    parser.add_argument(
        "--hours", type=float, default=10.0, help="of the recording that is made (default: 10)"
    )
    given = parser.parse_args()

    # a run directory for each recording: one never holds two corpora
    sources = []
    if given.recording is None:
        folder = given.output / f"{given.hours:g}h"
        for name, hours in (("short", min(1 / 6, given.hours / 4)), ("long", given.hours)):
            sources.append((name, made_recording(folder / f"{name}.flac", hours), folder / f"out_{name}"))
    else:
        out = given.output / f"out_{given.recording.absolute().name}"
        sources.append(("given", given.recording, out))
    lines = []
    for name, recording, out in sources:
        plan = planned(recording, out)
        most, seconds = watched(recording, out)
        held = f"{most / 2**20:.0f}" if plan["units"]["pending"] else "done before"
        lines.append(
            f"{name:8}{plan['audio_seconds'] / 3600:8.2f}{plan['units']['total']:8}{plan['task_bytes'] / 2**20:12.0f}"
            f"{held:>12}{seconds:10.1f}"
        )
    print(
        f"\n{'':8}{'hours':>8}{'units':>8}{'plan, MiB':>12}{'worker, MiB':>12}{'seconds':>10}",
        *lines,
        sep="\n",
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
