"""Pictures with one mask each, whose colour is the label: RGB images with a table of colours, given or found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipelines.datasets.formats.masks import colors, reading
from pipelines.datasets.formats.masks.pairing import Pairing
from pipelines.datasets.formats.masks.source import LabelMapSource, mask_format

_COLOR_MODES: Final = frozenset({"RGB", "RGBA", "P", "PA", "LA", "CMYK"})


class ColoredSource(LabelMapSource):
    """One mask an image; labels are the colours of all masks, or those of a table."""

    def __init__(self, root: Path, paired: Pairing, options: Mapping[str, str]) -> None:
        super().__init__(root, paired, options)
        self.only_one_each()
        self.use_labels(*colors.read_colors(root, self.mask_paths(), self.names_folders(), options))


def _reason(root: Path, paired: Pairing) -> str | None:
    masks = paired.first_masks()
    in_colors = [reading.mode_of(path) in _COLOR_MODES for path in masks if reading.has_head(path)]
    if not 2 * sum(in_colors) > len(in_colors) or reading.holds_indices(masks):
        return None
    return f"every picture has one mask in colours, such as {masks[0].relative_to(root).as_posix()[:100]!r}"


FORMAT: Final = mask_format(
    "pictures with one mask each, whose colour is the label", "one", _reason, ColoredSource, colors.OPTIONS
)
