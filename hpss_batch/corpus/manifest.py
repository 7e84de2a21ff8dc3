"""Which tracks does a CSV manifest list, and what does it say of each?

A manifest has a header line and a `path` column, relative to the manifest's folder; an optional `id` column; and
further columns, which are kept: as numbers where all of their values are numbers, as text else. Separators are
commas, semicolons or tabs.
"""

import csv
import math
import os
from collections.abc import Iterator

from hpss_batch.corpus.ids import track_id
from hpss_batch.errors import CorpusError

Meta = dict[str, str | int | float]

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
        Where the track is: absolute.
    meta : dict or None
        Further columns' values by their names.

    Raises
    ------
    CorpusError
        If the manifest cannot be read, has no `path`, or two rows have one id.
    """
    header, rows = _table(path)
    at = header.index("path")
    ids = [row[header.index("id")].strip() for _, row in rows] if "id" in header else [""] * len(rows)
    kept = [(name, index) for index, name in enumerate(header) if name not in ("path", "id", "")]
    columns = {name: _values([row[index].strip() for _, row in rows]) for name, index in kept}
    folder = os.path.dirname(os.path.abspath(path))
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
        meta = {name: values[number] for name, values in columns.items()} or None
        yield track, os.path.normpath(os.path.join(folder, place)), meta


def _table(path: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """A manifest's column names, and its rows with their lines."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=first.count), strict=True)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as e:
        raise CorpusError(f"{path} is not a CSV manifest that can be read: {e}") from e
    except OSError as e:
        raise CorpusError(f"{path} cannot be read: {e.strerror or e}") from e
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


def _values(texts: list[str]) -> list[str] | list[int] | list[float]:
    """A column's values: integers or floats where all are, with NaN for empty ones; text else."""
    filled = [text for text in texts if text]
    if not filled:
        return texts
    try:
        if len(filled) == len(texts) and all(_is_integer(text) for text in texts):
            return [int(text) for text in texts]
        return [_number(text) if text else math.nan for text in texts]
    except ValueError:
        return texts


def _is_integer(text: str) -> bool:
    # 007 is a name, and so is 1_000; larger numbers fit no int64
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0") and len(digits) < 19


def _number(text: str) -> float:
    """A float, or `ValueError` where the text is a name made of digits."""
    digits = text.lstrip("+-")
    if "_" in text or (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()):
        raise ValueError(text)
    return float(text)
