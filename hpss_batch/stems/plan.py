"""Which stems will a run make, under which names, and in how much memory? Computed before anything is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpss_batch.audio.encoding import Encoding
from hpss_batch.config.job import Job
from hpss_batch.config.numerics import differences
from hpss_batch.errors import StoreError
from hpss_batch.paths import absolute
from hpss_batch.stems.names import Pattern, stem_names
from hpss_batch.stems.spec import StemRecipe, StemTask
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.layout import Placed

_RESAMPLER_BYTES = 2**20 * 8
"""Blocks of a channel that is resampled: four of 2**17 samples and soxr's own copies."""


@dataclass(frozen=True)
class StemPlan:
    """The stems of a run.

    Attributes
    ----------
    recipe : StemRecipe
        How they are made.
    tasks : list of StemTask
        Tracks that have none yet, the longest first: a long one that came last would keep one worker busy alone.
    n_done, n_failed : int
        Tracks that have them, and that cannot.
    """

    recipe: StemRecipe
    tasks: list[StemTask]
    n_done: int
    n_failed: int

    @property
    def n_files(self) -> int:
        """Files to write."""
        return len(self.tasks) * len(self.recipe.components)

    @cached_property
    def refused(self) -> dict[str, str]:
        """Tracks that the format cannot hold, by what their headers say, and why."""
        found = ((task.track.id, self.recipe.refusal(task.track)) for task in self.tasks)
        return {track: why for track, why in found if why is not None}

    @property
    def task_bytes(self) -> int:
        """Upper bound on what rendering a track adds to a worker's memory, whatever its length."""
        from hpss_batch.stems.stream import stream_bytes
        from hpss_batch.stems.two_pass import two_pass_bytes

        channels = max((task.track.n_channels(self.recipe.channels) for task in self.tasks), default=1)
        resampled = _RESAMPLER_BYTES * channels if self.recipe.sample_rate else 0
        rate = self.recipe.highest_rate(task.track for task in self.tasks)
        first, second = (self.recipe.stft, self.recipe.separation(rate)), self.recipe.second_pass(rate)
        held = two_pass_bytes(first, second, channels) if second else stream_bytes(*first, channels)
        return held + resampled


def stem_plan(job: Job, catalog: Catalog, retry_failed: bool) -> StemPlan | None:
    """Which stems a run makes; None where the job wants none.

    Parameters
    ----------
    job : Job
        The job, with everything filled in.
    catalog : Catalog
        As it will be once what is new has been placed, with the stems that there are.
    retry_failed : bool
        Try tracks again whose stems could not be made.
    """
    stems, key = job.output.stems, job.stems_key
    if stems is None or key is None:
        return None
    encoding = Encoding(*stems.encoding)
    recipe = StemRecipe(
        url=absolute(job.output.path),
        key=key,
        stft=job.stft,
        hpss=job.hpss,
        components=stems.components,
        encoding=encoding,
        pattern=Pattern(stems.path, encoding.extension),
        sample_rate=stems.sample_rate,
        channels=stems.channels or "all",
        second=(stems.second_pass.stft, stems.second_pass.hpss) if stems.second_pass else None,
    )
    names = names_of(catalog, recipe.pattern)
    tasks, n_done, n_failed = list[StemTask](), 0, 0
    for row, (track, state) in enumerate(zip(catalog.rows, catalog.states, strict=True)):
        if state.status in ("superseded", "vanished") or track.error is not None:
            continue
        record = catalog.stems.get(row)
        if record is None or (record.status != "done" and (retry_failed or job.tries_again(record))):
            tasks.append(task_of(catalog, names, row))
        n_done += record is not None and record.status == "done"
        n_failed += record is not None and record.status != "done"
    tasks.sort(key=lambda task: seconds_of(task.track), reverse=True)
    return StemPlan(recipe, tasks, n_done, n_failed)


def names_of(catalog: Catalog, pattern: Pattern) -> dict[str, str]:
    """What each track of a run directory is called in names of stems."""
    return stem_names(([row.id for row in g.rows] for g in catalog.generations), pattern)


def task_of(catalog: Catalog, names: Mapping[str, str], row: int) -> StemTask:
    """The task that renders a row once more than it was rendered."""
    track, record = catalog.rows[row], catalog.stems.get(row)
    layout = catalog.layouts[catalog.generation_of[row]]
    return StemTask(row, track, names[track.id], 0 if record is None else record.attempt + 1, layout)


def with_results(job: Job, wanted: Iterable[str]) -> Job:
    """A job that makes "stems" or "features", and besides only arrays that it names, or that its run directory has.

    `hpss-batch run music/ -o out/ --stems` makes stems alone; where out/ was run before, it adds them.
    """
    changes: dict[str, Any] = {f"output.{name}": True for name in wanted if not getattr(job.output, name)}
    if not job.given("output.arrays"):
        directory = RunDirectory(job.output.path)
        numerics = directory.generations()[-1].settings["numerics"] if directory.exists else None
        changes["output.arrays"] = numerics["output"]["arrays"] if numerics else []
    return job.replace(changes)


def seconds_of(track: Placed) -> float:
    """Length of a track, as announced."""
    return track.source_samples / max(track.source_rate, 1)


def check_names(job: Job, directory: RunDirectory) -> None:
    """Refuse stems that would take the names of others, made with other settings, in the same run directory.

    Parameters
    ----------
    job : Job
        The job.
    directory : RunDirectory
        With all settings that it was ever given.

    Raises
    ------
    StoreError
        Naming what differs.
    """
    if job.output.stems is None:
        return
    mine = job.stem_settings()
    for theirs in map(directory.stem_settings, directory.stem_keys()):
        same_names = all(theirs["stems"][name] == mine["stems"][name] for name in ("path", "format"))
        changed = differences(_without_components(theirs), _without_components(mine))
        if same_names and changed:
            raise StoreError(
                f"{job.output.path} has stems of the same names that were made with other settings (there, then "
                "here):\n"
                + "\n".join(f"  {line}" for line in changed)
                + "\nUse those settings, or another output.stems.path or output.path"
            )


def _without_components(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change a component's file: which others are made does not."""
    stems = {
        f"output.stems.{name}": value for name, value in settings["stems"].items() if name != "components"
    }
    return stems | {name: value for name, value in settings.items() if name != "stems"}
