"""Batch pipelines: a data set in, paired sigmoid and softmax U-Nets, per-pixel predictions, counts, metrics and a verdict out."""

__version__ = "0.1.0"
