"""What is said of a data set on the page Data: a table of its labels, colours, the kind of truth, splits and groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import streamlit as st
from pydantic import ValidationError

from dashboard.forms.sources import kept
from dashboard.rounding import count
from pipelines.arrays import UInt8Array
from pipelines.datasets.base import Item
from pipelines.datasets.classes import safe_class_name
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.preview import DatasetPreview, PreviewRequest, PreviewSource, preview_in_sandbox
from pipelines.errors import DatasetError, PipelineError
from pipelines.reading import NO_BACKGROUND, ClassRule, DataReading, SplitRule
from pipelines.schema import BACKGROUND_CHANNEL, KINDS, SPLITS, Kind, Split
from pipelines.uploads import in_use

CLASS, BACKGROUND, IGNORED, LEFT_OUT = "class", "background", "ignored", "left out"
USES: Final = (CLASS, BACKGROUND, IGNORED, LEFT_OUT)
COLUMNS: Final = ("label", "share", "use", "classes")
Unlabelled: TypeAlias = Literal["found", "class", "ignored"]


FOUND: Final = "found"  # the choice of what was found
_KIND_TITLES: Final = {
    FOUND: "As found",
    "exclusive": "One label a pixel",
    "binary": "One class",
    "overlapping": "Labels may overlap",
}
_UNLABELLED_TITLES: Final[dict[Unlabelled, str]] = {
    "found": "As found",
    "class": "Background, a class of its own",
    "ignored": "Ignored",
}
_HELP: Final = (
    "Give two labels the same class to merge them. Name several classes, parted by commas, where one holds another: "
    "cytoplasm is part of “cell”, nucleus of “cell, nucleus”."
)


_BY = {"given": "As the data set has them", "fraction": "By fraction"}
_GROUPS = {"given": "As the data set has them", "name": "From the names of images", "none": "None"}


_MOST: Final = 6
Found: TypeAlias = tuple[DatasetPreview, PreviewSource | None]

# What the files hold -------------------------------------------------------------------------------------------------


def look(asked: PreviewRequest, *, fresh: bool = False) -> Found:
    """As `preview_in_sandbox`. fresh: read the files again even if nothing that was asked has changed."""
    return kept("data_looks", asked.model_dump_json(), [asked.path], lambda: _look(asked), most=_MOST, fresh=fresh)


def _look(asked: PreviewRequest) -> Found:
    try:
        with in_use(Path(asked.path)):
            return preview_in_sandbox(asked)
    except PipelineError as error:
        return DatasetPreview(problem=str(error)), None


# Labels to a reading, and back ---------------------------------------------------------------------------------------


def first_reading(looked: DatasetPreview, source: PreviewSource) -> DataReading:
    """What the files say by themselves, spelt out but for the kind, which all images decide; bare where that fails."""
    plain = DataReading(format=looked.format)
    try:
        return Dataset(source, plain).full_spec.model_copy(update={"kind": None})
    except DatasetError:
        return plain


def rows_of(looked: DatasetPreview, reading: DataReading) -> pd.DataFrame:
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
    looked: DatasetPreview,
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
            format=looked.format,
            options=dict(options),
            kind=kind,
            ignore=tuple(ignored),
            background=background,
            classes=tuple(ClassRule.model_validate(rule) for rule in rules),
            splits=splits,
            priority=tuple(priority) or None,
        )
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


# The table of classes ------------------------------------------------------------------------------------------------


class Table(NamedTuple):
    """What the reader says of the labels. rows: as `rows_of`; kind: None as found."""

    rows: pd.DataFrame
    kind: Kind | None
    unlabelled: Unlabelled


def edit_table(looked: DatasetPreview, first: DataReading, *, key: str) -> Table:
    """Draw the table and the two choices beside it. first: what it begins with; key: changes with the data set."""
    st.caption(_HELP)
    rows = st.data_editor(
        _first_rows(looked, first, key),
        hide_index=True,
        key=f"{key}_table",
        num_rows="fixed",
        disabled=["label", "share"],
        height="content" if len(looked.labels) <= 12 else 460,
        column_config={
            "label": st.column_config.TextColumn("Label in the files"),
            "share": st.column_config.NumberColumn("Share", format="percent", help="Of the pixels looked at."),
            "use": st.column_config.SelectboxColumn("Is", options=list(USES), required=True),
            "classes": st.column_config.TextColumn("Class", max_chars=300, help=_HELP),
        },
    )
    _follow_names(rows, key)
    with st.container(horizontal=True):
        kind = st.selectbox(
            "Kind of truth",
            [FOUND, *KINDS],
            index=0 if first.kind is None else 1 + KINDS.index(first.kind),
            format_func=_KIND_TITLES.__getitem__,
            key=f"{key}_kind",
            help="One label a pixel speaks for softmax, labels that may overlap need a sigmoid.",
        )
        unlabelled: Unlabelled = "found"
        if not (rows["use"] == "background").any():
            unlabelled = st.selectbox(
                "Pixels without a class",
                list(_UNLABELLED_TITLES),
                index=_first_unlabelled(first),
                format_func=_UNLABELLED_TITLES.__getitem__,
                key=f"{key}_unlabelled",
                help="Matters where each pixel has one label.",
            )
    return Table(rows, next((one for one in KINDS if one == kind), None), unlabelled)


def _follow_names(rows: pd.DataFrame, key: str) -> None:
    """A colour that was picked stays with its class when that is given another name."""
    now = dict(zip(rows["label"], rows["classes"], strict=True))
    before = st.session_state.get(f"{key}_named", now)
    st.session_state[f"{key}_named"] = now
    picked: dict[str, str] = st.session_state.setdefault(f"{key}_colors", {})
    for label, name in now.items():
        old = before.get(label)
        if old in picked and name not in picked and old not in now.values():
            picked[name] = picked[old]


def _first_rows(looked: DatasetPreview, first: DataReading, key: str) -> pd.DataFrame:
    """The same table on every run of the page: an editor whose data changes forgets what was typed."""
    held = f"{key}_rows"
    if held not in st.session_state:
        st.session_state[held] = rows_of(looked, first)
    rows: pd.DataFrame = st.session_state[held]
    return rows


def table_is_drawn(key: str) -> bool:
    """Whether the table was drawn before on this visit of the page."""
    return f"{key}_kind" in st.session_state


def begin_with(reading: DataReading, *, key: str) -> None:
    """Have the table and the colours begin with a reading that a link names."""
    st.session_state[f"{key}_colors"] = {rule.name: rule.color for rule in reading.classes if rule.color is not None}
    st.session_state.pop(f"{key}_rows", None)


def _first_unlabelled(first: DataReading) -> int:
    if first.background == NO_BACKGROUND:
        return 2
    own = first.background == BACKGROUND_CHANNEL and all(rule.name != BACKGROUND_CHANNEL for rule in first.classes)
    return 1 if own else 0


def edit_colors(classes: Sequence[str], shown: Sequence[str], *, key: str) -> dict[str, str]:
    """A colour to pick for each class; returns those that were changed."""
    changed: dict[str, str] = st.session_state.setdefault(f"{key}_colors", {})
    with st.container(horizontal=True):
        for name, color in zip(classes, shown, strict=True):
            picked = st.color_picker(name, changed.get(name, color), key=f"{key}_color_{name}", width="content")
            if picked != color:
                changed[name] = picked
    return changed


def edit_priority(classes: Sequence[str], first: Sequence[str], *, key: str) -> tuple[str, ...]:
    """Who gets a pixel of several classes, first wins; () for the rule that goes without saying."""
    order = [*(name for name in first if name in classes), *(name for name in classes if name not in first)]
    own = st.toggle(
        "Choose who wins a pixel of several classes",
        value=bool(first),
        key=f"{key}_own_priority",
        help="Under one label a pixel. Otherwise the smallest class wins.",
    )
    if not own:
        return ()
    table = pd.DataFrame({"class": order, "rank": range(1, len(order) + 1)})
    edited: Any = st.data_editor(
        table,
        hide_index=True,
        key=f"{key}_priority_{'|'.join(classes)}",
        disabled=["class"],
        num_rows="fixed",
        column_config={
            "class": st.column_config.TextColumn("Class"),
            "rank": st.column_config.NumberColumn("Rank", min_value=1, max_value=len(order), step=1, required=True),
        },
    )
    # Where one rank was changed two classes share it: the one that was moved goes beyond the other.
    moved = (edited["rank"] - table["rank"]).clip(-1, 1)
    return tuple(edited.assign(moved=moved).sort_values(["rank", "moved"], kind="stable")["class"])


# Splits and groups ---------------------------------------------------------------------------------------------------


def edit_splits(looked: DatasetPreview, first: SplitRule, *, key: str) -> SplitRule:
    """Draw the choices; what is given is offered only where the data set gives it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = "fraction"
        if looked.splits:
            by = (
                st.segmented_control(
                    "Splits",
                    list(_BY),
                    default=first.by,
                    required=True,
                    format_func=_BY.__getitem__,
                    key=f"{key}_by",
                    help=", ".join(f"{split}: {count(len(names))}" for split, names in looked.splits.items()),
                )
                or "given"
            )
        groups_of = [name for name in _GROUPS if name != "given" or looked.groups]
        groups = st.selectbox(
            "Groups that stay together",
            groups_of,
            index=groups_of.index(first.groups) if first.groups in groups_of else len(groups_of) - 1,
            format_func=_GROUPS.__getitem__,
            key=f"{key}_groups",
            help="Patient, video, scene: images of one group are alike, so a group belongs to one split.",
        )
        separator, parts = first.separator, first.parts
        if groups == "name":
            separator = st.text_input("Cut names at", first.separator, key=f"{key}_separator", max_chars=5) or "_"
            parts = int(st.number_input("Parts that name the group", 1, 20, first.parts, key=f"{key}_parts"))
    shares, seed = first.shares, first.seed
    if by == "fraction":
        with st.container(horizontal=True, vertical_alignment="bottom"):
            train, val = (
                int(st.number_input(f"{split} %", 5, 90, round(100 * share), 5, key=f"{key}_{split}"))
                for split, share in zip(SPLITS[:2], first.shares[:2], strict=True)
            )
            test = 100 - train - val
            st.metric("test %", test if test > 0 else "–")
            seed = int(st.number_input("Seed", 0, 2**31 - 1, first.seed, key=f"{key}_seed"))
        if test > 0:
            shares = (train / 100, val / 100, test / 100)
        else:
            st.warning("Training and validation leave nothing for test; make them smaller.")
    chosen = "given" if groups == "none" and not looked.groups else groups
    return SplitRule.model_validate(
        {
            "by": by if looked.splits else "given",
            "shares": shares,
            "seed": seed,
            "groups": chosen,
            "separator": separator,
            "parts": parts,
        }
    )
