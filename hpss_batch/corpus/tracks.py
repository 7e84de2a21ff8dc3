"""Which recordings does a corpus hold, and what do they announce?

Two steps, so that a second look at a large corpus costs a listing only:

    find(path)            names, sizes and times, nothing opened      -> Listing of Found      (see `listing`)
    probe_tracks(found)   what each header announces, in parallel     -> Tracks, in the same order

A file that cannot be read becomes a Track whose `error` says why.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from hpss_batch.audio.choices import Choice, Decoding
from hpss_batch.audio.probe import probe
from hpss_batch.audio.speakers.layouts import Layout
from hpss_batch.corpus.listing import find
from hpss_batch.corpus.search import Found, Listing, Meta
from hpss_batch.errors import AudioError
from hpss_batch.text import file_name

__all__ = ["Found", "Listing", "Track", "find", "probe_tracks"]

_BATCH = 64
"""Files that a thread opens at a time: as few as keep the cost of handing them over small."""


@dataclass(frozen=True, slots=True)
class Track:
    """A recording of a corpus, as its header announces it, or the reason why it cannot be read.

    Attributes
    ----------
    id, path, size, mtime_ns, meta
        As `Found` has them.
    n_samples : int
        Samples a channel at the file's rate: an upper bound.
    sample_rate, channels : int
        Hz; how many. 0 where the track cannot be read.
    error : str or None
        Why the track cannot be read.
    decoder : {"libsndfile", "ffmpeg"}
        What reads it.
    layout : tuple of str
        The speaker of each channel, where the file says so.
    """

    id: str
    path: str
    size: int
    mtime_ns: int
    n_samples: int
    sample_rate: int
    channels: int
    error: str | None = None
    meta: Meta | None = None
    decoder: Decoding = "libsndfile"
    layout: Layout = ()


def probe_tracks(
    found: Iterable[Found],
    *,
    decoder: Choice = "auto",
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Track]:
    """Read what each file's header announces, in parallel.

    Parameters
    ----------
    found : iterable of Found
        The files.
    decoder : {"auto", "libsndfile", "ffmpeg"}
        What reads them.
    threads : int, optional
        How many to open at a time; four a processor by default, since opening waits for the disk.
    progress : callable, optional
        Called now and then with the number of files done so far.

    Yields
    ------
    Track
        One for each file, in their order; where it cannot be read, its `error` says why.
    """
    threads = threads or min(32, 4 * (os.cpu_count() or 1))
    files = iter(found)
    waiting: deque[Future[list[Track]]] = deque()
    done = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="probe") as pool:
        try:
            while True:
                while len(waiting) < 4 * threads and (batch := list(islice(files, _BATCH))):
                    waiting.append(
                        pool.submit(lambda batch: [_probe(file, decoder) for file in batch], batch)
                    )
                if not waiting:
                    return
                tracks = waiting.popleft().result()
                done += len(tracks)
                if progress:
                    progress(done)
                yield from tracks
        finally:
            pool.shutdown(cancel_futures=True)


def _probe(found: Found, decoder: Choice) -> Track:
    try:
        info = probe(file_name(found.path), decoder)
    except AudioError as e:
        return Track(found.id, found.path, found.size, found.mtime_ns, 0, 0, 0, str(e), found.meta)
    return Track(
        found.id,
        found.path,
        found.size,
        found.mtime_ns,
        info.n_samples,
        info.sample_rate,
        info.channels,
        None,
        found.meta,
        info.decoder,
        info.layout,
    )
