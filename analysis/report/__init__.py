"""The page, its tables, and what it was made from."""
