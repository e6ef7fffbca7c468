"""What all formats of picture files with mask files share: the source, its recognition and its options."""

import itertools
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets import imageio, listing
from pipelines.datasets.base import Finding, Format, Picture, Size, Source, Truth
from pipelines.datasets.formats import tiff_images
from pipelines.datasets.formats.masks import pairing, reading, roles, tables
from pipelines.datasets.formats.masks.pairing import Layout, Mask, Pairing, match
from pipelines.datasets.formats.masks.tables import Names
from pipelines.datasets.formats.masks.values import ValueLabels
from pipelines.datasets.formats.tiff_images import is_tiff, read_head
from pipelines.datasets.observers import MAJORITY, OPTION, ObservedSource, whose
from pipelines.datasets.options import choice, positive_number
from pipelines.errors import DatasetError
from pipelines.schema import Split
from pipelines.sentences import first_of, printable

OPTIONS: Final[dict[str, str]] = {**pairing.OPTIONS, **roles.OPTIONS, **tables.OPTIONS, **tiff_images.OPTIONS}
_CLASSES: Final = "the option extra_masks=classes, in the format per_class, reads them as classes instead"
_NOT_READ: Final = (".npy", ".npz", ".mat", ".jp2", ".ppm", ".pgm", ".ras", ".bif")


class MaskSource(listing.FileSource):
    """Pictures and the mask files of each, by name; TIFF pictures may have any number of bands.

    fields: image to the mask that marks its field of view. tables: files that name the labels.
    """

    masks: Mapping[str, tuple[Mask, ...]]

    def __init__(self, root: Path, paired: Pairing, options: Mapping[str, str], *, empty: bool = False) -> None:
        """empty: keep pictures without a mask, as those where nothing is. Raises DatasetError when none is left."""
        self.root = root
        self.name = printable(root.name[:60])
        self.unnamed = choice(options, "unnamed", ["classes", "background"])
        findings = [*paired.findings]
        self.images: Mapping[str, Path] = _with_masks(root, paired, findings, empty=empty)
        self.splits = _splits(paired, self.images, findings)
        self.tiff, self.bands = tiff_images.open_bands(list(self.images.values()), options, findings)
        self.masks = {name: paired.masks.get(name, ()) for name in self.images}
        self.fields = {name: path for name, path in paired.fields.items() if name in self.images}
        self.soft_masks = {name: masks for name, masks in paired.soft.items() if name in self.images}
        self.soft = bool(self.soft_masks)
        # Masks that are truth and say how probable it is: half and above is there.
        self.grey = self.soft and self.soft_masks == {name: masks for name, masks in self.masks.items() if masks}
        if self.soft:
            findings.append(self._soft_told())
        self.groups = {name: group for name, group in paired.groups.items() if name in self.images}
        if self.groups:
            problem = (
                f"pictures of one folder are one group ({len(set(self.groups.values()))} in all), since folders hold "
                "the same names, as frames of videos do; choose other groups with the splits if that is wrong"
            )
            findings.append(Finding.note("GROUPS-GUESSED", problem))
        self.by_alpha = reading.alpha_tells(self.mask_paths())
        self.threshold = self._threshold(options, findings)
        if self.by_alpha:
            problem = (
                "the masks are black wherever they are not transparent, so how opaque a pixel is was taken as its value"
            )
            findings.append(Finding.note("ALPHA-READ", problem))
        self.findings: tuple[Finding, ...] = tuple(findings)
        self.tables: tuple[Path, ...] = ()

    def _threshold(self, options: Mapping[str, str], findings: list[Finding]) -> float | None:
        """The option threshold in the values of the masks: below 1 it is a share of 1, 255 or 65535, as they reach."""
        threshold = positive_number(options, "threshold", 65535, "such as 128 or 0.5")
        if threshold is None or threshold >= 1:
            return threshold
        peak = 255 if self.by_alpha else reading.largest(self.mask_paths(), self.tiff.pages)
        whole = next((whole for whole in (1, 255) if peak <= whole), 65535)
        if whole > 1:
            problem = (
                f"the masks hold values up to {peak:g}, so threshold={threshold:g} is {threshold * whole:g} of {whole}"
            )
            findings.append(Finding.note("THRESHOLD-SHARE", problem))
        return threshold * whole

    def read_marks(self, path: Path) -> NDArray[Any]:
        """The values of a mask, (H, W), floats as stored; or how opaque it is. Raises DatasetError."""
        return imageio.read_alpha(path) if self.by_alpha else reading.read_marks(path)

    def only_one_each(self) -> None:
        """Raise DatasetError where pictures have several masks."""
        name = next((name for name in self.images if len(self.masks[name]) > 1), None)
        if name is not None:
            first, second = (self.shown(mask.path) for mask in self.masks[name][:2])
            raise DatasetError(
                f"{name} has several masks, such as {first} and {second}, but this format takes one; read it as "
                "per_class or instances, or name the folder of the masks in the option masks"
            )

    def picture(self, name: str, *, size: Size | None = None) -> Picture:
        """The picture of an image; TIFF by the options channels and range. Grey among colours is repeated."""
        file, page = self.file_of(name)
        image, own, orientation = tiff_images.read_picture(self.images[file], self.tiff, size=size, page=page)
        if image.shape[2] == 1 and self.bands.count == 3:
            image = np.repeat(image, 3, axis=2)
        return Picture(image, own, orientation)

    def head(self, name: str) -> tuple[Size, int]:
        """Size and orientation of a picture, told by the head of its file."""
        file, page = self.file_of(name)
        return tiff_images.read_picture_head(self.images[file], self.tiff, page=page)

    @abstractmethod
    def marked(self, name: str) -> Truth:
        """Truth of an image by its masks alone. Raises DatasetError when one cannot be read or sizes differ."""

    def label_of(self, mask: Mask) -> int | None:
        """Place of the label that a mask of one class marks: the only class there is; None where nobody can tell."""
        classes = [index for index, label in enumerate(self.labels) if label.role == "class"]
        return classes[0] if len(classes) == 1 else None

    def truth(self, name: str) -> Truth:
        """Truth of an image; pixels outside its field of view do not count. Raises DatasetError, one line."""
        truth = self.marked(name)
        file, page = self.file_of(name)
        if file in self.soft_masks:
            truth = replace(truth, soft=self._soft(self.soft_masks[file], truth))
        if file not in self.fields:
            return truth
        path = self.fields[file]
        if page is not None and is_tiff(path) and read_head(path, "slices").slices > 1:
            marks = tiff_images.read_mask(path, page=page, pages="slices")
        else:
            marks = reading.read_index(path)
        if marks.shape != truth.valid.shape:
            height, width = truth.valid.shape
            raise DatasetError(
                f"{self.shown(path)} is {marks.shape[1]}×{marks.shape[0]}, but the truth of {name} is "
                f"{width}×{height}; save the field of view at the size of the picture"
            )
        return truth.within(roles.inside(marks))

    def _soft(self, masks: Sequence[Mask], truth: Truth) -> Float32Array:
        """How probable each label is, (L, H, W): as grey says, else as the truth; of a background what others leave."""
        soft = truth.layers.astype(np.float32)
        told: set[int] = set()
        for mask in masks:
            label = self.label_of(mask)
            if label is None:
                continue
            grey = roles.probability(self.read_marks(mask.path), self.shown(mask.path))
            if grey.shape != truth.valid.shape:
                height, width = truth.valid.shape
                raise DatasetError(
                    f"{self.shown(mask.path)} is {grey.shape[1]}×{grey.shape[0]}, but the mask of its picture is "
                    f"{width}×{height}; save it at the size of the picture"
                )
            soft[label] = np.maximum(soft[label], grey) if label in told else grey
            told.add(label)
        if self.complete and told:
            for index in (at for at, label in enumerate(self.labels) if label.role == "background"):
                soft[index] = 1 - np.clip(np.delete(soft, index, axis=0).sum(axis=0), 0, 1)
        return soft

    def _soft_told(self) -> Finding:
        """That grey masks say how probable classes are, and how to do without."""
        masks = [mask for masks in self.soft_masks.values() for mask in masks]
        truth = "half and above is the truth" if self.grey else "the truth is that of the other masks"
        problem = (
            f"{len(masks):,} grey masks, such as {self.shown(masks[0].path)}, say how probable classes are (white is "
            f"certain); {truth}, and calibration is measured against both; the option soft=none leaves them out"
        )
        return Finding.note("SOFT-TRUTH", problem)

    def file_of(self, name: str) -> tuple[str, int | None]:
        """The picture file of an image, by name, and the page of it that the image is; None for all of it."""
        return name, None

    def foreground(
        self, path: Path, marks: NDArray[Any], findings: list[Finding], *, where: str = "", advice: str = ""
    ) -> BoolArray:
        """Pixels of a mask of one class: from the threshold on, else all but 0 and NaN, noting more than two values.

        where: the mask if it is not all of the file; advice: what else to do about them.
        """
        if self.threshold is not None:
            return np.asarray(marks >= self.threshold, np.bool_)
        if self.grey:
            return np.asarray(roles.probability(marks, f"{where}{self.shown(path)}") >= 0.5, np.bool_)
        marks = reading.whole_marks(path, marks)
        present = [value for value in imageio.distinct_values(marks) if value != tiff_images.NO_DATA]
        if len(present) > 2 or (len(present) == 2 and present[0] != 0):
            problem = (
                f"{where}{self.shown(path)} holds {first_of(present, 8)}, allowed are 0 and one other value; say from "
                f"which value a pixel belongs, such as threshold=128{advice}"
            )
            findings.append(Finding.error("MASK-VALUES", problem))
        return np.asarray((marks != 0) & tiff_images.has_value(marks), np.bool_)

    def files(self) -> Iterable[Path]:
        """Tables, pictures, masks, soft masks and fields of view, each once."""
        soft = (mask.path for masks in self.soft_masks.values() for mask in masks)
        return dict.fromkeys([*self.tables, *self.images.values(), *self.mask_paths(), *soft, *self.fields.values()])

    def mask_paths(self) -> list[Path]:
        """Every mask of an image, in the order of images."""
        return [mask.path for name in self.images for mask in self.masks[name]]

    def names_folders(self) -> list[Path]:
        """Folders where a table of names may lie: those of masks and the ones above, up to the root."""
        first = {mask.path.parent for masks in list(self.masks.values())[:50] for mask in masks}
        above = {folder for parent in first for folder in parent.parents if folder.is_relative_to(self.root)}
        return sorted(first | above, key=lambda folder: (len(folder.parts), folder.name))

    def shown(self, path: Path) -> str:
        """A file of the set for messages."""
        return listing.shown(path, self.root)


class LabelMapSource(MaskSource):
    """One mask an image, whose value or colour is the label. by_value: the labels of values."""

    exclusive = True
    complete = True
    by_value: ValueLabels

    def use_labels(self, by_value: ValueLabels, names: Names | None = None, findings: Iterable[Finding] = ()) -> None:
        """Take labels, the table that names them, and what was found when they were made."""
        self.by_value, self.labels = by_value, by_value.labels
        self.tables = () if names is None else (names.path,)
        self.findings = (*self.findings, *findings)

    def marked(self, name: str) -> Truth:
        """Truth of an image by its mask. Raises DatasetError when its mask cannot be read."""
        path = self.masks[name][0].path
        if self.by_value.colors:
            return self.by_value.truth(reading.read_codes(path), self.shown(path))
        marks = self.read_marks(path)
        if self.grey:
            marks = self.foreground(path, marks, []).astype(np.uint8)
        elif self.by_value.threshold is None:
            marks = reading.whole_marks(path, marks)
        return self.by_value.truth(marks, self.shown(path))


def _with_masks(root: Path, paired: Pairing, findings: list[Finding], *, empty: bool) -> dict[str, Path]:
    """Pictures that have a mask, or all; and findings about files that are left out."""
    if not paired.masks:
        endings = Counter(path.suffix.lower() for path in itertools.islice(listing.walk(root), 5000))
        there = ", ".join(ending for ending in _NOT_READ if endings[ending])
        others = f" (files of the kinds {there} are not read; save them as PNG)" if there else ""
        raise DatasetError(
            f"{printable(root.name[:60])} has {len(paired.images)} pictures and no mask that belongs to one; name a "
            f"mask like its picture and keep them in folders images and masks{others}"
        )
    if paired.bare and not empty:
        problem = f"{len(paired.bare)} pictures have no mask and are left out, such as {', '.join(paired.bare[:3])}"
        findings.append(Finding.warning("PAIR-MISSING", f"{problem}; add masks or remove them"))
    if paired.alone:
        examples = ", ".join(listing.shown(path, root) for path in paired.alone[:3])
        problem = f"{len(paired.alone)} masks belong to no picture and are left out, such as {examples}"
        findings.append(Finding.warning("PAIR-MISSING", f"{problem}; add the pictures"))
    return {name: path for name, path in paired.images.items() if empty or name in paired.masks}


def _splits(paired: Pairing, images: Mapping[str, Path], findings: list[Finding]) -> dict[Split, tuple[str, ...]]:
    """Splits of the images that are kept."""
    splits = {split: tuple(name for name in names if name in images) for split, names in paired.splits.items()}
    for split in (split for split, names in splits.items() if not names):
        problem = (
            f"the data set gives {len(paired.splits[split]):,} images for {split}, but none of them has a mask, so it "
            f"has no {split} split; add the masks"
        )
        findings.append(Finding.warning("SPLIT-LOST", problem))
    return {split: names for split, names in splits.items() if names}


# Formats -------------------------------------------------------------------------------------------------------------


def mask_format(
    title: str,
    layout: Layout,
    reason: Callable[[Path, Pairing], str | None],
    source: Callable[[Path, Pairing, Mapping[str, str]], Source],
    options: Mapping[str, str],
    why_not: Callable[[Path], str | None] = lambda root: None,
) -> Format:
    """A format of pictures with masks in a layout: "one" a picture, one a class, or several a class.

    reason: why a folder in this layout is in this format, or None. options: beside those that all such formats have.
    why_not: as in `Format`.
    """

    def recognise(root: Path) -> str | None:
        paired = _sampled(root)
        if paired is None or not paired.mostly_paired or _layout(paired) != layout:
            return None
        return reason(root, paired)

    def open_(root: Path, options: Mapping[str, str]) -> Source:
        paired = match(root, options)
        if not paired.others:
            return source(root, paired, options)
        asked = options.get(OPTION, "").strip()
        if whose([paired.observer, *paired.others], asked) == MAJORITY:
            marked_by_others = {name for masks in paired.others.values() for name in masks}
            paired = replace(paired, bare=tuple(name for name in paired.bare if name not in marked_by_others))
        first = source(root, paired, options)
        # A picture that another observer has no mask of was not marked by that one.
        rest = {option: value for option, value in options.items() if option != "missing"}
        alone = replace(paired, alone=(), bare=(), findings=(), soft={})
        marked = {who: source(root, replace(alone, masks=masks), rest) for who, masks in paired.others.items()}
        return ObservedSource({paired.observer: first, **marked}, asked, otherwise=_CLASSES)

    return Format(title, recognise, open_, {**OPTIONS, **options}, why_not)


def why_no_masks(root: Path) -> str | None:
    """What keeps a folder from being pictures with masks; None where there is no picture."""
    paired = _sampled(root)
    if paired is None or not paired.masks:
        return None if paired is None else pairing.why_unpaired(root)
    if not paired.mostly_paired:
        return f"most masks, such as {listing.shown(paired.alone[0], root)}, are not called as a picture is"
    held = reading.count_files(paired.first_masks(), "color")
    if held.unreadable and not held.files:
        return f"none of the masks that were looked at can be read: {held.problem}"
    return "some masks hold a value a pixel, others colours; save them all in one way"


def _sampled(root: Path) -> Pairing | None:
    """A layout told from the first files of each folder; None when the folder is in another format or too large."""
    try:
        elsewhere = (
            (root / "dataset.toml").is_file()
            or ((root / "dataset.json").is_file() and (root / "imagesTr").is_dir())
            or (root / "dataset_info.json").is_file()
            or voc_base(root) is not None
        )
        return None if elsewhere else match(root, {}, sample=True)
    except (DatasetError, OSError):
        return None


def _layout(paired: Pairing) -> Layout | None:
    """The layout; "one" too for masks of one class and many values: a folder in the way, not one for a class."""
    if paired.layout != "classes" or len(paired.labels) != 1:
        return paired.layout
    single = all(len(masks) == 1 for masks in paired.masks.values())
    return "one" if single and any(_many_values(path) for path in paired.first_masks()) else "classes"


def _many_values(path: Path) -> bool:
    counts = reading.count_files([path], "index" if reading.mode_of(path) != "RGB" else "color").files
    return any(held is None or len(held) > 2 for held in counts.values())


def voc_base(root: Path) -> Path | None:
    """The folder with JPEGImages and SegmentationClass: the root, or VOCdevkit/VOC2012 or its like below it."""
    candidates = [root, *listing.folders(root)[:20]] if _holds_few(root) else [root]
    kits = [folder for folder in candidates if "voc" in folder.name.casefold()]
    for folder in [*candidates, *(inner for kit in kits for inner in listing.folders(kit)[:20])]:
        has_pictures = (folder / "JPEGImages").is_dir() or (folder / "ImageSets" / "Segmentation").is_dir()
        if has_pictures and (folder / "SegmentationClass").is_dir():
            return folder
    return None


def _holds_few(root: Path) -> bool:
    """Whether a folder holds few enough things to look at each."""
    try:
        with os.scandir(root) as there:
            return sum(1 for _ in itertools.islice(there, 1000)) < 1000
    except OSError:
        return False
