"""What lies in `corpus.zarr`: which arrays there are, what their codes and shards are, and what is said of tracks."""
