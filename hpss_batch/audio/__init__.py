"""One recording: what its file holds, and any span of its samples, always with the same bits."""
