"""Data sets: formats, what a folder is recognised as, and what can be told before any training."""
