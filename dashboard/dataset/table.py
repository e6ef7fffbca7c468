"""The table of classes: what each label of the files is used for, the colours, the kind of truth."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pandas as pd
import streamlit as st

from dashboard.panels.data_table import CLASS, USES, Unlabelled, rows_of
from pipelines.datasets.look import Looked
from pipelines.reading import NO_BACKGROUND, DataReading
from pipelines.schema import BACKGROUND_CHANNEL, KINDS, Kind

FOUND: Final = "found"
_KIND_TITLES: Final = {
    FOUND: "As found", "exclusive": "One label a pixel", "binary": "One class", "overlapping": "Labels may overlap",
}  # fmt: skip
_UNLABELLED_TITLES: Final[dict[Unlabelled, str]] = {
    "found": "As found", "class": "Background, a class of its own", "ignored": "Ignored",
}  # fmt: skip
_HELP: Final = (
    "Give two labels the same class to merge them. Name several classes, parted by commas, where one holds another: "
    "cytoplasm is part of “cell”, nucleus of “cell, nucleus”."
)


class Said(NamedTuple):
    """What the reader said. rows: as `data_table.rows_of`; kind: None as found."""

    rows: pd.DataFrame
    kind: Kind | None
    unlabelled: Unlabelled


def edit(looked: Looked, first: DataReading, *, key: str) -> Said:
    """Draw the table and the two choices beside it. first: what it begins with; key: changes with the data set."""
    st.caption(_HELP)
    rows = st.data_editor(
        _first_rows(looked, first, key), hide_index=True, key=f"{key}_table", num_rows="fixed",
        disabled=["label", "share"], height="content" if len(looked.labels) <= 12 else 460,
        column_config={
            "label": st.column_config.TextColumn("Label in the files"),
            "share": st.column_config.NumberColumn("Share", format="percent", help="Of the pixels looked at."),
            "use": st.column_config.SelectboxColumn("Is", options=list(USES), required=True),
            "classes": st.column_config.TextColumn("Class", max_chars=300, help=_HELP),
        },
    )  # fmt: skip
    _follow_names(rows, key)
    with st.container(horizontal=True):
        kind = st.selectbox(
            "Kind of truth", [FOUND, *KINDS], index=0 if first.kind is None else 1 + KINDS.index(first.kind),
            format_func=_KIND_TITLES.__getitem__, key=f"{key}_kind",
            help="One label a pixel speaks for softmax, labels that may overlap need a sigmoid.",
        )  # fmt: skip
        unlabelled: Unlabelled = "found"
        if not (rows["use"] == "background").any():
            unlabelled = st.selectbox(
                "Pixels without a class", list(_UNLABELLED_TITLES), index=_first_unlabelled(first),
                format_func=_UNLABELLED_TITLES.__getitem__, key=f"{key}_unlabelled",
                help="Matters where each pixel has one label.",
            )  # fmt: skip
    return Said(rows, next((one for one in KINDS if one == kind), None), unlabelled)


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


def _first_rows(looked: Looked, first: DataReading, key: str) -> pd.DataFrame:
    """The same table on every run of the page: an editor whose data changes forgets what was typed."""
    held = f"{key}_rows"
    if held not in st.session_state:
        st.session_state[held] = rows_of(looked, first)
    rows: pd.DataFrame = st.session_state[held]
    return rows


def is_drawn(key: str) -> bool:
    """Whether the table was drawn before on this visit of the page."""
    return f"{key}_kind" in st.session_state


def begin_with(said: DataReading, *, key: str) -> None:
    """Have the table and the colours begin with a reading that a link names."""
    st.session_state[f"{key}_colors"] = {rule.name: rule.color for rule in said.classes if rule.color is not None}
    st.session_state.pop(f"{key}_rows", None)


def _first_unlabelled(first: DataReading) -> int:
    if first.background == NO_BACKGROUND:
        return 2
    own = first.background == BACKGROUND_CHANNEL and all(rule.name != BACKGROUND_CHANNEL for rule in first.classes)
    return 1 if own else 0


def colors(classes: Sequence[str], shown: Sequence[str], *, key: str) -> dict[str, str]:
    """A colour to pick for each class; returns those that were changed."""
    changed: dict[str, str] = st.session_state.setdefault(f"{key}_colors", {})
    with st.container(horizontal=True):
        for name, color in zip(classes, shown, strict=True):
            picked = st.color_picker(name, changed.get(name, color), key=f"{key}_color_{name}", width="content")
            if picked != color:
                changed[name] = picked
    return changed


def priority(classes: Sequence[str], first: Sequence[str], *, key: str) -> tuple[str, ...]:
    """Who gets a pixel of several classes, first wins; () for the rule that goes without saying."""
    order = [*(name for name in first if name in classes), *(name for name in classes if name not in first)]
    own = st.toggle(
        "Choose who wins a pixel of several classes", value=bool(first), key=f"{key}_own_priority",
        help="Under one label a pixel. Otherwise the smallest class wins.",
    )  # fmt: skip
    if not own:
        return ()
    table = pd.DataFrame({"class": order, "rank": range(1, len(order) + 1)})
    edited: Any = st.data_editor(
        table, hide_index=True, key=f"{key}_priority_{'|'.join(classes)}", disabled=["class"], num_rows="fixed",
        column_config={
            "class": st.column_config.TextColumn("Class"),
            "rank": st.column_config.NumberColumn("Rank", min_value=1, max_value=len(order), step=1, required=True),
        },
    )  # fmt: skip
    # Where one rank was changed two classes share it: the one that was moved goes beyond the other.
    moved = (edited["rank"] - table["rank"]).clip(-1, 1)
    return tuple(edited.assign(moved=moved).sort_values(["rank", "moved"], kind="stable")["class"])


__all__ = ["CLASS", "Said", "begin_with", "colors", "edit", "is_drawn", "priority"]
