"""What does a corpus hold that a run directory has not placed yet? One more generation, or nothing.

What is found now is compared with the rows that count (`changes`), and only what is placed needs to be opened: a second
look at a large corpus costs a listing. Where the corpus is a run directory, whose spectrograms are read, what is placed
is what was placed there. Nothing is written here.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hpss_batch.audio.kinds import INSTALL, ffmpeg_is_here
from hpss_batch.config.document import flatten
from hpss_batch.config.job import Job
from hpss_batch.corpus.manifest import EXTENSIONS as MANIFESTS
from hpss_batch.corpus.tracks import Found, Listing, find, probe_tracks
from hpss_batch.errors import CorpusError, ParameterError, StoreError
from hpss_batch.paths import check_place, is_http
from hpss_batch.runner.changes import mended, to_place, vanished
from hpss_batch.runner.placement import next_generation
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.generations import Generation
from hpss_batch.store.layout import Placed

Progress = Callable[[int, int], None]

UNDONE = ("pending", "failed", "quarantined")
"""What tracks are that come to be called vanished when their files are gone."""


@dataclass(frozen=True)
class Survey:
    """A run directory as it will be when what is new in the corpus has been placed.

    Attributes
    ----------
    job : Job
        With everything filled in that follows from the corpus.
    catalog : Catalog
        Generations that exist and those that are new, and the commits that exist.
    new : list of Generation
        What a run has to create first.
    listing : Listing or None
        What was found in the corpus; None where that is a run directory.
    source : Catalog or None
        The run directory whose spectrograms are read.
    replaced : Catalog or None
        What another job placed and this one takes the place of, since nothing of it is committed.
    files : Counter of str
        How many files are new, changed, touched (of another time, but the same contents) and vanished, against what was
        placed before. Rows of what vanished stay; they are vanished where they are not done.
    """

    job: Job
    catalog: Catalog
    new: list[Generation] = field(default_factory=list)
    listing: Listing | None = None
    source: Catalog | None = None
    replaced: Catalog | None = None
    files: Counter[str] = field(default_factory=Counter)

    @property
    def n_relabelled(self) -> int:
        """Of how many tracks, placed before, the manifest says something else by now."""
        return sum(len(generation.labels) for generation in self.new)

    @property
    def skipped(self) -> dict[str, str]:
        """Files and folders of the corpus that are not taken for tracks, and why."""
        return dict([*self.listing.unreadable, *self.listing.skipped]) if self.listing else {}


def survey(
    job: Job, *, retry_failed: bool = False, progress: Progress | None = None, afresh: bool = False
) -> Survey:
    """Compare a job's corpus with its run directory.

    Parameters
    ----------
    job : Job
        The job.
    retry_failed : bool
        Place failed and quarantined tracks again.
    progress : callable, optional
        Called with the number of tracks that were opened and of those to open.
    afresh : bool
        Take the run directory for empty, and do not look there.

    Raises
    ------
    CorpusError
        If there is nothing to work on.
    StoreError
        If another job committed something in the run directory; its differing settings are named.
    """
    if not afresh:
        check_place(job.output.path)
    directory = source_of(job)
    source = directory.catalog() if directory is not None else None
    if source is not None:
        job = _as_source(job, source, retry_failed)
    target = RunDirectory(job.output.path)
    existing = None if afresh else target.catalog_or_none(job.stems_key)
    made = job.identity()

    def against(existing: Catalog | None) -> Survey:
        if existing is not None:
            job.check_same(existing.settings["numerics"])
        if source is not None:
            return _survey_store(job, existing, source, made)
        return _survey_audio(job, existing, made, retry_failed, progress)

    try:
        return against(existing)
    except StoreError:
        if existing is None or target.has_commits:
            raise
        return replace(against(None), replaced=existing)


def source_of(job: Job) -> RunDirectory | None:
    """The run directory whose spectrograms a job reads; None where its corpus is audio."""
    sources = [RunDirectory(path) for path in job.corpus.paths]
    found = next((source for source in sources if not is_http(source.url) and source.exists), None)
    if found is not None and len(sources) > 1:
        raise CorpusError(
            f"{found.url} is a run directory, which has to be the only source; corpus.path is "
            f"{job.corpus.words}"
        )
    return found


def _survey_audio(
    job: Job,
    existing: Catalog | None,
    made: dict[str, Any],
    retry_failed: bool,
    progress: Progress | None,
) -> Survey:
    corpus = job.corpus
    if corpus.decoder == "ffmpeg" and not ffmpeg_is_here():
        raise ParameterError(
            f"corpus.decoder is ffmpeg, and PyAV, which brings FFmpeg, is not installed: {INSTALL}"
        )
    listing = find(
        corpus.path,
        include=corpus.include,
        exclude=corpus.exclude,
        limit=corpus.limit,
        decoder=corpus.decoder,
    )
    if existing is not None:
        _check_corpus(job, listing, existing)
    fresh, times, files = to_place(job, listing.files, existing, retry_failed)
    tell = (lambda n: progress(n, len(fresh))) if progress else None
    tracks = list(probe_tracks(fresh, decoder=corpus.decoder, progress=tell))
    missing = vanished(listing.files, existing)
    gone = [
        track for track in missing if existing and existing.states[existing.current[track]].status in UNDONE
    ]
    labels = mended(listing.files, {found.id for found in fresh}, existing)
    new = list[Generation]()
    if tracks or gone or labels or times or existing is None:
        placing = next_generation(job, made, existing, tracks)
        new.append(replace(placing, vanished=tuple(gone), labels=labels, times=times))
    catalog = _with_paths(
        Catalog([*(existing.generations if existing else []), *new], *_records(existing)), listing
    )
    return Survey(job, catalog, new, listing, files=files + Counter(vanished=len(missing)))


def _check_corpus(job: Job, listing: Listing, existing: Catalog) -> None:
    """Refuse a run directory made from another corpus, whose tracks these would join or, by their names, replace.

    A corpus may grow, change or move. A manifest says itself what belongs together.
    """
    rows = [existing.rows[index] for index in existing.current.values()]
    if not rows or any(path.lower().endswith(MANIFESTS) for path in job.corpus.paths):
        return
    sizes = {row.id: row.source_size for row in rows}
    roots = {root for row in rows if (root := _root(row))}
    if not any(_root(found) in roots or sizes.get(found.id) == found.size for found in listing.files):
        theirs = ", ".join(sorted(roots)[:3]) or ", ".join(list(sizes)[:3])
        several = ", whose ids begin with their sources' names" if len(job.corpus.paths) > 1 else ""
        raise StoreError(
            f"{job.output.path} was made from another corpus: it holds {len(rows):,} tracks of {theirs}, and none of "
            f"{job.corpus.words}{several}. Use another output.path; or, to have both in one store, the folder that "
            "holds both, or a manifest of both, as corpus.path"
        )


def _root(track: Found | Placed) -> str:
    """The folder that a track's id is relative to; nothing where its id is another name than its path."""
    return track.path.removesuffix(track.id) if track.path.endswith(f"/{track.id}") else ""


def _records(existing: Catalog | None) -> tuple[dict[int, Any], Mapping[int, Any]]:
    return (existing.commits, existing.stems) if existing else ({}, {})


def _with_paths(catalog: Catalog, listing: Listing) -> Catalog:
    """A corpus that was moved as a whole is the same corpus: pending tracks are read where they are now."""
    here = {found.id: found.path for found in listing.files}
    if all(here.get(row.id, row.path) == row.path for row in catalog.rows):
        return catalog
    return catalog.moved(lambda row: replace(row, path=here.get(row.id, row.path)))


def _as_source(job: Job, source: Catalog, retry_failed: bool) -> Job:
    """The job with what a run directory's spectrograms decide already; it may say so too, but not otherwise."""
    theirs = source.settings["numerics"]
    stored = theirs["output"]["arrays"]
    if "spectrogram" not in stored:
        raise CorpusError(
            f"{job.corpus.words} stores {', '.join(stored) or 'no arrays'}, but no spectrogram to start from. "
            "Give the audio as corpus.path, or a run directory whose output.arrays has spectrogram"
        )
    if retry_failed:
        raise ParameterError(
            f"tracks of {job.corpus.words} are tried again there: `hpss-batch run --retry-failed` with that job, "
            "then run this one again"
        )
    decided = {f"stft.{name}": value for name, value in theirs["stft"].items()}
    decided |= {f"corpus.{name}": value for name, value in ({"decoder": "auto"} | theirs["corpus"]).items()}
    decided["output.unit_frames"] = theirs["output"]["unit_frames"]
    mine = {"corpus.decoder": "auto"} | dict(flatten(job.numerics()))
    differing = [key for key, value in decided.items() if job.given(key) and mine[key] != value]
    if differing:
        raise ParameterError(
            f"{', '.join(differing)}: the spectrograms of {job.corpus.words} were made with "
            + ", ".join(f"{key}={decided[key]}" for key in differing)
            + ". Leave these keys out to take them from there, or give the audio as corpus.path"
        )
    return job.replace(decided)


def _survey_store(job: Job, existing: Catalog | None, source: Catalog, made: dict[str, Any]) -> Survey:
    if existing is not None:
        _check_prefix(job, existing, source)
    settings = source.settings | made
    known = existing.generations if existing else []
    new = [replace(g, settings=settings) for g in source.generations[len(known) :]]
    files = Counter(new=sum(len(generation.rows) for generation in new))
    return Survey(job, Catalog([*known, *new], *_records(existing)), new, None, source, files=files)


def _check_prefix(job: Job, existing: Catalog, source: Catalog) -> None:
    same = all(
        mine.id == its.id and mine.frame_start == its.frame_start
        for mine, its in zip(existing.rows, source.rows, strict=False)
    )
    if not same or len(existing.rows) > len(source.rows):
        raise StoreError(
            f"{job.output.path} holds other tracks than {job.corpus.words}: it was not made from that run directory. "
            "Use another output.path"
        )
