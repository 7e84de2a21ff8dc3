"""Patterns mean what they say, and what the standard library's glob finds."""

import glob
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpss_batch.corpus.patterns import is_glob, matcher, split_glob

NAMES = ("a", "ab", "b", "b]", "[b", "a.b")

names = st.lists(st.text("abB[]*?!-.é", min_size=1), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("pattern", "meant", "not_meant"),
    [
        ("*.flac", ["a.flac", "x/y/a.FLAC"], ["a.wav", "a.flac/b.wav"]),
        ("**/*.wav", ["a.wav", "x/a.wav", "x/y/a.wav"], ["a.wave", "x/a.wav/b"]),
        ("music/*/a?.ogg", ["music/x/a1.ogg", "Music/x/A2.OGG"], ["music/a1.ogg", "music/x/y/a1.ogg", "music/x/a.ogg"]),
        ("live/", ["live/a.wav", "live/x/a.wav"], ["a/live/b.wav", "live"]),
        ("live/*", ["live/a.wav"], ["live/x/a.wav", "a/live/b.wav"]),
        ("**/live/**", ["live/a.wav", "x/live/y/a.wav"], ["live", "x/live", "alive/a.wav"]),
        ("/*.wav", ["a.wav"], ["x/a.wav"]),
        ("**", ["a", "a/b"], []),
        ("a**b", ["ab", "axb", "x/a1b"], ["a/b"]),
        ("take [0-9].wav", ["take 1.wav", "x/take 2.wav"], ["take x.wav", "take 10.wav"]),
        ("[!a]?", ["bc", "x/bc"], ["ab", "b", "b/"]),
        ("[[]x].wav", ["[x].wav"], ["x.wav"]),
        ("a[*]", ["a*"], ["ab"]),
        ("what[?]", ["what?"], ["whats"]),
        ("[z-a]", [], ["a", "z"]),
        ("[", ["["], ["a"]),
    ],
)  # fmt: skip
def test_what_a_pattern_means(pattern: str, meant: list[str], not_meant: list[str]) -> None:
    means = matcher([pattern])
    assert [path for path in meant if not means(path)] == []
    assert [path for path in not_meant if means(path)] == []


def test_no_pattern_means_nothing_and_any_of_some_is_enough() -> None:
    assert not matcher([])("a.wav")
    assert matcher(["b", "*.wav"])("a.wav")
    assert matcher(["b"])("a", "b")


@given(names)
def test_a_name_is_spelled_with_brackets_round_what_is_special(path: list[str]) -> None:
    name = "/".join(path)
    means = matcher([f"/{glob.escape(name)}"])
    assert means(name)
    assert means(name.swapcase())
    assert not means(f"{name}x")
    assert not means(f"{name}/x")
    assert matcher([glob.escape(path[-1])])(name)


@given(names, st.data())
def test_a_pattern_made_from_a_path_means_it(path: list[str], data: st.DataObject) -> None:
    def vague(name: str) -> str:
        choices = ["?", "[!x]", "{}", "*{}", "{}**"]
        return "".join(data.draw(st.sampled_from(choices)).format(glob.escape(c)) for c in name)

    parts = ["", *map(vague, path)]
    for at in data.draw(st.lists(st.integers(1, len(path)), max_size=2)):
        parts.insert(at, "**")
    assert matcher(["/".join(parts)])("/".join(path))
    assert matcher([parts[-1]])("/".join(path))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Files of every name in every folder, three deep."""
    root = tmp_path_factory.mktemp("tree")
    for depth in range(3):
        for folders in itertools.product(("a", "b]", "ab"), repeat=depth):
            folder = root.joinpath(*(f"{name}.d" for name in folders))
            folder.mkdir(exist_ok=True)
            for name in NAMES:
                (folder / name).touch()
    return root


@given(
    st.lists(
        st.one_of(st.sampled_from(["**", "*", "*.d", "a.d", "b"]), st.text("ab[]*?!.d-", min_size=1)),
        min_size=1,
        max_size=4,
    )
)
@example(["**"])
@example(["a.d", "**"])
@example(["**", "**", "[!a]*"])
def test_the_standard_library_finds_the_same(tree: Path, parts: list[str]) -> None:
    pattern = "/".join(parts)
    if {".", ".."} & set(parts):
        return  # steps, not names
    files = [str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()]
    found = {
        p for p in glob.glob(pattern, root_dir=tree, recursive=True) if os.path.isfile(os.path.join(tree, p))
    }
    means = matcher([f"/{pattern}"])
    assert {path for path in files if means(path)} == found


@given(names)
def test_a_glob_begins_where_a_part_is_special(path: list[str]) -> None:
    name = "/".join(path)
    assert is_glob(name) == bool(re.search(r"[*?[]", name))
    if is_glob(name):
        folder, pattern = split_glob(name)
        assert not is_glob(folder)
        assert is_glob(pattern.split("/")[1])
        assert f"{folder}{pattern}" in (name, f"./{name}")
