"""How do calls run on a Dask cluster? One is opened from a job, and calls go through it, a few at a time."""
