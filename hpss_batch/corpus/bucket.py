"""Which objects lie below a prefix of a bucket, taken as files in folders?

A bucket is listed a thousand names a request, with sizes, times and entity tags; nothing is opened. As on a disk,
hidden names are left out, and so are run directories.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from hpss_batch.corpus.ids import track_id
from hpss_batch.corpus.walk import RUN_DIRECTORY
from hpss_batch.errors import CorpusError
from hpss_batch.files import as_stat
from hpss_batch.objects import located, persistently, reaching
from hpss_batch.paths import is_http, quote_name
from hpss_batch.ranges import mtime_ns
from hpss_batch.store.generations import FIRST, LAYOUT


@dataclass(frozen=True, slots=True)
class Object:
    """An object below a prefix.

    Attributes
    ----------
    relative : str
        Its name below the prefix.
    url : str
        Where it is.
    size, mtime_ns : int
        Bytes; and a time, see `files.stat`.
    """

    relative: str
    url: str
    size: int
    mtime_ns: int

    def stat(self) -> os.stat_result:
        """What `files.stat` says of it."""
        return as_stat(self.size, self.mtime_ns)


def list_objects(url: str, skipped: list[tuple[str, str]]) -> Iterator[Object]:
    """Every visible object below a prefix, and what was skipped.

    Raises
    ------
    CorpusError
        If it is a place on a web server, which lists nothing.
    StoreError
        If the bucket is not there, or does not let itself be listed.
    """
    if is_http(url):
        raise CorpusError(
            f"{url}: a web server does not list its files. Give one recording, or a CSV manifest of URLs"
        )
    store, prefix = located(url if url.endswith("/") else f"{url}/")
    inside = prefix.strip("/")
    with reaching(url):
        found = persistently(lambda: store.list(inside or None).collect())
    names = [str(item["path"])[len(inside) :].lstrip("/") for item in found]
    mark = f"/{LAYOUT}/{FIRST}"
    runs = {name.removesuffix(mark) for name in names if name.endswith(mark)}
    skipped += [(track_id(run), RUN_DIRECTORY) for run in runs]
    folders = {folder for name in names for folder in _folders(name)}
    root = url.rstrip("/")
    for name, item in zip(names, found, strict=True):
        is_mark = not name or (name in folders and not item["size"])  # as consoles make for a folder
        if is_mark or f"/{name}".find("/.") >= 0 or not runs.isdisjoint(_folders(name)):
            continue
        yield Object(
            name, f"{root}/{quote_name(name)}", item["size"], mtime_ns(item["last_modified"], item["e_tag"])
        )


def _folders(name: str) -> Iterator[str]:
    """The folders that a name lies in."""
    at = name.find("/")
    while at >= 0:
        yield name[:at]
        at = name.find("/", at + 1)
