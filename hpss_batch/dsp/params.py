"""With which parameters is a track cut into frames and described, and are they allowed?

A parameter is declared once, here: its name, type and default, the check of its value, and the words that a job's
YAML (a comment) and errors (what is allowed) have for it. A job's blocks are these dataclasses. Nothing heavy is
imported, so that a job is read quickly. Those of a separation are in `hpss_batch.dsp.methods`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpss_batch.dsp.checks import (
    Parameters,
    flag,
    number,
    one_of,
    or_none,
    parameter,
    some_of,
    whole,
    window_weights,
)
from hpss_batch.errors import ParameterError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

Window = str | tuple[Any, ...]
PAD_MODES = ("constant", "edge", "reflect", "symmetric")
KINDS = ("mel", "log_mel", "chroma", "onset", "rms", "harmonic_ratio")
COMPONENTS = ("harmonic", "percussive", "residual")


def _win_length(value: Any, earlier: Mapping[str, Any]) -> int:
    win_length: int = whole(1)(value, earlier)
    n_fft = earlier.get("n_fft", win_length)
    if win_length > n_fft:
        raise ParameterError(
            f"win_length={win_length} is larger than n_fft={n_fft}: make n_fft at least as large"
        )
    return win_length


def _window(value: Any, earlier: Mapping[str, Any]) -> Window:
    window: Window = _hashable(value)
    if not isinstance(window, str | tuple):
        raise ValueError
    if window != "hann":  # which is always possible; not importing SciPy to see it makes `status` quick
        window_weights(window, earlier.get("win_length") or earlier.get("n_fft", 2048))
    return window


def _hashable(window: Any) -> Any:
    """YAML has lists where SciPy wants tuples, and caches want what can be hashed."""
    if isinstance(window, tuple | list):
        return tuple(_hashable(part) for part in window)
    plain = window.item() if hasattr(window, "item") else window
    if isinstance(plain, bool) or not isinstance(plain, str | int | float | None):
        raise ValueError
    return plain


def _fmax(value: Any, earlier: Mapping[str, Any]) -> float:
    fmax: float = number(lambda hz: 0 < hz < math.inf)(value, earlier)
    fmin = earlier.get("fmin", 0.0)
    if fmax <= fmin:
        raise ParameterError(f"fmax is {fmax:g}; allowed: above fmin, which is {fmin:g}, or null")
    return fmax


@dataclass(frozen=True)
class StftParams(Parameters):
    """How a track is cut into frames: librosa's parameters.

    Three coordinates and nothing else: sample n, frame t, bin f. Frame t looks through the window, which stands in
    the middle of them, at `n_fft` samples, even or odd,

        from  t * hop_length - pad  on,        pad = n_fft // 2 if frames are centred, else 0,

    so any run of frames follows from a span of samples, and any span of samples from a run of frames. Before and after
    a track whose frames are centred stands what `numpy.pad` puts there in `pad_mode`.
    """

    n_fft: int = parameter(2048, whole(2), "samples in a frame", "a whole number of samples, at least 2")
    hop_length: int = parameter(
        512, whole(1), "samples from one frame to the next", "a whole number of samples, at least 1"
    )
    win_length: int | None = parameter(
        None,
        or_none(_win_length),
        "samples of the window; null: n_fft",
        "a whole number of samples, at least 1 and at most n_fft, or null",
    )
    window: str | tuple[Any, ...] = parameter(
        "hann",
        _window,
        "name of a window of scipy.signal, or [name, parameter]",
        "the name of a window of scipy.signal, or a list of its name and parameters, such as [kaiser, 14.0]",
    )
    center: bool = parameter(True, flag, "frame t is centred on sample t * hop_length", "true or false")
    pad_mode: str = parameter(
        "constant",
        one_of(*PAD_MODES),
        "what stands before and after a track",
        "constant (zeros), edge, reflect or symmetric",
    )

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
        import numpy as np

        return np.fft.rfftfreq(self.n_fft, d=1.0 / sample_rate)

    def times(self, first_frame: int, stop_frame: int, sample_rate: float) -> Float64:
        """Time of each frame [s] since the track's start, as `librosa.frames_to_time`."""
        import numpy as np

        return np.arange(first_frame, stop_frame) * self.hop_length / float(sample_rate)


@dataclass(frozen=True)
class FeatureParams(Parameters):
    """Which features, of which components, in how many bands.

    Of each of `components`: "mel" and "log_mel" (mel bands of the power, linear and in dB) and "rms". Of one of them or
    of both: "chroma" (of the harmonic one, from C on), "onset" (onset strength of the percussive one) and
    "harmonic_ratio".
    """

    kinds: tuple[str, ...] = parameter(
        ("log_mel", "chroma", "onset", "rms", "harmonic_ratio"),
        some_of(*KINDS),
        f"which of {', '.join(KINDS)}",
        f"a list of {', '.join(KINDS[:-1])} and {KINDS[-1]}, each at most once",
    )
    components: tuple[str, ...] = parameter(
        ("harmonic", "percussive"),
        some_of(*COMPONENTS),
        "those of which mel, log_mel and rms are computed",
        "a list of harmonic, percussive and residual, each at most once",
    )
    n_mels: int = parameter(
        128, whole(1), "mel bands", "a whole number from 1 on, at most the number of bins"
    )
    fmin: float = parameter(
        0.0,
        number(lambda hz: 0 <= hz < math.inf),
        "Hz at which the mel bands begin",
        "a number of Hz from 0 on, below fmax",
    )
    fmax: float | None = parameter(
        None,
        or_none(_fmax),
        "Hz at which the mel bands end; null: half the sample rate",
        "a number of Hz above fmin, at most half the sample rate, or null",
    )
    n_chroma: int = parameter(12, whole(1), "chroma bins an octave", "a whole number from 1 on")
    summaries: bool = parameter(True, flag, "mean, deviation and percentiles of each track", "true or false")
