"""Where does a product get a track's spectrogram from? The store, the store that it was made from, or the audio.

`Spectra` reads what there is of a run directory with its plan. `recorded_frames` computes the magnitudes of an opened
corpus that stores only masks, if the audio is still there.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from hpss_batch.audio.recording import Recording
from hpss_batch.dsp.stft import StftParams, context, stft_frames
from hpss_batch.errors import AudioError, HpssBatchError, StoreError
from hpss_batch.runner.plan import Plan
from hpss_batch.store.corpus import Corpus
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.layout import Placed

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

Frames = Callable[[int, int], Float32]
"""Values of the frames from first to stop, shape (channel, frame, bin): magnitudes, or weights."""


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
        self.directory = plan.directory
        self.stored = _spectrogram(group, self.directory)
        if self.stored is None and plan.source is not None:
            try:
                self.directory = RunDirectory(plan.job.corpus.path)
                self.stored = _spectrogram(self.directory.group(), self.directory)
            except StoreError:
                self.stored = None

    def channels(self, row: int) -> int:
        """Channels of a track, as arrays hold them."""
        return self.catalog.rows[row].n_channels(self.catalog.channels)

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
            with self.directory.reading():
                return np.asarray(self.stored[: self.channels(row), begin + first : begin + stop])
        if self.plan.source is not None:
            raise AudioError("is known to the run directory that this one was made from only")
        stft, n_samples = self.plan.stft, self.catalog.states[row].n_samples
        placed.check_file()
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


def _spectrogram(group: zarr.Group | None, directory: RunDirectory) -> "zarr.Array[Any] | None":
    with directory.reading():
        array = None if group is None else group.get("spectrogram")
    return array if isinstance(array, zarr.Array) else None


def recorded_frames(corpus: Corpus, track: str) -> Frames | None:
    """Magnitudes by frames, computed from a track's audio as the run did; None if its file is not there, or changed.

    Parameters
    ----------
    corpus : Corpus
        A run directory.
    track : str
        A track that is done.
    """
    catalog = RunDirectory(corpus.path).catalog_or_none()
    row = catalog.rows[catalog.current[track]] if catalog else None
    if catalog is None or row is None or not _is_there(row):
        return None
    n_samples = int(corpus.tracks.sel(track=track).n_samples)
    channels = corpus.dataset.attrs["job"]["corpus"]["channels"]
    return partial(_magnitudes, row.path, n_samples, corpus.sample_rate, channels, catalog.stft)


def _is_there(row: Placed) -> bool:
    """Whether a track's file is still what it was."""
    try:
        row.check_file()
    except (OSError, AudioError):
        return False
    return True


def _magnitudes(
    path: str,
    n_samples: int,
    sample_rate: int,
    channels: Literal["mono", "all"],
    stft: StftParams,
    first: int,
    stop: int,
) -> Float32:
    """Magnitudes of some frames, shape (channel, frame, bin)."""
    start, end = stft.sample_span(first, stop)
    start, end = max(start - context(stft), 0), min(end + context(stft), n_samples)
    with Recording(path, sample_rate=sample_rate, channels=channels) as recording:
        samples = recording.read(start, end)
    frames = [stft_frames(channel, start, n_samples, first, stop, stft) for channel in samples]
    return np.abs(np.stack(frames))
