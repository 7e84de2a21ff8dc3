"""Windows for training: what is in one, and in which order they come."""

import pickle
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from helpers import music
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch import TrackWindows, open_corpus
from hpss_batch.errors import CorpusError, ParameterError, TrackError
from hpss_batch.products.training.batches import Batches
from hpss_batch.store.directory import RunDirectory

SECONDS = {"a.wav": 9.0, "b.wav": 0.2, "c.wav": 2.0, "d.wav": 0.0, "e.wav": 3.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stereo tracks of which one straddles units, one is short and one is empty, listed with a genre and a year."""
    root = tmp_path_factory.mktemp("windows")
    for seed, (name, seconds) in enumerate(SECONDS.items()):
        sf.write(root / name, music(seconds, 22050, 2, seed), 22050)
    lines = [f"{name},{'jazz' if name < 'c' else 'rock'},{2000 + i}" for i, name in enumerate(SECONDS)]
    (root / "list.csv").write_text("\n".join(["path,genre,year", *lines]))
    return root


@pytest.fixture
def store(folder: Path, tmp_path: Path, run_job: Callable[..., Any]) -> Callable[..., Path]:
    """Run a job on the manifest."""

    def make(name: str = "out", **changes: Any) -> Path:
        run_job(folder / "list.csv", tmp_path / name, **changes)
        return tmp_path / name

    return make


@pytest.mark.parametrize("channels", ["mono", "all"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_windows_are_what_the_corpus_holds(store: Callable[..., Path], channels: str, dtype: str) -> None:
    out = store(output__mask_dtype=dtype, corpus__channels=channels)
    corpus, windows = open_corpus(out), TrackWindows(out, frames=100, hop=33, cache_bytes=10_000)
    assert windows.variables == ("harmonic_mask", "percussive_mask", "spectrogram")
    assert windows.left_out == 2
    loaded = {name: corpus[name].load() for name in corpus}
    seen = []
    for i in range(len(windows)):
        item = windows[i]
        track = loaded[item["track"]].isel(channel=item["channel"])
        first = round(item["time"] * 22050 / 64)
        there = track.isel(frame=slice(first, first + 100))
        assert item["time"] == there.time.values[0]
        assert item["meta_genre"] == ("jazz" if item["track"] < "c" else "rock")
        assert item["meta_year"] == track.attrs["meta_year"]
        for name in windows.variables:
            assert item[name].dtype == there[name].dtype
            np.testing.assert_array_equal(item[name], there[name].values)
        seen.append((item["track"], item["channel"], first))
    expected = [
        (name, channel, first)
        for name, track in loaded.items()
        for channel in range(track.sizes["channel"])
        for first in range(0, track.sizes["frame"] - 99, 33)
    ]
    assert seen == expected


def test_some_variables_tracks_and_labels(store: Callable[..., Path]) -> None:
    windows = TrackWindows(store(), "harmonic_mask", frames=64, tracks=["e.wav", "c.wav"], labels=["genre"])
    assert {windows[i]["track"] for i in range(len(windows))} == {"c.wav", "e.wav"}
    assert set(windows[-1]) == {"harmonic_mask", "track", "channel", "time", "meta_genre"}
    assert "64 frames, of 2 tracks; harmonic_mask" in repr(windows)


def test_an_item_is_the_readers_own(store: Callable[..., Path]) -> None:
    windows = TrackWindows(store(), "harmonic_mask", frames=64)
    kept = windows[0]["harmonic_mask"].copy()
    windows[0]["harmonic_mask"][:] = 7
    np.testing.assert_array_equal(windows[0]["harmonic_mask"], kept)


def test_a_pickled_copy_reopens_the_store(store: Callable[..., Path]) -> None:
    windows = TrackWindows(store(), frames=64)
    windows[0]
    data = pickle.dumps(windows)
    assert len(data) < 20_000
    again = pickle.loads(data)
    assert len(again) == len(windows)
    np.testing.assert_array_equal(again[5]["spectrogram"], windows[5]["spectrogram"])


def test_what_is_wrong_is_said(store: Callable[..., Path]) -> None:
    out = store()
    with pytest.raises(ParameterError, match=r"variables holds 'masks'; the store has .*harmonic_mask"):
        TrackWindows(out, "masks")
    with pytest.raises(
        ParameterError, match="labels holds 'meta_artist'; the store has meta_genre, meta_year"
    ):
        TrackWindows(out, labels="artist")
    with pytest.raises(ParameterError, match="frames is 0; allowed: a whole number from 1 on"):
        TrackWindows(out, frames=0)
    with pytest.raises(
        CorpusError, match=r"no track has 1000000 frames; the longest of 5 that are done has 3101"
    ):
        TrackWindows(out, frames=1_000_000)
    with pytest.raises(TrackError, match=r"has no track 'x\.wav'"):
        TrackWindows(out, tracks=["x.wav"])
    windows = TrackWindows(out)
    with pytest.raises(IndexError, match="allowed: 0 to"):
        windows[len(windows)]
    with pytest.raises(ParameterError, match="rank is 2; allowed: 0 to 1, as world_size is 2"):
        windows.batches(4, rank=2, world_size=2)


def test_a_dataloader_would_take_it(store: Callable[..., Path]) -> None:
    """What PyTorch's DataLoader does with a map-style dataset and a batch sampler."""
    windows = TrackWindows(store(), "percussive_mask", frames=64, hop=16)
    batches = windows.batches(8, workers=2)
    stacked = [np.stack([windows[i]["percussive_mask"] for i in batch]) for batch in batches]
    assert len(stacked) == len(batches)
    assert sum(map(len, stacked)) == len(windows)


numbers = st.integers(1, 5)


@given(
    st.integers(1, 300), st.integers(1, 20), numbers, numbers, numbers, st.one_of(st.none(), numbers), numbers
)
def test_every_window_comes_once(
    n: int, a_block: int, batch: int, workers: int, world: int, seed: int | None, mixed: int
) -> None:
    world = min(world, n)
    blocks = np.arange(n) // a_block
    ranks = [
        Batches(
            blocks,
            mixed,
            seed,
            batch_size=batch,
            workers=workers,
            rank=rank,
            world_size=world,
            drop_last=False,
        )
        for rank in range(world)
    ]
    for _ in range(2):
        passes = [list(rank) for rank in ranks]
        taken = [i for batches in passes for batch in batches for i in batch]
        assert len(set(taken)) == len(taken) == n // world * world
        for batches, rank in zip(passes, ranks, strict=True):
            assert len(batches) == len(rank) == -(-(n // world) // batch)
            assert all(len(found) == batch for found in batches[:-1])
        if seed is None and world == workers == 1:
            assert taken == list(range(n))


@given(st.integers(0, 9), st.integers(1, 4), st.integers(0, 3))
def test_the_order_follows_from_seed_and_epoch(seed: int, workers: int, epoch: int) -> None:
    def some() -> Batches:
        return Batches(
            np.arange(400) // 8,
            10,
            seed,
            batch_size=16,
            workers=workers,
            rank=0,
            world_size=1,
            drop_last=False,
        )

    one, other = some(), some()
    passes = [list(one) for _ in range(epoch + 1)]
    other.set_epoch(epoch)
    assert list(other) == passes[-1]
    taken = list(chain.from_iterable(passes[-1]))
    assert taken != sorted(taken)
    assert passes.count(passes[0]) == 1


@given(st.integers(1, 4), st.integers(1, 12))
def test_a_worker_needs_few_blocks_at_a_time(workers: int, mixed: int) -> None:
    blocks = np.arange(2000) // 10
    batches = Batches(blocks, mixed, 0, batch_size=7, workers=workers, rank=0, world_size=1, drop_last=False)
    dealt = list(batches)
    read = 0
    for worker in range(workers):
        cache: list[int] = []
        for block in blocks[[i for batch in dealt[worker::workers] for i in batch]]:
            if block in cache:
                cache.remove(block)
            else:
                read += 1
            cache = [*cache, block][-mixed:]
    assert read <= 200 + 2 * workers  # each block once, but for those at a border between workers


def test_drop_last_leaves_only_full_batches() -> None:
    batches = Batches(np.arange(10), 4, 0, batch_size=4, workers=3, rank=0, world_size=1, drop_last=True)
    assert [len(batch) for batch in batches] == [4, 4]
    assert len(batches) == 2


def test_a_cold_chunk_of_an_undone_track_is_never_given(store: Callable[..., Path]) -> None:
    """Windows never hold a gap's fill value."""
    out = store()
    group = RunDirectory(out).group()
    assert np.isnan(np.asarray(group["harmonic_mask"][0])).any()
    windows = TrackWindows(out, "harmonic_mask", frames=50, hop=1)
    assert all(np.isfinite(windows[i]["harmonic_mask"]).all() for i in range(0, len(windows), 7))
