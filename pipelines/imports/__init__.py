"""Predictions and models of other people to runs (docs/import-predictions.md, docs/import-models.md)."""
