"""Signal processing: arrays in, arrays out. No files, no Zarr, no Dask, no xarray."""
