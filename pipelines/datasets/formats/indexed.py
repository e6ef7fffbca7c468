"""Pictures with one mask each, whose value is the label: grey or palette images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipelines.datasets.base import Label
from pipelines.datasets.formats.masks import values
from pipelines.datasets.formats.masks.pairing import Pairing
from pipelines.datasets.formats.masks.source import LabelMapSource, mask_format
from pipelines.datasets.formats.masks.values import BACKGROUND, FOREGROUND, ValueLabels


class IndexedSource(LabelMapSource):
    """One mask an image; labels are the values of all masks, each looked at once when the set is opened."""

    def __init__(self, root: Path, paired: Pairing, options: Mapping[str, str]) -> None:
        super().__init__(root, paired, options)
        self.only_one_each()
        if self.threshold is not None or self.grey:
            two = (Label(BACKGROUND, None, "background"), Label(FOREGROUND))
            self.use_labels(ValueLabels(two, ((0,), (1,)), threshold=None if self.grey else self.threshold))
        else:
            names = values.find_names(root, self.names_folders(), options)
            held = values.count_files(self.mask_paths(), "index")
            labels, findings = values.value_labels(held, names)
            self.use_labels(labels, names, [*held.findings(root), *findings])


def _reason(root: Path, paired: Pairing) -> str | None:
    if not values.holds_indices(paired.first_masks()):
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
