"""What would the arrays of a run hold, from this frame to that one? Computed as a unit's task does, but in memory.

A span of frames costs what is decoded and computed for it and its halo, and holds what was asked for and a block. It
has the bits that a store has there, since a track may be cut anywhere.
"""

import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from threading import Lock, local
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core.indexing import ExplicitIndexer, IndexingSupport, explicit_indexing_adapter

from hpss_batch.errors import AudioError, UnreachableError
from hpss_batch.store.arrays.axes import FrameAxis
from hpss_batch.store.arrays.schema import AXES, MASKS, Coding, fill_value
from hpss_batch.store.layout import CHUNK_FRAMES, Piece, Placed
from hpss_batch.tasks.block import Buffers
from hpss_batch.tasks.clock import Clock
from hpss_batch.tasks.spec import Recipe
from hpss_batch.tasks.unit import pass_through, reason

Array = NDArray[Any]
Span = tuple[int, int]

KEPT_SPANS = 8
"""Masks that were computed with the one that was asked for, and are kept until somebody asks for them."""

LOCKS = 16
"""For spans, so that what two threads ask for at once is computed once."""


class Rows:
    """Where the frames of one array go, in place of a shard: into memory."""

    out: Array

    def rows(self, begin: int, stop: int) -> Array:
        """Where to put frames `begin … stop`."""
        return self.out[begin:stop]

    def written(self) -> None:
        """Nothing has to be done with them."""


class Frames:
    """Frames of all tracks of a plan, on its packed frame axis; they can be pickled.

    Parameters
    ----------
    recipe : Recipe
        How they are computed, and which arrays there are.
    rows : list of Placed
        The tracks, in the order in which they lie on the axis. Those with an error have no frames.

    Raises
    ------
    AudioError
        From `read`, if a track cannot be read, or is not as it was when it was opened. Its id is in the message.
    """

    def __init__(self, recipe: Recipe, rows: list[Placed]) -> None:
        self.recipe = recipe
        self.axis = FrameAxis(rows, recipe.stft, recipe.shape.sample_rate)
        self.token = uuid.uuid4().hex
        self._prepare()

    def _prepare(self) -> None:
        self._held, self._locks = local(), [Lock() for _ in range(LOCKS)]
        self._spare = OrderedDict[tuple[str, Span], Array]()

    def __getstate__(self) -> dict[str, Any]:
        return {"recipe": self.recipe, "axis": self.axis, "token": self.token}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()

    def read(self, name: str, first: int, stop: int) -> Array:
        """Frames first … stop of an array as a store holds them, (channel, frame, …); in gaps, the fill value."""
        span = (first, stop)
        with self._locks[hash(span) % LOCKS]:
            found = self._spare.pop((name, span), None)
            if found is None:
                names = MASKS if name in MASKS and {*MASKS} <= {*self.recipe.shape.arrays} else (name,)
                computed = self.read_all(names, first, stop)
                found = computed.pop(name)
                self._spare |= {(other, span): values for other, values in computed.items()}
                while len(self._spare) > KEPT_SPANS:
                    self._spare.popitem(last=False)
        return found

    def read_all(self, names: tuple[str, ...], first: int, stop: int) -> dict[str, Array]:
        """The same of several arrays, which are computed together."""
        recipe, buffers = self._buffers(names)
        shape = recipe.shape
        out = dict[str, Array]()
        for name in names:
            size, dtype = (recipe.n_channels, stop - first, *shape.sizes(name)), shape.dtype(name)
            out[name] = np.full(size, fill_value(dtype), dtype)
        for index, row, begin, end in self.axis.within(first, stop):
            for name, values in out.items():
                for rows, channel in zip(buffers.shards, values, strict=True):
                    rows[name].out = channel[begin - first : end - first]
            self._compute(recipe, Piece(index, row, begin - row.frame_start, end - begin, 0), buffers)
        return out

    def _compute(self, recipe: Recipe, piece: Piece, buffers: Buffers[Rows]) -> None:
        try:
            pass_through(recipe, piece, buffers, Clock("read", "stft", "hpss", "features", "write"))
        except (AudioError, OSError, UnreachableError) as error:
            raise AudioError(f"{piece.track.id} {reason(error)}") from error

    def _buffers(self, names: tuple[str, ...]) -> tuple[Recipe, Buffers[Rows]]:
        """A recipe for some of the arrays, and this thread's memory for it, which is used again."""
        held: dict[tuple[str, ...], tuple[Recipe, Buffers[Rows]]] = vars(self._held).setdefault("buffers", {})
        if names not in held:
            shape, given = self.recipe.shape, self.recipe.features
            features = tuple(feature for feature in shape.features if feature.name in names)
            arrays = tuple(name for name in shape.arrays if name in names)
            recipe = replace(
                self.recipe,
                shape=replace(shape, arrays=arrays, features=features),
                features=given if features else None,
            )
            held[names] = recipe, Buffers(recipe, lambda _: Rows())
        return held[names]


class LazyFrames(BackendArray):
    """An array on (channel, frame, …) that is computed where it is indexed, for xarray.

    Parameters
    ----------
    frames : Frames
        What computes it.
    name : str
        Which array.
    n_frames : int
        Length of the packed axis.
    decode : Coding, optional
        How codes become values, where values are wanted.
    """

    def __init__(self, frames: Frames, name: str, n_frames: int, decode: Coding | None = None) -> None:
        shape = frames.recipe.shape
        self.frames, self.name, self.decode = frames, name, decode
        self.shape = (frames.recipe.n_channels, n_frames, *shape.sizes(name))
        self.dtype = np.dtype(np.float32) if decode else shape.dtype(name)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return self.frames.token, self.name

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self._part)

    def _part(self, key: tuple[Any, ...]) -> Array:
        channel, frame, *rest = key
        span, place = _span(frame, self.shape[1])
        part: Array = self.frames.read(self.name, *span)[(channel, place, *rest)]
        return part if self.decode is None else self.decode.decode(part)


class LazyAxis(BackendArray):
    """A coordinate on the packed frame axis, `time` or `track_index`, for xarray."""

    def __init__(self, frames: Frames, name: str, n_frames: int) -> None:
        self.frames, self.name, self.shape, self.dtype = frames, name, (n_frames,), AXES[name][0]

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self._part)

    def _part(self, key: tuple[Any, ...]) -> Array:
        span, place = _span(key[0], self.shape[0])
        values: Array = self.frames.axis.values(self.name, *span)[place]
        return values


def _span(frame: int | slice, n_frames: int) -> tuple[Span, Any]:
    """The frames that an index is about, from … to; and the index within them."""
    wanted = range(n_frames)[frame]
    if isinstance(wanted, int):
        return (wanted, wanted + 1), 0
    if not wanted:
        return (0, 0), slice(0, 0)
    first, last = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
    return (first, last + 1), np.array(wanted) - first if wanted.step != 1 else slice(None)


class ComputedReader:
    """Chunks of one array, computed; in place of `store.reading.chunk_reader.ChunkReader`, which see.

    Parameters
    ----------
    frames : Frames
        What computes them.
    name : str
        Which array.
    chunk : callable
        ``chunk(number)`` gives a chunk of each array that is read, by name, computed together.
    """

    axis, frames = 1, CHUNK_FRAMES

    def __init__(self, frames: Frames, name: str, chunk: Callable[[int], dict[str, Array]]) -> None:
        shape = frames.recipe.shape
        self.name, self.chunk = name, chunk
        self.tail, self.dtype, self.coding = shape.sizes(name), shape.dtype(name), shape.coding(name)
        self.chunk_bytes = CHUNK_FRAMES * shape.frame_bytes(name)

    def read(self, number: int, channel: int = 0) -> Array:
        """A chunk as a store would hold it, shape (frames, *tail)."""
        values: Array = self.chunk(number)[self.name][channel]
        return values


def open_readers(frames: Frames, names: Iterable[str]) -> dict[str, ComputedReader]:
    """Readers of arrays whose frames are asked for together, which are computed once."""
    wanted = tuple(names)

    @lru_cache(maxsize=1)
    def chunk(number: int) -> dict[str, Array]:
        return frames.read_all(wanted, number * CHUNK_FRAMES, (number + 1) * CHUNK_FRAMES)

    return {name: ComputedReader(frames, name, chunk) for name in wanted}
