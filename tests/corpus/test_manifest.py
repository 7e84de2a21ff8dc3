"""CSV manifests: what they list, what they say of it, and what is wrong with them."""

import math
from pathlib import Path

import pytest

from hpss_batch.corpus.manifest import read_manifest
from hpss_batch.errors import CorpusError


def rows(path: Path, text: str | bytes) -> list[tuple[str, str, object]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_manifest(str(path)))


def test_columns_are_kept_as_numbers_where_they_are(tmp_path: Path) -> None:
    found = rows(
        tmp_path / "m.csv",
        "path,id,year,gain,label,code,mixed,none\n"
        'a.wav,first,1999,-3,"rock, hard",007,1,\n'
        "sub/b.wav,second,2001,0.5,jazz,008,x,\n"
        "/c.wav,,2002,,folk,010,3,\n",
    )
    assert [(track, path) for track, path, _ in found] == [
        ("first", str(tmp_path / "a.wav")),
        ("second", str(tmp_path / "sub" / "b.wav")),
        ("/c.wav", "/c.wav"),
    ]
    metas = [dict(meta) for _, _, meta in found]  # type: ignore[call-overload]
    assert [meta["year"] for meta in metas] == [1999, 2001, 2002]
    assert [meta["gain"] for meta in metas][:2] == [-3.0, 0.5]
    assert math.isnan(metas[2]["gain"])
    assert [meta["label"] for meta in metas] == ["rock, hard", "jazz", "folk"]
    assert [meta["code"] for meta in metas] == ["007", "008", "010"]
    assert [meta["mixed"] for meta in metas] == ["1", "x", "3"]
    assert [meta["none"] for meta in metas] == ["", "", ""]
    assert list(metas[0]) == ["year", "gain", "label", "code", "mixed", "none"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_marks_and_empty_lines(tmp_path: Path, separator: str) -> None:
    text = f"\ufeffpath{separator}n\r\na.wav{separator}1\r\n\r\n{separator}\r\nb.wav{separator}2\r\n"
    found = rows(tmp_path / "m.csv", text)
    assert [(track, meta) for track, _, meta in found] == [("a.wav", {"n": 1}), ("b.wav", {"n": 2})]


def test_any_name(tmp_path: Path) -> None:
    found = rows(tmp_path / "m.csv", b'path\ncaf\xe9.wav\n"new\nline.wav"\n-rf.wav\n../x.wav\n')
    assert [track for track, _, _ in found] == ["caf%E9.wav", "new\nline.wav", "-rf.wav", "../x.wav"]
    assert found[0][1] == str(tmp_path / "caf\udce9.wav")
    assert found[3] == ("../x.wav", str(tmp_path.parent / "x.wav"), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na.wav,x\n", "no column `path`.*'file', 'label'"),
        ("", "no column `path`.*none"),
        ("path,n\na.wav\n", "line 2: 1 values for 2 columns"),
        ("path,n\n\na.wav,1,2\n", "line 3: 3 values for 2 columns"),
        ("path,n,n\na.wav,1,2\n", "two columns named 'n'"),
        ("path,n\n,1\n", "line 2: the path is empty"),
        ("path\na.wav\nb.wav\na.wav\n", r"lines 2 \(a.wav\) and 4 \(a.wav\) have one id, 'a.wav'"),
        ("path,id\na.wav,x\nb.wav,x\n", r"lines 2 \(a.wav\) and 3 \(b.wav\) have one id, 'x'"),
        ('path\n"a.wav\n', "not a CSV manifest that can be read"),
        ("path\n" + "x" * 200_000 + "\n", "not a CSV manifest that can be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        rows(tmp_path / "m.csv", text)


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="No such file"):
        list(read_manifest(str(tmp_path / "m.csv")))
