"""Runs of one data set against each other."""

import streamlit as st

from dashboard.loaders.runs import KEY, run_names
from pipelines import comparison
from pipelines.comparison import Comparison
from pipelines.errors import RunError
from pipelines.store import Run, open_run


@st.cache_data(ttl=10, max_entries=16, show_spinner=False, hash_funcs=KEY)
def _comparable(run: Run, names: tuple[str, ...]) -> dict[str, str | None]:
    found = {}
    for name in names:
        try:
            other = run if name == run.name else open_run(run.folder.parent, name)
            if other is run or comparison.comparable(run, other):
                found[name] = comparison.loss_of(other)
        except RunError:
            continue  # gone or damaged since it was listed: not there to be chosen
    return found


def comparable(run: Run) -> dict[str, str | None]:
    """Runs of the same data set as this one and itself, newest first: name to loss, None where that is not known."""
    return _comparable(run, tuple(run_names()))


@st.cache_data(max_entries=16, show_spinner="Comparing the runs …", hash_funcs=KEY)
def compared(runs: tuple[Run, ...]) -> Comparison:
    """Losses, heads, thresholds and temperatures of several runs against each other."""
    return comparison.compare(runs)
