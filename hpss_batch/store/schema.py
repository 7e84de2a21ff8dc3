"""Which arrays may a store hold, of what type, and what stands in their gaps?

Light on imports: planning needs it, and writing nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # which imports sparse matrices
    from hpss_batch.dsp.features import Feature

MaskDtype = Literal["float32", "uint16", "uint8"]

REFERENCES = (
    "Fitzgerald, D. (2010): Harmonic/percussive separation using median filtering. DAFx-10, Graz. "
    "Driedger, J., Müller, M., Disch, S. (2014): Extending harmonic-percussive separation of audio. ISMIR, Taipei."
)

LONG_NAMES = {
    "spectrogram": "complex short-time Fourier transform",
    "magnitude": "magnitude of the spectrogram",
    "harmonic_mask": "weight of the harmonic component",
    "percussive_mask": "weight of the percussive component",
    "harmonic": "harmonic component: spectrogram times harmonic mask",
    "percussive": "percussive component: spectrogram times percussive mask",
    "residual": "residual component: spectrogram less harmonic less percussive",
}
"""The arrays on (channel, frame, frequency) that a job may ask for."""

MASKS = ("harmonic_mask", "percussive_mask")
COMPONENTS = ("harmonic", "percussive", "residual")

AXES: dict[str, tuple[np.dtype[Any], Any]] = {
    "time": (np.dtype(np.float64), np.nan),
    "track_index": (np.dtype(np.int32), -1),
}
"""The coordinates along frames, and what they hold in gaps."""


@dataclass(frozen=True)
class Shape:
    """What a store's arrays have in common.

    Attributes
    ----------
    arrays : tuple of str
        Names out of `LONG_NAMES`.
    mask_dtype : {"float32", "uint16", "uint8"}
        How masks are stored; integers are codes 0 … top − 1 for weights 0 … 1, the top code is a gap.
    n_bins, unit_frames, sample_rate : int
        Bins of a frame; frames of a unit; Hz.
    features : tuple of Feature
        Further arrays, on (channel, frame) and what else a feature has.
    summaries : bool
        Whether features are summed up for each track.
    """

    arrays: tuple[str, ...]
    mask_dtype: MaskDtype
    n_bins: int
    unit_frames: int
    sample_rate: int
    features: "tuple[Feature, ...]" = ()
    summaries: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All arrays that have channels and frames."""
        return (*self.arrays, *(feature.name for feature in self.features))

    def feature(self, name: str) -> "Feature | None":
        """The feature of this name; None for other arrays."""
        return next((feature for feature in self.features if feature.name == name), None)

    def dims(self, name: str) -> tuple[str, ...]:
        """An array's dimensions beyond channel and frame."""
        feature = self.feature(name)
        return ("frequency",) if feature is None else feature.dims

    def sizes(self, name: str) -> tuple[int, ...]:
        """The sizes of `dims`."""
        feature = self.feature(name)
        return (self.n_bins,) if feature is None else feature.shape

    def frame_bytes(self, name: str) -> int:
        """Bytes of one frame of one channel of an array, as stored, before compression."""
        return int(np.prod(self.sizes(name), dtype=np.int64)) * self.dtype(name).itemsize

    def dtype(self, name: str) -> np.dtype[Any]:
        """The dtype of an array as stored."""
        if name in MASKS:
            return np.dtype(self.mask_dtype)
        real = name == "magnitude" or self.feature(name) is not None
        return np.dtype(np.float32 if real else np.complex64)


def fill_value(dtype: np.dtype[Any]) -> Any:
    """What a gap holds: NaN, or the top code of integers."""
    if dtype.kind == "u":
        return int(np.iinfo(dtype).max)
    return complex(np.nan, np.nan) if dtype.kind == "c" else np.nan


def quantise(mask: NDArray[np.float32], out: NDArray[Any], scratch: NDArray[np.float32]) -> None:
    """Round weights in [0, 1] to integer codes 0 … top − 1, to the nearest, halves to even.

    Parameters
    ----------
    mask, scratch : ndarray of float32
        Same shape as `out`; `scratch` is overwritten.
    out : ndarray of uint8 or uint16
        The codes.
    """
    np.multiply(mask, np.float32(np.iinfo(out.dtype).max - 1), out=scratch)
    np.rint(scratch, out=scratch)
    np.copyto(out, scratch, casting="unsafe")


def dequantise(codes: NDArray[Any], *, gaps: bool = True) -> NDArray[np.float32]:
    """Weights from integer codes; NaN in gaps, unless the caller knows that there are none."""
    top = np.iinfo(codes.dtype).max
    weights: NDArray[np.float32] = np.multiply(codes, np.float32(1 / (top - 1)), dtype=np.float32)
    if gaps:
        weights[codes == top] = np.nan
    return weights
