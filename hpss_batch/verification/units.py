"""Is what a unit's shards hold what was committed, and does the source still give it?

A unit is checked in up to three steps, each of which needs more than the one before:

1. Read the shards that the commit has digests of, and compare. The tracks that a difference touches are known where
   the commit has digests of each.
2. Recompute: the unit is done again from its source, writing nothing. That gives the commit's digests, or not. Where
   there is a difference, the shards are read once more, to compare each track with what the source gives of it.
3. Heal, if asked: where 2 gave the committed digests, the unit is written again, to the same bits, and read again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from hpss_batch.store.arrays.group import read_array, zarr_settings
from hpss_batch.store.arrays.shard import shard_key
from hpss_batch.store.directory import GROUP, RunDirectory
from hpss_batch.store.layout import Unit
from hpss_batch.store.records import Commit, Outcome, versions
from hpss_batch.tasks.spec import Recipe
from hpss_batch.tasks.unit import separate_unit
from hpss_batch.verification.findings import Finding, UnitCheck
from hpss_batch.verification.shards import Reading, read_shard

Readings = dict[tuple[str, int], Reading]


@dataclass(frozen=True)
class UnitTask:
    """All that checking a unit needs.

    Attributes
    ----------
    recipe, unit
        As in `hpss_batch.tasks.unit.run_unit`.
    commit : Commit
        What was committed of the unit.
    names : mapping of int to str
        Ids of the unit's tracks, by row.
    lengths : mapping of int to int
        True number of frames of tracks, by row, where any commit has it.
    present : mapping
        Shards of the unit that exist: their names in the array's folder, by array and channel.
    superseded : frozenset of int
        Rows of tracks that were placed again since, most often because their file is another one now.
    recompute, heal : bool
        Whether to go on to steps 2 and 3.
    """

    recipe: Recipe
    unit: Unit
    commit: Commit
    names: Mapping[int, str]
    lengths: Mapping[int, int]
    present: Mapping[tuple[str, int], str]
    superseded: frozenset[int]
    recompute: bool
    heal: bool

    @cached_property
    def excluded(self) -> dict[int, Outcome]:
        """Tracks of the unit that failed; they are not tried again, their frames are gaps."""
        return {index: o for index, o in self.commit.tracks.items() if o.status != "done"}

    def shard(self, name: str, channel: int) -> str:
        """A shard's name in the run directory, whether or not it exists."""
        key = shard_key(self.unit.number, channel, len(self.recipe.shape.dims(name)))
        return f"{GROUP}/{name}/{self.present.get((name, channel), key)}"


def check_unit(task: UnitTask) -> UnitCheck:
    """Check one unit, and heal it if asked; see the module."""
    readings, findings = _examine(task)
    proof = None
    damaged = any(finding.remedy == "source" for finding in findings)
    if task.recompute or (task.heal and damaged):
        proof = _prove(task, narrow=damaged)
        findings = [_with_proof(task, finding, proof) for finding in findings]
        findings += [] if damaged else proof.reasons
    if task.heal and any(finding.remedy for finding in findings):
        findings = _healed(task, findings, proof)
    n_bytes = sum(reading.n_bytes for reading in readings.values())
    proven = proof is not None and not proof.reasons
    return UnitCheck(task.unit.number, tuple(findings), proven, n_bytes)


def _examine(task: UnitTask) -> tuple[Readings, list[Finding]]:
    """Step 1."""
    readings = _read(task, task.commit)
    return readings, [*_values_findings(task, readings), *_strays(task)]


def _read(task: UnitTask, commit: Commit) -> Readings:
    """What the unit's shards hold, with digests of tracks that go on from a commit's."""
    group, readings = RunDirectory(task.recipe.url).group(), Readings()
    with zarr_settings():
        for name, digests in task.commit.digests.items():
            array = read_array(group, name)
            for channel, digest in enumerate(digests):
                if digest is not None:
                    readings[name, channel] = (
                        Reading(broken="the array is missing")
                        if array is None
                        else read_shard(array, task.recipe, task.unit, channel, commit, task.lengths)
                    )
    return readings


def _values_findings(task: UnitTask, readings: Readings) -> Iterator[Finding]:
    """What readings say against the commit."""
    number = task.unit.number
    for (name, channel), reading in readings.items():
        shard, wanted = task.shard(name, channel), task.commit.digests[name][channel]
        if reading.digest == wanted and not reading.noise and not reading.broken:
            continue
        touched: Iterable[int] = _differing(task.commit, name, channel, reading) or task.commit.tracks
        means = "these frames hold other numbers than the run computed"
        if (name, channel) not in task.present:
            what, means = f"{shard} is missing", "all of its frames read as gaps"
        elif reading.broken:
            what, touched = f"{shard} cannot be decoded ({reading.broken})", reading.unreadable
            means = "reading these frames fails" if touched else "reading the frames between tracks fails"
        elif reading.gone:
            what, touched = f"{shard} lacks chunks that the run wrote", sorted(reading.gone)
            means = "frames of these tracks read as gaps"
        elif reading.digest != wanted:
            what = f"{shard} holds other values than were committed (CRC32C {reading.digest:08x}, not {wanted:08x})"
        else:
            what = f"{shard} holds values in {reading.noise:,} frames between tracks, which should be gaps"
            touched, means = (), "what tracks hold is right, but the shard is not as it was written"
        tracks = tuple(task.names[index] for index in touched if index not in task.excluded)
        cure = "--heal computes the unit again, and writes it where that gives the committed bits"
        yield Finding("wrong", what, means, cure, number, name, channel, tracks, "source")


def _differing(commit: Commit, name: str, channel: int, reading: Reading) -> list[int]:
    """Rows of the tracks that a shard holds otherwise than a commit; empty where it does not have their digests."""
    tracks = commit.by_track(name, channel)
    return [index for index, (_, digest) in tracks.items() if digest != reading.pieces.get(index)]


def _strays(task: UnitTask) -> Iterator[Finding]:
    for name, digests in task.commit.digests.items():
        for channel in range(task.recipe.n_channels):
            nothing = channel >= len(digests) or digests[channel] is None
            if nothing and (name, channel) in task.present:
                what = f"{task.shard(name, channel)} is there, but the unit committed nothing in this channel"
                means, cure = (
                    "a channel that no track here has seems to hold values",
                    "--heal removes the file",
                )
                yield Finding("wrong", what, means, cure, task.unit.number, name, channel, (), "delete")


@dataclass(frozen=True)
class _Proof:
    """What computing a unit again gave: the committed digests, or the reasons why not.

    There are none if all that differs are tracks that were placed again since. `differing` has, for each array and
    channel, the rows of tracks whose stored frames are not what was computed now; only if that was looked for.
    """

    same: bool
    reasons: list[Finding] = field(default_factory=list)
    differing: dict[tuple[str, int], list[int]] = field(default_factory=dict)


def _prove(task: UnitTask, *, narrow: bool) -> _Proof:
    """Step 2."""
    again = separate_unit(task.recipe, task.unit, task.excluded, write=False)
    same = _digests(again) == _digests(task.commit)
    if same and not narrow:
        return _Proof(True)
    failed = {index: o.error or "" for index, o in again.tracks.items() if o.status != "done"}
    differing = {
        at: [index for index in _differing(again, *at, reading) if index not in failed]
        for at, reading in _read(task, replace(task.commit, pieces=again.pieces)).items()
    }
    if same:
        return _Proof(True, [], differing)
    other = dict.fromkeys(index for rows in differing.values() for index in rows)
    counts = [index for index in other if index not in task.superseded]
    unread = {i: reason for i, reason in failed.items() if i not in {*task.excluded, *task.superseded}}
    return _Proof(False, [*_reasons(task, unread, counts)], differing)


def _digests(commit: Commit) -> dict[str, dict[int, int]]:
    """Digests by array and channel, without channels that hold nothing: a store may have grown wider since."""
    return {
        name: {channel: digest for channel, digest in enumerate(digests) if digest is not None}
        for name, digests in commit.digests.items()
    }


def _reasons(task: UnitTask, unread: Mapping[int, str], other: list[int]) -> Iterator[Finding]:
    """Why the source does not give what was committed: tracks that cannot be read, and those that differ."""
    number = task.unit.number
    for index, reason in unread.items():
        yield Finding(
            "unproven",
            f"cannot be computed again: {reason}",
            "what is stored is as it was committed; whether the source still gives that is unknown",
            "put the file back as it was, or say with --corpus where it is; if it was changed on purpose, run again, "
            "which places it again",
            number,
            tracks=(task.names[index],),
        )
    then = task.commit.versions
    now = versions(ffmpeg="av" in then)
    changed = [
        f"{name} {then.get(name, 'none')} then and {now.get(name, 'none')} now"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    ]
    means = "what is stored is as it was committed, but a run today would store other numbers"
    tracks = tuple(task.names[index] for index in other)
    if other and changed:
        what = f"the source gives other bits with today's packages ({'; '.join(changed)})"
        cure = "verify with the packages that made them"
        yield Finding("unproven", what, means, cure, number, tracks=tracks)
    elif other:
        what = "the source gives other bits than were committed, with the same packages"
        cure = (
            "if the file was changed without its size and time showing it, touch it and run again; "
            "else report it, with the output of verify --json"
        )
        yield Finding("wrong", what, means, cure, number, tracks=tracks)


def _with_proof(task: UnitTask, finding: Finding, proof: _Proof) -> Finding:
    """A finding with the tracks that it touches as they are known now, and with what stands against healing it."""
    if finding.remedy != "source" or finding.array is None or finding.channel is None:
        return finding
    if proof.same:
        rows = proof.differing.get((finding.array, finding.channel), [])
        return replace(finding, tracks=tuple(task.names[row] for row in rows) or finding.tracks)
    whys = "; ".join(f"{', '.join(f.tracks[:3])}: {f.what}" for f in proof.reasons)
    cure = (
        f"cannot be healed: {whys or 'tracks were placed again since'}. Repair that and verify again; or delete "
        f"commits/{finding.unit:08d}.json and run again, which does the unit again from what is there now"
    )
    return replace(finding, cure=cure, remedy=None)


def _healed(task: UnitTask, findings: list[Finding], proof: _Proof | None) -> list[Finding]:
    """Step 3: do what the remedies say, look again, and mark what is sound now."""
    recipe, unit = task.recipe, task.unit
    folder = RunDirectory(recipe.url).folder
    if proof is not None and proof.same and any(f.remedy == "source" for f in findings):
        separate_unit(recipe, unit, task.excluded, write=True)
    removed = set[tuple[str, int]]()
    for finding in findings:
        if finding.remedy == "delete" and finding.array is not None and finding.channel is not None:
            folder.delete(task.shard(finding.array, finding.channel))
            removed.add((finding.array, finding.channel))
    written = {(name, c) for name, held in _digests(task.commit).items() for c in held}
    present = {at: task.present.get(at, "") for at in (task.present.keys() | written) - removed}
    _, still = _examine(replace(task, present=present))
    places = {finding.place for finding in still}
    return [
        replace(f, healed=True, cure=_DONE[f.remedy]) if f.remedy and f.place not in places else f
        for f in findings
    ]


_DONE = {
    "source": "was computed again and written, to the bits that were committed",
    "delete": "the file was removed",
}
