"""Labels of a source and what a reading says of them to the classes of a data set."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from pipelines.datasets.base import Finding
from pipelines.datasets.description import IGNORE_LAYER, MAX_CLASSES, Description
from pipelines.datasets.source import Label
from pipelines.errors import DatasetError
from pipelines.reading import NO_BACKGROUND, ClassRule, DataReading
from pipelines.schema import BACKGROUND_CHANNEL, RESERVED_CLASS_NAMES, Kind

_NOT_ALLOWED: Final = re.compile(r"[^\w .-]+")
_LONGEST: Final = 64


@dataclass(frozen=True)
class Classes:
    """Classes as rules over labels, not yet of any kind.

    rules: in index order on exclusive truth, where one of them may be the background, the class of pixels that carry
    none of the others. ignore: labels that mark pixels to leave out. unused: labels that are in no class.
    """

    rules: tuple[ClassRule, ...]
    background: str | None
    ignore: tuple[str, ...]
    unused: tuple[str, ...]

    def of(self, kind: Kind) -> tuple[ClassRule, ...]:
        """Rules of the classes that truth of a kind has: only exclusive truth has one for the background."""
        return tuple(rule for rule in self.rules if kind == "exclusive" or rule.name != self.background)


def plan_classes(labels: Sequence[Label], complete: bool, reading: DataReading) -> tuple[Classes, tuple[Finding, ...]]:
    """Which labels make which classes, as the reading says or, where it says nothing, one class a label.

    complete: every pixel carries a label. Raises DatasetError when the reading names a label that is not there, or
    there are too many classes or none.
    """
    known = {label.name: label for label in labels}
    _check_labels(reading, known)
    ignore = reading.ignore
    taken = {label for rule in reading.classes for label in rule.labels}
    if ignore is None:
        ignore = tuple(one.name for one in labels if one.role == "ignore" and one.name not in taken)
    findings: list[Finding] = []
    if reading.classes:
        rules = list(reading.classes)
        named = next((rule for rule in rules if rule.name == reading.background), None)
        if named is None and reading.background is None:
            empty = {one.name for one in labels if one.role == "background"}
            named = next((rule for rule in rules if set(rule.labels) <= empty), None)
    else:
        left = [one for one in labels if one.name not in ignore]
        rules, findings = _every_label(left)
        empty = {one.name for one in left if one.role == "background"}
        named = next((rule for rule in rules if rule.labels[0] in empty), None)
    made = named if named is not None else _unlabelled(rules, known, ignore, complete, reading)
    if made is not None and named is None:
        rules = [made, *rules]
    if len(rules) == (made is not None):
        raise DatasetError("there is no class besides the background; name at least one, with the labels that make it")
    if len(rules) > MAX_CLASSES:
        raise DatasetError(f"there are {len(rules)} classes, allowed are {MAX_CLASSES}; merge labels or leave some out")
    covered = {label for rule in rules for label in rule.labels} | set(ignore)
    empty = {one.name for one in labels if one.role == "background"}
    unused = tuple(one.name for one in labels if one.name not in covered and one.name not in empty)
    return Classes(tuple(rules), made.name if made is not None else None, ignore, unused), tuple(findings)


def _check_labels(reading: DataReading, known: dict[str, Label]) -> None:
    wanted = [label for rule in reading.classes for label in rule.labels] + list(reading.ignore or ())
    missing = [label for label in dict.fromkeys(wanted) if label not in known]
    if missing:
        raise DatasetError(
            f"the data set has no label {missing[0]!r}; its labels are {_some(known)}; correct the table of classes"
        )


def _every_label(labels: Sequence[Label]) -> tuple[list[ClassRule], list[Finding]]:
    rules, findings, taken = [], [], set[str]()
    for label in labels:
        name = safe_class_name(label.name, taken)
        taken.add(name.casefold())
        rules.append(ClassRule(name=name, labels=(label.name,), color=label.color))
        if name != label.name:
            problem = f"label {label.name[:60]!r} becomes the class {name}: names of classes are letters, digits, _ . -"
            findings.append(Finding(code="LABEL-RENAMED", severity="note", message=problem))
    return rules, findings


def _unlabelled(
    rules: Sequence[ClassRule], known: dict[str, Label], ignore: Sequence[str], complete: bool, reading: DataReading
) -> ClassRule | None:
    """A class for pixels that carry none of the classes, if there can be any."""
    if reading.background == NO_BACKGROUND:
        return None
    used = {label for rule in rules for label in rule.labels} | set(ignore)
    if reading.background is None and complete and used >= set(known):
        return None
    empty = tuple(one.name for one in known.values() if one.role == "background" and one.name not in used)
    name = reading.background or BACKGROUND_CHANNEL
    return ClassRule.model_construct(name=name, labels=empty, color=None)


def describe(name: str, kind: Kind, classes: Classes, reading: DataReading) -> Description:
    """Classes of a kind as dataset.toml would say them. Raises DatasetError where they don't fit the kind."""
    rules = classes.of(kind)
    if kind == "exclusive" and len(rules) < 2:
        raise DatasetError("exclusive truth needs two classes; with one class and nothing else, choose binary")
    if kind == "binary" and len(rules) != 1:
        raise DatasetError(f"binary truth has one class, here are {len(rules)}; merge them, or choose another kind")
    background = classes.background if kind == "exclusive" else None
    plain = Description.model_construct(
        name=name, kind=kind, classes=tuple(rule.name for rule in rules), background=background, colors=None
    )
    colors = tuple(rule.color or own for rule, own in zip(rules, plain.class_colors(), strict=True))
    try:
        return Description(
            name=name, kind=kind, classes=plain.classes, colors=colors, background=background,
            priority=_priority(kind, plain.classes, reading),
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise DatasetError(f"{first}; correct the table of classes") from None


def _priority(kind: Kind, classes: tuple[str, ...], reading: DataReading) -> tuple[str, ...] | None:
    if reading.priority is None or kind != "overlapping":
        return None
    return (*(name for name in reading.priority if name in classes),
            *(name for name in classes if name not in reading.priority))  # fmt: skip


def order_of(classes: Sequence[str], priority: Iterable[str] | None) -> tuple[int, ...]:
    """Indices of classes, first wins: those of the priority first, then the others as they stand."""
    first = [classes.index(name) for name in priority or () if name in classes]
    return (*first, *(index for index in range(len(classes)) if index not in first))


def safe_class_name(label: str, taken: Iterable[str] = ()) -> str:
    """A name that classes may have, as close to the label as can be. taken: casefolded names that are gone."""
    base = _NOT_ALLOWED.sub("_", label).strip(" .")[:_LONGEST].strip(" .") or "class"
    if base.casefold() in RESERVED_CLASS_NAMES or base.casefold() == IGNORE_LAYER:
        base = f"{base}_class"
    spoken_for, name, number = set(taken), base, 2
    while name.casefold() in spoken_for:
        ending = f"_{number}"
        name, number = f"{base[: _LONGEST - len(ending)].strip(' .')}{ending}", number + 1
    return name


def _some(names: Iterable[str]) -> str:
    every = [name[:60] for name in names]
    return ", ".join(every[:12]) + (f" and {len(every) - 12} more" if len(every) > 12 else "")
