"""What would a store hold, if a job had been run? Arrays that are computed from the audio as they are read."""
