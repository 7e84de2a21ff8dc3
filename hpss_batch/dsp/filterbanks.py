"""How is a frame's power summed into bands, with bits that depend on that frame alone?

The weights of a filter bank stand in a sparse matrix, one row a band, and a row is summed in the order of its bins:

    sums[frame, band]  =  sum over bins of  weight[band, bin] * magnitude[frame, bin]²

in float32. A BLAS would cut these sums by the shape of the whole block; SciPy's sparse product adds, for all frames
at once, one bin after another. Most weights of mel bands are zero, so it is not slower.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from hpss_batch.dsp.params import FeatureParams, StftParams
from hpss_batch.errors import ParameterError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Weights = Any  # scipy.sparse.csr_array has no type for the type of its values

# Frames that are turned on their side at once; what they need stays in the cache.
ROWS = 64


@dataclass(frozen=True, eq=False)
class FilterBanks:
    """Weights of bins, (band, bin), float32; sparse, whether made of arrays or of sparse arrays.

    Attributes
    ----------
    mel, chroma
        librosa's filter banks, or any.
    energy
        One band: what makes a frame's mean square of its power.
    mel_frequencies : float64, shape (n_mels,)
        Centre of each mel band [Hz].
    """

    mel: Weights
    chroma: Weights
    energy: Weights
    mel_frequencies: Float64

    def __post_init__(self) -> None:
        for name in ("mel", "chroma", "energy"):
            object.__setattr__(self, name, scipy.sparse.csr_array(getattr(self, name), dtype=np.float32))


def filter_banks(params: FeatureParams, stft: StftParams, sample_rate: float) -> FilterBanks:
    """The filter banks that librosa makes for frames of a sample rate [Hz].

    Raises
    ------
    ParameterError
        If librosa is not installed, or the bands do not fit the sample rate.
    """
    try:
        librosa = _librosa()
    except ImportError as error:
        raise ParameterError(
            f"features need librosa's filter banks, and librosa cannot be imported ({error}): "
            "pip install 'hpss-batch[features]', or ask for no features"
        ) from error
    n_mels, fmin = params.n_mels, params.fmin
    highest = sample_rate / 2 if params.fmax is None else params.fmax
    if not fmin < highest <= sample_rate / 2:
        raise ParameterError(
            f"fmin={fmin} and fmax={params.fmax} do not fit a sample rate of {sample_rate} Hz: "
            f"give 0 <= fmin < fmax <= {sample_rate / 2}"
        )
    with warnings.catch_warnings():  # of empty bands, which `features.empty_bands` counts
        warnings.filterwarnings("ignore", "Empty filters", UserWarning)
        mel = librosa.filters.mel(sr=sample_rate, n_fft=stft.n_fft, n_mels=n_mels, fmin=fmin, fmax=highest)
    return FilterBanks(
        mel,
        librosa.filters.chroma(sr=sample_rate, n_fft=stft.n_fft, tuning=0.0, n_chroma=params.n_chroma),
        energy_weights(stft),
        librosa.mel_frequencies(n_mels=n_mels + 2, fmin=fmin, fmax=highest)[1:-1],
    )


def _librosa() -> Any:
    """librosa, which Numba does not let import where it can keep nothing: then in a folder that goes with the process.

    A container may run as a user that has no home folder, with packages that belong to another.
    """
    place = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        if not os.path.isabs(place):
            raise FileNotFoundError(place)
        os.makedirs(place, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError:
        place = os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        os.environ.setdefault("NUMBA_CACHE_DIR", place)
    import librosa

    return librosa


def energy_weights(stft: StftParams) -> Float32:
    """Weights (1, bin) that make a frame's mean square of its power: each bin stands for two, save the ends."""
    weights = np.full((1, stft.n_bins), 2.0 / stft.n_fft**2, np.float32)
    weights[0, 0] /= 2
    if stft.n_fft % 2 == 0:
        weights[0, -1] /= 2
    return weights


def band_sums(magnitude: Float32, banks: Sequence[Weights]) -> list[Float32]:
    """Weighted sums over the bins of each frame's power: one array (frame, band) for each bank."""
    sums = [np.empty((len(magnitude), bank.shape[0]), np.float32) for bank in banks]
    n_bins = magnitude.shape[1]
    memory = np.empty(n_bins * ROWS, np.float32)
    for first in range(0, len(magnitude), ROWS):
        block = magnitude[first : first + ROWS]
        # SciPy takes another path for a single column, so there are always two or more.
        width = max(2, len(block))
        power = memory[: n_bins * width].reshape(n_bins, width)
        power[:, len(block) :] = 0
        np.square(block.T, out=power[:, : len(block)])
        for bank, target in zip(banks, sums, strict=True):
            target[first : first + ROWS] = (bank @ power)[:, : len(block)].T
    return sums
