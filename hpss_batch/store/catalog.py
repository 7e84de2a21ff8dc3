"""What is done, what is pending, and what went wrong: the state that layouts and commits add up to.

Nothing here is stored: a `Catalog` is computed from the run directory's records whenever it is wanted. The rules, in
the order in which they apply to a track's row:

1. a later generation places the same id again: *superseded*;
2. its placement already says why it cannot be read: *failed*;
3. a later generation says that its file is gone: *vanished*;
4. one of its units says that it failed or was quarantined: so it is;
5. all of its units are committed: *done*, otherwise *pending*.

Where a job makes stems and no arrays, there are no units: what rules 4 and 5 say of them, they say of its stems.
Records of a layout that was cleared since, left by a worker that was late, count for nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import google_crc32c

from hpss_batch.audio.choices import Channels
from hpss_batch.dsp.params import StftParams
from hpss_batch.errors import TrackError
from hpss_batch.store.generations import Generation
from hpss_batch.store.labels import as_text
from hpss_batch.store.layout import Placed, Unit, cut
from hpss_batch.store.records import Commit, Outcome, Status
from hpss_batch.store.stem_records import StemRecord
from hpss_batch.text import did_you_mean


def no_track(place: str, track: str, known: Iterable[str]) -> TrackError:
    """What to say of a track that a run directory has not."""
    return TrackError(f"{place} has no track {track!r}{did_you_mean(track, known, 3, 0.5)}")


class State(NamedTuple):
    """What can be said of a track now; its lengths are true where it is done, upper bounds elsewhere. See `Outcome`."""

    status: Status
    error: str
    n_samples: int
    n_frames: int
    retry: bool = False
    limits: str | None = None


@dataclass(repr=False)
class Catalog:
    """A run directory's generations and commits, and what follows from them.

    Attributes
    ----------
    generations : list of Generation
        In order; never empty.
    commits : dict of int to Commit
        The finished units.
    stems : mapping of int to StemRecord
        What became of the stems of each row, where a job wants stems: of the kind that it wants.
    """

    generations: list[Generation]
    commits: dict[int, Commit]
    stems: Mapping[int, StemRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {"", *self.layouts}
        self.commits = {unit: commit for unit, commit in self.commits.items() if commit.layout in known}
        self.stems = {row: record for row, record in self.stems.items() if record.layout in known}

    @cached_property
    def layouts(self) -> list[str]:
        """What stands for the layout up to each generation: eight hexadecimal digits."""
        found, digest = list[str](), 0
        for generation in self.generations:
            digest = google_crc32c.extend(digest, generation.digest.to_bytes(4, "big"))
            found.append(f"{digest:08x}")
        return found

    @property
    def settings(self) -> dict[str, Any]:
        """What all generations agree on; `n_channels` as the last one has it."""
        return dict(self.generations[-1].settings)

    @cached_property
    def stft(self) -> StftParams:
        """How tracks are cut into frames."""
        return StftParams(**self.settings["stft"])

    @property
    def unit_frames(self) -> int:
        """Frames a unit."""
        return int(self.settings["unit_frames"])

    @property
    def channels(self) -> Channels:
        """Whether arrays hold the mean of a track's channels or each of them."""
        kept: Channels = self.settings["numerics"]["corpus"]["channels"]
        return kept

    @cached_property
    def has_units(self) -> bool:
        """Whether anything is computed unit by unit; else only stems are made, track by track."""
        output = self.settings.get("numerics", {}).get("output", {"arrays": True})
        return bool(output["arrays"] or output.get("features"))

    @cached_property
    def rows(self) -> list[Placed]:
        """All tracks ever placed: row i has `track_index` i. Their files' times are those said last."""
        rows = [row for generation in self.generations for row in generation.rows]
        for index, generation in self._said(lambda generation: generation.times):
            rows[index] = replace(rows[index], source_mtime=generation.times[rows[index].id])
        return rows

    @cached_property
    def current(self) -> dict[str, int]:
        """For each id, the row that counts: the last one placed."""
        ids = (row.id for generation in self.generations for row in generation.rows)
        return {name: index for index, name in enumerate(ids)}

    def _said(self, what: Callable[[Generation], Iterable[str]]) -> Iterator[tuple[int, Generation]]:
        """Rows that count of which later generations say something, and which; `what` gives the ids."""
        for generation in self.generations:
            for name in what(generation):
                index = self.current.get(name)
                if index is not None and self.generation_of[index] < generation.number:
                    yield index, generation

    @cached_property
    def units(self) -> list[Unit]:
        """All units that hold tracks, in order of number."""
        units, first = list[Unit](), 0
        for generation, layout in zip(self.generations, self.layouts, strict=True):
            rows = self.rows[first : first + len(generation.rows)]
            units += cut(rows, self.unit_frames, first, layout) if self.has_units else []
            first += len(rows)
        return units

    @cached_property
    def ids(self) -> list[str]:
        """Row ids, unique: a superseded row's carries the number of its generation."""
        return [
            row.id if self.current[row.id] == index else f"{row.id}@{self.generation_of[index]}"
            for index, row in enumerate(self.rows)
        ]

    @cached_property
    def generation_of(self) -> list[int]:
        """For each row, the generation that placed it."""
        return [generation.number for generation in self.generations for _ in generation.rows]

    @cached_property
    def labels(self) -> list[dict[str, str]]:
        """What the manifest last said of each row, by column."""
        found = [row.meta for row in self.rows]
        for index, generation in self._said(lambda generation: generation.labels):
            found[index] = generation.labels[self.rows[index].id]
        return [{column: as_text(value) for column, value in (labels or {}).items()} for labels in found]

    @cached_property
    def _vanished(self) -> set[int]:
        """Rows that a later generation calls vanished."""
        return {index for index, _ in self._said(lambda generation: generation.vanished)}

    @cached_property
    def contents(self) -> dict[int, list[tuple[int, int, int]]]:
        """What is known of the files of rows, byte for byte: `Placed.contents` of bytes … to …, which are all of it."""
        shares = defaultdict[int, list[tuple[int, int, int | None]]](list)
        for unit in self.units:
            commit = self.commits.get(unit.number)
            for piece in unit.pieces:
                outcome = commit.tracks.get(piece.index) if commit else None
                shares[piece.index].append((*piece.share, outcome.contents if outcome else None))
        whole = [(index, row.digest) for index, row in enumerate(self.rows) if not row.n_frames]
        whole += [(index, record.contents) for index, record in self.stems.items()]
        parts = [(index, [(0, self.rows[index].source_size, digest)]) for index, digest in whole]
        return {
            index: [(begin, end, digest) for begin, end, digest in known if digest is not None]
            for index, known in [*parts, *shares.items()]
            if all(digest is not None for _, _, digest in known)
        }

    @cached_property
    def states(self) -> list[State]:
        """The state of each row."""
        bad, true_length, open_rows = dict[int, Outcome](), dict[int, int](), set[int]()
        for unit in self.units:
            commit = self.commits.get(unit.number)
            for piece in unit.pieces:
                outcome = commit.tracks.get(piece.index) if commit else None
                if outcome is None:
                    open_rows.add(piece.index)
                    continue
                if outcome.status != "done":
                    bad.setdefault(piece.index, outcome)
                if outcome.n_samples is not None:
                    true_length[piece.index] = outcome.n_samples
        if not self.has_units:
            open_rows = set(range(len(self.rows))) - set(self.stems)
            bad, true_length = self._of_stems()
        states = []
        for index, row in enumerate(self.rows):
            status, error = self._status(index, row, bad.get(index), index in open_rows)
            n_samples = true_length.get(index, row.n_samples)
            n_frames = min(self.stft.n_frames(n_samples), row.n_frames)
            why = bad.get(index, Outcome("done"))
            retry = status == "failed" and why.retry
            states.append(State(status, error, n_samples, n_frames, retry, why.limits))
        return states

    def _of_stems(self) -> tuple[dict[int, Outcome], dict[int, int]]:
        """Rows without stems, and true lengths of the others at the store's rate."""
        rate = self.settings["sample_rate"]
        records = self.stems.items()
        bad = {
            row: Outcome(record.status, record.error, retry=record.retry, limits=record.limits)
            for row, record in records
            if record.status != "done"
        }
        lengths = {
            row: -(-record.n_samples * rate // record.sample_rate)
            for row, record in records
            if row not in bad
        }
        return bad, lengths

    def _status(self, index: int, row: Placed, bad: Outcome | None, pending: bool) -> tuple[Status, str]:
        if self.current[row.id] != index:
            # stores hold these words: others would look like damage
            return "superseded", "placed anew: its file changed, or it was tried again"
        if index in self._vanished:
            return "vanished", "its file was gone before it was done"
        if row.error is not None:
            return "failed", row.error
        if bad is not None:
            return bad.status, bad.error or ""
        return ("pending", "") if pending else ("done", "")

    @cached_property
    def counts(self) -> Counter[str]:
        """How many rows have each status."""
        return Counter(state.status for state in self.states)

    @cached_property
    def reasons(self) -> dict[str, tuple[Status, str]]:
        """Status and reason of each track that failed or was quarantined, by id."""
        return {
            id_: (state.status, state.error)
            for id_, state in zip(self.ids, self.states, strict=True)
            if state.status in ("failed", "quarantined")
        }

    @cached_property
    def stemless(self) -> dict[str, str]:
        """Why tracks, by id, that did not fail can have no stems: nine channels in FLAC, say."""
        return {
            self.ids[row]: record.error or ""
            for row, record in self.stems.items()
            if record.status != "done"
            and self.states[row].status not in ("failed", "quarantined", "superseded")
        }

    @cached_property
    def cancelled(self) -> dict[str, str]:
        """What to do about tracks, by id, that are done and whose channels cancel each other in mono."""
        outcomes = (pair for number in sorted(self.commits) for pair in self.commits[number].tracks.items())
        found = {row: "corpus.channels=all" for row, outcome in outcomes if outcome.cancels}
        found |= {row: "output.stems.channels=null" for row, record in self.stems.items() if record.cancels}
        words = "its channels cancel each other, and next to nothing is left in mono; {} keeps them"
        done = (row for row in found if self.states[row].status == "done")
        return {self.ids[row]: words.format(found[row]) for row in done}

    def summary(self) -> str:
        """How many tracks have each status, in words."""
        return ", ".join(f"{n:,} {status}" for status, n in sorted(self.counts.items())) or "no tracks"

    def __repr__(self) -> str:
        return f"<Catalog: {self.summary()}; {len(self.commits):,} of {len(self.units):,} units committed>"

    def pending_units(self) -> list[Unit]:
        """Units that are not committed and hold something that is still wanted."""
        return [
            unit
            for unit in self.units
            if unit.number not in self.commits
            and any(self.states[piece.index].status == "pending" for piece in unit.pieces)
        ]

    @cached_property
    def needed_units(self) -> set[int]:
        """Numbers of the units in which a track lies that counts."""
        counting = [state.status not in ("superseded", "vanished") for state in self.states]
        return {unit.number for unit in self.units if any(counting[piece.index] for piece in unit.pieces)}

    def excluded(self, unit: Unit) -> dict[int, Outcome]:
        """Tracks of a unit that need not be tried, and the outcome that its commit shall give them."""
        return {
            piece.index: Outcome(
                "quarantined" if state.status == "quarantined" else "failed", state.error, limits=state.limits
            )
            for piece in unit.pieces
            if (state := self.states[piece.index]).status != "pending"
        }

    def with_records(self, commits: Mapping[int, Commit], stems: Mapping[int, StemRecord]) -> "Catalog":
        """The state after some more units were finished, and with these stems."""
        return replace(self, commits=self.commits | dict(commits), stems=stems)

    def with_commits(self, commits: Iterable[Commit]) -> "Catalog":
        """The state after some more units were finished."""
        return replace(self, commits=self.commits | {commit.unit: commit for commit in commits})

    def with_stems(self, stems: Mapping[int, StemRecord]) -> "Catalog":
        """The state as it is with these stems."""
        return replace(self, stems=stems)

    def moved(self, move: Callable[[Placed], Placed]) -> "Catalog":
        """The state with other paths of tracks: where they are now."""
        rows = map(move, self.rows)
        return replace(
            self,
            generations=[
                replace(g, rows=list(islice(rows, len(g.rows))), times={}) for g in self.generations
            ],
        )
