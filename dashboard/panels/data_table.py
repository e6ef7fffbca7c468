"""The labels that files hold and a reader's table of them to what is said of the data set, and back."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from pydantic import ValidationError

from pipelines.arrays import UInt8Array
from pipelines.datasets.base import Item
from pipelines.datasets.classes import safe_class_name
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.look import Looked, LookedSource
from pipelines.errors import DatasetError
from pipelines.reading import NO_BACKGROUND, ClassRule, DataReading, SplitRule
from pipelines.schema import BACKGROUND_CHANNEL, SPLITS, Kind, Split

CLASS, BACKGROUND, IGNORED, LEFT_OUT = "class", "background", "ignored", "left out"
USES: Final = (CLASS, BACKGROUND, IGNORED, LEFT_OUT)
COLUMNS: Final = ("label", "share", "use", "classes")
Unlabelled: TypeAlias = Literal["found", "class", "ignored"]


def first_reading(looked: Looked, source: LookedSource) -> DataReading:
    """What the files say by themselves, spelt out but for the kind, which all images decide; bare where that fails."""
    said = DataReading(format=looked.format)
    try:
        return Dataset(source, said).full_spec.model_copy(update={"kind": None})
    except DatasetError:
        return said


def rows_of(looked: Looked, reading: DataReading) -> pd.DataFrame:
    """One row a label: its share of the pixels looked at, what it is used for, and the classes it is part of."""
    classes: dict[str, list[str]] = {}
    for rule in reading.classes:
        for label in rule.labels:
            classes.setdefault(label, []).append(rule.name)
    rows = []
    taken: set[str] = set()
    for one in looked.labels:
        named = classes.get(one.name, [])
        own = safe_class_name(one.name, taken)
        taken.add(own.casefold())
        if one.name in (reading.ignore or ()) or (reading.ignore is None and one.role == "ignore" and not named):
            use = IGNORED
        elif named == [reading.background] or (not named and one.role == "background"):
            use = BACKGROUND
        elif named or not reading.classes:
            use = CLASS
        else:
            use = LEFT_OUT
        rows.append((one.name, one.share, use, ", ".join(named or [own])))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def reading_of(
    rows: pd.DataFrame,
    *,
    looked: Looked,
    options: Mapping[str, str],
    kind: Kind | None,
    unlabelled: Unlabelled,
    colors: Mapping[str, str],
    priority: Sequence[str],
    splits: SplitRule,
) -> DataReading:
    """What the table says. colors: of classes that were given one. priority: class names, first wins; () for none.

    Raises DatasetError, one line, where the table contradicts itself.
    """
    labels: dict[str, list[str]] = {}
    ignored: list[str] = []
    background: str | None = None
    for row in rows.itertuples(index=False):
        label, use = str(row.label), str(row.use)
        names = [part.strip() for part in str(row.classes or "").split(",") if part.strip()]
        if use == IGNORED:
            ignored.append(label)
        elif use == BACKGROUND:
            background = background or (names[0] if names else BACKGROUND_CHANNEL)
            labels.setdefault(background, []).append(label)
        elif use == CLASS:
            if not names:
                raise DatasetError(f"label {label[:60]!r} is used as a class without a name; name it, or leave it out")
            for name in names:
                labels.setdefault(name, []).append(label)
    if background is None:
        background = {"found": None, "class": BACKGROUND_CHANNEL, "ignored": NO_BACKGROUND}[unlabelled]
    own = {one.name: one.color for one in looked.labels}
    rules = []
    for name, some in labels.items():
        color = colors.get(name) or (own.get(some[0]) if len(some) == 1 else None)
        rules.append({"name": name, "labels": tuple(dict.fromkeys(some)), "color": color})
    if not rules:
        raise DatasetError("no label is used as a class; choose at least one")
    try:
        return DataReading(
            format=looked.format, options=dict(options), kind=kind, ignore=tuple(ignored), background=background,
            classes=tuple(ClassRule.model_validate(rule) for rule in rules), splits=splits,
            priority=tuple(priority) or None,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise DatasetError(str(first["msg"]).removeprefix("Value error, ")) from None


class SplitRow(NamedTuple):
    """A split: images, groups (None where none are known), and how many of its groups another split has too."""

    split: Split
    images: int
    groups: int | None
    shared: int


def split_rows(dataset: Dataset) -> list[SplitRow]:
    """What each split has."""
    of = {split: {dataset.groups.get(name) for name in dataset.images(split)} - {None} for split in SPLITS}
    rows = []
    for split in SPLITS:
        others = set().union(*(of[other] for other in SPLITS if other != split))
        groups = len(of[split]) if dataset.groups else None
        rows.append(SplitRow(split, len(dataset.images(split)), groups, len(of[split] & others)))
    return rows


def leaks(dataset: Dataset) -> str | None:
    """Groups or images that stand in two splits, in a sentence; None where there are none."""
    shared = max(one.shared for one in split_rows(dataset))
    lists = [set(dataset.images(split)) for split in SPLITS]
    twice = len(lists[0] & lists[1]) + len(lists[0] & lists[2]) + len(lists[1] & lists[2])
    parts = [f"{twice} image{'s' * (twice > 1)}"] if twice else []
    parts += [f"{shared} group{'s' * (shared > 1)}"] if shared else []
    if not parts:
        return None
    return (
        f"{' and '.join(parts)} in more than one split: scores would look too good. Split by fraction, by whole groups."
    )


def small_items(dataset: Dataset, names: Sequence[str]) -> list[Item]:
    """Images that were looked at with their classes, those that can be had."""
    found = (dataset.examine(name) for name in names)
    return [one.item for one in found if one.item is not None]


def bytes_of(item: Item) -> UInt8Array:
    """The picture of an item, (H, W, 3) uint8."""
    return np.rint(item.image * 255).astype(np.uint8)
