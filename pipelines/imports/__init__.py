"""Predictions and models of other people to runs (docs/imports.md, docs/import-models.md)."""
