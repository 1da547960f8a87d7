"""The verbs of `python -m sweep`, one file a group."""
