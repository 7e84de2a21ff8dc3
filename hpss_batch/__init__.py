"""Harmonic/percussive source separation of whole audio corpora, on Dask and Zarr."""

__version__ = "0.1.0"
