"""Which margin, which power? Separates the same stored spectrograms with many settings, and compares them in a table.

    python workflows/parameter_sweep/run.py [MUSIC] [-o FOLDER] [--margins 1 2 3 1,5] [--powers 1 2 inf]

Audio is decoded and transformed once. Each setting is a run of its own, so that a sweep that was interrupted goes on
where it was, and one that was widened does what is new.
"""

import argparse
import csv
import sys
from itertools import product
from pathlib import Path

import numpy as np
import xarray as xr
from distributed import LocalCluster

import hpss_batch

HERE = Path(__file__).parent
COLUMNS = (
    "margin",
    "power",
    "harmonic_share",
    "percussive_share",
    "residual_share",
    "harmonic_dB",
    "percussive_dB",
)


def shares(spectrograms: hpss_batch.Corpus, masks: hpss_batch.Corpus) -> list[float]:
    """The corpus's energy in harmonic, percussive and residual; they interfere, and need not add up to 1."""
    energy = np.zeros(4)
    for name in masks:
        whole, weights = spectrograms[name].spectrogram, masks[name]
        harmonic, percussive = whole * weights.harmonic_mask, whole * weights.percussive_mask
        parts = xr.Dataset({"h": harmonic, "p": percussive, "r": whole - harmonic - percussive, "all": whole})
        sums = (abs(parts) ** 2).sum().compute()  # chunk by chunk, however long the track is
        energy += [float(sums[part]) for part in parts]
    return list(energy[:3] / energy[3])


def nearer(pieces: list, job: hpss_batch.Job) -> list[float]:
    """Where stems are known: by how many dB each component comes nearer to its stem than the mixture is; the median."""
    if not pieces:
        return []
    found = hpss_batch.evaluate(pieces, job)
    return [found.gain(component, "separated").sdr for component in ("harmonic", "percussive")]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare margins and powers on the same spectrograms.")
    parser.add_argument(
        "music", nargs="?", type=Path, help="a folder; three pieces are made if it is left out"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("hpss-batch-sweep"), help="where to put it")
    parser.add_argument(
        "--margins", nargs="+", default=["1", "2", "4", "1,5"], help="a number, or harmonic,percussive"
    )
    parser.add_argument("--powers", nargs="+", default=["1", "2", "inf"])
    given = parser.parse_args()

    if given.music is None:
        music, out = given.output / "music", given.output
        pieces = hpss_batch.example_corpus(given.output)
    else:  # run directories of its own: one never holds two corpora
        music, out, pieces = given.music, given.output / f"out_{given.music.absolute().name}", []
    stored, table, failed = out / "spectrograms", [], {}
    columns = COLUMNS if pieces else COLUMNS[:-2]
    with LocalCluster(threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:  # one, for all runs
        workers = ("cluster.connect", cluster.scheduler_address)

        def run(stage: str, source: Path, target: Path, *settings: str) -> hpss_batch.Result:
            paths = [("corpus.path", str(source)), ("output.path", str(target))]
            result = hpss_batch.run(hpss_batch.Job.load(HERE / stage, [*settings, *paths, workers]))
            for track, reason in result.failed.items():
                if track not in failed:  # no setting has what the first stage could not read
                    print(f"{track}: {reason}")
            failed.update(result.failed)
            if result.exit_status == 2:
                raise SystemExit(2)
            return result

        run("spectrograms.yaml", music, stored)
        spectrograms = hpss_batch.open_corpus(stored)
        print("".join(f"{name:>18}" for name in columns))
        for margin, power in product(given.margins, given.powers):
            target = out / f"margin_{margin}_power_{power}"
            value = f"[{margin}]" if "," in margin else margin
            result = run("masks.yaml", stored, target, f"hpss.margin={value}", f"hpss.power={power}")
            parts = shares(spectrograms, hpss_batch.open_corpus(target))
            row = [margin, power, *parts, *nearer(pieces, result.plan.job)]
            print(
                "".join(f"{cell:>18}" if isinstance(cell, str) else f"{cell:18.3f}" for cell in row),
                flush=True,
            )
            table.append(row)

    with (out / "results.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *table])
    print(f"Saved {file.name}")
    return 1 if failed else 0


if __name__ == "__main__":  # worker processes import this file, too
    try:
        raise SystemExit(main())
    except hpss_batch.HpssBatchError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
