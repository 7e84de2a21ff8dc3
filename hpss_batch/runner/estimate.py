"""How long will a run take? A short measurement, on this machine, of what its units consist of."""

import os
from itertools import islice
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.recording import Recording
from hpss_batch.dsp.hpss import masks
from hpss_batch.dsp.stft import context, stft_frames
from hpss_batch.errors import AudioError
from hpss_batch.runner.cluster import describe
from hpss_batch.runner.plan import Plan
from hpss_batch.stems.plan import StemPlan
from hpss_batch.store.schema import COMPONENTS, MASKS
from hpss_batch.tasks.spec import BLOCK_FRAMES

SAMPLED_SECONDS = 20.0
"""Audio that is decoded to see how fast that goes."""

COMPRESSED_BYTES_A_SECOND = 0.8e9
"""What one core compresses and writes of floats (measured: 1.4e9 without a disk)."""

ENCODED_SECONDS = 15e-9
"""What one core takes for a sample of FLAC (measured: 10 to 20 ns; lossy formats take several times that)."""

START_SECONDS = 4.0
"""What it takes to start a local cluster and its imports."""


def estimate_seconds(plan: Plan) -> float | None:
    """Seconds that a run of the plan would take on this machine's cores; None where nothing is to do.

    A cluster elsewhere has other cores: the estimate then says how much work there is, not when it will be done.
    """
    workers = int(plan.job.cluster.kwargs.get("n_workers") or n_cores())
    stems = _stem_seconds(plan.stems) if plan.stems and plan.stems.tasks else 0.0
    if not plan.pending:
        tasks = len(plan.stems.tasks) if plan.stems else 0
        return START_SECONDS + stems / min(workers, tasks) if tasks else 0.0
    frames = sum(unit.n_frames for unit in plan.pending)
    width = sum(map(plan.shape.frame_bytes, plan.shape.names))
    each = _seconds_a_frame(plan) + _reading(plan) + width / COMPRESSED_BYTES_A_SECOND
    return START_SECONDS + stems / workers + each * frames / min(workers, len(plan.pending))


def n_cores() -> int:
    """Cores that this process may use; those of the machine where the system does not say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _stem_seconds(stems: StemPlan) -> float:
    """Seconds that rendering takes on one core: of the first track that can be read, scaled to all."""
    from hpss_batch.stems.stream import Stream

    recipe = stems.recipe
    samples = sum(t.track.source_samples * t.track.source_channels for t in stems.tasks)
    encoding = ENCODED_SECONDS * samples * len(recipe.components)
    for task in stems.tasks[:3]:
        try:
            with Recording(
                task.track.file, sample_rate=recipe.sample_rate, channels=recipe.channels
            ) as recording:
                blocks = iter(Stream(recording, recipe.stft, recipe.hpss, recipe.components, recipe.encoding))
                next(blocks, None)  # which compiles the kernels
                started = perf_counter()
                done = sum(block.n_samples for block in islice(blocks, 3)) * task.track.source_channels
                if done:
                    return encoding + (perf_counter() - started) / done * samples
        except (AudioError, OSError):
            continue  # the run will say why
    return encoding


def _seconds_a_frame(plan: Plan) -> float:
    """Transform and separate noise."""
    stft, halo = plan.stft, plan.recipe.hpss.halo
    first, n_frames = stft.n_fft, BLOCK_FRAMES + 2 * halo
    start, stop = stft.sample_span(first, first + n_frames)
    offset = start - context(stft)
    samples = np.random.default_rng(0).standard_normal(stop - start + 2 * context(stft), np.float32)
    best = float("inf")
    for _ in range(3):
        started = perf_counter()
        spectrogram = stft_frames(samples, offset, None, first, first + n_frames, stft)
        if plan.shape.features or not {*MASKS, *COMPONENTS}.isdisjoint(plan.shape.arrays):
            masks(np.abs(spectrogram), plan.recipe.hpss, start=halo, stop=halo + BLOCK_FRAMES)
        if plan.features is not None:
            magnitude = np.abs(spectrogram[halo : halo + BLOCK_FRAMES])
            parts = dict.fromkeys(COMPONENTS, magnitude)
            _features(plan, parts)
        best = min(best, perf_counter() - started)
    return best / BLOCK_FRAMES


def _features(plan: Plan, parts: "dict[str, NDArray[np.float32]]") -> None:
    """Compute features, with filter banks that the plan has made once."""
    from hpss_batch.dsp.features import frame_features

    assert plan.features is not None
    assert plan.banks is not None
    frame_features(parts, plan.features, plan.stft, plan.banks)


def _reading(plan: Plan) -> float:
    """Seconds that decoding takes for a frame: of the first track that can be read."""
    rate, hop = plan.shape.sample_rate, plan.stft.hop_length
    for unit in plan.pending[:3]:
        for piece in unit.pieces[:3]:
            try:
                with Recording(
                    piece.track.file, sample_rate=rate, channels=plan.job.corpus.channels
                ) as recording:
                    started = perf_counter()
                    samples = recording.read(0, int(SAMPLED_SECONDS * rate))
                    if samples.shape[1]:
                        return float((perf_counter() - started) / samples.shape[1] * hop)
            except (AudioError, OSError):
                continue  # the run will say why
    return 0.0


def plan_figures(plan: Plan) -> dict[str, Any]:
    """A plan's figures, fit for JSON."""
    from hpss_batch.runner.estimate import estimate_seconds

    catalog, counts = plan.catalog, plan.catalog.counts
    tracks = {status: n for status, n in counts.items() if status not in ("superseded", "vanished")}
    return {
        "corpus": plan.job.corpus.path,
        "output": plan.job.output.path,
        "fingerprint": catalog.settings["fingerprint"],
        "tracks": tracks,
        "audio_seconds": sum(row.n_samples for row in plan.tracks) / plan.shape.sample_rate,
        "units": {
            "frames": plan.shape.unit_frames,
            "total": len(catalog.units),
            "done": len(catalog.commits),
            "pending": len(plan.pending),
            "waiting": plan.waiting,
        },
        "stems": stem_figures(plan.stems),
        "array_bytes": plan.array_bytes,
        "task_bytes": plan.task_bytes,
        "cluster": describe(plan.job.cluster),
        "seconds": estimate_seconds(plan),
        "unreadable": {row.id: row.error for row in plan.tracks if row.error},
    }


def stem_figures(stems: StemPlan | None) -> dict[str, Any] | None:
    """The figures of a plan's stems."""
    if stems is None:
        return None
    return {
        "encoding": f"{stems.recipe.encoding.format} {stems.recipe.encoding.subtype}",
        "files": stems.n_files,
        "pending": len(stems.tasks),
        "done": stems.n_done,
        "failed": stems.n_failed,
        "refused": stems.refused,
    }
