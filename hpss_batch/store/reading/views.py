"""What does a track look like to its reader? Decoded, in chunks, with what follows from what is stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr

from hpss_batch.dsp.params import COMPONENTS
from hpss_batch.store.arrays.schema import MASKS, Coding


def fits(values: Any, end: int) -> bool:
    """Whether whole numbers lie between -end and end."""
    return bool(np.all((np.asarray(values) > -end) & (np.asarray(values) < end)))


def plain(value: Any) -> Any:
    """A fact as an attribute that every netCDF holds: of whole numbers version 3 has those of 32 bits."""
    if isinstance(value, np.integer) and not fits(value, 2**31):
        return float(value) if fits(value, 2**53) else str(value)
    return value.item() if isinstance(value, np.generic) else value


def chunk_frames(group: zarr.Group, names: list[str]) -> int:
    """Frames of a Zarr chunk, which a Dask chunk gets as well, with all bins; -1, which means all, if none is cut."""
    for name in names:
        array = group[name]
        if isinstance(array, zarr.Array) and array.ndim >= 2:
            return array.chunks[1]
    return -1


def decoded(view: xr.Dataset) -> xr.Dataset:
    """Values, float32 where they are stored as codes; xarray's own CF decoding would take float64 for them."""
    for name, codes in list(view.data_vars.items()):
        coding = Coding.of(str(name), codes.dtype, codes.attrs)
        if coding is not None:
            view[name] = xr.apply_ufunc(coding.decode, codes, dask="parallelized", output_dtypes=[np.float32])
            view[name].attrs = {k: v for k, v in codes.attrs.items() if k not in coding.attributes}
    for variable in view.variables.values():
        variable.attrs.pop("coordinates", None)
    return view


def with_derived(view: xr.Dataset, job: Mapping[str, Any]) -> xr.Dataset:
    """Add what follows from the variables that are there."""
    hpss = job.get("hpss", {})
    harmonic, percussive = MASKS
    if hpss.get("margin") in (1.0, [1.0, 1.0]) and hpss.get("power") != "inf":
        for missing, other in ((harmonic, percussive), (percussive, harmonic)):
            if missing not in view and other in view:
                view[missing] = 1 - view[other]
                view[missing].attrs = view[other].attrs | {
                    "long_name": f"weight of the {missing.removesuffix('_mask')} component",
                    "comment": f"1 - {other}, to rounding",
                }
    for component, mask in zip(COMPONENTS, MASKS, strict=False):
        if component not in view and mask in view and "spectrogram" in view:
            view[component] = view.spectrogram * view[mask]
            view[component].attrs = {"long_name": f"{component} component", "units": "1"}
    if "residual" not in view and {"spectrogram", "harmonic", "percussive"} <= set(view.data_vars):
        view["residual"] = view.spectrogram - view.harmonic - view.percussive
        view["residual"].attrs = {"long_name": "residual component", "units": "1"}
    return view
