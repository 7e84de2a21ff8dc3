"""How do the small files of a run directory get written in a bucket? As `storage.Folder` says, of objects."""

import contextlib
import tempfile

from hpss_batch.objects import object_store, persistently, reaching

UPLOADS = 4
"""Parts of a large object, of 5 MiB each, that are sent at a time."""


class ObjectFolder:
    """A prefix of an object store; see `Folder`. Objects are atomic, and conditional puts make them create-only."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.store = object_store(self.url)

    def begin(self, name: str) -> "ObjectFile":
        """Begin an object of which parts come one by one."""
        return ObjectFile(self, name)

    def create(self, name: str, data: bytes) -> bool:
        """Make an object; False, and nothing changes, if it exists already."""
        from obstore.exceptions import AlreadyExistsError

        try:
            with reaching(self.url, AlreadyExistsError):
                persistently(lambda: self.store.put(name, data, mode="create"))
        except AlreadyExistsError:
            return False
        return True

    def replace(self, name: str, data: bytes) -> None:
        """Make an object or take the place of what is there, at once."""
        with reaching(self.url):
            persistently(lambda: self.store.put(name, data))

    def read(self, name: str) -> bytes | None:
        """An object's bytes, or None if there is none."""
        try:
            with reaching(self.url):
                return persistently(lambda: bytes(self.store.get(name).bytes()))
        except FileNotFoundError:
            return None

    def names(self, prefix: str) -> list[str]:
        """Sorted names of the objects directly below `prefix`, without it."""
        return list(self.tags(prefix))

    def tags(self, prefix: str) -> dict[str, str]:
        """Names as `names` has them, each with its entity tag, which another content would have otherwise."""
        with reaching(self.url):
            found = persistently(lambda: self.store.list_with_delimiter(f"{prefix}/"))["objects"]
        return dict(sorted((str(item["path"]).rsplit("/", 1)[-1], item["e_tag"] or "") for item in found))

    def sizes(self) -> dict[str, int]:
        """Bytes of every object, in all folders, by name."""
        with reaching(self.url):
            return {
                str(item["path"]): int(item["size"])
                for item in persistently(lambda: self.store.list().collect())
            }

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        with contextlib.suppress(FileNotFoundError), reaching(self.url):
            persistently(lambda: self.store.delete(name))


class ObjectFile:
    """An object under way, in a nameless file where the system keeps such (`TMPDIR`); see `NewFile`."""

    def __init__(self, folder: ObjectFolder, name: str) -> None:
        self.folder, self.name, self.file = folder, name, tempfile.TemporaryFile()  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self.file.write(data)

    def cut(self, size: int) -> None:
        """Forget all bytes but the first `size`."""
        self.file.seek(size)
        self.file.truncate()

    def finish(self) -> None:
        """Take the place of what is there under this name, at once."""
        with reaching(self.folder.url):
            persistently(self._put)
        self.file.close()

    def _put(self) -> None:
        self.file.seek(0)
        self.folder.store.put(self.name, self.file, max_concurrency=UPLOADS)

    def abandon(self) -> None:
        """Leave no trace, unless it was finished."""
        self.file.close()
