"""Pixels to mergeable integer counts."""
