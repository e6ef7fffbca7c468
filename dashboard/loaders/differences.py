"""What the verdict's figures and scores are drawn from; neither depends on a margin, which a reader moves."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import tables
from dashboard.loaders.counted import absent_classes
from dashboard.loaders.runs import KEY, dataset, metrics
from pipelines.schema import Split, Variant
from pipelines.store import Run
from pipelines.verdict.evidence import Contender


@st.cache_resource(max_entries=96, show_spinner=False, hash_funcs=KEY)
def advantages(
    run: Run, *, metric: str, split: Split, variant: Variant, contender: Contender
) -> tuple[pd.DataFrame, Sequence[float]]:
    """Rows of `tables.differences`, and the first row's advantage in each seed (`tables.seed_advantages`)."""
    frame, absent = metrics(run), absent_classes(run, split)
    classes = dataset(run)["classes"]
    table = tables.differences(frame, metric=metric, split=split, variant=variant, contender=contender, classes=classes)
    table = table[~table["class"].isin(absent)].reset_index(drop=True)  # their mean leaves these out too
    if table.empty:
        return table, []
    first = str(table["class"].iloc[0])
    return table, tables.seed_advantages(
        frame, metric=metric, split=split, variant=variant, contender=contender, class_name=first
    )


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def score_tables(run: Run, split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every metric's mean over the classes, as trained: rows of `tables.scores`, and the same to be read."""
    scores = tables.scores(metrics(run), split=split, variant="raw", heads=run.heads)
    return scores, tables.readable_scores(scores)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def after_temperature(run: Run) -> bool:
    """Whether the run holds metrics after a temperature."""
    return bool((metrics(run)["variant"] == "temperature").any())
