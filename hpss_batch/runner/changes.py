"""What has changed in a corpus since its tracks were placed, and which files are placed again?

What is found now is compared with the rows that count:

    found now   row that counts                     then
    ---------   --------------------------------    --------------------------------------------
    yes         none                                placed
    yes         of another size or contents         placed again; the old row is superseded
    yes         vanished                            placed again
    yes         failed or quarantined, and asked    placed again
    yes         failed, as it was out of reach      placed again
    yes         quarantined with other limits       placed again
    no          not done, and its file is gone      vanished
    else                                            left alone; times and the manifest's columns are taken over

Contents are compared where the size is the same and the time is not, by the digests that workers took as they read
the file; of a file that none has read to its end, or that a version without digests did, another time means other
contents. A file is read only if its time has changed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from hpss_batch.config.job import Job
from hpss_batch.corpus.search import Found
from hpss_batch.files import is_there
from hpss_batch.store.catalog import Catalog, State
from hpss_batch.store.layout import Labels


def to_place(
    job: Job, files: Sequence[Found], existing: Catalog | None, retry_failed: bool
) -> tuple[list[Found], dict[str, int], Counter[str]]:
    """Files to place; times, by id, of those left alone but for their time; and counts, as `Survey.files` has them."""
    if existing is None:
        return list(files), {}, Counter(new=len(files))
    placed, rows, states = existing.current, existing.rows, existing.states
    new = {found.id for found in files if found.id not in placed}
    other = [f for f in files if f.id in placed and rows[placed[f.id]].has_changed(f.size, f.mtime_ns)]
    with ThreadPoolExecutor(8, thread_name_prefix="compare") as pool:
        same = [*pool.map(lambda found: _is_same(found, existing), other)]
    times = {found.id: found.mtime_ns for found, is_same in zip(other, same, strict=True) if is_same}
    changed = {found.id for found in other} - times.keys()
    again = {track for track, index in placed.items() if _is_wanted_again(states[index], job, retry_failed)}
    wanted = new | changed | again
    fresh = [found for found in files if found.id in wanted]
    times = {track: time for track, time in times.items() if track not in again}
    return fresh, times, Counter(new=len(new), changed=len(changed), touched=len(times))


def _is_wanted_again(state: State, job: Job, retry_failed: bool) -> bool:
    """Whether a track is placed again even if its file is what it was."""
    asked = retry_failed and state.status in ("failed", "quarantined")
    return asked or state.status == "vanished" or job.tries_again(state)


def _is_same(found: Found, existing: Catalog) -> bool:
    """Whether a file of another time has the contents that the row that counts was made from."""
    index = existing.current[found.id]
    row, known = existing.rows[index], existing.contents.get(index)
    if known is None or row.source_size != found.size:
        return False
    here = replace(row, path=found.path, source_mtime=found.mtime_ns)
    return all(here.contents(begin, end) == digest for begin, end, digest in known)


def vanished(files: Iterable[Found], existing: Catalog | None) -> list[str]:
    """Ids of tracks that count, and whose files are gone."""
    if existing is None:
        return []
    here = {found.id for found in files}
    return [
        track
        for track, index in existing.current.items()
        if track not in here and not is_there(existing.rows[index].file)
    ]


def mended(files: Iterable[Found], fresh: set[str], existing: Catalog | None) -> dict[str, Labels]:
    """What a manifest says by now of tracks that stay as they are, where that is something else than before."""
    return {
        found.id: found.meta
        for found in files
        if existing is not None
        and found.meta is not None
        and found.id not in fresh
        and found.meta != existing.labels[existing.current[found.id]]
    }
