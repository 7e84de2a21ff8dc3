"""How are thousands of small objects read with few requests? A run packs them, a thousand to an object.

    commits/00000000.json, …          what counts
    packs/commits/3f….json.gz, …      what some of them hold, each with the entity tag that it had

A pack is believed of an object that is listed with the same tag, and of no other: whatever is created, replaced,
deleted or killed at any moment, what is read is what the objects hold. Without packs it takes a request for each.
"""

import gzip
import json
import uuid
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from hpss_batch.store.buckets.folder import ObjectFolder

PACKS = "packs"

PER_PACK = 1000
"""Objects in a pack; one with fewer is taken up by the next."""

READERS = 16
"""Objects that are read at a time."""

_Entries = dict[str, tuple[str, str]]
"""Tags and contents, by name."""


def packed(folder: ObjectFolder, prefix: str) -> dict[str, bytes]:
    """A folder's files as they are now, by name: what packs hold of them; b"" of those that have to be read."""
    tags = folder.tags(prefix)
    held = _held(_packs(folder, prefix, tags), tags)
    known = {name: text.encode() for entries in held.values() for name, (_, text) in entries.items()}
    return {f"{prefix}/{name}": known.get(name, b"") for name in tags}


def pack(folder: ObjectFolder, prefix: str) -> None:
    """Pack what is not packed yet of a folder's files, and make packs as few as can be."""
    tags = folder.tags(prefix)
    held = _held(_packs(folder, prefix, tags), tags)
    known = {name for entries in held.values() for name in entries}
    fresh = [name for name, tag in tags.items() if tag and name not in known]
    if not fresh and len(held) * PER_PACK < len(known) + PER_PACK:
        return
    spare = [name for name, entries in held.items() if len(entries) < PER_PACK]
    with ThreadPoolExecutor(READERS) as pool:
        contents = pool.map(lambda name: folder.read(f"{prefix}/{name}"), fresh)
    entries = [entry for name in spare for entry in held[name].items()]
    entries += [
        (name, (tags[name], data.decode())) for name, data in zip(fresh, contents, strict=True) if data
    ]
    for begin in range(0, len(entries), PER_PACK):
        data = gzip.compress(json.dumps(dict(entries[begin : begin + PER_PACK])).encode())
        folder.create(f"{PACKS}/{prefix}/{uuid.uuid4().hex}.json.gz", data)
    for name in spare:
        folder.delete(f"{PACKS}/{prefix}/{name}")


def _held(packs: Mapping[str, _Entries], tags: Mapping[str, str]) -> dict[str, _Entries]:
    """What each pack holds of files as they are now, and none before it does: two drivers may pack the same."""
    held, known = dict[str, _Entries](), set[str]()
    for name, entries in packs.items():
        held[name] = {
            key: entry for key, entry in entries.items() if tags.get(key) == entry[0] and key not in known
        }
        known.update(held[name])
    return held


def _packs(folder: ObjectFolder, prefix: str, tags: Mapping[str, str]) -> dict[str, _Entries]:
    """Packs by name, in order of names; without tags, none can be believed."""
    names = folder.names(f"{PACKS}/{prefix}") if any(tags.values()) else []
    with ThreadPoolExecutor(READERS) as pool:
        return dict(
            zip(
                names, pool.map(lambda name: _entries(folder, f"{PACKS}/{prefix}/{name}"), names), strict=True
            )
        )


def _entries(folder: ObjectFolder, name: str) -> _Entries:
    """What a pack holds; nothing if it is damaged, or gone."""
    with suppress(OSError, ValueError, TypeError, AttributeError, EOFError, zlib.error):
        found = json.loads(gzip.decompress(folder.read(name) or b""))
        return {str(key): (str(tag), str(text)) for key, (tag, text) in found.items()}
    return {}
