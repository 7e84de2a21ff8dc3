"""Scores of separation against known stems."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from helpers import music
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch import hpss, istft, stft
from hpss_batch.audio.recording import Recording
from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.stft import StftParams
from hpss_batch.errors import AudioError, CorpusError, ParameterError
from hpss_batch.products.evaluation import evaluate as evaluation
from hpss_batch.products.evaluation.evaluate import compare, evaluate, score
from hpss_batch.products.evaluation.result import Comparison, Evaluation, Score, Settings
from hpss_batch.products.evaluation.scores import NAMES, Gram, Ratios, median
from hpss_batch.products.evaluation.truth import SOURCES, KnownStems, find_stems

SMALL = Settings(StftParams(256, 64), HpssParams((17, 17)))
HALF = 10 * np.log10(0.5)


def of(stem: list[float], other: list[float], estimate: list[float]) -> Ratios:
    return Gram.of(np.array([stem, other, estimate], np.float64)).ratios(2, stem=0, other=1)


def test_ratios_by_hand() -> None:
    # target 2·s, interference 1·o, artifacts 2·(third axis); s − ŝ = (−1, −1, −2)
    found = of([1, 0, 0], [0, 1, 0], [2, 1, 2])
    expected = [4 / (1 + 4), 1 / (1 + 1 + 4), 4 / 1, (4 + 1) / 4]
    np.testing.assert_allclose(found.values(), 10 * np.log10(expected))


def test_stems_need_not_be_orthogonal() -> None:
    # ŝ = o: its projection on s is s / 2 of o's energy; the rest lies in the span: interference, no artifacts
    found = of([1, 0], [1, 1], [1, 1])
    np.testing.assert_allclose(found.values(), [0, 0, 0, np.inf], atol=1e-9)


def test_a_gain_is_forgiven_by_all_but_sdr() -> None:
    found = of([1, 2], [3, -1], [2, 4])
    assert found.si_sdr == found.sir == found.sar == np.inf
    np.testing.assert_allclose(found.sdr, 0)


def test_silence() -> None:
    assert all(np.isnan(of([0, 0], [1, 2], [1, 1]).values()))
    assert of([1, 2], [0, 0], [1, 2]) == Ratios(np.inf, np.inf, np.inf, np.inf)
    np.testing.assert_allclose(of([1, 1], [0, 0], [1, 0]).values(), [0, 10 * np.log10(2), np.inf, 0])
    assert np.isnan(of([1, 1], [1, 0], [0, 0]).si_sdr)


def test_copies_span_one_dimension() -> None:
    np.testing.assert_allclose(of([1, 0], [2, 0], [1, 1]).values(), [0, 0, np.inf, 0], atol=1e-9)


signals = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).standard_normal((3, 40)))


@given(signals, st.integers(0, 40))
def test_parts_of_a_recording_add_up(three: np.ndarray, cut: int) -> None:
    parts = Gram.of(three[:, :cut]) + Gram.of(three[:, cut:])
    np.testing.assert_allclose(parts.products, Gram.of(three).products, atol=1e-12)


@given(signals)
def test_ratios_are_those_of_projections(three: np.ndarray) -> None:
    stem, other, estimate = three
    both = np.stack([stem, other], axis=1)
    onto_both = both @ np.linalg.lstsq(both, estimate)[0]
    target = stem * (stem @ estimate) / (stem @ stem)
    pairs = (
        (target, estimate - target),
        (stem, stem - estimate),
        (target, onto_both - target),
        (onto_both, estimate - onto_both),
    )
    expected = [10 * np.log10(np.sum(a**2) / np.sum(b**2)) for a, b in pairs]
    np.testing.assert_allclose(Gram.of(three).ratios(2, 0, 1).values(), expected, rtol=1e-6, atol=1e-6)


def test_medians_leave_out_silent_stems() -> None:
    nan = float("nan")
    found = median([Ratios(1, 2, 3, nan), Ratios(3, 4, float("inf"), nan), Ratios(nan, nan, nan, nan)])
    assert found.values()[:3] == (2, 3, float("inf"))
    assert np.isnan(found.sar)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two pieces: a stereo one of some blocks, with a mixture; a mono one without."""
    rng = np.random.default_rng(0)
    for name, seconds, channels in (("first", 3.0, 2), ("second", 1.0, 1)):
        folder = tmp_path / "truth" / name
        folder.mkdir(parents=True)
        tone = music(seconds, 22050, channels)
        clicks = 0.3 * rng.standard_normal(tone.shape) * (np.arange(len(tone)) % 4000 < 200)[:, None]
        tone, clicks = np.round(tone * 2**14) / 2**15, np.round(clicks * 2**14) / 2**15
        stems = {"harmonic": tone, "percussive": clicks}
        if name == "first":
            stems["mixture"] = tone + clicks
        for stem, samples in stems.items():
            sf.write(folder / f"{stem}.flac", samples, 22050, subtype="PCM_24")
    return tmp_path / "truth"


def test_pieces_are_found_by_pattern(truth: Path) -> None:
    pieces, _ = find_stems([truth])
    assert [piece.track for piece in pieces] == ["first", "second"]
    assert pieces[0].mixture == str(truth / "first" / "mixture.flac")
    assert pieces[1].mixture is None
    assert find_stems([truth / "first", truth / "second"]) == (pieces, {})
    assert find_stems([truth.parent], "truth/{track}/{stem}.flac") == (pieces, {})


def test_pieces_that_are_incomplete_are_refused(truth: Path) -> None:
    with pytest.raises(CorpusError, match="no file matches"):
        find_stems([truth], "{track}/{stem}.wav")
    with pytest.raises(ParameterError, match=r"allowed: a name with \{track\} and \{stem\}"):
        find_stems([truth], "{track}.flac")
    (truth.parent / "other").symlink_to(truth)
    with pytest.raises(CorpusError, match="are both the harmonic stem of first"):
        find_stems([truth, truth.parent / "other"])


def test_a_recording_that_lacks_a_stem_costs_no_other(truth: Path) -> None:
    (truth / "second" / "percussive.flac").unlink()
    assert evaluate(truth / "first", SMALL).scores == evaluate(truth, SMALL).scores
    lacking = f"has no percussive stem beside {truth}/second/harmonic.flac"
    assert evaluate([truth / "second", truth / "first"], SMALL).failed == {"second": lacking}
    done = CliRunner().invoke(main, ["evaluate", str(truth), "-o", str(truth.parent / "scores.csv")])
    assert (done.exit_code, f"1 not scored:\n  second: {lacking}\n" in done.output) == (1, True)
    (truth / "first" / "harmonic.flac").unlink()
    with pytest.raises(
        CorpusError, match=r"first has no harmonic stem beside .*; second has no percussive stem"
    ):
        evaluate(truth, SMALL)


@pytest.mark.parametrize("channels", ["mono", "all"])
def test_a_piece_in_blocks_is_the_whole_piece(
    truth: Path, channels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(SMALL.stft, SMALL.hpss, None, channels)  # type: ignore[arg-type]
    piece = find_stems([truth])[0][0]
    whole = score(piece, [settings])[settings]
    monkeypatch.setattr(evaluation, "BLOCK_SAMPLES", 10_001)
    for key, ratios in score(piece, [settings])[settings].ratios.items():
        np.testing.assert_allclose(ratios.values(), whole.ratios[key].values(), rtol=1e-6)


def test_scores_are_those_of_the_public_functions(truth: Path) -> None:
    piece = find_stems([truth])[0][1]
    stems = [sf.read(path, dtype="float32")[0] for path in (piece.harmonic, piece.percussive)]
    mixture = stems[0] + stems[1]
    spectrogram = stft(mixture, n_fft=256, hop_length=64)
    components = hpss(spectrogram, kernel_size=17)
    powers = [np.abs(stft(stem, n_fft=256, hop_length=64)) ** 2 for stem in stems]
    found = score(piece, [SMALL])[SMALL]
    assert found.seconds == 1.0
    for i, name in enumerate(("harmonic", "percussive")):
        estimates = {
            "mixture": mixture,
            "separated": istft(components[i], hop_length=64, length=len(mixture)),
            "ideal": istft(
                spectrogram * (powers[i] / np.maximum(sum(powers), 1e-30)), hop_length=64, length=len(mixture)
            ),
        }
        for estimate, samples in estimates.items():
            expected = Gram.of(np.stack([stems[i], stems[1 - i], samples])).ratios(2, 0, 1)
            np.testing.assert_allclose(
                found.ratios[name, estimate].values(), expected.values(), rtol=1e-3, atol=1e-3
            )


def test_separation_lies_between_the_mixture_and_the_ideal(truth: Path) -> None:
    counts = list[tuple[int, int]]()
    found = evaluate(truth, SMALL, progress=lambda *count: counts.append(count))
    assert counts == [(1, 2), (2, 2)]
    for component in ("harmonic", "percussive"):
        before, after, best = (found.median(component, e).si_sdr for e in ("mixture", "separated", "ideal"))
        assert before < after < best
        assert 0 < found.gain(component, "separated").si_sdr < found.gain(component, "ideal").si_sdr


def test_stems_that_differ_are_refused(truth: Path) -> None:
    first, second = find_stems([truth])[0]
    with pytest.raises(AudioError, match=r"x: its stems differ, 66150 samples .*; 22050 samples"):
        evaluate(KnownStems("x", first.harmonic, second.percussive), SMALL)


def test_a_recording_that_cannot_be_scored_costs_no_other(truth: Path) -> None:
    first, second = find_stems([truth])[0]
    found = evaluate([KnownStems("x", first.harmonic, second.percussive), second], SMALL)
    assert found.failed.keys() == {"x"}
    assert [score.track for score in found.scores] == ["second"]
    (truth / "first" / "harmonic.flac").write_bytes(b"fLaC, but no more of it")
    arguments = ["evaluate", str(truth), "-o", str(truth.parent / "scores.csv")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "1 not scored:\n  first: " in done.output
    assert (truth.parent / "scores.csv").read_text().count("second") == 6


def test_a_job_says_what_is_evaluated(truth: Path) -> None:
    sets = ["stft={n_fft: 256, hop_length: 64}", "hpss.kernel_size=17"]
    job = Job.from_command_line("music/", "out/", sets)
    assert evaluate(truth, job) == evaluate(truth, SMALL)


def test_scores_are_saved(truth: Path, tmp_path: Path) -> None:
    found = evaluate(truth, SMALL)
    found.save(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for row, wanted in zip(rows, found.table(), strict=True):
        assert row["track"] == wanted["track"]
        assert [float(row[name]) for name in NAMES] == [wanted[name] for name in NAMES]
    found.save(tmp_path / "x.json")
    document = json.loads((tmp_path / "x.json").read_text())
    assert document["settings"]["hpss"]["kernel_size"] == [17, 17]
    assert document["median"][0]["sar"] is None  # a mixture has no artifacts
    with pytest.raises(ParameterError, match=r"neither a \.csv nor a \.json"):
        found.save(tmp_path / "x.txt")
    with pytest.raises(ParameterError, match="is not a folder"):
        found.save(tmp_path / "no" / "x.csv")


def test_the_command(truth: Path, tmp_path: Path) -> None:
    given_ = [
        "evaluate",
        str(truth),
        "--set",
        "stft={n_fft: 256, hop_length: 64}",
        "--set",
        "hpss.margin=[1, 2]",
    ]
    result = CliRunner().invoke(main, [*given_, "-o", str(tmp_path / "x.csv")])
    assert result.exit_code == 0, result.output
    assert "2 recordings, 0:04 of audio; n_fft 256" in result.output
    assert "margin (1, 2)" in result.output
    for word in ("SI-SDR", "SDR", "SIR", "SAR", "mixture", "separated", "ideal mask", "first", "second"):
        assert word in result.output
    assert (tmp_path / "x.csv").exists()
    result = CliRunner().invoke(main, [*given_, "-o", str(tmp_path / "x.txt")])
    assert result.exit_code == 2
    assert "neither a .csv nor a .json" in result.output


def test_methods_are_scored_as_each_alone(truth: Path) -> None:
    found = compare(truth, ["librosa", "tuned", "banded"]).evaluations
    assert found == {name: evaluate(truth, name) for name in ("librosa", "tuned", "banded")}
    assert found["librosa"] == evaluate(truth)
    assert found["banded"].settings.stft.n_fft == 4096
    with pytest.raises(ParameterError, match="method is 'best'; allowed: librosa, tuned, banded"):
        compare(truth, ["best"])
    with pytest.raises(ParameterError, match="no method to score"):
        compare(truth, [])


def test_truth_is_read_once_for_each_transform(truth: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, ideals = list[str](), list[int]()

    class Counted(Recording):
        def __init__(self, path: str, **options: Any) -> None:
            opened.append(path)
            super().__init__(path, **options)

    ideal = evaluation._ideal
    monkeypatch.setattr(evaluation, "Recording", Counted)
    monkeypatch.setattr(evaluation, "_ideal", lambda *powers: ideals.append(1) or ideal(*powers))
    hard = Settings(SMALL.stft, HpssParams((5, 9), power=np.inf))
    compare(truth / "second", {"soft": SMALL, "hard": hard, "soft again": SMALL})
    assert (len(opened), len(ideals)) == (2, 1)
    compare(truth / "second", {"soft": SMALL, "hard": hard, "banded": "banded"})
    assert (len(opened), len(ideals)) == (2 + 4, 1 + 2)


def test_losses_by_hand() -> None:
    def evaluated(**si_sdr: tuple[float, float]) -> Evaluation:
        separated = {
            track: {(c, "separated"): Ratios(v, 0, 0, 0) for c, v in zip(SOURCES, both, strict=True)}
            for track, both in si_sdr.items()
        }
        return Evaluation(SMALL, tuple(Score(track, 1.0, ratios) for track, ratios in separated.items()))

    nan = float("nan")
    first = evaluated(a=(5, 1), b=(5, 1), c=(5, 1), drums=(nan, 4), silence=(nan, nan))
    other = evaluated(a=(3, 4), b=(6, -1), c=(2, 1), drums=(nan, 3.75), silence=(nan, nan))
    found = Comparison({"first": first, "other": other})
    assert list(found.losses("other").items()) == [("c", 1.5), ("b", 0.5), ("drums", 0.25)]
    assert found.losses("first") == {}


def test_each_row_has_its_method(truth: Path, tmp_path: Path) -> None:
    found = compare(truth, {"soft": SMALL, "of librosa": "librosa"})
    found.save(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == 12 * ["soft"] + 12 * ["of librosa"]
    assert [float(row["sdr"]) for row in rows] == [row["sdr"] for row in found.table()]
    found.save(tmp_path / "x.json")
    document = json.loads((tmp_path / "x.json").read_text())
    assert document["settings"]["soft"]["hpss"]["kernel_size"] == [17, 17]
    assert {row["method"] for row in document["median"]} == set(document["settings"])
    assert [row["method"] for row in document["pieces"]] == [row["method"] for row in rows]


def test_the_command_compares_methods(truth: Path, tmp_path: Path) -> None:
    def evaluate_by(*words: str, out: str) -> str:
        done = CliRunner().invoke(main, ["evaluate", str(truth), *words, "-o", str(tmp_path / out)])
        assert done.exit_code == 0, done.output
        return done.output

    said = evaluate_by("--method", "banded", "--method", "librosa", "--set", "hpss.margin=2", out="x.csv")
    found = compare(
        truth,
        {
            name: Job.from_command_line(truth, "out/", [f"hpss={{method: {name}, margin: 2}}"])
            for name in ("banded", "librosa")
        },
    )
    for name, n_fft in (("banded", 4096), ("librosa", 2048)):
        assert f"  {name}: n_fft {n_fft}" in said
        assert f"ideal {n_fft}" in said
    ((track, loss),) = found.losses("librosa").items()
    assert f"  librosa on 1 of 2: {track} by {loss:.1f} dB\n" in said
    assert (tmp_path / "x.csv").read_text().startswith("method,track,component,")
    found.save(tmp_path / "python.csv")
    assert (tmp_path / "python.csv").read_text() == (tmp_path / "x.csv").read_text()
    alone, default = (evaluate_by(*words, out="y.csv") for words in (["--method", "librosa"], []))
    assert alone == default
    assert (tmp_path / "y.csv").read_text().startswith("track,component,")
    done = CliRunner().invoke(main, ["evaluate", str(truth), "--method", "best"])
    assert (done.exit_code, "allowed: librosa, tuned, banded" in done.output) == (2, True)
