"""Pictures of a track and its parts."""
