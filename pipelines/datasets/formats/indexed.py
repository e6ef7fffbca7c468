"""Pictures with one mask each, whose value is the label: grey or palette images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from pipelines.datasets.base import Finding
from pipelines.datasets.formats.masks import reading, tables, values
from pipelines.datasets.formats.masks.pairing import Pairing
from pipelines.datasets.formats.masks.source import LabelMapSource, mask_format, why_no_masks
from pipelines.datasets.formats.masks.values import ValueLabels
from pipelines.sentences import first_of


class IndexedSource(LabelMapSource):
    """One mask an image; labels are the values of all masks, each looked at once when the set is opened."""

    _palette: tuple[str, ...] = ()

    def __init__(self, root: Path, paired: Pairing, options: Mapping[str, str]) -> None:
        super().__init__(root, paired, options)
        self.only_one_each()
        if self.threshold is not None or self.grey:
            self.use_labels(ValueLabels.two(None if self.grey else self.threshold))
        else:
            names = tables.find_names(root, self.names_folders(), options)
            held = reading.count_marks(self.mask_paths(), self.read_marks, "alpha" if self.by_alpha else "values")
            noted: list[Finding] = []
            self._palette = reading.palette_beside_colors(held)
            if self._palette:
                unread = held.unreadable
                held = reading.count_marks(self.mask_paths(), self.read_marks, self._palette)
                read = [self.shown(path) for path in unread if path in held.files]
                problem = f"masks in colours, read as their indices in the palette of the others: {first_of(read, 3)}"
                noted += [Finding.note("PALETTE-READ", problem)] if read else []
            labels, findings = values.value_labels(held, names, unnamed=self.unnamed)
            self.use_labels(labels, names, [*held.findings(root), *noted, *findings])

    def read_marks(self, path: Path) -> NDArray[Any]:
        """The values of a mask, (H, W), of one in colours by the palette of the others. Raises DatasetError."""
        return reading.read_by_palette(path, self._palette) if self._palette else super().read_marks(path)


def _reason(root: Path, paired: Pairing) -> str | None:
    if not reading.holds_indices(paired.first_masks()):
        return None
    mask = next(iter(paired.masks.values()))[0].path
    return f"every picture has one mask with a value a pixel, such as {mask.relative_to(root).as_posix()[:100]!r}"


FORMAT: Final = mask_format(
    "pictures with one mask each, whose value is the label",
    "one",
    _reason,
    IndexedSource,
    {"threshold": "soft masks: the value from which a pixel is foreground, such as 128, or 0.5 of the most they hold"},
    why_not=why_no_masks,
)
