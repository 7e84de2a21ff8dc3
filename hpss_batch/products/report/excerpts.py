"""How does a stretch of a track look and sound: whole, harmonic, percussive?

Frames come from wherever they can be had (`spectra`), masks from the store, or they are computed. Pictures are PNGs of
256 colours, made here with nothing but zlib; sounds are FLAC, lossless, so that what one hears is the separation.
"""

import io
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from hpss_batch.dsp.hpss import masks
from hpss_batch.dsp.stft import check_nola, istft_samples
from hpss_batch.errors import ParameterError
from hpss_batch.products.report.measure import Meter
from hpss_batch.runner.plan import Plan
from hpss_batch.store.schema import MASKS

SECONDS = 8.0
"""Length of an excerpt, where its track is not shorter."""

ROWS, COLUMNS = 200, 720
"""Pixels of a picture at most."""

LOWEST_HZ = 40.0
"""Where the logarithmic axis begins."""

RANGE_DB = 80.0
"""From the brightest point of the whole spectrogram down to the darkest that is told apart."""

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
    """

    start: float
    seconds: float
    lowest: float
    highest: float
    pictures: dict[str, bytes]
    sounds: dict[str, bytes] = field(default_factory=dict)
    note: str = ""


class Cutter:
    """Cuts excerpts out of the tracks of a run directory.

    Parameters
    ----------
    plan : Plan
        Its job and catalog.
    meter : Meter
        What reads it.
    """

    def __init__(self, plan: Plan, meter: Meter) -> None:
        self.plan, self.meter, self.rate = plan, meter, plan.shape.sample_rate
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
        lowest, highest = min(LOWEST_HZ, self.rate / 8), self.rate / 2
        held = self.meter.held(row, first, stop)
        if why := self.meter.spectra.why_not(row):
            note = f"Masks only: the spectrogram is not stored, and the audio {why}."
            pictures = {
                name: picture(held[name][0], self.rate, lowest, _RAMPS[name.split("_")[0]], linear=True)
                for name in MASKS
                if name in held
            }
            return Excerpt(*times, lowest, highest, pictures, {}, note)
        parts = self._components(row, held, first, stop)
        loudest = float(np.abs(parts["full"]).max(initial=0)) or 1.0
        pictures = {
            name: picture(np.abs(part).max(axis=0) / loudest, self.rate, lowest, _RAMPS[name])
            for name, part in parts.items()
        }
        return Excerpt(*times, lowest, highest, pictures, self._sounds(parts, length))

    def _components(self, row: int, held: Mapping[str, Array], first: int, stop: int) -> dict[str, Array]:
        """Full, harmonic, percussive and residual frames, shape (channel, frame, frequency)."""
        spectra, params = self.meter.spectra, self.plan.job.hpss
        if set(MASKS) <= held.keys():
            whole = spectra.frames(row, first, stop)
            weights = [held[name] for name in MASKS]
        else:
            begin, n_frames = max(first - params.halo, 0), self.plan.catalog.states[row].n_frames
            wide = spectra.frames(row, begin, min(stop + params.halo, n_frames))
            whole = wide[:, first - begin : stop - begin]
            pairs = [masks(np.abs(one), params, start=first - begin, stop=stop - begin) for one in wide]
            weights = [np.stack([pair[i] for pair in pairs]) for i in range(2)]
        parts = {"full": whole, "harmonic": whole * weights[0], "percussive": whole * weights[1]}
        rest = whole - parts["harmonic"] - parts["percussive"]
        if np.abs(rest).max(initial=0) > 1e-2 * np.abs(whole).max(initial=0):
            parts["residual"] = rest
        return parts

    def _sounds(self, parts: Mapping[str, Array], length: int) -> dict[str, bytes]:
        """All at one gain, so that they can be compared by ear; the first two channels."""
        stft, k = self.plan.stft, parts["full"].shape[1]
        if not self.invertible or length < stft.n_fft:
            return {}
        waves = {
            name: np.stack(
                [
                    istft_samples(np.ascontiguousarray(one, np.complex64), 0, k, 0, length, stft)
                    for one in part[:2]
                ],
                axis=1,
            )
            for name, part in parts.items()
        }
        gain = np.float32(0.99 / max(0.99, *(float(np.abs(wave).max()) for wave in waves.values())))
        n_fade = round(0.02 * self.rate)
        fade = np.interp(np.arange(length), [0, n_fade, length - n_fade, length], [0, 1, 1, 0])
        return {
            name: _flac(wave * (gain * fade[:, None]).astype(np.float32), self.rate)
            for name, wave in waves.items()
        }


def _flac(samples: NDArray[np.float32], rate: int) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def picture(
    values: Array, rate: float, lowest: float, ramp: NDArray[np.uint8], *, linear: bool = False
) -> bytes:
    """A PNG of values over time and logarithmic frequency.

    Parameters
    ----------
    values : array (frame, frequency)
        Magnitudes, 1 the brightest (or weights, with `linear`).
    rate : float
        Sample rate [Hz].
    lowest : float
        Lower end of the frequency axis [Hz]; its upper end is half the sample rate.
    ramp : uint8 array (256, 3)
        Colours.
    """
    width = min(COLUMNS, len(values))
    borders = np.linspace(0, len(values), width + 1).astype(int)[:-1]
    columns = np.maximum.reduceat(values, borders, axis=0)
    n_bins = values.shape[1]
    edges = np.geomspace(lowest, rate / 2, ROWS + 1) * (n_bins - 1) / (rate / 2)
    rows = np.empty((ROWS, width))
    for i, (a, b) in enumerate(pairwise(edges)):
        low, high = int(np.ceil(a)), int(np.floor(b))
        if high > low:
            rows[i] = columns[:, low : high + 1].max(axis=1)
        else:  # between two bins
            at = min((a + b) / 2, n_bins - 1.000001)
            low = int(at)
            rows[i] = columns[:, low] * (low + 1 - at) + columns[:, low + 1] * (at - low)
    if not linear:
        rows = 1 + 20 * np.log10(np.maximum(rows, 1e-9)) / RANGE_DB
    return png((np.clip(rows[::-1], 0, 1) * 255).astype(np.uint8), ramp)


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
