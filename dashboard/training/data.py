"""The data set that is trained on: chosen here or handed over in the link, and what is known of it."""

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from dashboard import components, queries, state
from dashboard.dataset import choose
from dashboard.rounding import count, percent
from pipelines import readings
from pipelines.errors import DatasetError
from pipelines.estimate_data import DataFacts, data_facts

_KNOWN = "train_facts"
_KINDS = {
    "exclusive": "one label a pixel", "binary": "one class against background", "overlapping": "labels may overlap",
}  # fmt: skip


class Chosen(NamedTuple):
    """A data set. reading: file that says how it is read; key: names both; query: names both in a link."""

    path: Path
    reading: Path | None
    facts: DataFacts
    key: str
    query: dict[str, str]


def pick() -> Chosen | None:
    """Ask for the data set and show what it is; None until there is one that can be trained on."""
    chosen = choose.choose("train")
    if chosen is None:
        return None
    reading, query = _reading(chosen)
    key = f"{chosen.path}|{reading or ''}"
    facts = _facts(chosen.path, reading, key)
    if facts.problem is not None:
        components.problem(facts.problem)
        _link_to_data(query, "See what is wrong, or say how it is read, on the page Data")
        return None
    _show(facts)
    _link_to_data(query, "Look at it, check it, or change its classes")
    return Chosen(chosen.path, reading, facts, key, query)


def _reading(chosen: choose.Chosen) -> tuple[Path | None, dict[str, str]]:
    """The file that the link names, if it is one of this data set."""
    wanted = st.query_params.get(choose.READING)
    if wanted is None:
        return None, chosen.query
    try:
        kept = readings.find(queries.runs_folder(), chosen.path, wanted)
    except DatasetError as error:
        del st.query_params[choose.READING]
        if st.session_state.get("train_read") is None:  # said by the link, not left over from another data set
            components.problem(str(error))
        return None, chosen.query
    st.session_state["train_read"] = kept.key
    return kept.file, chosen.query | {choose.READING: kept.key}


def _facts(path: Path, reading: Path | None, key: str) -> DataFacts:
    """Looked up once a session and data set; anew after a problem."""
    known: dict[str, DataFacts] = st.session_state.setdefault(_KNOWN, {})
    if key not in known or known[key].problem is not None:
        with st.spinner("Looking at the data set …"):
            known[key] = data_facts(path, reading)
    return known[key]


def _show(facts: DataFacts) -> None:
    theme = state.theme()
    rare = min(facts.shares, key=facts.shares.__getitem__)
    images = facts.images
    components.facts_line(
        [
            facts.name, _KINDS[facts.kind],
            f"{len(facts.classes)} classes, the rarest {rare} with {percent(facts.shares[rare])} of the pixels"
            if len(facts.classes) > 1
            else f"{facts.classes[0]}: {percent(facts.shares[facts.classes[0]])} of the pixels",
            f"{count(images['train'])} images to train on, {count(images['val'])} to validate, "
            f"{count(images['test'])} to test",
        ],
        theme,
    )  # fmt: skip


def _link_to_data(query: dict[str, str], label: str) -> None:
    st.page_link("app_pages/data.py", label=label, icon=":material/folder_open:", query_params=query)
