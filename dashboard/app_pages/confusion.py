"""Confusion: where the pixels of each true class go, for both heads, and where the heads differ."""

from typing import Literal

import pandas as pd
import streamlit as st

from dashboard import components, loaders, state
from dashboard.figures.confusion import difference_figure, matrix_figure
from dashboard.figures.theme import HEAD_TITLES
from dashboard.rounding import count, percent
from pipelines.metrics import tables
from pipelines.schema import Head, Region

_LAYOUT = {"rows": "truth", "columns": "predicted", "row_title": "truth", "column_title": "predicted"}
_LARGEST = 10
_SMALL = 5  # up to so many classes three matrices fit side by side


def table_of(head: Head, *, by_argmax: bool, region: Region, threshold: float) -> pd.DataFrame:
    """Confusion of one head."""
    counts = loaders.counts(run, split, head, seeds, "raw")
    if by_argmax:
        return tables.argmax_confusion(counts, classes=classes, region=region)
    return tables.threshold_confusion(counts, kind=dataset["kind"], classes=classes, threshold=threshold)


run = state.current_run()
theme = state.theme()
dataset = loaders.dataset(run)
classes = dataset["classes"]
st.title("Confusion")
region: Region = "all"
threshold = 0.5
with st.container(horizontal=True, vertical_alignment="bottom"):
    split = state.split_of(run)
    seeds = state.seeds_of(run)
    contender = state.contender_of(run)
    decisions = ["argmax", "threshold"] if dataset["kind"] == "exclusive" else ["threshold"]
    by_argmax = state.choose("Decision", decisions, key="decision", title=str.capitalize) == "argmax"
    if by_argmax:
        region = state.region_of(("all", "boundary", "interior"), width=run.facts["boundary_width"])
    form: Literal["share", "count"] = state.choose(
        "Cells", ("share", "count"), key="cells", title=lambda one: "Row shares" if one == "share" else "Pixels"
    )
    if not by_argmax:
        with st.container(width=340):
            threshold = state.threshold()

found = {
    head: table_of(head, by_argmax=by_argmax, region=region, threshold=threshold) for head in ("sigmoid", contender)
}
value = "share" if form == "share" else "pixels"
top = 1.0 if form == "share" else max(float(table["pixels"].max()) for table in found.values())
small = len(classes) <= _SMALL
columns = st.columns(3 if small else 2)
for column, (head, table) in zip(columns, found.items(), strict=False):
    figure = matrix_figure(
        table, theme, value=value, title=HEAD_TITLES[head], color=theme.heads[head], form=form, top=top, **_LAYOUT
    )
    with column:
        alt = f"Confusion matrix of {HEAD_TITLES[head]}, {len(classes)} classes."
        components.chart(figure, key=f"confusion_{head}", alt=alt, name=f"{run.name}-confusion-{head}")
joined = found["sigmoid"].merge(found[contender], on=["truth", "predicted"], suffixes=("_sigmoid", "_softmax"))
joined["difference"] = joined[f"{value}_sigmoid"] - joined[f"{value}_softmax"]
figure = difference_figure(
    joined, theme, value="difference", title=f"Sigmoid − {HEAD_TITLES[contender].lower()}", form=form,
    colors=(theme.heads["sigmoid"], theme.heads[contender]), **_LAYOUT,
)  # fmt: skip
below = columns if small else st.columns(2)
with below[2 if small else 0]:
    ranked = joined.sort_values("difference", key=abs, ascending=False).head(_LARGEST)
    first = ranked.iloc[0]
    alt = f"Difference of both; largest where the truth is {first['truth']} and {first['predicted']} is predicted."
    components.chart(figure, key="confusion_difference", alt=alt, name=f"{run.name}-confusion-difference")
if not small:
    with below[1]:
        st.subheader("Largest differences")
        write = percent if form == "share" else count
        rows = [
            [f"{one['truth']} → {one['predicted']}", write(one[f"{value}_sigmoid"]), write(one[f"{value}_softmax"])]
            for one in ranked.to_dict("records")
        ]
        components.small_table(["Truth → predicted", "Sigmoid", HEAD_TITLES[contender]], rows, theme)
components.explain(
    "confusion" if by_argmax or dataset["kind"] == "binary" else "confusion_threshold",
    joined, key="confusion", name=f"{run.name}-confusion",
    percent=("share_sigmoid", "share_softmax", "difference") if form == "share" else ("share_sigmoid", "share_softmax"),
)  # fmt: skip
