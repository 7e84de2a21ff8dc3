"""How is a labelled spectrogram separated: xarray in, xarray out, eager on NumPy, lazy on Dask?

`separate` finds the frames and the frequencies of an array by the names of its dimensions and gives back a
dataset with the same dimensions, coordinates and chunks. However the array is chunked, the bits are the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hpss_batch.chunked import is_dask, overlapped
from hpss_batch.dsp.hpss import masks
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.separation import Grid, Separation, separation
from hpss_batch.errors import ParameterError

Array = NDArray[Any]

FRAME_DIMS = ("frame", "frames", "time", "t")
FREQUENCY_DIMS = ("frequency", "frequencies", "freq", "bin", "bins", "f")

REFERENCES = (
    "Fitzgerald, D. (2010): Harmonic/percussive separation using median filtering. DAFx-10, Graz. "
    "Driedger, J., Müller, M., Disch, S. (2014): Extending harmonic-percussive separation of audio. ISMIR, Taipei."
)
LONG_NAMES = {
    "components": {
        "harmonic": "harmonic component: harmonic mask times spectrogram",
        "percussive": "percussive component: percussive mask times spectrogram",
        "residual": "residual component: spectrogram less harmonic less percussive",
    },
    "masks": {
        "harmonic_mask": "weight of the harmonic component",
        "percussive_mask": "weight of the percussive component",
    },
}


def separate(
    spectrogram: xr.DataArray | xr.Dataset,
    *,
    method: str = "librosa",
    kernel_size: Any = None,
    power: Any = None,
    margin: Any = None,
    output: Literal["components", "masks"] = "components",
    frame_dim: Hashable | None = None,
    frequency_dim: Hashable | None = None,
    sample_rate: float | None = None,
    hop_length: int | None = None,
) -> xr.Dataset:
    """Separate a labelled spectrogram into its harmonic and percussive parts.

    Parameters
    ----------
    spectrogram : xr.DataArray or xr.Dataset
        A complex spectrogram, or a magnitude (finite, not negative), with a dimension of frames and one of
        frequencies; any others (channel, track, …) are separated one by one. Of a dataset, the variable
        ``spectrogram``, or else ``magnitude``. Dask arrays may have any chunks, along every dimension.
        Integers are taken as float32.
    method : str
        One of `hpss_batch.methods`, which has what is left out of the next three.
    kernel_size, power, margin
        As in `hpss_batch.hpss`: kernel_size (frames, bins) and margin are a number or a pair. Besides, kernel_size
        may have seconds and Hz, ("0.35 s", "205 Hz"), or bands, and power be a logistic; see `Band` and `Logistic`
        of `hpss_batch.dsp.methods`, which may be given as mappings.
    output : {"components", "masks"}
        What to return.
    frame_dim, frequency_dim : hashable, optional
        The two dimensions; by default found among the names frame, frames, time, t and frequency,
        frequencies, freq, bin, bins, f.
    sample_rate, hop_length : float and int, optional
        Hz of the audio, and samples from one frame to the next, for what depends on seconds and Hz. Without them,
        these are read from coordinates: `frequency` (or of the dimension's name) in Hz, `time` (or so) in s. With
        them, n_fft is taken to be even.

    Returns
    -------
    xr.Dataset
        ``harmonic``, ``percussive`` and ``residual``, which add up to the spectrogram; or ``harmonic_mask`` and
        ``percussive_mask``, weights in [0, 1]. Dimensions, coordinates and attributes are the input's; lazy,
        and in the same chunks, if the input is.

    Raises
    ------
    ParameterError
        If a parameter is not allowed, a dimension cannot be identified, or (when computed) values are not finite.
    """
    if output not in LONG_NAMES:
        raise ParameterError(f"output={output!r} is not allowed: give 'components' or 'masks'")
    params = HpssParams(kernel_size, power, margin, method=method)
    whole = _variable(spectrogram)
    frames = _dim(whole, frame_dim, "frame_dim", FRAME_DIMS)
    frequencies = _dim(whole, frequency_dim, "frequency_dim", FREQUENCY_DIMS)
    if frames == frequencies:
        raise ParameterError(
            f"frame_dim and frequency_dim are both {frames!r}: give two different dimensions"
        )
    ordered = whole.transpose(..., frames, frequencies)
    dtype = _result_dtype(whole.dtype, output)
    how = separation(params, _grid(ordered, sample_rate, hop_length))
    kernel = partial(_components if output == "components" else _masks, how=how)
    names = LONG_NAMES[output]
    if is_dask(ordered.data):
        halo = (how.halo, how.bin_halo(ordered.shape[-1]))
        results = overlapped(ordered.data, halo, kernel, len(names), dtype)
    else:
        results = list(kernel(ordered.to_numpy(), slice(None), slice(None)))
    attributes = {**whole.attrs, "references": REFERENCES}
    if output == "masks":
        attributes["units"] = "1"
    variables = {
        name: xr.DataArray(
            data, dims=ordered.dims, attrs={**_unnamed(attributes), "long_name": long_name}
        ).transpose(*whole.dims)
        for (name, long_name), data in zip(names.items(), results, strict=True)
    }
    settings = _settings(params)
    inherited = spectrogram.attrs if isinstance(spectrogram, xr.Dataset) else {}
    return xr.Dataset(variables, coords=spectrogram.coords, attrs={**inherited, **settings})


def _variable(spectrogram: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """The array to separate."""
    if isinstance(spectrogram, xr.DataArray):
        return spectrogram
    if not isinstance(spectrogram, xr.Dataset):
        raise ParameterError(
            f"spectrogram is a {type(spectrogram).__name__}: give an xarray.DataArray or xarray.Dataset, "
            "or use hpss_batch.hpss, which takes plain arrays"
        )
    for name in ("spectrogram", "magnitude"):
        if name in spectrogram.data_vars:
            return spectrogram[name]
    held = ", ".join(map(str, spectrogram.data_vars)) or "nothing"
    raise ParameterError(
        f"the dataset holds {held}, but no variable named spectrogram or magnitude: give the one to separate"
    )


def _dim(array: xr.DataArray, given: Hashable | None, parameter: str, known: tuple[str, ...]) -> Hashable:
    """The dimension that was given, or the only one with a known name."""
    dims = ", ".join(map(repr, array.dims)) or "none"
    if given is not None:
        if given not in array.dims:
            raise ParameterError(
                f"{parameter}={given!r} is not a dimension of the spectrogram: it has {dims}"
            )
        return given
    found = [dim for dim in array.dims if str(dim).lower() in known]
    if len(found) != 1:
        few = "none" if not found else "more than one"
        raise ParameterError(
            f"the spectrogram's dimensions are {dims}, and {few} of them is called one of {', '.join(known)}: "
            f"name it with {parameter}="
        )
    return found[0]


def _settings(params: HpssParams) -> dict[str, Any]:
    """Attributes that say how it was done; JSON's text for what netCDF has no values for."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict) or (isinstance(value, tuple) and isinstance(value[0], dict)):
            return json.dumps(value)
        return list(value) if isinstance(value, tuple) else value

    values = asdict(params)
    del values["method"], values["channels"]  # the rest says it all, and channels are separated one by one
    return {f"hpss_{name}": plain(value) for name, value in values.items()}


def _grid(ordered: xr.DataArray, sample_rate: float | None, hop_length: int | None) -> Grid:
    """Seconds and Hz of the last two dimensions, as far as they are known."""
    frames, frequencies = ordered.dims[-2:]
    n_bins = ordered.shape[-1]
    bin_hz = _step(ordered, frequencies, "frequency", from_zero=True)
    seconds = _step(ordered, frames, "time")
    if sample_rate is not None:
        bin_hz = sample_rate / (2 * max(n_bins - 1, 1))
        seconds = hop_length / sample_rate if hop_length is not None else seconds
    return Grid(n_bins, bin_hz, seconds)


def _step(array: xr.DataArray, dim: Hashable, name: str, *, from_zero: bool = False) -> float | None:
    """From one value of a coordinate along a dimension to the next, on the whole; None where there is none."""
    found = next((array.coords[one] for one in (name, dim) if one in array.coords), None)
    if found is None or found.dims != (dim,) or found.size < 2 or found.dtype.kind not in "fiu":
        return None
    first, last = float(found[0]), float(found[-1])
    if not first < last < math.inf or (from_zero and first != 0):
        return None
    return (last - first) / float(found.size - 1)


def _result_dtype(dtype: np.dtype[Any], output: str) -> np.dtype[Any]:
    """Double precision stays double; everything else becomes single."""
    if dtype.kind not in "fciu":
        raise ParameterError(f"the spectrogram is of {dtype}: give numbers")
    wide = dtype in (np.float64, np.complex128)
    if dtype.kind == "c" and output == "components":
        return np.dtype(np.complex128 if wide else np.complex64)
    return np.dtype(np.float64 if wide else np.float32)


def _unnamed(attributes: dict[Hashable, Any]) -> dict[Hashable, Any]:
    """Attributes that are as true of a part as of the whole."""
    return {name: value for name, value in attributes.items() if name not in ("long_name", "standard_name")}


def _masks(block: Array, frames: slice, bins: slice, *, how: Separation) -> Array:
    """Both masks of a part of a block (..., frame, frequency), the rest being context; stacked."""
    # NumPy takes the absolute value of a reversed view by another path, with other last bits.
    block = np.ascontiguousarray(block)
    magnitude = np.abs(block) if block.dtype.kind == "c" else block
    magnitude = magnitude.astype(_result_dtype(magnitude.dtype, "masks"), copy=False)
    start, stop, _ = frames.indices(block.shape[-2])
    both = np.empty((2, *block.shape[:-2], stop - start, block.shape[-1]), magnitude.dtype)
    for leading in np.ndindex(block.shape[:-2]):
        out = (both[0][leading], both[1][leading])
        masks(magnitude[leading], how, start=start, stop=stop, out=out)
    return both[..., bins]


def _components(block: Array, frames: slice, bins: slice, *, how: Separation) -> Array:
    """Harmonic, percussive and residual of a part of a block; stacked."""
    weights = _masks(block, frames, bins, how=how)
    whole = np.ascontiguousarray(block[..., frames, bins], _result_dtype(block.dtype, "components"))
    parts = np.empty((3, *whole.shape), whole.dtype)
    # A mask weighs real and imaginary parts alike; as complex numbers they would be multiplied by zeros too.
    real = weights.dtype
    width = whole.itemsize // real.itemsize
    shape = (*whole.shape, width)
    for part, weight in zip(parts, weights, strict=False):
        np.multiply(whole.view(real).reshape(shape), weight[..., None], out=part.view(real).reshape(shape))
    np.subtract(whole, parts[0], out=parts[2])
    np.subtract(parts[2], parts[1], out=parts[2])
    return parts
