"""Ids are unique and lead back to names; order is natural; patterns mean what they say."""

import doctest
import fnmatch
import os
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.corpus import names
from hpss_batch.corpus.names import glob_matcher, matcher, natural_key, split_glob, track_id

raw = st.lists(
    st.one_of(
        st.sampled_from([b"%", b"%25", b"%4", b"2", b"a", b"F", b"\xff", b"\xc3\xa9", b"\xc3"]), st.binary()
    ),
    max_size=8,
).map(lambda parts: b"".join(parts).replace(b"\0", b""))


@given(raw)
def test_an_id_leads_back_to_its_name(name: bytes) -> None:
    track = track_id(os.fsdecode(name))
    assert unquote_to_bytes(track.encode("utf-8")) == name  # and so no two names have one id


@given(st.text(st.characters(codec="utf-8", exclude_characters="%\0")))
def test_plain_names_are_their_ids(name: str) -> None:
    assert track_id(name) == name


def test_doctests() -> None:
    assert doctest.testmod(names).failed == 0


@given(st.lists(st.text(st.sampled_from("aB/0129 .é")), max_size=20))
def test_order_is_total(found: list[str]) -> None:
    assert sorted(set(found), key=natural_key) == sorted(sorted(set(found)), key=natural_key)
    assert len({natural_key(name) for name in found}) == len(set(found))


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_numbers_count_as_numbers(a: int, b: int) -> None:
    assert (natural_key(f"take {a}.wav") < natural_key(f"take {b}.wav")) == (a < b)


@pytest.mark.parametrize(
    ("pattern", "means", "means_not"),
    [
        ("*.flac", ["a.flac", "a/b/C.FLAC"], ["a.flac.txt", "flac"]),
        ("live/*", ["live/a.wav", "Live/b/c.wav"], ["a/live/b.wav", "live.wav"]),
        ("live/", ["live/a.wav", "live/b/c.wav"], ["live"]),
        ("**/a.wav", ["a.wav", "b/c/a.wav"], ["ba.wav"]),
        ("x[12].wav", ["x1.wav", "y/x2.wav"], ["x3.wav"]),
    ],
)
def test_patterns(pattern: str, means: list[str], means_not: list[str]) -> None:
    wanted = matcher([pattern])
    assert all(wanted(track, track.rsplit("/", 1)[-1]) for track in means)
    assert not any(wanted(track, track.rsplit("/", 1)[-1]) for track in means_not)
    assert not matcher([])("a", "a")


@pytest.mark.parametrize(
    ("pattern", "root", "means", "means_not"),
    [
        ("music/*/*.ogg", "music", ["a/b.ogg"], ["b.ogg", "a/c/b.ogg"]),
        ("/m/**/cd?/*.ogg", "/m", ["cd1/b.ogg", "x/y/cd2/b.OGG"], ["cd1/x/b.ogg", "cd/b.ogg"]),
        ("*.ogg", ".", ["b.ogg"], ["a/b.ogg"]),
        ("/*/b.ogg", "/", ["a/b.ogg"], ["b.ogg"]),
        ("m/**", "m", ["b.ogg", "a/b.ogg"], []),
    ],
)
def test_globs(pattern: str, root: str, means: list[str], means_not: list[str]) -> None:
    found, parts = split_glob(pattern)
    assert found == root
    wanted = glob_matcher(parts)
    assert all(map(wanted, means))
    assert not any(map(wanted, means_not))


@given(st.text(st.sampled_from("ab*?[]-!")), st.text(st.sampled_from("ab-"), min_size=1))
def test_a_glob_of_one_part_is_fnmatch(pattern: str, name: str) -> None:
    if pattern != "**":
        assert glob_matcher([pattern])(name) == fnmatch.fnmatchcase(name, pattern)
