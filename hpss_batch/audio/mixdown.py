"""What is done to decoded samples before anybody sees them? Channels are mixed, and nonsense is refused."""

import numpy as np
from numpy.typing import NDArray

from hpss_batch.errors import AudioError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

LARGEST = np.float32(1e10)
"""The largest sample that is believed: 32-bit integers kept as floats reach 2.1e9, and the squared magnitude of a
million samples of this size is still a float32."""


def mix(interleaved: Float32, out: Float32) -> None:
    """Write the mean of channels, or every channel, of samples as files hold them.

    Parameters
    ----------
    interleaved : array, shape (samples, channels)
        As decoded.
    out : array, shape (1, samples) or (channels, samples)
        Where to: one row gets the mean.
    """
    n_channels = interleaved.shape[1]
    if out.shape[0] == n_channels:
        out[:] = interleaved.T
        return
    # adding columns is many times as fast as a mean along the rows, and adds in the order of channels, as NumPy does
    with np.errstate(over="ignore", invalid="ignore"):
        mono = out[0]
        np.add(interleaved[:, 0], interleaved[:, 1], out=mono)
        for channel in range(2, n_channels):
            np.add(mono, interleaved[:, channel], out=mono)
        np.divide(mono, np.float32(n_channels), out=mono)


CANCELLED, FAINT = 1e-4, 1e-6
"""What is left of channels' mean energy in their mean where they are said to cancel each other, at most (−40 dB: of n
channels that have nothing to do with one another, 1/n is left); and the mean square that they have, at least (−60 dB of
full scale: what is fainter has two or three steps of 16 bits, which may fall out in any way)."""


def energies(interleaved: Float32, mono: Float32) -> Float64:
    """Energy of the mean of channels, mean energy of the channels, and samples: what adds up from piece to piece.

    Parameters
    ----------
    interleaved : array, shape (samples, channels)
        As decoded.
    mono : array, shape (samples,)
        Their mean.
    """
    flat = interleaved.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array([mono @ mono, flat @ flat / interleaved.shape[1], len(mono)])


def cancel(found: Float64) -> bool:
    """Whether channels of such `energies` cancel each other in their mean, as those in opposite phase do."""
    mean, channels, n_samples = found
    return bool(channels > FAINT * n_samples and mean <= CANCELLED * channels)


LOUDEST = np.float32(16)
"""The largest sample that is believed of MP3, Vorbis and Opus, where full scale is 1. The loudest input that there is,
noise of full scale, comes back from the lowest bit rates with 4.1; damaged files come back with hundreds and more."""


def check_samples(samples: Float32, start: int, sample_rate: int, largest: np.float32 = LARGEST) -> None:
    """Raise `AudioError` where samples hold what no spectrum can be computed of: NaN, infinity, absurd values.

    Parameters
    ----------
    samples : array, shape (channels, samples)
        At least one sample.
    start, sample_rate : int
        Where they begin in the track, to say where the trouble is.
    largest : float32
        The largest sample that is believed.
    """
    # two passes over what is in the cache; comparisons with NaN are false, and so NaN fails
    with np.errstate(invalid="ignore"):
        if samples.min() >= -largest and samples.max() <= largest:
            return
        bad = ~(np.abs(samples) <= largest)
    at = int(np.argmax(bad.any(axis=0)))
    value = samples[:, at][bad[:, at]][0]
    what = "NaN (not a number)" if np.isnan(value) else f"a sample of {value:.3g}"
    raise AudioError(
        f"holds {what} at {(start + at) / sample_rate:.3f} s; finite samples up to {largest:.3g} are allowed; "
        "repair or replace the recording"
    )
