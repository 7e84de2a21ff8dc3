"""Which arrays may a store hold, of what type, and what stands in their gaps?

Light on imports: planning needs it, and writing nothing.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
    """

    arrays: tuple[str, ...]
    mask_dtype: MaskDtype
    n_bins: int
    unit_frames: int
    sample_rate: int

    def dtype(self, name: str) -> np.dtype[Any]:
        """The dtype of an array as stored."""
        if name in MASKS:
            return np.dtype(self.mask_dtype)
        return np.dtype(np.float32 if name == "magnitude" else np.complex64)


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
