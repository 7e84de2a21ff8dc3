"""Which numbers go into a stem's file?

Samples are rounded here and not by libsndfile, which cuts them off (so that 16-bit audio read as floats comes back
one step lower): integer formats get whole steps, the nearest ones, so that stems can add up to their input exactly.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.formats import refusal
from hpss_batch.audio.speakers.layouts import Arrangement, Layout, arrangement

Float = NDArray[np.floating[Any]]

_BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "PCM_S8": 8, "PCM_U8": 8, "ALAC_16": 16}

_AS_FINE = {
    **dict.fromkeys(("PCM_24", "ALAC_20", "ALAC_24", "DWVW_24"), ("PCM_24",)),
    **dict.fromkeys(("PCM_32", "ALAC_32"), ("PCM_32", "PCM_24")),
    **dict.fromkeys(("FLOAT", "DOUBLE"), ("FLOAT", "PCM_24")),
}
"""What holds codings of more than 16 bits, the best first; recordings are read as 32-bit floats."""


@dataclass(frozen=True)
class Encoding:
    """A format and a subtype, as libsndfile names them; known to exist.

    Attributes
    ----------
    format, subtype : str
        Such as "FLAC" and "PCM_16".
    finer : tuple of str
        Subtypes that may take the place of this one, for what is finer; see `like`.
    """

    format: str
    subtype: str
    finer: tuple[str, ...] = ()

    def like(self, source: str) -> "Encoding":
        """The encoding for a recording in libsndfile's words, such as "WAV/PCM_24": as fine, where it may be."""
        _, _, coding = source.partition("/")
        held = (subtype for subtype in _AS_FINE.get(coding, ()) if subtype in self.finer)
        return Encoding(self.format, next(held, self.subtype))

    @property
    def extension(self) -> str:
        """What its files' names end in, with the dot."""
        return f".{self.format.lower()}"

    @property
    def bits(self) -> int | None:
        """Bits of a sample where samples are whole numbers; None where they are floats, or the coding loses some."""
        return _BITS.get(self.subtype)

    @property
    def has_ceiling(self) -> bool:
        """Whether samples beyond ±1 are lost, here or in the player."""
        return self.subtype not in ("FLOAT", "DOUBLE")

    def refusal(self, sample_rate: int, channels: int, n_samples: int, layout: Layout = ()) -> str | None:
        """Why audio like this cannot be held, and what to do; None where it can."""
        return refusal(self.format, self.subtype, sample_rate, channels, n_samples, layout)

    def arrangement(self, channels: int, layout: Layout) -> Arrangement:
        """How a file has channels of a layout, against which `refusal` said nothing."""
        found = arrangement(self.format, self.subtype, channels, layout)
        assert found is not None, "refusal comes first"
        return found

    def steps(self, samples: Float, out: Float) -> Float:
        """Samples as the format counts them: multiples of its steps, not clipped; unchanged where it has none.

        Parameters
        ----------
        samples : array
            Full scale is ±1.
        out : array of `step_dtype`
            Where to; may be `samples`.
        """
        if self.bits is None:
            if out is not samples:
                out[...] = samples
        else:
            np.multiply(samples, self.full_scale, out=out, dtype=out.dtype)
            np.rint(out, out=out)
        return out

    @property
    def step_dtype(self) -> type[np.float32] | type[np.float64]:
        """A float type that holds every whole number of steps, and the sum of three."""
        return np.float64 if self.bits == 32 else np.float32

    @property
    def full_scale(self) -> float:
        """What 1.0 is, in steps."""
        return 1.0 if self.bits is None else float(2 ** (self.bits - 1))

    def clip(self, steps: Float) -> tuple[int, float]:
        """Limit samples to what the format holds, in place.

        Returns
        -------
        int, float
            How many were beyond full scale, and the largest magnitude, of full scale.
        """
        if not steps.size:
            return 0, 0.0
        scale = self.full_scale
        low, high = -scale, scale if self.bits is None else scale - 1
        least, most = float(steps.min()), float(steps.max())
        n_clipped = 0
        if self.has_ceiling and (least < low or most > high):
            n_clipped = int(np.count_nonzero(steps < low) + np.count_nonzero(steps > high))
            if self.bits is not None:
                np.clip(steps, low, high, out=steps)
        return n_clipped, max(-least, most) / scale

    @property
    def file_dtype(self) -> np.dtype[Any]:
        """The type in which samples are handed to libsndfile, which takes the top bits of integers."""
        if self.bits is None:
            return np.dtype(np.float32)
        return np.dtype(np.int16 if self.bits <= 16 else np.int32)

    def coded(self, steps: Float, out: NDArray[Any]) -> None:
        """Write clipped steps to an array of `file_dtype`, as libsndfile takes them."""
        np.copyto(out, steps, casting="unsafe")
        shift = 0 if self.bits is None else out.dtype.itemsize * 8 - self.bits
        if shift:
            np.left_shift(out, shift, out=out)
