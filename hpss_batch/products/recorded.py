"""What are the magnitudes of a track of which only masks are stored? Its audio's, if that is still there."""

import os
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.recording import Recording
from hpss_batch.dsp.stft import StftParams, context, stft_frames
from hpss_batch.products.raster import Frames
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.corpus import Corpus
from hpss_batch.store.layout import Placed
from hpss_batch.store.storage import open_folder

Float32 = NDArray[np.float32]


def recorded_frames(corpus: Corpus, track: str) -> Frames | None:
    """Magnitudes by frames, computed from a track's audio as the run did; None if its file is not there, or changed.

    Parameters
    ----------
    corpus : Corpus
        A run directory.
    track : str
        A track that is done.
    """
    catalog = Catalog.read(open_folder(corpus.path))
    row = catalog.rows[catalog.current[track]] if catalog else None
    if catalog is None or row is None or not _is_there(row):
        return None
    n_samples = int(corpus.tracks.sel(track=track).n_samples)
    channels = corpus.dataset.attrs["job"]["corpus"]["channels"]
    return partial(_magnitudes, row.path, n_samples, corpus.sample_rate, channels, catalog.stft)


def _is_there(row: Placed) -> bool:
    """Whether a track's file is still what it was."""
    try:
        found = os.stat(row.path)
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (row.source_size, row.source_mtime)


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
