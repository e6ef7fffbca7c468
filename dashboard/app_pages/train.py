"""Train: train the sample pair here and now, with live progress, or see how to train on other data."""

from typing import Any

import streamlit as st

from dashboard import components, loaders, state
from dashboard.figures.training import curve_figure
from dashboard.rounding import duration
from pipelines import jobs
from pipelines.jobs import Job

_STEPS = {"scan": "Reading", "train": "Training", "predict": "Predicting", "count": "Counting"}
_ENDED = {
    "failed": "Training stopped with an error",
    "cancelled": "Training was cancelled",
    "orphaned": "Training ended without a word: its process is gone",
}


def offer() -> None:
    """What there is to do without a run."""
    components.paragraph(
        "This app compares two last layers of one segmentation network: a sigmoid for each class, or one softmax over "
        "all of them. It needs a run: a pair of networks trained alike, and their predictions. The sample is a small "
        "generated set of stained cells whose labels overlap; training it takes a few minutes on two CPU cores.",
        theme,
    )
    if st.button("Train the sample pair", type="primary", icon=":material/play_arrow:", key="train_sample"):
        jobs.start(jobs.sample_arguments(), folder)
        st.rerun()


def show_progress(status: dict[str, Any], job: Job) -> None:
    """Where a running job stands, and a button to cancel it."""
    done, total = int(status["done"]), int(status["total"])
    left = duration(status["seconds_left"])
    verb, _, rest = str(status["stage"]).partition(" ")
    step = f"{_STEPS.get(verb, verb.capitalize())} {rest}".strip()
    said = f"{step}: {done} of {total}" if total else step
    st.progress(min(done / total, 1.0) if total else 0.0, text=said + (f", {left} left in this step" if left else ""))
    if status["curves"]:
        components.chart(
            curve_figure(status["curves"], theme), key="curves", name="learning",
            alt="Validation Dice of each head by epoch, so far.",
        )  # fmt: skip
    if st.button("Cancel", icon=":material/stop_circle:", key="cancel", help="Stops at the next safe point."):
        job.cancel()


@st.fragment(run_every=1.0)
def follow(job: Job) -> None:
    """Look at the job every second until it ends."""
    status = job.status()
    if status["state"] == "running":
        show_progress(status, job)
        return
    loaders.forget_names()
    if status["state"] == "done":
        st.switch_page("app_pages/verdict.py")
    st.rerun()


def show_end(status: dict[str, Any], job: Job) -> None:
    """Why a job ended early, and how to go on."""
    message = status["message"] if status["state"] == "failed" else "What was done so far is kept."
    st.warning(
        components.plain(message), title=_ENDED[status["state"]],
        icon=":material/warning:",
    )  # fmt: skip
    with st.container(horizontal=True):
        if st.button("Go on", type="primary", icon=":material/resume:", key="resume"):
            job.resume()
            st.rerun()
        if st.button("Start over", icon=":material/replay:", key="again"):
            jobs.start(jobs.sample_arguments(), folder)
            st.rerun()
    with st.expander("Log"):
        st.code(status["log"] or "The log is empty.", language=None)


theme = state.theme()
folder = loaders.runs_folder()
runs = loaders.run_names()
every = jobs.list_jobs(folder)
newest = next((job for job in every if job.alive()), next(iter(every), None))  # one at work before one that ended
status = newest.status() if newest else None
running = status is not None and status["state"] == "running"
st.title("Training" if running else "Train a pair" if runs else "No run yet")
if newest and status and status["state"] == "running":
    follow(newest)
elif jobs.SAMPLE_RUN in runs:
    components.paragraph("The sample pair is there: pick it on the left.", theme)
elif newest and status and status["state"] in _ENDED:
    show_end(status, newest)
else:
    offer()
st.subheader("On your own data")
components.paragraph(
    "From a terminal in the project's folder. The first command says what is in the data set and what is wrong with "
    "it; the second trains, measures and judges. The run appears here when it is whole.",
    theme,
)
st.code("python -m pipelines check DATASET\npython -m pipelines run DATASET --seeds 0,1,2", language="bash")
