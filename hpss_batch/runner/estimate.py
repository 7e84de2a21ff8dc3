"""How long will a run take? What its steps typically take, corrected by what earlier work in its directory took.

Nothing is measured for an estimate. The constants are round numbers of what runs say that units and stems of made music
took; another machine may take half or twice that. `python workflows/benchmarks/rates.py` measures
them again. Where a run directory has records of its own, an estimate is multiplied by what they say, over what is
typical of the same work.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from hpss_batch.cluster.client import describe
from hpss_batch.cluster.requests.request import worker_bytes
from hpss_batch.config.sections import Cluster
from hpss_batch.dsp.separation import Separation
from hpss_batch.runner.plan import Plan
from hpss_batch.stems.plan import StemPlan
from hpss_batch.stems.spec import StemRecipe
from hpss_batch.store.directory import Steps
from hpss_batch.store.layout import Piece, Placed

START = 4.0
"""Seconds until a local cluster and its imports have started."""

DECODED = 12e-9
"""Seconds a sample of each channel (FLAC takes 10 ns, Ogg 15)."""

RESAMPLED = 20e-9
"""Seconds a sample whose rate is changed, on top."""

LOADED = 12e-9
"""Seconds a bin of a stored spectrogram."""

TRANSFORMED, RENDERED = 3e-9, 7e-9
"""Seconds a bin, to frequencies and back."""

MASKED, RANKED, RANKED_LONG = 0.9e-9, 0.0082e-9, 200e-9
"""Seconds a bin, on top a value of each kernel of up to 400, and each longer kernel."""

DESCRIBED = 6e-9
"""Seconds a bin of each component that features are of."""

FILLED, WRITTEN = 0.3e-9, 1.3e-9
"""Seconds a byte of arrays, before compression: to fill and to digest it, and to compress and write it."""

ENCODED = 15e-9
"""Seconds a sample of a stem in FLAC (lossy formats take several times that)."""

LATEST = 1000
"""Units, those of the highest numbers, that count as earlier work."""


@dataclass(frozen=True)
class Estimate:
    """How long a run will take, on as many cores as it has threads of workers.

    Attributes
    ----------
    seconds : float
        From its start to its end; on another cluster, from when all of its workers are there.
    basis : {"earlier", "typical"}
        Whether all of it follows from what earlier work in the run directory took.
    """

    seconds: float
    basis: Literal["earlier", "typical"]


def estimate(plan: Plan) -> Estimate | None:
    """How long a run of the plan would take; None where there is nothing to do, or nobody knows.

    What is typical is so of machines like this one. Of others is known what they took, if they did some of it.
    """
    kinds = list[tuple[int, Steps, tuple[Steps, Steps]]]()
    if plan.pending:
        pieces = (piece for unit in plan.pending for piece in unit.pieces)
        kinds.append((len(plan.pending), typical_of_units(plan, pieces), units_so_far(plan)))
    if plan.stems and plan.stems.tasks:
        tracks = [task.track for task in plan.stems.tasks]
        kinds.append((len(tracks), typical_of_stems(plan.stems.recipe, tracks), stems_so_far(plan)))
    cluster, workers = plan.job.cluster, n_workers(plan.job.cluster)
    if not kinds or not workers:
        return None
    threads = workers * (n_threads(cluster) or 1)
    seconds, all_known = START if cluster.is_local else 0.0, True
    for n_tasks, ahead, (typical, taken) in kinds:
        known = sum(taken.values()) > 0 and sum(typical.values()) > 0
        factor = sum(taken.values()) / sum(typical.values()) if known else 1.0
        seconds += factor * sum(ahead.values()) / min(threads, n_tasks)
        all_known &= known
    if not (cluster.is_local or all_known):
        return None
    return Estimate(seconds, "earlier" if all_known else "typical")


def n_cores() -> int:
    """Cores that this process may use; those of the machine where the system does not say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def n_workers(cluster: Cluster) -> int | None:
    """How many workers a job asks for, at most; None where it does not say."""
    scale = {"n": cluster.scale} if isinstance(cluster.scale, int) else cluster.scale or {}
    adapt, kwargs, each = cluster.adapt or {}, cluster.kwargs, _processes(cluster)
    asked = (
        (scale.get("n"), 1),
        (scale.get("jobs"), each),
        (adapt.get("maximum"), 1),
        (adapt.get("maximum_jobs"), each),
        (kwargs.get("n_workers"), 1),
    )
    for number, workers in asked:
        if isinstance(number, int) and number > 0:
            return number * workers
    return max(n_cores() // (n_threads(cluster) or 1), 1) if cluster.is_local else None


def n_threads(cluster: Cluster) -> int | None:
    """How many threads a worker has; None where the job does not say."""
    threads, cores = (cluster.kwargs.get(name) for name in ("threads_per_worker", "cores"))
    if isinstance(threads, int):
        return max(threads, 1)
    if isinstance(cores, int):
        return max(cores // _processes(cluster), 1)
    return 1 if cluster.is_local else None


def _processes(cluster: Cluster) -> int:
    """Workers that a job of a batch system starts."""
    from distributed.deploy.utils import nprocesses_nthreads

    number, cores = (cluster.kwargs.get(name) for name in ("processes", "cores"))
    if number is None and isinstance(cores, int):
        return int(nprocesses_nthreads(cores)[0])  # as dask-jobqueue has it
    return number if isinstance(number, int) and number > 0 else 1


def units_so_far(plan: Plan) -> tuple[Steps, Steps]:
    """What the latest units would typically have taken, and what they took; of tracks that failed, the latter only."""
    catalog, taken, done = plan.catalog, Counter[str](), set[tuple[int, int]]()
    for number in sorted(catalog.commits)[-LATEST:]:
        commit = catalog.commits[number]
        taken.update(commit.seconds)
        done |= {(number, row) for row, outcome in commit.tracks.items() if outcome.status == "done"}
    pieces = (p for unit in catalog.units for p in unit.pieces if (unit.number, p.index) in done)
    return typical_of_units(plan, pieces), taken


def stems_so_far(plan: Plan) -> tuple[Steps, Steps]:
    """The same of the stems that there are."""
    assert plan.stems is not None
    taken, tracks = Counter[str](), list[Placed]()
    for row, record in plan.catalog.stems.items():
        if record.status == "done":
            taken.update(record.seconds)
            tracks.append(plan.catalog.rows[row])
    return typical_of_stems(plan.stems.recipe, tracks), taken


def typical_of_units(plan: Plan, pieces: Iterable[Piece]) -> Steps:
    """What the pieces of units typically take."""
    shape, stft = plan.shape, plan.stft
    frames, decoded, resampled = 0, 0.0, 0
    for piece in pieces:
        track = piece.track
        channels = track.n_channels(plan.catalog.channels)
        frames += piece.n_frames * channels
        decoded += piece.n_frames * track.source_channels * track.source_rate / shape.sample_rate
        resampled += piece.n_frames * channels * (track.source_rate != shape.sample_rate)
    bins, stored = frames * shape.n_bins, plan.source is not None
    n_bytes = frames * sum(map(shape.frame_bytes, shape.names))
    masked = _masking(plan.recipe.separation) * bins if plan.recipe.separates else 0.0
    described = len(plan.features.components) if plan.features else 0
    return {
        "read": LOADED * bins if stored else stft.hop_length * (DECODED * decoded + RESAMPLED * resampled),
        "stft": 0.0 if stored else TRANSFORMED * bins,
        "hpss": FILLED * n_bytes + masked,
        "features": DESCRIBED * bins * described,
        "write": WRITTEN * n_bytes,
    }


def typical_of_stems(recipe: StemRecipe, tracks: Iterable[Placed]) -> Steps:
    """What the stems of tracks typically take."""
    tracks, decoded, rendered, resampled = list(tracks), 0, 0.0, 0.0
    for track in tracks:
        rate = recipe.sample_rate or track.source_rate
        samples = track.source_samples * rate / max(track.source_rate, 1)
        samples *= track.n_channels(recipe.channels)
        decoded += track.source_samples * track.source_channels
        rendered += samples
        resampled += samples * (rate != track.source_rate)
    files, rate = len(recipe.components), recipe.highest_rate(tracks)
    second, separated = recipe.second_pass(rate), 0.0
    for stft, how in [(recipe.stft, recipe.separation(rate)), *([second] if second else [])]:
        # the last file, and what goes on to a second pass, is what the others leave of the input
        each = TRANSFORMED + _masking(how) + RENDERED * (1 if second else files - 1)
        separated += each * rendered / stft.hop_length * stft.n_bins
    return {
        "read and separate": DECODED * decoded + RESAMPLED * resampled + separated,
        "write": ENCODED * rendered * files,
    }


def _masking(how: Separation) -> float:
    """Seconds a bin that masks typically take."""
    n_bins, seconds = how.n_bins or 1, MASKED
    stops = [*(band.start for band in how.bands[1:]), n_bins]
    for band, stop in zip(how.bands, stops, strict=True):
        kernels = sum(RANKED * k if k <= 400 else RANKED_LONG for k in (band.frames, band.bins))
        seconds += kernels * (stop - band.start) / n_bins
    return seconds


def plan_figures(plan: Plan) -> dict[str, Any]:
    """A plan's figures, fit for JSON."""
    catalog, counts, expected = plan.catalog, plan.catalog.counts, estimate(plan)
    workers, threads = n_workers(plan.job.cluster), n_threads(plan.job.cluster)
    tracks = {status: n for status, n in counts.items() if status not in ("superseded", "vanished")}
    return {
        "corpus": plan.job.corpus.path,
        "output": plan.job.output.path,
        "fingerprint": catalog.settings["fingerprint"],
        "files": {kind: plan.files[kind] for kind in ("new", "changed", "touched", "vanished")},
        "tracks": tracks,
        "audio_seconds": sum(row.n_samples for row in plan.tracks) / plan.shape.sample_rate,
        "units": {
            "frames": plan.shape.unit_frames,
            "total": len(catalog.units),
            "done": len(catalog.commits),
            "pending": len(plan.pending),
            "waiting": plan.waiting,
        },
        "separation": separation_figures(plan),
        "stems": stem_figures(plan.stems),
        "array_bytes": plan.array_bytes,
        "task_bytes": plan.task_bytes,
        "workers": workers,
        "total_bytes": workers * worker_bytes(threads, plan.task_bytes) if workers and threads else None,
        "cluster": describe(plan.job.cluster),
        "seconds": expected.seconds if expected else 0.0 if plan.is_done else None,
        "seconds_basis": expected.basis if expected else None,
        "unreadable": {row.id: row.error for row in plan.tracks if row.error},
    }


def separation_figures(plan: Plan) -> dict[str, Any]:
    """How a plan separates: by which method, and what that is in frames and bins."""
    job, how = plan.job, plan.recipe.separation
    return {
        "method": job.hpss.title,
        "n_fft": plan.stft.n_fft,
        "hop_length": plan.stft.hop_length,
        "stft_given": job.given("stft.n_fft") or job.given("stft.hop_length"),
        "bands": [band._asdict() for band in how.bands],
        "smoothing": how.curves.smoothing if how.curves else None,
        "halo": how.halo,
    }


def stem_figures(stems: StemPlan | None) -> dict[str, Any] | None:
    """The figures of a plan's stems."""
    if stems is None:
        return None
    encoding = stems.recipe.encoding
    return {
        "encoding": f"{encoding.format} {encoding.subtype}{' or finer' if encoding.finer else ''}"
        + (", in two passes" if stems.recipe.second else ""),
        "files": stems.n_files,
        "pending": len(stems.tasks),
        "done": stems.n_done,
        "failed": stems.n_failed,
        "refused": stems.refused,
    }
