"""Which stems are there? Records beside the commits, each created once.

`commits/stems/<key>.json`
    The settings that the key stands for: format, path, components.
`commits/stems/<key>/00000012.json`
    What became of the stems of row 12; `00000012.1.json` of a second try, and so on: the last one counts.

Stems change no number of the store, so that one run directory may have stems of many kinds, as long as they do not
take each other's names.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hpss_batch.errors import StoreError
from hpss_batch.store.records import PASSING, Status, seal, unseal
from hpss_batch.store.storage import Folder

PLACE = "commits/stems"


@dataclass(frozen=True)
class Stem:
    """A component's file, and how loud it came out.

    Attributes
    ----------
    name : str
        Below `stems/`.
    n_bytes, crc32c : int
        Size and digest of the file.
    clipped : int
        Samples beyond full scale, which the format cannot hold.
    peak : float
        Largest magnitude before clipping; 1 is full scale.
    """

    name: str
    n_bytes: int
    crc32c: int
    clipped: int
    peak: float


@dataclass(frozen=True)
class StemRecord:
    """What became of one track's stems: the files are whole, and on disk.

    Attributes
    ----------
    row : int
        The track's row.
    track : str
        Its id.
    status : {"done", "failed", "quarantined"}
        Whether it has stems.
    attempt : int
        0 for the first.
    error : str or None
        Why it has none.
    retry, cancels : bool
        See `Outcome`.
    n_samples, sample_rate, channels : int
        True length, Hz and channels of each stem.
    stems : mapping of str to Stem
        By component. Empty for a track of 0 samples, which many formats cannot hold.
    versions, seconds, layout, elsewhere
        See `Commit`.
    contents : int or None
        CRC32C of the track's file.
    limits : str or None
        See `Outcome`.
    """

    row: int
    track: str
    status: Status
    attempt: int = 0
    error: str | None = None
    retry: bool = False
    n_samples: int = 0
    sample_rate: int = 0
    channels: int = 0
    stems: Mapping[str, Stem] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    layout: str = ""
    contents: int | None = None
    limits: str | None = None
    cancels: bool = False
    elsewhere: bool = False

    def name(self, key: str) -> str:
        """The record's name in the run directory."""
        return record_name(key, self.row, self.attempt)

    @property
    def clipping(self) -> str:
        """A few words for people on samples beyond full scale; empty where there are none."""
        clipped = {component: stem for component, stem in self.stems.items() if stem.clipped}
        return ", ".join(f"{c} {s.clipped:,} samples (peak {s.peak:.2f})" for c, s in clipped.items())

    def encode(self) -> bytes:
        """The file's bytes."""
        return seal({name: value for name, value in asdict(self).items() if name not in PASSING})

    @classmethod
    def decode(cls, data: bytes, name: str) -> "StemRecord":
        """Read what `encode` wrote."""
        try:
            record = unseal(data)
            record["stems"] = {component: Stem(**stem) for component, stem in record["stems"].items()}
            return cls(**record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{name} is not a record of stems ({error}). Delete it, and the next run renders its track again"
            ) from error


def record_name(key: str, row: int, attempt: int) -> str:
    """What the record of a row's stems is called in the run directory."""
    return f"{PLACE}/{key}/{row:08d}{f'.{attempt}' if attempt else ''}.json"


def settings_key(settings: Mapping[str, Any]) -> str:
    """What stands for settings of stems in names of records: 8 hexadecimal digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def declare(folder: Folder, settings: Mapping[str, Any]) -> None:
    """Write down what a key stands for."""
    name = f"{PLACE}/{settings_key(settings)}.json"
    folder.create(name, json.dumps(settings, indent=1, sort_keys=True).encode() + b"\n")


def declared(folder: Folder) -> list[str]:
    """All keys that were ever written down."""
    found = (re.fullmatch(r"([0-9a-f]{8})\.json", name) for name in folder.names(PLACE))
    return [match[1] for match in found if match]


def declaration(folder: Folder, key: str) -> dict[str, Any]:
    """The settings that a key stands for; errors as `RunDirectory.stem_settings`."""
    name = f"{PLACE}/{key}.json"
    try:
        settings: dict[str, Any] = json.loads(folder.read(name) or b"")
        if settings_key(settings) != key:
            raise ValueError(f"what it holds would be called {settings_key(settings)}")
    except ValueError as error:
        raise StoreError(
            f"{folder.url}/{name} does not hold the settings of stems that it is named by ({error}). Delete it; "
            "`hpss-batch render`, with these settings, writes it again"
        ) from error
    return settings


def last_records(folder: Folder, key: str) -> dict[int, str]:
    """Names of the records that count of the stems of a key: the last one of each row."""
    last = dict[int, tuple[int, str]]()
    for name in folder.names(f"{PLACE}/{key}"):
        match = re.fullmatch(r"([0-9]{8,})(?:\.([0-9]+))?\.json", name)
        if match:
            row, attempt = int(match[1]), int(match[2] or 0)
            last[row] = max(last.get(row, (-1, "")), (attempt, f"{PLACE}/{key}/{name}"))
    return {row: name for row, (_, name) in last.items()}
