"""Hugging Face data sets as they lie on the disk."""
