import gzip
from dataclasses import asdict
from pathlib import Path

import pytest

from hpss_batch.dsp.stft import StftParams
from hpss_batch.errors import StoreError
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.layout import Placed, place, round_up
from hpss_batch.store.records import (
    Commit,
    Generation,
    Outcome,
    committed_units,
    create_generation,
    read_commits,
    read_generations,
)
from hpss_batch.store.stem_records import StemRecord, declare, declared, read_stems, settings_key
from hpss_batch.store.storage import open_folder

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


def test_records_survive_the_way_to_disk_and_back(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    first = generation(0, {"a": 100, "ü/日本.flac": 3, "bad\udcff": 4})
    assert create_generation(folder, first)
    assert not create_generation(folder, generation(0, {"other": 1}))
    assert read_generations(folder) == [first]
    commit = Commit(
        3,
        {7: Outcome("failed", "no", None), 8: Outcome("done", None, 5)},
        {"m": [1, None]},
        {"m": [[5, 1], [None, None]]},
        {"n": "2"},
        {"s": 0.5},
    )
    assert commit.by_track("m", 0) == {7: (None, 5), 8: (5, 1)}
    assert folder.create(commit.name, commit.encode())
    assert committed_units(folder) == {3}
    assert read_commits(folder) == {3: commit}
    assert Catalog.read(open_folder(tmp_path / "nothing")) is None


def test_damaged_records_are_named_with_what_to_do(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    create_generation(folder, generation(0, {"a": 100}))
    folder.create("commits/00000000.json", b"{}")
    with pytest.raises(StoreError, match=r"commits/00000000.json is not a commit.*Delete it"):
        read_commits(folder)
    path = tmp_path / "layout" / "0000.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"0000.jsonl.gz cannot be read.*backup"):
        read_generations(folder)


def test_names_that_nobody_here_gives_are_passed_over(tmp_path: Path) -> None:
    folder, first = open_folder(tmp_path), generation(0, {"a": 100})
    create_generation(folder, first)
    commit = Commit(4, {0: Outcome("done")})
    folder.create(commit.name, commit.encode())
    settings = {"stems": {"format": "flac"}}
    declare(folder, settings)
    key = settings_key(settings)
    record = StemRecord(12, "a", "done")
    folder.create(record.name(key), record.encode())
    for where, names in {
        "layout": (
            "._0000.jsonl.gz",
            "0000 (1).jsonl.gz",
            "copy.jsonl.gz",
        ),  # as macOS, a browser, a person has it
        "commits": (
            "._00000004.json",
            "00000004 (1).json",
            "00000004.1.json",
            "4.json",
            ".json",
            "٠٠٠٠٠٠٠٥.json",
        ),
        "commits/stems": (f"._{key}.json", f"{key} (1).json", ".json"),
        f"commits/stems/{key}": ("._00000012.json", "00000012 (1).json", "00000012.x.json", "13"),
    }.items():
        for name in names:
            folder.create(f"{where}/{name}", b"\x00\x05\x16\x07")
    assert read_generations(folder) == [first]
    assert committed_units(folder) == {4}
    assert read_commits(folder) == {4: commit}
    assert declared(folder) == {key: settings}
    assert read_stems(folder, key) == {12: record}


def test_a_commit_under_the_name_of_another_is_refused(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    folder.create("commits/00000007.json", Commit(4, {0: Outcome("done")}).encode())
    with pytest.raises(StoreError, match=r"00000007.json is not a commit \(it is unit 4's\). Delete it"):
        read_commits(folder)


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b"[]", b"\xff\x00", b'{"stems": {"format": "wav"}}'])
def test_damaged_settings_of_stems_are_named_with_what_to_do(data: bytes, tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    settings = {"stems": {"format": "flac"}}
    declare(folder, settings)
    name = f"commits/stems/{settings_key(settings)}.json"
    folder.replace(name, data)
    with pytest.raises(StoreError, match=rf"{name} does not hold .*Delete it"):
        declared(folder)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"tracks": []}', b'{"format": 1, "stems": []}', b"\xff"]
)
def test_damaged_records_of_any_kind_raise_errors_of_ours(data: bytes, tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    folder.create("commits/00000000.json", data)
    folder.create("commits/stems/0123abcd/00000000.json", data)
    folder.create("layout/0000.jsonl.gz", gzip.compress(data))
    for read in (read_commits, read_generations, lambda folder: read_stems(folder, "0123abcd")):
        with pytest.raises(StoreError, match="0000"):
            read(folder)


def test_a_missing_generation_is_noticed(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    create_generation(folder, generation(1, {"a": 100}))
    with pytest.raises(StoreError, match="a file is missing"):
        read_generations(folder)


def test_a_format_of_the_future_is_refused(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    folder.create("layout/0000.jsonl.gz", gzip.compress(b'{"format": 99}\n'))
    with pytest.raises(StoreError, match=r"format 99.*Upgrade"):
        read_generations(folder)
