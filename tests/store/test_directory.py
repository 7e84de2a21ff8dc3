import gzip
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import zarr
import zarr.errors

from hpss_batch.errors import StoreError
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.generations import Generation
from hpss_batch.store.layout import Placed
from hpss_batch.store.presence import at_work, running
from hpss_batch.store.records import Commit, Outcome
from hpss_batch.store.stem_records import Stem, StemRecord, settings_key


def placed(tracks: dict[str, int], number: int = 0) -> Generation:
    """A generation of tracks by id and length in frames."""
    rows = [
        Placed(name, f"/music/{name}", 512 * i, n, n, n, 44100, 1, 1, 1)
        for i, (name, n) in enumerate(tracks.items())
    ]
    return Generation(number, rows, {"unit_frames": 512})


def test_records_survive_the_way_to_disk_and_back(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    first = placed({"a": 100, "ü/日本.flac": 3, "bad\udcff": 4})
    assert directory.place(first)
    assert not directory.place(placed({"other": 1}))
    assert directory.generations() == [first]
    commit = Commit(
        3,
        {7: Outcome("failed", "no", None), 8: Outcome("done", None, 5)},
        {"m": [1, None]},
        {"m": [[5, 1], [None, None]]},
        {"n": "2"},
        seconds={"s": 0.5},
    )
    assert commit.by_track("m", 0) == {7: (None, 5), 8: (5, 1)}
    assert directory.folder.create(commit.name, commit.encode())
    assert directory.committed() == {3}
    assert directory.commits() == {3: replace(commit, seconds={})}
    directory.note_timings({commit.name: commit.seconds})
    assert directory.commits() == {3: commit}
    assert RunDirectory(tmp_path / "nothing").catalog_or_none() is None


def test_damaged_records_are_named_with_what_to_do(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.place(placed({"a": 100}))
    directory.folder.create("commits/00000000.json", b"{}")
    with pytest.raises(StoreError, match=r"commits/00000000.json is not a commit.*Delete it"):
        directory.commits()
    path = tmp_path / "layout" / "0000.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"0000.jsonl.gz cannot be read.*backup"):
        directory.generations()


def test_names_that_nobody_here_gives_are_passed_over(tmp_path: Path) -> None:
    directory, first = RunDirectory(tmp_path), placed({"a": 100})
    directory.place(first)
    commit = Commit(4, {0: Outcome("done")})
    directory.folder.create(commit.name, commit.encode())
    settings = {"stems": {"format": "flac"}}
    directory.declare_stems(settings)
    key = settings_key(settings)
    record = StemRecord(12, "a", "done")
    directory.folder.create(record.name(key), record.encode())
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
            directory.folder.create(f"{where}/{name}", b"\x00\x05\x16\x07")
    assert directory.generations() == [first]
    assert directory.committed() == {4}
    assert directory.commits() == {4: commit}
    assert directory.stem_keys() == [key]
    assert directory.stem_settings(key) == settings
    assert directory.stem_records(key) == {12: record}


def test_a_commit_under_the_name_of_another_is_refused(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.folder.create("commits/00000007.json", Commit(4, {0: Outcome("done")}).encode())
    with pytest.raises(StoreError, match=r"00000007.json is not a commit \(it is unit 4's\). Delete it"):
        directory.commits()


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b"[]", b"\xff\x00", b'{"stems": {"format": "wav"}}'])
def test_damaged_settings_of_stems_are_named_with_what_to_do(data: bytes, tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    settings = {"stems": {"format": "flac"}}
    directory.declare_stems(settings)
    name = f"commits/stems/{settings_key(settings)}.json"
    directory.folder.replace(name, data)
    with pytest.raises(StoreError, match=rf"{name} does not hold .*Delete it"):
        directory.stem_settings(settings_key(settings))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"tracks": []}', b'{"format": 1, "stems": []}', b"\xff"]
)
def test_damaged_records_of_any_kind_raise_errors_of_ours(data: bytes, tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.folder.create("commits/00000000.json", data)
    directory.folder.create("commits/stems/0123abcd/00000000.json", data)
    directory.folder.create("layout/0000.jsonl.gz", gzip.compress(data))
    for read in (directory.commits, directory.generations, lambda: directory.stem_records("0123abcd")):
        with pytest.raises(StoreError, match="0000"):
            read()


def test_a_missing_generation_is_noticed(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.place(placed({"a": 100}, number=1))
    with pytest.raises(StoreError, match="a file is missing"):
        directory.generations()


def test_a_format_of_the_future_is_refused(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.folder.create("layout/0000.jsonl.gz", gzip.compress(b'{"format": 99}\n'))
    with pytest.raises(StoreError, match=r"format 99.*Upgrade"):
        directory.generations()


def test_a_folder_that_is_not_a_run_directory_is_said_to_be_none(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    assert not directory.exists
    for read in (directory.catalog, directory.generations):
        with pytest.raises(StoreError, match=r"is not a run directory.*Give the output\.path of a job"):
            read()
    with pytest.raises(StoreError, match=r"holds no corpus\.zarr: it is not a run directory"):
        directory.group()
    directory.place(placed({"a": 100}))
    assert directory.exists


def test_a_name_that_something_else_has_is_reported(tmp_path: Path) -> None:
    (tmp_path / "layout" / "0000.jsonl.gz").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"0000\.jsonl\.gz is neither there nor can it be made.*Remove it"):
        RunDirectory(tmp_path).place(placed({"a": 100}))


def test_records_that_workers_made_are_waited_for_and_then_missed(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    names = [Commit(unit, {}).name for unit in range(3)]
    timer = Timer(0.2, lambda: [directory.folder.create(name, b"{}") for name in names[:2]])
    timer.start()
    directory.wait_for(names[:2], seconds=30)
    timer.join()
    with pytest.raises(StoreError, match=r"wrote .*00000002\.json, but .* file system that all workers"):
        directory.wait_for(names, seconds=0.1)


def test_a_layout_is_not_cleared_while_another_run_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory(tmp_path / "out")
    directory.place(placed({"a": 100}))
    found = directory.catalog()
    with at_work(directory.folder):
        assert running(directory.folder) == []  # this process does not stand in its own way
        with monkeypatch.context() as other:
            other.setattr("hpss_batch.store.presence.process_name", lambda: "node7-1")
            with pytest.raises(
                StoreError, match=r"another job, which is at work there \(.*-\d+: host and process"
            ):
                directory.clear(found)
        assert directory.catalog_or_none() is not None
    assert not (tmp_path / "out" / "running").exists()
    directory.folder.create("running/node7-1.json", b'{"alive": 1.0}')  # killed long ago
    directory.folder.create("running/node7-2.json", b"{")
    assert directory.clear(found)
    assert directory.catalog_or_none() is None


@pytest.mark.parametrize(
    "record",
    [
        Commit(3, {7: Outcome("failed", "ü\udcff"), 8: Outcome("done", None, 0, contents=0)}, {"m": [1]}, layout="0a"),
        StemRecord(12, "a", "done", stems={"harmonic": Stem("a.flac", 9, 7, 0, 0.25)}, contents=5, layout="0a"),
    ],
    ids=["commit", "stems"],
)  # fmt: skip
def test_a_bit_that_flipped_in_a_record_is_seen(record: Commit | StemRecord) -> None:
    data = record.encode()
    assert type(record).decode(data, "name") == record
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with suppress(StoreError):
            assert type(record).decode(bytes(flipped), "name") == record, bit  # nothing that counts


def test_records_of_the_first_format_are_read() -> None:
    commit = b"""{"unit": 3, "tracks": {"7": {"status": "done", "n_samples": 5}}, "digests": {"m": [1]},
        "versions": {"n": "2"}, "seconds": {"read": 0.5}, "format": 1}"""
    found = Commit.decode(commit, "name")
    assert found == Commit(3, {7: Outcome("done", None, 5)}, {"m": [1]}, {}, {"n": "2"}, "", {"read": 0.5})
    stems = b"""{"format": 1, "row": 12, "track": "a", "status": "failed", "attempt": 1, "error": "no", "retry": false,
        "n_samples": 0, "sample_rate": 0, "channels": 0, "stems": {}, "versions": {}, "seconds": {"write": 1.5}}"""
    assert StemRecord.decode(stems, "name") == StemRecord(12, "a", "failed", 1, "no", seconds={"write": 1.5})


def test_a_group_that_another_driver_makes_meanwhile_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zarr looks whether there is one, then writes: between the two, it comes to be there."""
    directory, opened, modes = RunDirectory(tmp_path / "out"), zarr.open_group, list[str]()

    def late(store: Any, **options: Any) -> Any:
        modes.append(options["mode"])
        if len(modes) == 1:
            opened(store, mode="w", zarr_format=3)
            raise zarr.errors.ContainsGroupError(store, "")
        return opened(store, **options)

    monkeypatch.setattr(zarr, "open_group", late)
    assert list(directory.group("a")) == []
    assert modes == ["a", "r+"]
