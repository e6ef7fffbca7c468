"""All runs in short, their training and their trash."""

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard.loaders.runs import KEY, forget_names, run_names, runs_folder
from pipelines.errors import RunError
from pipelines.store import Run, TrashEntry, list_trash, open_run, trash_bytes
from pipelines.store.summary import Summary, learning_curves, summarise


@st.cache_resource(max_entries=512, show_spinner="Reading the runs …", hash_funcs=KEY)
def summary(run: Run) -> Summary:
    """A run in short; shared by all sessions, so never to be written to."""
    return summarise(run)


@st.cache_resource(ttl=2, max_entries=4, show_spinner=False)
def _catalogue(folder: str, names: tuple[str, ...]) -> list[Run]:
    found = []
    for name in names:
        try:
            found.append(open_run(Path(folder), name))
        except RunError:
            continue
    return found


def catalogue() -> list[Run]:
    """All whole runs, newest first; one that has gone since they were listed is left out."""
    return _catalogue(str(runs_folder()), tuple(run_names()))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEY)
def learning(run: Run) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Losses and validation scores, rows of `learning_curves`; None when the networks were loaded, not trained."""
    rows = run.training()
    return None if rows is None else learning_curves(rows)


@st.cache_data(ttl=2, max_entries=4, show_spinner=False)
def _trash(folder: str) -> tuple[list[TrashEntry], int]:
    return list_trash(Path(folder)), trash_bytes(Path(folder))


def trash() -> tuple[list[TrashEntry], int]:
    """What is in the trash, and the bytes that emptying it gives back; looked up at most every two seconds."""
    return _trash(str(runs_folder()))


def forget_runs() -> None:
    """Look runs and trash up afresh next time: after a rename, a deletion, a restore."""
    forget_names()
    _catalogue.clear()
    _trash.clear()
