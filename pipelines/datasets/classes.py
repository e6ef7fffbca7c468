"""Labels to classes: which labels make a class, what it may be called, its colour, and what its kind asks for."""

import colorsys
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipelines.datasets.base import Finding, Label
from pipelines.errors import DatasetError
from pipelines.reading import NO_BACKGROUND, ClassRule, DataReading
from pipelines.schema import BACKGROUND_CHANNEL, RESERVED_CLASS_NAMES, Kind
from pipelines.sentences import first_of, printable

MAX_CLASSES: Final = 64
IGNORE_LAYER: Final = "_ignore"  # masks/_ignore/<stem>.png: pixels to ignore where labels may overlap

# Letters, digits, space, _ . - ; no space or dot at either end, so that a name is also a safe folder name.
_CLASS_NAME: Final = re.compile(r"[\w-]([\w .-]{0,62}[\w-])?")
_NOT_ALLOWED: Final = re.compile(r"[^\w .-]+")
_LONGEST: Final = 64
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
# Paul Tol's "muted", then what Okabe & Ito (2008) add: told apart by colour-blind readers. Their blue, vermillion and
# green are left out: the dashboard keeps those for the heads.
_MUTED: Final = "#ddcc77 #88ccee #aa4499 #117733 #cc6677 #332288 #44aa99 #999933 #882255"
_PALETTE: Final = (*_MUTED.split(), "#e69f00", "#56b4e9", "#f0e442", "#cc79a7")
_BACKGROUND_COLOR: Final = "#bbbbbb"


class Description(BaseModel):
    """Classes of a data set as dataset.toml says them. The order of the classes is their index order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Kind
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_CLASSES)]
    ignore_index: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    colors: tuple[str, ...] | None = None
    background: str | None = None
    priority: tuple[str, ...] | None = None
    observer: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("the name must be one printable line")
        return name

    @field_validator("classes")
    @classmethod
    def _class_names(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        seen: dict[str, str] = {}
        for name in classes:
            if not _CLASS_NAME.fullmatch(name):
                raise ValueError(
                    f"class name {name!r} must be 1 to 64 letters, digits, spaces or _ . - "
                    "without a space or dot at its ends"
                )
            if name.casefold() in RESERVED_CLASS_NAMES:
                raise ValueError(f"class name {name!r} is reserved; call the class something else")
            if name.casefold() in seen:
                raise ValueError(f"class names {seen[name.casefold()]!r} and {name!r} are the same but for case")
            seen[name.casefold()] = name
        return classes

    @model_validator(mode="after")
    def _consistent(self) -> "Description":
        problem = _contradiction(self)
        if problem:
            raise ValueError(problem)
        return self

    def class_colors(self) -> tuple[str, ...]:
        """Colour per class, "#rrggbb": the given ones, else stable ones that colour-blind readers can tell apart."""
        if self.colors is not None:
            return tuple(color.lower() for color in self.colors)
        background = self.background_class()
        spare = iter(default_colors(len(self.classes)))
        return tuple(_BACKGROUND_COLOR if name == background else next(spare) for name in self.classes)

    def background_class(self) -> str | None:
        """The class of exclusive truth that means "nothing here", if there is one."""
        if self.kind != "exclusive" or self.background is not None:
            return self.background
        return next((name for name in self.classes if name.casefold() == BACKGROUND_CHANNEL), None)


def _contradiction(given: Description) -> str | None:
    """The first rule between fields that is broken, or None."""
    count, kind = len(given.classes), given.kind
    folded = {name.casefold() for name in given.classes}
    if kind == "exclusive" and count < 2:
        return f"kind exclusive needs two classes or more, got {count}; one foreground class is kind binary"
    if kind == "binary" and count != 1:
        return f"kind binary has exactly one class, the foreground, got {count}; several classes are kind exclusive"
    if kind != "exclusive" and BACKGROUND_CHANNEL in folded:
        return f"kind {kind} has no class called background: it is what carries no label; take it out of classes"
    if kind == "overlapping" and IGNORE_LAYER in folded:
        return f"class name {IGNORE_LAYER} is the layer of ignored pixels; call the class something else"
    taken = {"exclusive": count, "binary": 2, "overlapping": 0}[kind]
    if kind == "overlapping" and given.ignore_index is not None:
        return f"kind overlapping has no ignore_index; put ignored pixels into masks/{IGNORE_LAYER}/<stem>.png as 255"
    if given.ignore_index is not None and given.ignore_index < taken:
        return (
            f"ignore_index {given.ignore_index} is the value of a class (0 to {taken - 1}); choose another, such as 255"
        )
    if given.colors is not None and len(given.colors) != count:
        return f"colors must name one colour a class ({count}), got {len(given.colors)}"
    wrong = [color for color in given.colors or () if not _COLOR.fullmatch(color)]
    if wrong:
        return f"color {wrong[0]!r} must look like '#1f77b4'"
    if given.background is not None and (kind != "exclusive" or given.background not in given.classes):
        return f"background must be one of the classes of an exclusive set, got {given.background!r}"
    if given.priority is not None and (kind != "overlapping" or sorted(given.priority) != sorted(given.classes)):
        return "priority must name each class of an overlapping set once"
    return None


def default_colors(count: int) -> tuple[str, ...]:
    """The first `count` colours, "#rrggbb": a colour-blind-safe palette of 13, then hues a golden angle apart.

    >>> default_colors(2)
    ('#ddcc77', '#88ccee')
    """
    colors = list(_PALETTE[:count])
    for index in range(len(colors), count):
        hue, lightness = (index * 0.61803398875) % 1, (0.35, 0.5, 0.65, 0.8)[index % 4]
        red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.65)
        colors.append(f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}")
    return tuple(colors)


# Labels to classes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Classes:
    """Classes as rules over labels, not yet of any kind.

    rules: in index order on exclusive truth, where one of them may be the background, the class of pixels that carry
    none of the others. ignore: labels that mark pixels to leave out. renamed: notes on labels whose
    class is called otherwise. unused: labels that are in no class.
    """

    rules: tuple[ClassRule, ...]
    background: str | None
    ignore: tuple[str, ...]
    renamed: tuple[Finding, ...]
    unused: tuple[str, ...]

    def of(self, kind: Kind) -> tuple[ClassRule, ...]:
        """Rules of the classes that truth of a kind has: only exclusive truth has one for the background."""
        return tuple(rule for rule in self.rules if kind == "exclusive" or rule.name != self.background)


def plan_classes(labels: Sequence[Label], complete: bool, spec: DataReading) -> Classes:
    """Which labels make which classes, as the spec says or, where it says nothing, one class a label.

    complete: every pixel carries a label. Raises DatasetError when the spec names a label that is not there, or there
    are too many classes or none.
    """
    known = {label.name: label for label in labels}
    empty = {label.name for label in labels if label.role == "background"}
    wanted = [label for rule in spec.classes for label in rule.labels] + list(spec.ignore or ())
    missing = [label for label in wanted if label not in known]
    if missing:
        raise DatasetError(
            f"the data set has no label {missing[0]!r}; its labels are {list_labels(known)}; correct the table of "
            "classes"
        )
    ignore = spec.ignore
    if ignore is None:
        ignore = tuple(label.name for label in labels if label.role == "ignore" and label.name not in wanted)
    renamed: list[Finding] = []
    rules = list(spec.classes) or _class_each([label for label in labels if label.name not in ignore], renamed)
    background = None
    if spec.classes:
        background = next((rule for rule in rules if rule.name == spec.background), None)
    if background is None and (not spec.classes or spec.background is None):
        background = next((rule for rule in rules if set(rule.labels) <= empty), None)
    if background is None:
        background = _unlabelled(rules, known, ignore, complete, spec)
        rules = rules if background is None else [background, *rules]
    if len(rules) == (background is not None):
        raise DatasetError("there is no class besides the background; name at least one, with the labels that make it")
    _check_count(rules, [rule for rule in rules if rule.labels])
    covered = {label for rule in rules for label in rule.labels} | set(ignore) | empty
    unused = tuple(label.name for label in labels if label.name not in covered)
    return Classes(tuple(rules), None if background is None else background.name, ignore, tuple(renamed), unused)


def _check_count(rules: Sequence[ClassRule], counted: Sequence[ClassRule]) -> None:
    if len(counted) > MAX_CLASSES:
        raise DatasetError(f"there are {len(rules)} classes, allowed are {MAX_CLASSES}; merge labels or leave some out")


def _class_each(labels: Sequence[Label], renamed: list[Finding]) -> list[ClassRule]:
    rules: list[ClassRule] = []
    taken: set[str] = set()
    for label in labels:
        name = safe_class_name(label.name, taken)
        taken.add(name.casefold())
        rules.append(ClassRule(name=name, labels=(label.name,), color=label.color))
        if name != label.name:
            problem = f"label {label.name[:60]!r} becomes the class {name}: names of classes are letters, digits, _ . -"
            renamed.append(Finding.note("LABEL-RENAMED", problem))
    return rules


def _unlabelled(
    rules: Sequence[ClassRule], known: Mapping[str, Label], ignore: Sequence[str], complete: bool, spec: DataReading
) -> ClassRule | None:
    """A class for pixels that carry none of the classes, if there can be any."""
    if spec.background == NO_BACKGROUND:
        return None
    used = {label for rule in rules for label in rule.labels} | set(ignore)
    if spec.background is None and complete and used >= set(known):
        return None
    empty = tuple(label.name for label in known.values() if label.role == "background" and label.name not in used)
    return ClassRule.model_construct(name=spec.background or BACKGROUND_CHANNEL, labels=empty, color=None)


def describe(name: str, kind: Kind, classes: Classes, spec: DataReading) -> Description:
    """Classes of a kind as dataset.toml would say them. Raises DatasetError where they don't fit the kind."""
    rules = classes.of(kind)
    if kind == "exclusive" and len(rules) < 2:
        raise DatasetError("exclusive truth needs two classes; with one class and nothing else, choose binary")
    if kind == "binary" and len(rules) != 1:
        raise DatasetError(f"binary truth has one class, here are {len(rules)}; merge them, or choose another kind")
    _check_count(rules, rules)
    background = classes.background if kind == "exclusive" else None
    names = tuple(rule.name for rule in rules)
    plain = Description.model_construct(name=name, kind=kind, classes=names, background=background, colors=None)
    colors = tuple(rule.color or own for rule, own in zip(rules, plain.class_colors(), strict=True))
    priority = None
    if spec.priority is not None and kind == "overlapping":
        priority = tuple(names[index] for index in order_of(names, spec.priority))
    fields = {"name": name, "kind": kind, "classes": names, "colors": colors, "background": background}
    try:
        return Description.model_validate({**fields, "priority": priority})
    except ValidationError as error:
        first = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise DatasetError(f"{first}; correct the table of classes") from None


def order_of(classes: Sequence[str], priority: Iterable[str] | None) -> tuple[int, ...]:
    """Indices of classes, first wins: those of the priority first, then the others as they stand.

    >>> order_of(("cell", "nucleus", "wall"), ["nucleus"])
    (1, 0, 2)
    """
    first = [classes.index(name) for name in priority or () if name in classes]
    return (*first, *(index for index in range(len(classes)) if index not in first))


def safe_class_name(label: str, taken: Iterable[str] = ()) -> str:
    """A name that classes may have, as close to the label as can be. taken: casefolded names that are gone.

    >>> safe_class_name("left/lung", {"left_lung"})
    'left_lung_2'
    """
    base = _NOT_ALLOWED.sub("_", label).strip(" .")[:_LONGEST].strip(" .") or "class"
    if base.casefold() in RESERVED_CLASS_NAMES or base.casefold() == IGNORE_LAYER:
        base = f"{base}_class"
    unavailable, name, number = set(taken), base, 2
    while name.casefold() in unavailable:
        ending = f"_{number}"
        name, number = f"{base[: _LONGEST - len(ending)].strip(' .')}{ending}", number + 1
    return name


def list_labels(names: Iterable[str]) -> str:
    """Names of labels for a message: the first twelve, and how many more there are."""
    return first_of([printable(name[:60]) for name in names], 12)
