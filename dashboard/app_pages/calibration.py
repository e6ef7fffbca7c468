"""Calibration: whether the probabilities of each head can be taken at their word."""

from collections.abc import Mapping
from typing import Final

import pandas as pd
import streamlit as st

from dashboard import components, loaders, state
from dashboard.figures.reliability import reliability_figure
from dashboard.figures.theme import HEAD_SHORT, HEAD_TITLES
from pipelines.metrics.tables import TOP_LABEL
from pipelines.schema import REGIONS, Head

_COLUMNS: Final = 3


def calibration_error(rows: pd.DataFrame) -> float:
    """Expected calibration error of the bins shown: the gaps weighted by the share of pixels."""
    return float((rows["share"] * (rows["observed"] - rows["mean_p"]).abs()).sum())


def draw_by_image(shown: list[str]) -> None:
    """The error of all images together beside that of single images."""
    by_head = {head: loaders.ece_by_image(run, split, head, seeds, variant, region, bins) for head in run.heads}
    table = pd.concat([rows.assign(head=head) for head, rows in by_head.items()], ignore_index=True)
    table = table[table["class"].isin(shown)].sort_values("class", key=lambda one: one.map(shown.index), kind="stable")
    if table.empty:
        return
    st.subheader("Pooled and image by image")
    rows = [
        [f"{row['class']}, {HEAD_SHORT[row['head']].lower()}", f"{row['pooled']:.3f}", f"{row['p50']:.3f}",
         f"{row['p5']:.3f} – {row['p95']:.3f}", f"{row['images']}"]
        for row in table.to_dict("records")
    ]  # fmt: skip
    head = ["Classwise ECE", "All images together", "Median image", "5 – 95 % of images", "Images"]
    components.small_table(head, rows, theme)
    components.explain("by_image", table, key="by_image", name=f"{run.name}-ece-by-image")


def draw(tables: Mapping[Head, pd.DataFrame], name: str, *, height: int) -> None:
    """One diagram, with each head's error in its colour under the title."""
    rows = {head: table[table["class"] == name] for head, table in tables.items()}
    errors = {head: calibration_error(one) for head, one in rows.items()}
    figure = reliability_figure(
        rows, theme, title=name, height=height, errors=errors,
        observed="share correct" if name == TOP_LABEL else "observed share",
    )  # fmt: skip
    said = ", ".join(f"{HEAD_TITLES[head]} ECE {error:.3f}" for head, error in errors.items())
    components.chart(
        figure, key=f"reliability_{name}", alt=f"Reliability of {name}: {said}.", name=f"{run.name}-{name}"
    )


run = state.current_run()
theme = state.theme()
st.title("Calibration")
with st.container(horizontal=True, vertical_alignment="bottom"):
    split = state.split_of(run)
    seeds = state.seeds_of(run)
    variant = state.variant_of(has_temperature=bool(run.facts["temperature"]))
    region = state.region_of(REGIONS, width=run.facts["boundary_width"])
with st.container(horizontal=True, vertical_alignment="bottom"):
    with st.container(width=340):
        bins = state.bins()
    tables = {head: loaders.reliability(run, split, head, seeds, variant, region, bins) for head in run.heads}
    names = list(dict.fromkeys(next(iter(tables.values()))["class"]))
    with st.container(width=340):
        chosen = state.class_of(names)

components.head_legend(run.heads, theme)
shown: list[str] = names if chosen == state.EVERY_CLASS else [chosen]
if len(shown) == 1:
    with st.container(width=720):
        draw(tables, shown[0], height=620)
across = min(_COLUMNS, len(shown))
for start in range(0, len(shown) if across > 1 else 0, across):
    for column, name in zip(st.columns(across), shown[start : start + across], strict=False):
        with column:
            draw(tables, name, height=380)
table = pd.concat([rows.assign(head=head) for head, rows in tables.items()], ignore_index=True)
table = table[table["class"].isin(shown)]
components.explain(
    "reliability", table, key="reliability", name=f"{run.name}-reliability", percent=("share",),
)  # fmt: skip
draw_by_image(shown)
