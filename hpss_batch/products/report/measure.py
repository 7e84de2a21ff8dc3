"""How are a track's figures made of its stored frames?

From a few stretches of each track, a chunk of frames each: bounded work, however large the corpus and however long a
track. Bins count by their energy, which comes from the audio where the store holds none; where neither is there, all
bins count alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hpss_batch.dsp.params import COMPONENTS
from hpss_batch.errors import HpssBatchError
from hpss_batch.products.report.metrics import FLOOR, Measured
from hpss_batch.products.spectra import Spectra
from hpss_batch.runner.plan import Plan
from hpss_batch.store.arrays.schema import MASKS, read_decoded
from hpss_batch.store.layout import CHUNK_FRAMES

SPANS = 4
"""Stretches of a track that are looked at, a chunk of frames each."""

SILENCE = 1e-12
"""Energy below which nothing can be said of shares."""

Frames = NDArray[Any]


def spans(start: int, n_frames: int) -> list[tuple[int, int]]:
    """Stretches of the frame axis that a track's figures are made of, each within one chunk.

    >>> spans(100, 5000)
    [(512, 1024), (1536, 2048), (3072, 3584), (4096, 4608)]
    """
    chunks = range(start // CHUNK_FRAMES, -(-(start + n_frames) // CHUNK_FRAMES))
    chosen = sorted({chunks[int((i + 0.5) * len(chunks) / SPANS)] for i in range(SPANS)})
    return [(max(c * CHUNK_FRAMES, start), min((c + 1) * CHUNK_FRAMES, start + n_frames)) for c in chosen]


class Meter:
    """Makes figures of tracks.

    Parameters
    ----------
    plan : Plan
        The run directory's job and catalog.
    spectra : Spectra
        Its spectrograms.
    group : zarr.Group or None
        Its store; None where only stems were made.
    """

    def __init__(self, plan: Plan, spectra: Spectra, group: zarr.Group | None) -> None:
        self.catalog, self.rate = plan.catalog, plan.shape.sample_rate
        self.spectra = spectra
        self.directory = plan.directory
        with self.directory.reading():
            arrays = {name: group.get(name) for name in plan.shape.arrays} if group is not None else {}
        self.arrays = {name: array for name, array in arrays.items() if isinstance(array, zarr.Array)}
        self.complementary = plan.recipe.separation.complementary

    def measure(self, row: int) -> Measured:
        """The figures of one track."""
        placed, state = self.catalog.rows[row], self.catalog.states[row]
        sums = dict[str, float]()
        for begin, stop in spans(placed.frame_start, state.n_frames):
            first = begin - placed.frame_start
            held = self.held(row, first, first + stop - begin)
            for name, value in _sums(self._with_magnitude(held, row, first, first + stop - begin)).items():
                sums[name] = sums.get(name, 0.0) + value
        seconds = state.n_samples / self.rate
        return Measured(row, self.catalog.ids[row], seconds, {"seconds": seconds} | _figures(sums))

    def held(self, row: int, first: int, stop: int) -> dict[str, Frames]:
        """Some frames of a track's arrays, shape (channel, frame, frequency), and the mask that follows."""
        begin, channels = self.catalog.rows[row].frame_start, self.spectra.channels(row)
        with self.directory.reading():
            held = {
                name: read_decoded(array, (slice(channels), slice(begin + first, begin + stop)))
                for name, array in self.arrays.items()
            }
        if self.complementary:
            for name, other in (MASKS, MASKS[::-1]):
                if name not in held and other in held:
                    held[name] = 1 - held[other]
        return held

    def _with_magnitude(self, held: dict[str, Frames], row: int, first: int, stop: int) -> dict[str, Frames]:
        """What is held, and the magnitude, from wherever it can be had: weights of silence say nothing."""
        if "magnitude" in held:
            return held
        if "spectrogram" in held:
            whole = held["spectrogram"]
        elif set(COMPONENTS) <= held.keys():
            whole = held["harmonic"] + held["percussive"] + held["residual"]
        else:
            try:
                whole = self.spectra.frames(row, first, stop)
            except (HpssBatchError, OSError):
                return held
        return held | {"magnitude": np.abs(whole)}


def _sums(held: Mapping[str, Frames]) -> dict[str, float]:
    """What adds up over stretches and channels."""
    found = dict[str, float]()
    masks = [held[name] for name in MASKS if name in held]
    energy = held["magnitude"] ** 2 if "magnitude" in held else None
    if set(COMPONENTS[:2]) <= held.keys():
        parts = [np.abs(held[name]) ** 2 for name in COMPONENTS[:2]]
    elif energy is not None and len(masks) == 2:
        parts = [energy * mask**2 for mask in masks]
    else:
        parts = []
    for name, part in zip(("harmonic_energy", "percussive_energy"), parts, strict=False):
        found[name] = float(part.sum(dtype=np.float64))
    if energy is not None:
        found["energy"] = float(energy.sum(dtype=np.float64))
    if "residual" in held:
        found["residual_energy"] = float((np.abs(held["residual"]) ** 2).sum(dtype=np.float64))
    if len(masks) == 2:
        found |= _mask_sums(masks, energy)
    if {"spectrogram", "harmonic", "percussive", "residual"} <= held.keys():
        error = held["spectrogram"] - held["harmonic"] - held["percussive"] - held["residual"]
        found["error_energy"] = float((np.abs(error) ** 2).sum(dtype=np.float64))
    return found


def _mask_sums(masks: Sequence[Frames], energy: Frames | None) -> dict[str, float]:
    rest = np.clip(1 - masks[0] - masks[1], 0, 1)
    entropy = np.zeros_like(rest)
    for weight in (*masks, rest):
        entropy -= weight * np.log2(np.maximum(weight, 1e-9))
    weights = np.ones_like(rest) if energy is None else energy
    return {
        "harmonic_weight": float(masks[0].sum(dtype=np.float64)),
        "percussive_weight": float(masks[1].sum(dtype=np.float64)),
        "rest_energy": float((rest**2 * weights).sum(dtype=np.float64)),
        "entropy": float((entropy * weights).sum(dtype=np.float64)),
        "weights": float(weights.sum(dtype=np.float64)),
    }


def _figures(sums: Mapping[str, float]) -> dict[str, float]:
    """Shares and means from sums; none where a track is silent."""
    found, get = dict[str, float](), sums.get
    both = get("harmonic_energy", 0.0) + get("percussive_energy", 0.0)
    if both > SILENCE:
        found["percussive_energy"] = sums["percussive_energy"] / both
    elif "harmonic_energy" not in sums and (
        both := get("harmonic_weight", 0.0) + get("percussive_weight", 0.0)
    ):
        found["percussive_weight"] = sums["percussive_weight"] / both
    if get("weights", 0.0) > SILENCE:
        found["entropy"] = sums["entropy"] / sums["weights"]
    if get("energy", 0.0) > SILENCE:
        rest = get("residual_energy", get("rest_energy", 0.0)) / sums["energy"]
        if rest > 1e-6:  # more than rounding: some margin is above 1
            found["residual"] = rest
        if "error_energy" in sums:
            ratio = sums["error_energy"] / sums["energy"]
            found["reconstruction"] = 10 * float(np.log10(max(ratio, 10 ** (FLOOR / 10))))
    return found
