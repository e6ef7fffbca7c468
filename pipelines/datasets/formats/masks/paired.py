"""Image files of a folder to pictures and the masks that belong to each, whatever the layout."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pipelines.datasets import listing
from pipelines.datasets import splits as split_lists
from pipelines.datasets.base import Finding
from pipelines.datasets.formats.masks import paired_roles, paired_tree
from pipelines.datasets.formats.masks.paired_matching import Found, pair
from pipelines.datasets.formats.masks.paired_names import shown
from pipelines.datasets.formats.masks.paired_parts import parted
from pipelines.datasets.formats.masks.paired_tree import Entry
from pipelines.errors import DatasetError
from pipelines.schema import Split

Layout: TypeAlias = Literal["one", "classes", "instances"]

_NUMBER: Final = re.compile(r"(?:[a-zA-Z]*(?:mask|object|obj|instance|inst|cell|nucleus|id|n)s?)?[_\-. (]*\d+\)?")
_NOT_READ: Final = (".gif", ".npy", ".npz", ".mat", ".jp2", ".ppm", ".pgm", ".ras", ".bif")
# Files that some sets keep beside their label maps: which are read, best first.
_FAMILIES: Final = ("labelids", "labeltrainids", "label", "labels", "mask")


@dataclass(frozen=True)
class Mask:
    """A mask file. label: the class that its folders or name tell, "" if none; item: what else its name says."""

    path: Path
    label: str
    item: str = ""


@dataclass(frozen=True)
class Match:
    """Pictures and their masks. layout: one mask a picture, one a class, or several a class; None where none fits.

    alone: masks without a picture. bare: pictures without a mask. groups: picture to the folder of its video or case.
    fields: picture to the mask that marks its field of view.
    """

    images: Mapping[str, Path] = field(default_factory=dict)
    masks: Mapping[str, tuple[Mask, ...]] = field(default_factory=dict)
    layout: Layout | None = None
    alone: tuple[Path, ...] = ()
    bare: tuple[str, ...] = ()
    splits: Mapping[Split, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Path] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes that folders and names tell, sorted."""
        return tuple(sorted({mask.label for some in self.masks.values() for mask in some}))


def match(root: Path, options: Mapping[str, str], *, sample: bool = False) -> Match:
    """Pair pictures with masks by folders and names.

    sample: look at the first files of each folder only, to recognise a layout.
    Raises DatasetError when a folder named in the options is not there, or there are too many files.
    """
    there = paired_tree.entries(root, sample=sample)
    every = parted(root, there, options)
    pictures = [one for one in every if one.part == "image"]
    found, alone = pair(pictures, [one for one in every if one.part == "mask"])
    choice = paired_roles.choose_truth(root, found, options)
    found, findings = choice.masks, choice.findings
    images = listing.by_name([one.path for one in pictures], root, findings)
    names = {path: name for name, path in images.items()}
    found = [one for one in found if one.image.path in names]
    by_folder = {names[one.image.path]: one.entry.split for one in found if one.entry.split is not None}
    by_folder |= {names[one.path]: one.split for one in pictures if one.split is not None and one.path in names}
    splits = split_lists.given_splits(root, images, findings, by_folder)
    layout, masks = _laid_out(found)
    if not sample:
        findings += _unread(root, there, every)
        if layout in ("classes", "instances") and not set(paired_roles.OPTIONS) & set(options):
            findings += paired_roles.doubts(root, found, layout)
    by_image: dict[str, list[Mask]] = defaultdict(list)
    for image, mask in masks:
        by_image[names[image.path]].append(mask)
    if layout == "one":
        by_image = _chosen(root, by_image, findings)
    bare = tuple(name for name in images if name not in by_image)
    ordered = {name: tuple(by_image[name]) for name in images if name in by_image}
    fields = {names[path]: field for path, field in choice.fields.items() if path in names}
    groups = _groups(pictures, names)
    return Match(images, ordered, layout, tuple(alone), bare, splits, groups, fields, tuple(findings))


def without_bare(
    root: Path, found: Match, *, empty: bool = False
) -> tuple[dict[str, Path], dict[Split, tuple[str, ...]], list[Finding]]:
    """Pictures that have a mask, splits of them, and findings about files that are left out.

    empty: keep pictures without a mask, as those where nothing is. Raises DatasetError when no picture is left.
    """
    images = {name: path for name, path in found.images.items() if empty or name in found.masks}
    if not found.masks:
        raise DatasetError(
            f"{shown(root.name)} has {len(found.images)} pictures and no mask that belongs to one; name a mask like "
            f"its picture and keep them in folders images and masks{_other_kinds(root)}"
        )
    findings = list(found.findings)
    if found.bare and not empty:
        some = _some(found.bare)
        problem = f"{len(found.bare)} pictures have no mask and are left out, such as {some}; add masks or remove them"
        findings.append(Finding.warning("PAIR-MISSING", problem))
    if found.alone:
        some = _some([listing.shown(path, root) for path in found.alone])
        problem = f"{len(found.alone)} masks belong to no picture and are left out, such as {some}; add the pictures"
        findings.append(Finding.warning("PAIR-MISSING", problem))
    splits = {split: tuple(name for name in names if name in images) for split, names in found.splits.items()}
    for split in (split for split, names in splits.items() if not names):
        problem = (
            f"the data set gives {len(found.splits[split]):,} images for {split}, but none of them has a mask, so it "
            f"has no {split} split; add the masks"
        )
        findings.append(Finding.warning("SPLIT-LOST", problem))
    return images, {split: names for split, names in splits.items() if names}, findings


def _other_kinds(root: Path) -> str:
    """Kinds of files that may be the masks and are not read, for the end of a message."""
    endings = Counter(path.suffix.lower() for path in islice(listing.walk(root), 5000))
    some = [ending for ending in _NOT_READ if endings[ending]]
    return f" (files of the kinds {', '.join(some)} are not read; save them as PNG)" if some else ""


def _laid_out(found: Sequence[Found]) -> tuple[Layout | None, list[tuple[Entry, Mask]]]:
    """How many masks a picture has and what tells them apart."""
    if not found:
        return None, []
    items = Counter(one.item for one in found if one.item)
    several = Counter((one.image.path, one.rest) for one in found)
    numbered = bool(items) and all(_NUMBER.fullmatch(item) for item in items)
    random = len(items) > max(16, len(found) // 2)
    if items and (numbered or random):
        made = [(one.image, Mask(one.entry.path, "/".join(one.rest), one.item)) for one in found]
        if numbered and max(several.values()) == 1 and not any(one.by_folder for one in found):
            return ("classes" if any(mask.label for _, mask in made) else "one"), made
        return "instances", made
    made = [(one.image, Mask(one.entry.path, "/".join((*one.rest, one.item)).strip("/"))) for one in found]
    labels = {mask.label for _, mask in made}
    if len(labels) == 1 and not items and not any(label in one.entry.folders for one in found for label in labels):
        made = [(image, Mask(mask.path, "")) for image, mask in made]  # said by a name such as "Part1 masks"
        labels = {""}
    if labels == {""}:
        return "one", made
    return "classes", made


def _unread(root: Path, there: Sequence[Entry], read: Sequence[Entry]) -> list[Finding]:
    """A note on picture files whose folders and names say neither picture nor mask."""
    paths = {one.path for one in read}
    unread = [one.path for one in there if one.path not in paths]
    if not unread:
        return []
    problem = (
        f"{len(unread):,} picture files, such as {listing.shown(unread[0], root)}, are not read: no option and "
        "no name of a folder makes them pictures or masks; the options images and masks name folders"
    )
    return [Finding.note("FILE-UNUSED", problem)]


def _chosen(root: Path, masks: Mapping[str, list[Mask]], findings: list[Finding]) -> dict[str, list[Mask]]:
    """One mask for each picture; of several the family of files that is known for label maps."""
    kept: dict[str, list[Mask]] = defaultdict(list)
    twice = 0
    for name, some in masks.items():
        best = sorted(some, key=lambda mask: _family(mask.path.stem))
        if len(best) > 1 and _family(best[0].path.stem) == _family(best[1].path.stem):
            if not twice:
                first, second = (listing.shown(mask.path, root) for mask in best[:2])
                problem = (
                    f"{name} has several masks, {first} and {second}, and the first is read; remove the others, or "
                    "name the folder in the option masks"
                )
                findings.append(Finding.warning("NAME-TWICE", problem))
            twice += 1
        kept[name] = best[:1]
    return kept


def _family(stem: str) -> int:
    found = paired_tree.words(stem)
    return next((rank for rank, word in enumerate(_FAMILIES) if word in found), len(_FAMILIES))


def _groups(pictures: Sequence[Entry], names: Mapping[Path, str]) -> dict[str, str]:
    """The folder of every picture where folders hold pictures of the same names, as frames of videos do."""
    folders: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for one in pictures:
        folders[one.stem].add(one.own)
    shared = sum(len(some) > 1 for some in folders.values())
    if shared < 0.5 * len(folders) or not all(one.own for one in pictures):
        return {}
    return {names[one.path]: "/".join(one.own) for one in pictures if one.path in names}


def _some(names: Sequence[str], count: int = 3) -> str:
    return ", ".join(names[:count])
