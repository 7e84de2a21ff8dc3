"""What is a run directory to whoever reads or writes one? A place, and the files there that mean something.

    out/
      job.yaml            the job as it was run last
      skipped.json        what it did not take for tracks, and why        `skipped`
      corpus.zarr/        the arrays                                     `group`
      layout/             which track lies where, a file a generation    `generations`, `place`
      commits/            what became of each unit                       `commits`
      commits/stems/      what became of the stems of each track         `stem_records`
      packs/              in a bucket, what commits hold, many a file    see `packs`
      timings/            what the steps of tasks took, a file a run     `timings`, `note_timings`
      running/            which runs are at work                         see `presence`
      logs/               what the jobs of a queueing system wrote       `logs`
      stems/  report.html

A `RunDirectory` is this place and nothing more: it is passed along instead of paths, and every call reads what is there
at that moment. `catalog` gives what the records add up to, as a value that does not change.
"""

import json
import os
import socket
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from hpss_batch.errors import HpssBatchError, StoreError, UnreachableError
from hpss_batch.objects import object_store, reaching
from hpss_batch.paths import is_url
from hpss_batch.store.buckets.folder import ObjectFolder
from hpss_batch.store.buckets.packs import pack, packed
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.generations import FIRST, LAYOUT, Generation
from hpss_batch.store.presence import running
from hpss_batch.store.records import Commit, commit_error
from hpss_batch.store.stem_records import PLACE, StemRecord, declaration, declare, declared, last_records
from hpss_batch.store.storage import open_folder

if TYPE_CHECKING:  # which takes long to import
    import zarr

PATIENCE_SECONDS = 90.0
"""How long records are waited for that a worker has written: NFS shows new files after a minute at the latest."""

COMMITS = "commits"
JOB = "job.yaml"
GROUP = "corpus.zarr"
SKIPPED = "skipped.json"
STEMS = "stems"
TIMINGS = "timings"

Steps = Mapping[str, float]
"""Seconds of one core, by the steps of a task."""

BROKEN = (KeyError, ValueError, TypeError, AttributeError)
"""What zarr raises for metadata that it would not have written."""


class RunDirectory:
    """A run directory, local or on an object store, whether or not anything was run there yet.

    Parameters
    ----------
    location : path or URL
        A job's `output.path`.

    Attributes
    ----------
    folder : Folder
        Its files.
    url : str
        Its location: a URL, or an absolute path.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self.folder = open_folder(location)
        self.url = self.folder.url

    def __repr__(self) -> str:
        return f"<RunDirectory {self.url}>"

    @property
    def logs(self) -> str | None:
        """A folder for what others write about a run; None on an object store."""
        return None if is_url(self.url) else os.path.join(self.url, "logs")

    @contextmanager
    def untouched_by(self, kind: type[Exception]) -> Iterator[None]:
        """Leave no folder behind, of those that a cluster makes for logs, where such an error ends what is tried."""
        made = [] if self.logs is None else [self.logs, self.url]
        made = [path for path in made if not os.path.exists(path)]
        try:
            yield
        except kind:
            for path in made:
                with suppress(OSError):  # it was not made, or something is in it
                    os.rmdir(path)
            raise

    @property
    def exists(self) -> bool:
        """Whether tracks have been placed there."""
        return FIRST in self.folder.names(LAYOUT)

    @property
    def n_generations(self) -> int:
        """How many generations there are."""
        return len(_numbers(self.folder.names(LAYOUT), 4, ".jsonl.gz"))

    def catalog(self, stems: str | None = None) -> Catalog:
        """What the records add up to, with the stems of a key.

        Raises
        ------
        StoreError
            If this is not a run directory, or a record is damaged.
        """
        return Catalog(self.generations(), self.commits(), self.stem_records(stems))

    def catalog_or_none(self, stems: str | None = None) -> Catalog | None:
        """The same; None where no tracks have been placed yet."""
        generations = self._generations()
        return Catalog(generations, self.commits(), self.stem_records(stems)) if generations else None

    def generations(self) -> list[Generation]:
        """All generations in order.

        Raises
        ------
        StoreError
            If there are none: this is not a run directory, or a submitted run has not begun; or if one is missing or
            damaged.
        """
        found = self._generations()
        if not found:
            if self.folder.read("driver.yaml") is not None:
                raise StoreError(
                    f"{self.url} has no layout/ yet: what was submitted has not begun there. The queue says whether it "
                    f"waits, and {self.url.rstrip('/')}/driver.log why it ended"
                )
            raise StoreError(
                f"{self.url} is not a run directory: it has no layout/. Give the output.path of a job that was run"
            )
        return found

    def _generations(self) -> list[Generation]:
        generations = list[Generation]()
        for number, found in enumerate(_numbers(self.folder.names(LAYOUT), 4, ".jsonl.gz")):
            name = f"{LAYOUT}/{found:04d}.jsonl.gz"
            generation = Generation.decode(self.folder.read(name) or b"", f"{self.url}/{name}")
            if generation.number != number:
                raise StoreError(
                    f"{self.url}/{LAYOUT} holds {found:04d}.jsonl.gz where generation {number} should be: a file is "
                    "missing. Restore it, or start a new run directory"
                )
            generations.append(generation)
        return generations

    def place(self, generation: Generation) -> bool:
        """Create a generation; False if another driver was first, whose generation then counts.

        Raises
        ------
        StoreError
            If something else has its name.
        """
        if self.folder.create(generation.name, generation.encode()):
            return True
        if generation.name.rpartition("/")[2] in self.folder.names(LAYOUT):
            return False
        raise StoreError(
            f"{self.url}/{generation.name} is neither there nor can it be made: something else has this name. "
            "Remove it, and run again"
        )

    def clear(self, found: Catalog) -> bool:
        """Make room for another job: no arrays, then no layout.

        False, and nothing is done, if something is committed by now, or others were faster to place something else.

        Raises
        ------
        StoreError
            If a run is at work here, which would commit what it does under the new layout.
        """
        there = [generation.encode() for generation in self._generations()]
        if self.has_commits or there != [generation.encode() for generation in found.generations]:
            return False
        if others := running(self.folder):
            raise StoreError(
                f"{self.url} holds another job, which is at work there ({', '.join(others)}: host and process). Wait "
                "until it ends, or use another output.path"
            )
        self.group("w")
        for name in reversed(self.folder.names(LAYOUT)):
            self.folder.delete(f"{LAYOUT}/{name}")
        return True

    @property
    def has_commits(self) -> bool:
        """Whether anything was ever finished: a unit, or a track's stems."""
        return bool(self.committed()) or any(map(self.stem_record_names, self.stem_keys()))

    def committed(self) -> set[int]:
        """Numbers of the units that are done."""
        return set(_units(self.folder.names(COMMITS)))

    def commits(self, units: Iterable[int] | None = None) -> dict[int, Commit]:
        """Commits by unit, of the given units or of all."""
        timings, listed = self.timings(), self._listed(COMMITS)
        wanted = _units(name.rpartition("/")[2] for name in listed) if units is None else sorted(units)
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(lambda unit: self.commit(unit, listed), wanted)
            return {c.unit: replace(c, seconds=timings.get(c.name, c.seconds)) for c in found}

    def commit(self, unit: int, held: Mapping[str, bytes] | None = None) -> Commit:
        """A unit's commit, from contents that are held already by name, or from its file.

        Raises
        ------
        StoreError
            If it is damaged, or another unit's.
        """
        name = Commit(unit, {}).name
        data = (held or {}).get(name) or self.folder.read(name) or b""
        commit = Commit.decode(data, f"{self.url}/{name}")
        if commit.unit != unit:
            raise commit_error(f"{self.url}/{name}", f"it is unit {commit.unit}'s")
        return commit

    def wait_for(self, names: Iterable[str], seconds: float = PATIENCE_SECONDS) -> None:
        """Return when files can be read that others say they made: a shared file system may show them late.

        Raises
        ------
        StoreError
            If they do not show up.
        """
        limit, missing = time.monotonic() + seconds, list(names)
        while missing := [name for name in missing if self.folder.read(name) is None]:
            if time.monotonic() > limit:
                raise StoreError(
                    f"workers say that they wrote {self.url}/{missing[0]}"
                    + (f" and {len(missing) - 1:,} more records" if missing[1:] else "")
                    + f", but {seconds:g} s later that cannot be seen from {socket.gethostname()}. output.path has to "
                    "be on a file system that all workers and this machine share, under the same path, or in a bucket"
                )
            time.sleep(min(1.0, seconds / 10))

    def record_names(self, key: str | None) -> set[str]:
        """Names of all commits, and of the last record of each row of the stems of a key."""
        stems = self.stem_record_names(key) if key is not None else {}
        return {Commit(unit, {}).name for unit in self.committed()} | set(stems.values())

    def declare_stems(self, settings: Mapping[str, Any]) -> None:
        """Write down what a key of stems stands for, before anything is rendered."""
        declare(self.folder, settings)

    def stem_keys(self) -> list[str]:
        """Keys of all settings of stems that were ever declared here."""
        return declared(self.folder)

    def stem_settings(self, key: str) -> dict[str, Any]:
        """The settings of stems that a key stands for.

        Raises
        ------
        StoreError
            If the file does not hold them.
        """
        return declaration(self.folder, key)

    def stem_records(self, key: str | None, rows: Container[int] | None = None) -> dict[int, StemRecord]:
        """The last record of each row, or of some rows, of the stems of a key; of no key there are none."""
        found = self.stem_record_names(key) if key is not None else {}
        names = {row: name for row, name in found.items() if rows is None or row in rows}
        if not names:
            return {}
        timings, held = self.timings(), self._listed(f"{PLACE}/{key}")
        with ThreadPoolExecutor(8) as pool:
            read = pool.map(lambda name: self.stem_record(name, held), names.values())
            pairs = zip(names.items(), read, strict=True)
            return {row: replace(r, seconds=timings.get(name, r.seconds)) for (row, name), r in pairs}

    def stem_record_names(self, key: str) -> dict[int, str]:
        """Names of the last record of each row, of the stems of a key."""
        return last_records(self.folder, key)

    def stem_record(self, name: str, held: Mapping[str, bytes] | None = None) -> StemRecord:
        """A record by its name, from contents that are held already, or from its file.

        Raises
        ------
        StoreError
            If it is damaged.
        """
        data = (held or {}).get(name) or self.folder.read(name) or b""
        return StemRecord.decode(data, f"{self.url}/{name}")

    def pack(self, key: str | None) -> None:
        """Have commits, and records of the stems of a key, read from a bucket with few requests from here on."""
        if isinstance(self.folder, ObjectFolder):
            with suppress(UnreachableError):  # nothing relies on it
                for place in (COMMITS, *([f"{PLACE}/{key}"] if key is not None else [])):
                    pack(self.folder, place)

    def _listed(self, place: str) -> dict[str, bytes]:
        """Files of a folder by name, with the contents of those that need not be read one by one."""
        if isinstance(self.folder, ObjectFolder):
            return packed(self.folder, place)
        return dict.fromkeys((f"{place}/{name}" for name in self.folder.names(place)), b"")

    def note_timings(self, seconds: Mapping[str, Steps]) -> None:
        """Write down what the steps of tasks took, by the names of their records; who cannot, goes on without."""
        with suppress(OSError, StoreError):
            taken = json.dumps({name: steps for name, steps in seconds.items() if steps}).encode()
            self.folder.create(f"{TIMINGS}/{time.time_ns()}.json", taken + b"\n")

    def timings(self) -> dict[str, Steps]:
        """Seconds that the steps of tasks took, by the names of their records, as far as runs came to say so."""
        found = dict[str, Steps]()
        for name in self.folder.names(TIMINGS):
            with suppress(ValueError, TypeError):
                found.update(json.loads(self.folder.read(f"{TIMINGS}/{name}") or b""))
        return found

    def skipped(self) -> dict[str, str]:
        """Files and folders of the corpus that the last run skipped, by name, and why; none where that is not known."""
        try:
            return dict(json.loads(self.folder.read(SKIPPED) or b"{}"))
        except (ValueError, TypeError):  # the next run writes it again
            return {}

    def group(self, mode: Literal["r", "r+", "a", "w"] = "r") -> "zarr.Group":
        """The arrays, with their metadata as they are now, not consolidated.

        Raises
        ------
        StoreError
            If there is no group, or its metadata are damaged.
        """
        import zarr
        import zarr.errors
        import zarr.storage

        from hpss_batch.store.buckets.arrays import BucketStore

        # a store, since zarr takes a text for a URL, of which `#`, `?` and `%` are not part of the path
        place, read_only = f"{self.url.rstrip('/')}/{GROUP}", mode == "r"
        store: Any = (
            BucketStore(object_store(place), read_only=read_only)
            if is_url(place)
            else zarr.storage.LocalStore(place, read_only=read_only)
        )
        try:
            with reaching(self.url):
                return zarr.open_group(store, mode=mode, use_consolidated=False, zarr_format=3)
        except zarr.errors.ContainsGroupError:
            if mode != "a":
                raise
            return self.group("r+")  # another driver made it between zarr's look and its writing
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.url} holds no {GROUP}: it is not a run directory, or nothing was run there yet. "
                f"`hpss-batch run CORPUS -o {self.url}` makes one"
            ) from error
        except BROKEN as error:
            raise StoreError(
                f"{self.url}/{GROUP} cannot be read: its zarr.json is damaged ({error}). "
                f"`hpss-batch verify --heal {self.url}` writes it again from layouts and commits"
            ) from error

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Make whatever zarr and codecs raise, for bytes that they never wrote, an error that says what to do."""
        try:
            with reaching(self.url):
                yield
        except (HpssBatchError, OSError, MemoryError):
            raise
        except Exception as error:
            raise StoreError(
                f"{self.url}/{GROUP} is damaged ({type(error).__name__}: {error}). "
                f"`hpss-batch verify --heal {self.url}` says where, and computes it again"
            ) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say in words what keeps records and metadata from being written: a full disk, mostly."""
        try:
            with reaching(self.url):
                yield
        except OSError as error:
            raise StoreError(
                f"{self.url} cannot be written: {error.strerror or error}. Make room or give rights, then run again: "
                "what is committed is safe"
            ) from error


def _units(names: Iterable[str]) -> list[int]:
    """The units whose commits files are, by name."""
    return _numbers(names, 8, ".json")


def _numbers(names: Iterable[str], width: int, ending: str) -> list[int]:
    """The numbers that files are named by. Other names, macOS's `._00000004.json` say, mean nothing."""
    numbers = (name.removesuffix(ending) for name in names if name.endswith(ending))
    return sorted(int(name) for name in numbers if name.isdecimal() and name == f"{int(name):0{width}d}")
