"""Data sets: what exists, how it gets here, and how it reaches a network."""
