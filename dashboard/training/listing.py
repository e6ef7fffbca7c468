"""The jobs that make runs: all of them in a table, and which one is shown."""

import streamlit as st

from dashboard import components, queries
from dashboard.boundary import callback, guarded
from dashboard.panels import train_words as words
from pipelines import jobs
from pipelines.jobs import Job

JOB = "job"  # in the link
_PICK = "train_job"
_GONE = "train_removed"
_SWEPT = "train_swept"
_MOST = 200
_ROW = 35  # CSS pixels


def found() -> list[Job]:
    """Jobs that make runs, newest first; those that lost their process are noted down once a session."""
    folder = queries.runs_folder()
    if not st.session_state.get(_SWEPT):
        st.session_state[_SWEPT] = True
        jobs.sweep(folder)
    return [job for job in jobs.list_jobs(folder) if words.makes_a_run(job)]


def show_next(job: Job) -> None:
    """Have a job shown from the next time the page is drawn."""
    st.session_state[_PICK] = job.id
    st.query_params[JOB] = job.id


def removed(job: Job) -> None:
    """Note that a job was removed on this page: the link that still names it is no mistake."""
    st.session_state[_GONE] = job.id


def is_wanted() -> bool:
    """Whether the link asks for a job."""
    return JOB in st.query_params


def pick(every: list[Job]) -> Job | None:
    """The job that is shown: the link's, the one that was picked, else one that is alive, else the newest."""
    ids = [job.id for job in every]
    said = st.query_params.get(JOB)
    if said is not None and said not in ids:
        del st.query_params[JOB]
        if said != st.session_state.pop(_GONE, None):
            components.problem(f"There is no job {said} here; it has been removed, or is of another folder.")
    elif said is not None and _PICK not in st.session_state:
        st.session_state[_PICK] = said
    if not every:
        return None
    if st.session_state.get(_PICK) not in ids:
        st.session_state[_PICK] = next((job.id for job in every if job.alive()), ids[0])
    if len(ids) == 1:
        return every[0]

    @callback
    def changed() -> None:
        st.query_params[JOB] = st.session_state[_PICK]

    titles = {job.id: f"{job.id} · {job.title if job.run_name else words.kind_of(job)}" for job in every}
    with st.container(width=420):
        chosen = st.selectbox("Job", ids, key=_PICK, format_func=lambda id: titles[id], on_change=changed)
    return every[ids.index(chosen)]


def draw_table(every: list[Job]) -> None:
    """All of them with their states; looked at anew while one is alive."""
    alive = any(job.alive() for job in every)

    @st.fragment(run_every=3.0 if alive else None)
    @guarded
    def look() -> None:
        rows = []
        for job in every[:_MOST]:
            state = job.state()
            rows.append((job, state, None if state in jobs.ENDED else job.status()))
        st.dataframe(
            words.table_of(rows), hide_index=True, key="train_jobs", height=_ROW * (min(len(rows), 8) + 1) + 3,
            alt="All jobs that make runs, with their states.",
            column_config={"Asked for": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone="UTC")},
        )  # fmt: skip

    look()
    if len(every) > _MOST:
        st.caption(f"{len(every) - _MOST} older ones are listed by `python -m pipelines jobs --all`.")
