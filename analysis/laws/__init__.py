"""Laws of error against dataset size, and how they are fitted."""
