"""What do the columns of a manifest become in a store? Variables on `track`, whatever a column is called or holds.

Layouts keep values as the manifest wrote them, as text, and a variable follows from all rows at once:

    whole numbers of 64 bits, one for each track         int64, or uint64 where they need it
    numbers that float64 holds; some may be missing      float64, with NaN
    anything else: names, 007, 1e5, 12:30                text, with "" where there is none

so that the next run may add a value of another kind, and ids keep every digit.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ENCODED = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]|%(?=[0-9A-Fa-f]{2})")
_DIGITS = "(0|[1-9][0-9]*)"  # 007 is a name
_WHOLE = re.compile(f"-?{_DIGITS}")
# 1e5 may be hexadecimal digits; programs that write numbers give the exponent a sign, or the number a point
_NUMBER = re.compile(rf"[-+]?({_DIGITS}([eE][-+][0-9]+)?|({_DIGITS}\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?)")
_NO_NUMBER = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

NAME_BYTES = 200
"""Bytes of a variable's name at most: file systems end at 255, some that encrypt at 143 characters."""


def variable_name(column: str) -> str:
    """A column's variable: one folder's name on any file system. What cannot be in one is percent-encoded, as in ids.

    >>> variable_name("genre"), variable_name("artist/album")
    ('meta_genre', 'meta_artist%2Falbum')
    """
    name = "meta_" + _ENCODED.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass")), column
    )
    data = name.encode()
    if len(data) <= NAME_BYTES:
        return name
    digest = hashlib.sha256(data).hexdigest()[:12]
    return f"{data[: NAME_BYTES - 13].decode(errors='ignore')}~{digest}"


def as_text(value: str | float | None) -> str:
    """A value as a manifest writes it; nothing where there is none.

    >>> as_text("007"), as_text(1999), as_text(float("nan")), as_text(None)
    ('007', '1999', '', '')
    """
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else str(value)


def column_values(texts: Sequence[str]) -> NDArray[Any]:
    """A column's values, by the rules above; text as objects.

    >>> column_values(["1", "9007199254740993"]), column_values(["0.5", ""]), column_values(["1e5"])
    (array([               1, 9007199254740993]), array([0.5, nan]), array(['1e5'], dtype=object))
    """
    if texts and all(map(_WHOLE.fullmatch, texts)):
        try:
            whole = [int(text) for text in texts]
            return np.array(whole, np.uint64 if max(whole) > np.iinfo(np.int64).max else np.int64)
        except (OverflowError, ValueError):  # more digits than either holds
            pass
    elif any(map(_NUMBER.fullmatch, texts)):
        numbers = [_number(text) for text in texts]
        if None not in numbers:
            return np.array(numbers, np.float64)
    return text_values(texts)


def text_values(texts: Sequence[str]) -> NDArray[Any]:
    """Text as objects, all of which can be stored."""
    array = np.empty(len(texts), dtype=object)
    array[:] = [*map(storable, texts)]
    return array


def storable(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates, which stand for bytes that are not UTF-8, as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _number(text: str) -> float | None:
    """A float that says what the text says; None where there is none."""
    if not text:
        return math.nan
    if text.lower() in _NO_NUMBER:
        return _NO_NUMBER[text.lower()]
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    held = abs(number) < 2**53 if _WHOLE.fullmatch(text) else math.isfinite(number)
    return number if held else None
