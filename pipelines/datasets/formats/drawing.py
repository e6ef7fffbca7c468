"""Shapes that a file lists for an image, one after the other, to the truth of that image."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from pipelines.arrays import BoolArray, UInt8Array
from pipelines.datasets.base import Finding, Label, Truth, blank_layers
from pipelines.datasets.formats import polygons
from pipelines.errors import DatasetError

_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_AT_ONCE: Final = 256  # instances of one label that are united in one go
_MOST_FINDINGS: Final = 10  # of one image


class UnknownLabelError(DatasetError):
    """A shape names a label that its data set does not have."""


def label_named(name: str, color: Any = None) -> Label:
    """A label of a file of shapes, with its colour if that is one as in "#ff0000"; background means "nothing here"."""
    color = color if isinstance(color, str) and _COLOR.fullmatch(color) else None
    return Label(name, color, role="background" if name.strip("_ ").casefold() == "background" else "class")


class Drawing:
    """The truth of one image while its shapes are drawn, label by label; labels may overlap.

    size: (height, width). on_top: a shape takes the pixels that it covers from the labels below it.
    findings: what is wrong with shapes so far.
    """

    def __init__(self, size: tuple[int, int], labels: int, *, on_top: bool = False) -> None:
        self._size = size
        self._layers = blank_layers(labels, size)
        self._valid = np.ones(size, np.bool_)
        self._runs: dict[int, list[polygons.Run]] = defaultdict(list)
        self._owner = np.full(size, -1, np.int16) if on_top else None
        self._work = polygons.Work()
        self._empty = 0
        self.findings: list[Finding] = []

    @contextmanager
    def shape(self, where: str) -> Iterator[None]:
        """What is wrong with a shape drawn inside becomes a finding that begins with `where`.

        Raises DatasetError once there are ten of them.
        """
        try:
            yield
        except DatasetError as error:
            code = "MASK-VALUES" if isinstance(error, UnknownLabelError) else "ANNOTATION"
            self.findings.append(Finding.error(code, f"{where}: {error}"))
            if len(self.findings) >= _MOST_FINDINGS:
                first = self.findings[0].message
                raise DatasetError(f"{first} (and at least {_MOST_FINDINGS - 1} more of this image)") from None

    def instance(self, segmentation: Any, label: int) -> None:
        """Polygons or run lengths as COCO has them. Raises DatasetError when they can't be drawn."""
        runs, lines = polygons.coco_runs(segmentation, self._size, self._work)
        self._empty += lines + (not runs and not lines)
        if self._owner is not None:
            if runs:
                self.paste(polygons.union(runs), label)
            return
        self._runs[label] += runs
        if len(self._runs[label]) >= _AT_ONCE:
            self._runs[label] = [polygons.merged(self._runs[label])]

    def polygon(self, outline: Sequence[Any], label: int, holes: Sequence[Sequence[Any]] = ()) -> None:
        """A polygon x, y, x, y, … without its holes. Raises DatasetError when it can't be drawn."""
        if not holes:
            self.instance([list(outline)], label)
            return
        whole, lines = polygons.coco_runs([list(outline)], self._size, self._work)
        inside, _ = polygons.coco_runs([list(hole) for hole in holes], self._size, self._work)
        self._empty += lines
        if whole:
            pixels = polygons.union(whole)
            self.paste(pixels & ~polygons.union(inside) if inside else pixels, label)

    def paste(self, pixels: BoolArray, label: int, left: int = 0, top: int = 0) -> None:
        """A mask, (h, w) bool, by its upper left corner. Raises DatasetError where it reaches out of the image."""
        height, width = pixels.shape
        if min(left, top) < 0 or top + height > self._size[0] or left + width > self._size[1]:
            raise DatasetError(
                f"its mask of {width}×{height} at {left}, {top} reaches out of the image of "
                f"{self._size[1]}×{self._size[0]}; export it again"
            )
        self._work.spend(pixels.size)
        place = np.s_[top : top + height, left : left + width]
        if self._owner is None:
            self._layers[label][place] |= pixels
        else:
            self._owner[place][pixels] = label

    def pass_over(self) -> None:
        """Count a shape without area."""
        self._empty += 1

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
            listed = ", ".join(str(number) for number in np.unique(ids[strange])[:5])
            raise UnknownLabelError(f"its picture holds the segments {listed}, which are not listed; export it again")
        label_of = np.array([-1 if (label := labels.get(int(number))) is None else label for number in known], np.int32)
        carried = label_of[place]
        for label in np.unique(label_of[label_of >= 0]):
            self._layers[label] |= carried == label
        self._valid &= ids != 0

    def truth(self, name: str) -> Truth:
        """All that was drawn."""
        for label, runs in self._runs.items():
            if runs:
                self._layers[label] |= polygons.union(runs)
        if self._owner is not None:
            for label, layer in enumerate(self._layers):
                layer |= self._owner == label
        if self._empty:
            problem = f"{self._empty} annotations of {name} have no area (a box, a line or a point) and mark no pixel"
            self.findings.append(Finding.warning("NO-AREA", problem))
        return Truth(self._layers, self._valid, tuple(self.findings))
