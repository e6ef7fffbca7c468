"""How images come to training, validation and test."""

import streamlit as st

from dashboard.rounding import count
from pipelines.datasets.look import Looked
from pipelines.reading import SplitRule
from pipelines.schema import SPLITS

_BY = {"given": "As the data set has them", "fraction": "By fraction"}
_GROUPS = {"given": "As the data set has them", "name": "From the names of images", "none": "None"}


def edit(looked: Looked, first: SplitRule, *, key: str) -> SplitRule:
    """Draw the choices; what is given is offered only where the data set gives it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = "fraction"
        if looked.splits:
            by = st.segmented_control(
                "Splits", list(_BY), default=first.by, required=True, format_func=_BY.__getitem__, key=f"{key}_by",
                help=", ".join(f"{split}: {count(len(names))}" for split, names in looked.splits.items()),
            ) or "given"  # fmt: skip
        groups_of = [name for name in _GROUPS if name != "given" or looked.groups]
        groups = st.selectbox(
            "Groups that stay together", groups_of,
            index=groups_of.index(first.groups) if first.groups in groups_of else len(groups_of) - 1,
            format_func=_GROUPS.__getitem__, key=f"{key}_groups",
            help="Patient, video, scene: images of one group are alike, so a group belongs to one split.",
        )  # fmt: skip
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
        {"by": by if looked.splits else "given", "shares": shares, "seed": seed, "groups": chosen,
         "separator": separator, "parts": parts}
    )  # fmt: skip
