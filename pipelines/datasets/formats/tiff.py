"""Multi-channel TIFF: pictures, label maps and channels that are masks."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets import listing
from pipelines.datasets.base import Finding, Label, Truth, blank_layers, distinct
from pipelines.datasets.formats import tiff_images
from pipelines.datasets.formats.masks import reading, tables, values
from pipelines.datasets.formats.masks.pairing import Pairing
from pipelines.datasets.formats.masks.reading import Counts, MaskValues
from pipelines.datasets.formats.masks.source import MaskSource, mask_format
from pipelines.datasets.formats.masks.values import ValueLabels
from pipelines.datasets.formats.tiff_images import Pages, TiffHead
from pipelines.errors import DatasetError

_MAX_SLICES: Final = 100_000
_USUAL: Final = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.bool_))


class TiffSource(MaskSource):
    """TIFF pictures; a mask of one channel holds values, one of several has a channel a class."""

    def __init__(self, root: Path, paired: Pairing, options: Mapping[str, str]) -> None:
        super().__init__(root, paired, options)
        self.only_one_each()
        self._pages: Pages = self.tiff.pages
        self._slice: dict[str, tuple[str, int]] = {}
        if self._pages == "slices":
            self._cut_slices()
        names = tables.find_names(root, self.names_folders(), options)
        self.tables = () if names is None else (names.path,)
        channels = self._mask_channels()
        self._by_channel = channels > 1
        self.exclusive = self.complete = not self._by_channel
        if self._by_channel:
            rows = [] if names is None else [row.name for row in names.rows]
            if names is not None and len(rows) != channels:
                raise DatasetError(
                    f"{names.path.name} names {len(rows)} classes, the masks have {channels} channels; name each"
                )
            spoken = distinct(rows or [f"channel {index + 1}" for index in range(channels)])
            self.labels = tuple(Label(name, None, tables.role_of(name)) for name in spoken)
        elif self.threshold is not None:
            self._values = ValueLabels.two(self.threshold)
            self.labels = self._values.labels
        else:
            seen = self._look()
            self._values, findings = values.value_labels(seen, names, unnamed=self.unnamed)
            self.labels = self._values.labels
            self.findings = (*self.findings, *seen.findings(root), *findings)

    def names(self) -> tuple[str, ...]:
        """Every image, sorted; one a slice where stacks are cut."""
        return tuple(self._slice) if self._slice else tuple(self.images)

    def file_of(self, name: str) -> tuple[str, int | None]:
        """The file of an image and, where stacks are cut, its page."""
        return self._slice.get(name, (name, None))

    def marked(self, name: str) -> Truth:
        """Truth of an image or slice by its mask. Raises DatasetError when the mask cannot be read."""
        file, page = self.file_of(name)
        path = self.masks[file][0].path
        if not self._by_channel:
            marks = self._read_plane(path, page)
            if self._values.threshold is None:
                marks = reading.whole_marks(path, marks)
            return self._values.truth(marks, self.shown(path))
        marks = tiff_images.read_channels(path, page=page, pages=self._pages)
        if marks.shape[2] != len(self.labels):
            raise DatasetError(
                f"{self.shown(path)} has {marks.shape[2]} channels, the masks of this set have {len(self.labels)}; "
                "save it with one channel a class"
            )
        layers = blank_layers(len(self.labels), marks.shape[:2], self.shown(path))
        findings: list[Finding] = []
        for index, layer in enumerate(layers):
            where = f"channel {index + 1} of "
            layer[:] = self.foreground(path, marks[:, :, index], findings, where=where)
        valid = np.asarray(tiff_images.has_value(marks).all(axis=2), np.bool_)
        return Truth(layers & valid, valid, tuple(findings))

    def _read_plane(self, path: Path, page: int | None) -> NDArray[Any]:
        if tiff_images.is_tiff(path):
            return tiff_images.read_plane(path, page=page, pages=self._pages)
        return self.read_marks(path)

    def _mask_channels(self) -> int:
        """Channels of the first mask that can be read."""
        problem = "there is none"
        for path in self.mask_paths():
            if not tiff_images.is_tiff(path):
                return 1
            try:
                return tiff_images.read_head(path, self._pages).channels
            except DatasetError as error:  # the check lists it
                problem = str(error)
        raise DatasetError(f"none of the masks can be read: {problem}")

    def _look(self) -> MaskValues:
        if not self._slice and self._pages == "":
            return reading.count_files(self.mask_paths(), "index")
        paths = self.mask_paths()
        return reading.count_masks(
            (path, path, ("pages", self._pages), partial(_stack_counts, path, self._pages)) for path in paths
        )

    def _cut_slices(self) -> None:
        """Names of slices for every stack, grouped by file, in the splits of their files."""
        findings: list[Finding] = []
        slices: dict[str, list[str]] = {}
        for file, path in self.images.items():
            try:
                count = tiff_images.read_head(path, "slices").slices if tiff_images.is_tiff(path) else 1
            except DatasetError as error:
                findings.append(Finding.error("IMAGE-UNREADABLE", str(error)))
                continue
            width = len(str(count))
            slices[file] = [f"{file}__{page + 1:0{width}}" for page in range(count)]
            self._slice |= {name: (file, page) for page, name in enumerate(slices[file])}
            if len(self._slice) > _MAX_SLICES:
                raise DatasetError(f"the stacks have more than {_MAX_SLICES:,} slices; leave some out")
        if not self._slice:
            raise DatasetError(f"none of the stacks can be read: {findings[0].message}")
        wrong = [name for name in self._slice if not listing.usable(name)]
        if wrong:
            raise DatasetError(f"{wrong[0][:60]!r}… is too long for the name of a slice; shorten the file's name")
        self._slice = dict(sorted(self._slice.items()))
        self.groups = {name: file for name, (file, _) in self._slice.items()}
        self.splits = {
            split: tuple(name for file in some for name in slices.get(file, ())) for split, some in self.splits.items()
        }
        self.findings = (*self.findings, *findings)


def _stack_counts(path: Path, pages: Pages) -> Counts | None:
    """Pixels by value over all slices of a mask."""
    total: Counts = {}
    for page in range(tiff_images.read_head(path, pages).slices):
        distinct, counts = np.unique(tiff_images.read_mask(path, page=page, pages=pages), return_counts=True)
        for value, count in zip(distinct, counts, strict=True):
            total[int(value)] = total.get(int(value), 0) + int(count)
        if len(total) > reading.MOST:
            return None
    return total


def _heads(paths: list[Path]) -> list[TiffHead]:
    """What the TIFF files among some hold, as far as they can be read."""
    heads = []
    for path in paths:
        try:
            heads += [tiff_images.read_head(path, "slices")] if tiff_images.is_tiff(path) else []
        except DatasetError:
            continue
    return heads


def _reason(root: Path, paired: Pairing) -> str | None:
    for head in _heads(paired.first_masks()):
        if head.channels > 1 and not (head.photometric == 2 and head.channels < 5):
            return "its masks are TIFF files of several channels"
    pictures = list(paired.images.values())
    for head in _heads(pictures[:: max(1, len(pictures) // 4)][:4]):
        if head.channels not in (1, 3, 4) or head.dtype not in _USUAL or head.slices > 1:
            of = f"{head.slices} pages" if head.slices > 1 else f"{head.channels} channels ({head.dtype})"
            return f"its pictures are TIFF files of {of}"
    return None


FORMAT: Final = mask_format(
    "TIFF pictures of any number of channels, masks with a value a label or a channel a class",
    "one",
    _reason,
    TiffSource,
    {
        "pages": "what the pages of a file are: channels, or slices (each an image of its own, grouped by file)",
        "threshold": "soft masks: the value from which a pixel belongs, such as 128, or 0.5 of the most they hold",
    },
)
