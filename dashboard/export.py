"""Buttons that turn the run on screen into files: a report for a colleague, and every table."""

from typing import Final, Literal

import streamlit as st

from dashboard import queries
from dashboard.boundary import guarded
from dashboard.report import files
from pipelines.store import Run
from pipelines.verdict import Margin

_REPORT_HELP: Final = (
    "One HTML file with every figure, table and explanation. It opens in any browser without a network and prints "
    "well. Made when you press, which takes some seconds the first time."
)
_TABLES_HELP: Final = "Every table of this run as CSV files in one ZIP, with an index that says what each holds."


@guarded
def draw(run: Run, *, margin: Margin | None = None) -> None:
    """Both buttons; files are made when one is pressed. margin: of the verdict on screen, None for the run's own."""
    with st.container(horizontal=True, key="export"):
        st.download_button(
            "Download report (HTML)",
            data=lambda: _exported(run, "html", margin),
            file_name=files.report_name(run),
            mime="text/html",
            key="export_html",
            icon=":material/description:",
            on_click="ignore",
            help=_REPORT_HELP,
        )
        st.download_button(
            "Download all tables (ZIP)",
            data=lambda: _exported(run, "zip", margin),
            file_name=f"{files.tables_name(run)}.zip",
            mime="application/zip",
            key="export_zip",
            icon=":material/folder_zip:",
            on_click="ignore",
            help=_TABLES_HELP,
        )


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=queries.KEY | {Margin: Margin.model_dump_json})
def _exported(run: Run, form: Literal["html", "zip"], margin: Margin | None) -> bytes:
    """A file of a run, made when someone asks for it and kept for whoever asks next."""
    from dashboard.report.contents import report_of  # with the figures of every page, which the first page lacks

    report = report_of(run, margin=margin)
    return files.html_bytes(run, report) if form == "html" else files.tables_zip(run, report)
