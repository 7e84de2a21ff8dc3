"""What does a task need to know besides its unit, or its track?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.encoding import Encoding
from hpss_batch.corpus.stemnames import Pattern
from hpss_batch.dsp.framing import StftParams
from hpss_batch.store.layout import Placed, Unit
from hpss_batch.store.schema import AXES, Shape
from hpss_batch.store.stem_records import StemRecord

if TYPE_CHECKING:  # importing kernels is for those who separate
    from hpss_batch.dsp.features import FeatureParams
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
        The newest generation; a source opened before it may be too short.
    features : FeatureParams or None
        How the features in `shape` are computed.
    """

    url: str
    source: str | None
    stft: StftParams
    hpss: "HpssParams"
    shape: Shape
    channels: Literal["mono", "all"]
    n_channels: int
    generation: int
    features: "FeatureParams | None" = None

    @property
    def reach(self) -> int:
        """Frames that a frame's results depend on, on each side at most: HPSS's halo, and what features look back."""
        return self.hpss.halo + self.shape.before

    def axis_values(self, unit: Unit) -> dict[str, NDArray[Any]]:
        """What a unit's frames of the coordinates hold, by name; both follow from the layout."""
        found = {name: np.full(self.shape.unit_frames, fill, dtype) for name, (dtype, fill) in AXES.items()}
        for piece in unit.pieces:
            rows = slice(piece.offset, piece.offset + piece.n_frames)
            found["time"][rows] = self.stft.times(piece.first, piece.stop, self.shape.sample_rate)
            found["track_index"][rows] = piece.index
        return found


@dataclass(frozen=True)
class StemRecipe:
    """All that a task needs to know besides the track; the same for all tracks of a run.

    Attributes
    ----------
    url : str
        The run directory.
    key : str
        What stands for the settings of stems in names of records.
    stft, hpss : StftParams, HpssParams
        How to transform and to separate.
    components : tuple of str
        Which stems.
    encoding : Encoding
        Format and subtype.
    pattern : Pattern
        How files are named.
    sample_rate : int or None
        Hz of the stems; None for each track's own.
    channels : {"mono", "all"}
        Whether channels are averaged.
    """

    url: str
    key: str
    stft: StftParams
    hpss: "HpssParams"
    components: tuple[str, ...]
    encoding: Encoding
    pattern: Pattern
    sample_rate: int | None
    channels: Literal["mono", "all"]

    def refusal(self, track: Placed) -> str | None:
        """Why a track, as it was announced, cannot have such stems; None where it can."""
        rate = self.sample_rate or track.source_rate
        channels = 1 if self.channels == "mono" else track.source_channels
        n_samples = -(-track.source_samples * rate // max(track.source_rate, 1))
        return self.encoding.refusal(rate, channels, n_samples)


@dataclass(frozen=True)
class StemTask:
    """One track's stems.

    Attributes
    ----------
    row : int
        The track's row.
    track : Placed
        The track.
    stem : str
        What it is called in names of files.
    attempt : int
        How many records of it there are.
    """

    row: int
    track: Placed
    stem: str
    attempt: int

    def record(self, status: Literal["failed", "quarantined"], error: str) -> StemRecord:
        """The record of a track that has no stems."""
        return StemRecord(self.row, self.track.id, status, self.attempt, error)
