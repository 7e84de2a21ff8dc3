"""What can a run submit, and what is done about a task that kills its workers? Two kinds: units, and tracks' stems.

To the run both are the same: something to call with arguments, that commits itself and says how many tracks failed.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from hpss_batch.cluster.submission import Call
from hpss_batch.cluster.workforce import Workforce
from hpss_batch.runner.plan import Plan
from hpss_batch.stems.plan import seconds_of
from hpss_batch.stems.spec import StemRecipe, StemTask
from hpss_batch.store.layout import Unit
from hpss_batch.store.records import Commit, Outcome
from hpss_batch.store.stem_records import StemRecord

Say = Callable[[str], None]


class Work(Protocol):
    """One task of a run.

    Attributes
    ----------
    key : str
        Its name for Dask, whose scheduler remembers every word before the first number for good.
    name : str
        Its name for people: "unit 3", "stems of a/song.flac".
    tracks : tuple of str
        Ids of the tracks that it is about.
    seconds : float
        Audio that it works on.
    limits : str
        `Job.limits`, for what is quarantined.
    """

    key: str
    name: str
    tracks: tuple[str, ...]
    seconds: float
    limits: str

    @property
    def record(self) -> str:
        """The name of the record that says that it is done."""

    def call(self, last_try: bool = True) -> Call:
        """A function and its arguments, for a worker; it raises `UnreachableError` unless this is the last try."""

    def failed(self, result: Any) -> int:
        """How many tracks failed, by what the function returned."""

    def clear(self, workforce: Workforce, say: Say, limit: float | None) -> Any | None:
        """Find out what kills workers, with nothing else on the cluster; a result, or None to call once more.

        A call that takes longer than `limit` seconds is stalled, and ends its worker.
        """


class UnitWork:
    """A unit's arrays; see `Work`."""

    def __init__(self, plan: Plan, unit: Unit) -> None:
        self.recipe, self.unit, self.limits = plan.recipe, unit, plan.job.limits
        self.key, self.name = f"unit-{unit.number}", f"unit {unit.number}"
        self.tracks = tuple(piece.track.id for piece in unit.pieces)
        self.seconds = _samples(unit, plan.stft.hop_length) / plan.shape.sample_rate
        self.excluded: Mapping[int, Outcome] = plan.catalog.excluded(unit)

    @property
    def record(self) -> str:
        """The unit's commit."""
        return Commit(self.unit.number, {}).name

    def call(self, last_try: bool = True) -> Call:
        """The unit's task."""
        from hpss_batch.tasks.unit import run_unit

        return run_unit, (self.recipe, self.unit, self.excluded, last_try)

    def failed(self, result: Commit) -> int:
        """Tracks of the unit that failed."""
        return sum(outcome.status != "done" for outcome in result.tracks.values())

    def clear(self, workforce: Workforce, say: Say, limit: float | None) -> Commit | None:
        """Narrow down which of the unit's tracks kills workers, and leave it out."""
        from hpss_batch.runner.quarantine import narrow

        say(f"{self.name} killed its workers; looking for the track that does")
        guilty = narrow(workforce, self.recipe, self.unit, self.excluded, limit)
        for piece in self.unit.pieces:
            if piece.index in guilty:
                say(f"{piece.track.id}: {guilty[piece.index]}")
                quarantined = Outcome("quarantined", guilty[piece.index], limits=self.limits)
                self.excluded = {**self.excluded, piece.index: quarantined}
        return None


class StemWork:
    """A track's stems; see `Work`."""

    def __init__(self, recipe: StemRecipe, task: StemTask, limits: str) -> None:
        self.recipe, self.task, self.limits = recipe, task, limits
        self.key, self.name = f"stems-{task.row}", f"stems of {task.track.id}"
        self.tracks: tuple[str, ...] = (task.track.id,)
        self.seconds = seconds_of(task.track)

    @property
    def record(self) -> str:
        """The track's record."""
        return self.task.name(self.recipe.key)

    def call(self, last_try: bool = True) -> Call:
        """The track's task."""
        from hpss_batch.stems.task import run_stems

        return run_stems, (self.recipe, self.task, last_try)

    def failed(self, result: StemRecord) -> int:
        """1 if the track has no stems."""
        return int(result.status != "done")

    def clear(self, workforce: Workforce, say: Say, limit: float | None) -> StemRecord | None:
        """Try the track alone; if it kills workers then too, it is quarantined."""
        from hpss_batch.runner.quarantine import fate_alone
        from hpss_batch.stems.task import commit

        say(f"{self.name} killed its workers; trying it alone")
        error = fate_alone(workforce, *self.call(), limit)
        if error is None:
            return None  # it lived, and is done: calling once more finds its record
        say(f"{self.tracks[0]}: {error}")
        return commit(self.recipe, self.task.record("quarantined", error, limits=self.limits))


def all_work(plan: Plan) -> list[Work]:
    """Everything that a plan has to do, in the order in which to submit it.

    Units go in order, since a worker that reads on in a track need not seek. Tracks go from the longest to the
    shortest, so that in the end no worker is left with a long one while the others have nothing to do.
    """
    stems = plan.stems
    work: list[Work] = (
        [StemWork(stems.recipe, task, plan.job.limits) for task in stems.tasks] if stems else []
    )
    work += [UnitWork(plan, unit) for unit in plan.pending]
    return work


def _samples(unit: Unit, hop: int) -> int:
    """Samples in a unit, over all of its tracks; units add up to their tracks."""
    return sum(
        min(piece.stop * hop, piece.track.n_samples) - min(piece.first * hop, piece.track.n_samples)
        for piece in unit.pieces
    )
