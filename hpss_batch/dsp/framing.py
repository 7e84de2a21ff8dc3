"""How is a track cut into frames: which samples does a frame look at, and when, and at which frequencies?

Three coordinates and nothing else: sample n, frame t, bin f. Frame t looks through the window at `n_fft` samples

    from  t * hop_length - pad  on,        pad = n_fft // 2 if frames are centred, else 0,

so any run of frames follows from a span of samples, and any span of samples from a run of frames. What lies
before the first sample and after the last is padding.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hpss_batch.errors import ParameterError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Window = str | tuple[Any, ...]

PAD_MODES = ("constant", "edge", "reflect", "symmetric")


@dataclass(frozen=True)
class StftParams:
    """How a track is cut into frames: librosa's parameters, checked once, here.

    Parameters
    ----------
    n_fft : int
        Samples in a frame, at least 2; odd sizes are allowed. There are ``1 + n_fft // 2`` bins.
    hop_length : int
        Samples from one frame to the next, at least 1.
    win_length : int, optional
        Length of the window, at most `n_fft`, in the middle of which it stands; `n_fft` if None.
    window : str or tuple
        A window that `scipy.signal.get_window` knows: a name, or a tuple of a name and its parameters.
    center : bool
        Whether frame t is centred on sample ``t * hop_length`` (else it begins there).
    pad_mode : {"constant", "edge", "reflect", "symmetric"}
        What stands before and after a track whose frames are centred, as in `numpy.pad`.

    Raises
    ------
    ParameterError
        If a value is not allowed.
    """

    n_fft: int = 2048
    hop_length: int = 512
    win_length: int | None = None
    window: Window = "hann"
    center: bool = True
    pad_mode: str = "constant"

    def __post_init__(self) -> None:
        n_fft = integer("n_fft", self.n_fft, least=2)
        object.__setattr__(self, "n_fft", n_fft)
        object.__setattr__(self, "hop_length", integer("hop_length", self.hop_length, least=1))
        if self.win_length is not None:
            win_length = integer("win_length", self.win_length, least=1)
            if win_length > n_fft:
                raise ParameterError(
                    f"win_length={win_length} is larger than n_fft={n_fft}: make n_fft at least as large"
                )
            object.__setattr__(self, "win_length", win_length)
        if not isinstance(self.center, bool | np.bool_):
            raise ParameterError(f"center={self.center!r} is not allowed: give true or false")
        object.__setattr__(self, "center", bool(self.center))
        if self.pad_mode not in PAD_MODES:
            allowed = ", ".join(PAD_MODES)
            raise ParameterError(f"pad_mode={self.pad_mode!r} is not allowed: give one of {allowed}")
        object.__setattr__(self, "window", _hashable(self.window))
        window_of(self)

    @property
    def n_bins(self) -> int:
        """Number of frequencies, 0 Hz and (for even `n_fft`) half the sample rate included."""
        return 1 + self.n_fft // 2

    @property
    def pad(self) -> int:
        """Samples that frame 0 reaches before the track."""
        return self.n_fft // 2 if self.center else 0

    def n_frames(self, n_samples: int) -> int:
        """Frames of a track of `n_samples`: librosa's count, or 0 where librosa would raise."""
        padded = n_samples + 2 * self.pad
        if n_samples <= 0 or padded < self.n_fft:
            return 0
        return 1 + (padded - self.n_fft) // self.hop_length

    def sample_span(self, first_frame: int, stop_frame: int) -> tuple[int, int]:
        """Samples [start, stop) that frames [first_frame, stop_frame) touch, beyond the track's ends too."""
        start = first_frame * self.hop_length - self.pad
        if stop_frame <= first_frame:
            return start, start
        return start, (stop_frame - 1) * self.hop_length - self.pad + self.n_fft

    def frame_span(self, start: int, stop: int, n_frames: int) -> tuple[int, int]:
        """Frames [first, stop), of `n_frames`, that touch the samples [start, stop)."""
        first = -((self.n_fft - 1 - self.pad - start) // self.hop_length)
        last = (stop - 1 + self.pad) // self.hop_length
        first = min(max(first, 0), n_frames)
        return first, max(first, min(last + 1, n_frames)) if stop > start else first

    def frequencies(self, sample_rate: float) -> Float64:
        """Centre of each bin [Hz], as `librosa.fft_frequencies`."""
        return np.fft.rfftfreq(self.n_fft, d=1.0 / sample_rate)

    def times(self, first_frame: int, stop_frame: int, sample_rate: float) -> Float64:
        """Time of each frame [s] since the track's start, as `librosa.frames_to_time`."""
        return np.arange(first_frame, stop_frame) * self.hop_length / float(sample_rate)


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


def window_of(params: StftParams) -> Float32:
    """The window in the middle of n_fft samples; shared, hence read-only."""
    return _window(params.window, params.win_length or params.n_fft, params.n_fft)


@lru_cache(maxsize=64)
def _window(window: Window, win_length: int, n_fft: int) -> Float32:
    remedy = "give one that scipy.signal.get_window knows, such as 'hann' or ('kaiser', 14.0)"
    if not isinstance(window, str | tuple):
        raise ParameterError(f"window={window!r} is not allowed: {remedy}")
    try:
        weights = _get_window(window, win_length)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ParameterError(f"window={window!r} is not allowed ({error}): {remedy}") from error
    if not np.isfinite(weights).all() or not weights.any():
        raise ParameterError(f"window={window!r} of {win_length} samples is zero or not finite: {remedy}")
    before = (n_fft - win_length) // 2
    whole = np.zeros(n_fft, np.float32)
    whole[before : before + win_length] = weights
    whole.setflags(write=False)
    return whole


def _get_window(window: Window, win_length: int) -> Float64:
    """`scipy.signal.get_window`, but for the usual one without the second that it takes to import."""
    if window == "hann":
        if win_length == 1:
            return np.ones(1)
        return 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, win_length + 1)[:-1])
    import scipy.signal

    return np.asarray(scipy.signal.get_window(window, win_length, fftbins=True), np.float64)


def _hashable(window: Any) -> Any:
    """YAML has lists where SciPy wants tuples, and caches want what can be hashed."""
    return tuple(_hashable(part) for part in window) if isinstance(window, list | tuple) else window


def integer(name: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`, or an error that names it."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise ParameterError(f"{name}={value!r} is not allowed: give a whole number of at least {least}")
    return number
