"""What does a run look like, on music whose answer is known? A small corpus, made here, and the real thing run on it.

Each piece is the sum of two stems: chords and a melody of decaying partials (harmonic), and a drum kit of sweeps and
filtered noise (percussive). The pieces differ in tempo, key, sample rate, channels and format, and a fourth file is
damaged on purpose, to show what becomes of such a one. The stems are kept, so that `evaluate` can say how well they
were separated.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from hpss_batch.products.evaluation.evaluate import evaluate
from hpss_batch.products.evaluation.result import Evaluation, Settings
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
        Lowest note, in Hz.
    seconds : float
        Its length.
    """

    name: str
    sample_rate: int
    channels: int
    tempo: float
    root: float
    seconds: float = 12.0


SONGS = (
    Song("ballad.flac", 44100, 2, tempo=72, root=110.0),
    Song("groove.ogg", 44100, 2, tempo=118, root=98.0),
    Song("study.wav", 22050, 1, tempo=96, root=130.81),
)

CHORDS = ((0, 4, 7, 11), (-3, 0, 4, 7), (-7, -3, 0, 4), (-5, -1, 2, 5))
"""Semitones above the root: I, vi, IV, V."""

MELODY = (12, 16, 19, 23, 21, 19, 16, 14)


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


def score(pieces: list[KnownStems], plan: Plan) -> Evaluation:
    """How well what a run does separates the stems."""
    settings = Settings(plan.stft, plan.recipe.hpss, plan.shape.sample_rate, plan.job.corpus.channels)
    return evaluate(pieces, settings)


def _stems(song: Song, seed: int) -> tuple[Float32, Float32]:
    """Harmonic and percussive stem, shape (samples, channels)."""
    rng = np.random.default_rng(seed)
    n_samples = round(song.seconds * song.sample_rate)
    harmonic = np.zeros((n_samples, song.channels), np.float32)
    percussive = np.zeros_like(harmonic)
    for seconds, sound in _notes(song):
        _add(harmonic, sound, seconds, song.sample_rate, pan=rng.uniform(0.3, 0.7))
    for seconds, sound in _drums(song, rng):
        _add(percussive, sound, seconds, song.sample_rate, pan=rng.uniform(0.4, 0.6))
    return harmonic, percussive * np.float32(0.6 * harmonic.std() / percussive.std() + 0.4)


def _add(stem: Float32, sound: Float32, seconds: float, sample_rate: int, pan: float) -> None:
    """Mix a sound in at a time, panned between two channels at equal power."""
    start = round(seconds * sample_rate)
    sound = sound[: max(len(stem) - start, 0)]
    gains = (1.0,) if stem.shape[1] == 1 else (np.cos(pan * np.pi / 2), np.sin(pan * np.pi / 2))
    for channel, gain in enumerate(gains):
        stem[start : start + len(sound), channel] += np.float32(gain) * sound


def _notes(song: Song) -> Iterator[tuple[float, Float32]]:
    """A chord a bar and a melody in half notes."""
    beat = 60 / song.tempo
    for bar in range(int(song.seconds / (4 * beat)) + 1):
        for semitones in CHORDS[bar % len(CHORDS)]:
            yield 4 * beat * bar, 0.2 * _tone(song, semitones, 4 * beat, partials=8)
    for note in range(int(song.seconds / (2 * beat)) + 1):
        yield 2 * beat * note, 0.25 * _tone(song, MELODY[note % len(MELODY)], 2 * beat, partials=5)


def _tone(song: Song, semitones: int, seconds: float, partials: int) -> Float32:
    """Partials below half the sample rate, with a soft attack and release, the higher the weaker."""
    t = np.arange(round(seconds * song.sample_rate)) / song.sample_rate
    frequency = song.root * 2 ** (semitones / 12)
    overtones = [k for k in range(1, partials + 1) if k * frequency < song.sample_rate / 2.2]
    wave = sum(np.sin(2 * np.pi * k * frequency * t) * np.exp(-0.4 * k * t) / k for k in overtones)
    envelope = np.minimum(1, t / 0.06) * np.minimum(1, (seconds - t) / 0.08)
    return np.asarray(wave * envelope, np.float32)


def _drums(song: Song, rng: np.random.Generator) -> Iterator[tuple[float, Float32]]:
    """Kick on one and three, snare on two and four, hi-hat on every eighth."""
    beat, rate = 60 / song.tempo, song.sample_rate

    def noise(seconds: float, decay: float) -> NDArray[np.float64]:
        t = np.arange(round(seconds * rate)) / rate
        return rng.standard_normal(len(t)) * np.exp(-t / decay)

    for eighth in range(int(song.seconds / beat * 2)):
        yield eighth * beat / 2, np.asarray(0.25 * np.diff(noise(0.08, 0.015)), np.float32)
        if eighth % 4 == 0:
            t = np.arange(round(0.25 * rate)) / rate
            sweep = np.sin(2 * np.pi * (50 * t + 6 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.06)
            yield eighth * beat / 2, np.asarray(1.2 * sweep, np.float32)
        if eighth % 4 == 2:
            yield eighth * beat / 2, np.asarray(0.6 * noise(0.2, 0.04), np.float32)
