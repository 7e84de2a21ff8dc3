"""Folders, globs, files and manifests: what is found, what is skipped and why."""

import os
from pathlib import Path

import pytest

from hpss_batch.audio.kinds import READABLE
from hpss_batch.corpus.listing import find
from hpss_batch.corpus.search import Listing
from hpss_batch.errors import CorpusError


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(path.name))
    return root


def ids(listing: Listing) -> list[str]:
    return [found.id for found in listing.files]


def test_a_folder(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "Album 10/2.wav", "Album 2/10.flac", "Album 2/9.FLAC", "cover.jpg", "notes.txt", "album 2/x.m4a",
        ".git/a.wav", "._b.wav", ".hidden.wav", "z.ogg",
    )  # fmt: skip
    listing = find(root, decoder="libsndfile")
    assert ids(listing) == ["Album 2/9.FLAC", "Album 2/10.flac", "Album 10/2.wav", "z.ogg"]
    assert listing.unreadable == [
        (
            "album 2/x.m4a",
            "is AAC or ALAC in MPEG-4, which is not read here; set corpus.decoder=auto to have it read by FFmpeg",
        )
    ]
    assert listing.skipped == []
    found = listing.files[0]
    assert found.path == str(root / "Album 2" / "9.FLAC")
    assert (found.size, found.mtime_ns) == (6, os.stat(found.path).st_mtime_ns)
    assert ids(find(str(root), limit=2)) == ids(listing)[:2]


def test_include_and_exclude(tmp_path: Path) -> None:
    root = tree(tmp_path, "a/1.wav", "a/2.flac", "b/3.wav", "b/4.dat", "b/5.m4a")
    assert ids(find(root, include=["*.WAV"])) == ["a/1.wav", "b/3.wav"]
    assert ids(find(root, include=["*.dat", "a/*"])) == ["a/1.wav", "a/2.flac", "b/4.dat"]
    assert ids(find(root, exclude=["b/", "*.flac"])) == ["a/1.wav"]
    assert find(root, include=["*.wav"]).unreadable == []
    assert [name for name, _ in find(root, include=["b/*"], decoder="libsndfile").unreadable] == ["b/5.m4a"]
    assert find(root, exclude=["*.m4a"]).unreadable == []


def test_globs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path, "a/1.wav", "a/b/2.wav", "3.wav", "a/4.txt", "a/[x].wav")
    assert ids(find(f"{root}/**/*.wav")) == ["3.wav", "a/1.wav", "a/[x].wav", "a/b/2.wav"]
    assert ids(find(f"{root}/a/*.wav")) == ["1.wav", "[x].wav"]
    assert ids(find(f"{root}/*/*")) == ["a/1.wav", "a/[x].wav"]
    assert ids(find(f"{root}/a/*.txt")) == ["4.txt"]  # spelled out, and so meant
    assert ids(find(root / "a" / "[x].wav")) == ["[x].wav"]  # a name that is there is no glob
    monkeypatch.chdir(root)
    assert ids(find("*.wav")) == ["3.wav"]
    assert find("*.wav").files[0].path == str(root / "3.wav")
    assert ids(find(".")) == ids(find(root))


@pytest.mark.parametrize("pattern", ["*/*.wav", "**/*.wav", "**/b/?.wav", "*/[[]1].wav", "[!c]*/**", "**/b/"])
def test_include_exclude_and_path_speak_one_dialect(tmp_path: Path, pattern: str) -> None:
    root = tree(
        tmp_path, "1.wav", "a/1.wav", "a/b/1.wav", "a/b/2.WAV", "c/[1].wav", ".h/1.wav", "a/.1.wav", "2.ogg"
    )
    meant = ids(find(root, include=[pattern]))
    assert meant
    assert ids(find(f"{root}/{pattern}")) == meant
    assert sorted(meant + ids(find(root, exclude=[pattern]))) == sorted(ids(find(root)))


def test_a_pattern_may_name_a_track_by_its_id(tmp_path: Path) -> None:
    for name in (b"caf\xe9.wav", b"b.wav"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    for pattern in ("caf%E9.wav", "caf?.wav"):
        assert ids(find(tmp_path, exclude=[pattern])) == ["b.wav"]
        assert ids(find(tmp_path, include=[pattern])) == ["caf%E9.wav"]


def test_one_file(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.wav", "b.dat", "c.m4a")
    assert ids(find(root / "a.wav")) == ["a.wav"]
    assert ids(find(root / "b.dat")) == ["b.dat"]
    with pytest.raises(CorpusError, match=r"c\.m4a \(is AAC .* FFmpeg"):
        find(root / "c.m4a", decoder="libsndfile")


def test_a_manifest(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.wav", "b.dat")
    (root / "list.CSV").write_text("path,label\nb.dat,1\nmissing.wav,2\na.wav,3\n")
    listing = find(root / "list.CSV")
    assert ids(listing) == [
        "b.dat",
        "missing.wav",
        "a.wav",
    ]  # in the manifest's order, whatever the extension
    assert [found.meta for found in listing.files] == [{"label": "1"}, {"label": "2"}, {"label": "3"}]
    assert (listing.files[1].size, listing.files[1].mtime_ns) == (0, 0)
    assert ids(find(root / "list.CSV", exclude=["*.dat"], limit=1)) == ["missing.wav"]
    assert ids(find(root / "list.CSV", include=["a*"])) == ["a.wav"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root = tree(tmp_path / "music", "a/1.wav")
    elsewhere = tree(tmp_path / "elsewhere", "2.wav")
    (root / "b").symlink_to(elsewhere)
    (root / "a" / "up").symlink_to(root)
    (root / "self").symlink_to("self")
    (root / "3.wav").symlink_to(elsewhere / "2.wav")
    (root / "4.wav").symlink_to("nowhere")
    (root / "5.wav").symlink_to("5.wav")
    listing = find(root)
    assert ids(listing) == ["3.wav", "a/1.wav", "b/2.wav"]
    assert dict(listing.skipped) == {
        "a/up/": "is a link to a folder that it lies in; the circle is not followed",
        "4.wav": "is not there: moved, deleted, or a link that leads nowhere",
        "5.wav": "is a link in a circle",
    }


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.wav")
    os.mkfifo(root / "pipe.wav")
    (root / "device.wav").symlink_to("/dev/null")
    listing = find(root)
    assert ids(listing) == ["a.wav"]
    assert [name for name, _ in listing.skipped] == ["device.wav", "pipe.wav"]
    with pytest.raises(CorpusError, match="is a named pipe"):
        find(root / "pipe.wav")


def test_folders_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path, "a/1.wav", "b/2.wav")
    real = os.scandir

    def scandir(path: str) -> object:
        if os.fspath(path).endswith("b"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = find(root)
    assert ids(listing) == ["a/1.wav"]
    ((name, why),) = listing.skipped
    assert name == "b/"
    assert "permission denied" in why


def test_a_folder_too_deep_for_a_path(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(30):
            os.mkdir("d" * 200, dir_fd=here)
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    tree(tmp_path, "a.wav")
    listing = find(tmp_path)
    assert ids(listing) == ["a.wav"]
    assert "File name too long" in listing.skipped[0][1]
    here = os.open(tmp_path, os.O_RDONLY)  # pytest could not remove it
    depth = [here]
    for _ in range(29):
        depth.append(os.open("d" * 200, os.O_RDONLY, dir_fd=depth[-1]))
    for folder in reversed(depth):
        os.rmdir("d" * 200, dir_fd=folder)
        os.close(folder)


def test_any_name(tmp_path: Path) -> None:
    names = [
        b"caf\xe9.wav",
        b"new\nline.wav",
        b"-rf.wav",
        b"100%.wav",
        b"%e9.wav",
        b"x" * 251 + b".wav",
        b"\xf0\x9f\x8e\xb5.wav",
    ]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(name)
    listing = find(tmp_path)
    assert {os.fsencode(os.path.basename(found.path)) for found in listing.files} == set(names)
    assert {"caf%E9.wav", "%25e9.wav", "100%.wav", "new\nline.wav", "🎵.wav"} < set(ids(listing))


def test_nothing_found_says_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such file or folder"):
        find(tmp_path / "music")
    with pytest.raises(CorpusError, match=r"there is no folder .*/music;"):
        find(f"{tmp_path}/music/*.wav")
    with pytest.raises(CorpusError, match=r"no recordings found.*\.flac.*Found: nothing"):
        find(tmp_path)
    tree(tmp_path, "a.txt", "b.txt", "c.jpg", "song.m4p", "Makefile")
    with pytest.raises(CorpusError, match=r"Found: 2 \.txt; .*song\.m4p \(is protected"):
        find(tmp_path)
    with pytest.raises(CorpusError, match=r"names like \*\.wav, \*\.ogg"):
        find(tmp_path, include=["*.wav", "*.ogg"])
    with pytest.raises(CorpusError, match="a web server does not list its files"):
        find("https://host/music/*.flac", include=["*.flac"])
    (tmp_path / "m.csv").write_text("path\n")
    with pytest.raises(CorpusError, match="no recordings found"):
        find(tmp_path / "m.csv")


def test_extensions() -> None:
    assert {
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".au",
        ".caf",
        ".w64",
    } <= READABLE
    assert not {".m4a", ".wma", ".raw", ".mat", ".txt"} & READABLE
