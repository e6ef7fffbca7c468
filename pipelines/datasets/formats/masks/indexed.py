"""Pictures with one mask each, whose value is the label: grey or palette images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.datasets.base import Format, Label, Source, Truth
from pipelines.datasets.formats import tiff_images
from pipelines.datasets.formats.masks import paired, paired_names, paired_values
from pipelines.datasets.formats.masks.paired import Match
from pipelines.datasets.formats.masks.paired_labels import (
    BACKGROUND,
    ValueLabels,
    empty_layers,
    unreadable,
    value_labels,
)
from pipelines.datasets.formats.masks.paired_source import (
    OPTIONS,
    MaskSource,
    first_masks,
    mostly_paired,
    one_each,
    sampled,
)
from pipelines.errors import DatasetError

INDEX_MODES: Final = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})
_FOREGROUND: Final = "foreground"


class IndexedSource(MaskSource):
    """One mask an image; labels are the values of all masks, each looked at once when the set is opened."""

    exclusive = True
    complete = True

    def __init__(self, root: Path, found: Match, options: Mapping[str, str]) -> None:
        super().__init__(root, found, options)
        self.only_one_each()
        self._threshold = read_threshold(options)
        if self._threshold is not None:
            self._values = ValueLabels((Label(BACKGROUND, None, "background"), Label(_FOREGROUND)), ((0,), (1,)))
        else:
            names = paired_names.find_names(root, self.names_folders(), options)
            seen = paired_values.look(self.mask_paths(), "index")
            self._values, findings = value_labels(seen, names)
            self.findings = (*self.findings, *unreadable(seen, root), *findings)
            self.tables = () if names is None else (names.path,)
        self.labels = self._values.labels

    def marked(self, name: str) -> Truth:
        """Truth of an image by its masks. Raises DatasetError when its mask cannot be read."""
        path = self.masks[name][0].path
        values = paired_values.read_index(path)
        if self._threshold is not None:
            layers = empty_layers(2, values.shape, self.shown(path))
            layers[1] = values >= self._threshold
            layers[0] = ~layers[1]
            return Truth(layers, np.ones(values.shape, np.bool_))
        return self._values.truth(values, self.shown(path))


def read_threshold(options: Mapping[str, str]) -> int | None:
    """The option threshold. Raises DatasetError unless it is a whole number from 1 to 65535."""
    said = options.get("threshold")
    if said is None:
        return None
    if not (said.strip().isascii() and said.strip().isdigit() and 1 <= int(said.strip()[:9]) <= 65535):
        raise DatasetError(f"threshold must be a whole number from 1 to 65535, such as 128, got {said[:50]!r}")
    return int(said)


def holds_indices(paths: list[Path]) -> bool:
    """Whether masks hold one value a pixel, told by their heads; colour images by whether all of them are grey."""
    modes = [paired_values.mode_of(path) for path in paths]
    if not modes or not all(modes):
        return bool(modes) and all(mode or tiff_images.is_tiff(path) for mode, path in zip(modes, paths, strict=True))
    if all(mode in INDEX_MODES for mode in modes):
        palettes = [paired_values.palette_of(path) for path in paths]
        return all(_agree(palettes[0], other) for other in palettes)
    return all(mode in INDEX_MODES or _grey(path) for mode, path in zip(modes, paths, strict=True))


def _agree(palette: list[str], other: list[str]) -> bool:
    """Whether one palette begins with the other, as those of one table do that were cut to the colours in use."""
    return all(a == b for a, b in zip(palette, other, strict=False))


def _grey(path: Path) -> bool:
    try:
        return path.stat().st_size < 1 << 22 and paired_values.read_index(path).ndim == 2
    except (DatasetError, OSError):
        return False


def _recognise(root: Path) -> str | None:
    found = sampled(root)
    if found is None or not one_each(found) or not mostly_paired(found) or not holds_indices(first_masks(found)):
        return None
    mask = next(iter(found.masks.values()))[0].path
    return f"every picture has one mask with a value a pixel, such as {mask.relative_to(root).as_posix()[:100]!r}"


def _open(root: Path, options: Mapping[str, str]) -> Source:
    found = paired.match(root, options)
    return IndexedSource(root, found, options)


FORMAT = Format(
    "pictures with one mask each, whose value is the label",
    _recognise,
    _open,
    {**OPTIONS, "threshold": "grey masks with soft edges: the value from which a pixel is foreground, such as 128"},
)
