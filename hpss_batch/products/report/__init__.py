"""One page on a run directory, to look at and listen to."""
