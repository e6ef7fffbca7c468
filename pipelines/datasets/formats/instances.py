"""Pictures with a mask for each object, united by class; or with label maps whose every value is an object."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipelines.datasets.base import Label, Source, Truth
from pipelines.datasets.formats.masks.pairing import Pairing
from pipelines.datasets.formats.masks.source import LabelMapSource, mask_format
from pipelines.datasets.formats.masks.values import BACKGROUND, ValueLabels, read_index
from pipelines.datasets.formats.per_class import LONGEST, OBJECT, OPTIONS, BinaryMasksSource
from pipelines.errors import DatasetError
from pipelines.sentences import printable


class ObjectMapsSource(LabelMapSource):
    """One mask an image: 0 is the background, every other value an object of one class."""

    def __init__(self, root: Path, paired: Pairing, options: Mapping[str, str]) -> None:
        super().__init__(root, paired, options)
        name = options["maps"].strip()
        if not name or name.casefold() == BACKGROUND or len(name) > LONGEST:
            raise DatasetError(f"maps must be the name of the objects, such as cell, got {printable(name[:60])!r}")
        self.use_labels(ValueLabels((Label(BACKGROUND, None, "background"), Label(name)), ((0,), (1,))))

    def marked(self, name: str) -> Truth:
        """Truth of an image by its mask. Raises DatasetError when its mask cannot be read."""
        path = self.masks[name][0].path
        return self.by_value.truth(read_index(path) != 0, self.shown(path))


def _open(root: Path, paired: Pairing, options: Mapping[str, str]) -> Source:
    if "maps" not in options:
        return BinaryMasksSource(root, paired, options)
    if any(len(masks) > 1 for masks in paired.masks.values()):
        raise DatasetError("maps is for one label map a picture, but pictures here have several masks; leave it out")
    return ObjectMapsSource(root, paired, options)


def _reason(root: Path, paired: Pairing) -> str | None:
    name, masks = next(iter(paired.masks.items()))
    labels = [printable(label[:60]) for label in paired.labels if label]
    of = f", of {', '.join(labels[:6])}" if labels else ""
    return f"pictures have a mask for each object, such as {len(masks)} for {printable(name[:60])}{of}"


FORMAT: Final = mask_format(
    f"pictures with a mask for each object, united by class (without one: {OBJECT})",
    "instances",
    _reason,
    _open,
    {**OPTIONS, "maps": "masks are label maps whose every value is an object of this class, such as cell"},
)
