"""What are the frames of a track, and how are some of them had from a part of it?

`stft` is librosa's, in float32: within about 1e-6 of the largest bin, as librosa's own arithmetic is partly in
float64. `stft_frames` gives any run of frames from the samples that they touch; joined, such runs are, bit for
bit, the frames of the whole track, padded at its true ends and nowhere else. The way back is in `istft`, what
both share in `framing` and `fft`; from here all of it can be imported.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpss_batch.dsp.fft import Complex64, forward
from hpss_batch.dsp.framing import (
    Float32,
    context,
    librosa_params,
    window_of,
)
from hpss_batch.dsp.istft import check_nola, istft, istft_samples
from hpss_batch.dsp.params import StftParams, Window
from hpss_batch.errors import ParameterError

Int64 = npt.NDArray[np.int64]

__all__ = ["StftParams", "check_nola", "context", "istft", "istft_samples", "stft", "stft_frames"]


def stft_frames(
    samples: Float32,
    offset: int,
    n_samples: int | None,
    first: int,
    stop: int,
    params: StftParams,
    out: Complex64 | None = None,
) -> Complex64:
    """Frames ``[first, stop)`` of a mono track, from the part of it that is held.

    A frame's bits depend on the track and the parameters alone: not on which other frames are asked for, nor
    on how much of the track is held.

    Parameters
    ----------
    samples : float32, shape (n,)
        The track's samples ``[offset, offset + n)``: at least those of ``params.sample_span(first, stop)``,
        and `context` more on each side, as far as the track has them. Finite: this is not checked here.
    offset : int
        Index of the first sample held.
    n_samples : int or None
        The track's true length; None if it is known only that it goes on beyond what is held.
    first, stop : int
        Frames wanted; ``stop`` is at most ``params.n_frames(n_samples)``.
    params : StftParams
        How the track is cut.
    out : complex64, shape (stop - first, n_bins), optional
        Where to write, any strides.

    Returns
    -------
    complex64, shape (frame, bin)

    Raises
    ------
    ParameterError
        If the track has no such frames, or samples that they need are not held.
    """
    if n_samples is not None and stop > params.n_frames(n_samples):
        raise ParameterError(
            f"frames {first} to {stop} are wanted of a track of {n_samples} samples, "
            f"which has {params.n_frames(n_samples)}: give a smaller stop"
        )
    if first < 0 or stop < first:
        raise ParameterError(f"frames {first} to {stop}: give 0 <= first <= stop")
    if out is None:
        out = np.empty((stop - first, params.n_bins), np.complex64)
    elif out.shape != (stop - first, params.n_bins) or out.dtype != np.complex64:
        wanted = (stop - first, params.n_bins)
        raise ParameterError(f"out is {out.dtype} of shape {out.shape}: give complex64 of shape {wanted}")
    samples = np.ascontiguousarray(samples, np.float32)
    window = window_of(params)
    # Frames that lie within the track are views of it; only the few that reach past an end are padded.
    inner = min(stop, max(first, -(-params.pad // params.hop_length)))
    outer = stop
    if n_samples is not None:
        outer = max(inner, min(stop, (n_samples + params.pad - params.n_fft) // params.hop_length + 1))
    for a, b in ((first, inner), (inner, outer), (outer, stop)):
        if a < b:
            span = padded(samples, offset, n_samples, *params.sample_span(a, b), params.pad_mode)
            # Each frame is a view of the span, like numpy's sliding_window_view but for its 20 microseconds.
            rows = np.ndarray((b - a, params.n_fft), np.float32, span, 0, (4 * params.hop_length, 4))
            forward(rows, window, out[a - first : b - first])
    return out


def padded(
    held: Float32, offset: int, n_samples: int | None, start: int, stop: int, pad_mode: str
) -> Float32:
    """Samples [start, stop) of a track, padded at its true ends; a view of what is held where that will do.

    `held` are the track's samples from `offset` on. `n_samples` is None while no end is in sight.

    Raises
    ------
    ParameterError
        If samples that are needed are not held.
    """
    index = None
    low, high = start, stop
    if start < 0 or (n_samples is not None and stop > n_samples):
        index = _source(np.arange(start, stop), n_samples, pad_mode)
        real = index[index >= 0]
        low, high = (int(real.min()), int(real.max()) + 1) if real.size else (offset, offset)
    if low < offset or high > offset + held.size:
        raise ParameterError(
            f"samples {low} to {high} are needed, but {offset} to {offset + held.size} are held: "
            "hold params.sample_span of the frames, and context(params) more on each side"
        )
    if index is None:
        return held[start - offset : stop - offset]
    whole = np.zeros(index.size, np.float32)
    whole[index >= 0] = held[index[index >= 0] - offset]
    return whole


def _source(index: Int64, n_samples: int | None, pad_mode: str) -> Int64:
    """For each index, that within [0, n_samples) which `numpy.pad` would copy there; -1 stands for zero."""
    if n_samples is None:
        # No end in sight: none must be so near that something is reflected at it.
        n_samples = 2 * int(np.abs(index).max()) + 2
    if pad_mode == "constant":
        return np.where((index < 0) | (index >= n_samples), -1, index)
    if pad_mode == "edge" or n_samples == 1:
        return np.clip(index, 0, n_samples - 1)
    # "reflect" does not repeat the edge, "symmetric" does; tracks shorter than the padding reflect many times.
    repeated = int(pad_mode == "symmetric")
    period = 2 * (n_samples - 1 + repeated)
    index = index % period
    return np.minimum(index, period - repeated - index)


def stft(
    y: npt.ArrayLike,
    *,
    n_fft: int = 2048,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Window = "hann",
    center: bool = True,
    pad_mode: str = "constant",
) -> Complex64:
    """Short-time Fourier transform, as `librosa.stft`, in float32.

    Parameters
    ----------
    y : array_like, shape (..., n_samples)
        Audio; converted to float32.
    n_fft, hop_length, win_length, window, center, pad_mode
        As in `StftParams`; `hop_length` is a quarter of the window if None.

    Returns
    -------
    complex64, shape (..., n_bins, n_frames)
        Within about 1e-6 of librosa's, relative to the largest bin. No samples, no frames.

    Raises
    ------
    ParameterError
        If a parameter is not allowed, or `y` is not finite real audio.
    """
    params = librosa_params(n_fft, hop_length, win_length, window, center, pad_mode)
    audio = np.asarray(y)
    if audio.ndim == 0 or audio.dtype.kind not in "fiu":
        raise ParameterError(
            f"y is {audio.dtype} of shape {audio.shape}: give real audio of shape (..., n_samples)"
        )
    audio = audio.astype(np.float32, copy=False)
    if not np.isfinite(audio).all():
        raise ParameterError("y holds NaN or infinity: replace them, for instance by numpy.nan_to_num")
    n_samples = audio.shape[-1]
    n_frames = params.n_frames(n_samples)
    frames = np.empty((*audio.shape[:-1], n_frames, params.n_bins), np.complex64)
    for channel in np.ndindex(audio.shape[:-1]):
        stft_frames(audio[channel], 0, n_samples, 0, n_frames, params, out=frames[channel])
    return frames.swapaxes(-1, -2)
