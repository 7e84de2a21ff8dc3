"""What may be tracks in one source of a corpus: a folder, a glob, a file or a manifest, on a disk or behind a URL?

Nothing is opened but manifests, and nothing in a folder stops the search: what cannot be listed is named with its
reason, links are followed but not in circles, and FIFOs and devices are not tracks. Names may be any bytes.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import unquote

from hpss_batch.audio.containers.reasons import not_a_file, why_no_file
from hpss_batch.audio.kinds import READABLE, UNREADABLE, not_read
from hpss_batch.corpus import manifest
from hpss_batch.corpus.bucket import list_objects
from hpss_batch.corpus.ids import natural_key, track_id
from hpss_batch.corpus.patterns import is_glob, matcher, split_glob
from hpss_batch.corpus.walk import walk
from hpss_batch.errors import CorpusError
from hpss_batch.files import stat
from hpss_batch.paths import expanded, is_http, is_url
from hpss_batch.text import file_name, name_text

Meta = Mapping[str, str]

REQUESTS = 32
"""Objects that a manifest names and that are asked for side by side."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be a track.

    Attributes
    ----------
    id : str
        POSIX path relative to the corpus, in UTF-8; see `ids`.
    path : str
        Where it is: absolute, in UTF-8, with other bytes as lone surrogates; see `text.name_text`.
    size, mtime_ns : int
        Bytes, and nanoseconds since the epoch; 0 for a file that a manifest names and that is not there.
    meta : mapping or None
        Further columns of the manifest, as text.
    """

    id: str
    path: str
    size: int
    mtime_ns: int
    meta: Meta | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a corpus holds.

    Attributes
    ----------
    files : list of Found
        What may be tracks; in natural order of their ids, or in the manifest's.
    unreadable : list of (str, str)
        Recordings that no decoder here reads, and what to do about it.
    skipped : list of (str, str)
        What was skipped (FIFOs, devices, links in circles, folders that may not be read), and why.
    """

    files: list[Found] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


class Search:
    """One walk over a source of a corpus, which may have others beside it.

    Attributes
    ----------
    listing : Listing
        What it found.
    place : str
        Where it looked.

    Raises
    ------
    CorpusError
        If there is nothing at that place, or nothing that can be looked through.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        include: Sequence[str] | None,
        exclude: Sequence[str],
        unread: frozenset[str],
        beside: bool,
    ) -> None:
        self.beside = beside
        self.listing = Listing()
        self.patterns, self.unread = include, unread
        self.included = None if include is None else matcher(include)
        self.excluded = matcher(exclude)
        self.spelled_out = False  # the corpus' path says which files are meant
        self.others: Counter[str] = Counter()
        self.place = place = expanded(source)
        if os.path.lexists(file_name(place)):  # a job is UTF-8; a shell's argument has the locale's encoding
            self.place = place = file_name(place)
        if is_url(place):
            self.url(place)
        elif os.path.lexists(place):
            if os.path.isdir(place):
                self.folder(place, None)
            elif place.lower().endswith(manifest.EXTENSIONS):
                self.manifest(place)
            else:
                self.file(place)
        elif is_glob(place):
            self.glob(place)
        else:
            raise CorpusError(f"{place}: there is no such file or folder; corpus.path names what to read")

    def folder(self, root: str, wanted: Callable[..., bool] | None, depth: int | None = None) -> None:
        """Look through a folder and all in it, down to a depth."""
        root = os.path.abspath(root)
        top = os.path.join(name_text(os.path.basename(root)), "") if self.beside else ""
        for relative, entry in walk(root, top, depth, self.listing.skipped):
            if wanted is None or wanted(*_names(relative[len(top) :])):
                self.consider(_names(relative), entry.path, entry.stat)
        self._sort()

    def url(self, place: str) -> None:
        """Look for what a URL means: a manifest, an object, all below a prefix, or what a glob means there."""
        root, wanted = place.rstrip("/"), None
        if place.lower().endswith(manifest.EXTENSIONS):
            return self.manifest(place)
        if is_http(place) and not is_glob(place.partition("?")[0]):
            return self.file(place)
        if is_glob(place):
            root, inside = split_glob(place)
            wanted = matcher([inside])
            self._spell_out(inside)
        objects = list(list_objects(root, self.listing.skipped))
        if not objects and wanted is None and not self.listing.skipped:
            return self.file(place)
        top = f"{unquote(root.rpartition('/')[2])}/" if self.beside else ""
        for found in objects:
            if wanted is None or wanted(*_names(found.relative)):
                self.consider(_names(f"{top}{found.relative}"), found.url, found.stat)
        return self._sort()

    def _spell_out(self, inside: str) -> None:
        extension = os.path.splitext(inside)[1]
        self.spelled_out = bool(extension) and not is_glob(extension)

    def _sort(self) -> None:
        self.listing.files.sort(key=lambda found: natural_key(found.id))
        for passed in (self.listing.unreadable, self.listing.skipped):
            passed.sort(key=lambda found: natural_key(found[0]))

    def glob(self, pattern: str) -> None:
        """Look for what a glob means below its fixed leading part."""
        root, inside = split_glob(pattern)
        root = file_name(root) if os.path.isdir(file_name(root)) else root
        if not os.path.isdir(root):
            raise CorpusError(f"{pattern}: there is no folder {root}; corpus.path names what to read")
        self._spell_out(inside)
        _, *parts = inside.split("/")
        self.folder(root, matcher([inside]), len(parts) if parts[-1] and "**" not in parts else None)

    def file(self, path: str) -> None:
        """Take one file, whatever its name."""
        self.spelled_out = True
        place = path if is_url(path) else os.path.abspath(path)
        name = os.path.basename(path)
        name = unquote(name.partition("?")[0] if is_http(path) else name) if is_url(path) else name_text(name)
        try:
            found = stat(path)
            kind = not_a_file(found.st_mode)
        except OSError as e:
            kind = why_no_file(e)
        if kind and not self.beside:
            raise CorpusError(f"{path} {kind}")
        if kind:
            self.listing.skipped.append((track_id(name), kind))
        elif os.path.splitext(name)[1].lower() in self.unread:
            self.listing.unreadable.append((track_id(name), not_read(name)))
        else:
            self.listing.files.append(_found(track_id(name), name_text(place), found))

    def manifest(self, path: str) -> None:
        """Take what a manifest names, whether it is there or not."""
        rows = []
        for track, place, meta in manifest.read_manifest(path):
            name = os.path.basename(place)
            if not self.excluded(track, name) and (not self.included or self.included(track, name)):
                rows.append((track, place, meta))
        with ThreadPoolExecutor(REQUESTS) as pool:
            each = pool.map if any(is_url(place) for _, place, _ in rows) else map
            self.listing.files.extend(each(lambda row: _named(*row), rows))

    def consider(self, names: tuple[str, str], path: str, look: Callable[[], os.stat_result]) -> None:
        """Sort one file of a folder, which goes by its id and by its relative path, into the listing."""
        track, name = names[0], os.path.basename(path)
        extension = os.path.splitext(name)[1].lower()
        if self.included is not None:
            meant = self.included(*names)
        else:
            meant = self.spelled_out or extension in READABLE or extension in UNREADABLE
        if not meant or self.excluded(*names):
            self.others[extension or name] += 1
            return
        if extension in self.unread:
            self.listing.unreadable.append((track, not_read(name)))
            return
        try:
            found = look()
        except OSError as e:
            self.listing.skipped.append((track, why_no_file(e)))
            return
        kind = not_a_file(found.st_mode)
        if kind:
            self.listing.skipped.append((track, kind))
        else:
            self.listing.files.append(_found(track, name_text(path), found))

    def nothing(self) -> str:
        """Say that no recordings were found, what was looked for, and what there was."""
        path = self.place
        if self.patterns is not None:
            sought = "names like " + ", ".join(self.patterns)
        elif self.spelled_out or path.lower().endswith(manifest.EXTENSIONS):
            sought = "what it names"
        else:
            sought = " ".join(sorted(READABLE))
        there = [f"{count:,} {kind}" for kind, count in self.others.most_common(8)]
        there += [f"{name} ({reason})" for name, reason in self.listing.unreadable[:3]]
        there += [f"{name} ({reason})" for name, reason in self.listing.skipped[:3]]
        more = len(self.listing.unreadable) + len(self.listing.skipped)
        return (
            f"{path}: no recordings found. Looked for: {sought}. Found: {'; '.join(there) or 'nothing'}"
            + (f"; in all {more:,} that are not read here" if more > 6 else "")
            + ". Set corpus.path to a folder, file, glob or CSV manifest, and corpus.include to other names"
        )


def _found(track: str, path: str, found: os.stat_result, meta: Meta | None = None) -> Found:
    return Found(track, path, found.st_size, found.st_mtime_ns, meta)


def _named(track: str, path: str, meta: Meta | None) -> Found:
    """A file that a manifest names, whether it is there or not."""
    try:
        return _found(track, path, stat(file_name(path)), meta)
    except (OSError, ValueError):
        return Found(track, path, 0, 0, meta)


def _names(relative: str) -> tuple[str, str]:
    """What a file of a corpus goes by: its id, and its path as it is."""
    return track_id(relative), relative.replace(os.sep, "/")
