"""Pictures with a mask for each object, united by class; or with label maps whose every value is an object."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.datasets.base import Format, Label, Source, Truth
from pipelines.datasets.formats.masks import paired, paired_values
from pipelines.datasets.formats.masks.paired import Match
from pipelines.datasets.formats.masks.paired_labels import BACKGROUND, empty_layers
from pipelines.datasets.formats.masks.paired_names import shown
from pipelines.datasets.formats.masks.paired_source import OPTIONS, MaskSource, mostly_paired, sampled
from pipelines.datasets.formats.masks.per_class import BINARY_OPTIONS, OBJECT, BinaryMasksSource
from pipelines.errors import DatasetError

_LONGEST: Final = 200


class InstancesSource(BinaryMasksSource):
    """Several binary masks a class; where nothing tells a class, all show one called object."""


class ObjectMapsSource(MaskSource):
    """One mask an image: 0 is the background, every other value an object of one class."""

    exclusive = True
    complete = True

    def __init__(self, root: Path, found: Match, options: Mapping[str, str]) -> None:
        super().__init__(root, found, options)
        name = options["maps"].strip()
        if not name or name.casefold() == BACKGROUND or len(name) > _LONGEST:
            raise DatasetError(f"maps must be the name of the objects, such as cell, got {shown(name)!r}")
        self.labels = (Label(BACKGROUND, None, "background"), Label(name))

    def marked(self, name: str) -> Truth:
        """Truth of an image by its masks. Raises DatasetError when its mask cannot be read."""
        path = self.masks[name][0].path
        values = paired_values.read_index(path)
        layers = empty_layers(2, values.shape, self.shown(path))
        np.not_equal(values, 0, out=layers[1])
        np.equal(values, 0, out=layers[0])
        return Truth(layers, np.ones(values.shape, np.bool_))


def _recognise(root: Path) -> str | None:
    found = sampled(root)
    if found is None or found.layout != "instances" or not mostly_paired(found):
        return None
    name, some = next(iter(found.masks.items()))
    labels = [shown(label) for label in found.labels if label]
    of = f", of {', '.join(labels[:6])}" if labels else ""
    return f"pictures have a mask for each object, such as {len(some)} for {shown(name)}{of}"


def _open(root: Path, options: Mapping[str, str]) -> Source:
    found = paired.match(root, options)
    if "maps" in options:
        if any(len(some) > 1 for some in found.masks.values()):
            raise DatasetError(
                "maps is for one label map a picture, but pictures here have several masks; leave it out"
            )
        return ObjectMapsSource(root, found, options)
    return InstancesSource(root, found, options)


FORMAT = Format(
    f"pictures with a mask for each object, united by class (without one: {OBJECT})",
    _recognise,
    _open,
    {
        **OPTIONS,
        **BINARY_OPTIONS,
        "maps": "masks are label maps whose every value is an object of this class, such as cell",
    },
)
