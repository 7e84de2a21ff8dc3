"""A corpus of several sources, taken as if they lay side by side in one folder."""

from pathlib import Path

import pytest
import soundfile as sf
from click.testing import CliRunner, Result
from helpers import music, settings
from test_listing import ids, tree

from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.corpus.listing import find
from hpss_batch.errors import CorpusError
from hpss_batch.store.reading.corpus import open_corpus


def test_ids_are_those_in_a_folder_that_would_hold_all_sources(tmp_path: Path) -> None:
    root = tree(
        tmp_path, "x/a/2.wav", "x/a/10.wav", "y/b/live/1.wav", "y/b/100%41.wav", "z/song.flac", "z/no.flac"
    )
    several = find([root / "x/a", f"{root}/y/b/", f"{root}/z/song.flac"])
    assert ids(several) == ["a/2.wav", "a/10.wav", "b/100%2541.wav", "b/live/1.wav", "song.flac"]
    assert several.files[3].path == str(root / "y/b/live/1.wav")
    beside = tree(tmp_path / "one", "a/2.wav", "a/10.wav", "b/live/1.wav", "b/100%41.wav", "song.flac")
    assert sorted(ids(several)) == sorted(ids(find(beside)))
    assert ids(find([root / "x/a"])) == ids(find(root / "x/a")) == ["2.wav", "10.wav"]  # one is no several
    sources = [f"{root}/x/a/1*.wav", root / "y/b"]
    assert ids(find(sources, exclude=["b/live/"], limit=2)) == ["a/10.wav", "b/100%2541.wav"]


def test_a_manifest_among_them_keeps_its_ids(tmp_path: Path) -> None:
    root = tree(tmp_path, "a/1.wav", "b/2.wav")
    (root / "more.csv").write_text("path,id,genre\nb/2.wav,second,jazz\n")
    listing = find([root / "a", root / "more.csv"])
    assert [(found.id, found.meta) for found in listing.files] == [
        ("a/1.wav", None),
        ("second", {"genre": "jazz"}),
    ]


@pytest.mark.parametrize(
    ("sources", "name"),
    [
        (["x/a", "y/a"], "a/1.wav"),
        (["x/a/1.wav", "y/a/1.wav"], "1.wav"),
        (["x", "x/a"], "x/a/1.wav"),  # one file under two ids
        (["x/a", "x/a"], "a/1.wav"),
    ],
)
def test_sources_that_clash_are_both_named(tmp_path: Path, sources: list[str], name: str) -> None:
    root = tree(tmp_path, "x/a/1.wav", "y/a/1.wav")
    first, second = (f"{root}/{source}" for source in sources)
    with pytest.raises(CorpusError) as error:
        find([first, second])
    assert f"{first} and {second} both give the track " in str(error.value)
    assert f"{name}: give one of them" in str(error.value)


def test_what_a_source_lacks_is_said(tmp_path: Path) -> None:
    root = tree(tmp_path, "a/1.wav", "b/notes.txt", "c/x.m4p")
    listing = find([root / "a", root / "b", root / "c"])
    assert [(name, reason[-90:]) for name, reason in listing.skipped] == [
        (
            f"{root}/b",
            "1 .txt. Set corpus.path to a folder, file, glob or CSV manifest, and corpus.include to other names"[
                -90:
            ],
        )
    ]
    assert [name for name, _ in listing.unreadable] == ["c/x.m4p"]
    with pytest.raises(CorpusError, match=r"b: no recordings found.*\n.*c: no recordings found"):
        find([root / "b", root / "c"])
    with pytest.raises(CorpusError, match="nowhere: there is no such file or folder"):
        find([root / "a", root / "nowhere"])


def hpss_batch(*words: object) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


def test_a_run_of_several_sources_from_its_plan_to_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verifying_threads: None
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("a/x.wav", "b/x.wav", "song.wav", "late.wav"):
        Path(place).parent.mkdir(exist_ok=True)
        sf.write(place, music(0.4, 22050, 1, len(place)), 22050)
    options = [
        word
        for key, value in settings(Path("a"), Path("out"))["cluster"].items()
        for word in ("--set", f"cluster.{key}={value}")
    ]
    sources = ("a/", "b", "song.wav")
    planned = hpss_batch("plan", *sources, "-o", "out", *options)
    assert planned.exit_code == 0, planned.output
    assert "a/, b, song.wav" in planned.output
    assert hpss_batch("run", *sources, "-o", "out", *options).exit_code == 0
    assert list(open_corpus("out")) == ["a/x.wav", "b/x.wav", "song.wav"]
    stored = Job.load("out/job.yaml").corpus.path
    assert stored == tuple(str(tmp_path / name) for name in ("a", "b", "song.wav"))

    again = hpss_batch("run", *sources[::-1], "-o", "out", *options)
    assert (again.exit_code, "Nothing to do: 3 done" in again.output) == (0, True)
    grown = hpss_batch("run", *sources, "late.wav", "-o", "out", *options)
    assert (grown.exit_code, "4 done" in grown.output) == (0, True)
    assert hpss_batch("run", "out/job.yaml").exit_code == 0
    clash = hpss_batch("run", "a", "b", "out", "-o", "other", *options)
    assert (clash.exit_code, "has to be the only source" in clash.output) == (2, True)
    other = hpss_batch("run", "a", "-o", "out", *options)
    assert (other.exit_code, "was made from another corpus" in other.output) == (2, True)

    rendered = hpss_batch("render", "out", "b/x.wav")
    assert (rendered.exit_code, "b/x.harmonic.flac" in rendered.output) == (0, True)
    assert hpss_batch("report", "out").exit_code == 0
    assert "a, b, song.wav" in Path("out/report.html").read_text()
    assert hpss_batch("verify", "out", "--all").exit_code == 0
    Path("moved").mkdir()
    for name in ("a", "b", "song.wav", "late.wav"):
        Path(name).rename(f"moved/{name}")
    assert hpss_batch("verify", "out", "--all").exit_code == 1
    assert hpss_batch("verify", "out", "--all", "--corpus", "moved").exit_code == 0
    each = [word for name in ("a", "b", "song.wav", "late.wav") for word in ("--corpus", f"moved/{name}")]
    assert hpss_batch("verify", "out", "--all", *each).exit_code == 0


def test_a_job_is_given_alone(tmp_path: Path) -> None:
    said = hpss_batch("run", "a", "job.yaml", "-o", tmp_path)
    assert (said.exit_code, "job.yaml is a job's YAML" in said.output) == (2, True)
