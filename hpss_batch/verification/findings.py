"""What did a verification find, in words that say what is wrong, what that means, and what to do?

Three levels, which are not distinguished by how bad they look but by what is known:

    wrong       what is stored is not what was committed, or contradicts itself
    unproven    what is stored is what was committed, but the source does not give it any more, or is not there
    leftover    something lies around that nothing reads: no harm, and no reason to fail
"""

from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from hpss_batch.text import counted

Level = Literal["wrong", "unproven", "leftover"]
Remedy = Literal["source", "layout", "delete", "records"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes
    ----------
    level : {"wrong", "unproven", "leftover"}
        What is known of it.
    what : str
        What was found, without the place.
    means : str
        What follows for whoever reads the store.
    cure : str
        What to do; of what was healed, what was done.
    unit, array, channel
        Where, as far as it has a place.
    tracks : tuple of str
        Ids of the tracks that it touches.
    remedy : {"source", "layout", "delete", "records"}, optional
        What it can be healed from: computing again, the layout alone, deleting a file, layouts and commits; None where
        a person has to do something.
    healed : bool
        Whether it is sound now.
    """

    level: Level
    what: str
    means: str
    cure: str
    unit: int | None = None
    array: str | None = None
    channel: int | None = None
    tracks: tuple[str, ...] = ()
    remedy: Remedy | None = None
    healed: bool = False

    @property
    def place(self) -> str:
        """Where it is: "unit 3, harmonic_mask, channel 0"."""
        parts = [] if self.unit is None else [f"unit {self.unit}"]
        parts += [self.array] if self.array else []
        parts += [] if self.channel is None else [f"channel {self.channel}"]
        return ", ".join(parts) or "run directory"


@dataclass(frozen=True)
class UnitCheck:
    """What came of checking one unit.

    Attributes
    ----------
    unit : int
        Its number.
    findings : tuple of Finding
        What is not as it should be; empty where the unit is sound.
    recomputed : bool
        Whether the source gave the committed bits again, of all tracks that were not placed again since.
    n_bytes : int
        Bytes of values that were read and compared, before compression.
    """

    unit: int
    findings: tuple[Finding, ...] = ()
    recomputed: bool = False
    n_bytes: int = 0


@dataclass(frozen=True)
class Verification:
    """What came of checking a run directory.

    Attributes
    ----------
    url : str
        The run directory.
    findings : tuple of Finding
        Everything found, the run directory's first, then units' in order.
    checked, sampled, recomputed : int
        Units whose shards were compared with their commits; of these, units that were to be computed again; of
        these, units for which the source gave the same bits.
    pending : int
        Units that are not done yet, of which nothing can be said.
    stems : int
        Files of stems that were compared with their records.
    n_bytes : int
        Bytes compared; of arrays, before compression.
    """

    url: str
    findings: tuple[Finding, ...]
    checked: int = 0
    sampled: int = 0
    recomputed: int = 0
    pending: int = 0
    stems: int = 0
    n_bytes: int = 0

    @cached_property
    def open(self) -> tuple[Finding, ...]:
        """Findings that still stand, leftovers aside."""
        return tuple(f for f in self.findings if f.level != "leftover" and not f.healed)

    @property
    def exit_status(self) -> int:
        """0 what was checked is sound now, 1 something is wrong or could not be proven, 2 nothing could be verified.

        What was healed counts as sound: a script may go on.
        """
        if self.open:
            return 1
        return 0 if self.checked or self.stems else 2

    @property
    def touched(self) -> tuple[str, ...]:
        """Ids of the tracks that findings still touch."""
        return tuple(dict.fromkeys(track for f in self.open for track in f.tracks))

    @property
    def counts(self) -> Counter[str]:
        """Findings of each level; those that were healed as "healed"."""
        return Counter("healed" if f.healed else f.level for f in self.findings)

    def figures(self) -> dict[str, Any]:
        """Everything, as values fit for JSON."""
        return {
            "path": self.url,
            "exit_status": self.exit_status,
            "units": {
                "checked": self.checked,
                "sampled": self.sampled,
                "recomputed": self.recomputed,
                "pending": self.pending,
            },
            "stems": self.stems,
            "bytes": self.n_bytes,
            "counts": dict(self.counts),
            "findings": [asdict(finding) | {"place": finding.place} for finding in self.findings],
        }

    def summary(self) -> str:
        """The outcome in a sentence or two."""
        words = f"{counted(self.checked, 'unit')} compared with their commits"
        if self.sampled:
            words += f"; {self.recomputed:,} of {self.sampled:,} computed again gave the same bits"
        if self.stems:
            words += f"; {counted(self.stems, 'file')} of stems compared with their records"
        if self.pending:
            words += f"; {counted(self.pending, 'unit')} not done yet"
        counts = self.counts
        found = [f"{counts[key]:,} {key}" for key in ("wrong", "unproven", "healed") if counts[key]]
        if found:
            return f"{words}. {', '.join(found)}."
        sound = self.checked or self.stems
        return f"{words}. " + (
            "Everything is as it was committed." if sound else "There is nothing to verify."
        )
