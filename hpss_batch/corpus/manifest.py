"""Which tracks does a CSV manifest list, and what does it say of each?

A manifest has a header line and a `path` column: URLs, or paths relative to the manifest's folder; an optional `id`
column; and further columns, whose values are kept as they are written (`store/labels.py` says what becomes of them).
Separators are commas, semicolons or tabs. It is UTF-8, or UTF-16 that says so by its first bytes. What other bytes mean
cannot be known, so they are refused; in a path they may be a file's name.
"""

import codecs
import csv
import io
import os
import re
from collections.abc import Iterator

from hpss_batch.corpus.ids import track_id
from hpss_batch.errors import CorpusError
from hpss_batch.files import read_bytes
from hpss_batch.paths import is_url, quote_name
from hpss_batch.text import file_name, name_text

Meta = dict[str, str]

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins as UTF-16's does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NOT_UTF8 = re.compile(r"[\udc80-\udcff]")
_SAVE = "save the manifest as UTF-8 (in Excel: CSV UTF-8)"

EXTENSIONS = (".csv", ".tsv")
"""Names that end so are manifests."""


def read_manifest(path: str) -> Iterator[tuple[str, str, Meta | None]]:
    """The rows of a manifest.

    Parameters
    ----------
    path : str
        The manifest.

    Yields
    ------
    id : str
        The row's id, or its path as given.
    path : str
        Where the track is: absolute, or a URL.
    meta : dict or None
        Further columns' values by their names.

    Raises
    ------
    CorpusError
        If the manifest cannot be read, has no `path`, holds bytes that are not UTF-8, or two rows have one id.
    """
    header, rows = _table(path)
    at = header.index("path")
    ids = [row[header.index("id")].strip() for _, row in rows] if "id" in header else [""] * len(rows)
    kept = [(name, index) for index, name in enumerate(header) if name not in ("path", "id", "")]
    folder = name_text(os.path.dirname(path if is_url(path) else os.path.abspath(path)))
    seen: dict[str, tuple[int, str]] = {}
    for number, (line, row) in enumerate(rows):
        place = row[at].strip()
        if not place:
            raise CorpusError(f"{path}, line {line}: the path is empty; every row must name a file")
        track = track_id(ids[number] or place)
        if track in seen:
            other, before = seen[track]
            raise CorpusError(
                f"{path}: lines {other} ({before}) and {line} ({place}) have one id, {track!r}, so that their results "
                "could not be distinguished; remove one, or give each an `id` of its own"
            )
        seen[track] = line, place
        full = _place(folder, place)
        for column, cell in zip(header, row, strict=True):
            if not cell.isascii() and (
                column != "path" or is_url(full) or not os.path.lexists(file_name(full))
            ):
                _check_utf8(path, line, column, cell)
        yield track, full, {name: row[index].strip() for name, index in kept} or None


def _place(folder: str, path: str) -> str:
    """Where a file is that a manifest in a folder names by a path or a URL."""
    if is_url(path) or not is_url(folder) or os.path.isabs(path):
        return path if is_url(path) else os.path.normpath(os.path.join(folder, path))
    scheme, _, root = folder.partition("://")
    return f"{scheme}://{os.path.normpath(os.path.join(root, quote_name(path)))}"


def _table(path: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """A manifest's column names, and its rows with their lines."""
    text = _text(path)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as e:
        raise CorpusError(f"{path} is not a CSV manifest that can be read: {e}") from e
    for name in header:
        _check_utf8(path, 1, name, name)
    if "path" not in header:
        found = ", ".join(map(repr, header[:20])) or "none"
        raise CorpusError(f"{path} has no column `path`, which names the files; columns found: {found}")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise CorpusError(f"{path} has two columns named {twice[0]!r}; rename one")
    for line, row in rows:
        if len(row) != len(header):
            raise CorpusError(
                f"{path}, line {line}: {len(row)} values for {len(header)} columns; quote values that hold separators"
            )
    return header, rows


def _text(path: str) -> str:
    """A manifest's text, with bytes that are not UTF-8 as lone surrogates."""
    try:
        data = read_bytes(path)
    except OSError as e:
        raise CorpusError(f"{path} cannot be read: {e.strerror or e}") from e
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if encoding is None:
        if (at := data.find(b"\0")) >= 0:
            line = data.count(b"\n", 0, at) + 1
            raise CorpusError(f"{path}, line {line}: byte 0x00 is not text; {_SAVE}")
        return data.decode("utf-8-sig", "surrogateescape")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as e:
        line = data[: e.start].decode(encoding, "replace").count("\n") + 1
        raise CorpusError(f"{path}, line {line}: it begins as {encoding.upper()}, and is not; {_SAVE}") from e


def _separator(text: str) -> str:
    """The separator of a manifest: the one that gives the most columns, `path` among them where any does so."""

    def columns(separator: str) -> tuple[bool, int]:
        try:
            header = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
        except csv.Error:
            return False, 0
        return "path" in map(str.strip, header), len(header)

    return max(",;\t", key=columns)


def _check_utf8(path: str, line: int, column: str, cell: str) -> None:
    if found := _NOT_UTF8.search(cell):
        column = column.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise CorpusError(
            f"{path}, line {line}, column {column!r}: byte {ord(found[0]) - 0xDC00:#x} is not UTF-8, and what it means "
            f"cannot be known; {_SAVE}"
        )
