"""Scores of separation against known stems."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from helpers import music
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch import hpss, istft, stft
from hpss_batch.cli import main
from hpss_batch.config.job import Job
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.stft import StftParams
from hpss_batch.errors import AudioError, CorpusError, ParameterError
from hpss_batch.products.evaluation import evaluate as evaluation
from hpss_batch.products.evaluation.evaluate import evaluate, score
from hpss_batch.products.evaluation.result import Settings
from hpss_batch.products.evaluation.scores import NAMES, Gram, Ratios, median
from hpss_batch.products.evaluation.truth import KnownStems, find_stems

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
    whole = score(piece, settings)
    monkeypatch.setattr(evaluation, "BLOCK_SAMPLES", 10_001)
    for key, ratios in score(piece, settings).ratios.items():
        np.testing.assert_allclose(ratios.values(), whole.ratios[key].values(), rtol=1e-6)


def test_scores_are_those_of_the_public_functions(truth: Path) -> None:
    piece = find_stems([truth])[0][1]
    stems = [sf.read(path, dtype="float32")[0] for path in (piece.harmonic, piece.percussive)]
    mixture = stems[0] + stems[1]
    spectrogram = stft(mixture, n_fft=256, hop_length=64)
    components = hpss(spectrogram, kernel_size=17)
    powers = [np.abs(stft(stem, n_fft=256, hop_length=64)) ** 2 for stem in stems]
    found = score(piece, SMALL)
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
