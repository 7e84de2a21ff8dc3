"""How does an instrument sound? Plucked strings, a bass, a voice, drums: from formulas, so that stems are known.

Each function gives one sound at a sample rate, float32 of shape (samples,), with a peak of about 1.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

VOWELS = {"a": (730, 1090, 2440), "o": (570, 840, 2410), "i": (270, 2290, 3010), "u": (300, 870, 2240)}
"""Formants of a voice [Hz]: Peterson & Barney (1952), the means of men."""


def plucked(frequency: float, seconds: float, rate: int, rng: np.random.Generator) -> Float32:
    """A string: noise in a loop as long as a period, through a mean of neighbours (Karplus & Strong, 1983)."""
    period = rate / frequency - 0.5  # half a sample is the mean's own delay
    delay, fraction = int(period), period % 1
    half_life = 0.5 + 220 / frequency
    taps = 0.5 ** (1 / (frequency * half_life)) * np.convolve([0.5, 0.5], [1 - fraction, fraction])
    wave = np.zeros(delay + 2 + round(seconds * rate))
    pick = lfilter([0.5], [1, -0.5], rng.uniform(-1, 1, delay))  # a soft one
    wave[2 : delay + 2] = pick - pick.mean()
    for begin in range(delay + 2, len(wave), delay):
        stop = min(begin + delay, len(wave))
        wave[begin:stop] = np.convolve(wave[begin - delay - 2 : stop - delay], taps, "valid")
    return _peak(wave[2:-delay] * _release(len(wave) - delay - 2, rate, 0.03))


def bass(frequency: float, seconds: float, rate: int) -> Float32:
    """A bass guitar's note: a few partials that die away, the higher the faster, after a soft attack."""
    t = np.arange(round(seconds * rate)) / rate
    wave = sum(
        np.sin(2 * np.pi * k * frequency * t) * np.exp(-(0.8 + 1.2 * k) * t) / k**1.2 for k in range(1, 9)
    )
    return _peak(wave * np.minimum(1, t / 0.008) * _release(len(t), rate, 0.04))


def voice(frequencies: list[float], seconds: float, rate: int, vowel: str) -> Float32:
    """A lead that is sung: pulses with vibrato, gliding from note to note, through a vowel's formants."""
    n = round(seconds * rate)
    t = np.arange(n) / rate
    steps = np.repeat(np.log2(frequencies), -(-n // len(frequencies)))[:n]
    glide = (
        lfilter([1 - np.exp(-1 / (0.03 * rate))], [1, -np.exp(-1 / (0.03 * rate))], steps - steps[0])
        + steps[0]
    )
    since = np.mod(t, seconds / len(frequencies))
    vibrato = 0.35 / 12 * np.sin(2 * np.pi * 5.6 * t) * np.minimum(1, since / 0.25)
    frequency = 2 ** (glide + vibrato)
    phase = 2 * np.pi * np.cumsum(frequency) / rate
    highest = int(min(0.45 * rate, 5000) / frequency.max())
    source: Float64 = np.sum([np.cos(k * phase) / k for k in range(1, highest + 1)], axis=0)
    wave = np.zeros(n)
    for gain, formant in zip((1, 0.6, 0.3), VOWELS[vowel], strict=True):
        wave += gain * _resonance(source, formant, 90, rate)
    return _peak(wave * np.minimum(1, t / 0.06) * _release(n, rate, 0.12))


def kick(rate: int) -> Float32:
    """A bass drum: a tone that falls from 150 to 48 Hz, and the beater."""
    t = np.arange(round(0.4 * rate)) / rate
    phase = 2 * np.pi * (48 * t + 102 * 0.035 * (1 - np.exp(-t / 0.035)))
    return _peak(np.sin(phase) * np.exp(-t / 0.11) + 0.4 * np.sin(2 * np.pi * 1800 * t) * np.exp(-t / 0.002))


def snare(rate: int, rng: np.random.Generator) -> Float32:
    """A snare drum: two modes of the head, and wires that rattle."""
    t = np.arange(round(0.3 * rate)) / rate
    head = sum(np.sin(2 * np.pi * f * t) * np.exp(-t / 0.05) for f in (185.0, 331.0))
    wires = _passed(rng.standard_normal(len(t)), (900, min(9000, 0.45 * rate)), rate) * np.exp(-t / 0.075)
    return _peak(0.35 * head + wires)


def hat(rate: int, rng: np.random.Generator, *, is_open: bool = False) -> Float32:
    """A hi-hat: noise above 6 kHz, short or, where it is open, long."""
    t = np.arange(round((0.35 if is_open else 0.09) * rate)) / rate
    noise = _passed(rng.standard_normal(len(t)), (min(6000, 0.3 * rate), 0.45 * rate), rate)
    return _peak(noise * np.exp(-t / (0.11 if is_open else 0.018)))


def clap(rate: int, rng: np.random.Generator) -> Float32:
    """Hands: four bursts of noise, a hundredth of a second apart, and the room."""
    t = np.arange(round(0.25 * rate)) / rate
    bursts = sum(np.exp(-np.maximum(t - at, 0) / 0.006) * (t >= at) for at in (0, 0.011, 0.021)) * (t < 0.035)
    envelope = bursts + (t >= 0.03) * np.exp(-np.maximum(t - 0.03, 0) / 0.05)
    return _peak(_passed(rng.standard_normal(len(t)), (800, min(4000, 0.45 * rate)), rate) * envelope)


def _peak(wave: Float64) -> Float32:
    return np.asarray(wave / max(np.abs(wave).max(), 1e-9), np.float32)


def _release(n: int, rate: int, seconds: float) -> Float64:
    """One, falling to zero at the end."""
    return np.minimum(1, np.arange(n, 0, -1) / (seconds * rate))


def _resonance(wave: Float64, frequency: float, width: float, rate: int) -> Float64:
    """Two poles at a frequency, with a bandwidth [Hz]."""
    radius = np.exp(-np.pi * width / rate)
    poles = [1, -2 * radius * np.cos(2 * np.pi * frequency / rate), radius**2]
    return np.asarray(lfilter([sum(poles)], poles, wave))


def _passed(wave: Float64, band: tuple[float, float], rate: int) -> Float64:
    """What lies in a band [Hz]."""
    return np.asarray(sosfilt(butter(2, band, "bandpass", fs=rate, output="sos"), wave))
