"""What does a frame see of a track: which samples, beyond the track's ends too, through which window?

`StftParams` says where frames lie. What lies before the first sample and after the last is padding.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hpss_batch.dsp.params import StftParams, Window
from hpss_batch.errors import ParameterError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


def librosa_params(
    n_fft: int, hop_length: int | None, win_length: int | None, window: Window, center: bool, pad_mode: str
) -> StftParams:
    """Parameters as librosa takes them: hop_length is a quarter of the window by default."""
    if hop_length is None:
        hop_length = max(1, (n_fft if win_length is None else win_length) // 4)
    return StftParams(n_fft, hop_length, win_length, window, center, pad_mode)


def context(params: StftParams) -> int:
    """Samples beyond ``params.sample_span``, on each side, that padding by reflection may look at.

    A frame that reaches n_fft // 2 samples past an end holds as many on this side of it, save the one more
    that "reflect" needs because it does not repeat the last.
    """
    return 1 if params.center and params.pad_mode == "reflect" else 0


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


def smallest_overlap(params: StftParams) -> float:
    """Least sum of squared windows that a sample of any track may get, relative to the largest square.

    Sample n of a track with centred frames lies less than one hop after the middle of frame n // hop_length;
    near the track's ends that frame may be the only one to see it. Errors of a spectrogram grow by one over the
    root of this number.
    """
    squares = np.square(window_of(params), dtype=np.float64)
    nearest = squares[params.pad : params.pad + params.hop_length]
    return float(nearest.min() / squares.max()) if len(nearest) == params.hop_length else 0.0


def check_nola(params: StftParams, tolerance: float = 1e-4) -> None:
    """Refuse parameters whose spectrogram does not determine every sample: NOLA, at a track's ends as well.

    Raises
    ------
    ParameterError
        If frames are not centred, or some sample is seen through (almost) no window: see `smallest_overlap`.
    """
    if not params.center:
        raise ParameterError(
            "center=False leaves a track's ends without frames: give center=True to make audio"
        )
    if smallest_overlap(params) < tolerance:
        win_length = params.win_length or params.n_fft
        raise ParameterError(
            f"hop_length={params.hop_length} with window={params.window!r} of {win_length} samples leaves samples "
            "that no frame sees well enough to make audio from them (NOLA, at a track's ends as well): "
            f"give a smaller hop_length, for instance {max(1, win_length // 4)}"
        )


@lru_cache(maxsize=64)
def window_of(params: StftParams) -> Float32:
    """The window in the middle of n_fft samples; shared, hence read-only."""
    win_length = params.win_length or params.n_fft
    before = (params.n_fft - win_length) // 2
    whole = np.zeros(params.n_fft, np.float32)
    whole[before : before + win_length] = window_weights(params.window, win_length)
    whole.setflags(write=False)
    return whole


@lru_cache(maxsize=64)
def window_weights(window: Window, win_length: int) -> Float64:
    """The window itself, or an error if SciPy has none of that name, those parameters and that length."""
    remedy = "give one that scipy.signal.get_window knows, such as 'hann' or ('kaiser', 14.0)"
    try:
        weights = _get_window(window, win_length)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ParameterError(f"window={window!r} is not allowed ({error}): {remedy}") from error
    if not np.isfinite(weights).all() or not weights.any():
        raise ParameterError(f"window={window!r} of {win_length} samples is zero or not finite: {remedy}")
    return weights


def _get_window(window: Window, win_length: int) -> Float64:
    """`scipy.signal.get_window`, but for the usual one without the second that it takes to import."""
    if window == "hann":
        if win_length == 1:
            return np.ones(1)
        return 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, win_length + 1)[:-1])
    import scipy.signal

    return np.asarray(scipy.signal.get_window(window, win_length, fftbins=True), np.float64)
