"""The paper's figures, one entry each in registry.py, and the page that shows them all."""
