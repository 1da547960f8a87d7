"""What a cell mean owes to chance: test problems, seeds, and what arms share of both."""
