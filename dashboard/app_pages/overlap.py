"""Overlap: how often a head gives a pixel two labels or none, and which classes it lets overlap."""

import pandas as pd
import streamlit as st

from dashboard import components, loaders, state
from dashboard.figures.confusion import matrix_figure
from dashboard.figures.overlap import labels_figure, rate_figure
from dashboard.figures.theme import HEAD_TITLES
from dashboard.rounding import percent
from pipelines.metrics import tables
from pipelines.schema import Head

_RATES = {"overlap": "two labels or more", "no label": "no label"}


def draw_rates(rates: dict[Head, pd.DataFrame]) -> None:
    """Shares of pixels with several labels and with none, against the threshold."""
    kinds = [rate for rate in _RATES if rate in set(rates["sigmoid"]["rate"])]
    for column, rate in zip(st.columns(len(kinds)), kinds, strict=True):
        at = {head: table[(table["rate"] == rate) & (table["threshold"] == _nearest)] for head, table in rates.items()}
        truth = float(rates["sigmoid"].query("rate == @rate")["truth"].iloc[0])
        said = ", ".join(f"{HEAD_TITLES[head]} {percent(float(row['value'].iloc[0]))}" for head, row in at.items())
        with column:
            figure = rate_figure(rates, theme, rate=rate, threshold=threshold)
            alt = f"Pixels with {_RATES[rate]} against the threshold; truth {percent(truth)}; at {_nearest}: {said}."
            components.chart(figure, key=f"rate_{rate}", alt=alt, name=f"{run.name}-{rate}")
    together = pd.concat([table.assign(head=head) for head, table in rates.items()], ignore_index=True)
    components.explain(
        "rates", together, key="rates", name=f"{run.name}-label-rates", percent=("value", "low", "high", "truth")
    )


def draw_pairs() -> None:
    """How much of each class also carries another: the truth, then each head."""
    found = {
        head: tables.pair_overlap(loaders.counts(run, split, head, seeds, "raw"), classes=classes, threshold=threshold)
        for head in run.heads
    }
    truth = next(iter(found.values()))
    shared = bool(truth["truth"].any())
    if not shared:
        st.caption("In the truth no two classes share a pixel: all that is seen here is the heads' own.")
    panels = [("Truth", truth, "truth_share", theme.text)] if shared else []
    panels += [(HEAD_TITLES[head], table, "predicted_share", theme.heads[head]) for head, table in found.items()]
    columns = st.columns(len(panels) if len(classes) <= 5 and len(panels) <= 3 else 2)
    for index, (title, table, value, color) in enumerate(panels):
        figure = matrix_figure(
            table, theme, rows="first", columns="second", value=value, title=title, color=color, top=1.0,
            row_title="share of", column_title="that is also",
        )  # fmt: skip
        with columns[index % len(columns)]:
            components.chart(
                figure, key=f"pairs_{title}", alt=f"{title}: share of each class that also carries another class.",
                name=f"{run.name}-pairs-{title}",
            )  # fmt: skip
    together = pd.concat([table.assign(head=head) for head, table in found.items()], ignore_index=True)
    components.explain(
        "pairs", together, key="pairs", name=f"{run.name}-pairs", percent=("predicted_share", "truth_share")
    )


run = state.current_run()
theme = state.theme()
dataset = loaders.dataset(run)
classes = dataset["classes"]
st.title("Overlap")
with st.container(horizontal=True, vertical_alignment="bottom"):
    split = state.split_of(run)
    seeds = state.seeds_of(run)
    region = state.region_of(("all", "boundary", "interior"), width=run.facts["boundary_width"])
    with st.container(width=340):
        threshold = state.threshold()
_nearest = min(tables.THRESHOLDS, key=lambda one: abs(one - threshold))

if len(classes) == 1:
    components.empty(
        "One class cannot overlap", "What is left is how much of the image each head leaves without a label."
    )
draw_rates({head: loaders.label_rates(run, split, head, seeds, region) for head in run.heads})

numbers = {
    head: tables.predicted_labels(loaders.counts(run, split, head, seeds, "raw"), threshold=threshold, region=region)
    for head in run.heads
}
components.chart(
    labels_figure(numbers, theme), key="labels", name=f"{run.name}-labels",
    alt=f"Predicted number of labels at p > {threshold:.2f}, by true number of labels and head.",
)  # fmt: skip
components.explain(
    "labels", pd.concat([table.assign(head=head) for head, table in numbers.items()], ignore_index=True),
    key="labels_table", name=f"{run.name}-labels", percent=("share",),
)  # fmt: skip

if len(classes) > 1:
    st.subheader("Which classes share pixels")
    draw_pairs()
