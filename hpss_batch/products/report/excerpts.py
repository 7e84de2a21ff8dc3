"""How does a stretch of a track look and sound: whole, harmonic, percussive?

Frames come from wherever they can be had (`spectra`), masks from the store, or they are computed. Pictures are PNGs of
256 colours, made here with nothing but zlib; sounds are FLAC, lossless, so that what one hears is the separation.
"""

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.framing import check_nola
from hpss_batch.dsp.methods import Method
from hpss_batch.errors import ParameterError
from hpss_batch.products.raster import Stretch, images, levels
from hpss_batch.products.report.measure import Meter
from hpss_batch.products.report.parts import flacs, parts_of, separated_by, waves_of, weights_of
from hpss_batch.runner.plan import Plan
from hpss_batch.store.arrays.schema import MASKS

SECONDS = 8.0
"""Length of an excerpt, where its track is not shorter."""

ROWS, COLUMNS = 200, 720
"""Pixels of a picture at most."""

RANGE_DB = 80.0
"""From the brightest point of the full picture down to the darkest that is distinguished."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a track.

    Attributes
    ----------
    start, seconds : float
        Where it lies in the track, and its length [s].
    lowest, highest : float
        Ends of the frequency axis [Hz].
    pictures : dict of str to bytes
        PNGs: of "full", "harmonic", "percussive" and, where margins leave one, "residual"; or of masks.
    sounds : dict of str to bytes
        FLACs of the same; empty where there is nothing to hear.
    note : str
        Why something is missing.
    title : str
        By what it was separated; empty for the run's own job.
    beside : Excerpt or None
        The same stretch by another method, without "full".
    """

    start: float
    seconds: float
    lowest: float
    highest: float
    pictures: dict[str, bytes]
    sounds: dict[str, bytes] = field(default_factory=dict)
    note: str = ""
    title: str = ""
    beside: "Excerpt | None" = None

    @property
    def ticks(self) -> dict[str, float]:
        """Round frequencies, and where on the axis they are: from 0, its lower end, to 1."""
        span = math.log(self.highest / self.lowest)
        round_ones = {"100 Hz": 100, "1 kHz": 1000, "10 kHz": 10_000}
        places = {words: math.log(hz / self.lowest) / span for words, hz in round_ones.items()}
        return {words: place for words, place in places.items() if 0.03 < place < 0.97}


class Cutter:
    """Cuts excerpts out of the tracks of a run directory.

    Parameters
    ----------
    plan : Plan
        Its job and catalog.
    meter : Meter
        What reads it.
    beside : Method, optional
        Whose separation is cut out, too.
    """

    def __init__(self, plan: Plan, meter: Meter, beside: Method | None = None) -> None:
        self.plan, self.meter, self.rate, self.beside = plan, meter, plan.shape.sample_rate, beside
        self.invertible = True
        try:
            check_nola(plan.stft)
        except ParameterError:
            self.invertible = False

    def cut(self, row: int) -> Excerpt:
        """The middle of a track."""
        state, hop = self.plan.catalog.states[row], self.plan.stft.hop_length
        n_frames = state.n_frames
        wanted = math.ceil(SECONDS * self.rate / hop) + 1  # k frames stand k - 1 hops apart
        first = max((n_frames - wanted) // 2, 0)
        stop = min(first + wanted, n_frames)
        heard = state.n_samples if stop - first == n_frames else (stop - first - 1) * hop
        length = min(round(SECONDS * self.rate), heard)
        times = (first * hop / self.rate, length / self.rate)
        stretch = Stretch(0, stop - first, self.plan.stft.frequencies(self.rate), ROWS, COLUMNS)
        held = self.meter.held(row, first, stop)
        if why := self.meter.spectra.why_not(row):
            note = f"Masks only: the spectrogram is not stored, and the audio {why}."
            pictures = _pictures({name: held[name] for name in MASKS if name in held}, stretch)
            return Excerpt(*times, *stretch.range, pictures, {}, note)
        parts = self._components(row, held, first, stop)
        excerpt = Excerpt(*times, *stretch.range, _pictures(parts, stretch))
        waves = self._waves(parts, length)
        if self.beside is None:
            return replace(excerpt, sounds=flacs([waves], self.rate)[0])
        other, its_waves = self._other(self.beside, row, first, length)
        sounds, its_sounds = flacs([waves, its_waves], self.rate)
        return replace(excerpt, sounds=sounds, beside=replace(other, sounds=its_sounds))

    def _components(self, row: int, held: Mapping[str, Array], first: int, stop: int) -> dict[str, Array]:
        """Full, harmonic, percussive and residual frames, shape (channel, frame, frequency)."""
        spectra, how = self.meter.spectra, self.plan.recipe.separation
        if set(MASKS) <= held.keys():
            return parts_of(spectra.frames(row, first, stop), [held[name] for name in MASKS])
        begin, n_frames = max(first - how.halo, 0), self.plan.catalog.states[row].n_frames
        wide = spectra.frames(row, begin, min(stop + how.halo, n_frames))
        whole = wide[:, first - begin : stop - begin]
        return parts_of(whole, weights_of(wide, how, first - begin, stop - begin))

    def _waves(self, parts: Mapping[str, Array], length: int) -> dict[str, Array]:
        """What an excerpt sounds like, where that can be had."""
        stft, k = self.plan.stft, parts["full"].shape[1]
        if not self.invertible or length < stft.n_fft:
            return {}
        return waves_of(parts, stft, 0, k, (0, length))

    def _other(self, method: Method, row: int, first: int, length: int) -> tuple[Excerpt, dict[str, Array]]:
        """The same stretch as another method has it, still without sounds; and these, as samples."""
        hop, spectra = self.plan.stft.hop_length, self.meter.spectra
        title, times = f"By {method.name}", (first * hop / self.rate, length / self.rate)
        if why := spectra.why_not(row, method.stft):
            note = f"Not separated by {method.name}, too: its spectrogram is not stored, and the audio {why}."
            return Excerpt(*times, 1.0, 1.0, {}, {}, note, title), {}
        parts, waves = separated_by(method, spectra, row, (first * hop, first * hop + length))
        n_frames = parts["full"].shape[1]
        stretch = Stretch(0, n_frames, method.stft.frequencies(self.rate), ROWS, COLUMNS)
        pictures = _pictures(parts, stretch)
        del pictures["full"], waves["full"]  # which is shown already
        return Excerpt(*times, *stretch.range, pictures, title=title), waves


def _pictures(parts: Mapping[str, Array], stretch: Stretch) -> dict[str, bytes]:
    """PNGs of parts, whose brightness is in decibels, or of masks."""
    power, _ = images({name: partial(_magnitudes, part) for name, part in parts.items()}, stretch)
    if "full" in power:
        shown = {name: 1 + level / RANGE_DB for name, level in levels(power).items()}
    else:
        shown = {name: np.sqrt(image) for name, image in power.items()}
    return {
        name: png((np.clip(image[::-1], 0, 1) * 255).astype(np.uint8), _RAMPS[name.split("_")[0]])
        for name, image in shown.items()
    }


def _magnitudes(part: Array, first: int, stop: int) -> Array:
    return np.abs(part[:, first:stop])


def png(pixels: NDArray[np.uint8], ramp: NDArray[np.uint8]) -> bytes:
    """A PNG (W3C, 2003) with a palette: `pixels`, shape (row, column), are indices into `ramp`, shape (256, 3)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            chunk(b"IHDR", header),
            chunk(b"PLTE", ramp.tobytes()),
            chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            chunk(b"IEND", b""),
        )
    )


def _ramp(*colours: str) -> NDArray[np.uint8]:
    stops = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in colours], float)
    at = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, i]) for i in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


_RAMPS = {
    "full": _ramp("100e17", "2b2350", "6a3a83", "b9567f", "ee8f6b", "fbe3b5"),
    "harmonic": _ramp("0b1016", "10303f", "15596b", "2b8f98", "7cc7b8", "ecfae8"),
    "percussive": _ramp("140f0c", "40200f", "83400f", "cc7417", "f2b155", "fff3d6"),
    "residual": _ramp("101013", "2a2a33", "53535f", "8a8a96", "c0c0c8", "f4f4f6"),
}
