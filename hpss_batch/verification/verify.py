"""Is a run directory what its records say, and would the source give the same again?

1. Records: do generations, commits and job agree with one another?
2. Metadata: is every array there, of the type and size that the layout needs, in the consolidated metadata too?
3. Coordinates: do `time` and `track_index` say what the layout says (see `axes`)?
4. Units: every commit against the shards that it speaks of; a sample, or all, against the source (see `units`).
5. Stems: are the files what their records say (see `stems`)?
6. Tracks: do the variables on `track` say what layouts and commits add up to?

Healing goes through the same in the same order. It writes what follows from the records, and units whose source
gives the committed bits; it never changes a record, and never writes anything else.
"""

import os
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

from hpss_batch.cluster.client import open_client
from hpss_batch.cluster.submission import Submissions
from hpss_batch.cluster.workforce import Workforce
from hpss_batch.config.job import Job
from hpss_batch.config.numerics import differences
from hpss_batch.config.sections import Cluster
from hpss_batch.corpus.tracks import find
from hpss_batch.errors import StoreError
from hpss_batch.paths import Places
from hpss_batch.runner.estimate import n_cores
from hpss_batch.runner.plan import Plan
from hpss_batch.runner.survey import source_of
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.layout import Placed, Unit
from hpss_batch.store.presence import at_work
from hpss_batch.store.records import Commit
from hpss_batch.verification.axes import check_axes
from hpss_batch.verification.findings import Finding, UnitCheck, Verification
from hpss_batch.verification.metadata import Shards, check_metadata, check_tracks, leftovers, shard_names
from hpss_batch.verification.stems import check_stems
from hpss_batch.verification.units import UnitTask, check_unit

SAMPLE = 4
"""Units that are computed again unless a number is given."""

Progress = Callable[[int, int], None]


def verify(
    path: str | os.PathLike[str],
    *,
    sample: int | None = SAMPLE,
    heal: bool = False,
    corpus: Places | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Compare a run directory with its commits and with its source.

    Parameters
    ----------
    path : path or URL
        The run directory.
    sample : int or None
        So many units, drawn at random, are computed again from their source and compared bit for bit; None: all.
    heal : bool
        Write what is wrong again, where that gives what was committed.
    corpus : path or sequence of path, optional
        Where the audio is now, if it was moved. Of several sources each, or the folder that holds them.
    progress : callable, optional
        Called with the number of units checked so far, and of those to check.

    Returns
    -------
    Verification

    Raises
    ------
    StoreError
        If `path` is not a run directory, or its layout cannot be read: without it nothing means anything.
    """
    directory = RunDirectory(path)
    state = _State.read(directory, corpus)
    findings = [*state.findings]
    if state.plan.catalog.has_units:
        findings += check_metadata(state.plan, heal=heal)
    shards = shard_names(state.plan)
    findings += leftovers(state.plan, shards)
    wanted = state.plan.catalog.commits.keys() & state.plan.catalog.needed_units
    units = [unit for unit in state.here.units if unit.number in wanted]
    if any(f.remedy == "records" and not f.array and not f.healed for f in findings):
        units = []  # there is no store to look into
    findings += check_axes(state.plan, units, heal=heal)
    drawn = units if sample is None else random.sample(units, min(sample, len(units)))
    chosen = {unit.number for unit in drawn}
    tasks = state.tasks(units, chosen, shards, heal)
    with at_work(directory.folder) if heal and units else nullcontext():
        checks = _check_units(tasks, len(units), progress)
    findings += [finding for check in checks for finding in check.findings]
    stems, n_stems, stem_bytes = check_stems(directory, state.plan.catalog)
    findings += stems
    if state.plan.catalog.has_units:
        findings += check_tracks(state.plan, heal=heal)
    return Verification(
        directory.url,
        tuple(findings),
        checked=len(checks),
        sampled=len(chosen),
        recomputed=sum(check.recomputed for check in checks if check.unit in chosen),
        pending=len(state.plan.catalog.pending_units()),
        stems=n_stems,
        n_bytes=sum(check.n_bytes for check in checks) + stem_bytes,
    )


def _check_units(tasks: Iterable[UnitTask], n: int, progress: Progress | None) -> list[UnitCheck]:
    """Check `n` units, on this machine, in order of their numbers."""
    if not n:
        return []
    # not on the job's own: whoever wrote the run directory chose that, and reading should run nothing of theirs
    checks, local = list[UnitCheck](), Cluster(kwargs={"n_workers": min(n_cores(), n)})
    with open_client(local, {}) as client:
        for check in _gather(Workforce(client), tasks):
            checks.append(check)
            if progress is not None:
                progress(len(checks), n)
    return sorted(checks, key=lambda check: check.unit)


def _gather(workforce: Workforce, tasks: Iterable[UnitTask]) -> Iterator[UnitCheck]:
    """Check units on a cluster."""
    from distributed import KilledWorker

    for task, future in Submissions(workforce, tasks, lambda task: (check_unit, (task,)), lambda _: "check"):
        number = task.unit.number
        try:
            yield future.result()
        except KilledWorker:
            what, cure = "checking it killed the workers", "give workers more memory, then verify again"
            means = "its bytes may be damaged so that decoding crashes"
            yield UnitCheck(number, (Finding("unproven", what, means, cure, number),))
        except Exception as error:
            what = f"could not be checked: {type(error).__name__}: {error}"
            finding = Finding("unproven", what, "nothing is known of it", "verify again", number)
            yield UnitCheck(number, (finding,))


@dataclass(frozen=True)
class _State:
    """A run directory's records, as far as they can be read, and what is wrong with them."""

    plan: Plan
    here: Catalog
    """The plan's catalog, with tracks where they are now; what the store says of them is where they were."""
    findings: list[Finding]

    @classmethod
    def read(cls, directory: RunDirectory, corpus: Places | None) -> "_State":
        """Read layout, commits and job."""
        catalog, findings = Catalog(directory.generations(), {}), list[Finding]()
        findings += _layout_findings(catalog)
        commits = dict[int, Commit]()
        for found in _commits(directory, catalog):
            if isinstance(found, Finding):
                findings.append(found)
            else:
                commits[found.unit] = found
        job, wrong = _job(directory, catalog)
        findings += wrong
        catalog = catalog.with_commits(commits.values())
        here = catalog if corpus is None else _moved(catalog, job, corpus)
        source = source_of(job)
        plan = Plan(job, catalog, source=source.catalog() if source is not None else None)
        return cls(plan, here, findings)

    def tasks(
        self, units: Iterable[Unit], chosen: set[int], shards: Shards, heal: bool
    ) -> Iterator[UnitTask]:
        """What is to be checked of each unit."""
        catalog, recipe = self.plan.catalog, self.plan.recipe
        samples = {
            index: outcome.n_samples
            for commit in catalog.commits.values()
            for index, outcome in commit.tracks.items()
            if outcome.n_samples is not None
        }
        for unit in units:
            rows = [piece.index for piece in unit.pieces]
            if recipe.source is not None:  # where the tracks are done, and have their true lengths
                pieces = (
                    replace(p, track=replace(p.track, n_samples=samples.get(p.index, p.track.n_samples)))
                    for p in unit.pieces
                )
                unit = replace(unit, pieces=tuple(pieces))
            yield UnitTask(
                recipe,
                unit,
                catalog.commits[unit.number],
                {row: catalog.ids[row] for row in rows},
                {row: self.plan.stft.n_frames(samples[row]) for row in rows if row in samples},
                shards.get(unit.number, {}),
                frozenset(row for row in rows if catalog.states[row].status == "superseded"),
                unit.number in chosen,
                heal,
            )


def _layout_findings(catalog: Catalog) -> Iterator[Finding]:
    """Where generations contradict one another."""
    first = catalog.generations[0].settings
    for generation in catalog.generations[1:]:
        differing = [
            name
            for name in ("unit_frames", "fingerprint", "stft")
            if generation.settings[name] != first[name]
        ]
        if differing:
            what = f"{generation.name} has other {', '.join(differing)} than {catalog.generations[0].name}"
            means = "its tracks cannot be distinguished from those of another job"
            yield Finding("wrong", what, means, "restore layout/ from a backup, or start a new run directory")
    free = 0
    for generation in catalog.generations:
        for row in generation.rows:
            if row.n_frames and row.frame_start < free:
                what = f"{generation.name} places {row.id} on frames that another track has"
                means = "the two overwrite each other"
                cure = "restore layout/ from a backup, or start a new run directory"
                yield Finding("wrong", what, means, cure, tracks=(row.id,))
            free = max(free, row.frame_start + row.n_frames)


def _commits(directory: RunDirectory, catalog: Catalog) -> Iterator[Commit | Finding]:
    """Each commit, or what is wrong with it."""
    units = {unit.number: {piece.index for piece in unit.pieces} for unit in catalog.units}
    names = catalog.ids
    for number in sorted(directory.committed()):
        name = Commit(number, {}).name
        tracks = tuple(names[index] for index in sorted(units.get(number, ())))
        cure = f"delete {name} and run again: the unit is then done again"
        try:
            commit = Commit.decode(directory.folder.read(name) or b"", name)
        except StoreError:
            means = "nobody knows what became of the unit, and runs stop at it"
            yield Finding("wrong", f"{name} cannot be read", means, cure, number, tracks=tracks)
            continue
        if commit.layout not in ("", *catalog.layouts):
            what, means = f"{name} is of a layout that was cleared since", "it counts for nothing"
            yield Finding("leftover", what, means, "the next run of its unit replaces it", number)
        elif number not in units:
            means = "a file of layout/ is missing: what the unit holds is unknown"
            yield Finding(
                "wrong",
                f"{name} is of a unit that no track lies in",
                means,
                "restore layout/ from a backup",
                number,
            )
        elif commit.unit != number or set(commit.tracks) != units[number]:
            what, means = (
                f"{name} speaks of other tracks than the layout",
                "what became of the unit is unknown",
            )
            yield Finding("wrong", what, means, cure, number, tracks=tracks)
        else:
            yield commit


def _job(directory: RunDirectory, catalog: Catalog) -> tuple[Job, list[Finding]]:
    """The job as run; where its file is of no use, one that follows from the layout."""
    settings = catalog.settings
    cure = "run again with the job's YAML, which writes it"
    try:
        job = Job.of_run(directory)
        if job is None:
            what = "job.yaml is missing"
        elif job.fingerprint() == settings["fingerprint"]:
            return job, []
        else:
            theirs = "; ".join(differences(settings["numerics"], job.numerics()))
            what = f"job.yaml has other settings than those that the layout was made with ({theirs})"
    except StoreError as error:
        what = f"job.yaml cannot be read: {error.__cause__}"
    finding = Finding("wrong", what, "how the numbers were made has to be guessed from the layout", cure)
    numerics = {name: value for name, value in settings["numerics"].items() if name != "numerics_version"}
    numerics["corpus"] = {**numerics["corpus"], "path": os.path.join(directory.url, "unknown")}
    numerics["output"] = {**numerics["output"], "path": directory.url}
    return Job.parse(numerics), [finding]


def _moved(catalog: Catalog, job: Job, place: Places) -> Catalog:
    """The catalog with tracks where they are now."""
    corpus = job.corpus
    listing = find(place, include=corpus.include, exclude=corpus.exclude, decoder=corpus.decoder)
    here = {found.id: found for found in listing.files}

    def moved(row: Placed) -> Placed:
        found = here.get(row.id)
        # a copy has a time of its own; whether it holds the same is what is to be seen
        return row if found is None else replace(row, path=found.path, source_mtime=found.mtime_ns)

    return catalog.moved(moved)
