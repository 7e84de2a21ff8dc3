"""Where does a report get a track's spectrogram from? The store, the store that it was made from, or the audio."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hpss_batch.audio.recording import Recording
from hpss_batch.dsp.stft import context, stft_frames
from hpss_batch.errors import AudioError, HpssBatchError, StoreError
from hpss_batch.runner.plan import Plan
from hpss_batch.store.arrays import open_group, reading

Complex64 = NDArray[np.complex64]


class Spectra:
    """Frames of the spectrograms of a run directory's tracks.

    Parameters
    ----------
    plan : Plan
        The run directory's job and catalog, and those of its source.
    group : zarr.Group or None
        Its store; None where only stems were made.
    """

    def __init__(self, plan: Plan, group: zarr.Group | None) -> None:
        self.plan, self.catalog = plan, plan.catalog
        self.url = plan.job.output.path
        self.stored = _spectrogram(group, self.url)
        if self.stored is None and plan.source is not None:
            try:
                self.url = plan.job.corpus.path
                self.stored = _spectrogram(open_group(self.url), self.url)
            except StoreError:
                self.stored = None

    def channels(self, row: int) -> int:
        """Channels of a track, as arrays hold them."""
        mono = self.plan.job.corpus.channels == "mono"
        return 1 if mono else self.catalog.rows[row].source_channels

    def frames(self, row: int, first: int, stop: int) -> Complex64:
        """Frames first … stop of a track, shape (channel, frame, frequency).

        Raises
        ------
        StoreError
            If they are stored, and damaged.
        AudioError, OSError
            If they are not stored, and the audio is not there, not as it was, or cannot be read.
        """
        placed = self.catalog.rows[row]
        if self.stored is not None:
            begin = placed.frame_start
            with reading(self.url):
                return np.asarray(self.stored[: self.channels(row), begin + first : begin + stop])
        if self.plan.source is not None:
            raise AudioError("is known to the run directory that this one was made from only")
        stft, n_samples = self.plan.stft, self.catalog.states[row].n_samples
        found = Path(placed.path).stat()
        if (found.st_size, found.st_mtime_ns) != (placed.source_size, placed.source_mtime):
            raise AudioError("was changed since")
        start, end = stft.sample_span(first, stop)
        start = max(start - context(stft), 0)
        rate, channels = self.plan.shape.sample_rate, self.plan.job.corpus.channels
        with Recording(placed.path, sample_rate=rate, channels=channels) as recording:
            samples = recording.read(start, min(end + context(stft), n_samples))
        return np.stack([stft_frames(channel, start, n_samples, first, stop, stft) for channel in samples])

    def why_not(self, row: int) -> str:
        """Why frames of a track cannot be had, for people; empty where they can."""
        try:
            self.frames(row, 0, min(1, self.catalog.states[row].n_frames))
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        except HpssBatchError as error:
            return str(error)
        return ""


def _spectrogram(group: zarr.Group | None, url: str) -> "zarr.Array[Any] | None":
    with reading(url):
        array = None if group is None else group.get("spectrogram")
    return array if isinstance(array, zarr.Array) else None
