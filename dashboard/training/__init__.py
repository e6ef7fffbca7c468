"""Pieces of the page Train: the form of a training, what it would take, the jobs, and the one that is shown."""
