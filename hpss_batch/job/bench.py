"""What becomes of a block of frames? Masks, components and features, straight into a unit's shards.

    spectrogram, magnitude ──► masks ──► components ──► magnitudes of components ──► features
                                 │           │                                          │
                                 └───────────┴──── what the job wants, into shards ─────┘

A feature that looks back (`Feature.before`) needs masks of some frames before the block: these are its *lead*, made
again for each block, so that no state is kept from one block to the next and every cutting gives the same bits.
"""

from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.corpus.shape import COMPONENTS, MASKS, Shape, fill_value, quantise
from hpss_batch.dsp.hpss import HpssParams, masks
from hpss_batch.dsp.stft import StftParams
from hpss_batch.errors import AudioError
from hpss_batch.job.recipe import BLOCK, Recipe
from hpss_batch.job.sources import Window

if TYPE_CHECKING:  # sparse matrices are for those who want features
    from hpss_batch.dsp.bands import FilterBanks
    from hpss_batch.dsp.features import FeatureParams

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]


class Shard:
    """A unit's values of one array; rows that no piece fills hold the fill value.

    Parameters
    ----------
    dtype : dtype
        As stored.
    size : tuple of int
        Frames, and what a frame has.
    """

    def __init__(self, dtype: np.dtype[Any], size: tuple[int, ...]) -> None:
        self.fill = fill_value(dtype)
        self.values = np.full(size, self.fill, dtype)
        self.is_float = dtype.kind == "f"
        self.dirty = list[tuple[int, int]]()

    def close_gaps(self, filled: list[tuple[int, int]]) -> None:
        """Put the fill value wherever the last unit left something that this one did not fill."""
        borders = [0, *(border for span in filled for border in span), len(self.values)]
        for begin, end in zip(borders[::2], borders[1::2], strict=True):
            for dirty_begin, dirty_end in self.dirty:
                self.values[max(begin, dirty_begin) : max(begin, min(end, dirty_end))] = self.fill
        self.dirty = filled


class Bench:
    """The arrays that a thread works with, allocated once: fresh memory costs more than arithmetic.

    Attributes
    ----------
    shards : dict of str to Shard
        One of each array that the job wants, features included.
    window : Window
        Over the frames, with room for a block, its lead and halos.
    seconds : float
        Spent on features since it was last set to 0.
    """

    def __init__(
        self, shape: Shape, hpss: HpssParams, stft: StftParams, features: "FeatureParams | None"
    ) -> None:
        self.shape, self.hpss, self.stft, self.features = shape, hpss, stft, features
        self.seconds = 0.0
        rows = min(BLOCK, shape.unit_frames) + shape.before
        self.window = Window(rows + 2 * hpss.halo, shape.n_bins)
        self.shards = {
            name: Shard(shape.dtype(name), (shape.unit_frames, *shape.sizes(name))) for name in shape.names
        }
        block = (rows, shape.n_bins)
        self.masks = [np.empty(block, np.float32) for _ in MASKS]
        self.scratch = np.empty(block, np.float32)
        self.parts = dict[str, Float32]()
        if features is not None:
            from hpss_batch.dsp.features import needed_components

            self.parts = {name: np.empty(block, np.float32) for name in needed_components(features)}
        wants_components = not set(COMPONENTS).isdisjoint(shape.arrays) or "residual" in self.parts
        self.separates = wants_components or not set(MASKS).isdisjoint(shape.arrays) or bool(shape.features)
        self.components = [np.empty(block, np.complex64) for _ in MASKS if wants_components]

    def fill(
        self, spectrogram: Complex64, magnitude: Float32, start: int, stop: int, rows: slice, lead: int
    ) -> None:
        """Fill `rows` of each shard from frames `start … stop` of a window; the frames around them are halo.

        Parameters
        ----------
        spectrogram, magnitude : ndarray, shape (frame, frequency)
            The window.
        start, stop : int
            The block's frames within it.
        rows : slice
            Where these lie in the unit.
        lead : int
            Frames before `start` that features look back on: `Shape.before`, or as many as the track has.
        """
        for name, values in (("spectrogram", spectrogram), ("magnitude", magnitude)):
            if name in self.shards:
                self.shards[name].values[rows] = values[start:stop]
        if not self.separates:
            return
        begin = start - lead
        weights = self._masks(magnitude, begin, stop, rows, lead)
        residual = self._components(spectrogram[begin:stop], weights, rows, lead) if self.components else None
        if self.features is not None:
            self._features(magnitude[begin:stop], weights, residual, rows, lead)

    def _masks(self, magnitude: Float32, begin: int, stop: int, rows: slice, lead: int) -> list[Float32]:
        """Masks of frames `begin … stop`; the block's own into the shards."""
        shards = [self.shards.get(name) for name in MASKS]
        weights = [
            shard.values[rows]
            if shard is not None and shard.is_float and not lead
            else scratch[: stop - begin]
            for shard, scratch in zip(shards, self.masks, strict=True)
        ]
        masks(magnitude, self.hpss, start=begin, stop=stop, out=(weights[0], weights[1]))
        for shard, weight in zip(shards, weights, strict=True):
            if shard is not None and not shard.is_float:
                quantise(weight[lead:], shard.values[rows], self.scratch[: stop - begin - lead])
            elif shard is not None and lead:
                shard.values[rows] = weight[lead:]
        return weights

    def _components(
        self, whole: Complex64, weights: list[Float32], rows: slice, lead: int
    ) -> Complex64 | None:
        """Components into the shards; the residual is returned if features are of it."""
        parts = [part[: len(whole)] for part in self.components]
        for part, weight in zip(parts, weights, strict=True):
            np.multiply(_pairs(whole), weight[..., None], out=_pairs(part))
        for name, part in zip(COMPONENTS, parts, strict=False):
            if name in self.shards:
                self.shards[name].values[rows] = part[lead:]
        if "residual" not in self.shards and "residual" not in self.parts:
            return None
        np.subtract(whole, parts[0], out=parts[0])
        np.subtract(parts[0], parts[1], out=parts[0])
        if "residual" in self.shards:
            self.shards["residual"].values[rows] = parts[0][lead:]
        return parts[0]

    def _features(
        self, magnitude: Float32, weights: list[Float32], residual: Complex64 | None, rows: slice, lead: int
    ) -> None:
        """Features of the block's own frames into the shards."""
        from hpss_batch.dsp.features import frame_features

        assert self.features is not None
        started = perf_counter()
        parts = {name: part[: len(magnitude)] for name, part in self.parts.items()}
        for name, weight in zip(COMPONENTS, weights, strict=False):
            if name in parts:
                np.multiply(magnitude, weight, out=parts[name])
        if residual is not None and "residual" in parts:
            np.abs(residual, out=parts["residual"])
        banks = _banks(self.features, self.stft, self.shape.sample_rate)
        with np.errstate(over="ignore", invalid="ignore"):  # told below, in words
            found = frame_features(parts, self.features, self.stft, banks, start=lead)
        for name, values in found.items():
            if not np.isfinite(values).all():
                raise AudioError("is so loud that the energy of a frame is beyond float32: scale it down")
            self.shards[name].values[rows] = values
        self.seconds += perf_counter() - started


def bench(thread: int, recipe: Recipe) -> Bench:
    """The bench of a thread; the same one as long as recipes want the same."""
    return _bench(thread, recipe.shape, recipe.hpss, recipe.stft, recipe.features)


@lru_cache(maxsize=2)
def _bench(
    thread: int, shape: Shape, hpss: HpssParams, stft: StftParams, features: "FeatureParams | None"
) -> Bench:
    return Bench(shape, hpss, stft, features)


@lru_cache(maxsize=2)
def _banks(features: "FeatureParams", stft: StftParams, sample_rate: int) -> "FilterBanks":
    return features.banks(stft, sample_rate)


def _pairs(values: Complex64) -> Float32:
    """Complex values as pairs of floats, shape (…, 2): a weight times both is half the work of a complex product."""
    return values.view(np.float32).reshape(*values.shape, 2)
