"""Labels go through a separation unharmed, and chunks change no bit of it."""

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from test_chunked import chunked, kernels, margins, powers

from hpss_batch.dsp.hpss import hpss, masks
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.separation import separation
from hpss_batch.errors import ParameterError
from hpss_batch.labelled import separate


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def spectrogram(shape=(2, 30, 40), dims=("channel", "frame", "frequency"), dtype=np.complex64):
    rng = np.random.default_rng(0)
    values = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    values = values if np.dtype(dtype).kind == "c" else np.abs(values)
    coords = {
        dim: (dim, np.arange(size) * 0.5, {"units": "s"}) for dim, size in zip(dims, shape, strict=True)
    }
    coords["title"] = "A song"
    attrs = {"units": "1", "long_name": "complex short-time Fourier transform", "sample_rate": 44100}
    return xr.DataArray(values.astype(dtype), dims=dims, coords=coords, attrs=attrs, name="spectrogram")


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(chunked(max_leading=2), kernels, margins, powers)
def test_chunks_change_no_bit(array, kernel_size, margin, power):
    values, chunks = array
    dims = ["channel", "track", "frame", "frequency"][4 - values.ndim :]
    whole = xr.DataArray(values, dims=dims)
    lazy = whole.chunk(dict(zip(dims, chunks, strict=True)))
    for output in ("components", "masks"):
        keywords = {"kernel_size": kernel_size, "margin": margin, "power": power, "output": output}
        expected, found = separate(whole, **keywords), separate(lazy, **keywords)
        for name in expected:
            assert found[name].chunks == chunks
            assert found[name].dtype == expected[name].dtype
        xr.testing.assert_identical(found.compute(), expected)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, np.float32, np.float64])
def test_masks_are_those_of_hpss_and_parts_add_up(dtype):
    whole = spectrogram(dtype=dtype)
    options = {"kernel_size": (9, 7), "margin": (1.5, 2.0)}
    weights, parts = separate(whole, output="masks", **options), separate(whole, **options)
    for channel in range(2):
        values = whole.to_numpy()[channel]
        expected = hpss(values.T, mask=True, **options)
        for name, mask in zip(("harmonic_mask", "percussive_mask"), expected, strict=True):
            np.testing.assert_array_equal(weights[name].to_numpy()[channel], mask.T)
    real = np.float64 if dtype in (np.float64, np.complex128) else np.float32
    assert {weights[name].dtype for name in weights} == {np.dtype(real)}
    for component in ("harmonic", "percussive"):
        product = (whole * weights[f"{component}_mask"]).astype(parts[component].dtype)
        np.testing.assert_array_equal(parts[component], product)
    rest = whole - parts["harmonic"] - parts["percussive"]
    np.testing.assert_array_equal(parts["residual"], rest)
    assert abs(parts["residual"]).max() > 0


def test_integers_are_taken_as_float32():
    whole = (10 * spectrogram(dtype=np.float32)).astype(np.int16)
    xr.testing.assert_identical(separate(whole), separate(whole.astype(np.float32)))


def test_hard_masks_are_zeros_and_ones():
    weights = separate(spectrogram(), power=np.inf, output="masks")
    assert weights["harmonic_mask"].dtype == np.float32
    assert set(np.unique(weights["harmonic_mask"])) == {0, 1}


def test_labels_are_kept():
    whole = spectrogram()
    parts = separate(whole, kernel_size=5, margin=2.0)
    assert list(parts) == ["harmonic", "percussive", "residual"]
    assert set(parts.coords) == set(whole.coords)
    for name, coordinate in whole.coords.items():
        xr.testing.assert_identical(parts[name].variable, coordinate.variable)
    assert parts["harmonic"].dims == whole.dims
    assert parts["harmonic"].attrs["units"] == "1"
    assert parts["harmonic"].attrs["sample_rate"] == 44100
    assert parts["harmonic"].attrs["long_name"].startswith("harmonic component")
    assert "Fitzgerald" in parts["residual"].attrs["references"]
    assert parts.attrs == {"hpss_kernel_size": [5, 5], "hpss_power": 2.0, "hpss_margin": [2.0, 2.0]}
    assert whole.attrs["long_name"] == "complex short-time Fourier transform"


def test_masks_have_no_unit():
    whole = spectrogram().assign_attrs(units="Pa")
    assert separate(whole)["harmonic"].attrs["units"] == "Pa"
    assert separate(whole, output="masks")["harmonic_mask"].attrs["units"] == "1"


@pytest.mark.parametrize("dims", [("frequency", "time"), ("Time", "Bin"), ("f", "t"), ("bins", "frames")])
def test_dims_are_found_in_any_order(dims):
    whole = spectrogram((20, 33), dims)
    parts = separate(whole, kernel_size=(9, 5), output="masks")
    frames = next(i for i, dim in enumerate(dims) if dim.lower()[0] == "t" or dim == "frames")
    assert parts["harmonic_mask"].dims == dims
    magnitude = np.abs(whole.to_numpy() if frames == 0 else whole.to_numpy().T)
    expected = masks(np.ascontiguousarray(magnitude), separation(HpssParams((9, 5))))[0]
    found = parts["harmonic_mask"].to_numpy()
    np.testing.assert_array_equal(found if frames == 0 else found.T, expected)


def test_dims_may_be_named():
    whole = spectrogram((20, 30, 3), ("y", "x", "time"))
    found = separate(whole, frame_dim="x", frequency_dim="y")
    expected = separate(whole.rename(time="channel", x="frame", y="frequency"))
    np.testing.assert_array_equal(found["harmonic"], expected["harmonic"])


def test_a_reversed_view_has_the_bits_of_its_copy():
    whole = spectrogram()[:, ::-1, ::-1]
    xr.testing.assert_identical(separate(whole), separate(whole.copy(deep=True)))
    xr.testing.assert_identical(separate(whole.chunk(frame=7)).compute(), separate(whole))


def test_of_a_dataset_the_spectrogram_is_separated():
    whole = spectrogram()
    dataset = xr.Dataset(
        {"magnitude": abs(whole), "spectrogram": whole}, coords={"room": "hall"}, attrs={"history": "made"}
    )
    parts = separate(dataset)
    np.testing.assert_array_equal(parts["harmonic"], separate(whole)["harmonic"])
    assert parts.coords["room"] == "hall"
    assert parts.attrs["history"] == "made"
    from_magnitude = separate(dataset.drop_vars("spectrogram"), output="masks")
    xr.testing.assert_equal(from_magnitude, separate(dataset, output="masks"))


@pytest.mark.parametrize("shape", [(0, 40), (30, 0), (1, 1), (1, 1025), (300, 1)])
def test_sizes_at_the_edge_of_sense(shape):
    whole = spectrogram(shape, ("frame", "frequency"))
    assert separate(whole)["residual"].shape == shape
    xr.testing.assert_identical(separate(whole.chunk()).compute(), separate(whole))


def test_nothing_is_computed_before_it_is_wanted():
    def never(block):
        raise AssertionError("computed")

    whole = spectrogram().chunk(frame=4, frequency=11)
    whole = whole.copy(data=whole.data.map_blocks(never, dtype=whole.dtype, meta=whole.data._meta))
    for output in ("components", "masks"):
        parts = separate(whole, output=output)
        assert all(parts[name].chunks == whole.chunks for name in parts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output": "both"}, "output='both' is not allowed: give 'components' or 'masks'"),
        ({"frame_dim": "track"}, "frame_dim='track' is not a dimension .* 'channel', 'frame', 'frequency'"),
        ({"frame_dim": "frequency"}, "both 'frequency'"),
        ({"kernel_size": 0}, "kernel_size"),
        ({"margin": 0.5}, "margin"),
    ],
)
def test_impossible_parameters_are_named(change, said):
    with pytest.raises(ParameterError, match=said):
        separate(spectrogram(), **change)


def test_what_cannot_be_separated_is_refused():
    with pytest.raises(ParameterError, match="none of them is called one of frame"):
        separate(spectrogram().rename(frame="x"))
    with pytest.raises(ParameterError, match=r"more than one .* name it with frame_dim="):
        separate(spectrogram().rename(channel="time"))
    with pytest.raises(ParameterError, match="holds audio, but no variable named spectrogram"):
        separate(spectrogram().to_dataset(name="audio"))
    with pytest.raises(ParameterError, match="is a ndarray"):
        separate(spectrogram().to_numpy())
    with pytest.raises(ParameterError, match="give numbers"):
        separate(spectrogram(dtype=np.float32) > 0)
    with pytest.raises(ParameterError, match="nan"):
        separate(spectrogram() * np.nan)
