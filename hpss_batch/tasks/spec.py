"""What does a task need to know besides its unit?"""

from dataclasses import dataclass

from hpss_batch.audio.choices import Channels
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.params import COMPONENTS, FeatureParams, StftParams
from hpss_batch.dsp.separation import Grid, Separation, separation
from hpss_batch.store.arrays.schema import MASKS, Shape

BLOCK_FRAMES = 256
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
        The newest generation; a source opened before it may be too short.
    features : FeatureParams or None
        How the features in `shape` are computed.
    """

    url: str
    source: str | None
    stft: StftParams
    hpss: HpssParams
    shape: Shape
    channels: Channels
    n_channels: int
    generation: int
    features: FeatureParams | None = None

    @property
    def separation(self) -> Separation:
        """How to separate, in frames and bins."""
        return separation(self.hpss, Grid.of(self.stft, self.shape.sample_rate))

    @property
    def separates(self) -> bool:
        """Whether anything is wanted that needs masks."""
        return bool(self.shape.features) or not {*MASKS, *COMPONENTS}.isdisjoint(self.shape.arrays)
