"""What has been decided and done in a run directory, as files that are created once and never change.

`layout/0000.jsonl.gz`, `0001…`
    One *generation* each: which tracks were placed where. A header line of JSON, then a line a track.
`commits/00000000.json`, …
    One *commit* for each finished unit: what became of its tracks. A unit without one is not done.

Both are created only once, whoever is first: two drivers may race for the same generation or the same unit, and
the loser reads the winner's. A commit names the versions of the packages that made its numbers, since others may
give other last bits. What a track's status is follows from these files alone; see `catalog`.
"""

import gzip
import io
import json
import platform
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from typing import Any, Literal

from hpss_batch.errors import StoreError
from hpss_batch.store.layout import COLUMNS, Labels, Placed, from_rows

FORMAT = 1
"""Version of these files' format."""

Status = Literal["pending", "done", "failed", "quarantined", "vanished", "superseded"]
"""What can be said of a track, in the order of the codes on the `status` variable."""

STATUSES: tuple[Status, ...] = ("pending", "done", "failed", "quarantined", "vanished", "superseded")


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
    """

    number: int
    rows: list[Placed]
    settings: Mapping[str, Any]
    vanished: tuple[str, ...] = ()
    labels: Mapping[str, Labels] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's name in the run directory."""
        return f"{LAYOUT}/{self.number:04d}.jsonl.gz"

    def encode(self) -> bytes:
        """The file's bytes."""
        header = {
            "format": FORMAT,
            "generation": self.number,
            "settings": self.settings,
            "vanished": list(self.vanished),
            "columns": COLUMNS,
        } | ({"labels": self.labels} if self.labels else {})
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
            labels = header.get("labels", {})
            return cls(header["generation"], rows, header["settings"], tuple(header["vanished"]), labels)
        except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zlib.error) as error:
            raise StoreError(
                f"{name} cannot be read ({error}); it is written once and never changed, so the disk or a person "
                "damaged it. Restore it from a backup, or start a new run directory"
            ) from error


@dataclass(frozen=True)
class Outcome:
    """What became of one track in one unit.

    Attributes
    ----------
    status : {"done", "failed", "quarantined"}
        Failed tracks hold the fill value in this unit.
    error : str or None
        Why it failed.
    n_samples : int or None
        Its true decoded length at the store's rate, if this unit met the end.
    retry : bool
        Whether the next run tries it again by itself: its file could not be reached, which says nothing of the file.
    cancels : bool
        Whether its channels cancel each other in their mean, so that what was separated is next to nothing.
    """

    status: Status
    error: str | None = None
    n_samples: int | None = None
    retry: bool = False
    cancels: bool = False


@dataclass(frozen=True)
class Commit:
    """A finished unit: its shards are written and on disk.

    Attributes
    ----------
    unit : int
        The unit's number.
    tracks : mapping of int to Outcome
        What became of each piece's track, by row.
    digests : mapping of str to list
        For each array, a CRC32C for each channel over the values of the pieces' frames, in order; None where a
        channel holds nothing.
    pieces : mapping of str to list
        For each array and channel, such digests of the frames up to each piece's last: a list in the order of `tracks`.
        Whoever goes on from the one before gets a piece's own, so that each is checked alone. Earlier versions: empty.
    versions : mapping
        Packages that made the numbers.
    seconds : mapping
        What the steps took, for whoever wants to make them faster.
    """

    unit: int
    tracks: Mapping[int, Outcome]
    digests: Mapping[str, list[int | None]] = field(default_factory=dict)
    pieces: Mapping[str, list[list[int | None]]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's name in the run directory."""
        return f"commits/{self.unit:08d}.json"

    def by_track(self, name: str, channel: int) -> dict[int, tuple[int | None, int | None]]:
        """For each track's row, the digest before it and with it; empty where the commit has none of pieces."""
        found = self.pieces[name][channel] if name in self.pieces else []
        return dict(zip(self.tracks, pairwise([None, *found]), strict=False))

    def encode(self) -> bytes:
        """The file's bytes."""
        record = asdict(self) | {
            "format": FORMAT,
            "tracks": {
                str(index): {
                    key: value for key, value in asdict(outcome).items() if value not in (None, False)
                }
                for index, outcome in self.tracks.items()
            },
        }
        return json.dumps(record, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes, name: str) -> "Commit":
        """Read what `encode` wrote."""
        try:
            record = json.loads(data)
            tracks = {int(index): Outcome(**outcome) for index, outcome in record["tracks"].items()}
            return cls(
                record["unit"],
                tracks,
                record["digests"],
                record.get("pieces", {}),
                record["versions"],
                record["seconds"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise commit_error(name, error) from error


def commit_error(name: str, why: object) -> StoreError:
    """What to say of a file that is not the commit that it should be."""
    return StoreError(f"{name} is not a commit ({why}). Delete it, and the next run does its unit again")


PACKAGES = ("hpss-batch", "numpy", "scipy", "soundfile", "soxr", "zarr", "llvmlite")


@cache
def versions() -> dict[str, str]:
    """Versions of what takes part in computing or storing numbers, by name; libsndfile's too."""
    import soundfile

    found = {name: version(name) for name in PACKAGES}
    return found | {"libsndfile": soundfile.__libsndfile_version__, "python": platform.python_version()}
