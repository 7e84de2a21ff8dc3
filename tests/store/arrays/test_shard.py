"""Shards written chunk by chunk are those that zarr writes at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import blosc

from hpss_batch.errors import StoreError
from hpss_batch.store.arrays.shard import ABSENT, CLEVEL, CNAME, ShardReader, ShardWriter, shard_key
from hpss_batch.store.layout import CHUNK_FRAMES
from hpss_batch.store.storage import LocalFile, open_folder

CHUNKS = 6
FRAMES = CHUNKS * CHUNK_FRAMES
SPANS = [(3, 700), (700, 1000), (1800, 1801), (2048, 2300), (2900, 3072)]
"""Frames that hold something: chunks 0 and 1 across their border, one frame of 3, the head of 4, most of 5."""


class Memory:
    """A file under way, as bytes."""

    def __init__(self) -> None:
        self.data = b""
        self.is_finished = False

    def write(self, data: bytes) -> None:
        self.data += data

    def cut(self, size: int) -> None:
        self.data = self.data[:size]

    def finish(self) -> None:
        self.is_finished = True

    def abandon(self) -> None:
        self.data = b""


def noise(dtype: np.dtype[Any], fill: Any, shape: tuple[int, ...]) -> np.ndarray:
    values = np.random.default_rng(0).normal(60, 20, shape).astype(dtype)
    values[values == fill] = 1
    return values


def writer(dtype: np.dtype[Any], fill: Any, dims: tuple[int, ...]) -> ShardWriter:
    return ShardWriter(dtype, dims, FRAMES, fill)


def blocks(begin: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Steps within chunks, as a task takes them."""
    while begin < stop:
        end = min(begin + size - begin % size, stop)
        yield begin, end
        begin = end


@pytest.mark.parametrize("name", ["f4", "f8", "c8", "u1", "u2", "i4"])
@pytest.mark.parametrize("dims", [(), (5,), (3, 4)])
@pytest.mark.parametrize("place", ["local", "object store"])
def test_shards_are_zarrs_byte_for_byte(tmp_path: Path, name: str, dims: tuple[int, ...], place: str) -> None:
    dtype = np.dtype(name)
    fill = {"f": np.nan, "c": np.nan, "i": -1, "u": np.iinfo(dtype).max if dtype.kind == "u" else 0}[
        dtype.kind
    ]
    values = np.full((2 * FRAMES, *dims), fill, dtype)
    for begin, stop in SPANS:
        values[FRAMES + begin : FRAMES + stop] = noise(dtype, fill, (stop - begin, *dims))
    stored = zarr.open_group(tmp_path / "zarrs", mode="w").create_array(
        "x",
        shape=values.shape,
        chunks=(CHUNK_FRAMES, *dims),
        shards=(FRAMES, *dims),
        dtype=dtype,
        fill_value=fill,
        compressors=zarr.codecs.BloscCodec(cname=CNAME, clevel=CLEVEL, shuffle="bitshuffle"),
        chunk_key_encoding={"name": "default", "separator": "."},
    )
    stored[...] = values
    (tmp_path / "ours").mkdir()
    folder = open_folder(tmp_path / "ours" if place == "local" else f"file://{tmp_path}/ours")
    key, shard = shard_key(1, None, len(dims)), writer(dtype, fill, dims)

    def write() -> None:
        shard.begin(partial(folder.begin, key))
        for begin, stop in SPANS:
            shard.write(begin, values[FRAMES + begin : FRAMES + stop])
        shard.finish()

    with ThreadPoolExecutor(
        1
    ) as pool:  # off the main thread, where Blosc cuts its work by the number of cores
        pool.submit(write).result()
    assert (tmp_path / "ours" / key).read_bytes() == (tmp_path / "zarrs" / "x" / key).read_bytes()
    index = ShardReader(tmp_path / "ours" / key, CHUNKS).index
    assert [number for number, (offset, _) in enumerate(index) if offset == ABSENT] == [2]


@pytest.mark.parametrize("length", [CHUNK_FRAMES, 2 * CHUNK_FRAMES, 300])
def test_tracks_of_any_length_follow_one_another_in_chunks_of_any_size(tmp_path: Path, length: int) -> None:
    """Coordinates have chunks as long as a shard, which a track may end in anywhere."""
    shard = ShardWriter(np.dtype("i4"), (), FRAMES, -1, FRAMES)
    shard.begin(partial(open_folder(str(tmp_path)).begin, "a/c.0"))
    values = np.full(FRAMES, -1, np.int32)
    for number, begin in enumerate(range(0, FRAMES - length, length)):
        values[begin : begin + length] = number
        shard.write(begin, values[begin : begin + length])
    shard.finish()
    array = zarr.create_array(
        tmp_path / "a", shape=(FRAMES,), dtype="i4", fill_value=-1, chunks=(FRAMES,), shards=(FRAMES,),
        compressors=zarr.codecs.BloscCodec(cname=CNAME, clevel=CLEVEL, shuffle="bitshuffle"),
        chunk_key_encoding={"name": "default", "separator": "."},
    )  # fmt: skip
    np.testing.assert_array_equal(array[:], values)


def test_a_shard_of_nothing_but_gaps_has_no_file(tmp_path: Path) -> None:
    shard = writer(np.dtype("f4"), np.nan, (5,))
    shard.begin(partial(open_folder(tmp_path).begin, "c.0"))
    shard.finish()
    assert not [*tmp_path.iterdir()]


def test_a_shard_that_was_begun_again_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    shard, folder = writer(np.dtype("f4"), np.nan, ()), open_folder(tmp_path)
    shard.begin(partial(folder.begin, "c.0"))
    shard.write(0, np.zeros(FRAMES, np.float32))
    shard.begin(partial(folder.begin, "c.1"))
    shard.abandon()
    assert not [*tmp_path.iterdir()]


@given(
    lengths=st.lists(st.integers(0, 2 * CHUNK_FRAMES), min_size=1, max_size=8),
    fates=st.lists(st.floats(0, 2), min_size=8, max_size=8),
    size=st.sampled_from([128, CHUNK_FRAMES]),
)
def test_frames_that_were_taken_back_leave_no_trace(
    lengths: list[int], fates: list[float], size: int
) -> None:
    """Pieces with a fate below 1 fail after that share of their frames."""
    dtype = np.dtype("f4")
    files = [Memory(), Memory()]
    honest, failing = writer(dtype, np.nan, ()), writer(dtype, np.nan, ())
    honest.begin(lambda: files[0])
    failing.begin(lambda: files[1])
    at = 0
    for number, (length, fate) in enumerate(zip(lengths, fates, strict=False)):
        stop = min(at + length, FRAMES)
        values = noise(dtype, np.nan, (stop - at,)) + number
        failing.mark()
        for begin, end in blocks(at, at + round((stop - at) * min(fate, 1)), size):
            failing.rows(begin, end)[...] = values[begin - at : end - at]
            failing.written()
        if fate < 1:
            failing.rewind()
        else:
            honest.write(at, values)
        at = stop
    honest.finish()
    failing.finish()
    assert files[0].data == files[1].data
    assert honest.digest == failing.digest
    assert files[0].is_finished == files[1].is_finished == bool(files[0].data)


def test_what_the_disk_says_is_not_taken_for_the_audios_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: LocalFile, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalFile, "write", full)
    shard = writer(np.dtype("f4"), np.nan, ())
    shard.begin(partial(open_folder(tmp_path).begin, "c.0"))
    with pytest.raises(StoreError, match="No space left on device"):
        shard.write(0, np.zeros(FRAMES, np.float32))
    shard.abandon()
    assert not [*tmp_path.iterdir()]


def test_what_ends_at_512_frames_of_a_longer_chunk_is_kept(tmp_path: Path) -> None:
    shard, values = ShardWriter(np.dtype("i4"), (), 2048, -1, 2048), np.arange(1000, dtype=np.int32)
    shard.begin(partial(open_folder(tmp_path).begin, "c.0"))
    shard.write(0, values[:512])
    shard.write(512, values[512:])
    shard.finish()
    (offset, size), *_ = ShardReader(tmp_path / "c.0", 1).index
    found = np.frombuffer(blosc.decompress((tmp_path / "c.0").read_bytes()[offset : offset + size]), np.int32)
    np.testing.assert_array_equal(found[:1000], values)
