"""The check of the whole data set: started from the page, carried out in its own process, and its report."""

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import components, state
from dashboard.boundary import guarded
from dashboard.displays import labels as panels
from dashboard.displays.verdict import finding_card
from dashboard.rounding import count, percent
from pipelines import jobs
from pipelines.datasets.check import CheckReport, truth_alone
from pipelines.errors import PipelineError
from pipelines.readings import Kept
from pipelines.requests import CheckRequest


def _request(data: Path, kept: Kept) -> CheckRequest:
    """A check whose report is kept."""
    return CheckRequest(dataset=str(data), reading=kept.file, save_report=kept.report_file)


def job_of(runs: Path, data: Path, kept: Kept) -> jobs.Job | None:
    """The newest check of a reading, whatever has become of it."""
    wanted = _request(data, kept)
    return next((job for job in jobs.list_jobs(runs) if job.request == wanted), None)


def draw_check(runs: Path, data: Path, kept: Kept) -> CheckReport | None:
    """A button, where the check stands, or what it found; returns the report once it is there."""
    job = job_of(runs, data, kept)
    if job is not None and job.alive():
        _follow(job)
        return None
    report = kept.report
    if job is not None:
        status = job.status()
        if status.state in ("failed", "orphaned", "damaged"):
            components.problem(status.message or "the check ended early; start it again")
        elif status.state == "done":
            job.remove()
    if report is None:
        st.caption("Reads every image and mask once: what is wrong, how labels overlap, and what that means.")
    with st.container(horizontal=True):
        again = report is not None
        if st.button(
            "Check again" if again else "Check the whole data set",
            key="data_check",
            type="secondary" if again else "primary",
            icon=":material/fact_check:",
        ):
            _start(runs, data, kept)
    return report


def _start(runs: Path, data: Path, kept: Kept) -> None:
    kept.report_file.unlink(missing_ok=True)
    try:
        jobs.start(_request(data, kept), runs, waits=False)
    except PipelineError as error:
        components.problem(str(error))
        return
    st.rerun()


@st.fragment(run_every="500ms")
@guarded
def _follow(job: jobs.Job) -> None:
    if not job.alive():
        st.rerun()
    status = job.status()
    share = status.done / status.total if status.total else 0.0
    left = "" if status.seconds_left is None else f", about {max(1, round(status.seconds_left))} s left"
    words = f"{count(status.done)} of {count(status.total)} images{left}" if status.total else "Opening the data set"
    st.progress(min(share, 1.0), f"Checking: {words}")
    if st.button("Cancel", key="data_check_cancel"):
        job.cancel()


def show_report(report: CheckReport, *, name: str) -> None:
    """What the check found. name: begins the names of downloaded files."""
    theme = state.theme()
    facts = report.model_dump(mode="json")
    sizes = report.sizes
    components.facts_line(
        [
            f"{count(report.images)} images",
            f"{sizes[0][1]} × {sizes[0][0]} pixels" + (f" and {len(sizes) - 1} more sizes" if len(sizes) > 1 else "")
            if sizes
            else "",
            "" if report.bands.are_rgb else report.bands.text(),
            f"{percent(report.ignored_share)} ignored" if report.ignored_share else "",
        ],
        theme,
    )
    if report.ok:
        components.paragraph(truth_alone(report), theme)
    if report.findings:
        components.cards([finding_card(one) for one in facts["findings"][:6]], theme)
        with st.expander(f"All findings ({count(len(report.findings))})", key="data_findings"):
            components.table_and_download(
                pd.DataFrame(facts["findings"]), key="data_findings_table", name=f"{name}-findings", alt="Findings"
            )
    else:
        st.caption("The check found nothing wrong.")
    made = [
        panels.ceiling(facts, theme),
        panels.nesting(facts, theme),
        panels.class_shares(facts, theme),
        panels.labels_per_pixel(facts, theme) if report.kind == "overlapping" else panels.splits(facts, theme),
        panels.pairs(facts, theme),
        panels.splits(facts, theme) if report.kind == "overlapping" else None,
    ]
    there = [panel for panel in made if panel is not None]
    for column, panel in components.in_rows(there, 2):
        with column:
            components.show(panel, run=name)
    components.paragraph(panels.leakage(facts), theme)
