"""The native folder format as a source, so that its classes and splits can be changed without touching its files."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipelines.datasets import native
from pipelines.datasets.format import Format
from pipelines.datasets.source import Label, Picture, Source, Truth
from pipelines.datasets.splits import MADE
from pipelines.schema import SPLITS


class NativeSource(Source):
    """A native data set whose classes are labels."""

    def __init__(self, root: Path) -> None:
        self._set = native.open_native(root)
        self.root = root
        self.name = self._set.name
        self.labels = tuple(
            Label(name, color, "background" if name == self._set.background else "class")
            for name, color in zip(self._set.classes, self._set.colors, strict=True)
        )
        self.declared = self._set.kind
        self.exclusive = self._set.kind != "overlapping"
        self.complete = self._set.kind == "exclusive"
        self.priority = self._set.priority or ()
        self.groups = self._set.groups
        self.findings = tuple(finding for finding in self._set.structure() if finding.code != MADE)
        if self.findings == self._set.structure():  # the files give the splits
            self.splits = {split: self._set.images(split) for split in SPLITS}

    def names(self) -> tuple[str, ...]:
        """Every image, sorted."""
        return self._set.names()

    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """The picture of an image."""
        return self._set.picture(name, size=size)

    def truth(self, name: str) -> Truth:
        """Truth of an image. Raises DatasetError with the first thing that is wrong with it."""
        return self._set.truth(name)

    def head(self, name: str) -> tuple[tuple[int, int], int]:
        """Size and orientation of a picture, told by the head of its file."""
        return self._set.head(name)

    def files(self) -> Iterable[Path]:
        """Tables, images and masks."""
        return self._set.files()


def _recognise(root: Path) -> str | None:
    return native.recognise(root)


def _open(root: Path, options: Mapping[str, str]) -> Source:
    return NativeSource(root)


FORMAT = Format("dataset.toml with images/ and masks/", _recognise, _open)
