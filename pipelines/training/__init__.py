"""Matched training: every head learns from the same batches in one pass over the data."""

from pipelines.training.loop import train_pair

__all__ = ["train_pair"]
