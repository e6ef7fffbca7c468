"""Annotations of one COCO image to its truth: instances and panoptic segments, drawn one after the other."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from pipelines.arrays import UInt8Array
from pipelines.datasets.base import Finding
from pipelines.datasets.formats import polygons
from pipelines.datasets.source import Truth
from pipelines.errors import DatasetError

_AT_ONCE: Final = 256  # instances of one label that are united in one go


class UnknownLabelError(DatasetError):
    """An annotation names a category that its file does not have."""


class Drawing:
    """The truth of one image while its annotations are drawn."""

    def __init__(self, size: tuple[int, int], labels: int) -> None:
        self._size = size
        self._layers = polygons.blank_layers(labels, size)
        self._valid = np.ones(size, np.bool_)
        self._runs: dict[int, list[polygons.Run]] = defaultdict(list)
        self._work = polygons.Work()
        self._empty = 0
        self.findings: list[Finding] = []

    def instance(self, segmentation: Any, label: int) -> None:
        """Polygons or run lengths. Raises DatasetError when they can't be drawn."""
        some, lines = polygons.coco_runs(segmentation, self._size, self._work)
        self._empty += lines + (not some and not lines)
        self._runs[label] += some
        if len(self._runs[label]) >= _AT_ONCE:
            self._runs[label] = [polygons.merged(self._runs[label])]

    def segments(self, colors: UInt8Array, labels: Mapping[int, int | None]) -> None:
        """A panoptic picture, (H, W, 3); labels: of each id, None for one that is left out."""
        if colors.shape[:2] != self._size:
            height, width = colors.shape[:2]
            raise DatasetError(
                f"its picture of segments is {width}×{height}, its image is {self._size[1]}×{self._size[0]}; export it "
                "again"
            )
        ids = colors.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)
        known = np.array(sorted({0, *labels}), np.int32)
        place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        strange = known[place] != ids
        if strange.any():
            some = ", ".join(str(one) for one in np.unique(ids[strange])[:5])
            raise UnknownLabelError(f"its picture holds the segments {some}, which are not listed; export it again")
        of = np.array([-1 if labels.get(int(one)) is None else labels[int(one)] for one in known], np.int32)
        carried = of[place]
        for label in np.unique(of[of >= 0]):
            self._layers[label] |= carried == label
        self._valid &= ids != 0

    def truth(self, name: str) -> Truth:
        """All that was drawn."""
        for label, some in self._runs.items():
            if some:
                self._layers[label] |= polygons.union(some)
        if self._empty:
            problem = f"{self._empty} annotations of {name} have no area (a box, a line or a point) and mark no pixel"
            self.findings.append(Finding(code="NO-AREA", severity="warning", message=problem))
        return Truth(self._layers, self._valid, tuple(self.findings))
