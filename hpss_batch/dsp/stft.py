"""Which frames does a span of samples make, and which samples do frames make: the short-time Fourier transform.

Three coordinates and nothing else: sample n, frame t, bin f. Frame t looks at the samples

    t * hop_length - pad  …  t * hop_length - pad + n_fft        (pad = n_fft // 2 if centred, else 0)

so any run of frames follows from a span of samples, and any span of samples from a run of frames. Here that is done
exactly: frames computed block by block are, bit for bit, the frames of the whole track, and so are samples.

Two things make it exact. Rows are transformed in batches of a whole number of SIMD registers, padded with
zeros, because an FFT library may treat a row that is left over by another path, with other last bits. And samples
are summed over the frames that touch them in one order, earliest first, wherever a block begins.

All arithmetic is in float32; librosa's is partly in float64, and agrees to about 1e-6 of the largest bin.
"""

from __future__ import annotations

import operator
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from hpss_batch.errors import ParameterError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Complex64 = npt.NDArray[np.complex64]
Window = str | tuple[Any, ...]

PAD_MODES = ("constant", "edge", "reflect", "symmetric")
# Rows in a batch: a multiple of the widest register there is (16 float32), and as many as stay in the cache.
LANES = 16
BATCH_BYTES = 1 << 19


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
        Length of the window, at most `n_fft`, in the middle of which it is centred; `n_fft` if None.
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
        object.__setattr__(self, "n_fft", _integer("n_fft", self.n_fft, least=2))
        object.__setattr__(self, "hop_length", _integer("hop_length", self.hop_length, least=1))
        if self.win_length is not None:
            win_length = _integer("win_length", self.win_length, least=1)
            if win_length > self.n_fft:
                raise ParameterError(
                    f"win_length={win_length} is larger than n_fft={self.n_fft}: give n_fft at least as many samples"
                )
            object.__setattr__(self, "win_length", win_length)
        if not isinstance(self.center, bool | np.bool_):
            raise ParameterError(f"center={self.center!r} is not allowed: give true or false")
        object.__setattr__(self, "center", bool(self.center))
        if self.pad_mode not in PAD_MODES:
            raise ParameterError(
                f"pad_mode={self.pad_mode!r} is not allowed: give one of {', '.join(PAD_MODES)}"
            )
        object.__setattr__(self, "window", _hashable(self.window))
        _window(self)

    @property
    def n_bins(self) -> int:
        """Number of frequencies, 0 Hz and (for even `n_fft`) half the sample rate included."""
        return 1 + self.n_fft // 2

    @property
    def pad(self) -> int:
        """Samples that frame 0 reaches before the track."""
        return self.n_fft // 2 if self.center else 0

    def n_frames(self, n_samples: int) -> int:
        """Frames of a track of `n_samples`, librosa's count; none where librosa would raise for want of samples."""
        padded = n_samples + 2 * self.pad
        if n_samples <= 0 or padded < self.n_fft:
            return 0
        return 1 + (padded - self.n_fft) // self.hop_length

    def sample_span(self, first_frame: int, stop_frame: int) -> tuple[int, int]:
        """Samples ``[start, stop)`` that frames ``[first_frame, stop_frame)`` touch; may lie outside the track."""
        start = first_frame * self.hop_length - self.pad
        if stop_frame <= first_frame:
            return start, start
        return start, (stop_frame - 1) * self.hop_length - self.pad + self.n_fft

    def frame_span(self, start: int, stop: int, n_frames: int) -> tuple[int, int]:
        """Frames ``[first, stop)`` among `n_frames` that touch the samples ``[start, stop)``."""
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


def context(params: StftParams) -> int:
    """Samples beyond ``sample_span``, on each side, that padding by reflection may look at.

    A frame that reaches n_fft // 2 samples past an end holds as many on this side of it, save the one that
    "reflect" needs because it does not repeat the last.
    """
    return 1 if params.center and params.pad_mode == "reflect" else 0


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

    A frame's bits depend on the track and the parameters alone: not on which other frames are asked for, nor on
    how much of the track is held.

    Parameters
    ----------
    samples : float32, shape (n,)
        The track's samples ``[offset, offset + n)``: at least those of ``params.sample_span(first, stop)`` and
        `context` more on each side, as far as the track has them.
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
            f"frames {first} to {stop} of a track of {n_samples} samples: it has {params.n_frames(n_samples)} frames"
        )
    if first < 0 or stop < first:
        raise ParameterError(f"frames {first} to {stop}: give 0 <= first <= stop")
    if out is None:
        out = np.empty((stop - first, params.n_bins), np.complex64)
    elif out.shape != (stop - first, params.n_bins) or out.dtype != np.complex64:
        wanted = (stop - first, params.n_bins)
        raise ParameterError(f"out is {out.dtype} of shape {out.shape}: give complex64 of shape {wanted}")
    held = np.asarray(samples, np.float32)
    # Frames that lie within the track are views of it; the few that reach past an end need padding.
    inner = first if params.pad == 0 else min(stop, max(first, -(-params.pad // params.hop_length)))
    outer = stop
    if n_samples is not None:
        outer = max(inner, min(stop, (n_samples + params.pad - params.n_fft) // params.hop_length + 1))
    for a, b in ((first, inner), (inner, outer), (outer, stop)):
        if a < b:
            span = _padded(held, offset, n_samples, *params.sample_span(a, b), params.pad_mode)
            _transform(span, params, out[a - first : b - first])
    return out


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
            f"samples {start} to {stop} need frames {begin} to {end}, but {first} to {first + len(frames)} are held"
        )
    hop = params.hop_length
    # The sum is laid out in rows of one hop, from the start of the first frame on.
    n_parts = -(-params.n_fft // hop)
    total = np.zeros((max(0, end - begin) + n_parts, hop), np.float32)
    _overlap_add(frames[begin - first : end - first], params, total)
    _normalise(total, begin, n_frames, params)
    flat = total.reshape(-1)
    skipped = start - params.sample_span(begin, end)[0]
    a, b = max(0, -skipped), max(0, min(stop - start, flat.size - skipped))
    out[:a] = 0
    out[a:b] = flat[skipped + a : skipped + b]
    out[b:] = 0
    return out


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
    params = _params(n_fft, hop_length, win_length, window, center, pad_mode)
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
    params = _params(size, hop_length, win_length, window, center, "constant")
    if spectrogram.shape[-2] != params.n_bins:
        raise ParameterError(
            f"stft_matrix has {spectrogram.shape[-2]} bins, n_fft={params.n_fft} makes {params.n_bins}: give its n_fft"
        )
    n_frames = spectrogram.shape[-1]
    if length is None:
        begin, end = params.sample_span(0, n_frames)
        n_samples = max(0, end - begin - 2 * params.pad)
    else:
        n_samples = _integer("length", length, least=0)
    y = np.empty((*spectrogram.shape[:-2], n_samples), np.float32)
    for channel in np.ndindex(spectrogram.shape[:-2]):
        istft_samples(spectrogram[channel].T, 0, n_frames, 0, n_samples, params, out=y[channel])
    return y


def smallest_overlap(params: StftParams) -> float:
    """Least sum of squared windows that a sample of any track may get, relative to the largest square.

    Sample n of a track with centred frames lies less than one hop after the middle of frame n // hop_length; near
    the track's ends that frame may be the only one to see it. Errors of a spectrogram grow by one over the root
    of this number.
    """
    squares = np.square(_window(params), dtype=np.float64)
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
        raise ParameterError(
            f"hop_length={params.hop_length} with window={params.window!r} of {params.win_length or params.n_fft} "
            "samples leaves samples that no frame sees well enough to make audio from (NOLA): "
            f"give a smaller hop_length, for instance {max(1, (params.win_length or params.n_fft) // 4)}"
        )


def _params(
    n_fft: int, hop_length: int | None, win_length: int | None, window: Window, center: bool, pad_mode: str
) -> StftParams:
    """librosa's default hop is a quarter of the window."""
    if hop_length is None:
        hop_length = max(1, (n_fft if win_length is None else win_length) // 4)
    return StftParams(n_fft, hop_length, win_length, window, center, pad_mode)


def _integer(name: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise ParameterError(f"{name}={value!r} is not allowed: give a whole number of at least {least}")
    return number


def _hashable(window: Any) -> Any:
    """YAML has lists where SciPy wants tuples, and a cache wants what can be hashed."""
    return tuple(_hashable(part) for part in window) if isinstance(window, list | tuple) else window


def _window(params: StftParams) -> Float32:
    """The window, centred in n_fft samples."""
    return _make_window(params.window, params.win_length or params.n_fft, params.n_fft)


@lru_cache(maxsize=64)
def _make_window(window: Window, win_length: int, n_fft: int) -> Float32:
    remedy = "give a window that scipy.signal.get_window knows, such as hann or ['kaiser', 14.0]"
    if not isinstance(window, str | tuple):
        raise ParameterError(f"window={window!r} is not allowed: {remedy}")
    try:
        weights = np.asarray(scipy.signal.get_window(window, win_length, fftbins=True), np.float64)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ParameterError(f"window={window!r} is not allowed ({error}): {remedy}") from error
    if not np.isfinite(weights).all() or not weights.any():
        raise ParameterError(f"window={window!r} of {win_length} samples is zero or not finite: {remedy}")
    before = (n_fft - win_length) // 2
    padded = np.zeros(n_fft, np.float32)
    padded[before : before + win_length] = weights
    padded.setflags(write=False)
    return padded


def _padded(
    held: Float32, offset: int, n_samples: int | None, start: int, stop: int, pad_mode: str
) -> Float32:
    """Samples ``[start, stop)`` of the track with its padding: a view of what is held where that will do."""
    end = stop if n_samples is None else n_samples
    index = None
    low, high = start, stop
    if start < 0 or stop > end:
        index = np.arange(start, stop)
        # Without an end, only what lies before the track is padded, and as if the track were long.
        _reflect(index, n_samples, pad_mode)
        real = index[index >= 0]
        low, high = (int(real.min()), int(real.max()) + 1) if real.size else (offset, offset)
    if low < offset or high > offset + held.size:
        raise ParameterError(
            f"samples {low} to {high} are needed, but {offset} to {offset + held.size} are held: "
            "hold params.sample_span of the frames and context(params) more on each side"
        )
    if index is None:
        return held[start - offset : stop - offset]
    if not held.size:
        return np.zeros(index.size, np.float32)
    padded = held[np.maximum(index - offset, 0)]
    padded[index < 0] = 0.0
    return padded


def _reflect(index: npt.NDArray[np.int64], n_samples: int | None, pad_mode: str) -> None:
    """Replace, in place, each index outside ``[0, n_samples)`` by the one `numpy.pad` would copy; by -1 for zero."""
    if n_samples is None:
        n_samples = 2 * max(int(np.abs(index).max()), 1) + 2
    if pad_mode == "constant":
        index[(index < 0) | (index >= n_samples)] = -1
    elif pad_mode == "edge" or n_samples == 1:
        np.clip(index, 0, n_samples - 1, out=index)
    elif pad_mode == "reflect":
        period = 2 * (n_samples - 1)
        index %= period
        np.minimum(index, period - index, out=index)
    else:
        period = 2 * n_samples
        index %= period
        np.minimum(index, period - 1 - index, out=index)


class _Buffers(threading.local):
    """A batch of rows for each thread, kept: fresh memory costs more than the arithmetic on it."""

    real: Float32 = np.empty(0, np.float32)
    spectral: Complex64 = np.empty(0, np.complex64)


_buffers = _Buffers()


def _batch_rows(params: StftParams, n_frames: int) -> int:
    """Rows of a batch: never a number that leaves a row outside a full register."""
    most = max(LANES, BATCH_BYTES // (4 * params.n_fft) // LANES * LANES)
    return min(most, max(1, -(-n_frames // LANES)) * LANES)


def _transform(span: Float32, params: StftParams, out: Complex64) -> None:
    """Window and transform the frames of `span`, one after another from its first sample, into `out`."""
    views = np.lib.stride_tricks.sliding_window_view(span, params.n_fft)[:: params.hop_length]
    window = _window(params)
    rows = _batch_rows(params, len(out))
    if _buffers.real.size < rows * params.n_fft:
        _buffers.real = np.empty(rows * params.n_fft, np.float32)
    for a in range(0, len(out), rows):
        part = views[a : a + rows]
        batch = _buffers.real[: _batch_rows(params, len(part)) * params.n_fft].reshape(-1, params.n_fft)
        np.multiply(part, window, out=batch[: len(part)])
        batch[len(part) :] = 0
        out[a : a + len(part)] = scipy.fft.rfft(batch, axis=1, overwrite_x=True)[: len(part)]


def _overlap_add(frames: Complex64, params: StftParams, total: Float32) -> None:
    """Add each frame's windowed samples to `total` (rows of one hop), to any sample the earliest frame first."""
    hop, n_fft = params.hop_length, params.n_fft
    window = _window(params)
    rows = _batch_rows(params, len(frames))
    if _buffers.spectral.size < rows * params.n_bins:
        _buffers.spectral = np.empty(rows * params.n_bins, np.complex64)
    for a in range(0, len(frames), rows):
        part = frames[a : a + rows]
        batch = _buffers.spectral[: _batch_rows(params, len(part)) * params.n_bins].reshape(-1, params.n_bins)
        batch[: len(part)] = part
        batch[len(part) :] = 0
        pieces = scipy.fft.irfft(batch, n=n_fft, axis=1, overwrite_x=True)[: len(part)]
        pieces *= window
        # The last hop of every frame first: to any row of `total` that is the earliest frame.
        for begin in range((n_fft - 1) // hop * hop, -1, -hop):
            width = min(hop, n_fft - begin)
            row = a + begin // hop
            total[row : row + len(part), :width] += pieces[:, begin : begin + width]


def _normalise(total: Float32, first: int, n_frames: int, params: StftParams) -> None:
    """Divide the sums by those of the squared windows of the frames that touch them; row 0 is that of frame `first`."""
    n_parts = -(-params.n_fft // params.hop_length)
    row = 0
    while row < len(total):
        here = first + row
        # Frames here - j, j = newest … oldest, touch this row; inside a track they are all there.
        newest, oldest = max(0, here - n_frames + 1), min(n_parts - 1, here)
        stop = row + 1
        if newest == 0 and oldest == n_parts - 1:
            stop = max(stop, min(len(total), n_frames - first))
        energy = _energy(params, newest, oldest)
        np.divide(total[row:stop], energy, out=total[row:stop], where=energy > np.finfo(np.float32).tiny)
        row = stop


@lru_cache(maxsize=256)
def _energy(params: StftParams, newest: int, oldest: int) -> Float32:
    """Sum over hops `newest` to `oldest` of the squared window, shape (hop_length,)."""
    hop = params.hop_length
    squares = np.zeros(-(-params.n_fft // hop) * hop)
    squares[: params.n_fft] = np.square(_window(params), dtype=np.float64)
    return squares.reshape(-1, hop)[newest : oldest + 1].sum(axis=0).astype(np.float32)
