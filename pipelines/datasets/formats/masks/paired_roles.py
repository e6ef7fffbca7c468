"""Mask files that are no class of their own: those of other observers, soft masks, fields of view, derived pictures."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray
from pipelines.datasets import listing
from pipelines.datasets.base import Finding
from pipelines.datasets.formats.masks import paired_tree, paired_values
from pipelines.datasets.formats.masks.paired_matching import Found
from pipelines.datasets.formats.masks.paired_names import shown
from pipelines.errors import DatasetError

Kind: TypeAlias = Literal["observer", "soft", "field", "region", "derived"]

OPTIONS: Final[dict[str, str]] = {
    "observer": "several people marked the same pictures: the one whose masks are the truth, such as 2; else the first",
    "field_of_view": "the folder, or the end of file names, that marks where pixels count, such as fov; none: all do",
    "extra_masks": "classes: masks of other observers, soft masks and derived pictures are classes too; else left out",
}
_NOUNS: Final = "observer|annotator|rater|grader|reader|expert|radiologist|pathologist|doctor|manual|ho|labell?er"
_ORDINALS: Final = {"first": 1, "second": 2, "third": 3, "fourth": 4}
_ORDINAL: Final = rf"\d+(?:st|nd|rd|th)|{'|'.join(_ORDINALS)}"
_OBSERVER: Final = re.compile(
    rf"(?:^|_)(?:(?P<ordinal>{_ORDINAL})_?(?:human_?)?(?:{_NOUNS})s?|(?:{_NOUNS})_?(?P<number>\d+)"
    r"|(?:observer|annotator|rater|grader)s?)(?=_|$)"
)
_ONLY_ORDINAL: Final = re.compile(r"(?P<ordinal>[1-9]\d*(?:st|nd|rd|th))")
_PEOPLE: Final = {"ah": 1, "vk": 2}  # the two observers of STARE, where both are there
_ANYWHERE: Final[dict[str, Kind]] = {
    **dict.fromkeys(("fov", "fovs", "fieldofview", "field_of_view"), "field"),
    **dict.fromkeys(("soft", "softmask", "softmasks", "softmap", "softmaps", "softlabel", "softlabels", "prob", "probs",
                     "probability", "probabilities", "probmap", "probmaps"), "soft"),
    **dict.fromkeys(("overlay", "overlays", "visualization", "visualizations", "visualisation", "visualisations", "vis",
                     "viz", "preview", "previews", "thumbnail", "thumbnails", "pred", "preds", "prediction",
                     "predictions", "predicted", "heatmap", "heatmaps"), "derived"),
}  # fmt: skip
_WHOLE: Final[dict[str, Kind]] = {
    **dict.fromkeys(("roi", "rois"), "region"),
    **dict.fromkeys(("color", "colors", "colour", "colours", "colored", "coloured", "instance", "instances",
                     "instanceids", "panoptic", "edges", "result", "results", "output", "outputs", "depth",
                     "uncertainty", "confidence"), "derived"),
}  # fmt: skip
_TITLES: Final[dict[Kind, str]] = {
    "observer": "masks of another observer", "soft": "soft masks", "region": "masks of a region of interest",
    "derived": "pictures derived from masks, or predictions", "field": "fields of view",
}  # fmt: skip
_TRIED: Final = 4  # pictures whose masks are compared
_COMPARED: Final = 8  # masks of one picture
_INSIDE: Final = 0.995  # of the marked pixels that a field of view holds
_ALIKE: Final = 0.4  # IoU of two masks of one thing
_CONTAINED: Final = 0.95  # of a class that lies in another


@dataclass(frozen=True)
class Named:
    """What a name says a mask is. rest: the words that say nothing of it; number: of the observer, if it has one."""

    kind: Kind
    rest: str = ""
    number: int | None = None


@dataclass(frozen=True)
class Choice:
    """Masks that are the truth, masks by picture that mark its field of view, and what is to be said of the others."""

    masks: list[Found]
    fields: dict[Path, Path]
    findings: list[Finding]


@dataclass(frozen=True)
class _Role:
    """A mask with its role: None for a class, and what its folders and name say beside that."""

    found: Found
    kind: Kind | None = None
    number: int = 0
    rest: tuple[str, ...] = ()
    item: str = ""

    @property
    def label(self) -> str:
        return "/".join(filter(None, (*self.rest, self.item)))

    def stripped(self) -> Found:
        return replace(self.found, rest=self.rest, item=self.item)


@lru_cache(maxsize=1 << 14)
def named(text: str, classes: frozenset[str] = frozenset()) -> Named | None:
    """What a folder's name, or the end of a file's, says a mask is; None for a class.

    classes: labels that are known, in lower case; soft_lesion is a soft mask only where lesion is one of them.

    >>> named("2nd_observer"), named("Soft Exudates")
    (Named(kind='observer', rest='', number=2), None)
    """
    words = "_".join(paired_tree.words(text))
    observer = _OBSERVER.search(words) or _ONLY_ORDINAL.fullmatch(words)
    if observer is not None:
        ordinal, number = observer["ordinal"], observer.groupdict().get("number")
        count = _ORDINALS.get(ordinal) or int(re.sub(r"\D", "", ordinal)) if ordinal else int(number or 1)
        return Named("observer", _without(words, observer.start(), observer.end()), count)
    if words in _WHOLE:
        return Named(_WHOLE[words])
    for word, kind in _ANYWHERE.items():
        place = re.search(rf"(?:^|_){word}(?=_|$)", words)
        if place is not None:
            rest = _without(words, place.start(), place.end())
            if not rest or rest in classes:
                return Named(kind, rest)
    return None


def _without(words: str, start: int, end: int) -> str:
    """What is left of a name, without words such as masks that say nothing."""
    left = f"{words[:start]}_{words[end:]}".split("_")
    return "_".join(word for word in left if word and word not in paired_tree.MASK_WORDS)


def choose_truth(root: Path, found: Sequence[Found], options: Mapping[str, str]) -> Choice:
    """Which masks are the truth: classes, else the first observer's, else soft masks, else all there are.

    Raises DatasetError when the options name an observer or a field of view that is not there.
    """
    extra = options.get("extra_masks", "").strip().casefold()
    if extra not in ("", "classes"):
        raise DatasetError(f"extra_masks must be classes or left out, got {extra[:50]!r}")
    labels = {label for one in found for label in (*one.rest, one.item) if label and named(label) is None}
    classes = frozenset(label.casefold() for label in labels)
    people = {_last(one) for one in found} >= set(_PEOPLE)
    roles = [_role(one, classes, people=people) for one in found]
    if extra:
        roles = [role if role.kind == "field" else _class_role(role.found) for role in roles]
    else:
        roles = _masks_as_fields(roles)
    roles = _of_observer(_of_field(roles, options), options)
    order: tuple[Kind | None, ...] = (None, "observer", "soft")
    chosen = next((kind for kind in order if any(role.kind == kind for role in roles)), "derived")
    truth = [role for role in roles if role.kind == chosen]
    if chosen == "derived":
        return Choice(list(found), {}, [])
    if chosen == "observer":
        first = min(role.number for role in truth)
        truth = [role for role in truth if role.number == first]
    fields = {role.found.image.path: role.found.entry.path for role in roles if role.kind == "field"}
    if options.get("field_of_view", "").strip().casefold() == "none":
        fields = {}
    used = {role.found.entry.path for role in truth}
    left = [role for role in roles if role.found.entry.path not in used and role.kind != "field"]
    findings = [*_left_out(root, truth, left), *_of_fields(root, truth, fields)]
    return Choice([role.stripped() for role in truth], fields, findings)


def _last(one: Found) -> str:
    return (one.item or (one.rest[-1] if one.rest else "")).casefold()


def _class_role(one: Found) -> _Role:
    return _Role(one, None, 0, one.rest, one.item)


def _role(one: Found, classes: frozenset[str], *, people: bool) -> _Role:
    """What the folders of a mask that its picture has not, and the end of its name, say it is."""
    texts = [*(name for name in one.entry.folders if name not in one.image.folders), *one.rest, one.item]
    told = {text: named for text in texts if text and (named := _named(text, classes, people=people)) is not None}
    if not told:
        return _class_role(one)
    order: tuple[Kind, ...] = ("field", "derived", "soft", "region", "observer")
    kind = next(kind for kind in order if any(name.kind == kind for name in told.values()))
    number = max(name.number or 0 for name in told.values())
    rest = (told[text].rest if text in told else text for text in one.rest)
    return _Role(one, kind, number, tuple(filter(None, rest)), told[one.item].rest if one.item in told else one.item)


def _named(text: str, classes: frozenset[str], *, people: bool) -> Named | None:
    if people and text.casefold() in _PEOPLE:
        return Named("observer", "", _PEOPLE[text.casefold()])
    return named(text, classes)


def _of_field(roles: list[_Role], options: Mapping[str, str]) -> list[_Role]:
    """Roles as the option field_of_view says."""
    field = options.get("field_of_view", "").strip().strip("/")
    if not field or field.casefold() == "none":
        return roles
    hits = [_is_called(role.found, field) for role in roles]
    if not any(hits):
        raise DatasetError(
            f"field_of_view must be a folder or the ending of names of masks, such as fov, got {field[:80]!r}"
        )
    return [replace(role, kind="field") if hit else role for role, hit in zip(roles, hits, strict=True)]


def _of_observer(roles: list[_Role], options: Mapping[str, str]) -> list[_Role]:
    """Roles as the option observer says: masks of this one are classes, other classes are of another observer."""
    observer = options.get("observer", "").strip()
    if not observer:
        return roles
    chosen = {id(role) for role in roles if role.kind == "observer" and str(role.number) == observer}
    chosen = chosen or {id(role) for role in roles if role.kind != "field" and _is_called(role.found, observer)}
    if not chosen:
        numbers = sorted({role.number for role in roles if role.kind == "observer"})
        known = f"; there are {', '.join(map(str, numbers))}" if numbers else ""
        raise DatasetError(f"observer must be the number or name of one who made masks, got {observer[:80]!r}{known}")
    made = []
    for role in roles:
        if id(role) in chosen:
            rest = tuple(text for text in role.rest if text.casefold() != observer.casefold())
            item = "" if role.item.casefold() == observer.casefold() else role.item
            made.append(replace(role, kind=None, rest=rest, item=item))
        else:
            made.append(replace(role, kind=role.kind or "observer"))
    return made


def _is_called(one: Found, text: str) -> bool:
    """Whether a folder of a mask, or the end of its name, is called so."""
    wanted = text.casefold()
    folders = [name.casefold() for name in one.entry.folders]
    stem = one.entry.stem.casefold()
    return (
        wanted in folders
        or "/".join(folders).startswith(f"{wanted}/")
        or "/".join(folders) == wanted
        or wanted in (name.casefold() for name in (*one.rest, one.item))
        or re.search(rf"[_\-. ]{re.escape(wanted)}$", stem) is not None
    )


def _masks_as_fields(roles: list[_Role]) -> list[_Role]:
    """Masks beside 1st_manual or its like, as in DRIVE and HRF, as fields of view if they hold all that it marks."""
    manual = {id(role) for role in roles if role.kind == "observer" and role.number == 1}
    manual |= {
        id(role) for role in roles if role.kind is None and "manual" in map(str.casefold, role.found.entry.folders)
    }
    marks = {role.found.image.path: role.found.entry.path for role in roles if id(role) in manual}
    plain = [role for role in roles if role.kind is None and not role.label and id(role) not in manual]
    pairs = [(role.found.entry.path, marks[role.found.image.path]) for role in plain if role.found.image.path in marks]
    tried = pairs[:: max(1, len(pairs) // _TRIED)][:_TRIED]
    if not tried or not all(_holds(_marked(outer), _marked(inner)) for outer, inner in tried):
        return roles
    fields = {id(role) for role in plain}
    return [replace(role, kind="field") if id(role) in fields else role for role in roles]


def inside(values: NDArray[Any]) -> BoolArray:
    """Pixels that a field of view or a binary mask marks: those above half of its largest value, (H, W) bool."""
    return np.asarray(values > values.max(initial=0) / 2, np.bool_)


def _marked(path: Path) -> BoolArray:
    """Pixels that a mask marks; none, (0, 0), where it cannot be read."""
    try:
        return inside(paired_values.read_index(path))
    except (DatasetError, OSError):
        return np.zeros((0, 0), np.bool_)


def _holds(outer: BoolArray, inner: BoolArray) -> bool:
    """Whether one mask covers what another marks, and at least twice as much."""
    if outer.shape != inner.shape or not inner.any():
        return False
    return bool((outer & inner).sum() >= _INSIDE * inner.sum() and outer.sum() >= 2 * inner.sum())


def _overlap(one: BoolArray, other: BoolArray) -> float:
    """IoU of two masks; 0 where they cannot be compared, or one lies in the other."""
    if one.shape != other.shape:
        return 0.0
    both, either = int((one & other).sum()), int((one | other).sum())
    return 0.0 if both > _CONTAINED * min(int(one.sum()), int(other.sum())) else both / max(1, either)


def doubts(root: Path, found: Sequence[Found], layout: str) -> list[Finding]:
    """What masks that are read as classes or objects may be instead, told by the pixels of a few pictures.

    layout: "classes" or "instances". Two masks that mark nearly the same pixels may be of two observers; masks without
    a label that hold all that the others mark may be fields of view.
    """
    of_picture: dict[Path, list[Found]] = defaultdict(list)
    for one in found:
        of_picture[one.image.path].append(one)
    several = [masks for masks in of_picture.values() if len(masks) > 1]
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    holds: list[bool] = []
    example: dict[str, str] = {}
    for masks in several[:: max(1, len(several) // _TRIED)][:_TRIED]:
        some = [(_label(one), _marked(one.entry.path)) for one in sorted(masks, key=_label)[:_COMPARED]]
        example = {_label(one): listing.shown(one.entry.path, root) for one in masks} | example
        for (label, one_mask), (other, other_mask) in combinations(some, 2):
            shares[(label, other)].append(_overlap(one_mask, other_mask))
            holds += [] if label else [_holds(one_mask, other_mask)]
    for (first, second), values in shares.items():
        if len(values) >= 2 and median(values) >= _ALIKE:
            what = "classes" if layout == "classes" else "objects of one class"
            problem = (
                f"masks such as {example[first]} and {example[second]} mark nearly the same pixels (IoU "
                f"{median(values):.2f}) and are read as {what}; if they are of two observers, say whose are the truth, "
                f"such as observer={shown(first or second)}"
            )
            return [Finding.warning("MASKS-ALIKE", problem)]
    if layout == "classes" and holds and all(holds):
        folder = next(one.entry.path.parent.name for one in found if not _label(one))
        problem = (
            f"masks such as {example['']} hold all that the others mark and are read as a class; if they are fields of "
            f"view, say field_of_view={shown(folder)}"
        )
        return [Finding.warning("MASKS-ALIKE", problem)]
    return []


def _label(one: Found) -> str:
    return "/".join(filter(None, (*one.rest, one.item)))


def _left_out(root: Path, truth: Sequence[_Role], left: Sequence[_Role]) -> Iterable[Finding]:
    """One finding for each kind of masks that are left out, with the other way to read them."""
    plain = sorted({role.label or "object" for role in truth})
    for kind in dict.fromkeys(role.kind for role in left):
        if kind is None:
            continue
        some = [role for role in left if role.kind == kind]
        example = listing.shown(some[0].found.entry.path, root)
        labels = sorted({_label(role.found) or "object" for role in some})
        both = ", ".join(shown(label) for label in dict.fromkeys([*plain, *labels][:8]))
        ways = [f"extra_masks=classes, in the format per_class, reads the classes {both}"]
        numbers = sorted({role.number for role in some if role.kind == "observer" and role.number})
        if numbers:
            ways.append(f"observer={numbers[0]} takes this observer's masks for the truth")
        if kind == "region":
            ways.append("field_of_view=roi leaves out the pixels outside of it")
        problem = f"{len(some):,} {_TITLES[kind]}, such as {example}, are left out; the option {', or '.join(ways)}"
        yield (Finding.warning if kind == "region" else Finding.note)("MASKS-UNUSED", problem)


def _of_fields(root: Path, truth: Sequence[_Role], fields: Mapping[Path, Path]) -> Iterable[Finding]:
    """What the fields of view do, and pictures that have none."""
    if not fields:
        return
    example = listing.shown(next(iter(fields.values())), root)
    pictures = {role.found.image.path for role in truth}
    problem = (
        f"{len(pictures & set(fields)):,} fields of view, such as {example}, mark where pixels count: those outside "
        "are left out of everything; the option field_of_view=none counts all"
    )
    yield Finding.note("FIELD-OF-VIEW", problem)
    bare = sorted(listing.shown(path, root) for path in pictures - set(fields))
    if bare:
        problem = f"{len(bare):,} pictures have no field of view and count wholly, such as {bare[0]}; add the files"
        yield Finding.warning("FIELD-MISSING", problem)
