"""How is a track called, in which order do tracks come, and which names does a pattern mean?

Ids are POSIX paths relative to the corpus, in UTF-8. Names may be any bytes, so bytes that are not UTF-8 are
percent-encoded, and so is a "%" that two hexadecimal digits follow, which could be taken for such a byte. Ids
are therefore unique, and `urllib.parse.unquote_to_bytes` leads back to the name.
"""

import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Sequence

_AMBIGUOUS = re.compile(r"%(?=[0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"[\udc80-\udcff]")
_NUMBER = re.compile(r"0*(\d+)", re.ASCII)
_MAGIC = re.compile(r"[*?[]")


def track_id(path: str) -> str:
    """The id of a track at a relative path, whose bytes that are not UTF-8 are lone surrogates (`name_text`).

    >>> track_id("100%/caf\\udce9.wav"), track_id("%41.wav")
    ('100%/caf%E9.wav', '%2541.wav')
    """
    if os.sep != "/":
        path = path.replace(os.sep, "/")
    if path.isascii() and "%" not in path:
        return path
    path = _AMBIGUOUS.sub("%25", path)
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]) - 0xDC00:02X}", path)


def natural_key(name: str) -> str:
    """What to sort names by so that numbers count as numbers, folders stay together, and case does not matter.

    >>> sorted(["b/1", "track 10", "Track 9", "a-b/1", "a/2"], key=natural_key)
    ['a/2', 'a-b/1', 'b/1', 'Track 9', 'track 10']
    """
    # a number sorts by how many digits it has, and then by these; the name itself breaks ties
    folded = _NUMBER.sub(
        lambda found: f"0{chr(0x30 + min(len(found[1]), 0x4000))}{found[1]}", name.casefold()
    )
    return folded.replace("/", "\0") + "\0\0" + name


def matcher(patterns: Iterable[str]) -> Callable[[str, str], bool]:
    """Whether any of some glob patterns means a track, by its id or by its name alone, in whatever case.

    `*` goes across folders, `**/` may mean none, and a pattern that ends in `/` means all below that folder.

    >>> live = matcher(["live/", "*.wav"])
    >>> live("a/b.WAV", "b.WAV"), live("Live/b.ogg", "b.ogg"), live("a/b.ogg", "b.ogg")
    (True, True, False)
    """
    wanted = set()
    for pattern in patterns:
        pattern = pattern + "*" if pattern.endswith("/") else pattern
        wanted |= {pattern, pattern.replace("**/", "")}
    expression = re.compile("|".join(map(fnmatch.translate, sorted(wanted))) or r"(?!)", re.IGNORECASE)
    return lambda track, name: bool(expression.match(track) or expression.match(name))


def is_glob(path: str) -> bool:
    """Whether a path holds `*`, `?` or `[`."""
    return bool(_MAGIC.search(path))


def split_glob(pattern: str) -> tuple[str, list[str]]:
    """A glob's fixed leading folder, and the parts behind it.

    >>> split_glob("music/**/*.flac")
    ('music', ['**', '*.flac'])
    """
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if is_glob(part))
    return "/".join(parts[:first]) or ("/" if first else "."), [part for part in parts[first:] if part]


def glob_matcher(parts: Sequence[str]) -> Callable[[str], bool]:
    """Whether a relative path is what the parts of a glob mean: `*` within a folder, `**` for any folders or none.

    >>> wanted = glob_matcher(["**", "*.flac"])
    >>> wanted("a/b/c.flac"), wanted("c.FLAC"), wanted("c.wav")
    (True, True, False)
    """
    expressions = [None if p == "**" else re.compile(fnmatch.translate(p), re.IGNORECASE) for p in parts]

    def matches(names: Sequence[str], at: int) -> bool:
        if at == len(expressions):
            return not names
        expression = expressions[at]
        if expression is None:
            last = at + 1 == len(expressions)
            return last or any(matches(names[skip:], at + 1) for skip in range(len(names)))
        return bool(names) and bool(expression.match(names[0])) and matches(names[1:], at + 1)

    return lambda path: matches(path.split("/"), 0)
