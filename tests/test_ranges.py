"""Bytes behind a URL are those on a disk, wherever they are asked for."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch import ranges
from hpss_batch.ranges import RangedFile, RangedStream

DATA = bytes(range(7)) * 40


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An object of 280 bytes, in blocks of 16, of which four are held."""
    place = tmp_path_factory.mktemp("objects") / "100% a#b"
    place.write_bytes(DATA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "_BLOCK", 16)
        patch.setattr(ranges, "HELD_BYTES", 64)
        patch.setattr(ranges, "_MOST_BLOCKS", 2)
        patch.setattr(ranges, "SMALL_BYTES", 32)
        yield f"file://{place.parent}/100%25 a#b"


places = st.integers(-5, len(DATA) + 5)


@given(st.lists(st.tuples(places, places), min_size=1, max_size=8))
def test_slices_are_those_of_the_bytes(url: str, spans: list[tuple[int, int]]) -> None:
    file = RangedFile(url)
    assert len(file) == len(DATA)
    for begin, end in spans:
        assert file[begin:end] == DATA[begin:end]
        if begin >= 0:
            assert file.read(begin, max(end - begin, 0)) == DATA[begin : max(begin, end)]


@given(st.binary(min_size=1, max_size=3) | st.sampled_from([DATA[3:30], DATA[-9:]]), places, places)
def test_what_is_sought_is_found_where_it_is(url: str, sought: bytes, begin: int, end: int) -> None:
    begin, end, file = max(begin, 0), max(end, 0), RangedFile(url)
    assert file.find(sought, begin) == DATA.find(sought, begin)
    assert file.find(sought, begin, end) == DATA.find(sought, begin, end)
    assert file.rfind(sought, begin, end) == DATA.rfind(sought, begin, end)


def test_a_stream_reads_as_a_file_does(url: str) -> None:
    stream = RangedStream(url)
    assert stream.seek(-20, os.SEEK_END) == len(DATA) - 20
    assert stream.read(5) == DATA[-20:-15]
    assert stream.seek(3, os.SEEK_CUR) == stream.tell() == len(DATA) - 12
    assert stream.read() == DATA[-12:]
    assert stream.read(1) == b""
