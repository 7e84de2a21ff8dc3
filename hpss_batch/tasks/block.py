"""What becomes of a block of frames? Masks, components and features, straight into the rows of a unit's shards.

    spectrogram, magnitude ──► masks ──► components ──► magnitudes of components ──► features
                                 │           │                                          │
                                 └───────────┴── what the job wants, into `rows` ───────┘

`rows` has what each array that is wanted holds of the block, by name. What is made on the way lies in `Buffers`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.hpss import masks
from hpss_batch.dsp.kernels.magnitude import joint_magnitude
from hpss_batch.dsp.kernels.magnitude import magnitude as magnitude_of
from hpss_batch.dsp.params import COMPONENTS
from hpss_batch.errors import AudioError
from hpss_batch.store.arrays.schema import MASKS, Shape, fill_value
from hpss_batch.store.arrays.shard import Array, ShardWriter
from hpss_batch.tasks.frames import window_memory
from hpss_batch.tasks.spec import BLOCK_FRAMES, Recipe

if TYPE_CHECKING:  # sparse matrices are for those who want features
    from hpss_batch.dsp.features import FrameFeatures

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]
Masks = tuple[Float32, Float32]
Rows = Mapping[str, Array]


class Target(Protocol):
    """Where the frames of one array and channel go: a shard, or memory."""

    def rows(self, begin: int, stop: int) -> Array:
        """Where to put frames `begin … stop`."""

    def written(self) -> None:
        """Take what the last `rows` hold now."""


Kind = TypeVar("Kind", bound=Target)


class Buffers(Generic[Kind]):
    """The memory that a thread works in, allocated once: fresh memory costs more than arithmetic.

    Parameters
    ----------
    recipe : Recipe
        What is computed.
    target : callable
        ``target(name)`` makes what an array's frames go to.

    Attributes
    ----------
    windows : list of pairs of arrays
        For each channel's window, with room for a block and its halo.
    shards : list of dict of str to Target
        For each channel, by array, features included.
    masks, components, magnitudes
        Of a block: both masks; two components, where any is wanted; magnitudes by component, as features need them.
    joint : ndarray or None
        The channels' joint magnitude, of a window; None where each channel has masks of its own.
    scratch : ndarray
        For codes.
    """

    def __init__(self, recipe: Recipe, target: Callable[[str], Kind]) -> None:
        shape, channels, self.recipe = recipe.shape, range(recipe.n_channels), recipe
        self.windows = [
            window_memory(BLOCK_FRAMES + 2 * recipe.separation.halo, shape.n_bins) for _ in channels
        ]
        self.shards = [{name: target(name) for name in shape.names} for _ in channels]
        joint, window = recipe.separation.joint, self.windows[0][1]
        self.joint = np.empty_like(window) if joint else None
        block = (BLOCK_FRAMES, shape.n_bins)
        self.masks = np.empty(block, np.float32), np.empty(block, np.float32)
        self.scratch = np.empty(block, np.float32)
        self.magnitudes = dict[str, Float32]()
        if recipe.features is not None:
            from hpss_batch.dsp.features import needed_components

            needed = needed_components(recipe.features)
            self.magnitudes = {name: np.empty(block, np.float32) for name in needed}
        wanted = "residual" in self.magnitudes or not set(COMPONENTS).isdisjoint(shape.arrays)
        self.components = [np.empty(block, np.complex64) for _ in MASKS if wanted]

    @property
    def writers(self) -> list[Kind]:
        """Those of all channels."""
        return [writer for shards in self.shards for writer in shards.values()]


_held = threading.local()


def buffers_for(recipe: Recipe) -> Buffers[ShardWriter]:
    """The buffers of this thread, for shards; the same ones as long as units are of the same recipe."""
    held: Buffers[ShardWriter] | None = getattr(_held, "buffers", None)
    if held is None or held.recipe != recipe:
        _held.buffers = None  # its memory is wanted for the next
        _held.buffers = held = Buffers(recipe, partial(_shard, recipe.shape))
    return held


def _shard(shape: Shape, name: str) -> ShardWriter:
    dtype = shape.dtype(name)
    return ShardWriter(dtype, shape.sizes(name), shape.unit_frames, fill_value(dtype))


def joint_masks(
    magnitudes: Sequence[Float32], block: slice, recipe: Recipe, buffers: Buffers[Any]
) -> Masks | None:
    """Masks of a block that all channels share, from their windows; None where each has its own, or none is wanted."""
    if buffers.joint is None or not recipe.separates:
        return None
    magnitude = joint_magnitude(magnitudes, buffers.joint[: len(magnitudes[0])])
    n = block.stop - block.start
    out = (buffers.masks[0][:n], buffers.masks[1][:n])
    return masks(magnitude, recipe.separation, start=block.start, stop=block.stop, out=out)


def separate(
    spectrogram: Complex64,
    magnitude: Float32,
    block: slice,
    recipe: Recipe,
    buffers: Buffers[Any],
    rows: Rows,
    shared: Masks | None = None,
) -> dict[str, Float32]:
    """Masks and components of a block, into rows.

    Parameters
    ----------
    spectrogram, magnitude : ndarray, shape (frame, frequency)
        The window.
    block : slice
        The block's frames within it; those around are halo.
    recipe, buffers, rows
        What is wanted, where to work, where it goes.
    shared : pair of ndarrays, optional
        The block's `joint_masks`.

    Returns
    -------
    dict of str to ndarray, shape (frame, frequency)
        The magnitude of each component that features need; valid until the next block.
    """
    _put("spectrogram", spectrogram[block], rows, recipe.shape)
    _put("magnitude", magnitude[block], rows, recipe.shape)
    if not recipe.separates:
        return {}
    if shared is None:
        weights = _masks(magnitude, block, recipe, buffers, rows)
    else:
        weights = shared
        for name, weight in zip(MASKS, weights, strict=True):
            _put(name, weight, rows, recipe.shape, buffers.scratch[: len(weight)])
    residual = _components(spectrogram[block], weights, buffers, rows) if buffers.components else None
    return _magnitudes(magnitude[block], weights, residual, buffers)


def _masks(magnitude: Float32, block: slice, recipe: Recipe, buffers: Buffers[Any], rows: Rows) -> Masks:
    """Masks of the block: computed where they are stored if that can be, else in buffers, and codes from there."""
    stored, n = [rows.get(name) for name in MASKS], block.stop - block.start
    first, second = (
        own[:n] if row is None or row.dtype != np.float32 else row
        for row, own in zip(stored, buffers.masks, strict=True)
    )
    weights = masks(magnitude, recipe.separation, start=block.start, stop=block.stop, out=(first, second))
    for name, row, weight in zip(MASKS, stored, weights, strict=True):
        if row is not weight:
            _put(name, weight, rows, recipe.shape, buffers.scratch[:n])
    return weights


def _components(
    spectrogram: Complex64, weights: Masks, buffers: Buffers[Any], rows: Rows
) -> Complex64 | None:
    """Components into rows; the residual is returned where it is stored or features are of it."""
    parts = [part[: len(spectrogram)] for part in buffers.components]
    for name, part, weight in zip(COMPONENTS, parts, weights, strict=False):
        np.multiply(spectrogram, weight, out=part)
        _put(name, part, rows, buffers.recipe.shape)
    if "residual" not in rows and "residual" not in buffers.magnitudes:
        return None
    residual = np.subtract(spectrogram, parts[0], out=parts[0])
    residual -= parts[1]
    _put("residual", residual, rows, buffers.recipe.shape)
    return residual


def _magnitudes(
    magnitude: Float32, weights: Masks, residual: Complex64 | None, buffers: Buffers[Any]
) -> dict[str, Float32]:
    """Magnitudes of the components that features need."""
    found = {name: part[: len(magnitude)] for name, part in buffers.magnitudes.items()}
    for name, weight in zip(COMPONENTS, weights, strict=False):
        if name in found:
            np.multiply(magnitude, weight, out=found[name])
    if residual is not None and "residual" in found:
        magnitude_of(residual, found["residual"])
    return found


def describe(magnitudes: Mapping[str, Float32], features: "FrameFeatures", shape: Shape, rows: Rows) -> None:
    """Features of a block, into rows."""
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, in words
        found = features.of(magnitudes)
    for name in found.keys() & rows.keys():
        if not np.isfinite(found[name]).all():
            raise AudioError("is so loud that the energy of a frame is beyond float32: scale it down")
        _put(name, found[name], rows, shape)


def _put(name: str, values: Array, rows: Rows, shape: Shape, scratch: Float32 | None = None) -> None:
    """Values into the rows of their array, where it is wanted: as they are, or as codes."""
    if name not in rows:
        return
    coding = shape.coding(name)
    if coding is None:
        np.copyto(rows[name], values, casting="same_kind")
    else:
        coding.encode(values, rows[name], scratch)
