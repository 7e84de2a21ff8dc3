"""CSV manifests: what they list, what they say of it, and what is wrong with them."""

import codecs
from pathlib import Path

import pytest

from hpss_batch.corpus.manifest import read_manifest
from hpss_batch.errors import CorpusError


def rows(path: Path, text: str | bytes) -> list[tuple[str, str, object]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_manifest(str(path)))


def test_columns_are_kept_as_they_are_written(tmp_path: Path) -> None:
    found = rows(
        tmp_path / "m.csv",
        "path,id,year,label,code,none\n"
        'a.wav,first,1999,"rock, hard",007,\n'
        "sub/b.wav,second,,jazz,1e5,\n"
        "/c.wav,,2002,folk,010,\n",
    )
    assert [(track, path) for track, path, _ in found] == [
        ("first", str(tmp_path / "a.wav")),
        ("second", str(tmp_path / "sub" / "b.wav")),
        ("/c.wav", "/c.wav"),
    ]
    assert [meta for _, _, meta in found] == [
        {"year": "1999", "label": "rock, hard", "code": "007", "none": ""},
        {"year": "", "label": "jazz", "code": "1e5", "none": ""},
        {"year": "2002", "label": "folk", "code": "010", "none": ""},
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_marks_and_empty_lines(tmp_path: Path, separator: str) -> None:
    text = f"\ufeffpath{separator}n\r\na.wav{separator}1\r\n\r\n{separator}\r\nb.wav{separator}2\r\n"
    found = rows(tmp_path / "m.csv", text)
    assert [(track, meta) for track, _, meta in found] == [("a.wav", {"n": "1"}), ("b.wav", {"n": "2"})]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_heading_may_hold_other_separators(tmp_path: Path, separator: str) -> None:
    found = rows(tmp_path / "m.csv", f'path{separator}"title, artist, album"\na.wav{separator}x\n')
    assert [(track, meta) for track, _, meta in found] == [("a.wav", {"title, artist, album": "x"})]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_say_what_they_are(tmp_path: Path, encoding: str) -> None:
    assert rows(tmp_path / "m.csv", "path,genre\r\né.wav,café\r\n".encode(encoding)) == [
        ("é.wav", str(tmp_path / "é.wav"), {"genre": "café"})
    ]
    big = codecs.BOM_UTF16_BE + "path,genre\né.wav,café\n".encode("utf-16-be")
    assert rows(tmp_path / "m.csv", big)[0][2] == {"genre": "café"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            "path,genre\na.wav,x\nb.wav,café\n".encode("cp1252"),
            "line 3, column 'genre': byte 0xe9 is not UTF-8.*Excel",
        ),
        ("path,name\ncafé.wav,x\n".encode("cp1252"), "line 2, column 'path': byte 0xe9 is not UTF-8"),
        ("path,id\na.wav,café\n".encode("latin-1"), "line 2, column 'id': byte 0xe9"),
        ("path,café\na.wav,x\n".encode("cp1252"), r"line 1, column 'caf\\\\xe9': byte 0xe9"),
        ("path,genre\na.wav,x\n".encode("utf-16-le"), "line 1: byte 0x00 is not text.*as UTF-8"),
        (codecs.BOM_UTF16_LE + b"pat", "line 1: it begins as UTF-16, and is not.*as UTF-8"),
    ],
)
def test_bytes_that_may_mean_anything_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        rows(tmp_path / "m.csv", data)


def test_any_name(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.wav").touch()  # the bytes of the path are those of a file's name
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
