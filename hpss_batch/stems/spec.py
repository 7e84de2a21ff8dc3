"""What does a task of stems need to know besides its track?"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hpss_batch.audio.choices import Channels
from hpss_batch.audio.encoding import Encoding
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.params import StftParams
from hpss_batch.dsp.separation import Grid, Separation, separation
from hpss_batch.stems.names import Pattern
from hpss_batch.store.layout import Placed
from hpss_batch.store.stem_records import StemRecord, record_name


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
    second : pair of StftParams and HpssParams, or None
        How to do so a second time, with what the first pass leaves; see `two_pass`.
    components : tuple of str
        Which stems.
    encoding : Encoding
        Format and subtype, of a track that is as fine as most.
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
    hpss: HpssParams
    components: tuple[str, ...]
    encoding: Encoding
    pattern: Pattern
    sample_rate: int | None
    channels: Channels
    second: tuple[StftParams, HpssParams] | None = None

    def separation(self, sample_rate: int) -> Separation:
        """How to separate at a rate, in frames and bins."""
        return separation(self.hpss, Grid.of(self.stft, sample_rate))

    def second_pass(self, sample_rate: int) -> tuple[StftParams, Separation] | None:
        """How the second pass, where there is one, transforms and, in frames and bins at a rate, separates."""
        if self.second is None:
            return None
        stft, hpss = self.second
        return stft, separation(hpss, Grid.of(stft, sample_rate))

    def highest_rate(self, tracks: Iterable[Placed]) -> int:
        """Of the stems of some tracks, in Hz."""
        return max((self.sample_rate or max(track.source_rate, 1) for track in tracks), default=1)

    def refusal(self, track: Placed) -> str | None:
        """Why a track, as it was announced, cannot have such stems; None where it can."""
        rate = self.sample_rate or track.source_rate
        channels = track.n_channels(self.channels)
        n_samples = -(-track.source_samples * rate // max(track.source_rate, 1))
        return self.encoding.refusal(rate, channels, n_samples, track.layout)


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
    layout : str
        The layout that the row is a part of, as `Catalog.layouts` has it.
    """

    row: int
    track: Placed
    stem: str
    attempt: int
    layout: str

    def name(self, key: str) -> str:
        """The name of the record that it creates, of the stems of a key."""
        return record_name(key, self.row, self.attempt)

    def record(
        self,
        status: Literal["failed", "quarantined"],
        error: str,
        *,
        retry: bool = False,
        limits: str | None = None,
    ) -> StemRecord:
        """The record of a track that has no stems."""
        return StemRecord(
            self.row, self.track.id, status, self.attempt, error, retry, layout=self.layout, limits=limits
        )
