"""Which files of a corpus may be tracks, going by their names alone?

A corpus is a folder, a glob, one file or a CSV manifest, on a disk or behind a URL; or several of these, which are
taken as if they lay side by side in one folder. Each is looked through by a `Search`.
"""

import os
from collections.abc import Sequence

from hpss_batch.audio.choices import Choice
from hpss_batch.audio.kinds import unread
from hpss_batch.corpus.search import Listing, Search
from hpss_batch.errors import CorpusError
from hpss_batch.paths import Places
from hpss_batch.text import name_text


def find(
    path: Places,
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    limit: int | None = None,
    decoder: Choice = "auto",
) -> Listing:
    """List the recordings of a corpus without opening one.

    Parameters
    ----------
    path : str or path, or sequence of these
        A folder (with all folders in it), a glob such as ``music/**/*.flac``, one file, or a CSV manifest; or a URL
        of one of these, ``s3://bucket/music``. Web servers (``https://…``) have single files and manifests only.
        Hidden files and folders are left out, and so are run directories in it. Of several, ids and patterns are
        relative to a folder that would hold them: tracks of ``a/`` have ids such as ``a/song.flac``.
    include : sequence of str, optional
        Patterns, as `hpss_batch.corpus.patterns` says; by default every extension that is read here. A manifest's
        rows, a single file and a glob that spells out the extension need no pattern.
    exclude : sequence of str
        Patterns of what to leave out.
    limit : int, optional
        The first so many.
    decoder : {"auto", "libsndfile", "ffmpeg"}
        What reads them, which decides what is read at all.

    Raises
    ------
    CorpusError
        If there is nothing at `path` or nothing to read in it, or two tracks have one id.
    """
    sources = [path] if isinstance(path, str | os.PathLike) else path
    searches = [Search(source, include, exclude, unread(decoder), len(sources) > 1) for source in sources]
    listing = searches[0].listing if len(searches) == 1 else _side_by_side(searches)
    if not listing.files:
        raise CorpusError("\n".join(search.nothing() for search in searches))
    if limit is not None:
        del listing.files[limit:]
    return listing


def _side_by_side(searches: Sequence[Search]) -> Listing:
    """What several searches found, each file once; a source that holds nothing is among what was skipped."""
    joined, seen = Listing(), dict[str, Search]()
    for search in searches:
        for found in search.listing.files:
            for name in (found.id, found.path):
                other = seen.setdefault(name, search)
                if other is not search:
                    raise CorpusError(
                        f"{other.place} and {search.place} both give the track {name}: give one of them, the folder "
                        "that holds both, or a manifest with an `id` for each"
                    )
        if search.listing == Listing():
            joined.skipped.append((name_text(search.place), search.nothing()))
        joined.files.extend(search.listing.files)
        joined.unreadable.extend(search.listing.unreadable)
        joined.skipped.extend(search.listing.skipped)
    return joined
