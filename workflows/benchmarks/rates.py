"""How far from the truth is what `hpss-batch plan` holds for typical? The constants in `hpss_batch/runner/estimate.py`.

    python workflows/benchmarks/rates.py                     # makes ten minutes of music, and runs jobs on it
    python workflows/benchmarks/rates.py --minutes 60

Each job runs with one worker, so that nothing else is at work. For each of its steps: what is typical of it, in
seconds, what the units or the stems say in their records that it took, and how many times what is typical that is. A
constant is right that has 1.0 beside it; write down its product with that number.
"""

import argparse
import tempfile
from pathlib import Path

from made_music import make

from hpss_batch import Job, plan, run
from hpss_batch.runner.estimate import stems_so_far, units_so_far

JOBS = {
    "FLAC to a spectrogram": {"output.arrays": ["spectrogram"]},
    "FLAC to masks": {},
    "a kernel of 201": {"hpss.kernel_size": 201},
    "a kernel of 401, 10 kHz": {"hpss.kernel_size": 401, "corpus.sample_rate": 10_000},
    "at 22,050 Hz": {"corpus.sample_rate": 22_050},
    "Ogg to masks": {"corpus.path": "ogg"},
    "stored to components": {
        "corpus.path": "FLAC to a spectrogram",
        "output.arrays": ["harmonic", "percussive", "residual"],
    },
    "features": {"output.arrays": [], "output.features": True},
    "stems": {"output.arrays": [], "output.stems": True},
}
"""What each job has other than the defaults; paths are folders of this benchmark's."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="of music that is made (10)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for extension in ("flac", "ogg"):
            make(Path(work, extension), options.minutes, extension)
        print(f"{'job':26}{'step':20}{'typical, s':>12}{'taken, s':>12}{'×':>8}")
        for name, changes in JOBS.items():
            compare(name, Path(work), changes)


def compare(name: str, work: Path, changes: dict) -> None:
    """Run a job, and print what its steps took beside what is typical."""
    changes = {"cluster.kwargs": {"n_workers": 1}, **changes}
    source = work / changes.pop("corpus.path", "flac")
    job = Job.from_command_line(source, work / name).replace(changes)
    run(job)
    planned = plan(job)
    typical, taken = stems_so_far(planned) if planned.stems else units_so_far(planned)
    for step, seconds in taken.items():
        print(f"{name:26}{step:20}{typical[step]:12.2f}{seconds:12.2f}{seconds / (typical[step] or 1):8.2f}")


if __name__ == "__main__":
    main()
