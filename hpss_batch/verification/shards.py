"""What do a unit's shards hold? Read in blocks, with the digests that the unit's commit has of them.

A commit's digest is a CRC32C over the values of the frames of the unit's pieces, in order. The frames between are
gaps. Both are looked at here, and what cannot be read is distinguished from what is not there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray

from hpss_batch.store.layout import CHUNK_FRAMES, Piece, Unit
from hpss_batch.store.records import Commit
from hpss_batch.tasks.spec import Recipe

READ_FRAMES = 4 * CHUNK_FRAMES
"""Frames that are read at once: what bounds the memory of a check."""


@dataclass
class Reading:
    """What a shard was found to hold.

    Attributes
    ----------
    digest : int or None
        Over the pieces' frames; None where there are none.
    pieces : dict of int to int or None
        By row, the commit's digest before a piece, gone on with what the shard holds of it.
    gone : set of int
        Rows of tracks some of whose frames hold nothing.
    unreadable : dict of int to str
        Rows of tracks some of whose frames cannot be decoded, and why.
    broken : str
        Why some frame cannot be decoded, be it a track's or not.
    noise : int
        Frames between pieces that are not gaps.
    n_bytes : int
        Bytes read.
    """

    digest: int | None = None
    pieces: dict[int, int | None] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    unreadable: dict[int, str] = field(default_factory=dict)
    broken: str = ""
    noise: int = 0
    n_bytes: int = 0


def read_shard(
    array: "zarr.Array[Any]",
    recipe: Recipe,
    unit: Unit,
    channel: int,
    commit: Commit,
    lengths: Mapping[int, int],
) -> Reading:
    """Read a unit's shard of one array and channel, and make its digests.

    Parameters
    ----------
    array : zarr.Array
        Dimensions (channel, frame, …).
    recipe : Recipe
        How the unit was done.
    unit, channel
        Which shard.
    commit : Commit
        What became of the unit's tracks, and digests to go on from.
    lengths : mapping of int to int
        True number of frames of tracks, by row, where any commit has it.
    """
    frames = recipe.shape.unit_frames
    start = unit.number * frames
    spans = list[tuple[int, int, int]]()
    for piece in unit.pieces:
        if channel >= piece.track.n_channels(recipe.channels):
            continue
        length = lengths.get(piece.index) if commit.tracks[piece.index].status == "done" else None
        held = (
            _held(array, start, channel, piece) if length is None else min(length, piece.stop) - piece.first
        )
        spans.append((piece.index, piece.offset, piece.offset + max(held, 0)))
    tracks = commit.by_track(array.basename, channel)
    reading = Reading(pieces={index: before for index, (before, _) in tracks.items()})
    for begin in range(0, frames, READ_FRAMES):
        for first, stop, values in _values(array, start, channel, begin, min(begin + READ_FRAMES, frames)):
            within = ((index, max(a, first), min(b, stop)) for index, a, b in spans)
            inside = [(index, a, b) for index, a, b in within if a < b]
            if isinstance(values, str):
                reading.broken = values
                reading.unreadable |= {index: values for index, _, _ in inside}
            else:
                _take(reading, values, first, inside, array.fill_value)
    return reading


def _take(
    reading: Reading, values: NDArray[Any], first: int, inside: list[tuple[int, int, int]], fill: Any
) -> None:
    """Add a block of frames to a reading; `inside` are the pieces' frames in it."""
    reading.n_bytes += values.nbytes
    empty = _is_fill(values, fill)
    gap = np.ones(len(values), bool)
    for index, a, b in inside:
        rows = slice(a - first, b - first)
        gap[rows] = False
        block = np.ascontiguousarray(values[rows]).reshape(-1).view(np.uint8)
        reading.digest = google_crc32c.extend(reading.digest or 0, block)
        reading.pieces[index] = google_crc32c.extend(reading.pieces.get(index) or 0, block)
        if empty[rows].any():
            reading.gone.add(index)
    between = values.reshape(len(values), -1)[gap]
    reading.noise += int((~_equal(between, fill)).any(axis=1).sum())


def _values(
    array: "zarr.Array[Any]", start: int, channel: int, begin: int, stop: int
) -> Iterator[tuple[int, int, NDArray[Any] | str]]:
    """Frames `begin … stop` of a shard, at once or, where that fails, chunk by chunk; a reason for what fails."""
    try:
        yield begin, stop, np.asarray(array[channel, start + begin : start + stop])
    except MemoryError:
        raise
    except Exception as error:  # whatever a codec raises for bytes that it never wrote
        if stop - begin <= CHUNK_FRAMES:
            yield begin, stop, f"{type(error).__name__}: {error}"
            return
        for first in range(begin, stop, CHUNK_FRAMES):
            yield from _values(array, start, channel, first, min(first + CHUNK_FRAMES, stop))


def _held(array: "zarr.Array[Any]", start: int, channel: int, piece: Piece) -> int:
    """Frames of a piece that were computed, where no commit says how long its track is: those before the last gap."""
    last, end = 0, piece.offset + piece.n_frames
    for begin in range(piece.offset, end, READ_FRAMES):
        for first, _, values in _values(array, start, channel, begin, min(begin + READ_FRAMES, end)):
            if isinstance(values, str):
                continue
            found = np.flatnonzero(~_is_fill(values, array.fill_value))
            if found.size:
                last = first - piece.offset + int(found[-1]) + 1
    return last


def _is_fill(values: NDArray[Any], fill: Any) -> NDArray[np.bool_]:
    """Which frames hold nothing: what is computed is never NaN nor the top code, so that one value shows it."""
    return _equal(values.reshape(len(values), -1)[:, 0], fill)


def _equal(values: NDArray[Any], fill: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isnan(values) if np.isnan(fill) else values == fill
    return found
