"""The run directory, on disk or in a bucket: records that never change, and arrays that follow from them."""
