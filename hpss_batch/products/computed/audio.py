"""How does one look at one song? As a dataset that is computed where it is read: `open_audio`, and xarray's engine."""

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from hpss_batch.errors import CorpusError

ARRAYS = ("spectrogram", "harmonic_mask", "percussive_mask", "harmonic", "percussive", "residual")
"""What a song has unless something else is asked for."""

EXTENSIONS = (
    ".aif",
    ".aifc",
    ".aiff",
    ".au",
    ".caf",
    ".flac",
    ".mp3",
    ".oga",
    ".ogg",
    ".opus",
    ".rf64",
    ".w64",
    ".wav",
)
"""What files are called that xarray is told to open here even without an engine's name: no other knows them."""


def open_audio(
    path: str | os.PathLike[str],
    *,
    method: str | None = None,
    arrays: Iterable[str] = ARRAYS,
    features: bool | Mapping[str, Any] | None = None,
    stft: Mapping[str, Any] | None = None,
    hpss: Mapping[str, Any] | None = None,
    sample_rate: int | None = None,
    channels: str = "all",
    decoder: str = "auto",
) -> xr.Dataset:
    """Open a recording as labelled spectrograms, masks and components, which are computed where they are read.

    ``xr.open_dataset("song.flac", engine="hpss_batch", method="banded")`` is the same, with xarray's own parameters
    besides, such as ``chunks={}`` for Dask. Each array costs what the span of frames that is read of it does, and has
    the bits that a run stores.

    Parameters
    ----------
    path : path or URL
        An audio file.
    method : str, optional
        One of `hpss_batch.methods`; "librosa" by default. `stft` follows it unless given.
    arrays : iterable of str
        As `output.arrays` of a job; these and magnitude may be asked for.
    features : bool or mapping, optional
        As `output.features` of a job, such as ``{"kinds": ["rms"]}``.
    stft, hpss : mapping, optional
        As in a job, such as ``{"n_fft": 4096}`` and ``{"margin": 3}``.
    sample_rate : int, optional
        Hz; the file's own by default.
    channels : {"all", "mono"}
        Every channel, or their mean.
    decoder : {"auto", "libsndfile", "ffmpeg"}
        What reads the file.

    Returns
    -------
    xr.Dataset
        Dims (channel, frame, frequency), coordinates `time` [s] and `frequency` [Hz]. Indexing it reads nothing;
        arithmetic does, and all of an array that was not cut before.

    Raises
    ------
    ConfigError
        If a parameter is not allowed.
    CorpusError
        If the file is not there, or cannot be read as audio.
    """
    from hpss_batch.products.computed.corpus import ComputedCorpus, planned

    separation = {**(hpss or {}), **({"method": method} if method is not None else {})}
    job = {
        "corpus": {"sample_rate": sample_rate, "channels": channels, "decoder": decoder},
        "hpss": separation,
        "stft": dict(stft or {}),
        "output": {"arrays": [*arrays], "features": features},
    }
    corpus = ComputedCorpus(planned(path, job))
    if len(corpus.tracks.track) != 1:
        raise CorpusError(
            f"{os.fspath(path)} is not one recording; `hpss_batch.open_corpus(path, job)` opens folders and manifests"
        )
    return corpus.lazy(str(corpus.tracks.track.values[0]))


class AudioBackend(BackendEntrypoint):
    """Lets ``xr.open_dataset(path, engine="hpss_batch")`` open recordings; its parameters are those of `open_audio`."""

    description = "Spectrograms, masks and components of audio files, computed where they are read"
    open_dataset_parameters: ClassVar = (
        *("filename_or_obj", "drop_variables", "method", "arrays", "features", "stft", "hpss"),
        *("sample_rate", "channels", "decoder"),
    )

    def open_dataset(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None, **options: Any
    ) -> xr.Dataset:
        """Open a recording; see `open_audio`."""
        return open_audio(filename_or_obj, **options).drop_vars(drop_variables or [], errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it is called like audio."""
        return (
            isinstance(filename_or_obj, str | os.PathLike)
            and PurePath(filename_or_obj).suffix.lower() in EXTENSIONS
        )
