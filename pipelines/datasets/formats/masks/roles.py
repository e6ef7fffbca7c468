"""Masks that are no class of their own: those of other observers, soft masks, fields of view, derived pictures.

What a mask is follows from what names say and, where they don't, from the pixels of a few masks.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray
from pipelines.datasets import listing
from pipelines.datasets.base import Finding
from pipelines.datasets.formats.masks.names import Part, Role, RoleName, role_named
from pipelines.datasets.formats.masks.values import read_index
from pipelines.datasets.options import choice
from pipelines.errors import DatasetError
from pipelines.schema import Split
from pipelines.sentences import printable

OPTIONS: Final[dict[str, str]] = {
    "observer": "several people marked the same pictures: the one whose masks are the truth, such as 2; else the first",
    "field_of_view": "the folder, or the end of file names, that marks where pixels count, such as fov; none: all do",
    "extra_masks": "classes: masks of other observers, soft masks and derived pictures are classes too; else left out",
}
_PEOPLE: Final = {"ah": 1, "vk": 2}  # the two observers of STARE, where both are there
_TITLES: Final[dict[Role, str]] = {
    "observer": "masks of another observer",
    "soft": "soft masks",
    "region": "masks of a region of interest",
    "derived": "pictures derived from masks, or predictions",
    "field": "fields of view",
}
_TRIED: Final = 4  # pictures whose masks are compared
_COMPARED: Final = 8  # masks of one picture
_INSIDE: Final = 0.995  # of the marked pixels that a field of view holds
_ALIKE: Final = 0.4  # IoU of two masks of one thing
_CONTAINED: Final = 0.95  # of a class that lies in another


@dataclass(frozen=True)
class File:
    """One image file. folders: those from the root to it. parts, own, split: what they say, as in `names.Folder`."""

    path: Path
    folders: tuple[str, ...]
    parts: tuple[str, ...]
    own: tuple[str, ...]
    stem: str
    part: Part
    split: Split | None


@dataclass(frozen=True)
class Pair:
    """A mask with its picture.

    rest: folders of the mask that the picture has not; item: what else its name says; both without what only says the
    role. by_folder: a folder is named after the picture, not the mask itself. says: rest and item before any role was
    told. role: None for a class. observer: number of the one who made it, 0 for none.
    """

    mask: File
    image: File
    rest: tuple[str, ...]
    item: str
    by_folder: bool
    says: tuple[str, ...]
    role: Role | None = None
    observer: int = 0

    @property
    def label(self) -> str:
        """The class that folders and name tell, "" if none."""
        return "/".join(filter(None, (*self.rest, self.item)))

    @property
    def whole_label(self) -> str:
        """The same with what says the role."""
        return "/".join(filter(None, self.says))

    def is_called(self, text: str) -> bool:
        """Whether a folder of the mask, or the end of its name, is called so."""
        wanted = text.casefold()
        folders = [name.casefold() for name in self.mask.folders]
        path = "/".join(folders)
        return (
            wanted in folders
            or path == wanted
            or path.startswith(f"{wanted}/")
            or wanted in (name.casefold() for name in self.says)
            or re.search(rf"[_\-. ]{re.escape(wanted)}$", self.mask.stem.casefold()) is not None
        )


def choose_truth(
    root: Path, pairs: list[Pair], options: Mapping[str, str]
) -> tuple[list[Pair], dict[Path, Path], list[Finding]]:
    """Masks that are the truth: classes, else the first observer's, else soft masks, else all there are.

    Also returns picture to field of view, and what is to be said of the other masks.
    Raises DatasetError when the options name an observer or a field of view that is not there.
    """
    extra = choice(options, "extra_masks", ["classes"])
    labels = {label for pair in pairs for label in pair.says if label and role_named(label) is None}
    classes = frozenset(label.casefold() for label in labels)
    people = {next(filter(None, reversed(pair.says)), "").casefold() for pair in pairs} >= set(_PEOPLE)
    told = [_with_role(pair, classes, people=people) for pair in pairs]
    if extra:
        told = [pair if pair.role == "field" else plain for pair, plain in zip(told, pairs, strict=True)]
    else:
        told = _masks_as_fields(told)
    told = _by_observer_option(_by_field_option(told, options), options)
    order: tuple[Role | None, ...] = (None, "observer", "soft")
    chosen = next((role for role in order if any(pair.role == role for pair in told)), "derived")
    if chosen == "derived":
        return pairs, {}, []
    truth = [pair for pair in told if pair.role == chosen]
    if chosen == "observer":
        first = min(pair.observer for pair in truth)
        truth = [pair for pair in truth if pair.observer == first]
    fields = {pair.image.path: pair.mask.path for pair in told if pair.role == "field"}
    if options.get("field_of_view", "").strip().casefold() == "none":
        fields = {}
    used = {pair.mask.path for pair in truth}
    left = [pair for pair in told if pair.mask.path not in used and pair.role != "field"]
    return truth, fields, [*_left_out(root, truth, left), *_fields_used(root, truth, fields)]


def _with_role(pair: Pair, classes: frozenset[str], *, people: bool) -> Pair:
    """A pair with the role that the folders of its mask that the picture has not, and the end of its name, say."""

    def named(text: str) -> RoleName | None:
        if people and text.casefold() in _PEOPLE:
            return RoleName("observer", "", _PEOPLE[text.casefold()])
        return role_named(text, classes)

    texts = [*(name for name in pair.mask.folders if name not in pair.image.folders), *pair.says]
    told = {text: name for text in texts if text and (name := named(text)) is not None}
    if not told:
        return pair
    order: tuple[Role, ...] = ("field", "derived", "soft", "region", "observer")
    return replace(
        pair,
        role=next(role for role in order if any(name.role == role for name in told.values())),
        observer=max(name.number or 0 for name in told.values()),
        rest=tuple(filter(None, (told[text].rest if text in told else text for text in pair.rest))),
        item=told[pair.item].rest if pair.item in told else pair.item,
    )


def _by_field_option(pairs: list[Pair], options: Mapping[str, str]) -> list[Pair]:
    """Roles as the option field_of_view says."""
    marks = options.get("field_of_view", "").strip().strip("/")
    if not marks or marks.casefold() == "none":
        return pairs
    if not any(pair.is_called(marks) for pair in pairs):
        raise DatasetError(
            f"field_of_view must be a folder or the ending of names of masks, such as fov, got {marks[:80]!r}"
        )
    return [replace(pair, role="field") if pair.is_called(marks) else pair for pair in pairs]


def _by_observer_option(pairs: list[Pair], options: Mapping[str, str]) -> list[Pair]:
    """Roles as the option observer says: masks of this one are classes, other classes are of another observer."""
    observer = options.get("observer", "").strip()
    if not observer:
        return pairs
    chosen = {pair.mask.path for pair in pairs if pair.role == "observer" and str(pair.observer) == observer}
    chosen = chosen or {pair.mask.path for pair in pairs if pair.role != "field" and pair.is_called(observer)}
    if not chosen:
        numbers = sorted({pair.observer for pair in pairs if pair.role == "observer"})
        known = f"; there are {', '.join(map(str, numbers))}" if numbers else ""
        raise DatasetError(f"observer must be the number or name of one who made masks, got {observer[:80]!r}{known}")
    told = []
    for pair in pairs:
        if pair.mask.path in chosen:
            rest = tuple(text for text in pair.rest if text.casefold() != observer.casefold())
            item = "" if pair.item.casefold() == observer.casefold() else pair.item
            told.append(replace(pair, role=None, rest=rest, item=item))
        else:
            told.append(replace(pair, role=pair.role or "observer"))
    return told


def _masks_as_fields(pairs: list[Pair]) -> list[Pair]:
    """Masks beside 1st_manual or its like, as in DRIVE and HRF, as fields of view if they hold all that it marks."""
    manual = {
        pair.mask.path
        for pair in pairs
        if (pair.role == "observer" and pair.observer == 1)
        or (pair.role is None and "manual" in map(str.casefold, pair.mask.folders))
    }
    marks = {pair.image.path: pair.mask.path for pair in pairs if pair.mask.path in manual}
    plain = [pair for pair in pairs if pair.role is None and not pair.label and pair.mask.path not in manual]
    both = [(pair.mask.path, marks[pair.image.path]) for pair in plain if pair.image.path in marks]
    tried = both[:: max(1, len(both) // _TRIED)][:_TRIED]
    if not tried or not all(_holds(_marked(outer), _marked(inner)) for outer, inner in tried):
        return pairs
    fields = {pair.mask.path for pair in plain}
    return [replace(pair, role="field") if pair.mask.path in fields else pair for pair in pairs]


def inside(values: NDArray[Any]) -> BoolArray:
    """Pixels that a field of view or a binary mask marks: those above half of its largest value, (H, W) bool."""
    return np.asarray(values > values.max(initial=0) / 2, np.bool_)


def _marked(path: Path) -> BoolArray:
    """Pixels that a mask marks; none, (0, 0), where it cannot be read."""
    try:
        return inside(read_index(path))
    except (DatasetError, OSError):
        return np.zeros((0, 0), np.bool_)


def _holds(outer: BoolArray, inner: BoolArray) -> bool:
    """Whether one mask covers what another marks, and at least twice as much."""
    if outer.shape != inner.shape or not inner.any():
        return False
    return bool((outer & inner).sum() >= _INSIDE * inner.sum() and outer.sum() >= 2 * inner.sum())


def _overlap(mask: BoolArray, other: BoolArray) -> float:
    """IoU of two masks; 0 where they cannot be compared, or one lies in the other."""
    if mask.shape != other.shape:
        return 0.0
    both, either = int((mask & other).sum()), int((mask | other).sum())
    return 0.0 if both > _CONTAINED * min(int(mask.sum()), int(other.sum())) else both / max(1, either)


def doubts(root: Path, pairs: Sequence[Pair], layout: str) -> list[Finding]:
    """What masks that are read as classes or objects may be instead, told by the pixels of a few pictures.

    Two masks that mark nearly the same pixels may be of two observers; masks without a label that hold all that the
    others mark may be fields of view.
    """
    of_picture: dict[Path, list[Pair]] = defaultdict(list)
    for pair in pairs:
        of_picture[pair.image.path].append(pair)
    several = [masks for masks in of_picture.values() if len(masks) > 1]
    overlaps: dict[tuple[str, str], list[float]] = defaultdict(list)
    holds: list[bool] = []
    example: dict[str, str] = {}
    for masks in several[:: max(1, len(several) // _TRIED)][:_TRIED]:
        first = sorted(masks, key=lambda pair: pair.label)[:_COMPARED]
        marked = [(pair.label, _marked(pair.mask.path)) for pair in first]
        example = {pair.label: listing.shown(pair.mask.path, root) for pair in masks} | example
        for (label, mask), (other, other_mask) in combinations(marked, 2):
            overlaps[(label, other)].append(_overlap(mask, other_mask))
            holds += [] if label else [_holds(mask, other_mask)]
    for (label, other), values in overlaps.items():
        if len(values) >= 2 and median(values) >= _ALIKE:
            what = "classes" if layout == "classes" else "objects of one class"
            problem = (
                f"masks such as {example[label]} and {example[other]} mark nearly the same pixels (IoU "
                f"{median(values):.2f}) and are recognised as {what}; if they are of two observers, say whose are the "
                f"truth, such as observer={printable((label or other)[:60])}"
            )
            return [Finding.warning("MASKS-ALIKE", problem)]
    if layout == "classes" and holds and all(holds):
        folder = next(pair.mask.path.parent.name for pair in pairs if not pair.label)
        problem = (
            f"masks such as {example['']} hold all that the others mark and are recognised as a class; if they are "
            f"fields of view, say field_of_view={printable(folder[:60])}"
        )
        return [Finding.warning("MASKS-ALIKE", problem)]
    return []


def _left_out(root: Path, truth: Sequence[Pair], left: Sequence[Pair]) -> Iterable[Finding]:
    """One finding for each kind of masks that are left out, with the other way to read them."""
    labels = sorted({pair.label or "object" for pair in truth})
    for role in dict.fromkeys(pair.role for pair in left):
        if role is None:
            continue
        masks = [pair for pair in left if pair.role == role]
        example = listing.shown(masks[0].mask.path, root)
        others = sorted({pair.whole_label or "object" for pair in masks})
        both = ", ".join(printable(label[:60]) for label in dict.fromkeys([*labels, *others][:8]))
        ways = [f"extra_masks=classes, in the format per_class, reads the classes {both}"]
        numbers = sorted({pair.observer for pair in masks if pair.role == "observer" and pair.observer})
        if numbers:
            ways.append(f"observer={numbers[0]} takes this observer's masks for the truth")
        if role == "region":
            ways.append("field_of_view=roi leaves out the pixels outside of it")
        problem = f"{len(masks):,} {_TITLES[role]}, such as {example}, are left out; the option {', or '.join(ways)}"
        yield (Finding.warning if role == "region" else Finding.note)("MASKS-UNUSED", problem)


def _fields_used(root: Path, truth: Sequence[Pair], fields: Mapping[Path, Path]) -> Iterable[Finding]:
    """What the fields of view do, and pictures that have none."""
    if not fields:
        return
    example = listing.shown(next(iter(fields.values())), root)
    pictures = {pair.image.path for pair in truth}
    problem = (
        f"{len(pictures & set(fields)):,} fields of view, such as {example}, mark where pixels count: those outside "
        "are left out of everything; the option field_of_view=none counts all"
    )
    yield Finding.note("FIELD-OF-VIEW", problem)
    bare = sorted(listing.shown(path, root) for path in pictures - set(fields))
    if bare:
        problem = f"{len(bare):,} pictures have no field of view and count wholly, such as {bare[0]}; add the files"
        yield Finding.warning("FIELD-MISSING", problem)
