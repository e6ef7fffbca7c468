"""Formats of data sets, one module each; `pipelines.datasets.registry` lists them."""
