"""Which files does a glob pattern mean? One dialect for `corpus.include`, `corpus.exclude` and a glob as `corpus.path`.

=============  ==========================================================================================
``*``          any characters within a name, or none; never a ``/``
``**``         as a whole part of the path: any folders, or none; at the end all that lies below
``?``          one character, other than ``/``
``[ab0-9]``    one of these characters; ``[!ab0-9]`` one that is none of these
``[[]``        a ``[``; so too ``[*]`` and ``[?]``
=============  ==========================================================================================

- A pattern without ``/`` means the file's name, in whatever folder: ``*.flac``.
- One with ``/`` means the whole path relative to the corpus: ``live/*.flac``, ``**/take ?.wav``. A ``/`` in front
  means that too, so that ``/*.flac`` are those outside of all folders; one at the end means all below: ``live/``.
- Upper and lower case are the same. Hidden files and folders are not part of a corpus, whatever the pattern.
- A `corpus.path` is a path first: one that is there is taken as such, whatever characters it holds. Of any other, the
  parts before the first that holds ``*``, ``?`` or ``[`` are a folder, and the rest is its pattern, as if it began
  with ``/``.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence

_MAGIC = re.compile(r"[*?[]")


def matcher(patterns: Iterable[str]) -> Callable[..., bool]:
    """Whether any of some patterns means a file, given the paths relative to the corpus by which it goes.

    >>> live = matcher(["live/", "*.wav", "**/take ?.ogg"])
    >>> live("a/b.WAV"), live("Live/a/b.ogg"), live("a/live/b.ogg"), live("take 1.ogg")
    (True, True, False, True)
    """
    wanted = [_parts(pattern) for pattern in patterns]

    def means(*paths: str) -> bool:
        split = [[name for name in path.split("/") if name] for path in set(paths)]
        return any(_match(parts, names) for names in split for parts in wanted)

    return means


def is_glob(path: str) -> bool:
    """Whether a path holds `*`, `?` or `[`."""
    return bool(_MAGIC.search(path))


def split_glob(path: str) -> tuple[str, str]:
    """The folder that a glob is looked for in, and its pattern there.

    >>> split_glob("music/**/*.flac")
    ('music', '/**/*.flac')
    """
    parts = path.split("/")
    first = next(index for index, part in enumerate(parts) if is_glob(part))
    return "/".join(parts[:first]) or ("/" if first else "."), "/" + "/".join(parts[first:])


def _parts(pattern: str) -> list[re.Pattern[str] | None]:
    """What the names of a path must match, one after the other; None for any names or none."""
    parts = [part for part in pattern.split("/") if part]
    if "/" not in pattern:
        parts.insert(0, "**")
    elif pattern.endswith("/"):
        parts.append("**")
    return [None if p == "**" else re.compile(fnmatch.translate(p), re.IGNORECASE) for p in parts]


def _match(parts: Sequence[re.Pattern[str] | None], names: Sequence[str]) -> bool:
    if not parts or not names:
        return not parts and not names
    first, *rest = parts
    if first is None:
        fewest = 0 if None in rest else max(len(names) - len(rest), 0)
        return not rest or any(_match(rest, names[n:]) for n in range(fewest, len(names)))
    return bool(first.match(names[0])) and _match(rest, names[1:])
