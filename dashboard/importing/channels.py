"""A table of channels to their names, in the order of the files, with what each stands for beside it."""

from typing import Any, Final

import pandas as pd
import streamlit as st

from dashboard import components
from dashboard.boundary import callback
from dashboard.panels.importing import match, split_names, usual_names
from pipelines.imports.trial import Truth
from pipelines.schema import Head

_ROW: Final = 35  # CSS pixels
_ROWS: Final = 10  # that are seen at once


def ask_channels(head: Head, count: int, truth: Truth) -> tuple[str, ...]:
    """Names of the channels; "" for those that have none yet. Nothing is filled in before the reader asks for it."""
    _fill(head, count, truth)
    names: list[str] = st.session_state.get(f"import_names_{head}", [])
    start = [names[at] if at < len(names) else "" for at in range(count)]
    table, meaning = st.columns(2)
    with table:
        # Another list is another table: edits belong to the one that they were made in.
        version = st.session_state.get(f"import_version_{head}", 0)
        edited: Any = st.data_editor(
            pd.DataFrame({"Channel": range(count), "Name": start}), hide_index=True, disabled=["Channel"],
            key=f"import_channels_{head}_{version}_{count}", height=_ROW * (min(count, _ROWS) + 1) + 3,
            column_config={"Channel": st.column_config.NumberColumn(width=80), "Name": st.column_config.TextColumn()},
            alt="Name of each channel in the order of the files; can be edited.",
        )  # fmt: skip
    found = tuple("" if name is None else str(name).strip() for name in edited["Name"])
    rows = match(head, found, truth, background=st.session_state.get("import_background")).rows
    with meaning:
        st.dataframe(
            pd.DataFrame({"Stands for": [f"{number}: {what}" for number, _, what in rows]}), hide_index=True,
            height=_ROW * (min(count, _ROWS) + 1) + 3, key=f"import_meaning_{head}",
            alt="What each channel stands for in the data set.",
        )  # fmt: skip
    return found


def _fill(head: Head, count: int, truth: Truth) -> None:
    """Ways to fill the table: a list that is pasted, or the data set's own order."""
    usual = usual_names(head, truth, count)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            f"Names of the {count} channels, in the order of the files" if count > 1 else "Name of the one channel",
            key=f"import_paste_{head}", placeholder=", ".join(usual) or "background, a, b, a+b", autocomplete="off",
            on_change=_take, args=(head, None), help="Pasted at once, or one by one in the table.", width=420,
        )  # fmt: skip
        if usual:
            st.button(
                "In the order of the data set", key=f"import_usual_{head}", on_click=_take, args=(head, usual),
                help=components.plain(", ".join(usual)),
            )  # fmt: skip


@callback
def _take(head: Head, names: tuple[str, ...] | None) -> None:
    given = split_names(st.session_state[f"import_paste_{head}"]) if names is None else names
    st.session_state[f"import_names_{head}"] = list(given)
    st.session_state[f"import_version_{head}"] = st.session_state.get(f"import_version_{head}", 0) + 1
