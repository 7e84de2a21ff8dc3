"""Which arrays may a store hold, of what type, what do their codes mean, and what stands in their gaps?

Light on imports: planning needs it, and writing nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpss_batch.errors import StoreError

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

AXES: dict[str, tuple[np.dtype[Any], Any]] = {
    "time": (np.dtype(np.float64), np.nan),
    "track_index": (np.dtype(np.int32), -1),
}
"""The coordinates along frames, and what they hold in gaps."""


AXIS_FRAMES = 2**22
"""Frames in a shard of a coordinate, in whole units: 128 at the defaults, of which `time` takes 4 MB."""


@dataclass(frozen=True)
class Coding:
    """How values are stored as unsigned integers, their codes, in CF's terms: every such array on frames is coded.

    Attributes
    ----------
    scale, offset : float
        Code c stands for c * scale + offset.
    fill : int
        The code of a gap, the greatest.
    """

    scale: float
    offset: float
    fill: int

    @classmethod
    def over(cls, span: tuple[float, float], dtype: np.dtype[Any]) -> "Coding":
        """Codes from 0 to the greatest but one, for the values of a span."""
        fill = int(np.iinfo(dtype).max)
        return cls((span[1] - span[0]) / (fill - 1), span[0], fill)

    @classmethod
    def of(cls, name: str, dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> "Coding | None":
        """How a stored array on frames is coded, by its attributes; None if it holds values as they are.

        Raises
        ------
        StoreError
            If it holds codes, and its attributes do not say what they mean.
        """
        if dtype.kind != "u":
            return None
        try:
            scale, offset = float(attributes["scale_factor"]), float(attributes["add_offset"])
            return cls(scale, offset, int(attributes["_FillValue"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{name} holds codes, but its attributes do not say what they mean ({error!r}): "
                "`hpss-batch verify --heal` writes them again"
            ) from error

    @property
    def attributes(self) -> dict[str, Any]:
        """CF's attributes, which readers without this package decode by."""
        return {"scale_factor": self.scale, "add_offset": self.offset, "_FillValue": self.fill}

    def encode(
        self, values: NDArray[np.float32], out: NDArray[Any], scratch: NDArray[np.float32] | None = None
    ) -> None:
        """Codes of finite values: the nearest, halves to even; values beyond the span have those of its ends.

        Parameters
        ----------
        values : ndarray of float32
            Not changed.
        out : ndarray of uint8 or uint16
            The codes, of the same shape.
        scratch : ndarray of float32, optional
            Memory to work in, of the same shape.
        """
        above = np.subtract(values, np.float32(self.offset), out=scratch) if self.offset else values
        codes = np.multiply(above, np.float32(1 / self.scale), out=scratch)
        np.rint(codes, out=codes)
        np.clip(codes, 0, self.fill - 1, out=codes)
        np.copyto(out, codes, casting="unsafe")

    def decode(self, codes: NDArray[Any], *, gaps: bool = True) -> NDArray[np.float32]:
        """Values of codes; NaN in gaps, unless the caller knows that there are none."""
        values: NDArray[np.float32] = np.multiply(codes, np.float32(self.scale), dtype=np.float32)
        if self.offset:
            values += np.float32(self.offset)
        if gaps:
            values[codes == self.fill] = np.nan
        return values


@dataclass(frozen=True)
class Shape:
    """What a store's arrays have in common.

    Attributes
    ----------
    arrays : tuple of str
        Names out of `LONG_NAMES`.
    mask_dtype : {"float32", "uint16", "uint8"}
        How masks are stored; integers are codes of weights from 0 to 1.
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

    @property
    def axis_frames(self) -> int:
        """Frames in a shard of a coordinate along frames: many units, at least one."""
        return max(1, AXIS_FRAMES // self.unit_frames) * self.unit_frames

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
        feature = self.feature(name)
        if feature is not None:
            return np.dtype(np.float32 if feature.span is None else np.uint8)
        if name in MASKS:
            return np.dtype(self.mask_dtype)
        return np.dtype(np.float32 if name == "magnitude" else np.complex64)

    def coding(self, name: str) -> Coding | None:
        """What an array's codes mean; None if it holds values as they are."""
        dtype, feature = self.dtype(name), self.feature(name)
        span = (feature.span if feature else None) or (0.0, 1.0)
        return Coding.over(span, dtype) if dtype.kind == "u" else None

    def attributes(self, name: str) -> dict[str, Any]:
        """The CF attributes of an array."""
        feature, coding = self.feature(name), self.coding(name)
        return {
            "units": feature.units if feature else "1",
            "long_name": feature.long_name if feature else LONG_NAMES[name],
            "coordinates": "time track_index",
            "references": REFERENCES,
            **(coding.attributes if coding else {}),
        }


def fill_value(dtype: np.dtype[Any]) -> Any:
    """What a gap holds: NaN, or the top code of integers."""
    if dtype.kind == "u":
        return int(np.iinfo(dtype).max)
    return complex(np.nan, np.nan) if dtype.kind == "c" else np.nan


def read_decoded(array: Any, where: Any) -> NDArray[Any]:
    """A part of a Zarr array on frames: values, whether they are stored as such or as codes."""
    coding = Coding.of(array.basename, array.dtype, array.attrs)
    stored = np.asarray(array[where])
    return stored if coding is None else coding.decode(stored)
