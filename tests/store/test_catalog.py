from dataclasses import asdict

from hpss_batch.dsp.stft import StftParams
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.generations import Generation
from hpss_batch.store.layout import Placed, place, round_up
from hpss_batch.store.records import Commit, Outcome

UNIT, HOP = 512, 512
SETTINGS = {
    "sample_rate": 44100,
    "unit_frames": UNIT,
    "n_channels": 1,
    "stft": asdict(StftParams(hop_length=HOP)),
    "numerics": {},
    "fingerprint": "f",
}


def generation(number: int, tracks: dict[str, int], start: int = 0, **kwargs: object) -> Generation:
    """Tracks by id and length in frames; a negative length is one that could not be read."""
    lengths = [max(n, 0) for n in tracks.values()]
    rows = [
        Placed(
            id=name,
            path=f"/music/{name}",
            frame_start=at,
            n_frames=length,
            n_samples=max(length - 1, 0) * HOP,
            source_samples=length * HOP,
            source_rate=44100,
            source_channels=1,
            source_size=1,
            source_mtime=1,
            error="is empty" if n < 0 else None,
        )
        for (name, n), length, at in zip(tracks.items(), lengths, place(lengths, UNIT, start), strict=True)
    ]
    return Generation(number, rows, SETTINGS, **kwargs)  # type: ignore[arg-type]


def statuses(catalog: Catalog) -> dict[str, str]:
    return dict(zip(catalog.ids, (state.status for state in catalog.states), strict=True))


def test_what_has_no_commit_is_pending() -> None:
    catalog = Catalog([generation(0, {"a": 100, "b": 1000, "none": 0, "broken": -1})], {})
    assert statuses(catalog) == {"a": "pending", "b": "pending", "none": "done", "broken": "failed"}
    assert [unit.number for unit in catalog.pending_units()] == [0, 1, 2]


def test_a_track_is_done_when_all_of_its_units_are() -> None:
    first = generation(0, {"a": 100, "b": 1000})
    done = Outcome("done")
    half = Catalog([first], {0: Commit(0, {0: done}), 1: Commit(1, {1: done})})
    assert statuses(half) == {"a": "done", "b": "pending"}
    whole = half.with_commits([Commit(2, {1: Outcome("done", n_samples=990 * HOP)})])
    assert statuses(whole) == {"a": "done", "b": "done"}
    assert whole.states[1].n_samples == 990 * HOP
    assert whole.states[1].n_frames == 991
    assert not whole.pending_units()


def test_one_failed_unit_fails_the_track_and_spares_its_other_units_the_trouble() -> None:
    catalog = Catalog(
        [generation(0, {"b": 1000, "c": 20})], {0: Commit(0, {0: Outcome("failed", "holds NaN")})}
    )
    assert statuses(catalog) == {"b": "failed", "c": "pending"}
    (unit,) = catalog.pending_units()
    assert catalog.excluded(unit) == {0: Outcome("failed", "holds NaN")}


def test_a_later_generation_supersedes_and_ids_stay_unique() -> None:
    first = generation(0, {"a": 100, "b": 50})
    second = generation(1, {"a": 120, "c": 10}, start=UNIT)
    catalog = Catalog([first, second], {0: Commit(0, {0: Outcome("done"), 1: Outcome("done")})})
    assert statuses(catalog) == {"a@0": "superseded", "b": "done", "a": "pending", "c": "pending"}
    assert catalog.current == {"a": 2, "b": 1, "c": 3}


def test_units_that_hold_only_what_was_superseded_are_not_done() -> None:
    catalog = Catalog([generation(0, {"a": 100}), generation(1, {"a": 100}, start=UNIT)], {})
    assert [unit.number for unit in catalog.pending_units()] == [1]


def test_a_file_that_vanished_and_one_that_came_back() -> None:
    first = generation(0, {"a": 100, "b": 600})
    gone = generation(1, {}, vanished=("a",))
    assert statuses(Catalog([first, gone], {})) == {"a": "vanished", "b": "pending"}
    back = generation(2, {"a": 100}, start=round_up(1200, UNIT))
    assert statuses(Catalog([first, gone, back], {})) == {"a@0": "superseded", "b": "pending", "a": "pending"}
