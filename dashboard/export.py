"""Buttons that turn the run on screen into files: a report for a colleague, and every table."""

from typing import Final

import streamlit as st

from dashboard.boundary import guarded
from dashboard.loaders.report import exported
from dashboard.report.names import report_name, tables_name
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
    margins = None if margin is None else (margin.dice, margin.classwise_ece, margin.brier_relative)
    with st.container(horizontal=True, key="export"):
        st.download_button(
            "Download report (HTML)",
            data=lambda: exported(run, "html", margins, lambda: _html(run, margin)),
            file_name=report_name(run), mime="text/html", key="export_html", icon=":material/description:",
            on_click="ignore", help=_REPORT_HELP,
        )  # fmt: skip
        st.download_button(
            "Download all tables (ZIP)",
            data=lambda: exported(run, "zip", margins, lambda: _zip(run, margin)),
            file_name=f"{tables_name(run)}.zip", mime="application/zip", key="export_zip",
            icon=":material/folder_zip:", on_click="ignore", help=_TABLES_HELP,
        )  # fmt: skip


# A report has the figures of every page: their modules are imported when one is asked for, not before the first page.
def _html(run: Run, margin: Margin | None) -> bytes:
    from dashboard.report.chapters import report_of
    from dashboard.report.files import html_bytes

    return html_bytes(run, report_of(run, margin=margin))


def _zip(run: Run, margin: Margin | None) -> bytes:
    from dashboard.report.chapters import report_of
    from dashboard.report.files import tables_zip

    return tables_zip(run, report_of(run, margin=margin))
