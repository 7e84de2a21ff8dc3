"""What in a run directory does nobody need any more? Listed, and freed.

    superseded      shards of units in which no track lies that counts, and stems of tracks that were placed again
    half-written    files that were under way when a run was killed
    ended           what runs that were killed said of being at work, and commits of a layout that was cleared

What is freed is never written again under its name, so that a run may start meanwhile. Records stay: commits are small,
and say what became of their tracks. Shards of units that are still to be done stay, too: the next run replaces them.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hpss_batch.errors import StoreError
from hpss_batch.paths import is_url
from hpss_batch.runner.plan import Plan, plan_of_run
from hpss_batch.store.arrays.axes import needed_shards
from hpss_batch.store.arrays.schema import AXES
from hpss_batch.store.arrays.shard import shard_place
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import GROUP, STEMS, RunDirectory
from hpss_batch.store.presence import RUNNING, at_work, killed, running
from hpss_batch.store.records import Commit
from hpss_batch.store.storage import PARTIAL
from hpss_batch.text import counted, file_name, size

Kind = Literal["superseded", "half-written", "ended"]


@dataclass(frozen=True)
class Spare:
    """A file that nobody needs.

    Attributes
    ----------
    kind : {"superseded", "half-written", "ended"}
        Why not; see the module.
    name : str
        Its name in the run directory.
    n_bytes : int
        Its size.
    """

    kind: Kind
    name: str
    n_bytes: int


@dataclass(frozen=True)
class Pruned:
    """What was freed of a run directory, or would be.

    Attributes
    ----------
    url : str
        The run directory.
    files : tuple of Spare
        In order of their names.
    dry_run : bool
        Whether they are still there.
    """

    url: str
    files: tuple[Spare, ...]
    dry_run: bool

    @property
    def n_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.n_bytes for file in self.files)

    def figures(self) -> dict[str, Any]:
        """Everything, as values fit for JSON."""
        files = [asdict(file) for file in self.files]
        return {"path": self.url, "dry_run": self.dry_run, "bytes": self.n_bytes, "files": files}

    def summary(self) -> str:
        """The outcome in a sentence."""
        if not self.files:
            return f"{self.url} holds nothing that could be freed."
        verb = "Would free" if self.dry_run else "Freed"
        return f"{verb} {in_words(self.files)}."


_WORDS: dict[Kind, str] = {
    "superseded": "of superseded tracks",
    "half-written": "half-written",
    "ended": "of ended runs",
}


def in_words(files: Sequence[Spare]) -> str:
    """How many files there are, how much they take, and of which kinds they are."""
    kinds = Counter(file.kind for file in files)
    found = [f"{n:,} {words}" for kind, words in _WORDS.items() if (n := kinds[kind])]
    return f"{counted(len(files), 'file')}, {size(sum(file.n_bytes for file in files))}: {', '.join(found)}"


def prune(path: str | os.PathLike[str], *, dry_run: bool = False) -> Pruned:
    """Free what nobody needs of a run directory: of tracks that were placed again, and what crashes left.

    Parameters
    ----------
    path : path or URL
        The run directory.
    dry_run : bool
        Say only what would be freed.

    Returns
    -------
    Pruned

    Raises
    ------
    StoreError
        If `path` is not a run directory, its records are damaged, or a run is at work there.
    """
    directory = RunDirectory(path)
    if others := running(directory.folder):
        raise StoreError(
            f"a run is at work in {directory.url} ({', '.join(others)}: host and process). Prune when it has ended"
        )
    found = sorted(spare_files(plan_of_run(directory)), key=lambda file: file.name)
    if not dry_run:
        with at_work(directory.folder), directory.writing():
            for file in found:
                directory.folder.delete(file.name)
    return Pruned(directory.url, tuple(found), dry_run)


def spare_files(plan: Plan) -> Iterator[Spare]:
    """The files of a run directory that nobody needs."""
    directory, catalog = plan.directory, plan.catalog
    gone = {f"{RUNNING}/{name}" for name in killed(directory.folder)}
    needed = catalog.needed_units
    gone |= {Commit(unit, {}).name for unit in directory.committed() - needed - catalog.commits.keys()}
    stems = _superseded_stems(directory, catalog)
    arrays = {*plan.shape.names, *(name for c in catalog.commits.values() for name in c.digests)}
    shards = dict.fromkeys(arrays, needed) | needed_shards(directory, catalog)
    for name, n_bytes in directory.folder.sizes().items():
        if name.endswith(PARTIAL):
            yield Spare("half-written", name, n_bytes)
        elif name in gone:
            yield Spare("ended", name, n_bytes)
        elif name in stems or _is_superseded(name, shards):
            yield Spare("superseded", name, n_bytes)


def _is_superseded(name: str, shards: Mapping[str, Collection[int]]) -> bool:
    """Whether a file is a shard of an array, and none of those that are needed, by the numbers along frames."""
    folder, _, key = name.rpartition("/")
    group, _, array = folder.partition("/")
    place = shard_place(key, axis=array in AXES) if group == GROUP and array in shards else None
    return place is not None and place[0] not in shards[array]


def _superseded_stems(directory: RunDirectory, catalog: Catalog) -> set[str]:
    """Files of stems that only tracks had that were placed again since."""
    had, has, counting = set[str](), set[str](), set(catalog.current.values())
    for key in directory.stem_keys():
        for row, record in catalog.with_stems(directory.stem_records(key)).stems.items():
            (has if row in counting else had).update(stem.name for stem in record.stems.values())
    return {f"{STEMS}/{name if is_url(directory.url) else file_name(name)}" for name in had - has}
