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

_Entries = dict[str, tuple[str, str]]
"""Tags and contents, by name."""


def packed(folder: ObjectFolder, prefix: str) -> dict[str, bytes]:
    """What packs hold of a folder's files as they are now, by name."""
    tags = folder.tags(prefix)
    return {
        f"{prefix}/{name}": text.encode()
        for entries in _packs(folder, prefix, tags).values()
        for name, (tag, text) in entries.items()
        if tags[name] == tag
    }


def pack(folder: ObjectFolder, prefix: str) -> None:
    """Pack what is not packed yet of a folder's files."""
    tags = folder.tags(prefix)
    packs = _packs(folder, prefix, tags)
    known = {name for entries in packs.values() for name, (tag, _) in entries.items() if tags[name] == tag}
    fresh = [name for name, tag in tags.items() if tag and name not in known]
    if not fresh:
        return
    small = [name for name, entries in packs.items() if len(entries) < PER_PACK]
    with ThreadPoolExecutor(16) as pool:
        contents = pool.map(lambda name: folder.read(f"{prefix}/{name}"), fresh)
    entries = [entry for name in small for entry in packs[name].items()]
    entries += [
        (name, (tags[name], data.decode())) for name, data in zip(fresh, contents, strict=True) if data
    ]
    for begin in range(0, len(entries), PER_PACK):
        data = gzip.compress(json.dumps(dict(entries[begin : begin + PER_PACK])).encode())
        folder.create(f"{PACKS}/{prefix}/{uuid.uuid4().hex}.json.gz", data)
    for name in small:
        folder.delete(f"{PACKS}/{prefix}/{name}")


def _packs(folder: ObjectFolder, prefix: str, tags: Mapping[str, str]) -> dict[str, _Entries]:
    """Packs by name, without files that are not there any more."""
    found = dict[str, _Entries]()
    if not any(tags.values()):
        return found
    for name in folder.names(f"{PACKS}/{prefix}"):
        # what is damaged is not believed
        with suppress(OSError, ValueError, TypeError, EOFError, zlib.error):
            entries = json.loads(gzip.decompress(folder.read(f"{PACKS}/{prefix}/{name}") or b""))
            found[name] = {key: (tag, text) for key, (tag, text) in entries.items() if key in tags}
    return found
