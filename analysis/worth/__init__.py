"""What one of an arm's problems is worth in the baseline's: the multiplier, its interval and its words."""
