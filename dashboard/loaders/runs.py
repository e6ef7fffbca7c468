"""The runs that there are, and what one says of itself."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd
import streamlit as st

from pipelines.errors import NoSuchRun, PipelineError
from pipelines.recipe import Ingredients, ingredients_of
from pipelines.schema import Head
from pipelines.store import DamagedRun, Run, open_run, scan_runs
from pipelines.verdict import Evidence

RUN: Final = "run"  # name of the run that was picked, in the session and in links
RUNS_VARIABLE: Final = "PIPELINES_RUNS"
KEY: Final[dict[str | type[Any], Callable[[Any], Any]]] = {Run: lambda run: f"{run.folder}|{run.checksum}"}


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
