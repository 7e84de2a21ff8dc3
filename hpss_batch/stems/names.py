"""What is the file called that a track's component is rendered to?

By the track's id without its extension: `album/song.flac` gives `stems/album/song.harmonic.flac`. Names must
distinguish tracks wherever the files end up, so they are compared as the strictest file system would (case and Unicode
normalisation aside), and chosen generation by generation:

1. short, if no track placed earlier could have that name, and no other of the same generation would;
2. else with the extension: `song.wav` beside `song.flac` become `song.wav.harmonic…` and `song.flac.harmonic…`;
3. else numbered: `Song.wav` beside `song.wav` become `Song.wav…` and `song.wav (2)…`.

A name depends only on what was placed before, or with it: it never changes, and two drivers choose the same.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hpss_batch.audio.kinds import READABLE, UNREADABLE
from hpss_batch.dsp.params import COMPONENTS

LONGEST = 255
"""Bytes in a part of a path, on nearly every file system."""


@dataclass(frozen=True)
class Pattern:
    """How names are made: a template with {id} and {component}, and the extension behind it."""

    template: str
    extension: str

    def name(self, stem: str, component: str) -> str:
        """The file's name below `stems/` for a track that is called `stem` there."""
        return self.template.format(id=stem, component=component) + self.extension

    @property
    def room(self) -> int:
        """Bytes that a part of a track's name may have."""
        around = self.template.replace("{id}", "").format(component="percussive") + self.extension
        return max(LONGEST - len(around.encode()), 32)


def stem_names(generations: Iterable[Sequence[str]], pattern: Pattern) -> dict[str, str]:
    """What each track is called in names of stems.

    Parameters
    ----------
    generations : iterable of sequence of str
        Ids of each generation, in order; one that was placed before keeps its name.
    pattern : Pattern
        How names are made of it.

    Returns
    -------
    dict of str to str
        For each id, what to put into `Pattern.name`. No two tracks share a name, none leads out of the folder, and
        none is too long.

    Examples
    --------
    >>> names = stem_names([["a/song.flac", "a/song.wav", "b.ogg"], ["b.mp3"]], Pattern("{id}.{component}", ".flac"))
    >>> sorted(names.values())
    ['a/song.flac', 'a/song.wav', 'b', 'b.mp3']
    """
    taken = _Taken(pattern)
    names = dict[str, str]()
    for ids in generations:
        fresh = list(dict.fromkeys(id_ for id_ in ids if id_ not in names))
        short = {id_: _safe(_without_extension(id_), pattern.room) for id_ in fresh}
        asked = Counter(key for id_ in fresh for key in taken.keys(short[id_]))
        crowded = list[str]()
        for id_ in fresh:
            alone = all(asked[key] == 1 for key in taken.keys(short[id_]))
            if alone and taken.claim(short[id_]):
                names[id_] = short[id_]
            else:
                crowded.append(id_)
        for id_ in crowded:
            long, number = _safe(id_, pattern.room), 1
            name = long
            while not taken.claim(name):
                number += 1
                name = _fitted(long, f" ({number})", pattern.room)
            names[id_] = name
        for id_ in crowded:  # nor shall a track that comes later be taken for one of these
            taken.files |= taken.keys(short[id_])
    return names


@dataclass
class _Taken:
    """Names that are given away, files and the folders they lie in, as the strictest file system tells them apart."""

    pattern: Pattern
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def keys(self, stem: str) -> set[str]:
        """What a track called `stem` would take, whichever components it is rendered to."""
        return {_folded(self.pattern.name(stem, component)) for component in COMPONENTS}

    def claim(self, stem: str) -> bool:
        """Take a track's names; False, and nothing is taken, if one of them is gone."""
        files = self.keys(stem)
        folders = {
            "/".join(parts[:n]) for key in files if (parts := key.split("/")) for n in range(1, len(parts))
        }
        if files & (self.files | self.folders) or folders & self.files:
            return False
        self.files |= files
        self.folders |= folders
        return True


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _without_extension(id_: str) -> str:
    stem, dot, extension = id_.rpartition(".")
    known = f"{dot}{extension.lower()}" in READABLE | UNREADABLE.keys()
    return stem if known and stem and not stem.endswith("/") else id_


def _safe(id_: str, room: int) -> str:
    """An id as a path that stays where it is put: ids of a manifest may be anything."""
    parts = [part for part in id_.split("/") if part] or ["_"]
    dots = {".": "%2E", "..": "%2E%2E"}
    return "/".join(_short(dots.get(part, part.replace("\0", "%00")), room) for part in parts)


def _short(part: str, room: int) -> str:
    """A part of a path, cut to so many bytes; what was cut off lives on in a digest."""
    data = part.encode()
    if len(data) <= room:
        return part
    digest = hashlib.sha256(data).hexdigest()[:8]
    return f"{data[: room - 9].decode(errors='ignore')}~{digest}"


def _fitted(stem: str, ending: str, room: int) -> str:
    """A name with something behind it, cut so that both fit."""
    folder, slash, last = stem.rpartition("/")
    return f"{folder}{slash}{_short(last, room - len(ending))}{ending}"
