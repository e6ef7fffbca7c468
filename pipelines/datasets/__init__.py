"""Data sets: one file a format, one registry, and what can be told before any training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.datasets import native
from pipelines.datasets.base import Dataset, Examination, Finding, Item
from pipelines.errors import DatasetError

__all__ = ["FORMATS", "Dataset", "Examination", "Finding", "Format", "Item", "open_dataset"]


@dataclass(frozen=True)
class Format:
    """One way to lay out a data set: how to open it and how to know it."""

    open: Callable[[Path], Dataset]
    recognise: Callable[[Path], bool]


FORMATS: Final[dict[str, Format]] = {"native": Format(open=native.open_native, recognise=native.recognise)}


def open_dataset(path: str | Path, *, format: str | None = None) -> Dataset:
    """Open a data set for reading; looks at names and tables, not at pixels.

    format: a name in FORMATS; None takes the first that recognises the path.
    Raises DatasetError when nothing is there, no format knows it or its tables cannot be read.
    """
    root = Path(path).expanduser().resolve()
    known = ", ".join(FORMATS)
    if format is not None and format not in FORMATS:
        raise DatasetError(f"there is no data set format {format!r}; available formats are {known}")
    if not root.is_dir():
        raise DatasetError(f"{path} is not a folder; give the folder that holds dataset.toml")
    chosen = format or next((name for name, one in FORMATS.items() if one.recognise(root)), None)
    if chosen is None:
        raise DatasetError(f"{path} is in no known format; available formats are {known} (a folder with dataset.toml)")
    return FORMATS[chosen].open(root)
