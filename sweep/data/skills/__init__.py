"""The procedural domain: its world of functions, its problems and teacher, and what a base is pretrained on."""
