"""Where is a path, on this machine or behind a URL, and what stands for what in it?"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from hpss_batch.errors import StoreError

Places = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One place, or several."""


def expanded(location: str | os.PathLike[str]) -> str:
    """A location with the home folder for `~`, and the values of environment variables for `$NAME` and `${NAME}`.

    Where a file or folder has that very name, `A$AP Rocky` say, it is meant. What is not known, or empty, stays as it
    is: `$SCRATCH/out` shall not become `/out`.
    """
    place = os.path.expanduser(os.fspath(location))
    if os.path.lexists(place):
        return place
    return _VARIABLE.sub(lambda found: os.environ.get(found[1].strip("{}")) or found[0], place)


_VARIABLE = re.compile(r"\$([A-Za-z_]\w*|{[A-Za-z_]\w*})")


def absolute(location: str | os.PathLike[str]) -> str:
    """The same place for a process that was started in another folder: a URL, or an absolute path."""
    place = expanded(location)
    return place if is_url(place) else os.path.abspath(place)


def check_place(location: str) -> None:
    """Raise `StoreError` if there is no run directory, and none can be made there. Makes nothing."""
    place = absolute(location)
    missing, there = place, Path("/")
    if not is_url(place):
        there = Path(place)
        while not os.path.lexists(there):
            there = there.parent
        missing = place[len(str(there)) :]
    home = re.match("~[^/]*", expanded(location))  # of nobody, as one that is known has been replaced
    unknown = _VARIABLE.search(missing) or (home if home and home[0] in missing else None)
    if unknown:
        raise StoreError(
            f"{location} cannot be a run directory: nothing is known that {unknown[0]} stands for. Set it, or give the "
            "path in full; if a folder is to be called so, make it first (in a URL, write %24 for $)"
        )
    if not there.is_dir():
        what = "a link to nothing" if there.is_symlink() and not there.exists() else "a file"
    elif not os.access(there, os.W_OK | os.X_OK):
        what = "a folder that you may not write to"
    else:
        return
    raise StoreError(
        f"{location} cannot be a run directory: {there} is {what}. Give a folder that is there or can be made"
    )


def is_url(location: str) -> bool:
    """Whether a location names an object store rather than a local path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", location) is not None
