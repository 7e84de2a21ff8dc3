"""Where do new tracks go on the frame axis, and what does their generation say of the store?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from hpss_batch.audio.resampler import resampled_length
from hpss_batch.config.job import Job
from hpss_batch.corpus.tracks import Track
from hpss_batch.dsp.params import StftParams
from hpss_batch.errors import CorpusError, ParameterError
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.generations import Generation
from hpss_batch.store.layout import (
    Placed,
    channels_kept,
    default_unit_frames,
    end_of,
    place,
    round_up,
)


def next_generation(
    job: Job,
    made: Mapping[str, Any],
    existing: Catalog | None,
    tracks: Sequence[Track],
) -> Generation:
    """The generation that places tracks behind all that are placed already.

    Parameters
    ----------
    job : Job
        The job.
    made : mapping
        Its `Job.identity`.
    existing : Catalog or None
        What is placed already.
    tracks : sequence of Track
        The tracks, in order.
    """
    settings = _settings(job, made, tracks, existing)
    number = len(existing.generations) if existing else 0
    start = round_up(end_of(existing.rows), existing.unit_frames) if existing else 0
    return Generation(number, placed(tracks, settings, start), settings)


def _settings(
    job: Job, made: Mapping[str, Any], tracks: Sequence[Track], existing: Catalog | None
) -> dict[str, Any]:
    """What a generation says of the store; see `Generation.settings`."""
    stft = job.stft
    widest = max((track.channels for track in tracks if not track.error), default=1)
    n_channels = channels_kept(job.corpus.channels, widest)
    if existing is not None:
        settings = existing.settings
        if job.corpus.sample_rate is None:
            settings["sample_rate"] = _common_rate(tracks, settings["sample_rate"])
        return settings | {"n_channels": max(n_channels, settings["n_channels"])}
    return {
        "sample_rate": job.corpus.sample_rate or _common_rate(tracks, None),
        "unit_frames": job.output.unit_frames or default_unit_frames(stft.n_bins),
        "n_channels": n_channels,
        "stft": asdict(stft),
        **made,
    }


def _common_rate(tracks: Sequence[Track], expected: int | None) -> int:
    """The one sample rate of a corpus whose job leaves it open."""
    examples = {} if expected is None else {expected: "the tracks that were placed before"}
    for track in tracks:
        if not track.error:
            examples.setdefault(track.sample_rate, track.id)
    if len(examples) > 1:
        found = ", ".join(f"{rate} Hz ({name})" for rate, name in sorted(examples.items()))
        raise ParameterError(
            f"corpus.sample_rate is null, which takes the rate that all tracks agree on, but there are {found}. "
            "Set corpus.sample_rate in Hz: other rates are then resampled"
        )
    if not examples:
        raise CorpusError("no track can be read:\n" + "\n".join(f"  {t.id}: {t.error}" for t in tracks[:20]))
    return next(iter(examples))


def placed(tracks: Sequence[Track], settings: dict[str, Any], start: int) -> list[Placed]:
    """Place tracks on the frame axis from `start` on, by the lengths that their headers allow at most."""
    stft, rate = StftParams(**settings["stft"]), settings["sample_rate"]
    samples = [0 if t.error else resampled_length(t.n_samples, t.sample_rate, rate) for t in tracks]
    frames = [stft.n_frames(n) for n in samples]
    starts = place(frames, settings["unit_frames"], start)
    rows = [
        Placed(
            id=track.id,
            path=track.path,
            frame_start=frame_start,
            n_frames=n_frames,
            n_samples=n_samples,
            source_samples=track.n_samples,
            source_rate=track.sample_rate,
            source_channels=track.channels,
            source_size=track.size,
            source_mtime=track.mtime_ns,
            error=track.error,
            meta=track.meta,
            decoder=track.decoder,
            source_layout=" ".join(track.layout),
        )
        for track, frame_start, n_frames, n_samples in zip(tracks, starts, frames, samples, strict=True)
    ]
    return [row if row.n_frames else replace(row, digest=row.contents(0, row.source_size)) for row in rows]
