"""Claims, the rules declared for them, and what the table says of each."""
