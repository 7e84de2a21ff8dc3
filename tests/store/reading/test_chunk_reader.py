"""Chunks read without zarr are those that zarr reads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from hpss_batch.errors import StoreError
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.reading.chunk_reader import ChunkReader

FRAMES = 24
"""Frames in a chunk."""


def array(
    out: Path, dtype: str = "f4", *, channels: bool = True, compressors: Any = None, shards: bool = True
) -> Any:
    """Three shards of four chunks, the second left empty, one chunk of the third as well."""
    lead = (2,) if channels else ()
    shape, one = (*lead, 12 * FRAMES, 5), (1,) * len(lead)
    made = zarr.open_group(out / "corpus.zarr", mode="a").create_array(
        "x",
        shape=shape,
        dtype=dtype,
        chunks=(*one, FRAMES, 5),
        shards=(*one, 4 * FRAMES, 5) if shards else None,
        fill_value=np.array(7, dtype)[()],
        compressors=compressors or BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=(*("channel",)[: len(lead)], "frame", "band"),
    )
    values = np.random.default_rng(0).normal(0, 50, shape).astype(dtype)
    for part in (slice(0, 4 * FRAMES), slice(8 * FRAMES, 10 * FRAMES), slice(11 * FRAMES, 12 * FRAMES)):
        made[..., part, :] = values[..., part, :]
    return made


@pytest.mark.parametrize("dtype", ["f4", "c8", "u1", "u2"])
@pytest.mark.parametrize("channels", [True, False])
def test_chunks_are_zarrs(tmp_path: Path, dtype: str, channels: bool) -> None:
    reader = ChunkReader(RunDirectory(tmp_path), stored := array(tmp_path, dtype, channels=channels))
    assert reader.direct
    assert reader.chunk_bytes == FRAMES * 5 * np.dtype(dtype).itemsize
    for channel in range(2):
        for number in (0, 11, 3, 5, 10, 9):
            frames = slice(number * FRAMES, (number + 1) * FRAMES)
            wanted = stored[channel, frames] if channels else stored[frames]
            np.testing.assert_array_equal(reader.read(number, channel), wanted)


@pytest.mark.parametrize("other", [{"shards": False}, {"compressors": ZstdCodec()}])
def test_arrays_of_others_are_read_through_zarr(tmp_path: Path, other: dict[str, Any]) -> None:
    reader = ChunkReader(RunDirectory(tmp_path), stored := array(tmp_path, **other))
    assert not reader.direct
    np.testing.assert_array_equal(reader.read(8, 1), stored[1, 8 * FRAMES : 9 * FRAMES])


def test_damage_is_noticed(tmp_path: Path) -> None:
    stored = array(tmp_path)
    shard = tmp_path / "corpus.zarr" / "x" / "c.0.0.0"
    whole = shard.read_bytes()
    for damaged, reason in (
        (whole[:-3] + b"abc", "does not match its checksum"),
        (whole[:40], "does not match its checksum"),
        (b"\xff" * 100 + whole[100:], "chunk 0 is damaged"),
    ):
        shard.write_bytes(damaged)
        with pytest.raises(StoreError, match=reason):
            ChunkReader(RunDirectory(tmp_path), stored).read(0)


def test_an_array_without_frames_is_refused(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "corpus.zarr", mode="a")
    wrong = group.create_array("y", shape=(3, 4), dtype="f4", dimension_names=("track", "frame"))
    with pytest.raises(StoreError, match=r"windows need \(frame, …\) or \(channel, frame, …\)"):
        ChunkReader(RunDirectory(tmp_path), wrong)
