"""Which recordings are the known stems of which recording? Those whose names say so."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hpss_batch.dsp.params import COMPONENTS
from hpss_batch.errors import CorpusError, ParameterError

SOURCES = COMPONENTS[:2]
"""What a recording is known to be made of; what is neither of them has no truth."""

STEMS = (*SOURCES, "mixture")
PATTERN = "{track}/{stem}.flac"


@dataclass(frozen=True)
class KnownStems:
    """A recording whose stems are known.

    Attributes
    ----------
    track : str
        Its name.
    harmonic, percussive : str
        Files of its stems.
    mixture : str or None
        File of the mixture; None for the sum of the stems.
    """

    track: str
    harmonic: str
    percussive: str
    mixture: str | None = None


def find_stems(
    folders: Iterable[str | os.PathLike[str]], pattern: str = PATTERN
) -> tuple[list[KnownStems], dict[str, str]]:
    """Find the recordings with known stems below some folders.

    Parameters
    ----------
    folders : iterable of path
        Folders of recordings; with the default pattern also recordings' own folders.
    pattern : str
        Name of a stem below a folder, with ``{track}`` and ``{stem}`` in it; `stem` is harmonic, percussive or
        mixture, `track` may hold slashes.

    Returns
    -------
    list of KnownStems, dict of str to str
        The recordings; and those that lack a stem, and which.

    Raises
    ------
    ParameterError
        If the pattern lacks one of the two.
    CorpusError
        If a folder or any recording is missing, or two have the same name.
    """
    if pattern.count("{track}") != 1 or pattern.count("{stem}") != 1:
        raise ParameterError(
            f"pattern is {pattern!r}; allowed: a name with {{track}} and {{stem}} in it, such as {PATTERN}"
        )
    expression = re.escape(pattern).replace(r"\{track\}", "(?P<track>.+)")
    matching = re.compile(expression.replace(r"\{stem\}", f"(?P<stem>{'|'.join(STEMS)})"))
    found = dict[str, dict[str, str]]()
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise CorpusError(
                f"{folder} is not a folder; give one that holds recordings, each a folder of its stems"
            )
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            inside = path.relative_to(folder).as_posix()
            match = matching.fullmatch(inside) or matching.fullmatch(f"{folder.resolve().name}/{inside}")
            if match:
                stems = found.setdefault(match["track"], {})
                if stems.setdefault(match["stem"], str(path)) != str(path):
                    raise CorpusError(
                        f"{stems[match['stem']]} and {path} are both the {match['stem']} stem of {match['track']}: "
                        "evaluate the folders one by one"
                    )
    if not found:
        raise CorpusError(
            f"no file matches {pattern}; {{stem}} stands for {', '.join(STEMS)}. Give --pattern"
        )
    lacking = {
        track: f"has no {' and no '.join(missing)} stem beside {', '.join(stems.values())}"
        for track, stems in sorted(found.items())
        if (missing := [stem for stem in SOURCES if stem not in stems])
    }
    known = [KnownStems(track, **stems) for track, stems in sorted(found.items()) if track not in lacking]
    return known, lacking
