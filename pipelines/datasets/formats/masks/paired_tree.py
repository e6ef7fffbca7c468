"""A folder's tree to image files with their part in it, told by the words in folder and file names."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pipelines.datasets import listing
from pipelines.datasets.formats.masks.paired_names import shown
from pipelines.datasets.imageio import IMAGE_SUFFIXES
from pipelines.datasets.listing import MAX_FILES
from pipelines.datasets.splits import split_word
from pipelines.errors import DatasetError
from pipelines.schema import Split

Part: TypeAlias = Literal["image", "mask", ""]

MASK_WORDS: Final = frozenset({
    "mask", "masks", "label", "labels", "labelled", "labeled", "annotation", "annotations", "annot", "gt", "gts",
    "groundtruth", "groundtruths", "truth", "truths", "seg", "segs", "segmentation", "segmentations", "target",
    "targets", "gtfine", "gtcoarse", "segmentationclass", "segmentationclassraw", "segmentationclassaug",
    "segmentationclasspng", "manual",
    "1st", "indexed", "pixellabels", "labelids", "labeltrainids",
})  # fmt: skip
IMAGE_WORDS: Final = frozenset({
    "image", "images", "img", "imgs", "jpegimages", "input", "inputs", "picture", "pictures", "photo", "photos",
    "rgb", "leftimg8bit", "sat", "original", "originals", "frame", "frames", "raw", "tissue",
})  # fmt: skip
# Derived pictures of the same masks, not to be read as other masks.
_PASSED_OVER: Final = frozenset({
    "segmentationobject", "segmentationobjectpng", "segmentationobjectvisualization", "segmentationclassvisualization",
    "overlay", "overlays", "visualization", "visualisation",
})  # fmt: skip
_JOINED: Final = re.compile(r"([^\W_]+?)(annots?|masks?|labels?|images?)")
_WORD: Final = re.compile(r"[^\W_]+")
SAMPLE_FILES: Final = 60
SAMPLE_FOLDERS: Final = 40
SAMPLE_DEEP: Final = 400  # folders in all


@dataclass(frozen=True)
class Entry:
    """One image file. folders: those from root to it; parts: what they say beside what they hold and the split.

    own: the parts that are whole folder names, without the "tif" of images_tif.
    """

    path: Path
    folders: tuple[str, ...]
    parts: tuple[str, ...]
    own: tuple[str, ...]
    stem: str
    part: Part
    split: Split | None


@dataclass(frozen=True)
class _Folder:
    parts: tuple[str, ...]
    own: tuple[str, ...]
    part: Part
    split: Split | None


def entries(root: Path, *, sample: bool = False) -> list[Entry]:
    """Image files under a folder in the order of names, with the part that their folders give them.

    sample: only the first SAMPLE_FILES files of a folder and the first SAMPLE_FOLDERS folders in one.
    Raises DatasetError for more than MAX_FILES files.
    """
    found = []
    for seen, (folder, every) in enumerate(listing.tree(root, widest=SAMPLE_FOLDERS if sample else None)):
        if sample and seen >= SAMPLE_DEEP:
            break
        if seen > MAX_FILES:
            raise DatasetError(
                f"{shown(root.name)} holds more than {MAX_FILES:,} folders; give the folder of one data set"
            )
        about = _about(folder)
        if about is None:
            continue
        here = root.joinpath(*folder)
        names = [name for name in every if name.lower().endswith(IMAGE_SUFFIXES)]
        for name in names[:SAMPLE_FILES] if sample else names:
            found.append(
                Entry(here / name, folder, about.parts, about.own, name.rpartition(".")[0], about.part, about.split)
            )  # fmt: skip
        if len(found) > MAX_FILES:
            raise DatasetError(
                f"{shown(root.name)} holds more than {MAX_FILES:,} images; give the folder of one data set"
            )
    return found


def words(text: str) -> list[str]:
    """The words of a name in lower case: letters and digits between anything else."""
    lower = text.casefold()
    if lower in MASK_WORDS or lower in IMAGE_WORDS:
        return [lower]
    joined = _JOINED.fullmatch(lower)
    return list(joined.groups()) if joined else _WORD.findall(lower)


def _about(folder: tuple[str, ...]) -> _Folder | None:
    parts: list[str] = []
    own: list[str] = []
    splits: set[Split] = set()
    part: Part = ""
    for name in folder:
        found = words(name)
        if any(word in _PASSED_OVER for word in found):
            return None
        image_words = IMAGE_WORDS - {"tissue"} if part == "mask" else IMAGE_WORDS  # there it is a class
        says: Part = "mask" if MASK_WORDS & set(found) else "image" if image_words & set(found) else ""
        named = {split for word in found if (split := split_word(word)) is not None}
        splits |= named
        if says:
            part = says if part != "mask" else part
            left = [word for word in found if word not in MASK_WORDS | image_words and split_word(word) is None]
            if left:
                parts.append("_".join(left))
        elif not named or len(found) > 2:
            parts.append(name)
            own.append(name)
        elif name[-1].isdigit():  # test1 and test2 may hold the same names
            parts.append(name)
    return _Folder(tuple(parts), tuple(own), part, splits.pop() if len(splits) == 1 else None)
