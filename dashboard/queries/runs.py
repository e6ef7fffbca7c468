"""The runs that there are, and what one says of itself, alone and beside others."""

import gc
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd
import streamlit as st

from pipelines.comparison import matching
from pipelines.comparison.compare import compare
from pipelines.comparison.effects import Comparison
from pipelines.errors import NoSuchRun, PipelineError, RunError
from pipelines.recipe import Ingredients, ingredients_of
from pipelines.schema import Head
from pipelines.store.manage import TrashEntry, list_trash, trash_bytes
from pipelines.store.runs import DamagedRun, Run, Summary, learning_curves, open_run, scan_runs, summarise
from pipelines.verdict.evidence import Evidence

RUN: Final = "run"  # name of the run that was picked, in the session and in links
RUNS_VARIABLE: Final = "PIPELINES_RUNS"
KEY: Final[dict[str | type[Any], Callable[[Any], Any]]] = {Run: lambda run: f"{run.folder}|{run.checksum}"}

# Streamlit's caches warn of every question where no server runs: in a notebook, in the command `export`.
_TALKATIVE: Final = (
    "streamlit.runtime.caching.cache_data_api",
    "streamlit.runtime.scriptrunner_utils.script_run_context",
    "streamlit.runtime.state.session_state_proxy",
)


def _quiet_without_server() -> None:
    """A filter stays when Streamlit, on being imported, sets its loggers' levels."""
    if not st.runtime.exists():
        for name in _TALKATIVE:
            logging.getLogger(name).addFilter(lambda record: record.levelno >= logging.ERROR)


_quiet_without_server()


def runs_folder() -> Path:
    """Where runs are: the environment variable PIPELINES_RUNS, or runs/ in the repository."""
    given = os.environ.get(RUNS_VARIABLE)
    return Path(given).expanduser() if given else Path(__file__).resolve().parents[2] / "runs"


@st.cache_data(ttl=2, max_entries=4, show_spinner=False)
def _scanned(folder: str) -> tuple[list[str], list[DamagedRun]]:
    runs, damaged = scan_runs(Path(folder))
    return [run.name for run in runs], damaged


def run_names() -> list[str]:
    """Names of all whole runs, newest first; looked up at most every two seconds."""
    return _scanned(str(runs_folder()))[0]


def damaged_runs() -> list[DamagedRun]:
    """What lies beside the runs and cannot be opened, with what to do; looked up together with their names."""
    return _scanned(str(runs_folder()))[1]


def forget_names() -> None:
    """Look the runs up afresh next time."""
    _scanned.clear()


@st.cache_data(ttl=10, max_entries=8, show_spinner=False)
def _damage(folder: str, name: str) -> str | None:
    try:
        open_run(Path(folder), name).check()
    except NoSuchRun:
        return None
    except PipelineError as error:
        return f"Run {name} is damaged: {error}. Or choose another run."
    return None


def damage_of(name: str) -> str | None:
    """What is wrong with a run's files, in one line; None when all are as they were when it was made.

    Asked only when something has failed: files that have not been read yet are compared with the manifest.
    """
    return _damage(str(runs_folder()), name)


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=KEY)
def dataset(run: Run) -> dict[str, Any]:
    """What the check found in the run's data set."""
    return run.dataset


def shown_heads(run: Run, contender: Head) -> tuple[Head, ...]:
    """Sigmoid and the contender it is compared with; the contender alone in a run that has no sigmoid, or only that."""
    return ("sigmoid", contender) if "sigmoid" in run.heads and contender != "sigmoid" else (contender,)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEY)
def _metrics(run: Run) -> pd.DataFrame:
    return run.metrics()


def metrics(run: Run) -> pd.DataFrame:
    """metrics.parquet."""
    return _metrics(run).copy(deep=False)  # shares the data until it is written to: a copy would cost each rerun more


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEY)
def _image_scores(run: Run) -> pd.DataFrame:
    return run.image_scores()


def image_scores(run: Run) -> pd.DataFrame:
    """image_scores.parquet."""
    return _image_scores(run).copy(deep=False)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEY)
def evidence(run: Run) -> Evidence:
    """What a verdict looks up; shared by all sessions, so never to be written to."""
    return Evidence(dataset(run), metrics(run), run.facts)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def ingredients(run: Run, head: Head, seed: int | None) -> Ingredients:
    """What the code of one head is made of; seed: None for the one that did best on validation."""
    return ingredients_of(run, head, seed=seed)


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


@st.cache_data(ttl=10, max_entries=16, show_spinner=False, hash_funcs=KEY)
def _comparable(run: Run, names: tuple[str, ...]) -> dict[str, str | None]:
    found = {}
    for name in names:
        try:
            other = run if name == run.name else open_run(run.folder.parent, name)
            if other is run or matching.comparable(run, other):
                found[name] = matching.loss_of(other)
        except RunError:
            continue  # gone or damaged since it was listed: not there to be chosen
    return found


def comparable(run: Run) -> dict[str, str | None]:
    """Runs of the same data set as this one and itself, newest first: name to loss, None where that is not known."""
    return _comparable(run, tuple(run_names()))


@st.cache_data(max_entries=16, show_spinner="Comparing the runs …", hash_funcs=KEY)
def compared(runs: tuple[Run, ...]) -> Comparison:
    """Losses, heads, thresholds and temperatures of several runs against each other."""
    return compare(runs)


MANY: Final = 10_000  # objects: from here on a full collection takes milliseconds
MOST: Final = 16  # times: what is frozen is never looked at again, so sessions that come and go must not add to it

_lock = threading.Lock()
_times = 0


def freeze_once() -> None:
    """Keep what is loaded by now out of the full garbage collection that Streamlit makes after every rerun.

    Called after each run of the whole app: the first call freezes all that was imported, later ones what pages have
    loaded since, if that is much. Each object is frozen once, and after MOST times no more are.
    """
    global _times
    with _lock:
        if _times >= MOST or (_times and len(gc.get_objects()) < MANY):
            return
        if _times:  # imports leave no garbage behind, sessions do
            gc.collect()
        gc.freeze()
        _times += 1
