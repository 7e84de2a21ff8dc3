"""Windows and batches of a run directory, to train on."""
