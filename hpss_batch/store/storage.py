"""How do the small files of a run directory get written so that they are there whole, once, or not at all?

A run directory's truth is a set of small files that are created once and never change. `Folder` is the few calls that
this needs, on a local disk or on an object store: `create` either makes a file that nobody made before, whole and
on disk when it returns, or says that somebody was first; no reader ever sees half a file.
"""

import contextlib
import os
import uuid
from pathlib import Path
from typing import Protocol

from hpss_batch.errors import StoreError
from hpss_batch.paths import absolute, is_url
from hpss_batch.store.buckets.folder import ObjectFolder

PARTIAL = ".partial"
"""How a name ends while its file is being written; what a crash leaves behind can be recognised by it."""

HANDED_ON = 2**23
"""Bytes of a file under way that are handed on to the disk together (measured: 4 MiB is as fast, 32 are slower)."""


class NewFile(Protocol):
    """A file under way, which nobody sees before it is whole."""

    def write(self, data: bytes) -> None:
        """Add bytes."""

    def cut(self, size: int) -> None:
        """Forget all bytes but the first `size`."""

    def finish(self) -> None:
        """Take the place of what is there under this name, at once; it is on disk when this returns."""

    def abandon(self) -> None:
        """Leave no trace."""


class Folder(Protocol):
    """The files below one place, by POSIX names relative to it."""

    url: str

    def begin(self, name: str) -> NewFile:
        """Begin a file of which parts come one by one."""

    def create(self, name: str, data: bytes) -> bool:
        """Make a file; False, and nothing changes, if it exists already."""

    def replace(self, name: str, data: bytes) -> None:
        """Make a file or take the place of what is there, at once."""

    def read(self, name: str) -> bytes | None:
        """A file's bytes, or None if there is none."""

    def names(self, prefix: str) -> list[str]:
        """Sorted names of the whole files directly in the folder `prefix`, without it."""

    def sizes(self) -> dict[str, int]:
        """Bytes of every file, in all folders, half-written ones too, by name."""

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""


def open_folder(location: str | os.PathLike[str]) -> Folder:
    """The folder at a local path, or at a URL that obstore knows (`s3://…`, `gs://…`, `memory://`)."""
    place = absolute(location)
    return ObjectFolder(place) if is_url(place) else LocalFolder(Path(place))


def sync(path: Path) -> None:
    """Return when a file or folder is on disk, where the file system can tell."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems refuse to sync folders
        if not path.is_dir():
            raise StoreError(
                f"{path} cannot be brought to disk: {error}. Check the disk, then run again"
            ) from error
    finally:
        os.close(descriptor)


class LocalFolder:
    """A folder on a file system; see `Folder`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def begin(self, name: str) -> "LocalFile":
        """Begin a file of which parts come one by one."""
        return LocalFile(self.root / name)

    def create(self, name: str, data: bytes) -> bool:
        """Make a file; False, and nothing changes, if it exists already."""
        file = self._written(name, data)
        try:
            return file.finish_if_new()
        finally:
            file.abandon()

    def replace(self, name: str, data: bytes) -> None:
        """Make a file or take the place of what is there, at once."""
        file = self._written(name, data)
        try:
            file.finish()
        finally:
            file.abandon()

    def read(self, name: str) -> bytes | None:
        """A file's bytes, or None if there is none."""
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, prefix: str) -> list[str]:
        """Sorted names of the whole files directly in the folder `prefix`, without it."""
        try:
            return sorted(
                e.name for e in os.scandir(self.root / prefix) if e.is_file() and not e.name.endswith(PARTIAL)
            )
        except (FileNotFoundError, NotADirectoryError):
            return []

    def sizes(self) -> dict[str, int]:
        """Bytes of every file, in all folders, half-written ones too, by name."""
        found = dict[str, int]()
        for folder, _, names in os.walk(self.root):
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(FileNotFoundError):  # a run that is at work comes and goes
                    found[path.relative_to(self.root).as_posix()] = path.stat().st_size
        return found

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.root / name).unlink(missing_ok=True)

    def _written(self, name: str, data: bytes) -> "LocalFile":
        file = LocalFile(self.root / name)
        try:
            file.write(data)
        except BaseException:
            file.abandon()
            raise
        return file


class LocalFile:
    """A file under way on a file system, under another name; see `NewFile`."""

    def __init__(self, final: Path) -> None:
        self.final = final
        self.partial = final.with_name(f"{final.name}.{uuid.uuid4().hex}{PARTIAL}")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.partial.open("xb")
        except OSError as error:
            raise StoreError(
                f"{final} cannot be written: {error.strerror}. Make room or give rights, or use another output.path"
            ) from error
        self.size = self.handed_on = 0

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self.file.write(data)
        self.size += len(data)
        if self.size - self.handed_on >= HANDED_ON:
            self.file.flush()
            self._hand_on(self.handed_on)
            self.handed_on = self.size

    def cut(self, size: int) -> None:
        """Forget all bytes but the first `size`."""
        self.file.seek(size)
        self.file.truncate()
        self.size, self.handed_on = size, min(self.handed_on, size)

    def finish(self) -> None:
        """Take the place of what is there under this name, at once; it is on disk when this returns."""
        self._sync()
        os.replace(self.partial, self.final)
        sync(self.final.parent)

    def finish_if_new(self) -> bool:
        """Get the name, or return False and change nothing if it exists already."""
        self._sync()
        try:
            os.link(self.partial, self.final)
        except FileExistsError:
            return False
        except OSError:  # no hard links here (FAT, some network file systems): whoever makes the name first
            try:
                os.close(os.open(self.final, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return False
            os.replace(self.partial, self.final)
        sync(self.final.parent)
        return True

    def abandon(self) -> None:
        """Leave no trace, unless it was finished."""
        with contextlib.suppress(OSError):  # a full disk lets go of what is buffered with one more complaint
            self.file.close()
        self.partial.unlink(missing_ok=True)

    def _sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        if self.handed_on:
            self._hand_on(0)
        self.file.close()

    def _hand_on(self, begin: int) -> None:
        """Have bytes from `begin` on go to disk now, and leave the system's memory if they are there.

        Left to the system, a large file goes to disk when it is finished, and its writer waits; and a corpus fills
        memory that others have use for, while every page of it that is fresh costs more than compressing what it holds.
        """
        if hasattr(os, "posix_fadvise"):  # not on macOS
            os.posix_fadvise(self.file.fileno(), begin, 0, os.POSIX_FADV_DONTNEED)
