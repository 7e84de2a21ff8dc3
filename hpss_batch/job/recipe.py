"""What does a unit's task need to know besides the unit?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hpss_batch.corpus.shape import Shape
from hpss_batch.dsp.framing import StftParams

if TYPE_CHECKING:  # importing kernels is for those who separate
    from hpss_batch.dsp.hpss import HpssParams

BLOCK = 256
"""Frames that pass through the cache together."""


@dataclass(frozen=True)
class Recipe:
    """All that a unit's task needs to know besides the unit: small, and the same for all units of a run.

    Attributes
    ----------
    url : str
        The run directory.
    source : str or None
        The run directory whose spectrograms are read; None to read audio.
    stft, hpss : StftParams, HpssParams
        How to transform and to separate.
    shape : Shape
        The arrays that are wanted.
    channels : {"mono", "all"}
        Whether channels are averaged.
    n_channels : int
        Width of the store's channel axis.
    generation : int
        The newest generation; a store opened before it may be too short.
    """

    url: str
    source: str | None
    stft: StftParams
    hpss: "HpssParams"
    shape: Shape
    channels: Literal["mono", "all"]
    n_channels: int
    generation: int
