"""A source and what is said of it as a data set: labels made classes, kinds found out, splits completed."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import ValidationError

from pipelines.arrays import BoolArray
from pipelines.datasets import imageio, orientation, splits
from pipelines.datasets.base import Dataset, Examination, Finding, Item
from pipelines.datasets.description import IGNORE_LAYER, MAX_CLASSES, Description
from pipelines.datasets.fingerprint import fingerprint_of
from pipelines.datasets.source import Label, Source, Truth
from pipelines.errors import DatasetError
from pipelines.reading import NO_BACKGROUND, ClassRule, DataReading, SplitRule
from pipelines.schema import BACKGROUND_CHANNEL, RESERVED_CLASS_NAMES, Kind, Split

# Labels to classes ---------------------------------------------------------------------------------------------------

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


# The data set --------------------------------------------------------------------------------------------------------


class Described(Dataset):
    """Files read in some format, with classes, kind and splits as a reading says.

    source: what the files hold. reading: everything spelt out, so that reading it again gives the same data set.
    """

    def __init__(self, source: Source, reading: DataReading) -> None:
        self.source = source
        self.root = source.root
        self.name = source.name
        self._names = frozenset(source.names())
        self._alignment = orientation.Alignment(source, reading.options.get(orientation.OPTION))
        classes, renamed = plan_classes(source.labels, source.complete, reading)
        if reading.priority is None:
            reading = reading.model_copy(update={"priority": _priority_of_files(source, classes)})
        kind = reading.kind or _kind(source, classes)
        self._described = describe(source.name, kind, classes, reading)
        self.kind = kind
        self.classes = self._described.classes
        self.colors = self._described.class_colors()
        self.background = self._described.background
        self.priority = self._described.priority
        self._rules = classes.of(kind)
        self._ignore = frozenset(classes.ignore)
        self._order = order_of(self.classes, reading.priority)
        self.groups = _groups(source, reading.splits)
        self._splits, made = splits.complete_splits(source.splits, source.names(), self.groups, reading.splits)
        notes = [_note(splits.MADE, made)] if made is not None else []
        if classes.unused:
            notes.append(_note("LABEL-UNUSED", f"labels in no class: {_named_labels(classes.unused)}"))
        self._findings = (*source.findings, *renamed, *notes)
        self.reading = DataReading(
            format=reading.format, options=reading.options, kind=kind,
            classes=tuple(rule for rule in classes.rules if rule.labels), ignore=classes.ignore,
            background=NO_BACKGROUND if classes.background is None else classes.background,
            priority=reading.priority, splits=reading.splits,
        )  # fmt: skip

    def names(self) -> tuple[str, ...]:
        """Every image of the set, sorted."""
        return self.source.names()

    def images(self, split: Split) -> tuple[str, ...]:
        """Names of the images of a split."""
        return self._splits[split]

    def structure(self) -> tuple[Finding, ...]:
        """What is wrong with the files as a whole, and what was made of them that they do not say."""
        return self._findings

    def examine(self, name: str, *, size: tuple[int, int] | None = None) -> Examination:
        """One image with its truth, and everything that is wrong with them."""
        findings: list[Finding] = []
        picture = truth = None
        if name not in self._names:
            problem = f"there is no image {name!r} in {self.name}; choose one of its images"
            return Examination(None, (Finding(code="IMAGE-MISSING", severity="error", message=problem),))
        try:
            picture = self.source.picture(name, size=size)
        except DatasetError as error:
            findings.append(Finding(code="IMAGE-UNREADABLE", severity="error", message=str(error)))
        try:
            truth = self.source.truth(name)
            findings.extend(truth.findings)
        except DatasetError as error:
            findings.append(Finding(code="MASK-UNREADABLE", severity="error", message=str(error)))
        turn = None
        if picture is not None and truth is not None:
            truth, turn = self._alignment.align(picture, truth)
        if picture is not None and truth is not None and truth.valid.shape != picture.own:
            height, width = truth.valid.shape
            problem = (
                f"the truth of {name} is {width}×{height}, its image is {picture.own[1]}×{picture.own[0]}; resize the "
                "mask (nearest neighbour) or remove the pair"
            )
            findings.append(Finding(code="PAIR-SIZE", severity="error", message=problem))
        if picture is None or truth is None or any(one.severity == "error" for one in findings):
            return Examination(None, tuple(findings))
        layers, valid = self._decode(name, truth, findings)
        if not valid.any():
            problem = f"every pixel of {name} is to be ignored, so it teaches and tests nothing; label it or remove it"
            findings.append(Finding(code="ALL-IGNORED", severity="warning", message=problem))
        shape = size or picture.own
        layers, valid = imageio.resize_mask(layers, shape), imageio.resize_mask(valid, shape)
        return Examination(Item(name, picture.image, layers, valid, picture.orientation), tuple(findings), turn)

    def _decode(self, name: str, truth: Truth, findings: list[Finding]) -> tuple[BoolArray, BoolArray]:
        """Truth (C, H, W) and valid (H, W), both bool."""
        at = {label.name: index for index, label in enumerate(self.source.labels)}
        valid = truth.valid.copy()
        for label in self._ignore:
            valid &= ~truth.layers[at[label]]
        layers = np.zeros((len(self.classes), *valid.shape), np.bool_)
        for layer, rule in zip(layers, self._rules, strict=True):
            for label in rule.labels:
                layer |= truth.layers[at[label]]
        layers &= valid
        if self.kind != "exclusive":
            return layers, valid
        last = None if self.background is None else self.classes.index(self.background)
        several = self._one_class_each(layers, valid, last)
        if several:
            share = several / max(1, int(valid.sum()))
            problem = f"{share:.1%} of the pixels of {name} carry several classes; the first in the order got them"
            findings.append(_note("OVERLAP-RESOLVED", problem))
        if last is None:
            valid &= layers.any(axis=0)
        return layers, valid

    def _one_class_each(self, layers: BoolArray, valid: BoolArray, background: int | None) -> int:
        """Give each pixel to the first class in the order, the rest to the background; returns how many had several."""
        free = np.ones(layers.shape[1:], np.bool_)
        several = 0
        for index in self._order:
            if index != background:
                several += int((layers[index] & ~free).sum())
                layers[index] &= free
                free &= ~layers[index]
        if background is not None:
            layers[background] = free & valid
        return several

    def fingerprint(self) -> str:
        """sha256 over what is said of the files and over name, length and content of each."""
        said = json.dumps(self.reading.model_dump(mode="json"), sort_keys=True).encode()
        return fingerprint_of(self.files(), self.root, said=said)

    def files(self) -> Iterable[Path]:
        """Those that the source reads."""
        return self.source.files()


def _kind(source: Source, classes: Classes) -> Kind:
    """The kind of truth: what the files declare of these classes, or found by looking for a pixel with two classes."""
    rules = classes.of("overlapping")
    if len(rules) == 1:
        return "binary"
    named = [label for rule in rules for label in rule.labels]
    if source.declared == "overlapping" and len(rules) == len(source.labels) == len(set(named)):
        return "overlapping"
    if source.exclusive and len(set(named)) == len(named):
        return "exclusive"
    at = {label.name: index for index, label in enumerate(source.labels)}
    members = [[at[label] for label in rule.labels] for rule in rules]
    for name in source.names():
        try:
            truth = source.truth(name)
        except DatasetError:  # the check lists it
            continue
        carried = np.zeros(truth.valid.shape, np.uint8)
        for some in members:
            carried += truth.layers[some].any(axis=0)
        if (carried[truth.valid] > 1).any():
            return "overlapping"
    return "exclusive"


def _priority_of_files(source: Source, classes: Classes) -> tuple[str, ...] | None:
    """Classes in the order of the labels that the files put first; None where they say nothing, or not of these."""
    of = {rule.labels[0]: rule.name for rule in classes.rules if len(rule.labels) == 1}
    return tuple(of[label] for label in source.priority if label in of) or None


def _groups(source: Source, rule: SplitRule) -> Mapping[str, str]:
    if rule.groups == "none":
        return {}
    return splits.groups_by_name(source.names(), rule.separator, rule.parts) if rule.groups == "name" else source.groups


def _note(code: str, message: str) -> Finding:
    return Finding(code=code, severity="note", message=message)


def _named_labels(names: Iterable[str]) -> str:
    every = [repr(name[:60]) if not name.isprintable() else name[:60] for name in names]
    return ", ".join(every[:12]) + (f" and {len(every) - 12} more" if len(every) > 12 else "")
