"""What lies in a folder and in all folders in it, whatever the names, and with nothing that stops the walk?"""

import os
from collections.abc import Iterator, Sequence

from hpss_batch.audio.containers.reasons import why_no_file
from hpss_batch.corpus.ids import track_id
from hpss_batch.store.generations import FIRST, LAYOUT
from hpss_batch.text import name_text

RUN_DIRECTORY = "is a run directory; its stems are not part of a corpus around it"
"""Why a folder is skipped."""


def walk(
    root: str, top: str, depth: int | None, skipped: list[tuple[str, str]]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every visible entry below a folder that is not a folder itself, with its path relative to it, behind `top`."""
    waiting: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(root, top, frozenset())]
    while waiting:
        folder, prefix, way = waiting.pop()
        try:
            here = os.stat(folder)
            with os.scandir(folder) as entries:
                inside = list(entries)
        except OSError as e:
            skipped.append((track_id(prefix) or ".", f"is a folder that {why_no_file(e)}"))
            continue
        identity = here.st_dev, here.st_ino
        if identity in way:
            skipped.append(
                (track_id(prefix), "is a link to a folder that it lies in; the circle is not followed")
            )
            continue
        if prefix != top and _is_run_directory(inside):
            skipped.append((track_id(prefix), RUN_DIRECTORY))
            continue
        below = way | {identity}
        for entry in inside:
            if entry.name.startswith("."):
                continue
            relative = f"{prefix}{name_text(entry.name)}"
            if _is_folder(entry):
                if depth is None or relative[len(top) :].count(os.sep) + 1 < depth:
                    waiting.append((entry.path, relative + os.sep, below))
            else:
                yield relative, entry


def _is_run_directory(entries: Sequence[os.DirEntry[str]]) -> bool:
    return any(e.name == LAYOUT and os.path.exists(os.path.join(e.path, FIRST)) for e in entries)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that cannot be followed: looking at it says why
