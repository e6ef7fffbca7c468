"""Sections of a page that turn a run into files, rename it, put it in the trash, take it back and empty the trash."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import callback, guarded
from dashboard.report import files
from dashboard.rounding import count
from pipelines.errors import RunError
from pipelines.judgement import Margin
from pipelines.sentences import size_in_words
from pipelines.store.files import NAME
from pipelines.store.manage import TrashEntry, delete_run, empty_trash, rename_run, restore_run
from pipelines.store.runs import Run, run_bytes

_RESULT: Final = "manage_result"
_LISTED: Final = 20  # entries of the trash
_RULE: Final = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
_REPORT_HELP: Final = (
    "One HTML file with every figure, table and explanation. It opens in any browser without a network and prints "
    "well. Made when you press, which takes some seconds the first time."
)
_TABLES_HELP: Final = "Every table of this run as CSV files in one ZIP, with an index that says what each holds."


@guarded
def draw_export(run: Run, *, margin: Margin | None = None) -> None:
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


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=queries.runs.KEY | {Margin: Margin.model_dump_json})
def _exported(run: Run, form: Literal["html", "zip"], margin: Margin | None) -> bytes:
    """A file of a run, made when someone asks for it and kept for whoever asks next."""
    from dashboard.report.contents import report_of  # with the figures of every page, which the first page lacks

    report = report_of(run, margin=margin)
    return files.html_bytes(run, report) if form == "html" else files.tables_zip(run, report)


def say() -> None:
    """What the last step did, told once."""
    done, text = st.session_state.pop(_RESULT, (True, ""))
    if text and done:
        st.success(components.plain(text), icon=":material/check:")
    elif text:
        components.problem(text)


@guarded
def draw_run(run: Run, names: Sequence[str], *, lists: Sequence[str] = ()) -> None:
    """Fields to rename a run and to delete it.

    names: of all runs, the order in which another one takes its place. lists: keys of choices of several runs, in
    which the new name takes the place of the old one.
    """
    key = f"new_name_{run.name}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.form("rename", border=False, width=420), st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Name of this run",
                run.name,
                key=key,
                max_chars=64,
                validate=(NAME, _RULE),
                help=f"{_RULE}.",
                autocomplete="off",
            )
            st.form_submit_button("Rename", on_click=_attempt, args=(_rename, run.name, key, tuple(lists)))
        if st.button("Delete this run", icon=":material/delete:", key="delete"):
            _confirm_delete(run.name, size_in_words(run_bytes(run)), tuple(names))
    st.caption(
        "Links to the old name no longer work. A deleted run goes to the trash, from where it can be taken back."
    )


@guarded
def draw_trash() -> None:
    """What is in the trash, with a button to take each run back, and one to empty it."""
    try:
        entries, freed = queries.runs.trash()
    except RunError as error:
        components.problem(str(error))
        return
    if not entries:
        st.caption("The trash is empty.")
        return
    for entry in entries[:_LISTED]:
        _draw_entry(entry)
    if len(entries) > _LISTED:
        st.caption(f"{len(entries) - _LISTED} older ones are listed by `python -m pipelines trash`.")
    if freed < sum(entry.bytes for entry in entries):
        st.caption("Runs here still use files of deleted ones: emptying the trash gives back less than their size.")
    if st.button(f"Empty the trash ({size_in_words(freed)})", icon=":material/delete_forever:", key="empty_trash"):
        _confirm_empty(len(entries), freed)


def _draw_entry(entry: TrashEntry) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"trash_{entry.entry}"):
        st.text(entry.name, width=240)
        state_of = "" if entry.whole else ", damaged or half removed"
        st.text(f"deleted {entry.deleted:%Y-%m-%d %H:%M} UTC, {size_in_words(entry.bytes)}{state_of}", width=340)
        st.button(
            "Restore",
            icon=":material/restore_from_trash:",
            key=f"restore_{entry.entry}",
            disabled=not entry.whole,
            on_click=_attempt,
            args=(_restore, entry),
        )


@st.dialog("Delete this run?")
@guarded
def _confirm_delete(name: str, size: str, names: tuple[str, ...]) -> None:
    st.text(name)
    st.markdown(f"It goes to the trash with its {components.plain(size)}; nothing is lost before the trash is emptied.")
    if len(names) == 1:
        st.markdown("It is the last run here: the page Train is what is left.")
    with st.container(horizontal=True):
        if st.button("Move to trash", type="primary", key="delete_yes", on_click=_attempt, args=(_delete, name, names)):
            st.rerun()
        if st.button("Keep it", key="delete_no"):
            st.rerun()


@st.dialog("Empty the trash?")
@guarded
def _confirm_empty(entries: int, freed: int) -> None:
    runs = "The run in it is" if entries == 1 else f"The {count(entries)} runs in it are"
    st.markdown(f"{runs} removed for good, and {components.plain(size_in_words(freed))} are free again.")
    with st.container(horizontal=True):
        if st.button("Remove for good", type="primary", key="empty_yes", on_click=_attempt, args=(_empty,)):
            st.rerun()
        if st.button("Keep", key="empty_no"):
            st.rerun()


# Steps: each returns what it did in words --------------------------------------------------------------------------


@callback
def _attempt(step: Callable[..., str], *arguments: Any) -> None:
    """Do a step and keep what is to be said of it for the next time the page is drawn."""
    try:
        st.session_state[_RESULT] = (True, step(*arguments))
    except RunError as error:
        st.session_state[_RESULT] = (False, str(error))
    finally:
        queries.runs.forget_runs()


def _rename(name: str, key: str, lists: tuple[str, ...]) -> str:
    new = str(st.session_state[key]).strip()
    rename_run(queries.runs.runs_folder(), name, new)
    if st.session_state.get(state.RUN) == name:
        st.session_state[state.RUN] = new
    for chosen in (chosen for chosen in lists if chosen in st.session_state):
        st.session_state[chosen] = [new if run == name else run for run in st.session_state[chosen]]
    return f"{name} is called {new} now."


def _delete(name: str, names: tuple[str, ...]) -> str:
    delete_run(queries.runs.runs_folder(), name)
    others = [other for other in names if other != name]
    if not others:
        return f"{name} is in the trash."
    after = others[min(names.index(name), len(others) - 1)]
    if st.session_state.get(state.RUN) == name:
        st.session_state[state.RUN] = after
        return f"{name} is in the trash; this is {after} now."
    return f"{name} is in the trash."


def _restore(entry: TrashEntry) -> str:
    name = restore_run(queries.runs.runs_folder(), entry.entry)
    return f"{name} is back." if name == entry.name else f"{entry.name} is back as {name}: its own name is taken."


def _empty() -> str:
    return f"The trash is empty; {size_in_words(empty_trash(queries.runs.runs_folder()))} are free again."
