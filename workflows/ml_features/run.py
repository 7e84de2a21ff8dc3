"""Does training take it from here? Computes features of a manifest's tracks, and trains a small model on their windows.

    python workflows/ml_features/run.py [MANIFEST.csv] [-o FOLDER] [--label COLUMN]

A softmax regression in NumPy distinguishes labels by windows of a second and a half, for one epoch. Every fourth track
of each label is kept back to test it: windows of one track never are on both sides.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import soundfile

import hpss_batch

FRAMES = 64
RATE = 22_050
LABELS = ("chords", "drums", "both")


def made_corpus(folder: Path, tracks: int = 24, seconds: float = 12.0) -> Path:
    """Tracks of chords, of drums and of both, where they are not there yet, and a manifest of which is which."""
    folder.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(seconds * RATE)) / RATE
    rows = []
    for number in range(tracks):
        label, rng = LABELS[number % len(LABELS)], np.random.default_rng(number)
        samples = 0.01 * rng.standard_normal(len(t))
        if label != "drums":
            for frequency in rng.uniform(110, 880, 4):
                samples += sum(0.08 / k * np.sin(2 * np.pi * k * frequency * t) for k in range(1, 6))
        if label != "chords":
            beat = rng.uniform(0.2, 0.4)
            samples += 0.4 * rng.standard_normal(len(t)) * np.exp(-np.mod(t, beat) / 0.03)
        name = f"{number:02}.flac"
        if not (folder / name).exists():
            soundfile.write(folder / name, samples.clip(-1, 1), RATE)
        rows.append((name, label))
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    return manifest


def labels_of(corpus: hpss_batch.Corpus, column: str) -> dict[str, str]:
    """The label of each track that is done and has one, as the manifest said when it was read last."""
    table = corpus.tracks
    columns = [str(name).removeprefix("meta_") for name in table.variables if str(name).startswith("meta_")]
    said = table[f"meta_{column}"].values.tolist() if column in columns else [""] * table.sizes["track"]
    every = dict(zip(table.track.values.tolist(), map(str, said), strict=True))
    labels = {track: every[track] for track in corpus if every[track] not in ("", "nan")}
    if not labels:
        raise hpss_batch.HpssBatchError(
            f"the manifest gives no track a {column!r}; columns that --label may name: {', '.join(columns) or 'none'}"
        )
    if len(labels) < len(corpus):
        print(f"{len(corpus) - len(labels)} of {len(corpus)} tracks have no {column}: they are left out")
    return labels


def split(tracks: list[str], labels: dict[str, str]) -> tuple[list[str], list[str]]:
    """Tracks to train on and tracks to test on: every fourth of each label."""
    train, test = [], []
    seen: dict[str, int] = {}
    for track in tracks:
        seen[labels[track]] = seen.get(labels[track], 0) + 1
        (test if seen[labels[track]] % 4 == 0 else train).append(track)
    if len(seen) < 2 or not test:
        counts = ", ".join(f"{count} {label}" for label, count in seen.items()) or "none"
        raise hpss_batch.HpssBatchError(
            f"too few tracks to learn from (done: {counts}); wanted: two labels or more, "
            "and four tracks of one at least, so that one can be kept back"
        )
    return train, test


def described(batch: list[dict], variables: tuple[str, ...]) -> np.ndarray:
    """Each window as one row of numbers: mean and deviation of each column over its frames, and a one."""
    parts = [np.ones((len(batch), 1), np.float32)]
    for name in variables:
        frames = np.stack([window[name] for window in batch]).reshape(len(batch), FRAMES, -1)
        parts += [frames.mean(axis=1), frames.std(axis=1)]
    return np.concatenate(parts, axis=1)


class Softmax:
    """Softmax regression, trained by gradient descent; columns are scaled by what the first batch looks like."""

    def __init__(self, classes: list[str], rate: float = 0.5) -> None:
        self.classes, self.rate = classes, rate
        self.weights: np.ndarray | None = None

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        if self.weights is None:
            self.centre, self.scale = rows.mean(axis=0), rows.std(axis=0) + 1e-3
            self.centre[0], self.scale[0] = 0, 1  # the column of ones
            self.scale *= np.sqrt(rows.shape[1])
            self.weights = np.zeros((rows.shape[1], len(self.classes)))
        scores = (rows - self.centre) / self.scale @ self.weights
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def learn(self, rows: np.ndarray, labels: list[str]) -> float:
        """One step; the mean loss before it."""
        wanted = np.array(labels)[:, None] == np.array(self.classes)
        found = self.probabilities(rows)
        self.weights -= (
            self.rate * ((rows - self.centre) / self.scale).T @ (found - wanted) / np.sqrt(len(rows))
        )
        return float(-np.log(found[wanted]).mean())

    def right(self, rows: np.ndarray, labels: list[str]) -> int:
        """How many rows are classified right."""
        return int((np.array(self.classes)[self.probabilities(rows).argmax(axis=1)] == labels).sum())


def main() -> int:
    parser = argparse.ArgumentParser(description="Train a small model for an epoch on windows of a corpus.")
    parser.add_argument(
        "manifest", nargs="?", type=Path, help="a CSV file; one is made, with music, if left out"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("hpss-batch-training"), help="where to put it"
    )
    parser.add_argument("--label", default="label", help="the column to learn (default: label)")
    given = parser.parse_args()

    if given.manifest is None:
        manifest, out = made_corpus(given.output / "music"), given.output / "out"
    else:  # a run directory of its own: one never holds two corpora
        manifest, out = given.manifest, given.output / f"out_{given.manifest.absolute().name}"
    paths = [("corpus.path", str(manifest)), ("output.path", str(out))]
    result = hpss_batch.run(hpss_batch.Job.load(Path(__file__).with_name("job.yaml"), paths))
    for track, reason in result.failed.items():
        print(f"{track}: {reason}")

    labels = labels_of(hpss_batch.open_corpus(out), given.label)
    train, test = split(list(labels), labels)
    training = hpss_batch.TrackWindows(out, frames=FRAMES, hop=FRAMES // 4, tracks=train, labels=[], seed=1)
    testing = hpss_batch.TrackWindows(out, frames=FRAMES, tracks=test, labels=[], seed=None)
    print(
        f"{len(training):,} windows of {len(train)} tracks to train on, {len(testing):,} of {len(test)} to test on"
    )

    model = Softmax(sorted({labels[track] for track in train}))
    for step, numbers in enumerate(training.batches(32)):  # one epoch
        batch = [training[i] for i in numbers]
        loss = model.learn(
            described(batch, training.variables), [labels[window["track"]] for window in batch]
        )
        if step % 4 == 0:
            print(f"  step {step:4}: loss {loss:.3f}", flush=True)
    right = 0
    for numbers in testing.batches(32):
        batch = [testing[i] for i in numbers]
        right += model.right(
            described(batch, testing.variables), [labels[window["track"]] for window in batch]
        )
    print(
        f"Told right on tracks not trained on: {right / len(testing):.1%} (by chance {1 / len(model.classes):.1%})"
    )
    return result.exit_status


if __name__ == "__main__":  # worker processes import this file, too
    try:
        raise SystemExit(main())
    except hpss_batch.HpssBatchError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
