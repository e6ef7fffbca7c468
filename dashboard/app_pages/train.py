"""Train: the jobs there are and the one that is shown, and a form that starts another on any data set."""

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import guarded
from dashboard.forms import jobs as job_forms
from dashboard.forms import training
from pipelines import jobs
from pipelines.errors import PipelineError
from pipelines.jobs.needs import Estimate
from pipelines.store.files import check_name


@guarded
def offer_sample() -> None:
    """What there is to do without a run."""
    components.paragraph(
        "This app compares two last layers of one segmentation network: a sigmoid for each class, or one softmax over "
        "all of them. It needs a run: a pair of networks trained alike, and their predictions. The sample is a small "
        "generated set of stained cells whose labels overlap; training it takes a few minutes on two CPU cores.",
        theme,
    )
    if st.button("Train the sample pair", type="primary", icon=":material/play_arrow:", key="train_sample"):
        try:
            job_forms.show_next(jobs.start_sample(folder))
        except PipelineError as error:
            components.problem(str(error))
            return
        st.rerun()


@guarded
def new_training() -> None:
    """Data, settings, what they would take, and the start."""
    st.header("A new training", anchor="new")
    chosen = training.pick()
    if chosen is None:
        return
    choices = training.ask_settings(chosen)
    if not choices.losses:
        st.info("Choose a loss at least.", icon=":material/info:")
        return
    name = training.name_field()
    try:
        if name:
            check_name(name)
        request = training.request_of(
            choices, chosen.facts, data=chosen.path, reading=chosen.reading, loss=choices.losses[0]
        )
    except PipelineError as error:
        components.problem(str(error))
        return
    estimate = training.known_estimate(request)
    busy = training.estimate_at_work(request)
    runs = f"{len(choices.losses)} runs, each with " if len(choices.losses) > 1 else ""
    st.caption(f"{runs}{training.heads_words(chosen, choices)}.")
    training.show_estimate(estimate, training.bytes_needed(choices, chosen.facts), len(choices.losses))
    if busy is not None:
        training.follow_estimate(busy)
    with st.container(horizontal=True, vertical_alignment="center"):
        wanted = estimate is None and busy is None
        if wanted and st.button("Estimate the time", type="primary", icon=":material/timer:", key="train_estimate"):
            training.ask_estimate(request)
        label = "Start training" if estimate is not None else "Start without an estimate"
        if st.button(
            label,
            type="primary" if estimate is not None else "secondary",
            icon=":material/play_arrow:",
            key="train_start",
        ):
            start(chosen, choices, name, estimate)


def start(chosen: training.Chosen, choices: training.Choices, name: str, estimate: Estimate | None) -> None:
    """Put a job in line for each loss, and show the first. estimate: what one will take, if that was measured."""
    training.forget_estimate()
    needed = training.bytes_needed(choices, chosen.facts, parameters=None if estimate is None else estimate.parameters)
    stem = name or jobs.free_name(folder, chosen.facts.name, taken=[job.run_name or "" for job in every])
    first = None
    try:
        for loss, run in zip(choices.losses, training.run_names(stem, choices.losses), strict=True):
            job = jobs.start(
                training.request_of(
                    choices, chosen.facts, data=chosen.path, reading=chosen.reading, loss=loss, name=run
                ),
                folder,
                stages=[] if estimate is None else estimate.stages,
                needed=needed,
            )
            first = first or job
    except PipelineError as error:
        components.problem(str(error))
        if first is None:
            return
    if first is not None:
        job_forms.show_next(first)
    st.rerun()


@guarded
def show_jobs() -> None:
    """One job, and the list of all."""
    shown = job_forms.pick(every)
    if shown is not None:
        job_forms.show_job(shown)
        with st.expander(f"All jobs ({len(every)})", key="train_all", expanded=len(every) > 1):
            job_forms.draw_table(every)


theme = state.theme()
folder = queries.runs.runs_folder()
runs = queries.runs.run_names()
components.readable_chips()
every = job_forms.job_list()
alive = any(job.alive() for job in every)
st.title("Train" if runs else "Training" if alive else "No run yet")
if not runs and not alive:
    offer_sample()
first = alive or job_forms.is_wanted()  # what somebody waits for comes before what somebody may want to begin
if first:
    show_jobs()
new_training()
if not first and every:
    st.header("Jobs", anchor="jobs")
    show_jobs()
