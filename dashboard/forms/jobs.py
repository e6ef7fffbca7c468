"""The jobs that make runs: which there are, where one stands, how it ended, and what can be done with it."""

import base64
import time
from collections.abc import Callable, Sequence
from typing import Final

import pandas as pd
import streamlit as st

from dashboard import components, queries, state, upload
from dashboard.boundary import callback, guarded
from dashboard.displays.training import curve_figure, loss_figure
from dashboard.forms import examples
from dashboard.rounding import duration
from dashboard.safe import escaped
from pipelines import jobs
from pipelines.errors import PipelineError, RunError
from pipelines.jobs import Job, State, Status
from pipelines.sentences import capitalised, size_in_words
from pipelines.store.manage import staged_attempts

JOB: Final = "job"  # in the link
_PICK, _GONE, _SWEPT = "train_job", "train_removed", "train_swept"  # in the session
_REFUSED: Final = "train_said"  # why a removal failed
_DRAWN: Final = "train_drawn"  # pictures by file: they never change
_EVERY: Final = 1.5  # seconds between two looks
_NEWEST: Final = "newest"
_MOST: Final = 200
_ROW: Final = 35  # CSS pixels
_NO_RUNS: Final = ("check", "estimate", "export")
STATES: Final[dict[State, str]] = {
    "queued": "in line",
    "running": "at work",
    "committing": "nearly done",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
    "orphaned": "orphaned",
    "damaged": "damaged",
}
ENDS: Final[dict[State, str]] = {
    "failed": "{} stopped with an error",
    "cancelled": "{} was cancelled",
    "orphaned": "{} ended without a word: its process is gone",
    "damaged": "The record of this job is damaged",
}
_STEPS: Final = {
    "check": "Checking the data",
    "scan": "Reading",
    "train": "Training",
    "predict": "Predicting",
    "import": "Reading outputs",
    "temperature": "Fitting temperatures",
    "count": "Counting",
    "measure": "Measuring",
    "commit": "Putting the run in its place",
}
_KINDS: Final = {"import": "Import", "import-model": "Import", "evaluate": "Counting", "predict": "Prediction"}


_IMPORT_STEPS: Final = {
    "check": "Reading the truth",
    "import": "Reading the outputs of",
    "count": "Counting",
    "measure": "Measuring",
    "temperature": "Fitting temperatures",
    "commit": "Putting the run in its place",
}

_HERE: Final = "import_started_here"
_IMPORT_ENDS: Final = {
    "failed": "The import was refused or stopped by an error",
    "cancelled": "The import was cancelled",
    "orphaned": "The import ended without a word: its process is gone",
    "damaged": "The record of this import is damaged",
}

# In words ------------------------------------------------------------------------------------------------------------


def kind_of(job: Job) -> str:
    """What kind of work it is, as the beginning of a sentence."""
    return _KINDS.get(job.command, "Training")


def makes_a_run(job: Job) -> bool:
    """Whether its end is a run: those are shown to all; checks and estimates only on the page that asked for them."""
    return job.command not in _NO_RUNS


def is_open_to(job: Job, uploads: Sequence[str]) -> bool:
    """Whether a reader may see its log, its pictures and its messages: not where it works on others' uploads.

    uploads: ids of the reader's own.
    """
    return all(folder.name in uploads for folder in job.upload_folders())


def step_words(status: Status) -> str:
    """The stage it is in, how far, and the time left in it."""
    verb, _, rest = status.stage.partition(" ")
    if not verb:
        return "Starting"
    parts = rest.split()
    if verb == "train":
        rest = f"seed {parts[-1]}" if parts else ""
    elif verb in ("predict", "count", "import") and len(parts) == 2:
        rest = f"{parts[0]}, seed {parts[1]}"
    step = f"{_STEPS.get(verb, verb.capitalize())} {rest}".strip()
    said = f"{step}: {status.done} of {status.total}" if status.total else step
    left = duration(status.seconds_left)
    return said + (f", {left} left in this step" if left else "")


def left_words(status: Status) -> str:
    """The time left in total, as far as it is known."""
    left = duration(status.total_left)
    if not left:
        return "time left: not known yet"
    return f"{left} left, and what comes after the training" if status.total_is_least else f"{left} left in all"


def share_of(status: Status) -> float:
    """How much of the stage is done, 0 to 1."""
    return min(max(status.done / status.total, 0.0), 1.0) if status.total else 0.0


def facts_of(status: Status, *, now: float | None = None) -> list[str]:
    """Small facts: when it began, which attempt it is, and whether it has been silent."""
    now = time.time() if now is None else now
    facts = []
    if status.began is not None:
        took = duration((status.ended or now) - status.began).removeprefix("about ")
        facts.append(f"began {_clock(status.began)} UTC" + (f", took {took}" if status.ended else f", {took} ago"))
    if status.attempt > 1:
        facts.append(f"attempt {status.attempt}")
    if status.at_work and status.heard is not None and status.heard > 20:
        facts.append(f"not heard from for {round(status.heard)} s")
    return facts


def table_of(listed: Sequence[tuple[Job, State, Status | None]]) -> pd.DataFrame:
    """Jobs in a table. The status is needed only of those that are alive."""
    rows = []
    for job, job_state, status in listed:
        where = ""
        if status is not None and status.place is not None:
            where = f"number {status.place} in line"
        elif status is not None and status.at_work:
            where = step_words(status)
        rows.append(
            {
                "Job": int(job.id),
                "Run": job.title if job.run_name else kind_of(job),
                "State": STATES[job_state],
                "Where": where,
                "Asked for": _asked(job),
            }
        )
    return pd.DataFrame(rows, columns=["Job", "Run", "State", "Where", "Asked for"])


def _asked(job: Job) -> pd.Timestamp | None:
    try:
        return pd.Timestamp(job.order.created, unit="s", tz="UTC")
    except RunError:
        return None


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def progress_words(status: Status) -> str:
    """Where an import stands, in a few words."""
    verb, _, rest = status.stage.partition(" ")
    words = f"{_IMPORT_STEPS.get(verb, verb.capitalize() or 'Starting')} {rest}".strip()
    return f"{words}: {status.done} of {status.total}" if status.total else words


# All of them ---------------------------------------------------------------------------------------------------------


def job_list() -> list[Job]:
    """Jobs that make runs, newest first; those that lost their process are noted down once a session."""
    folder = queries.runs.runs_folder()
    if not st.session_state.get(_SWEPT):
        st.session_state[_SWEPT] = True
        jobs.sweep(folder)
    return [job for job in jobs.list_jobs(folder) if makes_a_run(job)]


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
    linked = st.query_params.get(JOB)
    if linked is not None and linked not in ids:
        del st.query_params[JOB]
        if linked != st.session_state.pop(_GONE, None):
            components.problem(f"There is no job {linked} here; it has been removed, or is of another folder.")
    elif linked is not None and _PICK not in st.session_state:
        st.session_state[_PICK] = linked
    if not every:
        return None
    if st.session_state.get(_PICK) not in ids:
        st.session_state[_PICK] = next((job.id for job in every if job.alive()), ids[0])
    if len(ids) == 1:
        return every[0]

    @callback
    def changed() -> None:
        st.query_params[JOB] = st.session_state[_PICK]

    titles = {job.id: f"{job.id} · {job.title if job.run_name else kind_of(job)}" for job in every}
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
            table_of(rows),
            hide_index=True,
            key="train_jobs",
            height=_ROW * (min(len(rows), 8) + 1) + 3,
            alt="All jobs that make runs, with their states.",
            column_config={"Asked for": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone="UTC")},
        )

    look()
    if len(every) > _MOST:
        st.caption(f"{len(every) - _MOST} older ones are listed by `python -m pipelines jobs --all`.")


# One of them ---------------------------------------------------------------------------------------------------------


def show_job(job: Job) -> None:
    """The job in a frame. While it is alive it is looked at every moment; once it ends the whole page is drawn anew."""
    alive = job.alive()
    refused = st.session_state.pop(_REFUSED, None)
    if refused is not None:
        components.problem(refused)

    @st.fragment(run_every=_EVERY if alive else None)
    @guarded
    def look() -> None:
        status = job.status()
        if alive and status.state in jobs.ENDED:
            queries.runs.forget_runs()
            st.rerun()
        with st.container(border=True, key="train_shown"):
            _show(job, status)

    look()


def _show(job: Job, status: Status) -> None:
    is_open = is_open_to(job, [one.id for one in upload.mine()])
    st.header(components.plain(job.title if job.run_name else kind_of(job)), anchor=False)
    if status.state in jobs.ENDED:
        _end(job, status, is_open=is_open)
    else:
        _progress(job, status, may=is_open)
    if status.curves:
        _curves(status)
    if not is_open:
        st.caption("It works on files that somebody else uploaded: its pictures, messages and log are theirs.")
        return
    _examples(job, status)
    with st.expander("Log", key=f"train_log_{job.id}"):
        st.code(job.log() or "The log is empty.", language=None, height=320)
    if job.arguments:
        with st.expander("The same on the command line", key=f"train_command_{job.id}"):
            st.code(f"python -m pipelines {' '.join(job.arguments)}", language=None, wrap_lines=True)


def _progress(job: Job, status: Status, *, may: bool) -> None:
    theme = state.theme()
    if status.state == "queued":
        place = status.place or 1
        before = "it is next" if place == 1 else f"number {place} in line"
        st.progress(0.0, f"Waiting for its turn: {before}")
    else:
        st.progress(share_of(status), components.plain(step_words(status)))
        left = left_words(status)
        components.facts_line([capitalised(left), *facts_of(status)], theme)
    if may and st.button("Cancel", icon=":material/stop_circle:", key="cancel", help="Stops at the next safe point."):
        job.cancel()
        st.toast("It was asked to stop and does so at the next safe point.")
    st.caption("It goes on when this page is closed or the app is started anew; the link in the address bar finds it.")


def _end(job: Job, status: Status, *, is_open: bool) -> None:
    name = job.run_name
    components.facts_line(facts_of(status), state.theme())
    if status.state == "done":
        if name in queries.runs.run_names():
            st.success("The run is there.", icon=":material/check:")
        else:
            st.info("It is done; its run has been renamed or deleted since.", icon=":material/info:")
    else:
        kept = "What was done so far is kept." if job.resumable else "Nothing was done yet that could be gone on with."
        message = status.message if status.state in ("failed", "damaged") and is_open else kept
        title = ENDS[status.state].format(kind_of(job))
        st.warning(components.plain(message), title=title, icon=":material/warning:")
    with st.container(horizontal=True):
        if (
            status.state == "done"
            and name in queries.runs.run_names()
            and st.button(
                "Read the verdict",
                type="primary",
                icon=":material/balance:",
                key="read_verdict",
                on_click=_take_run,
                args=(name,),
            )
        ):
            st.switch_page("app_pages/verdict.py")
        if is_open:
            _buttons(job, status)


@callback
def _take_run(name: str) -> None:
    st.session_state[state.RUN] = name


def _buttons(job: Job, status: Status) -> None:
    """What can be done with a job that has ended."""
    again = status.state in ("failed", "cancelled", "orphaned")
    if again and job.resumable and st.button("Go on", type="primary", icon=":material/resume:", key="resume"):
        _do(jobs.resume, job)
    if again and st.button("Start over", icon=":material/replay:", key="again"):
        _do(jobs.retry, job)
    if st.button("Remove from the list", icon=":material/delete:", key="remove"):
        _confirm_removal(job)


def _do(step: Callable[[Job], object], job: Job) -> None:
    try:
        step(job)
    except PipelineError as error:
        components.problem(str(error))
        return
    st.rerun()


@st.dialog("Remove this job?")
@guarded
def _confirm_removal(job: Job) -> None:
    st.text(job.title if job.run_name else f"job {job.id}")
    unfinished = [] if job.run_name is None else staged_attempts(job.runs, job.run_name)
    unfinished_bytes = sum(path.stat().st_size for place in unfinished for path in place.rglob("*") if path.is_file())
    st.markdown("It leaves the list with its log. A run that it has made stays.")
    if unfinished_bytes:
        st.markdown(
            f"What it has done of an unfinished run, {components.plain(size_in_words(unfinished_bytes))}, is deleted."
        )
    with st.container(horizontal=True):
        if st.button("Remove", type="primary", key="remove_yes", on_click=_remove, args=(job,)):
            st.rerun()
        if st.button("Keep", key="remove_no"):
            st.rerun()


@callback
def _remove(job: Job) -> None:
    removed(job)
    try:
        job.discard()
    except PipelineError as error:
        st.session_state[_REFUSED] = str(error)


def _curves(status: Status) -> None:
    theme = state.theme()
    left, right = st.columns(2)
    with left:
        components.chart(
            curve_figure(status.curves, theme, title="Validation"),
            key="curves",
            name="learning",
            alt="Validation Dice of each head by epoch, so far.",
        )
    with right:
        components.chart(
            loss_figure(status.curves, theme, title="Training", by_epoch=True),
            key="losses",
            name="loss",
            alt="Mean training loss of each head by epoch, so far.",
        )


def _examples(job: Job, status: Status) -> None:
    files_of = examples.available(job.example_files())
    if not files_of:
        return
    seeds = list(files_of)
    newest = next((point["seed"] for point in reversed(status.curves) if point["seed"] in files_of), seeds[-1])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = newest
        if len(seeds) > 1:
            picked = st.segmented_control(
                "Examples of seed", [_NEWEST, *seeds], default=_NEWEST, required=True, key=f"train_seed_{job.id}"
            )
            seed = newest if picked in (None, _NEWEST) else picked
        epochs = list(files_of[seed])
        epoch = epochs[-1]
        if len(epochs) > 1:
            at = st.select_slider(
                "Epoch",
                [*epochs, _NEWEST],
                _NEWEST,
                key=f"train_epoch_{job.id}_{seed}",
                help="How the examples looked after this epoch.",
            )
            epoch = epochs[-1] if at == _NEWEST or at not in epochs else int(at)
    drawn: dict[str, str | None] = st.session_state.setdefault(_DRAWN, {})
    path = files_of[seed][epoch]
    if str(path) not in drawn:
        shown = examples.read_examples(path)
        while len(drawn) > 30:
            drawn.pop(next(iter(drawn)))
        drawn[str(path)] = None if shown is None else _html(shown)
    body = drawn[str(path)]
    if body is not None:
        st.caption(f"Validation images after epoch {epoch} of seed {seed}")
        st.html(body)


def _html(shown: examples.Examples) -> str:
    chips = "".join(
        f'<span style="white-space:nowrap;margin-right:1em"><span style="display:inline-block;width:.8em;height:.8em;'
        f'border-radius:3px;background:{escaped(color)};margin-right:.4em"></span>{escaped(name)}</span>'
        for name, color in list(zip(shown.classes, shown.colors, strict=True))[:12]
    )
    rows = "".join(_html_row(row) for row in shown.rows)
    return (
        f'<div style="font-size:.85rem;line-height:1.8">{chips}</div>'
        f'<div style="overflow-x:auto" tabindex="0" role="region" aria-label="Validation examples">'
        f'<div style="display:grid;gap:.5rem;min-width:26rem;max-width:52rem">{rows}</div></div>'
    )


def _html_row(row: examples.Row) -> str:
    cells = "".join(
        f'<figure style="margin:0;flex:1 1 0;min-width:0"><img alt="{escaped(f"{one.title} of {row.image}")}" '
        f'style="width:100%;image-rendering:pixelated;border-radius:4px;display:block" '
        f'src="data:image/png;base64,{base64.b64encode(one.picture).decode("ascii")}">'
        f'<figcaption style="font-size:.78rem;opacity:.75">{escaped(one.title)}</figcaption></figure>'
        for one in row.pictures
    )
    return f'<div style="display:flex;gap:.4rem">{cells}</div>'


# An import, on its own page ------------------------------------------------------------------------------------------


def import_started(job: Job) -> None:
    """Note a job that this page has begun; its number goes into the link, so that a reload finds it."""
    st.session_state[_HERE] = job.id
    st.query_params[JOB] = job.id


def show_import(*, here: bool) -> None:
    """Where the job of the link stands. here: whether it is one that this page has begun, which is shown at its end."""
    number = st.query_params.get(JOB)
    if number is None or (st.session_state.get(_HERE) == number) != here:
        return
    try:
        job = jobs.find_job(queries.runs.runs_folder(), number)
        if job.command not in ("import", "import-model"):
            raise RunError(f"job {number} is no import; the page Train lists every job")
    except PipelineError as error:
        components.problem(str(error))
        del st.query_params[JOB]
        return
    with st.container(border=True, key="import_job"):
        status = job.status()
        if status.state in jobs.ENDED:
            _import_end(job, status)
        else:
            _follow_import(job)


@st.fragment(run_every=1.0)
@guarded
def _follow_import(job: Job) -> None:
    status = job.status()
    if status.state in jobs.ENDED:
        queries.runs.forget_names()
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


def _import_end(job: Job, status: Status) -> None:
    name = job.run_name or ""
    if status.state == "done":
        st.success(components.plain(f"The run {name} is there."), icon=":material/check:")
        if st.button("Read the verdict", type="primary", on_click=_take_run, args=(name,), key="import_verdict"):
            # Said in full: without, it would clear the query, which a bound choice of this page forbids.
            st.switch_page("app_pages/verdict.py", query_params={state.RUN: name})
        return
    st.error(components.plain(status.message), title=_IMPORT_ENDS[status.state], icon=":material/error:")
    label, icon = ("Go on", "resume") if job.resumable else ("Try again", "replay")
    if status.state != "damaged" and st.button(label, icon=f":material/{icon}:", key="import_resume"):
        jobs.resume(job)  # from nothing where there is nothing to go on from
        st.rerun()
    with st.expander("Log"):
        st.code(job.log() or "The log is empty.", language=None)
