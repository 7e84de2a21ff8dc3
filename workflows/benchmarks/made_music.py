"""Something like music, as long as you like, so that the benchmarks need no files: chords, a bass, drums, in stereo.

Played from a bank of notes and drum strokes, so that an hour takes seconds to make; encoding it takes longer.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

RATE = 44_100
BAR = 2 * RATE
TRACK_SECONDS = 240
BLOCK = 65_536  # libsndfile crashes when given minutes of Vorbis at once
CHORDS = ((0, 4, 7, 12), (9, 12, 16, 21), (5, 9, 12, 17), (7, 11, 14, 19))


@lru_cache(maxsize=64)
def note(semitones: int) -> np.ndarray:
    """Two seconds of a plucked string, `semitones` above A2."""
    t = np.arange(BAR) / RATE
    frequency = 110.0 * 2 ** (semitones / 12)
    tone = sum(np.sin(2 * np.pi * frequency * k * t + k) * np.exp(-0.8 * k * t) / k for k in range(1, 9))
    return (0.08 * tone * np.minimum(1, t / 0.01)).astype(np.float32)


@lru_cache(maxsize=64)
def stroke(kind: str, variant: int) -> np.ndarray:
    """A quarter of a second of drum: a kick, or noise that dies away slowly (snare) or fast (hat)."""
    t = np.arange(RATE // 4) / RATE
    if kind == "kick":
        return (0.5 * np.sin(2 * np.pi * (50 * t - 4 * np.exp(-30 * t))) * np.exp(-12 * t)).astype(np.float32)
    decay = {"snare": 20, "hat": 80}[kind]
    noise = np.random.default_rng(variant).standard_normal(t.size)
    return (0.12 * noise * np.exp(-decay * t)).astype(np.float32)


def bar(rng: np.random.Generator, chord: tuple[int, ...]) -> np.ndarray:
    """Two seconds of stereo, shape (BAR, 2)."""
    left, right = (0.001 * rng.standard_normal((2, BAR), np.float32)).astype(np.float32)
    for semitones in (chord[0] - 12, *chord):
        at, pan = rng.integers(0, BAR // 4), rng.uniform(0.2, 0.8)
        left[at:] += pan * note(semitones)[: BAR - at]
        right[at:] += (1 - pan) * note(semitones)[: BAR - at]
    for eighth in range(8):
        kind = {0: "kick", 2: "snare", 4: "kick", 6: "snare"}.get(eighth, "hat")
        at, sound = eighth * BAR // 8, stroke(kind, int(rng.integers(8)))
        left[at : at + sound.size] += sound
        right[at : at + sound.size] += 0.8 * sound
    return np.stack([left, right], axis=1)


def make(folder: Path, minutes: float, extension: str) -> Path:
    """Write tracks of four minutes into a folder, as many as it takes; the last one is shorter."""
    folder.mkdir(parents=True, exist_ok=True)
    remaining = max(1, round(minutes * 60 * RATE))
    number = 0
    while remaining:
        length = min(remaining, TRACK_SECONDS * RATE)
        rng = np.random.default_rng(number)
        with soundfile.SoundFile(folder / f"track_{number:03}.{extension}", "w", RATE, 2) as file:
            for at in range(0, length, BAR):
                played = bar(rng, CHORDS[at // BAR % len(CHORDS)])[: length - at]
                for first in range(0, len(played), BLOCK):
                    file.write(played[first : first + BLOCK])
        remaining -= length
        number += 1
    return folder
