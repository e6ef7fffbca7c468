"""One job: where it stands while it is alive, how it ended, and what can be done with it."""

import base64
from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard import components, queries, state, upload
from dashboard.boundary import callback, guarded
from dashboard.displays.training import curve_figure, loss_figure
from dashboard.panels import train_examples
from dashboard.panels import train_words as words
from dashboard.safe import escaped
from dashboard.training import listing
from pipelines import jobs
from pipelines.errors import PipelineError
from pipelines.jobs import Job, Status
from pipelines.sentences import capitalised, size_in_words
from pipelines.store import staged_attempts

_EVERY = 1.5  # seconds between two looks
_NEWEST = "newest"
_SAID = "train_said"  # why a removal failed
_DRAWN = "train_drawn"  # pictures by file: they never change


def draw(job: Job) -> None:
    """The job in a frame. While it is alive it is looked at every moment; once it ends the whole page is drawn anew."""
    alive = job.alive()
    said = st.session_state.pop(_SAID, None)
    if said is not None:
        components.problem(said)

    @st.fragment(run_every=_EVERY if alive else None)
    @guarded
    def look() -> None:
        status = job.status()
        if alive and status.state in jobs.ENDED:
            queries.forget_runs()
            st.rerun()
        with st.container(border=True, key="train_shown"):
            _draw(job, status)

    look()


def _draw(job: Job, status: Status) -> None:
    is_open = words.is_open_to(job, [one.id for one in upload.mine()])
    st.header(components.plain(job.title if job.run_name else words.kind_of(job)), anchor=False)
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
        st.progress(words.share_of(status), components.plain(words.step_words(status)))
        left = words.left_words(status)
        components.facts_line([capitalised(left), *words.facts_of(status)], theme)
    if may and st.button("Cancel", icon=":material/stop_circle:", key="cancel", help="Stops at the next safe point."):
        job.cancel()
        st.toast("It was asked to stop and does so at the next safe point.")
    st.caption("It goes on when this page is closed or the app is started anew; the link in the address bar finds it.")


def _end(job: Job, status: Status, *, is_open: bool) -> None:
    name = job.run_name
    components.facts_line(words.facts_of(status), state.theme())
    if status.state == "done":
        if name in queries.run_names():
            st.success("The run is there.", icon=":material/check:")
        else:
            st.info("It is done; its run has been renamed or deleted since.", icon=":material/info:")
    else:
        kept = "What was done so far is kept." if job.resumable else "Nothing was done yet that could be gone on with."
        message = status.message if status.state in ("failed", "damaged") and is_open else kept
        title = words.ENDS[status.state].format(words.kind_of(job))
        st.warning(components.plain(message), title=title, icon=":material/warning:")
    with st.container(horizontal=True):
        if status.state == "done" and name in queries.run_names() and st.button(
            "Read the verdict", type="primary", icon=":material/balance:", key="read_verdict", on_click=_take_run,
            args=(name,),
        ):  # fmt: skip
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
    begun = sum(one.stat().st_size for at in _unfinished(job) for one in at.rglob("*") if one.is_file())
    st.markdown("It leaves the list with its log. A run that it has made stays.")
    if begun:
        st.markdown(f"What it has done of an unfinished run, {components.plain(size_in_words(begun))}, is deleted.")
    with st.container(horizontal=True):
        if st.button("Remove", type="primary", key="remove_yes", on_click=_remove, args=(job,)):
            st.rerun()
        if st.button("Keep", key="remove_no"):
            st.rerun()


@callback
def _remove(job: Job) -> None:
    listing.removed(job)
    try:
        job.discard()
    except PipelineError as error:
        st.session_state[_SAID] = str(error)


def _unfinished(job: Job) -> list[Any]:
    return [] if job.run_name is None else staged_attempts(job.runs, job.run_name)


def _curves(status: Status) -> None:
    theme = state.theme()
    left, right = st.columns(2)
    with left:
        components.chart(
            curve_figure(status.curves, theme, title="Validation"), key="curves", name="learning",
            alt="Validation Dice of each head by epoch, so far.",
        )  # fmt: skip
    with right:
        components.chart(
            loss_figure(status.curves, theme, title="Training", by_epoch=True), key="losses", name="loss",
            alt="Mean training loss of each head by epoch, so far.",
        )  # fmt: skip


def _examples(job: Job, status: Status) -> None:
    found = train_examples.available(job.example_files())
    if not found:
        return
    seeds = list(found)
    newest = next((point["seed"] for point in reversed(status.curves) if point["seed"] in found), seeds[-1])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = newest
        if len(seeds) > 1:
            picked = st.segmented_control(
                "Examples of seed", [_NEWEST, *seeds], default=_NEWEST, required=True, key=f"train_seed_{job.id}"
            )
            seed = newest if picked in (None, _NEWEST) else picked
        epochs = list(found[seed])
        epoch = epochs[-1]
        if len(epochs) > 1:
            at = st.select_slider(
                "Epoch", [*epochs, _NEWEST], _NEWEST, key=f"train_epoch_{job.id}_{seed}",
                help="How the examples looked after this epoch.",
            )  # fmt: skip
            epoch = epochs[-1] if at == _NEWEST or at not in epochs else int(at)
    drawn: dict[str, str | None] = st.session_state.setdefault(_DRAWN, {})
    path = found[seed][epoch]
    if str(path) not in drawn:
        examples = train_examples.read_examples(path)
        while len(drawn) > 30:
            drawn.pop(next(iter(drawn)))
        drawn[str(path)] = None if examples is None else _html(examples)
    body = drawn[str(path)]
    if body is not None:
        st.caption(f"Validation images after epoch {epoch} of seed {seed}")
        st.html(body)


def _html(examples: train_examples.Examples) -> str:
    chips = "".join(
        f'<span style="white-space:nowrap;margin-right:1em"><span style="display:inline-block;width:.8em;height:.8em;'
        f'border-radius:3px;background:{escaped(color)};margin-right:.4em"></span>{escaped(name)}</span>'
        for name, color in list(zip(examples.classes, examples.colors, strict=True))[:12]
    )
    rows = "".join(_html_row(row) for row in examples.rows)
    return (
        f'<div style="font-size:.85rem;line-height:1.8">{chips}</div>'
        f'<div style="overflow-x:auto" tabindex="0" role="region" aria-label="Validation examples">'
        f'<div style="display:grid;gap:.5rem;min-width:26rem;max-width:52rem">{rows}</div></div>'
    )


def _html_row(row: train_examples.Row) -> str:
    cells = "".join(
        f'<figure style="margin:0;flex:1 1 0;min-width:0"><img alt="{escaped(f"{one.title} of {row.image}")}" '
        f'style="width:100%;image-rendering:pixelated;border-radius:4px;display:block" '
        f'src="data:image/png;base64,{base64.b64encode(one.picture).decode("ascii")}">'
        f'<figcaption style="font-size:.78rem;opacity:.75">{escaped(one.title)}</figcaption></figure>'
        for one in row.pictures
    )
    return f'<div style="display:flex;gap:.4rem">{cells}</div>'
