"""Where does a product get a track's spectrogram from? The store, the store that it was made from, or the audio."""

from collections.abc import Callable
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hpss_batch.config.job import Job
from hpss_batch.dsp.stft import StftParams, context, stft_frames
from hpss_batch.errors import AudioError, HpssBatchError, StoreError
from hpss_batch.runner.survey import source_of
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.directory import RunDirectory
from hpss_batch.tasks.sources import open_recording

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

Frames = Callable[[int, int], Float32]
"""Values of the frames from first to stop, shape (channel, frame, bin): magnitudes, or weights."""


class Spectra:
    """Frames of the spectrograms of a run directory's tracks.

    Parameters
    ----------
    directory : RunDirectory
        The run directory.
    catalog : Catalog
        What it holds.
    """

    def __init__(self, directory: RunDirectory, catalog: Catalog) -> None:
        self.catalog, self.stft = catalog, catalog.stft
        self.rate: int = catalog.settings["sample_rate"]
        job = Job.of_run(directory)
        self.source = source_of(job) if job is not None else None
        self.directory, self.stored = directory, _stored(directory)
        if self.stored is None and self.source is not None:
            self.directory, self.stored = self.source, _stored(self.source)

    def channels(self, row: int) -> int:
        """Channels of a track, as arrays hold them."""
        return self.catalog.rows[row].n_channels(self.catalog.channels)

    def frames(self, row: int, first: int, stop: int, stft: StftParams | None = None) -> Complex64:
        """Frames first … stop of a track, shape (channel, frame, frequency); from its audio if of another transform.

        Raises
        ------
        StoreError
            If they are stored, and damaged.
        AudioError, OSError
            If they are not stored, and the audio is not there, not as it was, or cannot be read.
        """
        placed = self.catalog.rows[row]
        stft = stft or self.stft
        if self.stored is not None and stft == self.stft:
            begin = placed.frame_start
            with self.directory.reading():
                return np.asarray(self.stored[: self.channels(row), begin + first : begin + stop])
        if self.source is not None:
            raise AudioError("is known to the run directory that this one was made from only")
        n_samples = self.catalog.states[row].n_samples
        start, end = stft.sample_span(first, stop)
        start, end = max(start - context(stft), 0), min(end + context(stft), n_samples)
        with open_recording(placed, self.rate, self.catalog.channels) as recording:
            samples = recording.read(start, end)
        return np.stack([stft_frames(channel, start, n_samples, first, stop, stft) for channel in samples])

    def magnitudes(self, row: int, first: int, stop: int) -> Float32:
        """Absolute values of `frames`."""
        return np.abs(self.frames(row, first, stop))

    def why_not(self, row: int, stft: StftParams | None = None) -> str:
        """Why frames of a track cannot be had, for people; empty where they can."""
        try:
            self.frames(row, 0, min(1, self.catalog.states[row].n_frames), stft)
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        except HpssBatchError as error:
            return str(error)
        return ""


def _stored(directory: RunDirectory) -> "zarr.Array[Any] | None":
    """The spectrograms of a run directory; None where it has none, or no store, or is gone."""
    try:
        with directory.reading():
            array = directory.group().get("spectrogram")
    except StoreError:
        return None
    return array if isinstance(array, zarr.Array) else None
