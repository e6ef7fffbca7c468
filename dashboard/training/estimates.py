"""What a training would take: asked of a short job with the real networks, and shown before anything is started."""

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import guarded
from dashboard.rounding import duration
from pipelines import jobs
from pipelines.errors import PipelineError
from pipelines.jobs.estimates import Estimate, estimate_of
from pipelines.jobs.start import free_bytes
from pipelines.sentences import capitalised, size_in_words

_ASKED = "train_estimate_job"  # (settings, number of the job)
_KNOWN = "train_estimates"  # settings to what was found
Settings = tuple[str, ...]


def known(settings: Settings) -> Estimate | None:
    """What is known of these settings by now; takes in what the job has found."""
    found: dict[Settings, Estimate] = st.session_state.setdefault(_KNOWN, {})
    asked = st.session_state.get(_ASKED)
    if asked is not None:
        of, number = asked
        try:
            job = jobs.find_job(queries.runs_folder(), number)
            if not job.alive():
                _take_in(of, job, found)
        except PipelineError as error:  # removed by somebody
            components.problem(str(error))
            del st.session_state[_ASKED]
    return found.get(settings)


def _take_in(settings: Settings, job: jobs.Job, found: dict[Settings, Estimate]) -> None:
    del st.session_state[_ASKED]
    told, status = estimate_of(job), job.status()
    if told is not None and status.state == "done":
        found[settings] = told
    elif status.state != "cancelled":
        components.problem(status.message or "the estimate ended early; start it again")
    job.remove()


def ask(settings: Settings) -> None:
    """Start the job, for `run` settings; it runs at once, beside what is at work."""
    forget()
    try:
        job = jobs.start(["estimate", *settings[1:]], queries.runs_folder(), waits=False)
    except PipelineError as error:
        components.problem(str(error))
        return
    st.session_state[_ASKED] = (settings, job.id)
    st.rerun()


def forget() -> None:
    """End a job that was asked about other settings."""
    asked = st.session_state.pop(_ASKED, None)
    if asked is not None:
        try:
            jobs.find_job(queries.runs_folder(), asked[1]).cancel()
        except PipelineError:
            return


def at_work(settings: Settings) -> jobs.Job | None:
    """The job that measures these settings now."""
    asked = st.session_state.get(_ASKED)
    if asked is None or asked[0] != settings:
        return None
    return jobs.find_job(queries.runs_folder(), asked[1])


def follow(job: jobs.Job) -> None:
    """Where it stands, until it ends."""

    @st.fragment(run_every=0.7)
    @guarded
    def look() -> None:
        if not job.alive():
            st.rerun()
        status = job.status()
        with st.container(horizontal=True, vertical_alignment="center", key="train_estimating"):
            st.progress(min(status.done / 4, 1.0), f"Trying the settings out: {status.message or 'reading images'}")
            if st.button("Stop", key="train_estimate_stop"):
                job.cancel()

    look()


def show(found: Estimate | None, needed: int, times: int) -> None:
    """Time and disk. found: for one run; needed: bytes of one run, before they are known better; times: runs."""
    free = free_bytes(queries.runs_folder())
    needed = times * (needed if found is None else found.needed)
    facts = [f"up to {size_in_words(needed)} on disk, {size_in_words(free)} are free"]
    if found is not None:
        train = duration(times * found.seconds_of("train")).removeprefix("about ")
        facts = [
            f"{duration(times * found.seconds)} on this machine's {found.device.upper()}", f"training {train} of it",
            f"{found.step_seconds:.2g} s a step", f"{found.parameters / 1e6:.1f} million weights a network", *facts,
        ]  # fmt: skip
    components.facts_line(list(map(capitalised, facts)), state.theme())
