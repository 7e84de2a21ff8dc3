"""What nobody needs of a run directory is freed; everything else is as it was."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile as sf
from click.testing import CliRunner
from helpers import music, shards

from hpss_batch.cli import main
from hpss_batch.errors import StoreError
from hpss_batch.runner.run import Result
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.verification.prune import Pruned, prune
from hpss_batch.verification.verify import verify

pytestmark = pytest.mark.usefixtures("verifying_threads")

RunJob = Callable[..., Result]
STEMS = {"components": ["harmonic"], "format": "wav"}


@pytest.fixture
def changed(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """Music, and a run directory of it in which a long track and a short one were placed again.

    Coordinates have shards of two units.
    """
    monkeypatch.setattr("hpss_batch.store.arrays.schema.AXIS_FRAMES", 1024)
    corpus, out = tmp_path / "music", tmp_path / "out"
    shutil.copytree(corpus_folder, corpus)
    run_job(corpus, out, output__stems=STEMS)
    sf.write(corpus / "album" / "long.flac", music(8.0, 22050, 2, 71), 22050)
    sf.write(corpus / "short.wav", music(0.4, 22050, 2, 72), 22050)
    run_job(corpus, out, output__stems=STEMS)
    return corpus, out


def everything(out: Path) -> dict[str, int]:
    return {str(path.relative_to(out)): path.stat().st_size for path in out.rglob("*") if path.is_file()}


def kinds(pruned: Pruned) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"superseded": set(), "half-written": set(), "ended": set()}
    for file in pruned.files:
        found[file.kind].add(file.name)
    return found


def test_units_without_a_track_that_counts_are_freed(changed: tuple[Path, Path], run_job: RunJob) -> None:
    corpus, out = changed
    before, values = everything(out), {name: open_corpus(out)[name].load() for name in open_corpus(out)}
    catalog = RunDirectory(out).catalog()
    counting = {unit.number for unit in catalog.units for p in unit.pieces if "@" not in catalog.ids[p.index]}
    superseded = {unit.number for unit in catalog.units} - counting
    assert len(superseded) > 3
    assert verify(out, sample=None).exit_status == 0

    dry = prune(out, dry_run=True)
    assert everything(out) == before
    pruned = prune(out)
    assert pruned.files == dry.files
    assert {file.kind for file in pruned.files} == {"superseded"}
    after = everything(out)
    assert before.keys() - after.keys() == {file.name for file in pruned.files}
    assert pruned.n_bytes == sum(before.values()) - sum(after.values())
    freed = before.keys() - after.keys()
    assert {f"corpus.zarr/harmonic_mask/c.0.{unit}.0" for unit in superseded} <= freed
    pairs = {unit // 2 for unit in superseded} - {unit // 2 for unit in counting}
    assert len(pairs) > 1
    assert {name for name in freed if "/time/" in name} == {f"corpus.zarr/time/c.{pair}" for pair in pairs}

    assert verify(out, sample=None).exit_status == 0
    assert not verify(out, sample=0).findings
    for name, value in values.items():
        assert open_corpus(out)[name].equals(value)
    again = run_job(corpus, out, output__stems=STEMS)
    assert again.plan.is_done
    assert everything(out).keys() == after.keys()
    assert prune(out).files == ()


def test_a_prune_that_was_killed_leaves_nothing_wrong(changed: tuple[Path, Path]) -> None:
    _, out = changed
    first, *_ = prune(out, dry_run=True).files
    (out / first.name).unlink()
    assert verify(out, sample=None).exit_status == 0
    assert first not in prune(out).files


def test_records_of_superseded_rows_do_not_make_verify_fail(
    changed: tuple[Path, Path], run_job: RunJob
) -> None:
    """Stems of tracks that were placed again have the names of those before; so it was for good."""
    _, out = changed
    assert verify(out, sample=None).exit_status == 0
    (out / "stems" / "short.harmonic.wav").write_bytes(b"damaged")
    assert [finding.tracks for finding in verify(out).open] == [("short.wav",)]


def test_stems_that_only_superseded_tracks_have_are_freed(
    changed: tuple[Path, Path], run_job: RunJob
) -> None:
    corpus, out = changed
    stems = {name for name in everything(out) if name.startswith("stems/")}
    sf.write(corpus / "short.wav", music(0.4, 22050, 2, 73), 22050)
    flac = STEMS | {"format": "flac"}
    run_job(corpus, out, output__stems=flac)
    assert kinds(prune(out))["superseded"] >= {"stems/short.harmonic.wav"}
    left = {name for name in everything(out) if name.startswith("stems/")}
    assert stems - left == {"stems/short.harmonic.wav"}


def test_what_crashes_left_is_freed_and_nothing_of_others(changed: tuple[Path, Path]) -> None:
    _, out = changed
    prune(out)
    left = [
        "corpus.zarr/harmonic_mask/c.0.1.0.abc.partial", "commits/00000003.json.abc.partial",
        "layout/0002.jsonl.gz.abc.partial", "stems/album/.abc.partial", "job.yaml.abc.partial",
        "commits/stems/00000000/00000001.json.abc.partial", "running/node7-1.json",
    ]  # fmt: skip
    mine = ["stems/song.partial.harmonic.wav", "corpus.zarr/harmonic_mask/notes.txt", "running notes.txt"]
    for name in left + mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"{}")
    pending = sorted((out / "commits").glob("0*.json"))[-1]
    pending.unlink()  # its shards are what the next run writes again
    before = everything(out).keys()
    found = kinds(prune(out))
    assert found == {"superseded": set(), "half-written": {*left[:-1]}, "ended": {left[-1]}}
    assert before - everything(out).keys() == {*left}


def test_nothing_is_freed_while_a_run_is_at_work(changed: tuple[Path, Path]) -> None:
    _, out = changed
    (out / "running").mkdir()
    (out / "running" / "node7-1.json").write_text(json.dumps({"alive": time.time()}))
    before = everything(out)
    with pytest.raises(StoreError, match=r"a run is at work in .*out \(node7-1: host and process\)"):
        prune(out)
    assert everything(out) == before
    with pytest.raises(StoreError, match="not a run directory"):
        prune(out / "commits")


def test_prune_in_a_shell(changed: tuple[Path, Path]) -> None:
    _, out = changed

    def said(*options: str) -> str:
        return CliRunner().invoke(main, ["prune", str(out), *options], catch_exceptions=False).stdout

    assert said("--dry-run").startswith("Would free ")
    figures = json.loads(said("--json", "--dry-run"))
    assert figures["dry_run"]
    assert figures["bytes"] == sum(file["n_bytes"] for file in figures["files"]) > 0
    assert re.fullmatch(r"Freed [\d,]+ files, .*B: [\d,]+ of superseded tracks\.\n", said())
    assert "nothing that could be freed" in said()


def test_a_bucket_is_pruned_like_a_folder(changed: tuple[Path, Path]) -> None:
    _, out = changed
    expected = [file.name for file in prune(out, dry_run=True).files]
    assert [file.name for file in prune(f"file://{out}").files] == expected
    assert not any(os.path.exists(out / name) for name in expected)


def test_shards_of_pruned_units_read_as_gaps(changed: tuple[Path, Path]) -> None:
    _, out = changed
    before = shards(out)
    pruned = {file.name.removeprefix("corpus.zarr/") for file in prune(out).files}
    assert shards(out) == {name: data for name, data in before.items() if name not in pruned}


def test_a_damaged_record_stops_a_prune_and_no_verification(changed: tuple[Path, Path]) -> None:
    _, out = changed
    record = sorted(out.glob("commits/stems/*/*.json"))[-1]
    record.write_bytes(record.read_bytes()[:-9])
    assert [finding.level for finding in verify(out, sample=0).open] == ["wrong"]
    with pytest.raises(StoreError, match=r"not a record of stems .*Delete it"):
        prune(out)
    record.unlink()
    assert prune(out).files
