"""What does a run look like, on music whose answer is known? A small corpus, made here, and the real thing run on it.

Each piece is the sum of two stems: plucked chords, a bass and a lead that is sung (harmonic), and a drum kit
(percussive), played by `instruments`. The pieces differ in tempo, key, sample rate, channels and format, and a fourth
file is damaged on purpose, to show what becomes of such a one. The stems are kept, so that `evaluate` can say how well
they were separated.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from hpss_batch.products.computed.corpus import open_corpus
from hpss_batch.products.demonstration.instruments import bass, clap, hat, kick, plucked, snare, voice
from hpss_batch.products.evaluation.evaluate import compare
from hpss_batch.products.evaluation.result import Comparison, Settings
from hpss_batch.products.evaluation.truth import SOURCES, KnownStems
from hpss_batch.runner.plan import Plan

Float32 = NDArray[np.float32]

DAMAGED = "damaged.flac"


@dataclass(frozen=True)
class Song:
    """A piece of the demonstration corpus.

    Attributes
    ----------
    name : str
        File name of the mixture.
    sample_rate, channels : int
        Of the file.
    tempo : float
        Beats a minute.
    root : float
        The key's tonic, in Hz.
    vowel : str
        What is sung.
    drums : sequence of str
        A bar in eighths: which drums are struck, k(ick), s(nare), c(lap), h(at), o(pen hat).
    bars : int
        Its length.
    """

    name: str
    sample_rate: int
    channels: int
    tempo: float
    root: float
    vowel: str
    drums: tuple[str, ...]
    bars: int


BALLAD = ("kh", "h", "sh", "h", "kh", "kh", "sh", "o")
GROOVE = ("kh", "h", "sch", "kh", "h", "kh", "sch", "o")
STUDY = ("k", "h", "c", "h", "k", "kh", "c", "h")

SONGS = (
    Song("ballad.flac", 44100, 2, 76, 110.0, "o", BALLAD, 4),
    Song("groove.ogg", 44100, 2, 116, 98.0, "a", GROOVE, 6),
    Song("study.wav", 22050, 1, 96, 130.81, "u", STUDY, 5),
)

CHORDS = ((0, 4, 7, 11), (-3, 0, 4, 9), (-7, 0, 5, 9), (-5, -1, 2, 7))
"""Semitones above the tonic, the bass's first: I, vi, IV, V."""

TUNES = ((16, 19, 23), (21, 19, 16), (17, 21, 24), (23, 19, 14))
"""What is sung over each chord, in semitones above the tonic."""

OTHER = "banded"
"""The method that the run's, librosa's, is compared with."""

LEVEL = -4.0
"""Of the drums against the rest, in dB."""


def example_corpus(folder: str | os.PathLike[str], *, damaged: bool = False) -> list[KnownStems]:
    """Write three pieces of music and their stems into two folders, where they are not there yet.

    Parameters
    ----------
    folder : path
        Where to put ``music/``, and ``truth/``, which `evaluate` reads.
    damaged : bool
        Also write a fourth file, of which two thirds are missing.

    Returns
    -------
    list of KnownStems
        The pieces with their stems, as they are to be scored.
    """
    folder = Path(folder)
    music, pieces = folder / "music", list[KnownStems]()
    music.mkdir(parents=True, exist_ok=True)
    for number, song in enumerate(SONGS):
        truth = folder / "truth" / Path(song.name).stem
        truth.mkdir(parents=True, exist_ok=True)
        paths = [*(truth / f"{component}.flac" for component in SOURCES), music / song.name]
        if not all(path.exists() for path in paths):
            harmonic, percussive = _stems(song, seed=number)
            scale = np.float32(0.8 / np.abs(harmonic + percussive).max())
            harmonic, percussive = harmonic * scale, percussive * scale
            for path, sound in zip(paths, (harmonic, percussive, harmonic + percussive), strict=True):
                if not path.exists():
                    sf.write(path, sound, song.sample_rate)
        pieces.append(KnownStems(song.name, *map(str, paths)))
    if damaged and not (music / DAMAGED).exists():
        whole = (music / SONGS[0].name).read_bytes()
        (music / DAMAGED).write_bytes(whole[: len(whole) // 3])
    return pieces


def score(pieces: list[KnownStems], plan: Plan) -> Comparison:
    """How well what a run does separates the stems, and how well `OTHER` would."""
    run = Settings(plan.stft, plan.recipe.hpss, plan.shape.sample_rate, plan.job.corpus.channels)
    other = replace(Settings.of(OTHER), sample_rate=run.sample_rate, channels=run.channels)
    return compare(pieces, {"librosa": run, OTHER: other})


def write_parts(folder: str | os.PathLike[str]) -> Path:
    """Write what each method makes of one piece, to listen to, where it is not there yet; the folder's path."""
    target = Path(folder, "listen")
    target.mkdir(parents=True, exist_ok=True)
    song = SONGS[1]
    for method in ("librosa", OTHER):
        paths = {part: target / f"{Path(song.name).stem}.{part}.{method}.flac" for part in SOURCES}
        if not all(path.exists() for path in paths.values()):
            job = {
                "corpus": {"channels": "all"},
                "hpss": {"method": method},
                "output": {"arrays": [*SOURCES]},
            }
            parts = open_corpus(Path(folder, "music", song.name), job).stems(song.name)
            for part, path in paths.items():
                sf.write(path, parts[part].values.T, song.sample_rate)
    return target


def _stems(song: Song, seed: int) -> tuple[Float32, Float32]:
    """Harmonic and percussive stem, shape (samples, channels)."""
    rng = np.random.default_rng(seed)
    n_samples = round(song.bars * 240 / song.tempo * song.sample_rate)
    harmonic = np.zeros((n_samples, song.channels), np.float32)
    percussive = np.zeros_like(harmonic)
    for seconds, pan, sound in _notes(song, rng):
        _add(harmonic, sound, seconds, song.sample_rate, pan)
    for seconds, pan, sound in _drums(song, rng):
        _add(percussive, sound, seconds, song.sample_rate, pan)
    level = 10 ** (LEVEL / 20) * harmonic.std() / percussive.std()
    return harmonic, percussive * np.float32(level)


def _add(stem: Float32, sound: Float32, seconds: float, sample_rate: int, pan: float) -> None:
    """Mix a sound in at a time, panned between two channels at equal power."""
    start = round(seconds * sample_rate)
    sound = sound[: max(len(stem) - start, 0)]
    gains = (1.0,) if stem.shape[1] == 1 else (np.cos(pan * np.pi / 2), np.sin(pan * np.pi / 2))
    for channel, gain in enumerate(gains):
        stem[start : start + len(sound), channel] += np.float32(gain) * sound


def _notes(song: Song, rng: np.random.Generator) -> Iterator[tuple[float, float, Float32]]:
    """Time, place between left and right, and sound: a bar's chord, broken twice, a bass on each beat, a tune."""
    beat, rate = 60 / song.tempo, song.sample_rate
    for bar in range(song.bars):
        chord, tune, begin = CHORDS[bar % len(CHORDS)], TUNES[bar % len(TUNES)], 4 * bar * beat
        for eighth, semitones in enumerate((*chord, chord[2], *chord[1:])):
            ring = min(8 - eighth, 5) * beat / 2
            pluck = plucked(song.root * 2 ** (semitones / 12), ring, rate, rng)
            yield begin + eighth * beat / 2, 0.3 + 0.05 * eighth, 0.5 * pluck
        for at in (0, 1.5, 2, 3):
            yield begin + at * beat, 0.5, 0.5 * bass(song.root / 2 * 2 ** (chord[0] / 12), beat, rate)
        notes = [song.root * 2 ** (semitones / 12) for semitones in tune]
        yield begin + beat / 2, 0.55, 0.45 * voice(notes, 3.25 * beat, rate, song.vowel)


def _drums(song: Song, rng: np.random.Generator) -> Iterator[tuple[float, float, Float32]]:
    """Time, place between left and right, and sound: struck in eighths, never twice alike."""
    beat, rate = 60 / song.tempo, song.sample_rate
    kit: dict[str, tuple[float, float, Callable[[], Float32]]] = {
        "k": (0.5, 1.0, lambda: kick(rate)),
        "s": (0.47, 0.7, lambda: snare(rate, rng)),
        "c": (0.55, 0.5, lambda: clap(rate, rng)),
        "h": (0.65, 0.3, lambda: hat(rate, rng)),
        "o": (0.65, 0.3, lambda: hat(rate, rng, is_open=True)),
    }
    for eighth in range(8 * song.bars):
        for drum in song.drums[eighth % 8]:
            pan, loudness, strike = kit[drum]
            yield eighth * beat / 2, pan, np.float32(loudness * rng.uniform(0.8, 1)) * strike()
