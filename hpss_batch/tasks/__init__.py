"""One unit to shards: what a worker does with a task."""
