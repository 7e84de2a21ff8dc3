"""What is found is probed in order, in parallel, and what cannot be read says why."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.corpus.tracks import Found, Track, find, probe_tracks


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for number in range(150):
        sf.write(tmp_path / f"{number}.wav", np.zeros((number, 1 + number % 2)), 8000 + number)
    return tmp_path


@pytest.mark.parametrize("threads", [None, 1, 5])
def test_tracks_come_in_order(corpus: Path, threads: int | None) -> None:
    listing = find(corpus)
    done = list[int]()
    tracks = list(probe_tracks(iter(listing.files), threads=threads, progress=done.append))
    assert [track.id for track in tracks] == [f"{number}.wav" for number in range(150)]
    assert [track.n_samples for track in tracks] == list(range(150))
    assert [track.sample_rate for track in tracks] == list(range(8000, 8150))
    assert [track.channels for track in tracks] == [1, 2] * 75
    assert all(track.error is None for track in tracks)
    assert tracks[3] == Track(
        "3.wav",
        str(corpus / "3.wav"),
        os.stat(corpus / "3.wav").st_size,
        listing.files[3].mtime_ns,
        3,
        8003,
        2,
    )
    assert done == sorted(done)
    assert done[-1] == 150


def test_one_bad_file_costs_nothing_else(corpus: Path) -> None:
    listing = find(corpus)
    (corpus / "7.wav").write_bytes(b"")
    (corpus / "9.wav").unlink()  # between listing and probing
    (corpus / "11.wav").unlink()
    os.mkfifo(corpus / "11.wav")
    files = [*listing.files, Found("nul", "nul\0byte.wav", 0, 0), Found("odd", "\ud800.wav", 0, 0)]
    tracks = list(probe_tracks(files))
    failed = {track.id: track.error for track in tracks if track.error}
    assert {name: (error or "").split(",")[0] for name, error in failed.items()} == {
        "7.wav": "is empty (0 bytes)",
        "9.wav": "is not there: moved",
        "11.wav": "is a named pipe",
        "nul": "has a name that no file can have",
        "odd": "has a name that no file can have",
    }
    assert all((t.n_samples, t.sample_rate, t.channels) == (0, 0, 0) for t in tracks if t.error)
    assert len(tracks) == 152


def test_columns_of_a_manifest_are_kept(corpus: Path) -> None:
    (corpus / "m.csv").write_text("path,label\n5.wav,five\ngone.wav,none\n")
    five, gone = probe_tracks(find(corpus / "m.csv").files)
    assert (five.meta, five.n_samples, five.error) == ({"label": "five"}, 5, None)
    assert gone.meta == {"label": "none"}
    assert gone.error is not None
    assert "not there" in gone.error


def test_stopping_early_leaves_nothing_behind(corpus: Path) -> None:
    tracks = probe_tracks(find(corpus).files * 50, threads=2)
    assert next(iter(tracks)).id == "0.wav"
    tracks.close()  # type: ignore[attr-defined]


def test_no_files(corpus: Path) -> None:
    assert list(probe_tracks([])) == []


def test_values_cannot_be_changed(corpus: Path) -> None:
    track = next(iter(probe_tracks(find(corpus).files[:1])))
    with pytest.raises(AttributeError):
        track.n_samples = 5  # type: ignore[misc]
    assert replace(track, n_samples=5).n_samples == 5
