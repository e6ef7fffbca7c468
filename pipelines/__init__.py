"""Batch pipelines: from a data set to paired sigmoid and softmax U-Nets, their predictions, counts and a verdict."""

__version__ = "0.1.0"
