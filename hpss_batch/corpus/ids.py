"""How is a track called, and in which order do tracks come?

Ids are POSIX paths relative to the corpus, in UTF-8. Names may be any bytes, so bytes that are not UTF-8 are
percent-encoded, and so is a "%" that two hexadecimal digits follow, which could be taken for such a byte. Ids
are therefore unique, and `urllib.parse.unquote_to_bytes` leads back to the name.
"""

import os
import re

_AMBIGUOUS = re.compile(r"%(?=[0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"[\udc80-\udcff]")
_NUMBER = re.compile(r"0*(\d+)", re.ASCII)


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
