"""What becomes of a block of frames? Masks, components and features, straight into a unit's shards.

    spectrogram, magnitude ──► masks ──► components ──► magnitudes of components ──► features
                                 │           │                                          │
                                 └───────────┴──── what the job wants, into shards ─────┘

A feature that looks back (`Feature.before`) needs masks of some frames before the block: these are its *lead*, made
again for each block, so that no state is kept from one block to the next and every cutting gives the same bits.
"""

import threading
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.hpss import masks
from hpss_batch.dsp.params import FeatureParams, StftParams
from hpss_batch.errors import AudioError
from hpss_batch.store.schema import COMPONENTS, MASKS, fill_value, quantise
from hpss_batch.store.shard import ShardWriter
from hpss_batch.tasks.spec import BLOCK_FRAMES, Recipe
from hpss_batch.tasks.windows import Window

if TYPE_CHECKING:  # sparse matrices are for those who want features
    from hpss_batch.dsp.filterbanks import FilterBanks

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]
Rows = dict[str, NDArray[Any]]


class Bench:
    """The arrays that a thread works with, allocated once: fresh memory costs more than arithmetic.

    Attributes
    ----------
    windows : list of Window
        Over the frames of each channel, with room for a block, its lead and halos.
    shards : dict of (str, int) to ShardWriter
        By array, features included, and channel.
    seconds : dict of str to float
        Spent on each step of the unit under way; `fill` adds to "features" and "write".
    """

    def __init__(self, recipe: Recipe) -> None:
        shape, self.recipe = recipe.shape, recipe
        steps = ("read", "stft", "hpss", "features" if recipe.features is not None else None, "write")
        self.seconds = dict.fromkeys(filter(None, steps), 0.0)
        rows, channels = BLOCK_FRAMES + shape.before, range(recipe.n_channels)
        self.windows = [Window(rows + 2 * recipe.hpss.halo, shape.n_bins) for _ in channels]

        def shard(dtype: np.dtype[Any], sizes: tuple[int, ...], fill: Any) -> ShardWriter:
            return ShardWriter(dtype, sizes, shape.unit_frames, fill)

        self.shards = {
            (name, channel): shard(shape.dtype(name), shape.sizes(name), fill_value(shape.dtype(name)))
            for name in shape.names
            for channel in channels
        }
        block = (rows, shape.n_bins)
        self.masks = [np.empty(block, np.float32) for _ in MASKS]
        self.scratch = np.empty(block, np.float32)
        self.parts = dict[str, Float32]()
        if recipe.features is not None:
            from hpss_batch.dsp.features import needed_components

            self.parts = {name: np.empty(block, np.float32) for name in needed_components(recipe.features)}
        wants_components = not set(COMPONENTS).isdisjoint(shape.arrays) or "residual" in self.parts
        self.separates = wants_components or not set(MASKS).isdisjoint(shape.arrays) or bool(shape.features)
        self.components = [np.empty(block, np.complex64) for _ in MASKS if wants_components]

    def fill(
        self,
        channel: int,
        spectrogram: Complex64,
        magnitude: Float32,
        span: tuple[int, int],
        rows: tuple[int, int],
        lead: int,
    ) -> Rows:
        """Fill frames of a channel's shards; they lie in one chunk.

        Parameters
        ----------
        channel : int
            The channel.
        spectrogram, magnitude : ndarray, shape (frame, frequency)
            The window.
        span : tuple of int
            The block's frames within it, from … to; the frames around them are halo.
        rows : tuple of int
            Where these lie in the unit.
        lead : int
            Frames before the block that features look back on: `Shape.before`, or as many as the track has.

        Returns
        -------
        dict of str to ndarray
            What each array has of the frames now.
        """
        started = perf_counter()
        out = {name: self.shards[name, channel].rows(*rows) for name in self.recipe.shape.names}
        self.seconds["write"] += perf_counter() - started
        start, stop = span
        for name, values in (("spectrogram", spectrogram), ("magnitude", magnitude)):
            if name in out:
                out[name][...] = values[start:stop]
        if self.separates:
            begin = start - lead
            weights = self._masks(magnitude, begin, stop, out, lead)
            residual = (
                self._components(spectrogram[begin:stop], weights, out, lead) if self.components else None
            )
            if self.recipe.features is not None:
                self._features(magnitude[begin:stop], weights, residual, out, lead)
        return out

    def abandon(self) -> None:
        """Leave no trace of shards that were begun and not finished."""
        for writer in self.shards.values():
            writer.abandon()

    def _masks(self, magnitude: Float32, begin: int, stop: int, out: Rows, lead: int) -> list[Float32]:
        """Masks of frames `begin … stop`; the block's own into the shards."""
        stored = [out.get(name) for name in MASKS]
        weights = [
            rows if rows is not None and rows.dtype.kind == "f" and not lead else scratch[: stop - begin]
            for rows, scratch in zip(stored, self.masks, strict=True)
        ]
        masks(magnitude, self.recipe.hpss, start=begin, stop=stop, out=(weights[0], weights[1]))
        for rows, weight in zip(stored, weights, strict=True):
            if rows is not None and rows.dtype.kind != "f":
                quantise(weight[lead:], rows, self.scratch[: stop - begin - lead])
            elif rows is not None and lead:
                rows[...] = weight[lead:]
        return weights

    def _components(self, whole: Complex64, weights: list[Float32], out: Rows, lead: int) -> Complex64 | None:
        """Components into the shards; the residual is returned if features are of it."""
        parts = [part[: len(whole)] for part in self.components]
        for part, weight in zip(parts, weights, strict=True):
            np.multiply(whole, weight, out=part)
        for name, part in zip(COMPONENTS, parts, strict=False):
            if name in out:
                out[name][...] = part[lead:]
        if "residual" not in out and "residual" not in self.parts:
            return None
        np.subtract(whole, parts[0], out=parts[0])
        np.subtract(parts[0], parts[1], out=parts[0])
        if "residual" in out:
            out["residual"][...] = parts[0][lead:]
        return parts[0]

    def _features(
        self, magnitude: Float32, weights: list[Float32], residual: Complex64 | None, out: Rows, lead: int
    ) -> None:
        """Features of the block's own frames into the shards."""
        from hpss_batch.dsp.features import frame_features

        features, stft = self.recipe.features, self.recipe.stft
        assert features is not None
        started = perf_counter()
        parts = {name: part[: len(magnitude)] for name, part in self.parts.items()}
        for name, weight in zip(COMPONENTS, weights, strict=False):
            if name in parts:
                np.multiply(magnitude, weight, out=parts[name])
        if residual is not None and "residual" in parts:
            np.abs(residual, out=parts["residual"])
        banks = _banks(features, stft, self.recipe.shape.sample_rate)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below, in words
            found = frame_features(parts, features, stft, banks, start=lead)
        for name, values in found.items():
            if not np.isfinite(values).all():
                raise AudioError("is so loud that the energy of a frame is beyond float32: scale it down")
            out[name][...] = values
        self.seconds["features"] += perf_counter() - started


_benches = threading.local()


def bench(recipe: Recipe) -> Bench:
    """The bench of this thread; the same one as long as units are of the same recipe."""
    held: Bench | None = getattr(_benches, "held", None)
    if held is None or held.recipe != recipe:
        _benches.held = None  # its memory is wanted for the next
        _benches.held = held = Bench(recipe)
    return held


@lru_cache(maxsize=2)
def _banks(features: FeatureParams, stft: StftParams, sample_rate: int) -> "FilterBanks":
    from hpss_batch.dsp.filterbanks import filter_banks

    return filter_banks(features, stft, sample_rate)
