"""What does a run look like, on music whose answer is known? A small corpus, made here, and the real thing run on it.

Each piece is the sum of two stems: chords and a melody of decaying partials (harmonic), and a drum kit of sweeps and
filtered noise (percussive). The pieces differ in tempo, key, sample rate, channels and format, and a fourth file is
damaged on purpose, to show what becomes of such a one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from hpss_batch.dsp.stft import stft
from hpss_batch.store.corpus import Corpus

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

DAMAGED = "damaged.flac"


@dataclass(frozen=True)
class Piece:
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


PIECES = (
    Piece("ballad.flac", 44100, 2, tempo=72, root=110.0),
    Piece("groove.ogg", 44100, 2, tempo=118, root=98.0),
    Piece("study.wav", 22050, 1, tempo=96, root=130.81),
)

CHORDS = ((0, 4, 7, 11), (-3, 0, 4, 7), (-7, -3, 0, 4), (-5, -1, 2, 5))
"""Semitones above the root: I, vi, IV, V."""

MELODY = (12, 16, 19, 23, 21, 19, 16, 14)


def make_corpus(folder: Path) -> dict[str, tuple[Float32, Float32]]:
    """Write the pieces and a damaged file into a folder, where they are not there yet.

    Returns
    -------
    dict
        For each piece its harmonic and percussive stem, float32 of shape (samples,), mixed to mono.
    """
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for number, piece in enumerate(PIECES):
        harmonic, percussive = _stems(piece, seed=number)
        scale = np.float32(0.8 / np.abs(harmonic + percussive).max())
        harmonic, percussive = harmonic * scale, percussive * scale
        truth[piece.name] = (harmonic.mean(axis=1), percussive.mean(axis=1))
        if not (folder / piece.name).exists():
            sf.write(folder / piece.name, harmonic + percussive, piece.sample_rate)
    if not (folder / DAMAGED).exists():
        whole = (folder / PIECES[0].name).read_bytes()
        (folder / DAMAGED).write_bytes(whole[: len(whole) // 3])
    return truth


def _stems(piece: Piece, seed: int) -> tuple[Float32, Float32]:
    """Harmonic and percussive stem, shape (samples, channels)."""
    rng = np.random.default_rng(seed)
    n_samples = round(piece.seconds * piece.sample_rate)
    harmonic = np.zeros((n_samples, piece.channels), np.float32)
    percussive = np.zeros_like(harmonic)
    for seconds, sound in _notes(piece):
        _add(harmonic, sound, seconds, piece.sample_rate, pan=rng.uniform(0.3, 0.7))
    for seconds, sound in _drums(piece, rng):
        _add(percussive, sound, seconds, piece.sample_rate, pan=rng.uniform(0.4, 0.6))
    return harmonic, percussive * np.float32(0.6 * harmonic.std() / percussive.std() + 0.4)


def _add(stem: Float32, sound: Float32, seconds: float, sample_rate: int, pan: float) -> None:
    """Mix a sound in at a time, panned between two channels at equal power."""
    start = round(seconds * sample_rate)
    sound = sound[: max(len(stem) - start, 0)]
    gains = (1.0,) if stem.shape[1] == 1 else (np.cos(pan * np.pi / 2), np.sin(pan * np.pi / 2))
    for channel, gain in enumerate(gains):
        stem[start : start + len(sound), channel] += np.float32(gain) * sound


def _notes(piece: Piece) -> Iterator[tuple[float, Float32]]:
    """A chord a bar and a melody in half notes."""
    beat = 60 / piece.tempo
    for bar in range(int(piece.seconds / (4 * beat)) + 1):
        for semitones in CHORDS[bar % len(CHORDS)]:
            yield 4 * beat * bar, 0.2 * _tone(piece, semitones, 4 * beat, partials=8)
    for note in range(int(piece.seconds / (2 * beat)) + 1):
        yield 2 * beat * note, 0.25 * _tone(piece, MELODY[note % len(MELODY)], 2 * beat, partials=5)


def _tone(piece: Piece, semitones: int, seconds: float, partials: int) -> Float32:
    """Partials below half the sample rate, with a soft attack and release, the higher the weaker."""
    t = np.arange(round(seconds * piece.sample_rate)) / piece.sample_rate
    frequency = piece.root * 2 ** (semitones / 12)
    overtones = [k for k in range(1, partials + 1) if k * frequency < piece.sample_rate / 2.2]
    wave = sum(np.sin(2 * np.pi * k * frequency * t) * np.exp(-0.4 * k * t) / k for k in overtones)
    envelope = np.minimum(1, t / 0.06) * np.minimum(1, (seconds - t) / 0.08)
    return np.asarray(wave * envelope, np.float32)


def _drums(piece: Piece, rng: np.random.Generator) -> Iterator[tuple[float, Float32]]:
    """Kick on one and three, snare on two and four, hi-hat on every eighth."""
    beat, rate = 60 / piece.tempo, piece.sample_rate

    def noise(seconds: float, decay: float) -> NDArray[np.float64]:
        t = np.arange(round(seconds * rate)) / rate
        return rng.standard_normal(len(t)) * np.exp(-t / decay)

    for eighth in range(int(piece.seconds / beat * 2)):
        yield eighth * beat / 2, np.asarray(0.25 * np.diff(noise(0.08, 0.015)), np.float32)
        if eighth % 4 == 0:
            t = np.arange(round(0.25 * rate)) / rate
            sweep = np.sin(2 * np.pi * (50 * t + 6 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.06)
            yield eighth * beat / 2, np.asarray(1.2 * sweep, np.float32)
        if eighth % 4 == 2:
            yield eighth * beat / 2, np.asarray(0.6 * noise(0.2, 0.04), np.float32)


@dataclass(frozen=True)
class Score:
    """How well a component matches the stem that it should be, in decibels; larger is better.

    Attributes
    ----------
    component : str
        "harmonic" or "percussive".
    before, after : float
        Signal-to-distortion ratio of the mixture, and of the mixture times its mask, against the stem.
    """

    component: str
    before: float
    after: float


def score(corpus: Corpus, piece: Piece, stems: tuple[Float32, Float32]) -> list[Score]:
    """Compare masks with what the stems say: the ratio of a stem's energy to that of the error, in dB.

    Parameters
    ----------
    corpus : Corpus
        A finished run.
    piece : Piece
        Which of its tracks.
    stems : pair of ndarray of float32, shape (samples,)
        Harmonic and percussive stem, at the piece's sample rate.
    """
    settings = corpus.dataset.attrs["job"]["stft"]
    harmonic, percussive = (
        stft(soxr.resample(stem, piece.sample_rate, corpus.sample_rate), **settings) for stem in stems
    )
    mixture = harmonic + percussive
    scores = []
    for component, stem in (("harmonic", harmonic), ("percussive", percussive)):
        mask = corpus[piece.name][f"{component}_mask"].isel(channel=0).transpose("frequency", "frame").values
        frames = slice(0, min(mask.shape[1], stem.shape[1]))
        wanted, mixed = stem[:, frames], mixture[:, frames]
        scores.append(Score(component, _ratio(wanted, mixed), _ratio(wanted, mixed * mask[:, frames])))
    return scores


def _ratio(wanted: Complex64, found: Complex64) -> float:
    return float(10 * np.log10(np.sum(np.abs(wanted) ** 2) / np.sum(np.abs(wanted - found) ** 2)))
