"""Which tracks were placed where in a run directory, as files that are created once and never change?

`layout/0000.jsonl.gz`, `0001…`
    One *generation* each: a header line of JSON, then a line a track.

One is created only once, whoever is first: two drivers may race for the same generation, and the loser reads the
winner's.
"""

import gzip
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import google_crc32c

from hpss_batch.errors import StoreError
from hpss_batch.store.layout import COLUMNS, Labels, Placed, from_rows
from hpss_batch.store.records import FORMAT

LAYOUT = "layout"
"""The folder of a run directory that generations lie in."""

FIRST = "0000.jsonl.gz"
"""The generation that every run directory has."""


@dataclass(frozen=True)
class Generation:
    """Tracks placed together, and what every generation of the run directory must agree on.

    Attributes
    ----------
    number : int
        0 for the first.
    rows : list of Placed
        The tracks, in order; their rows on the `track` dimension follow those of earlier generations.
    settings : mapping
        `sample_rate`, `unit_frames`, `n_channels` (of the widest track so far), `numerics`, `fingerprint`.
    vanished : tuple of str
        Ids of earlier tracks that were not done and whose files are gone.
    labels : mapping of str to Labels
        What the manifest says by now of earlier tracks, by id.
    times : mapping of str to int
        Times by now, as `Placed.source_mtime`, of earlier tracks' files that hold the same as before, by id.
    """

    number: int
    rows: list[Placed]
    settings: Mapping[str, Any]
    vanished: tuple[str, ...] = ()
    labels: Mapping[str, Labels] = field(default_factory=dict)
    times: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's name in the run directory."""
        return f"{LAYOUT}/{self.number:04d}.jsonl.gz"

    @cached_property
    def digest(self) -> int:
        """A digest of which tracks, of which sizes, are placed where; their files may move and get other times."""
        rows = [(r.id, r.frame_start, r.n_frames, r.source_size, r.source_samples) for r in self.rows]
        return int(google_crc32c.value(repr((self.settings.get("fingerprint"), rows)).encode()))

    def encode(self) -> bytes:
        """The file's bytes."""
        header = {
            "format": FORMAT,
            "generation": self.number,
            "settings": self.settings,
            "vanished": list(self.vanished),
            "columns": COLUMNS,
        } | {name: said for name, said in (("labels", self.labels), ("times", self.times)) if said}
        buffer = io.BytesIO()
        # mtime=0: the same generation gives the same bytes
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=3, mtime=0) as file:
            file.write(json.dumps(header).encode() + b"\n")
            for row in self.rows:
                file.write(json.dumps(row.as_row(), separators=(",", ":")).encode() + b"\n")
        return buffer.getvalue()

    @classmethod
    def decode(cls, data: bytes, name: str) -> "Generation":
        """Read what `encode` wrote."""
        try:
            lines = gzip.decompress(data).splitlines()
            header = json.loads(lines[0])
            if header["format"] > FORMAT:
                raise StoreError(
                    f"{name} has format {header['format']}; this version of hpss_batch reads up to {FORMAT}. Upgrade it"
                )
            rows = from_rows(header["columns"], map(json.loads, lines[1:]))
            later = header.get("labels", {}), header.get("times", {})
            return cls(header["generation"], rows, header["settings"], tuple(header["vanished"]), *later)
        except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zlib.error) as error:
            raise StoreError(
                f"{name} cannot be read ({error}); it is written once and never changed, so the disk or a person "
                "damaged it. Restore it from a backup, or start a new run directory"
            ) from error
