"""Pictures with one mask a class: folders or file names tell the class, and masks may overlap."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray
from pipelines.datasets import imageio
from pipelines.datasets.base import Finding, Format, Label, Source, Truth
from pipelines.datasets.formats.masks import paired, paired_values
from pipelines.datasets.formats.masks.indexed import read_threshold
from pipelines.datasets.formats.masks.paired import Mask, Match
from pipelines.datasets.formats.masks.paired_labels import empty_layers
from pipelines.datasets.formats.masks.paired_names import role_of, shown
from pipelines.datasets.formats.masks.paired_source import OPTIONS, MaskSource, mostly_paired, one_each, sampled
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS

OBJECT: Final = "object"  # what masks show whose class nothing tells
_LONGEST: Final = 200
BINARY_OPTIONS: Final[dict[str, str]] = {
    "threshold": "soft masks: the value from which a pixel belongs, such as 128; else masks hold two values",
    "missing": "empty: pictures without any mask show nothing; else they are left out",
}


class BinaryMasksSource(MaskSource):
    """Binary masks united by the class that folders or names tell; also several masks a class."""

    exclusive = False

    def __init__(self, root: Path, found: Match, options: Mapping[str, str]) -> None:
        said = options.get("missing", "").strip().casefold()
        if said not in ("", "empty"):
            raise DatasetError(f"missing must be empty or left out, got {said[:50]!r}")
        super().__init__(root, found, options, empty=said == "empty")
        self._threshold = read_threshold(options)
        names = sorted({_label(mask) for some in self.masks.values() for mask in some})
        if len(names) > MAX_LABELS:
            raise DatasetError(f"folders and names tell {len(names):,} classes, allowed are {MAX_LABELS:,}; use fewer")
        self.labels = tuple(Label(name, None, role_of(name)) for name in names)
        self._at = {name: index for index, name in enumerate(names)}
        self.exclusive = len(names) == 1

    def marked(self, name: str) -> Truth:
        """Truth of an image by its masks. Raises DatasetError when a mask cannot be read or their sizes differ."""
        layers: BoolArray | None = None
        findings: list[Finding] = []
        for mask in self.masks[name]:
            values = paired_values.read_index(mask.path)
            if layers is None:
                layers = empty_layers(len(self.labels), values.shape, self.shown(mask.path))
            elif values.shape != layers.shape[1:]:
                raise DatasetError(self._size_message(name, mask, values.shape, layers.shape[1:]))
            layers[self._at[_label(mask)]] |= self._decode(mask, values, findings)
        if layers is None:
            layers = empty_layers(len(self.labels), self.picture(name).own, name)
        return Truth(layers, np.ones(layers.shape[1:], np.bool_), tuple(findings))

    def _decode(self, mask: Mask, values: NDArray[Any], findings: list[Finding]) -> BoolArray:
        if self._threshold is not None:
            return values >= self._threshold
        found = _distinct(values)
        if len(found) > 2 or (len(found) == 2 and found[0] != 0):
            problem = (
                f"{self.shown(mask.path)} holds {imageio.list_values(found)}, allowed are 0 and one other value; say "
                "from which value a pixel belongs, such as threshold=128, or save the mask with 0 and 255"
            )
            findings.append(Finding.error("MASK-VALUES", problem))
        return values != 0

    def _size_message(self, name: str, mask: Mask, shape: tuple[int, ...], other: tuple[int, ...]) -> str:
        return (
            f"the masks of {name} differ in size: {self.shown(mask.path)} is {shape[1]}×{shape[0]}, another "
            f"{other[1]}×{other[0]}; save them at the size of the picture"
        )


def _label(mask: Mask) -> str:
    """The class of a mask; names that are no text (not UTF-8) have their odd bytes replaced."""
    return mask.label.encode("utf-8", "replace").decode()[:_LONGEST] or OBJECT


def _distinct(values: NDArray[Any]) -> list[int]:
    if values.dtype == np.uint8:
        return [int(one) for one in np.flatnonzero(np.bincount(values.ravel(), minlength=1))]
    return [int(one) for one in np.unique(values)]


def twice(root: Path, found: Match) -> Iterable[Finding]:
    """Pictures with two masks of one class, where there should be one."""
    for name, some in found.masks.items():
        labels = [mask.label for mask in some]
        double = next((label for label in labels if labels.count(label) > 1), None)
        if double is not None:
            problem = (
                f"{name} has several masks of the class {shown(double)}; they are united, remove one if that is wrong"
            )
            yield Finding.warning("NAME-TWICE", problem)


class PerClassSource(BinaryMasksSource):
    """One binary mask a class; a class without a mask is not in the picture."""

    def __init__(self, root: Path, found: Match, options: Mapping[str, str]) -> None:
        super().__init__(root, found, options)
        self.findings = (*self.findings, *list(twice(root, found))[:20])


def _recognise(root: Path) -> str | None:
    found = sampled(root)
    if found is None or found.layout != "classes" or not mostly_paired(found) or one_each(found):
        return None
    return f"pictures have a mask for each class: {', '.join(shown(label) for label in found.labels[:6])}"


def _open(root: Path, options: Mapping[str, str]) -> Source:
    return PerClassSource(root, paired.match(root, options), options)


FORMAT = Format(
    "pictures with one mask a class, in folders or files named after the class",
    _recognise,
    _open,
    {**OPTIONS, **BINARY_OPTIONS},
)
