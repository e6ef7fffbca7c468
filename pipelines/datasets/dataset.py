"""A data set: the files of a format, with classes, kind and splits as its spec says, read one image at a time."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets import imageio, listing, orientation, splits
from pipelines.datasets.bands import RGB, Bands
from pipelines.datasets.base import Examination, Finding, Item, Size, Source, Truth, UnusableTruth
from pipelines.datasets.classes import Classes, describe, list_labels, order_of, plan_classes
from pipelines.datasets.observers import share
from pipelines.errors import DatasetError
from pipelines.reading import NO_BACKGROUND, DataReading, SplitRule
from pipelines.schema import SPLITS, Kind, Split
from pipelines.sentences import count_of, first_of

OPTIONS: Final[dict[str, str]] = {
    "leave_out": "images to do without, such as one whose mask is damaged: names with commas between, * for any letters"
}


class Dataset:
    """Images with per-pixel truth.

    source: what the files hold. classes: names in index order. colors: "#rrggbb" per class. background: on exclusive
    truth, the class that means "nothing here". priority: class names, first wins, for a softmax on overlapping truth;
    None: the smallest class wins. groups: image to group (patient, video); empty when none are given.
    soft: whether the truth may be soft; every item has a soft truth then. bands: what the last axis of every image
    holds.
    spec: what has to be said to open it again. full_spec: the same with classes and kind spelt out.
    """

    root: Path
    name: str
    kind: Kind
    classes: tuple[str, ...]
    colors: tuple[str, ...]
    background: str | None
    priority: tuple[str, ...] | None
    groups: Mapping[str, str]
    soft: bool = False
    bands: Bands = RGB

    def __init__(self, source: Source, spec: DataReading) -> None:
        """spec: what is said beside the files; its format only names that of the source.

        Raises DatasetError when the spec does not fit the labels.
        """
        self.source = source
        self.root, self.name, self.soft, self.bands = source.root, source.name, source.soft, source.bands
        left_out = names_left_out(source.names(), spec.options)
        self._names = tuple(name for name in source.names() if name not in left_out)
        self._known = frozenset(self._names)
        self._alignment = orientation.Alignment(source, spec.options)
        # Files that describe themselves are taken at their word, and need nothing said to be opened again.
        own = source.spec if spec == DataReading(format=spec.format, options=spec.options) else None
        self._as_files_say = own is not None
        spec = spec if own is None else own.model_copy(update={"options": spec.options})
        classes = plan_classes(source.labels, source.complete, spec)
        if spec.priority is None:
            spec = spec.model_copy(update={"priority": _priority_of_files(source, classes)})
        self.kind = spec.kind or _kind(source, classes)
        described = describe(source.name, self.kind, classes, spec)
        self.classes, self.colors = described.classes, described.class_colors()
        self.background, self.priority = described.background, described.priority
        self._rules = classes.of(self.kind)
        self._ignore = frozenset(classes.ignore)
        self._order = order_of(self.classes, spec.priority)
        each = [(label.name,) for label in source.labels]
        self._labels_are_classes = (
            not self._ignore
            and [rule.labels for rule in self._rules] == each
            and (self.kind != "exclusive" or (source.exclusive and source.complete))
        )
        self.groups = _groups(source, spec.splits)
        made = None
        if self._as_files_say and source.splits:
            self._splits = {split: tuple(source.splits.get(split, ())) for split in SPLITS}
        else:
            self._splits, made = splits.complete_splits(source.splits, source.names(), self.groups, spec.splits)
        self._splits = {split: tuple(n for n in names if n not in left_out) for split, names in self._splits.items()}
        notes = [] if made is None else [Finding.note(splits.MADE, made)]
        if left_out:
            problem = f"{count_of(len(left_out), 'image')} left out as leave_out says: {first_of(sorted(left_out), 8)}"
            notes.append(Finding.warning("LEFT-OUT", problem))
        if classes.unused:
            notes.append(Finding.note("LABEL-UNUSED", f"labels in no class: {list_labels(classes.unused)}"))
        self._findings = (*source.findings, *classes.renamed, *notes)
        self.full_spec = DataReading(
            format=spec.format,
            options=spec.options,
            kind=self.kind,
            classes=tuple(rule for rule in classes.rules if rule.labels),
            ignore=classes.ignore,
            background=NO_BACKGROUND if classes.background is None else classes.background,
            priority=spec.priority,
            splits=spec.splits,
        )
        self.spec = DataReading(format=spec.format, options=spec.options) if own is not None else self.full_spec

    def names(self) -> tuple[str, ...]:
        """Every image of the set that is not left out, sorted, whether or not a split names it."""
        return self._names

    def images(self, split: Split) -> tuple[str, ...]:
        """Names of the images of a split, in the order of its list."""
        return self._splits[split]

    def structure(self) -> tuple[Finding, ...]:
        """What is wrong with files, lists and tables as a whole, and what was made of them that they do not say."""
        return self._findings

    def examine(self, name: str, *, size: Size | None = None) -> Examination:
        """Read one image and its truth, and list everything that is wrong with them; never raises for bad files.

        size: (height, width) to resize to, image bilinear with antialiasing and truth nearest; None keeps its own.
        """
        if name not in self._known:
            problem = f"there is no image {name!r} in {self.name}; add it, or take it out of the lists"
            return Examination(None, (Finding.error("IMAGE-MISSING", problem),))
        findings: list[Finding] = []
        picture = truth = turn = None
        try:
            picture = self.source.picture(name, size=size)
        except DatasetError as error:
            findings.append(Finding.error("IMAGE-UNREADABLE", str(error)))
        if picture is not None and picture.image.shape[2] != self.bands.count:
            problem = (
                f"{name} has {count_of(picture.image.shape[2], 'band')}, the images of {self.name} have "
                f"{self.bands.count} ({', '.join(self.bands.names)}); pick bands that all have with the option "
                "channels, or leave it out"
            )
            findings.append(Finding.error("BANDS", problem))
        try:
            truth = self.source.truth(name)
            findings += truth.findings
        except UnusableTruth as error:
            findings += error.findings
        except DatasetError as error:
            findings.append(Finding.error("MASK-UNREADABLE", str(error)))
        if picture is not None and truth is not None:
            truth, turn = self._alignment.align(picture, truth)
        if picture is not None and (truth is None or truth.valid.shape != picture.own):
            findings += self.source.misfits(name, truth, picture.own)
        if picture is None or truth is None or any(finding.severity == "error" for finding in findings):
            return Examination(None, tuple(findings))
        truth = self._of_classes(name, truth, findings)
        if not truth.valid.any():
            problem = f"every pixel of {name} is to be ignored, so it teaches and tests nothing; label it or remove it"
            findings.append(Finding.warning("ALL-IGNORED", problem))
        shape = size or picture.own
        truth = truth.moved(lambda pixels: imageio.resize_mask(pixels, shape))
        image = np.ascontiguousarray(picture.image)  # as picking bands does not leave it
        item = Item(name, image, truth.layers, truth.valid, picture.orientation, truth.soft, truth.observers)
        return Examination(item, tuple(findings), turn)

    def read(self, name: str, *, size: Size | None = None) -> Item:
        """One image with its truth, as `examine` reads it. Raises DatasetError when something is wrong with it."""
        examination = self.examine(name, size=size)
        if examination.item is None:
            first = next(finding for finding in examination.findings if finding.severity == "error")
            raise DatasetError(f"{first.code}: {first.message}")
        return examination.item

    def probabilities(self, name: str) -> Float32Array | None:
        """Known label probabilities, (C, H, W) float32 in [0, 1] at the image's own size; None when none are given."""
        values = self.source.probabilities(name) if self._as_files_say else None
        turn = None if values is None else self.examine(name).turn
        if values is None or turn is None or turn.drawn != "stored":
            return values
        return np.ascontiguousarray(imageio.turn(values, self.source.head(name)[1]))

    def files(self) -> Iterable[Path]:
        """Every file that decides what this data set contains; each existed when it was opened."""
        return self.source.files()

    def fingerprint(self) -> str:
        """sha256, in hex, over what is said of the files and over name, length and content of each.

        Raises DatasetError for a file that is gone or cannot be read.
        """
        said = json.dumps(self.full_spec.model_dump(mode="json"), sort_keys=True).encode()
        total = hashlib.sha256(b"" if self.spec == DataReading(format=self.spec.format) else said)
        for path in sorted(self.files()):
            name = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name
            try:
                total.update(f"{name}\0{path.stat().st_size}\0{_sha256(path)}\n".encode(errors="surrogateescape"))
            except OSError as error:
                raise DatasetError(f"{name} of the data set cannot be read ({error.strerror}); put it back") from None
        return total.hexdigest()

    def _of_classes(self, name: str, truth: Truth, findings: list[Finding]) -> Truth:
        """The truth with classes for labels, of everybody who marked it; a pixel counts where it does for all."""
        layers, valid = self._decode(name, truth.layers, truth.valid, findings)
        observed = {who: self._decode(name, marked, truth.valid, []) for who, marked in truth.observers.items()}
        valid = np.logical_and.reduce([valid, *(counts for _, counts in observed.values())])
        observers = {who: marked for who, (marked, _) in observed.items()}
        soft = self._soft(truth.soft, layers, observers) if self.soft else None
        return Truth(layers, valid, truth.findings, soft, observers).within(valid)

    def _decode(
        self, name: str, labels: BoolArray, valid: BoolArray, findings: list[Finding]
    ) -> tuple[BoolArray, BoolArray]:
        """Truth (C, H, W) and valid (H, W), both bool, of labels (L, H, W)."""
        if self._labels_are_classes:
            return labels & valid, valid
        at = {label.name: index for index, label in enumerate(self.source.labels)}
        valid = valid.copy()
        for label in self._ignore:
            valid &= ~labels[at[label]]
        layers = np.zeros((len(self.classes), *valid.shape), np.bool_)
        for layer, rule in zip(layers, self._rules, strict=True):
            for label in rule.labels:
                layer |= labels[at[label]]
        layers &= valid
        if self.kind != "exclusive":
            return layers, valid
        background = None if self.background is None else self.classes.index(self.background)
        several = self._one_class_each(layers, valid, background)
        if several:
            share = several / max(1, int(valid.sum()))
            problem = f"{share:.1%} of the pixels of {name} carry several classes; the first in the order got them"
            findings.append(Finding.note("OVERLAP-RESOLVED", problem))
        if background is None:
            valid &= layers.any(axis=0)
        return layers, valid

    def _soft(self, labels: Float32Array | None, layers: BoolArray, observers: Mapping[str, BoolArray]) -> Float32Array:
        """How probable each class is, (C, H, W) float32: as the files say of its labels, else the share of observers.

        A class of several labels is as probable as the likeliest of them; a background that no label stands for is
        what the other classes leave of 1. Where nothing is said it is the truth itself.
        """
        if labels is None:
            return share(observers.values()) if observers else layers.astype(np.float32)
        at = {label.name: index for index, label in enumerate(self.source.labels)}
        soft = np.zeros(layers.shape, np.float32)
        for layer, rule in zip(soft, self._rules, strict=True):
            if rule.labels:
                layer[:] = labels[[at[label] for label in rule.labels]].max(axis=0)
        for index, rule in enumerate(self._rules):
            if not rule.labels:
                soft[index] = np.clip(1 - soft.sum(axis=0), 0, 1)
        return soft

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


def names_left_out(names: Sequence[str], options: Mapping[str, str]) -> frozenset[str]:
    """Images that the option leave_out names. Raises DatasetError for a name that none has, and for all of them."""
    left_out: set[str] = set()
    for pattern in filter(None, (part.strip() for part in options.get("leave_out", "").split(","))):
        wanted = re.compile(".*".join(map(re.escape, listing.composed(pattern).split("*"))))
        matching = {name for name in names if wanted.fullmatch(listing.composed(name))}
        if not matching:
            raise DatasetError(
                f"leave_out names {pattern[:80]!r}, but no image is called so; write names as check does"
            )
        left_out |= matching
    if left_out and len(left_out) == len(names):
        raise DatasetError("leave_out names every image; keep some")
    return frozenset(left_out)


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
        for layers in members:
            carried += truth.layers[layers].any(axis=0)
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
