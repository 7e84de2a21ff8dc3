"""What are the samples of a track whose frames are given, and how are some of them had from a few frames?

`istft` is librosa's, in float32. `istft_samples` gives any span of samples from the frames that touch it;
joined, such spans are, bit for bit, the whole track, because a sample is summed over its frames in one order,
earliest first, wherever the span begins:

    sample n  =  sum over frames t of  window * irfft(frame t)  at n  /  sum over frames t of  window² at n

(Griffin & Lim 1984). `check_nola` says whether the divisor is large enough everywhere.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hpss_batch.dsp.checks import whole
from hpss_batch.dsp.fft import Complex64, backward
from hpss_batch.dsp.framing import (
    Float32,
    check_nola,
    librosa_params,
    window_of,
)
from hpss_batch.dsp.params import StftParams, Window
from hpss_batch.errors import ParameterError

__all__ = ["check_nola", "istft", "istft_samples"]


def istft_samples(
    frames: Complex64,
    first: int,
    n_frames: int,
    start: int,
    stop: int,
    params: StftParams,
    out: Float32 | None = None,
) -> Float32:
    """Samples ``[start, stop)`` of the track that a spectrogram describes, from the frames that touch them.

    A sample's bits do not depend on the span in which it is asked for: blocks, joined, are the whole.

    Parameters
    ----------
    frames : complex64, shape (k, n_bins)
        Frames ``[first, first + k)``: at least those of ``params.frame_span(start, stop, n_frames)``.
    first : int
        Index of the first frame held.
    n_frames : int
        Frames of the whole track.
    start, stop : int
        Samples wanted, counted from the track's first. Where no frame reaches, they are 0.
    params : StftParams
        How the track was cut.
    out : float32, shape (stop - start,), optional
        Where to write.

    Returns
    -------
    float32, shape (stop - start,)

    Raises
    ------
    ParameterError
        If a frame that is needed is not held.

    References
    ----------
    Griffin & Lim, "Signal estimation from modified short-time Fourier transform", IEEE TASSP 32(2), 1984.
    """
    if out is None:
        out = np.empty(max(0, stop - start), np.float32)
    begin, end = params.frame_span(start, stop, n_frames)
    if begin < end and (begin < first or end > first + len(frames)):
        raise ParameterError(
            f"samples {start} to {stop} need frames {begin} to {end}, "
            f"but {first} to {first + len(frames)} are held: hold those of params.frame_span"
        )
    out[:] = 0
    hop = params.hop_length
    # Sums stand in rows of one hop: row r is what begins with frame r. A batch of frames completes as many rows;
    # the rest is carried over to the next.
    carried = np.zeros((-(-params.n_fft // hop), hop), np.float32)
    row = begin
    for pieces in backward(frames[begin - first : end - first], window_of(params)):
        total = np.zeros((len(pieces) + len(carried), hop), np.float32)
        total[: len(carried)] = carried
        _overlap_add(pieces, total)
        carried = total[len(pieces) :]
        _write(total[: len(pieces)], row, n_frames, params, out, start)
        row += len(pieces)
    _write(carried, row, n_frames, params, out, start)
    return out


def istft(
    stft_matrix: npt.ArrayLike,
    *,
    hop_length: int | None = None,
    win_length: int | None = None,
    n_fft: int | None = None,
    window: Window = "hann",
    center: bool = True,
    length: int | None = None,
) -> Float32:
    """Inverse of `stft`, as `librosa.istft`, in float32.

    Parameters
    ----------
    stft_matrix : array_like, shape (..., n_bins, n_frames)
        Spectrogram; converted to complex64.
    hop_length, win_length, n_fft, window, center
        As given to `stft`; `n_fft` is taken to be even if None.
    length : int, optional
        Samples wanted: the result is cut, or filled with zeros, to it.

    Returns
    -------
    float32, shape (..., n_samples)

    Raises
    ------
    ParameterError
        If a parameter is not allowed, or `stft_matrix` has another number of bins.
    """
    spectrogram = np.asarray(stft_matrix)
    if spectrogram.ndim < 2:
        raise ParameterError(f"stft_matrix has shape {spectrogram.shape}: give (..., n_bins, n_frames)")
    size = 2 * (spectrogram.shape[-2] - 1) if n_fft is None else n_fft
    params = librosa_params(size, hop_length, win_length, window, center, "constant")
    if spectrogram.shape[-2] != params.n_bins:
        raise ParameterError(
            f"stft_matrix has {spectrogram.shape[-2]} bins, but n_fft={params.n_fft} makes {params.n_bins}: "
            "give the n_fft that it was made with"
        )
    n_frames = spectrogram.shape[-1]
    if length is None:
        begin, end = params.sample_span(0, n_frames)
        n_samples = max(0, end - begin - 2 * params.pad)
    else:
        try:
            n_samples = whole(0)(length, {})
        except ValueError as error:
            raise ParameterError(
                f"length={length!r} is not allowed: give a whole number of at least 0"
            ) from error
    y = np.empty((*spectrogram.shape[:-2], n_samples), np.float32)
    for channel in np.ndindex(spectrogram.shape[:-2]):
        istft_samples(spectrogram[channel].T, 0, n_frames, 0, n_samples, params, out=y[channel])
    return y


def _overlap_add(pieces: Float32, total: Float32) -> None:
    """Add windowed frames to `total`, rows of one hop; to any sample the earliest frame first."""
    hop, n_fft = total.shape[1], pieces.shape[1]
    for begin in range((n_fft - 1) // hop * hop, -1, -hop):
        width = min(hop, n_fft - begin)
        total[begin // hop :][: len(pieces), :width] += pieces[:, begin : begin + width]


def _write(rows: Float32, first: int, n_frames: int, params: StftParams, out: Float32, start: int) -> None:
    """Divide complete sums, row 0 of which begins with frame `first`, by the window's; copy to where they belong.

    `out` begins with sample `start`.
    """
    n_parts = -(-params.n_fft // params.hop_length)
    row = 0
    while row < len(rows):
        # Frames here - j, j = newest to oldest, touch this row; away from the ends all of them do.
        here = first + row
        newest, oldest = max(0, here - n_frames + 1), min(n_parts - 1, here)
        stop = row + 1
        if newest == 0 and oldest == n_parts - 1:
            stop = min(len(rows), n_frames - first)
        rows[row:stop] /= _energy(params, newest, oldest)
        row = stop
    samples = rows.reshape(-1)
    at = first * params.hop_length - params.pad - start
    a, b = max(0, -at), min(samples.size, out.size - at)
    if a < b:
        out[at + a : at + b] = samples[a:b]


@lru_cache(maxsize=256)
def _energy(params: StftParams, newest: int, oldest: int) -> Float32:
    """Sum over hops `newest` to `oldest` of the squared window, shape (hop_length,); 1 where that is nothing."""
    hop = params.hop_length
    squares = np.zeros(-(-params.n_fft // hop) * hop)
    squares[: params.n_fft] = np.square(window_of(params), dtype=np.float64)
    energy = squares.reshape(-1, hop)[newest : oldest + 1].sum(axis=0).astype(np.float32)
    energy[energy <= np.finfo(np.float32).tiny] = 1
    return energy
