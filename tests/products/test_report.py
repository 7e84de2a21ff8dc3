"""A report is one page that stands alone, holds what was measured, and cannot be broken by any name."""

import base64
import io
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from helpers import music, settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import hpss_batch
from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.errors import ParameterError, StoreError
from hpss_batch.products.report import metrics
from hpss_batch.products.report.excerpts import png
from hpss_batch.products.report.gather import choose, gather
from hpss_batch.products.report.measure import spans
from hpss_batch.products.report.page import TEMPLATES
from hpss_batch.runner.run import Result, run
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.reading.corpus import open_corpus
from hpss_batch.store.stem_records import Stem, StemRecord
from hpss_batch.text import duration, printable

RunJob = Callable[..., Result]

NAMES = [
    "<script>alert(1)<%2Fscript>",
    "a \"quoted\" & 'single'",
    "line\nbreak",
    "turned \u202e round",
    "</style><b>",
]
"""Names that would change a page that trusts them; the last is of a file in a folder "<"."""

VOID = {"img", "meta", "link", "wbr"}

PARTS = TEMPLATES.get_template("parts.html").module


class Page(HTMLParser):
    """A page taken apart: what is open, what there is, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text = list[str](), list[str](), list[str]()
        self.broken = False
        self.ids, self.targets, self.fetched = set[str](), set[str](), list[str]()
        self.titles = list[str]()
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.broken = tag == "wbr"  # a place where a name may be broken is within the name
        for name, value in attrs:
            assert not name.startswith("on"), "no script"
            if name == "id":
                assert value not in self.ids
                self.ids.add(str(value))
            elif name == "href" and str(value).startswith("#"):
                self.targets.add(str(value)[1:])
            elif name == "title":
                self.titles.append(str(value))
            elif name in ("src", "href", "srcset", "data", "action"):
                self.fetched.append(str(value))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            if self.broken:
                self.text[-1] += data
            else:
                self.text.append(data)
        self.broken = False


def check_stands_alone(text: str) -> Page:
    page = Page(text)
    assert "script" not in page.tags
    assert page.targets <= page.ids, "every link inside leads somewhere"
    assert all(address.startswith("data:") for address in page.fetched)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    for needed in ("prefers-color-scheme: dark", "@media print", "max-width"):
        assert needed in style
    text.encode()  # no lone surrogate is left
    return page


def words(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def decoded(page: Page, kind: str) -> list[bytes]:
    start = f"data:{kind};base64,"
    return [base64.b64decode(a.removeprefix(start)) for a in page.fetched if a.startswith(start)]


@pytest.fixture(scope="module")
def corpus(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Music whose names are hostile, and some that cannot be read."""
    root = tmp_path_factory.mktemp("report") / "music <i>"
    shutil.copytree(corpus_folder, root)
    for seed, name in enumerate(NAMES):
        (root / name).parent.mkdir(exist_ok=True)
        sf.write(root / f"{name}.wav", music(1.0, 22050, 1, seed), 22050)
    (root / "broken <img src=x onerror=alert(1)>.wav").write_text("no audio <b>")
    (root / os.fsdecode(b"caf\xe9 broken.wav")).write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def out(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out") / "out"
    run(Job.parse(settings(corpus, place, output__arrays=["harmonic_mask", "percussive_mask"])))
    return place


@pytest.fixture(scope="module")
def report(out: Path) -> str:
    return Path(hpss_batch.report(out)).read_text(encoding="utf-8")


def test_the_page_stands_alone_and_tells_everything(report: str, out: Path) -> None:
    page = check_stands_alone(report)
    said = words(page)
    assert "12 of 14 tracks done" in said
    for heading in (
        "Totals",
        "Not done",
        "Look and listen",
        "Distributions",
        "Speed",
        "Tracks",
        "How it was made",
    ):
        assert heading in page.text
    assert "is not audio but text" in said
    assert "kernel_size: 17" in said
    assert len(decoded(page, "image/png")) == 4 * 3
    for sound in decoded(page, "audio/flac"):
        samples, rate = sf.read(io.BytesIO(sound), always_2d=True)
        assert rate == 22050
        assert 0.5 < len(samples) / rate < 9
        assert np.abs(samples).max() <= 1
    assert page.tags.count("audio") == 4 * 3


def page_of(out: Path, tracks: int = 4) -> Page:
    """The report of a run directory, which stands alone."""
    return check_stands_alone(Path(hpss_batch.report(out, tracks=tracks)).read_text(encoding="utf-8"))


def test_every_name_is_text(report: str) -> None:
    page = check_stands_alone(report)
    said = words(page)
    for name in (
        "<script>alert(1)<%252Fscript>.wav",
        "a \"quoted\" & 'single'.wav",
        "line\\nbreak.wav",
        "turned \\u202e round.wav",
        "</style><b>.wav",
        "broken <img src=x onerror=alert(1)>.wav",
        "caf%E9 broken.wav",
    ):
        assert name in said
    assert report.count("</style>") == 1
    assert "\u202e" not in report


def test_harmonic_and_percussive_sounds_add_up_to_the_full_one(report: str) -> None:
    sounds = decoded(check_stands_alone(report), "audio/flac")
    for full, harmonic, percussive in zip(sounds[::3], sounds[1::3], sounds[2::3], strict=True):
        a, b, c = (sf.read(io.BytesIO(sound))[0] for sound in (full, harmonic, percussive))
        assert np.abs(a - b - c).max() < 3 / 2**15
        assert np.abs(a).max() > 0.01


def test_another_method_is_heard_beside_with_its_own_transform(tmp_path: Path) -> None:
    """Of a track that is shown whole: what librosa's defaults make of it."""
    samples = music(3.0, 22050, 2, 5)
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "track.wav", samples, 22050, subtype="FLOAT")
    run(Job.parse(settings(tmp_path / "music", tmp_path / "out", corpus__channels="all")))
    done = CliRunner().invoke(main, ["report", str(tmp_path / "out"), "--method", "librosa"])
    assert done.exit_code == 0, done.output
    page = check_stands_alone((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "By librosa Harmonic by librosa" in words(page)
    assert len(decoded(page, "image/png")) == 3 + 2
    full, own, _, *beside = (sf.read(io.BytesIO(sound))[0] for sound in decoded(page, "audio/flac"))
    at = slice(2000, -2000)  # sounds are faded in and out
    gain = np.abs(full[at]).max() / np.abs(samples[at]).max()
    for found, expected in zip(beside, librosa.effects.hpss(samples.T.copy()), strict=True):
        assert np.abs(found - gain * expected.T)[at].max() < 3 / 2**15
        assert np.abs(found - own)[at].max() > 1e-2


def test_a_method_beside_that_is_none_or_cannot_be_had_is_told(
    out: Path, tmp_path: Path, corpus: Path
) -> None:
    with pytest.raises(ParameterError, match="method is 'best'; allowed: librosa, tuned, banded"):
        hpss_batch.report(out, tmp_path / "r.html", method="best")
    run(Job.parse(settings(corpus, tmp_path / "stored", corpus__include=["long.flac"])))
    corpus.rename(tmp_path / "away")
    try:
        text = Path(hpss_batch.report(tmp_path / "stored", method="banded")).read_text(encoding="utf-8")
    finally:
        (tmp_path / "away").rename(corpus)
    page = check_stands_alone(text)
    assert page.tags.count("audio") == 3, "those of the spectrogram that is stored"
    assert (
        "Not separated by banded, too: its spectrogram is not stored, and the audio cannot be read"
        in words(page)
    )


def test_without_the_audio_masks_are_shown_and_that_is_said(out: Path, tmp_path: Path, corpus: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    away = corpus.rename(corpus.with_name("away"))
    try:
        text = Path(hpss_batch.report(tmp_path / "out", tracks=2)).read_text()
    finally:
        away.rename(corpus)
    page = check_stands_alone(text)
    assert "audio" not in page.tags
    assert "the audio cannot be read: No such file" in words(page)
    assert len(decoded(page, "image/png")) == 2 * 2
    assert "every bin counts alike" in words(page)


def test_stems_components_and_margins_are_reported(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    arrays = ["spectrogram", "harmonic_mask", "percussive_mask", "harmonic", "percussive", "residual"]
    run_job(
        corpus_folder,
        tmp_path / "out",
        hpss__margin=2.0,
        output__arrays=arrays,
        output__stems=True,
        corpus__channels="all",
    )
    said = words(page_of(tmp_path / "out"))
    for title in ("Residual share", "Peak of stems"):
        assert title in said
    assert "reconstruction error exact" in said.lower() or "Reconstruction error" in said
    assert re.search(r"The stems of \d+ tracks took", said)


def test_a_track_without_stems_is_told_from_one_that_failed(tmp_path: Path, run_job: RunJob) -> None:
    """And what is one is said to be one; what is shown of a long track is as long as it says."""
    folder = tmp_path / "music"
    folder.mkdir()
    sf.write(folder / "long.wav", music(9.0, 22050, 1, 0), 22050)
    sf.write(folder / "nine.wav", music(1.0, 22050, 9, 1), 22050)
    (folder / "text.wav").write_text("no audio")
    run_job(folder, tmp_path / "out", output__stems={"format": "flac"})
    text = Path(hpss_batch.report(tmp_path / "out", tracks=1)).read_text()
    page = check_stands_alone(text)
    said = words(page)
    for sentence in (
        "2 of 3 tracks done",
        "2 done, 1 of them without stems",
        "1 track could not be done, for a reason of its own",
        "1 track has no stems; all else of it is done.",
        "nine.wav no stems has 9 channels",
        "text.wav failed is not audio but text",
        "The stems of 1 track took",
    ):
        assert sentence in said
    assert not re.search(r"\b1 (tracks|units)\b", said)
    assert "`" not in text[: text.index("<pre>")]
    assert "hpss-batch verify" in page.text
    assert re.search(r"[0-9.]+ [KM]iB on disk", said)
    for sound in decoded(page, "audio/flac"):
        assert sf.info(io.BytesIO(sound)).frames == 8 * 22050


def test_stems_without_arrays_have_a_report(corpus_folder: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(corpus_folder, tmp_path / "out", output__arrays=[], output__stems=True)
    page = page_of(tmp_path / "out", 2)
    assert "7 of 7 tracks done" in words(page)
    assert "Peak of stems" in words(page)
    assert page.tags.count("audio") == 2 * 3


def test_a_second_stage_takes_spectrograms_from_the_first(
    corpus_folder: Path, tmp_path: Path, run_job: RunJob
) -> None:
    run_job(corpus_folder, tmp_path / "first")
    job = {
        "corpus": {"path": str(tmp_path / "first")},
        "hpss": {"kernel_size": 17},
        "output": {"path": str(tmp_path / "second"), "arrays": ["harmonic_mask"], "mask_dtype": "uint8"},
        "cluster": settings(corpus_folder, tmp_path)["cluster"],
    }
    run(Job.parse(job))
    page = page_of(tmp_path / "second", 2)
    assert page.tags.count("audio") == 2 * 3


def test_large_corpora_are_sampled_and_that_is_said(out: Path, tmp_path: Path) -> None:
    text = Path(hpss_batch.report(out, tmp_path / "page.html", tracks=1, sample=5)).read_text()
    assert "Over 5 of the 11 tracks that are done, drawn at random" in words(check_stands_alone(text))


def test_nothing_done_is_a_page_too(corpus_folder: Path, tmp_path: Path, run_job: RunJob) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    sf.write(folder / "empty.wav", np.zeros(0), 22050)
    run_job(folder, tmp_path / "out")
    said = words(page_of(tmp_path / "out"))
    assert "1 of 1 track done" in said
    with pytest.raises(StoreError, match="not a run directory"):
        hpss_batch.report(folder)


def test_the_command_writes_where_it_is_reported(out: Path, tmp_path: Path) -> None:
    place = tmp_path / "r.html"
    result = CliRunner().invoke(main, ["report", str(out), "-o", str(place), "--tracks", "0"])
    assert result.exit_code == 0, result.output
    assert f"Wrote {place}" in result.output
    assert "Look and listen" not in words(check_stands_alone(place.read_text()))
    assert CliRunner().invoke(main, ["report", str(tmp_path)]).exit_code == 2


def test_a_browser_shows_it(report: str, tmp_path: Path) -> None:
    """What a browser makes of the page is what was written; where there is none, the parser above has to do."""
    place = tmp_path / "report.html"
    place.write_text(report)
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    text = place.read_text() if browser is None else _dump(browser, place, tmp_path / "profile")
    page = Page(text)
    assert "<script>alert(1)<%252Fscript>.wav" in words(page)
    assert "script" not in page.tags
    assert page.tags.count("rect") == Page(report).tags.count("rect") > 10
    assert page.tags.count("audio") == Page(report).tags.count("audio")


def _dump(browser: str, place: Path, profile: Path) -> str:
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage"
    )
    command = [browser, *flags.split(), f"--user-data-dir={profile}", "--dump-dom", place.as_uri()]
    return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode()


PARAGRAPH = TEMPLATES.from_string('<p title="{{ text }}">{{ [text, text] | join(", ") }}</p>')


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Z", "C", "Cs"])))
def test_no_text_becomes_markup(text: str) -> None:
    """Neither between tags nor in an attribute, be it as it is or joined to other text."""
    page = PARAGRAPH.render(text=text)
    page.encode()
    parsed = Page(page)
    assert parsed.tags == ["p"]
    assert "".join(parsed.text) == f"{printable(text)}, {printable(text)}"
    assert parsed.titles == [printable(text)]


@given(st.integers(0, 10**6), st.integers(1, 10**5))
def test_stretches_lie_within_their_track_and_one_chunk(start: int, n_frames: int) -> None:
    found = spans(start, n_frames)
    assert 1 <= len(found) <= 4
    for begin, stop in found:
        assert start <= begin < stop <= start + n_frames
        assert begin // 512 == (stop - 1) // 512
    assert found == sorted(set(found))


def test_pictures_are_what_they_were_made_of() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    data = png(pixels, ramp)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + body) == int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        chunks[kind] = body
        at += 12 + size
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(3, 5)
    np.testing.assert_array_equal(lines[:, 1:], pixels)
    assert not lines[:, 0].any()


def test_shares_are_those_of_the_components(corpus_folder: Path, tmp_path: Path, run_job: RunJob) -> None:
    """From stored spectrograms, and from masks and the audio: the same."""
    masks = ["harmonic_mask", "percussive_mask"]
    found = list[dict[str, metrics.Measured]]()
    for name, arrays in (("all", ["spectrogram", *masks]), ("masks", masks)):
        run_job(corpus_folder, tmp_path / name, output__arrays=arrays)
        gathered = gather(RunDirectory(tmp_path / name), tracks=0, sample=100)
        found.append({measured.track: measured for measured in gathered.measured})
    track = open_corpus(tmp_path / "all")["short.wav"].load()
    harmonic, percussive = (
        float((np.abs(track[name].values) ** 2).sum()) for name in ("harmonic", "percussive")
    )
    for measured in found:
        assert measured["short.wav"].values["percussive_energy"] == pytest.approx(
            percussive / (harmonic + percussive), rel=1e-4
        )
        weights = np.abs(track.spectrogram.values) ** 2
        h = np.clip(track.harmonic_mask.values.astype(float), 1e-9, 1 - 1e-9)
        entropy = -(h * np.log2(h) + (1 - h) * np.log2(1 - h))
        assert measured["short.wav"].values["entropy"] == pytest.approx(
            float((entropy * weights).sum() / weights.sum()), rel=1e-3
        )


def test_short_tracks_are_passed_over_and_that_is_said() -> None:
    def some(*seconds: float) -> list[metrics.Measured]:
        return [metrics.Measured(i, f"t{i}", s, {"percussive_energy": i / 10}) for i, s in enumerate(seconds)]

    chosen = {why: one.track for one, why in choose(some(9, 9, 9, 1), 3)}
    assert chosen["the most percussive of those of 4 s or more"] == "t2"
    chosen = {why: one.track for one, why in choose(some(9, 9, 9, 9), 3)}
    assert chosen["the most percussive of those looked at"] == "t3"
    chosen = {why: one.track for one, why in choose(some(1, 1, 9, 1), 3)}
    assert chosen["the most percussive of those looked at"] == "t3"


def test_one_clipped_sample_can_be_told_from_none() -> None:
    nothing = metrics.Measured(0, "t", 3600.0)
    stems = [Stem("t.flac", 1, 1, clipped, 1.1) for clipped in (0, 1)]
    record = StemRecord(0, "t", "done", n_samples=10**9, sample_rate=44100, channels=2)
    clipped = next(figure for figure in metrics.FIGURES if figure.key == "clipped")
    shown = [
        clipped.words(
            metrics.with_stems(nothing, replace(record, stems={"harmonic": stem})).values["clipped"]
        )
        for stem in stems
    ]
    assert shown == ["none", "1"]


@given(st.floats(1e-6, 1e6), st.floats(1.3, 10))
def test_lengths_that_differ_read_differently(seconds: float, ratio: float) -> None:
    assert duration(seconds) != duration(seconds * ratio)


@given(st.dictionaries(st.sampled_from(["done", "failed", "pending"]), st.floats(1e-3, 1e9), min_size=1))
def test_parts_of_a_bar_fill_it(parts: dict[str, float]) -> None:
    grown = [float(x) for x in re.findall(r"flex-grow:([0-9.]+)", PARTS.shares(parts, "parts"))]
    assert len(grown) == len(parts)
    assert sum(grown) == pytest.approx(1000, abs=0.01)


@given(st.text("ab/_<", max_size=20))
def test_a_name_that_may_be_broken_is_still_the_name(text: str) -> None:
    assert "".join(Page(f"<p>{PARTS.name(text)}</p>").text) == text


def test_outliers_are_far_from_the_middle() -> None:
    measured = [
        metrics.Measured(i, f"t{i}", 1.0, {"entropy": value})
        for i, value in enumerate([0.5, 0.51, 0.49, 0.5, 0.52, 0.48, 0.505, 0.95])
    ]
    found = metrics.outliers(measured)
    assert [(outlier.measured.track, outlier.figure.key) for outlier in found] == [("t7", "entropy")]
    assert found[0].distance > 10
    assert metrics.outliers(measured[:5]) == []
