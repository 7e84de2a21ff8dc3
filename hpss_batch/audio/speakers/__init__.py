"""Which channel is which speaker? Layouts, and the headers of files that name them."""
