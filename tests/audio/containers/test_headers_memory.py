"""A long file is looked through in memory that does not grow with it."""

import mmap
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from helpers import music

from hpss_batch.audio.containers import headers, mp3, mp3_frames, ogg, ogg_seek
from hpss_batch.audio.containers.headers import STEP, let_go


class Mapping(mmap.mmap):
    """A mapping that notes which of its bytes the system was told to let go of."""

    def madvise(self, option: int, start: int = 0, length: int | None = None) -> None:
        assert option == mmap.MADV_DONTNEED
        assert length is not None
        self.let_go = [*getattr(self, "let_go", []), (start, start + length)]
        super().madvise(option, start, length)


def test_what_was_seen_is_let_go_of_and_can_be_read_again(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, 5 * STEP // 2, np.uint8).tobytes()
    (tmp_path / "long").write_bytes(values)
    with (tmp_path / "long").open("rb") as file, Mapping(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert data[:] == values
        assert let_go(data, 0, STEP - 1) == 0
        assert not hasattr(data, "let_go")
        assert let_go(data, 0, STEP + 1) == STEP
        assert let_go(data, STEP, len(values)) == 2 * STEP
        assert data.let_go == [(0, STEP), (STEP, 2 * STEP)]
        assert data[:] == values


def test_letting_go_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sf.write(tmp_path / "a.ogg", music(12.0, 44100, 2), 44100)
    sf.write(tmp_path / "a.mp3", music(12.0, 44100, 2), 44100)
    assert (tmp_path / "a.ogg").stat().st_size > 4 * mmap.PAGESIZE
    song, other = str(tmp_path / "a.ogg"), str(tmp_path / "a.mp3")
    header = mp3.mp3_header(other)
    assert header is not None
    wanted = ogg_seek.sought_until(song), ogg.ogg_flaw(song, 44100), mp3.read_frames(other, header)
    assert wanted[0] > 400_000
    for module in (headers, ogg, ogg_seek, mp3_frames):
        monkeypatch.setattr(module, "STEP", mmap.PAGESIZE)
    ogg_seek._sought_until.cache_clear()
    mp3_frames._walk.cache_clear()
    assert (ogg_seek.sought_until(song), ogg.ogg_flaw(song, 44100), mp3.read_frames(other, header)) == wanted
