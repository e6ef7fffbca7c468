"""A job that makes a run of what was brought: where it stands, how it ended, and the way to the verdict."""

from typing import Final

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import callback, guarded
from dashboard.panels.importing_words import progress_words
from dashboard.rounding import duration
from pipelines import jobs
from pipelines.errors import PipelineError, RunError
from pipelines.jobs import Job, Status

JOB: Final = "job"  # in the link
_HERE: Final = "import_started_here"
_ENDS: Final = {
    "failed": "The import was refused or stopped by an error",
    "cancelled": "The import was cancelled",
    "orphaned": "The import ended without a word: its process is gone",
    "damaged": "The record of this import is damaged",
}


def started(job: Job) -> None:
    """Note a job that this page has begun; its number goes into the link, so that a reload finds it."""
    st.session_state[_HERE] = job.id
    st.query_params[JOB] = job.id


def draw(*, here: bool) -> None:
    """Where the job of the link stands. here: whether it is one that this page has begun, which is shown at its end."""
    number = st.query_params.get(JOB)
    if number is None or (st.session_state.get(_HERE) == number) != here:
        return
    try:
        job = jobs.find_job(queries.runs_folder(), number)
        if job.arguments[:1] not in (["import"], ["import-model"]):
            raise RunError(f"job {number} is no import; the page Train lists every job")
    except PipelineError as error:
        components.problem(str(error))
        del st.query_params[JOB]
        return
    with st.container(border=True, key="import_job"):
        status = job.status()
        if status.state in jobs.ENDED:
            _end(job, status)
        else:
            _follow(job)


@st.fragment(run_every=1.0)
@guarded
def _follow(job: Job) -> None:
    status = job.status()
    if status.state in jobs.ENDED:
        queries.forget_names()
        st.rerun()
    name = job.run_name or "the run"
    if status.state == "queued":
        st.progress(0.0, text=components.plain(f"{name} waits for its turn, number {status.place or 1} in line"))
    else:
        left = f", {duration(status.seconds_left)} left in this step" if status.seconds_left else ""
        share = min(status.done / status.total, 1.0) if status.total else 0.0
        st.progress(share, text=components.plain(f"{name}: {progress_words(status)}{left}"))
    st.caption("It goes on when you close this page; the link in the address bar finds it again.")
    if st.button("Cancel", icon=":material/stop_circle:", key="import_cancel"):
        job.cancel()


def _end(job: Job, status: Status) -> None:
    name = job.run_name or ""
    if status.state == "done":
        st.success(components.plain(f"The run {name} is there."), icon=":material/check:")
        if st.button("Read the verdict", type="primary", on_click=_pick, args=(name,), key="import_verdict"):
            # Said in full: without, it would clear the query, which a bound choice of this page forbids.
            st.switch_page("app_pages/verdict.py", query_params={state.RUN: name})
        return
    st.error(components.plain(status.message), title=_ENDS[status.state], icon=":material/error:")
    label, icon = ("Go on", "resume") if job.resumable else ("Try again", "replay")
    if status.state != "damaged" and st.button(label, icon=f":material/{icon}:", key="import_resume"):
        jobs.resume(job)  # from nothing where there is nothing to go on from
        st.rerun()
    with st.expander("Log"):
        st.code(job.log() or "The log is empty.", language=None)


@callback
def _pick(name: str) -> None:
    queries.forget_names()
    st.session_state[state.RUN] = name
