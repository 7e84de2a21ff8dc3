"""Run directories in buckets: files that are objects, packed where they are many, on servers that keep them."""
