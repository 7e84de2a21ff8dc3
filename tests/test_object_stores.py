"""From bucket to bucket: the bits of a disk, with few requests, through trouble of all kinds or up to a reason."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from helpers import music, settings, shards
from object_server import BUCKET, ObjectServer

import hpss_batch
from hpss_batch.audio.decoder import Decoder
from hpss_batch.audio.probe import probe
from hpss_batch.audio.recording import Recording
from hpss_batch.cluster import workforce
from hpss_batch.config.job import Job
from hpss_batch.corpus.listing import find
from hpss_batch.errors import AudioError, ClusterError, CorpusError, StoreError, UnreachableError
from hpss_batch.files import hold, is_there, opened, stat
from hpss_batch.ranges import RangedFile
from hpss_batch.runner.run import run
from hpss_batch.store.buckets.folder import ObjectFolder
from hpss_batch.store.buckets.trial import check_create_only
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.records import Commit, Outcome
from hpss_batch.store.storage import open_folder

OUT = f"s3://{BUCKET}/out"


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """The URL of a server that lists nothing and knows no ranges."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(folder))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def copyfile(self, *given: Any) -> None:
            with suppress(ConnectionError):  # who asked for a part of it has gone
                super().copyfile(*given)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_workers_that_do_not_see_the_bucket_get_no_work(
    bucket: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workforce, "GRACE_SECONDS", 1)
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "song.wav", music(1.0, 22050), 22050)
    bucket.upload(tmp_path / "music", "music")
    with web_server(tmp_path / "music") as nothing:
        job = settings(Path("music"), tmp_path / "out", corpus__path=f"s3://{BUCKET}/music") | {
            "cluster": {"kwargs": {"n_workers": 1, "env": {"AWS_ENDPOINT": nothing}}},
        }
        with pytest.raises(
            ClusterError, match=f"cannot read the corpus: s3://{BUCKET}/music/song.wav: .*credentials"
        ):
            run(Job.parse(job))
    assert not (tmp_path / "out" / "commits").exists()


def test_a_bucket_gives_the_bits_of_a_disk(
    bucket: ObjectServer, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpss_batch.store.arrays.schema.AXIS_FRAMES", 16 * 512)
    url = bucket.upload(corpus_folder, "music")
    assert run(Job.parse(settings(corpus_folder, tmp_path / "disk"))).exit_status == 0
    bucket.requests.clear()
    assert run(Job.parse(settings(url, OUT))).exit_status == 0
    assert bucket.count("GET", "/music/") < 3 * 7  # the header, then all of it
    bucket.download("out", tmp_path / "out")
    found = shards(tmp_path / "out")
    assert found == shards(tmp_path / "disk")
    # a request for a shard and one for a commit; coordinates have a shard for 16 units
    n_units = len(list((tmp_path / "out" / "commits").iterdir()))
    for name in ("spectrogram", "harmonic_mask", "time", "track_index"):
        n_shards = sum(shard.startswith(f"{name}/") for shard in found)
        assert bucket.count("PUT", f"/{name}/c.") == n_shards
        assert n_shards <= (-(-n_units // 16) if name in ("time", "track_index") else 2 * n_units)
    assert bucket.count("PUT", "/out/commits/") == n_units


def test_two_stages_with_names_of_all_kinds_and_stems(bucket: ObjectServer, tmp_path: Path) -> None:
    folder = tmp_path / "music"
    for number, name in enumerate(
        ("100%/a #1?.wav", "100%/b%41~é.flac", "c d.ogg", ".hidden/e.wav", "f.txt")
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name == "f.txt":
            (folder / name).write_text("no music")
        else:
            sf.write(folder / name, music(2.0, 22050, 2, number), 22050)
    url = bucket.upload(folder, "my music")
    bucket.store.put("my music/100%", b"")  # a folder, as consoles make them
    stages = {
        "disk": (str(folder), str(tmp_path / "disk")),
        "bucket": (url, OUT),
    }
    for corpus, out in stages.values():
        job = settings(corpus, out, output__stems={"format": "flac"})
        assert run(Job.parse(job)).exit_status == 0
        masks = settings(out, f"{out} masks", output__arrays=["percussive_mask"], hpss__margin=2)
        del masks["corpus"]["sample_rate"], masks["stft"], masks["output"]["unit_frames"]
        assert run(Job.parse(masks)).exit_status == 0
    assert list(hpss_batch.open_corpus(OUT)) == list(hpss_batch.open_corpus(tmp_path / "disk"))
    for name in ("", " masks"):
        found = bucket.download(f"out{name}", tmp_path / f"out{name}")
        assert shards(found) == shards(tmp_path / f"disk{name}")
    for stem in sorted((tmp_path / "disk" / "stems").rglob("*.flac")):
        assert (tmp_path / "out" / stem.relative_to(tmp_path / "disk")).read_bytes() == stem.read_bytes()


def test_manifests_name_urls_and_lie_at_urls(
    bucket: ObjectServer, corpus_folder: Path, tmp_path: Path
) -> None:
    url = bucket.upload(corpus_folder, "music")
    with web_server(corpus_folder) as web:
        paths = [f"{url}/album/long.flac", f"{url}/talk.mp3", f"{web}/short.wav?x=1", f"{url}/gone.wav"]
        rows = ["path,mood", "album/long.flac,a", f"{paths[1]},b", f"{paths[2]},c", "gone.wav,d"]
        bucket.store.put("music/list.csv", "\n".join(rows).encode())
        found = find(f"{url}/list.csv").files
        assert [file.path for file in found] == paths
        assert [file.meta for file in found] == [{"mood": mood} for mood in "abcd"]
        sizes = [(corpus_folder / n).stat().st_size for n in ("album/long.flac", "talk.mp3", "short.wav")]
        assert [file.size for file in found] == [*sizes, 0]
        result = run(Job.parse(settings(f"{url}/list.csv", tmp_path / "out")))
    assert result.catalog.counts == {"done": 3, "failed": 1}
    assert list(result.failed.values()) == ["is not there: moved, deleted, or a link that leads nowhere"]


def test_a_web_server_that_knows_no_ranges_is_read_at_once(corpus_folder: Path, tmp_path: Path) -> None:
    with web_server(corpus_folder) as url:
        assert probe(f"{url}/album/long.flac") == probe(str(corpus_folder / "album/long.flac"))
        assert [file.id for file in find(f"{url}/other%20rate.wav").files] == ["other rate.wav"]
        for name in ("album/long.flac", "album/song.ogg", "talk.mp3"):
            with Recording(f"{url}/{name}") as there, Recording(str(corpus_folder / name)) as here:
                np.testing.assert_array_equal(there.read(0, 2**20), here.read(0, 2**20))
        with pytest.raises(CorpusError, match="is not there"):
            find(f"{url}/nothing.wav")


def test_globs_and_single_objects(bucket: ObjectServer, corpus_folder: Path, tmp_path: Path) -> None:
    url = bucket.upload(corpus_folder, "music")
    assert [file.id for file in find(f"{url}/*/*.FLAC").files] == ["album/long.flac"]
    assert [file.id for file in find(f"{url}/talk.mp3").files] == ["talk.mp3"]
    assert [file.id for file in find(url, exclude=["album/", "*sample*"]).files] == [
        "other rate.wav",
        "short.wav",
        "talk.mp3",
    ]
    bucket.store.put("music/done/layout/0000.jsonl.gz", b"")
    bucket.store.put("music/done/stems/x.flac", b"")
    assert "done" in dict(find(url).skipped)
    assert not [file for file in find(url).files if "done" in file.id]
    with pytest.raises(CorpusError, match="is not there"):
        find(f"s3://{BUCKET}/nothing")


def test_what_passes_changes_nothing(bucket: ObjectServer, corpus_folder: Path, tmp_path: Path) -> None:
    url = bucket.upload(corpus_folder, "music")
    assert run(Job.parse(settings(corpus_folder, tmp_path / "disk"))).exit_status == 0
    random = Random(1)

    def trouble(method: str, path: str) -> str:
        whole = 0.8 if method == "GET" else 0.9
        found = random.random()
        return "" if found < whole else "500" if found < 0.95 else "503" if found < whole + 0.15 else "cut"

    bucket.trouble = trouble
    assert run(Job.parse(settings(url, OUT))).exit_status == 0
    bucket.trouble = lambda method, path: ""
    assert shards(bucket.download("out", tmp_path / "out")) == shards(tmp_path / "disk")


def test_what_does_not_pass_is_no_tracks_fault(
    bucket: ObjectServer, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.upload(corpus_folder, "music")
    monkeypatch.setattr("hpss_batch.objects._RETRIES", {"max_retries": 0})
    monkeypatch.setenv("AWS_UNSIGNED_PAYLOAD", "true")
    bucket.trouble = lambda method, path: "503" if "talk" in path else ""
    with pytest.raises(UnreachableError, match=r"talk\.mp3 cannot be reached \(503 Service Unavailable\)"):
        run(Job.parse(settings(url, tmp_path / "out")))
    asked = Counter[str]()

    def from_the_second_on(method: str, path: str) -> str:
        asked["talk"] += "talk" in path
        return "503" if "talk" in path and asked["talk"] > 1 else ""

    bucket.trouble = from_the_second_on
    result = run(Job.parse(settings(url, tmp_path / "out")))
    assert result.catalog.counts == {"done": 6, "failed": 1}
    assert "cannot be reached (503 Service Unavailable)" in result.failed["talk.mp3"]
    bucket.trouble = lambda method, path: ""
    assert run(Job.parse(settings(url, tmp_path / "out"))).catalog.counts == {"done": 7, "superseded": 1}


def test_replaced_objects_are_read_anew(bucket: ObjectServer, corpus_folder: Path, tmp_path: Path) -> None:
    url = bucket.upload(corpus_folder / "album", "music")
    assert run(Job.parse(settings(url, tmp_path / "out"))).catalog.counts == {"done": 2}
    assert run(Job.parse(settings(url, tmp_path / "out"))).catalog.counts == {"done": 2}
    song = (corpus_folder / "album" / "long.flac").read_bytes()
    bucket.store.put("music/long.flac", song[:-1] + bytes([song[-1] ^ 1]))
    result = run(Job.parse(settings(url, tmp_path / "out")))
    assert result.catalog.counts["superseded"] == 1


def test_a_small_object_is_one_request_and_a_long_one_few(bucket: ObjectServer) -> None:
    bucket.store.put("small", bytes(2**20))
    bucket.store.put("long", bytes(2**24 + 2**23))
    bucket.requests.clear()
    kept = hold(f"s3://{BUCKET}/small", 2**20)
    with opened(f"s3://{BUCKET}/small") as file:
        assert file.read(2**19, 2**19) == bytes(2**19)
    assert stat(f"s3://{BUCKET}/small").st_size == 2**20
    assert len(bucket.requests) == 1
    assert kept is not None
    kept = hold(f"s3://{BUCKET}/long", 2**24 + 2**23)
    for at in range(0, 2**24 + 2**23, 2**14):
        kept.read(at, 2**14)
    assert len(bucket.requests) < 12


def test_a_version_that_is_replaced_while_it_is_read_is_refused(bucket: ObjectServer) -> None:
    bucket.store.put("song", bytes(2**20))
    song = f"s3://{BUCKET}/song"
    before, file = stat(song), RangedFile(song)
    assert file.read(0, 1) == b"\0"
    bucket.store.put("song", bytes(2**20 - 1) + b"1")
    assert stat(song).st_mtime_ns != before.st_mtime_ns
    with pytest.raises(AudioError, match="changed after it was listed"):
        file.read(2**19, 10)


def test_what_is_not_there_and_what_cannot_be_reached_are_two_things(
    bucket: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_there(f"s3://{BUCKET}/nothing")
    with pytest.raises(AudioError, match="is not there"):
        probe(f"s3://{BUCKET}/nothing.wav")
    bucket.store.put("empty.wav", b"")
    with pytest.raises(AudioError, match="is empty"):
        probe(f"s3://{BUCKET}/empty.wav")
    with pytest.raises(UnreachableError, match="in no bucket that is there: make nobody"):
        probe("s3://nobody/song.wav")
    bucket.trouble = lambda method, path: "403"
    with pytest.raises(AudioError, match=r"refused \(403 Forbidden\): check the rights of the credentials"):
        probe(f"s3://{BUCKET}/song.wav")
    monkeypatch.setattr("hpss_batch.objects._RETRIES", {"max_retries": 0})
    monkeypatch.setenv("AWS_UNSIGNED_PAYLOAD", "true")  # another environment, another client
    bucket.trouble = lambda method, path: "503"
    with pytest.raises(UnreachableError, match=r"cannot be reached \(503 Service Unavailable\)"):
        probe(f"s3://{BUCKET}/song.wav")


def test_a_break_in_the_middle_is_not_taken_for_the_end(
    bucket: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sf.write(tmp_path / "long.wav", music(60.0, 22050), 22050)
    bucket.upload(tmp_path, "music")
    monkeypatch.setattr("hpss_batch.objects._RETRIES", {"max_retries": 0})
    monkeypatch.setenv("AWS_UNSIGNED_PAYLOAD", "true")
    decoder = Decoder(f"s3://{BUCKET}/music/long.wav", mono=True)
    bucket.trouble = lambda method, path: "500"
    with pytest.raises(UnreachableError, match="cannot be reached"):
        decoder.read(0, np.empty((1, 60 * 22050), np.float32))


def test_a_run_tries_first_whether_what_is_there_is_kept(
    bucket: ObjectServer, corpus_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_create_only(open_folder(OUT))
    assert not bucket.store.list().collect()

    def overwrite(folder: ObjectFolder, name: str, data: bytes) -> bool:
        folder.replace(name, data)
        return True

    def look_then_write(folder: ObjectFolder, name: str, data: bytes) -> bool:
        return folder.read(name) is None and overwrite(folder, name, data)

    for create in (overwrite, look_then_write):
        monkeypatch.setattr(ObjectFolder, "create", create)
        bucket.requests.clear()
        with pytest.raises(StoreError, match="overwrites what is there"):
            run(Job.parse(settings(corpus_folder, OUT)))
        assert not bucket.count("PUT", "/layout")
        assert not bucket.store.list().collect()


def test_nobody_writes_to_a_web_server_or_a_bucket_that_is_not_there(
    bucket: ObjectServer, corpus_folder: Path
) -> None:
    with pytest.raises(StoreError, match="web server, which can be read only"):
        run(Job.parse(settings(corpus_folder, "https://host/out")))
    with pytest.raises(UnreachableError, match=r"s3://nobody/out is in no bucket that is there: make nobody"):
        run(Job.parse(settings(corpus_folder, "s3://nobody/out")))
    with pytest.raises(StoreError, match="holds a password") as refused:
        run(Job.parse(settings(corpus_folder, "s3://me:hidden@bucket/out")))
    assert "hidden" not in str(refused.value)


def test_many_commits_are_opened_with_few_requests_and_packs_are_never_relied_on(
    bucket: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpss_batch.store.buckets.packs.PER_PACK", 10)
    directory = RunDirectory(OUT)
    commits = {unit: Commit(unit, {unit: Outcome("done", n_samples=unit + 1)}) for unit in range(25)}

    def create(first: int, stop: int) -> None:
        for unit in range(first, stop):
            directory.folder.create(commits[unit].name, commits[unit].encode())

    def asked() -> int:
        bucket.requests.clear()
        assert directory.commits() == commits
        return bucket.count("GET", "/out/")

    create(0, 12)
    directory.pack(None)  # a run, a second one that was killed before it packed, and a third
    create(12, 25)
    assert asked() == 13 + 2
    directory.pack(None)
    assert asked() == 3
    assert bucket.count("GET", "prefix=out%2Fcommits%2F") + bucket.count("GET", "prefix=out/commits/") == 1
    # a commit that was put in another's place counts, and so does one that was deleted
    commits[3] = Commit(3, {3: Outcome("failed", "healed")})
    directory.folder.replace(commits[3].name, commits[3].encode())
    assert asked() == 3 + 1
    directory.folder.delete(commits.pop(7).name)
    assert asked() == 3 + 1
    # packs that are damaged or gone
    first, second, _ = directory.folder.names("packs/commits")
    directory.folder.replace(f"packs/commits/{first}", b"no pack")
    directory.folder.delete(f"packs/commits/{second}")
    assert asked() > 10
    directory.pack(None)
    assert asked() == 3
    # another driver that packed the same at the same time
    for name in directory.folder.names("packs/commits"):
        data = directory.folder.read(f"packs/commits/{name}")
        assert data is not None
        directory.folder.create(f"packs/commits/a{name}", data)
    assert asked() == 6
    directory.pack(None)
    assert asked() == 3
    bucket.requests.clear()
    directory.pack(None)
    assert bucket.count("PUT") == 0
