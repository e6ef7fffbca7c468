"""A source and what is said of it as a data set: labels made classes, kinds found out, splits completed."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from pipelines.arrays import BoolArray
from pipelines.datasets import imageio, orientation, splits
from pipelines.datasets.base import Dataset, Examination, Finding, Item
from pipelines.datasets.classes import Classes, describe, order_of, plan_classes
from pipelines.datasets.fingerprint import fingerprint_of
from pipelines.datasets.source import Source, Truth
from pipelines.errors import DatasetError
from pipelines.reading import NO_BACKGROUND, DataReading, SplitRule
from pipelines.schema import Kind, Split


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
            reading = reading.model_copy(update={"priority": _priority(source, classes)})
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
            notes.append(_note("LABEL-UNUSED", f"labels in no class: {_some(classes.unused)}"))
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


def _priority(source: Source, classes: Classes) -> tuple[str, ...] | None:
    """Classes in the order of the labels that the files put first; None where they say nothing, or not of these."""
    of = {rule.labels[0]: rule.name for rule in classes.rules if len(rule.labels) == 1}
    return tuple(of[label] for label in source.priority if label in of) or None


def _groups(source: Source, rule: SplitRule) -> Mapping[str, str]:
    if rule.groups == "none":
        return {}
    return splits.groups_by_name(source.names(), rule.separator, rule.parts) if rule.groups == "name" else source.groups


def _note(code: str, message: str) -> Finding:
    return Finding(code=code, severity="note", message=message)


def _some(names: Iterable[str]) -> str:
    every = [repr(name[:60]) if not name.isprintable() else name[:60] for name in names]
    return ", ".join(every[:12]) + (f" and {len(every) - 12} more" if len(every) > 12 else "")
