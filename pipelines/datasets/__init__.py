"""Data sets: a registry of formats, what each is recognised as, and what can be told before any training."""

from pipelines.datasets.base import Examination, Finding, Format, Item, Label, Source
from pipelines.datasets.dataset import Dataset, Recognised, open_dataset, open_source, recognise, recognised_text
from pipelines.datasets.formats import FORMATS

__all__ = [
    "FORMATS",
    "Dataset",
    "Examination",
    "Finding",
    "Format",
    "Item",
    "Label",
    "Recognised",
    "Source",
    "open_dataset",
    "open_source",
    "recognise",
    "recognised_text",
]
