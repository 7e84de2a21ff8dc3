import os
import threading
from pathlib import Path

import pytest

from hpss_batch.errors import StoreError
from hpss_batch.paths import absolute, check_place
from hpss_batch.store.storage import PARTIAL, Folder, LocalFolder, open_folder


@pytest.fixture(params=["local", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "local":
        return open_folder(tmp_path / "run")
    (tmp_path / "bucket").mkdir()
    return open_folder(f"file://{tmp_path}/bucket")


def test_a_file_is_created_once(folder: Folder) -> None:
    assert folder.create("commits/1.json", b"first")
    assert not folder.create("commits/1.json", b"second")
    assert folder.read("commits/1.json") == b"first"


def test_a_file_is_replaced_at_once(folder: Folder) -> None:
    folder.replace("job.yaml", b"a")
    folder.replace("job.yaml", b"b")
    assert folder.read("job.yaml") == b"b"


def test_what_is_not_there_reads_as_none_and_lists_as_empty(folder: Folder) -> None:
    assert folder.read("layout/0000.jsonl.gz") is None
    assert folder.names("layout") == []
    folder.delete("layout/0000.jsonl.gz")


def test_names_are_sorted_and_of_one_level(folder: Folder) -> None:
    for name in ("commits/b.json", "commits/a.json", "layout/x", "commits.json"):
        folder.create(name, b"1")
    assert folder.names("commits") == ["a.json", "b.json"]
    folder.delete("commits/a.json")
    assert folder.names("commits") == ["b.json"]


def test_half_written_files_are_not_listed(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.create("commits/1.json", b"1")
    (tmp_path / "commits" / f"2.json.abc{PARTIAL}").write_bytes(b"ha")
    assert folder.names("commits") == ["1.json"]


def test_of_many_who_create_at_once_one_is_first(folder: Folder) -> None:
    barrier, first = threading.Barrier(8), []

    def create(n: int) -> None:
        barrier.wait()
        if folder.create("layout/0", str(n).encode()):
            first.append(n)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(first) == 1
    assert folder.read("layout/0") == str(first[0]).encode()
    assert folder.names("layout") == ["0"]


def test_create_works_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    folder = LocalFolder(tmp_path)
    assert folder.create("a", b"1")
    assert not folder.create("a", b"2")
    assert folder.read("a") == b"1"
    assert os.listdir(tmp_path) == ["a"]


def test_a_tilde_is_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    open_folder("~/out").create("job.yaml", b"1")
    assert open_folder(tmp_path / "out").read("job.yaml") == b"1"
    assert open_folder("~/out").url == f"{tmp_path}/out"


def test_variables_are_replaced_unless_a_folder_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.setenv("AP", "ap")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NOBODY", raising=False)
    (tmp_path / "A$AP").mkdir()
    assert absolute("$SCRATCH/out") == absolute("${SCRATCH}/out") == "/scratch/me/out"
    assert absolute("s3://$AP/out") == "s3://ap/out"
    assert absolute("A$AP") == f"{tmp_path}/A$AP"
    assert absolute("$EMPTY/out") == f"{tmp_path}/$EMPTY/out"
    assert absolute("$NOBODY/$1 and $") == f"{tmp_path}/$NOBODY/$1 and $"


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("$NOBODY/out", r"nothing is known that \$NOBODY stands for"),
        ("new/${NOBODY}/out", r"\$\{NOBODY\} stands"),
        ("s3://$NOBODY/out", r"\$NOBODY stands"),
        ("~no-such-user/out", "that ~no-such-user stands for"),
    ],
)
def test_a_run_directory_whose_name_was_not_replaced_is_refused(
    location: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOBODY", raising=False)
    with pytest.raises(StoreError, match=named):
        check_place(location)
    if "://" not in location:
        (tmp_path / location).parent.mkdir(parents=True)
        check_place(location)


def test_a_colon_and_slashes_in_a_path_make_no_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_folder("mixes/a://b").url == f"{tmp_path}/mixes/a:/b"


def test_a_url_that_no_store_knows_is_named() -> None:
    with pytest.raises(StoreError, match="gopher://x"):
        open_folder("gopher://x")


def test_a_file_of_many_parts_is_what_was_written_and_not_taken_back(folder: Folder) -> None:
    parts = [bytes([n]) * 3_000_000 for n in range(8)]
    file = folder.begin("corpus.zarr/x/c.0.0")
    for part in parts[:6]:
        file.write(part)
    file.cut(4_000_000)
    for part in parts[6:]:
        file.write(part)
    assert folder.read("corpus.zarr/x/c.0.0") is None
    file.finish()
    assert folder.read("corpus.zarr/x/c.0.0") == (parts[0] + parts[1])[:4_000_000] + parts[6] + parts[7]


def test_a_file_that_is_abandoned_leaves_what_was_there(folder: Folder) -> None:
    folder.replace("commits/1.json", b"first")
    file = folder.begin("commits/1.json")
    file.write(b"second")
    file.abandon()
    file.abandon()
    assert folder.read("commits/1.json") == b"first"
    assert folder.names("commits") == ["1.json"]


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "commits").write_bytes(b"")
    with pytest.raises(StoreError, match=r"commits/1.json cannot be written: (Not a directory|File exists)"):
        LocalFolder(tmp_path).begin("commits/1.json")
