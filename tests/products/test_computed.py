"""Corpora and songs that are opened without a run hold what a run stores, bit for bit, at the cost of what is read."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import xarray as xr
from helpers import SMALL, encode, music, settings

import hpss_batch
from hpss_batch import Job, TrackWindows, open_audio, open_corpus
from hpss_batch.audio.decoder import Decoder
from hpss_batch.errors import AudioError, ConfigError, CorpusError, TrackError

ARRAYS = [
    "spectrogram",
    "magnitude",
    "harmonic_mask",
    "percussive_mask",
    "harmonic",
    "percussive",
    "residual",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks of several formats, rates and channels, one empty, one that holds no audio, one whose header is long."""
    root = tmp_path_factory.mktemp("songs")
    for seed, (name, seconds, rate, channels) in enumerate(
        [
            ("a.flac", 9.0, 44100, 2),
            ("b.ogg", 3.0, 22050, 1),
            ("d.wav", 0.0, 22050, 1),
            ("e.wav", 2.0, 8000, 2),
        ]
    ):
        sf.write(root / name, music(seconds, rate, channels, seed), rate)
    (root / "f.wav").write_bytes(b"no audio")
    encode(root / "g.mp3", "libmp3lame", "mp3", music(4.0, 48_000, 2, 7).T)
    return root


@pytest.fixture
def store(folder: Path, tmp_path: Path) -> Callable[..., tuple[Path, Job]]:
    def make(**changes: Any) -> tuple[Path, Job]:
        job = Job.parse(settings(folder, tmp_path / "out", **changes))
        hpss_batch.run(job)
        return tmp_path / "out", job

    return make


@pytest.mark.parametrize(
    "changes",
    [
        {"output__arrays": ARRAYS, "hpss__margin": [1.5, 2.0]},
        {"corpus__channels": "all", "output__features": {"n_mels": 20}, "output__mask_dtype": "uint8"},
        {"hpss__method": "banded", "corpus__sample_rate": 16000},
    ],
)
def test_a_corpus_without_a_run_is_what_a_run_stores(
    store: Callable[..., tuple[Path, Job]], folder: Path, changes: dict[str, Any]
) -> None:
    out, job = store(**changes)
    there, here = open_corpus(out), open_corpus(folder, job)
    assert list(here) == list(there) == ["a.flac", "b.ogg", "d.wav", "e.wav", "g.mp3"]
    assert len(here) == 5
    for track in there:
        stored, computed = there[track], here[track]
        assert computed.attrs == stored.attrs
        xr.testing.assert_identical(computed.compute(), stored.compute())
    with pytest.raises(TrackError, match=r"f\.wav is failed: "):
        here["f.wav"]


def test_any_part_is_computed_as_the_whole_is(store: Callable[..., tuple[Path, Job]], folder: Path) -> None:
    out, job = store(corpus__channels="all")
    whole = open_corpus(out)["a.flac"].load()
    song = hpss_batch.products.computed.corpus.open_corpus(folder, job).lazy("a.flac")  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, n = rng.integers(0, whole.sizes["frame"] - 1), rng.integers(0, 400)
        part = {
            "frame": slice(first, first + n, rng.integers(1, 4)),
            "channel": rng.choice([0, 1]),
            "frequency": slice(None, None, -1),
        }
        xr.testing.assert_identical(song.isel(part).load(), whole[list(song.data_vars)].isel(part))
    xr.testing.assert_identical(
        song.isel(frame=[7, 3, 900]).load(), whole[list(song.data_vars)].isel(frame=[7, 3, 900])
    )
    assert song.isel(frame=-1).harmonic_mask.shape == (2, 129)


def test_a_part_costs_what_is_read_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples decoded are those of the frames, of the medians' halo and of what the resampler needs."""
    decoded, read = [0], Decoder.read

    def counting(self: Decoder, start: int, out: Any) -> int:
        decoded[0] += out.shape[1]
        return read(self, start, out)

    song = open_audio(folder / "a.flac", stft=SMALL, hpss={"kernel_size": 17})
    monkeypatch.setattr(Decoder, "read", counting)
    assert decoded[0] == 0
    song.harmonic_mask.isel(frame=slice(2000, 2100)).load()
    assert 100 * 64 < decoded[0] < (100 + 2 * 17) * 64 + 2 * 256
    before = decoded[0]
    song.percussive_mask.isel(frame=slice(2000, 2100)).load()
    assert decoded[0] == before, "it was computed with the other"


def test_xarray_opens_a_song(folder: Path) -> None:
    """By the engine's name, or by the file's."""
    own = open_audio(folder / "g.mp3", method="banded", features={"kinds": ["rms"]}, channels="mono")
    with xr.open_dataset(
        folder / "g.mp3",
        engine="hpss_batch",
        method="banded",
        features={"kinds": ["rms"]},
        channels="mono",
        chunks={},
    ) as opened:
        assert set(opened.chunksizes["frame"][:-1]) <= {512}
        xr.testing.assert_identical(opened.compute(), own.compute())
    with xr.open_dataset(folder / "b.ogg", drop_variables="residual") as guessed:
        assert [*guessed.data_vars] == [*open_audio(folder / "b.ogg").data_vars][:-1]
    whole = own.harmonic + own.percussive + own.residual
    np.testing.assert_allclose(whole, own.spectrogram, atol=1e-5)


def test_windows_without_a_run(store: Callable[..., tuple[Path, Job]], folder: Path) -> None:
    out, job = store(corpus__channels="all", output__features={"n_mels": 20})
    there, here = (
        TrackWindows(out, frames=100, hop=70),
        TrackWindows(open_corpus(folder, job), frames=100, hop=70),
    )
    here = pickle.loads(pickle.dumps(here))
    assert len(here) == len(there)
    for i in range(0, len(here), 3):
        mine, stored = here[i], there[i]
        assert mine.keys() == stored.keys()
        for name, value in stored.items():
            np.testing.assert_array_equal(mine[name], value)
    assert sorted(i for batch in here.batches(8) for i in batch) == list(range(len(here)))


def test_a_store_s_spectrograms_are_separated_without_a_run(
    store: Callable[..., tuple[Path, Job]], folder: Path, tmp_path: Path
) -> None:
    out, _ = store()
    other = {"hpss": {"margin": 2.0}, "stft": SMALL, "corpus": {"sample_rate": 22050}}
    again = open_corpus(out, other)
    hpss_batch.run(
        Job.parse({**other, "corpus": {"path": str(out)}, "output": {"path": str(tmp_path / "new")}})
    )
    stored = open_corpus(tmp_path / "new")
    assert list(again) == list(stored)
    xr.testing.assert_equal(again["a.flac"].harmonic_mask.compute(), stored["a.flac"].harmonic_mask.compute())


def test_what_cannot_be_opened_says_why(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nothing\.wav"):
        open_audio(folder / "nothing.wav")
    with pytest.raises((CorpusError, TrackError), match=r"f\.wav"):
        open_audio(folder / "f.wav")
    with pytest.raises(CorpusError, match=r"is not one recording.*open_corpus"):
        open_audio(folder, sample_rate=22050)
    with pytest.raises(ConfigError, match="method"):
        open_audio(folder / "a.flac", method="better")
    corpus = open_corpus(folder, {"corpus": {"sample_rate": 22050}})
    with pytest.raises(TrackError, match=r"opened without a run.*output\.stems"):
        corpus.stem_files("a.flac")
    shutil.copy(folder / "a.flac", tmp_path / "a.flac")
    song = open_audio(tmp_path / "a.flac")
    shutil.copy(folder / "b.ogg", tmp_path / "a.flac")
    with pytest.raises(AudioError, match=r"a\.flac changed"):
        song.spectrogram.load()
