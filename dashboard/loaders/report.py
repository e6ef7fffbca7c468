"""A run as files, made when someone asks for them and kept for whoever asks next."""

from collections.abc import Callable
from typing import TypeAlias

import streamlit as st

from dashboard.loaders.runs import KEY
from pipelines.store import Run

Margins: TypeAlias = tuple[float, float, float]  # dice, classwise_ece, brier_relative of a verdict's margin


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=KEY)
def exported(run: Run, form: str, margins: Margins | None, _make: Callable[[], bytes]) -> bytes:
    """A file of a run. form: which one, such as "html"; margins: what else it depends on; _make: makes it."""
    return _make()
