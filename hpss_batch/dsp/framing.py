"""What does a frame see of a track: which samples, beyond the track's ends too, through which window?

`StftParams` says where frames lie. What lies before the first sample and after the last is padding.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hpss_batch.dsp.checks import window_weights
from hpss_batch.dsp.params import StftParams, Window
from hpss_batch.errors import ParameterError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


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
