"""How are counts, times, sizes and names put into words, in a terminal or on a page?

Names of files are UTF-8 in records and ids, whatever the locale: `name_text` and `file_name` lead there and back.
"""

import os
from collections.abc import Iterable, Sequence


def counted(n: int, thing: str) -> str:
    """A number of things, in the singular where it is one.

    >>> counted(1, "unit"), counted(1200, "unit")
    ('1 unit', '1,200 units')
    """
    return f"{n:,} {thing}" + ("" if n == 1 else "s")


def listed(names: Sequence[str], most: int = 3) -> str:
    """Names in a row: the first of them, and how many more there are.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def one_line(words: str) -> str:
    """What a program says, in one line.

    >>> one_line("sbatch: error:\\n\\n  no such partition\\n")
    'sbatch: error:; no such partition'
    """
    return "; ".join(line.strip() for line in words.splitlines() if line.strip())


def did_you_mean(name: str, known: Iterable[str], most: int = 1, likeness: float = 0.6) -> str:
    """What to put behind the sentence that there is no such name; nothing where none is like it.

    >>> did_you_mean("margn", ["margin", "power"]), did_you_mean("x", ["margin"])
    ('; did you mean margin?', '')
    """
    import difflib

    near = difflib.get_close_matches(name, list(known), most, likeness)
    return f"; did you mean {', '.join(near)}?" if near else ""


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, as short as they can be read.

    >>> clock(3725), clock(61.4), clock(0.25)
    ('1:02:05', '1:01', '0.2 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(n_bytes: float) -> str:
    """Bytes in the unit that reads best.

    >>> size(1500), size(3 * 2**30)
    ('1.5 KiB', '3.0 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if n_bytes < 1024 or unit == "TiB":
            break
        n_bytes /= 1024
    return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"


def pace(audio: float, seconds: float) -> str:
    """How many times as fast as it plays audio was worked on.

    >>> pace(3600, 6), pace(1, 0.8)
    ('600 × real time', '1.2 × real time')
    """
    times = audio / max(seconds, 1e-9)
    return f"{times:.0f} × real time" if times >= 10 else f"{times:.1f} × real time"


def printable(text: str, keep: str = "") -> str:
    """Text with everything that cannot be seen, or that a terminal would obey,
    as an escape, but for the characters in `keep`.

    >>> printable("a\\nb\\udce9 caf\\u00e9")
    'a\\\\nb\\\\udce9 café'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """Time as a person says it; two that differ much never read alike, however short.

    >>> duration(4.26), duration(61), duration(3725), duration(400_000)
    ('4.3 s', '1 min 1 s', '1 h 2 min', '111 h')
    >>> duration(0), duration(0.0116), duration(0.24)
    ('0 s', '12 ms', '0.24 s')
    """
    if seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms" if seconds else "0 s"
    if seconds < 59.5:
        return f"{seconds:.{2 if seconds < 0.995 else 1 if seconds < 9.95 else 0}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours < 100 else f"{hours:,} h"


def name_text(name: str) -> str:
    """A file's name, as this process' locale has it (`os.fsdecode`), as UTF-8 reads its bytes: others as surrogates.

    >>> name_text(os.fsdecode("café".encode())), name_text(os.fsdecode(b"caf\\xe9"))
    ('café', 'caf\\udce9')
    """
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "surrogateescape")


def file_name(text: str) -> str:
    """The name back from what `name_text` gave, maybe in a process of another locale."""
    try:
        return text if text.isascii() else os.fsdecode(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # no file is called so
        return text
