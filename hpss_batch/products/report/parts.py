"""What are the parts of a stretch of a track, as frames and as sounds: whole, harmonic, percussive, residual?"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from hpss_batch.dsp.hpss import masks
from hpss_batch.dsp.kernels.magnitude import joint_magnitude
from hpss_batch.dsp.methods import Method
from hpss_batch.dsp.separation import Grid, Separation, separation
from hpss_batch.dsp.stft import StftParams, istft_samples
from hpss_batch.products.spectra import Spectra

Array = NDArray[Any]
Parts = dict[str, Array]


def weights_of(frames: Array, how: Separation, first: int, stop: int) -> list[Array]:
    """Both masks of some of the frames (channel, frame, frequency) that are held, the others being context."""
    magnitudes = [np.abs(one) for one in frames]
    if how.joint:
        magnitudes = [joint_magnitude(magnitudes)]
    pairs = [masks(one, how, start=first, stop=stop) for one in magnitudes]
    return [np.stack([pair[i] for pair in pairs]) for i in range(2)]


def parts_of(whole: Array, weights: Sequence[Array]) -> Parts:
    """Full, harmonic, percussive and, where something is left, residual frames."""
    parts = {"full": whole, "harmonic": whole * weights[0], "percussive": whole * weights[1]}
    rest = whole - parts["harmonic"] - parts["percussive"]
    if np.abs(rest).max(initial=0) > 1e-2 * np.abs(whole).max(initial=0):
        parts["residual"] = rest
    return parts


def waves_of(
    parts: Mapping[str, Array], stft: StftParams, first: int, n_frames: int, span: tuple[int, int]
) -> Parts:
    """Parts as samples (sample, channel), of the first two channels.

    Parameters
    ----------
    parts
        By name, frames from `first` on, shape (channel, frame, frequency).
    stft, n_frames
        How the track was cut into frames, and how many it has.
    span
        The samples wanted.
    """
    return {
        name: np.stack(
            [
                istft_samples(np.ascontiguousarray(one, np.complex64), first, n_frames, *span, stft)
                for one in part[:2]
            ],
            axis=1,
        )
        for name, part in parts.items()
    }


def separated_by(method: Method, spectra: Spectra, row: int, span: tuple[int, int]) -> tuple[Parts, Parts]:
    """A stretch of a track, from sample to sample, as a method separates it, with its own transform.

    Returns
    -------
    parts, waves
        As `parts_of` has them, of the frames whose middle lies in the stretch; as `waves_of`.
    """
    stft, how = method.stft, separation(method.hpss, Grid.of(method.stft, spectra.rate))
    n_frames = stft.n_frames(spectra.catalog.states[row].n_samples)
    first, stop = stft.frame_span(*span, n_frames)
    begin = max(first - how.halo, 0)
    frames = spectra.frames(row, begin, min(stop + how.halo, n_frames), stft)
    weights = weights_of(frames, how, first - begin, stop - begin)
    parts = parts_of(frames[:, first - begin : stop - begin], weights)
    waves = waves_of(parts, stft, first, n_frames, span)
    inner = slice(-(-span[0] // stft.hop_length) - first, span[1] // stft.hop_length + 1 - first)
    return {name: part[:, inner] for name, part in parts.items()}, waves


def flacs(waves: Sequence[Mapping[str, Array]], rate: int) -> list[dict[str, bytes]]:
    """Sounds of the same stretch, all at one gain, so that they can be compared by ear."""
    peaks = (float(np.abs(wave).max(initial=0)) for group in waves for wave in group.values())
    gain = np.float32(0.99 / max(0.99, *peaks, 0.0))
    return [{name: _flac(wave, gain, rate) for name, wave in group.items()} for group in waves]


def _flac(wave: Array, gain: np.float32, rate: int) -> bytes:
    length, n_fade = len(wave), round(0.02 * rate)
    fade = np.interp(np.arange(length), [0, n_fade, length - n_fade, length], [0, 1, 1, 0])
    buffer = io.BytesIO()
    samples = wave * (gain * fade[:, None]).astype(np.float32)
    sf.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
