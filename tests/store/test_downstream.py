"""What others do with a store: copy parts of it, read it in forked processes, open one of an earlier version."""

import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import xarray as xr
import zarr
import zarr.codecs
from helpers import music

from hpss_batch.runner.run import Result
from hpss_batch.store.reading.corpus import Corpus, open_corpus
from hpss_batch.verification.verify import verify

RunJob = Callable[..., Result]


@pytest.fixture(autouse=True)
def _zarr_says_what_is_in_no_specification() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=zarr.errors.ZarrUserWarning)
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
        yield


@pytest.fixture(params=["float32", "uint8"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path, run_job: RunJob) -> Corpus:
    """Two tracks, one in several chunks, of a manifest with ids of 64 bits."""
    sf.write(tmp_path / "a.wav", music(4.0, 22050), 22050)
    sf.write(tmp_path / "b.wav", music(1.0, 22050, 2), 22050)
    (tmp_path / "m.csv").write_text(f"path,genre,number\na.wav,jazz,{2**53 + 1}\nb.wav,rock,{2**62}\n")
    run_job(
        tmp_path / "m.csv",
        tmp_path / "out",
        output__arrays=["harmonic_mask", "percussive_mask"],
        output__mask_dtype=request.param,
        output__unit_frames=2048,
    )
    return open_corpus(tmp_path / "out")


def test_a_track_is_copied(corpus: Corpus, tmp_path: Path) -> None:
    track = corpus["a.wav"]
    assert track.chunksizes["frame"][0] == 512
    track.to_zarr(tmp_path / "a.zarr", mode="w")
    track.to_netcdf(tmp_path / "a.nc", engine="scipy")
    track.isel(frame=slice(100, 900)).load().to_zarr(tmp_path / "part.zarr", mode="w")
    for copy in (xr.open_zarr(tmp_path / "a.zarr"), xr.open_dataset(tmp_path / "a.nc", engine="scipy")):
        xr.testing.assert_equal(copy.load(), track.load())
        assert copy.attrs["meta_genre"] == "jazz"
        assert copy.attrs["meta_number"] == str(2**53 + 1)
        copy.close()


def test_the_table_is_copied(corpus: Corpus, tmp_path: Path) -> None:
    table = corpus.tracks.drop_vars("meta_number")  # netCDF 3 has no integers of 64 bits
    assert table.source_mtime.dtype == np.int64
    table.to_zarr(tmp_path / "tracks.zarr")
    table.to_netcdf(tmp_path / "tracks.nc", engine="scipy")
    with pytest.raises(ValueError, match="int64"):
        corpus.tracks.to_netcdf(tmp_path / "more.nc", engine="scipy")
    for copy in (
        xr.open_zarr(tmp_path / "tracks.zarr"),
        xr.open_dataset(tmp_path / "tracks.nc", engine="scipy"),
    ):
        for name in ("track", "status", "n_samples", "frame_start", "meta_genre", "source_size"):
            assert copy[name].values.tolist() == table[name].values.tolist()
        np.testing.assert_allclose(copy.source_mtime, table.source_mtime, rtol=0, atol=1000)
        copy.close()


def test_a_part_of_the_packed_store_is_copied(corpus: Corpus, tmp_path: Path) -> None:
    part = corpus.dataset.isel(frame=slice(100, 600))
    part.to_zarr(tmp_path / "part.zarr")
    there, here = xr.open_zarr(tmp_path / "part.zarr").load(), xr.open_zarr(Path(corpus.path, "corpus.zarr"))
    xr.testing.assert_equal(there, here.isel(frame=slice(100, 600)).load())


def test_coordinates_along_frames_have_a_chunk_for_each_shard(corpus: Corpus) -> None:
    packed = xr.open_zarr(Path(corpus.path, "corpus.zarr"))
    assert packed.track_index.chunks == packed.time.chunks == ((2048,),)
    assert packed.harmonic_mask.variable.chunks[1] == (512,) * 4
    np.testing.assert_array_equal(packed.time[:300], np.arange(300) * 64 / 22050)


def test_stores_of_earlier_versions_are_opened_and_grow(tmp_path: Path, run_job: RunJob) -> None:
    """Their coordinates have chunks of 512 frames; those of units that are added must have, too."""
    folder, out = tmp_path / "music", tmp_path / "out"
    folder.mkdir()
    sf.write(folder / "a.wav", music(4.0, 22050), 22050)
    run_job(folder, out, output__unit_frames=2048)
    group = zarr.open_group(out / "corpus.zarr", use_consolidated=False)
    for name in ("time", "track_index"):
        new = group[name]
        assert isinstance(new, zarr.Array)
        values, attributes = new[:], dict(new.attrs)
        old = group.create_array(
            name,
            shape=new.shape,
            dtype=new.dtype,
            chunks=(512,),
            shards=(2048,),
            fill_value=new.fill_value,
            dimension_names=["frame"],
            attributes=attributes,
            chunk_key_encoding={"name": "default", "separator": "."},
            compressors=zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
            overwrite=True,
        )
        old[:] = values
    sf.write(folder / "b.wav", music(3.0, 22050), 22050)
    run_job(folder, out, output__unit_frames=2048)
    assert verify(out).exit_status == 0
    packed = xr.open_zarr(out / "corpus.zarr")
    assert packed.track_index.chunksizes["frame"][0] == 512
    corpus = open_corpus(out)
    for track in corpus.values():
        np.testing.assert_array_equal(track.time, np.arange(track.sizes["frame"]) * 64 / 22050)
    assert [int(n) for n in np.unique(packed.track_index)] == [-1, 0, 1]


def _mean(corpus: Corpus, track: str, answers: "multiprocessing.Queue[float]") -> None:
    answers.put(float(corpus[track].harmonic_mask.mean()))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_reads_what_its_parent_has_read(corpus: Corpus) -> None:
    """PyTorch's `DataLoader` forks; Dask and zarr keep threads, which are not forked."""
    expected = [float(corpus[track].harmonic_mask.mean()) for track in corpus]
    forked = multiprocessing.get_context("fork")
    answers = forked.Queue()
    for track, mean in zip(corpus, expected, strict=True):
        process = forked.Process(target=_mean, args=(corpus, track, answers))
        process.start()
        process.join(60)
        hangs = process.is_alive()
        process.kill()
        assert not hangs
        assert answers.get(timeout=10) == mean
