"""What has been done in a run directory, as files that are created once and never change.

`commits/00000000.json`, …
    One *commit* for each finished unit: what became of its tracks. A unit without one is not done.

One is created only once, whoever is first: two drivers may race for the same unit, and the loser reads the winner's.
A commit names the versions of the packages that made its numbers, since others may give other last bits; the layout
that it belongs to, since a run directory of which nothing is committed may be given another, while a worker is late;
and it ends with a digest of itself. Nothing in it depends on when or where the unit was done: what its steps took is
among `timings`. What a track's status is follows from layouts and commits alone; see `catalog`.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

import google_crc32c

from hpss_batch.errors import StoreError
from hpss_batch.store.storage import Folder

FORMAT = 2
"""Version of the format of records and generations. Records of the first have no digest and no layout, and say what
their steps took."""

Status = Literal["pending", "done", "failed", "quarantined", "vanished", "superseded"]
"""What can be said of a track, in the order of the codes on the `status` variable."""

STATUSES: tuple[Status, ...] = ("pending", "done", "failed", "quarantined", "vanished", "superseded")


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
        Whether channels cancel each other in their mean, in its first piece, so that what was separated is next to
        nothing.
    contents : int or None
        `Placed.contents` of the piece's share of its file.
    limits : str or None
        Of a track that was quarantined, the limits of its workers, as `Job.limits` has them: a run with others tries
        it again.
    """

    status: Status
    error: str | None = None
    n_samples: int | None = None
    retry: bool = False
    cancels: bool = False
    contents: int | None = None
    limits: str | None = None


class Record(Protocol):
    """What is created once for each task that is done: a `Commit`, or a `StemRecord`."""

    @property
    def layout(self) -> str:
        """The layout that it belongs to, as `Catalog.layouts` has it; empty in records of the first format."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def encode(self) -> bytes:
        """The file's bytes."""

    @classmethod
    def decode(cls, data: bytes, name: str) -> Self:
        """Read what `encode` wrote; `StoreError` if that is damaged."""


AnyRecord = TypeVar("AnyRecord", bound=Record)

PASSING = ("seconds", "elsewhere")
"""What a worker says of a record, and the file does not."""


def keep(folder: Folder, name: str, record: AnyRecord) -> AnyRecord:
    """Create a record, unless one of the same layout is there; returns that which is.

    One of another layout was left by a worker that did not know that its run directory had been cleared.
    """
    if folder.create(name, record.encode()):
        return record
    there = kept(folder, name, type(record), record.layout)
    if there is None:
        folder.replace(name, record.encode())
    return there or record


def kept(folder: Folder, name: str, kind: type[AnyRecord], layout: str) -> AnyRecord | None:
    """The record of a layout that is there, which is `elsewhere`; None where there is none."""
    data = folder.read(name)
    there = None if data is None else kind.decode(data, f"{folder.url}/{name}")
    return replace(there, elsewhere=True) if there is not None and there.layout in ("", layout) else None


def seal(record: Mapping[str, Any]) -> bytes:
    """The bytes of a record: JSON, the last of which is a digest of the rest.

    >>> unseal(seal({"unit": 3}))
    {'unit': 3}
    """
    record = {"format": FORMAT} | dict(record)
    return _text(record | {"crc32c": google_crc32c.value(_text(record))})


def unseal(data: bytes) -> dict[str, Any]:
    """What is in a record; raises as a mapping of another form would if it is not what was written."""
    record: dict[str, Any] = json.loads(data)
    if record["format"] > 1 or "crc32c" in record:
        digest = record.pop("crc32c")
        if google_crc32c.value(_text(record)) != digest:
            raise ValueError("its digest is not that of what it holds")
    del record["format"]
    return record


def _text(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=1).encode() + b"\n"


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
    layout : str
        See `Record`.
    seconds : mapping
        What the steps took, for whoever wants to make them faster. Not in the file, but among `RunDirectory.timings`.
    elsewhere : bool
        Whether somebody else created it, before the worker that was to do so. Not in the file.
    """

    unit: int
    tracks: Mapping[int, Outcome]
    digests: Mapping[str, list[int | None]] = field(default_factory=dict)
    pieces: Mapping[str, list[list[int | None]]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    layout: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    elsewhere: bool = False

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
            "tracks": {
                str(index): {
                    key: value
                    for key, value in asdict(outcome).items()
                    if value is not None and value is not False
                }
                for index, outcome in self.tracks.items()
            },
        }
        return seal({name: value for name, value in record.items() if name not in PASSING})

    @classmethod
    def decode(cls, data: bytes, name: str) -> "Commit":
        """Read what `encode` wrote."""
        try:
            record = unseal(data)
            tracks = {int(index): Outcome(**outcome) for index, outcome in record["tracks"].items()}
            return cls(
                record["unit"],
                tracks,
                record["digests"],
                record.get("pieces", {}),
                record["versions"],
                record.get("layout", ""),
                record.get("seconds", {}),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise commit_error(name, error) from error


def commit_error(name: str, why: object) -> StoreError:
    """What to say of a file that is not the commit that it should be."""
    return StoreError(f"{name} is not a commit ({why}). Delete it, and the next run does its unit again")


PACKAGES = ("hpss-batch", "numpy", "scipy", "soundfile", "soxr", "zarr", "llvmlite")


@cache
def versions(*, ffmpeg: bool = False) -> dict[str, str]:
    """Versions of what takes part in computing or storing numbers, by name; libsndfile's too, and FFmpeg's if asked."""
    import soundfile

    from hpss_batch.audio.ffmpeg import ffmpeg_versions

    found = {name: version(name) for name in PACKAGES}
    found |= {"libsndfile": soundfile.__libsndfile_version__, "python": platform.python_version()}
    return found | (ffmpeg_versions() if ffmpeg else {})
