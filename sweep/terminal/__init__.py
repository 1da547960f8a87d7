"""What a person meets in every command: options that are described, the nearest right word, how far long work has come.

It knows nothing of the pipeline, and the analysis uses it as the sweep does.
"""
