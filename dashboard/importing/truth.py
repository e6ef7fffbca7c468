"""The first step: which data set holds the truth; shown as it was read, before anything else is asked."""

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from dashboard import components, queries, state
from dashboard.dataset import choose as data_sets
from dashboard.importing.looks import look
from dashboard.panels.importing_words import for_page, truth_facts
from dashboard.safe import safe_color
from pipelines import readings
from pipelines.errors import PipelineError
from pipelines.imports.trial import Asked, Truth
from pipelines.reading import DataReading
from pipelines.readings import Kept


class Chosen(NamedTuple):
    """A data set. path: of its folder; truth: what it says of itself; reading: how it is read, None: as its files say;
    reading_file: the same for --reading.
    """

    path: Path
    truth: Truth
    reading: DataReading | None = None
    reading_file: Path | None = None


def choose() -> Chosen | None:
    """Ask for the data set and show it; None until there is one. `?upload=<id>` or `?data=<path>`, and `?reading=<key>`
    of what was said of it on the page Data, choose it.
    """
    picked = data_sets.choose("import")
    if picked is None:
        return None
    kept = _kept(picked.path)
    try:
        reading = None if kept is None else kept.reading
    except PipelineError as error:
        components.problem(str(error))
        return None
    looked, _ = look(Asked(dataset=str(picked.path), reading=reading))
    if looked.truth is None:
        components.problem(for_page(looked.problem or "this data set cannot be read; choose another"))
        _link_to_data(picked.query, "Say how it is read on the page Data")
        return None
    theme = state.theme()
    components.facts_line(truth_facts(looked.truth), theme)
    colors = [safe_color(color) for color in looked.truth.colors]
    components.legend(list(zip(looked.truth.classes, colors, strict=True)), theme)
    said = "Read as its files say." if kept is None else "Read as it was described on the page Data."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(said, width="content")
        _link_to_data(picked.query | ({} if kept is None else {data_sets.READING: kept.key}), "See and change it there")
    return Chosen(picked.path, looked.truth, reading, None if kept is None else kept.file)


def _kept(path: Path) -> Kept | None:
    """What the link says of how the data set is read; a link that is of another data set says nothing."""
    key = st.query_params.get(data_sets.READING)
    if key is None:
        return None
    try:
        return readings.find(queries.runs_folder(), path, key)
    except PipelineError:
        del st.query_params[data_sets.READING]
        return None


def _link_to_data(query: dict[str, str], label: str) -> None:
    st.page_link("app_pages/data.py", label=label, query_params=query)
