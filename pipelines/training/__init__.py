"""Matched training: every head learns from the same batches in one pass over the data."""
