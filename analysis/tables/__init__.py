"""A table of runs: where it is read, what is checked, and what the rest of the analysis may ask of it."""
