"""Pictures with several masks: one a class, or one an object; folders or file names tell the class. Masks may overlap.

Or with label maps whose every value is an object.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.arrays import BoolArray
from pipelines.datasets.base import Finding, Label, Source, Truth, blank_layers
from pipelines.datasets.formats import tiff_images
from pipelines.datasets.formats.masks import tables, values
from pipelines.datasets.formats.masks.pairing import Mask, Pairing
from pipelines.datasets.formats.masks.source import LabelMapSource, MaskSource, mask_format
from pipelines.datasets.options import choice
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.sentences import printable

_OBJECT: Final = "object"  # what masks show whose class nothing tells
_LONGEST: Final = 200
_OPTIONS: Final[dict[str, str]] = {
    "threshold": "soft masks: the value from which a pixel belongs, such as 128, or 0.5 of the most they hold; "
    "else masks hold two values",
    "missing": "empty: pictures without any mask show nothing; else they are left out",
}


class BinaryMasksSource(MaskSource):
    """Binary masks united by the class that folders or names tell; also several masks a class.

    A class without a mask is not in the picture.
    """

    def __init__(self, root: Path, paired: Pairing, options: Mapping[str, str]) -> None:
        super().__init__(root, paired, options, empty=bool(choice(options, "missing", ["empty"])))
        names = sorted({_label(mask) for masks in self.masks.values() for mask in masks})
        if len(names) > MAX_LABELS:
            raise DatasetError(f"folders and names tell {len(names):,} classes, allowed are {MAX_LABELS:,}; use fewer")
        self.labels = tuple(Label(name, None, tables.role_of(name)) for name in names)
        self._at = {name: index for index, name in enumerate(names)}
        self.exclusive = len(names) == 1

    def label_of(self, mask: Mask) -> int | None:
        """The label that folders or the name of a mask tell."""
        return self._at.get(_label(mask))

    def marked(self, name: str) -> Truth:
        """Truth of an image by its masks. Raises DatasetError when a mask cannot be read or their sizes differ."""
        layers: BoolArray | None = None
        valid = np.ones((), np.bool_)
        findings: list[Finding] = []
        for mask in self.masks[name]:
            marks = self.read_marks(mask.path)
            if layers is None:
                layers = blank_layers(len(self.labels), marks.shape, self.shown(mask.path))
            if marks.shape != layers.shape[1:]:
                raise DatasetError(
                    f"the masks of {name} differ in size: {self.shown(mask.path)} is {marks.shape[1]}×{marks.shape[0]},"
                    f" another {layers.shape[2]}×{layers.shape[1]}; save them at the size of the picture"
                )
            valid = valid & tiff_images.has_value(marks)
            layers[self._at[_label(mask)]] |= self.foreground(
                mask.path, marks, findings, advice=", or save the mask with 0 and 255"
            )
        if layers is None:
            layers = blank_layers(len(self.labels), self.picture(name).own, name)
        valid = np.broadcast_to(valid, layers.shape[1:])
        return Truth(layers & valid, valid, tuple(findings))


def _label(mask: Mask) -> str:
    """The class of a mask; names that are no text (not UTF-8) have their odd bytes replaced."""
    return mask.label.encode("utf-8", "replace").decode()[:_LONGEST] or _OBJECT


def _open(root: Path, paired: Pairing, options: Mapping[str, str]) -> BinaryMasksSource:
    """The source, with a note on pictures that have two masks of one class."""
    source = BinaryMasksSource(root, paired, options)
    twice: list[Finding] = []
    for name, masks in paired.masks.items():
        labels = [mask.label for mask in masks]
        double = next((label for label in labels if labels.count(label) > 1), None)
        if double is not None:
            label = printable(double[:60])
            problem = f"{name} has several masks of the class {label}; they are united, remove one if that is wrong"
            twice.append(Finding.warning("NAME-TWICE", problem))
    source.findings = (*source.findings, *twice[:20])
    return source


def _reason(root: Path, paired: Pairing) -> str:
    return f"pictures have a mask for each class: {', '.join(printable(label[:60]) for label in paired.labels[:6])}"


FORMAT: Final = mask_format(
    "pictures with one mask a class, in folders or files named after the class", "classes", _reason, _open, _OPTIONS
)

# A mask for each object ----------------------------------------------------------------------------------------------


class ObjectMapsSource(LabelMapSource):
    """One mask an image: 0 is the background, every other value an object of one class."""

    def __init__(self, root: Path, paired: Pairing, options: Mapping[str, str]) -> None:
        super().__init__(root, paired, options)
        name = options["maps"].strip()
        if not name or name.casefold() == values.BACKGROUND or len(name) > _LONGEST:
            raise DatasetError(f"maps must be the name of the objects, such as cell, got {printable(name[:60])!r}")
        self.use_labels(values.ValueLabels((Label(values.BACKGROUND, None, "background"), Label(name)), ((0,), (1,))))

    def marked(self, name: str) -> Truth:
        """Truth of an image by its mask. Raises DatasetError when its mask cannot be read."""
        path = self.masks[name][0].path
        return self.by_value.truth(self.read_marks(path) != 0, self.shown(path))


def _open_objects(root: Path, paired: Pairing, options: Mapping[str, str]) -> Source:
    if "maps" not in options:
        return BinaryMasksSource(root, paired, options)
    if any(len(masks) > 1 for masks in paired.masks.values()):
        raise DatasetError("maps is for one label map a picture, but pictures here have several masks; leave it out")
    return ObjectMapsSource(root, paired, options)


def _reason_objects(root: Path, paired: Pairing) -> str | None:
    name, masks = next(iter(paired.masks.items()))
    labels = [printable(label[:60]) for label in paired.labels if label]
    of = f", of {', '.join(labels[:6])}" if labels else ""
    return f"pictures have a mask for each object, such as {len(masks)} for {printable(name[:60])}{of}"


INSTANCES: Final = mask_format(
    f"pictures with a mask for each object, united by class (without one: {_OBJECT})",
    "instances",
    _reason_objects,
    _open_objects,
    {**_OPTIONS, "maps": "masks are label maps whose every value is an object of this class, such as cell"},
)
