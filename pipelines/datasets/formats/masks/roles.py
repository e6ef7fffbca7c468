"""Masks that are no class of their own: those of other observers, soft masks, fields of view, derived pictures.

What a mask is follows from what names say and, where they don't, from the pixels of a few masks.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets import listing, observers
from pipelines.datasets.base import Finding
from pipelines.datasets.formats.masks.names import Part, Role, RoleName, role_named
from pipelines.datasets.formats.masks.reading import read_index
from pipelines.datasets.options import choice
from pipelines.errors import DatasetError
from pipelines.schema import Split
from pipelines.sentences import listed, printable

OPTIONS: Final[dict[str, str]] = {
    **observers.OPTIONS,
    "soft": "grey masks that say how probable a class is, white for certain: the folder, or the end of file names, as "
    "masks_soft; all: every mask; none: not read; else those that are named so",
    "field_of_view": "the folder, or the end of file names, that marks where pixels count, such as fov; none: all do",
    "extra_masks": "classes: masks of other observers, soft masks and derived pictures are classes too; else left out",
}
_PEOPLE: Final = {"ah": "1", "vk": "2"}  # the two observers of STARE, where both are there
FIRST: Final = "first"  # the observer whose masks have no number
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
_TWINS: Final = 0.85  # IoU from which two masks may be of one thing though one lies in the other


@dataclass(frozen=True)
class File:
    """One image file. folders: those from the root to it. parts, own, split: what they say, as in `names.Folder`.

    stem: what pairs it with others; exact: as it stands, without looking for words in it.
    """

    path: Path
    folders: tuple[str, ...]
    parts: tuple[str, ...]
    own: tuple[str, ...]
    stem: str
    part: Part
    split: Split | None
    exact: bool = False


@dataclass(frozen=True)
class Pair:
    """A mask with its picture.

    rest: folders of the mask that the picture has not; item: what else its name says; both without what only says the
    role. by_folder: a folder is named after the picture, not the mask itself. says: rest and item before any role was
    told. role: None for a class. observer: number or name of the one who made it, "" for none.
    """

    mask: File
    image: File
    rest: tuple[str, ...]
    item: str
    by_folder: bool
    says: tuple[str, ...]
    role: Role | None = None
    observer: str = ""

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


@dataclass(frozen=True)
class Roles:
    """What masks are for. truth: masks of classes; soft: those that say how probable these are.

    observer: who made the truth; others: masks of the same classes by other observers, by who made them.
    fields: picture to field of view. findings: what is to be said of all this.
    """

    truth: list[Pair]
    soft: tuple[Pair, ...] = ()
    observer: str = FIRST
    others: Mapping[str, Sequence[Pair]] = field(default_factory=dict)
    fields: Mapping[Path, Path] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def choose_truth(root: Path, pairs: list[Pair], options: Mapping[str, str]) -> Roles:
    """Masks that are the truth: classes, else the first observer's, else soft masks, else all there are.

    Raises DatasetError when the options name an observer, soft masks or a field of view that are not there.
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
    told = _by_observer_option(_by_mark(_by_mark(told, options, "field_of_view"), options, "soft"), options)
    order: tuple[Role | None, ...] = (None, "observer", "soft")
    chosen = next((role for role in order if any(pair.role == role for pair in told)), "derived")
    if chosen == "derived":
        return Roles(pairs)
    truth = [pair for pair in told if pair.role == chosen]
    if chosen == "observer":
        first = min((pair.observer for pair in truth), key=_order)
        truth = [pair for pair in truth if pair.observer == first]
    fields = {pair.image.path: pair.mask.path for pair in told if pair.role == "field"}
    if options.get("field_of_view", "").strip().casefold() == "none":
        fields = {}
    used = {pair.mask.path for pair in truth}
    left = [pair for pair in told if pair.mask.path not in used and pair.role != "field"]
    observer, others = _by_observer(truth, left, options)
    soft = tuple(truth if chosen == "soft" else (pair for pair in left if pair.role == "soft"))
    soft = {"none": (), "all": tuple(truth)}.get(options.get("soft", "").strip().casefold(), soft)
    used |= {pair.mask.path for pair in (*soft, *(pair for masks in others.values() for pair in masks))}
    left = [pair for pair in left if pair.mask.path not in used]
    findings = (*_left_out(root, truth, left), *_fields_used(root, truth, fields))
    return Roles(truth, soft, observer, others, fields, findings)


def _by_observer(
    truth: Sequence[Pair], left: Sequence[Pair], options: Mapping[str, str]
) -> tuple[str, dict[str, list[Pair]]]:
    """Who made the truth, and masks of other observers by who made them, FIRST for one without number or name."""
    others: dict[str, list[Pair]] = defaultdict(list)
    for pair in left:
        if pair.role == "observer":
            others[pair.observer or FIRST].append(pair)
    asked = options.get(observers.OPTION, "").strip()
    own = asked if asked and asked.casefold() != observers.MAJORITY else truth[0].observer or FIRST
    return own, {who: others[who] for who in sorted(others, key=_order) if who != own}


def _order(who: str) -> tuple[bool, int, str]:
    """Observers in order: FIRST, numbers, names."""
    return who != FIRST, int(who) if who.isdigit() else 10**9, who


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
        observer=max((name.who for name in told.values() if name.who), key=_order, default=""),
        rest=tuple(filter(None, (told[text].rest if text in told else text for text in pair.rest))),
        item=told[pair.item].rest if pair.item in told else pair.item,
    )


_MARKED: Final[dict[str, Role]] = {"field_of_view": "field", "soft": "soft"}


def _by_mark(pairs: list[Pair], options: Mapping[str, str], option: str) -> list[Pair]:
    """Roles as an option says that marks masks by their folder or the end of their names."""
    marks = options.get(option, "").strip().strip("/")
    if not marks or marks.casefold() in ("none", "all"):
        return pairs
    if not any(pair.is_called(marks) for pair in pairs):
        raise DatasetError(f"{option} must be a folder or the ending of names of masks, got {marks[:80]!r}")
    return [replace(pair, role=_MARKED[option]) if pair.is_called(marks) else pair for pair in pairs]


def _by_observer_option(pairs: list[Pair], options: Mapping[str, str]) -> list[Pair]:
    """Roles as the option observer says: masks of this one are classes, other classes are of another observer."""
    observer = options.get(observers.OPTION, "").strip()
    if observer.casefold() in ("", FIRST, observers.MAJORITY):
        return pairs
    chosen = {pair.mask.path for pair in pairs if pair.role == "observer" and pair.observer == observer.casefold()}
    chosen = chosen or {pair.mask.path for pair in pairs if pair.role != "field" and pair.is_called(observer)}
    if not chosen:
        there = sorted({pair.observer for pair in pairs if pair.role == "observer"} - {""}, key=_order)
        known = listed([FIRST, observers.MAJORITY, *there], "or")
        raise DatasetError(f"observer must be {known}, or the name of one who made masks, got {observer[:80]!r}")
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
        if (pair.role == "observer" and pair.observer == "1")
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


def probability(marks: NDArray[Any], where: str) -> Float32Array:
    """Grey masks as probabilities, (H, W) float32 in [0, 1]: white is 1, and numbers with a fraction are as they stand.

    where: the mask, for messages. Raises DatasetError for 0 and 1 in whole numbers, which say nothing in between, and
    for other numbers beyond 0 and 1.

    >>> probability(np.array([[0, 51, 255]], np.uint8), "soft.png").round(1).tolist()
    [[0.0, 0.20000000298023224, 1.0]]
    """
    if np.issubdtype(marks.dtype, np.integer):
        if marks.max(initial=0) == 1:
            raise DatasetError(
                f"{where} holds 0 and 1, where grey says how probable a class is and white "
                f"({np.iinfo(marks.dtype).max:,}) is certain; save it so, or leave it out with the option soft=none"
            )
        return marks.astype(np.float32) / np.float32(np.iinfo(marks.dtype).max)
    values = marks.astype(np.float32)
    if not ((values >= 0) & (values <= 1)).all():
        raise DatasetError(
            f"{where} holds numbers from {values.min():.4g} to {values.max():.4g}, where a probability is 0 to 1; "
            "divide them, or leave the mask out with the option soft=none"
        )
    return values


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
    """IoU of two masks; 0 where they cannot be compared, or one lies in the other and is much smaller."""
    if mask.shape != other.shape:
        return 0.0
    both, either = int((mask & other).sum()), int((mask | other).sum())
    iou = both / max(1, either)
    return 0.0 if both > _CONTAINED * min(int(mask.sum()), int(other.sum())) and iou < _TWINS else iou


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
