"""Pictures with one mask each, whose value is the label: grey or palette images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.datasets.base import Label, Truth
from pipelines.datasets.formats import tiff_images
from pipelines.datasets.formats.masks import values
from pipelines.datasets.formats.masks.pairing import Pairing
from pipelines.datasets.formats.masks.source import MaskSource, mask_format
from pipelines.datasets.formats.masks.values import BACKGROUND, FOREGROUND, ValueLabels, empty_layers, value_labels
from pipelines.errors import DatasetError

_MODES: Final = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})


class IndexedSource(MaskSource):
    """One mask an image; labels are the values of all masks, each looked at once when the set is opened."""

    exclusive = True
    complete = True

    def __init__(self, root: Path, paired: Pairing, options: Mapping[str, str]) -> None:
        super().__init__(root, paired, options)
        self.only_one_each()
        self._threshold = read_threshold(options)
        if self._threshold is not None:
            self._values = ValueLabels((Label(BACKGROUND, None, "background"), Label(FOREGROUND)), ((0,), (1,)))
        else:
            names = values.find_names(root, self.names_folders(), options)
            seen = values.look(self.mask_paths(), "index")
            self._values, findings = value_labels(seen, names)
            self.findings = (*self.findings, *seen.findings(root), *findings)
            self.tables = () if names is None else (names.path,)
        self.labels = self._values.labels

    def marked(self, name: str) -> Truth:
        """Truth of an image by its mask. Raises DatasetError when its mask cannot be read."""
        path = self.masks[name][0].path
        index = values.read_index(path)
        if self._threshold is None:
            return self._values.truth(index, self.shown(path))
        layers = empty_layers(2, index.shape, self.shown(path))
        layers[1] = index >= self._threshold
        layers[0] = ~layers[1]
        return Truth(layers, np.ones(index.shape, np.bool_))


def read_threshold(options: Mapping[str, str]) -> int | None:
    """The option threshold. Raises DatasetError unless it is a whole number from 1 to 65535."""
    given = options.get("threshold")
    if given is None:
        return None
    if not (given.strip().isascii() and given.strip().isdigit() and 1 <= int(given.strip()[:9]) <= 65535):
        raise DatasetError(f"threshold must be a whole number from 1 to 65535, such as 128, got {given[:50]!r}")
    return int(given)


def holds_indices(paths: list[Path]) -> bool:
    """Whether masks hold one value a pixel, told by their heads; colour images by whether all of them are grey."""
    modes = [values.mode_of(path) for path in paths]
    if not modes or not all(modes):
        return bool(modes) and all(mode or tiff_images.is_tiff(path) for mode, path in zip(modes, paths, strict=True))
    if all(mode in _MODES for mode in modes):
        palettes = [values.palette_of(path) for path in paths]
        return all(_agree(palettes[0], other) for other in palettes)
    return all(mode in _MODES or _is_grey(path) for mode, path in zip(modes, paths, strict=True))


def _agree(palette: list[str], other: list[str]) -> bool:
    """Whether one palette begins with the other, as those of one table do that were cut to the colours in use."""
    return all(a == b for a, b in zip(palette, other, strict=False))


def _is_grey(path: Path) -> bool:
    try:
        return path.stat().st_size < 1 << 22 and values.read_index(path).ndim == 2
    except (DatasetError, OSError):
        return False


def _reason(root: Path, paired: Pairing) -> str | None:
    if not holds_indices(paired.first_masks()):
        return None
    mask = next(iter(paired.masks.values()))[0].path
    return f"every picture has one mask with a value a pixel, such as {mask.relative_to(root).as_posix()[:100]!r}"


FORMAT: Final = mask_format(
    "pictures with one mask each, whose value is the label",
    "one",
    _reason,
    IndexedSource,
    {"threshold": "grey masks with soft edges: the value from which a pixel is foreground, such as 128"},
)
