"""What does a file hold, by its own structure, and what is wrong with it? Headers, chunks, pages and frames."""
