"""A data set of picture files and mask files as a source: what all formats of masks share."""

import itertools
import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pipelines.datasets import listing
from pipelines.datasets.base import Finding, Picture, Truth
from pipelines.datasets.formats import tiff_images
from pipelines.datasets.formats.masks import paired, paired_names, paired_parts, paired_roles, paired_values
from pipelines.datasets.formats.masks.paired import Mask, Match
from pipelines.datasets.formats.tiff_images import is_tiff, read_head
from pipelines.datasets.listing import FileSource
from pipelines.errors import DatasetError

OPTIONS: Final[dict[str, str]] = {
    **paired_parts.OPTIONS,
    **paired_roles.OPTIONS,
    **paired_names.OPTIONS,
    **tiff_images.OPTIONS,
}


class MaskSource(FileSource):
    """Pictures and the mask files of each, by name; TIFF pictures may have any number of channels."""

    masks: Mapping[str, tuple[Mask, ...]]

    def __init__(self, root: Path, found: Match, options: Mapping[str, str], *, empty: bool = False) -> None:
        self.root = root
        self.name = paired_names.shown(root.name)
        self.reading = tiff_images.parse_options(options)
        kept, self.splits, findings = paired.without_bare(root, found, empty=empty)
        self.images: Mapping[str, Path] = kept
        self.masks = {name: found.masks.get(name, ()) for name in kept}
        self.fields = {name: path for name, path in found.fields.items() if name in kept}
        self.groups = {name: group for name, group in found.groups.items() if name in kept}
        if self.groups:
            problem = (
                f"pictures of one folder are one group ({len(set(self.groups.values()))} in all), since folders hold "
                "the same names, as frames of videos do; choose other groups with the splits if that is wrong"
            )
            findings.append(Finding.note("GROUPS-GUESSED", problem))
        self.findings: tuple[Finding, ...] = tuple(findings)
        self.tables: tuple[Path, ...] = ()

    def only_one_each(self) -> None:
        """Raise DatasetError where pictures have several masks."""
        name = next((name for name in self.images if len(self.masks[name]) > 1), None)
        if name is not None:
            first, second = (self.shown(mask.path) for mask in self.masks[name][:2])
            raise DatasetError(
                f"{name} has several masks, such as {first} and {second}, but this format takes one; read it as "
                "per_class or instances, or name the folder of the masks in the option masks"
            )

    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """The picture of an image; TIFF by the options channels and range."""
        return Picture(*tiff_images.read_picture(self.images[name], self.reading, size=size))

    def head(self, name: str) -> tuple[tuple[int, int], int]:
        """Size and orientation of a picture, told by the head of its file."""
        return tiff_images.read_picture_head(self.images[name], self.reading)

    @abstractmethod
    def marked(self, name: str) -> Truth:
        """Truth of an image by its masks alone. Raises DatasetError when one cannot be read or sizes differ."""

    def truth(self, name: str) -> Truth:
        """Truth of an image; pixels outside its field of view do not count. Raises DatasetError, one line."""
        truth = self.marked(name)
        file, page = self.file_of(name)
        if file not in self.fields:
            return truth
        path = self.fields[file]
        if page is not None and is_tiff(path) and read_head(path, "slices").slices > 1:
            values = tiff_images.read_mask(path, page=page, pages="slices")
        else:
            values = paired_values.read_index(path)
        if values.shape != truth.valid.shape:
            height, width = truth.valid.shape
            raise DatasetError(
                f"{self.shown(path)} is {values.shape[1]}×{values.shape[0]}, but the truth of {name} is "
                f"{width}×{height}; save the field of view at the size of the picture"
            )
        inside = paired_roles.inside(values)
        return Truth(truth.layers & inside, truth.valid & inside, truth.findings)

    def file_of(self, name: str) -> tuple[str, int | None]:
        """The picture file of an image, by name, and the page of it that the image is; None for all of it."""
        return name, None

    def files(self) -> Iterable[Path]:
        """Tables, pictures, masks and fields of view."""
        masks = (mask.path for name in self.images for mask in self.masks[name])
        return [*self.tables, *self.images.values(), *masks, *self.fields.values()]

    def mask_paths(self) -> list[Path]:
        """Every mask of an image, in the order of images."""
        return [mask.path for name in self.images for mask in self.masks[name]]

    def names_folders(self) -> list[Path]:
        """Folders where a table of names may lie: those of masks and the ones above, up to the root."""
        first = {mask.path.parent for some in list(self.masks.values())[:50] for mask in some}
        found = set(first)
        for folder in first:
            found |= {one for one in folder.parents if one.is_relative_to(self.root)}
        return sorted(found, key=lambda one: (len(one.parts), one.name))

    def shown(self, path: Path) -> str:
        """A file of the set for messages."""
        return listing.shown(path, self.root)


def belongs_elsewhere(root: Path) -> bool:
    """Whether a file or folder says that a data set is in a format of its own."""
    return (
        (root / "dataset.toml").is_file()
        or ((root / "dataset.json").is_file() and (root / "imagesTr").is_dir())
        or (root / "dataset_info.json").is_file()
        or voc_base(root) is not None
    )


def voc_base(root: Path) -> Path | None:
    """The folder with JPEGImages and SegmentationClass: the root, or VOCdevkit/VOC2012 or its like below it."""
    candidates = [root, *listing.folders(root)[:20]] if _few(root) else [root]
    kits = [one for one in candidates if "voc" in one.name.casefold()]
    for one in [*candidates, *(inner for kit in kits for inner in listing.folders(kit)[:20])]:
        if (one / "SegmentationClass").is_dir() and (
            (one / "JPEGImages").is_dir() or (one / "ImageSets" / "Segmentation").is_dir()
        ):
            return one
    return None


def _few(root: Path) -> bool:
    """Whether a folder holds few enough things to look at each."""
    try:
        with os.scandir(root) as there:
            return sum(1 for _ in itertools.islice(there, 1000)) < 1000
    except OSError:
        return False


def sampled(root: Path) -> Match | None:
    """A layout told from the first files of each folder; None when the folder is in another format or too large."""
    try:
        return None if belongs_elsewhere(root) else paired.match(root, {}, sample=True)
    except (DatasetError, OSError):
        return None


def first_masks(found: Match, count: int = 4) -> list[Path]:
    """Some masks of different images."""
    names = list(found.masks)
    return [found.masks[name][0].path for name in names[:: max(1, len(names) // count)][:count]]


def one_each(found: Match) -> bool:
    """Whether every picture has one mask that may hold several labels."""
    if found.layout == "one":
        return True
    if found.layout != "classes" or len(found.labels) != 1 or any(len(some) > 1 for some in found.masks.values()):
        return False
    return any(_many_values(path) for path in first_masks(found))  # a folder in the way, not one for a class


def _many_values(path: Path) -> bool:
    try:
        counts = paired_values.look([path], "index" if paired_values.mode_of(path) != "RGB" else "color").files
    except DatasetError:
        return False
    return any(some is None or len(some) > 2 for some in counts.values())


def mostly_paired(found: Match) -> bool:
    """Whether pictures and masks belong together for the most part."""
    return bool(found.masks) and len(found.alone) <= sum(len(some) for some in found.masks.values())
