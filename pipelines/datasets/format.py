"""What every data set format offers the registry: a name, how to know it, how to open it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.datasets.source import Source


@dataclass(frozen=True)
class Format:
    """One way to lay out a data set.

    title: in words, for people. recognise: the reason to take a folder for it, in a few words ("instances.json holds
    images, annotations and categories"), or None; looks at names and the heads of a few files, and never raises for
    what it finds there. open: the folder and options to a source; raises DatasetError, one line. options: what can be
    said beside the files, name to a line of help.
    """

    title: str
    recognise: Callable[[Path], str | None]
    open: Callable[[Path, Mapping[str, str]], Source]
    options: Mapping[str, str] = field(default_factory=dict)
