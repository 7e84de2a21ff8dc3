"""What are the samples of a track's components, from what a store holds of them?

A store with a `spectrogram` and masks (or with components) determines its components' audio, at the store's rate and
channels. Any span is had from the frames that touch it, with the bits that the whole would have there.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from hpss_batch.dsp.framing import check_nola
from hpss_batch.dsp.params import COMPONENTS, StftParams
from hpss_batch.errors import ParameterError, TrackError
from hpss_batch.store.arrays.schema import REFERENCES


def component_samples(
    track: xr.Dataset, stft: Mapping[str, Any], start: int = 0, stop: int | None = None
) -> xr.Dataset:
    """Samples of a track's components, transformed back.

    Parameters
    ----------
    track : Dataset
        As `Corpus` gives it: components on (channel, frame, frequency), stored or derived.
    stft : mapping
        The parameters of its spectrogram.
    start, stop : int
        Samples at the store's rate; all by default.

    Returns
    -------
    Dataset
        The components that can be had, float32 on (channel, sample), with the coordinate `time` [s] on `sample`.

    Raises
    ------
    TrackError
        If the store holds nothing that a component follows from.
    ParameterError
        If the spectrogram cannot be inverted, or the span is not within the track.
    """
    from hpss_batch.dsp.stft import istft_samples

    found = [name for name in COMPONENTS if name in track]
    name, n_samples, rate = track.attrs["track"], track.attrs["n_samples"], track.attrs["sample_rate"]
    if not found:
        stored = ", ".join(map(str, track.data_vars)) or "no arrays"
        raise TrackError(
            f"{name}: the store holds {stored}; samples need spectrogram and masks, or harmonic and percussive, in "
            "output.arrays. `hpss-batch render` makes stems from the audio"
        )
    params = StftParams(**stft)
    check_nola(params)
    stop = n_samples if stop is None else stop
    if not 0 <= start <= stop <= n_samples:
        raise ParameterError(f"samples {start} to {stop} are not within the {n_samples} of {name}")
    n_frames = track.sizes["frame"]
    first, end = params.frame_span(start, stop, n_frames)
    variables = {}
    for component in found:
        frames = (
            track[component].isel(frame=slice(first, end)).transpose("channel", "frame", "frequency").values
        )
        samples = np.empty((len(frames), stop - start), np.float32)
        for held, out in zip(frames, samples, strict=True):
            istft_samples(np.ascontiguousarray(held), first, n_frames, start, stop, params, out)
        about = {"units": "1", "long_name": f"{component} component, samples"}
        variables[component] = (("channel", "sample"), samples, about)
    time = ("sample", np.arange(start, stop) / rate, {"units": "s", "long_name": "time within the track"})
    attributes = {"track": name, "sample_rate": rate, "references": REFERENCES}
    return xr.Dataset(variables, {"time": time}, attributes)
