"""Verdict: which last layer, why, and what would change the answer."""

from typing import Any, Final, cast

import pandas as pd
import streamlit as st

from dashboard import components, loaders, state, tables
from dashboard.components import Card
from dashboard.figures.forest import forest_figure
from dashboard.figures.theme import HEAD_TITLES, Theme
from dashboard.rounding import typeset, with_interval
from pipelines.schema import Split, Variant
from pipelines.verdict import Margin, Reason, Verdict, decide

_DICE: Final = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
_ECE: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
_BRIER: Final = (0.01, 0.02, 0.05, 0.1, 0.2)


def choose_margin() -> Margin:
    """The margins of practical equivalence."""
    dice, other = st.columns([3, 1], vertical_alignment="bottom")
    with dice:
        chosen = st.select_slider(
            "Smallest difference in Dice that matters", _DICE, value=0.01, key="margin", bind="query-params"
        )
    with other, st.popover("More margins", width="stretch"):
        ece = st.select_slider("Classwise ECE", _ECE, value=0.01, key="margin_ece", bind="query-params")
        brier = st.select_slider(
            "Brier score, as a share of it", _BRIER, value=0.05, key="margin_brier", bind="query-params"
        )
    return Margin(dice=chosen, classwise_ece=ece, brier_relative=brier)


def color_of(supports: str, verdict: Verdict, theme: Theme) -> str:
    """A head's colour, or a quiet one for what speaks for neither."""
    if supports == "sigmoid":
        return theme.heads["sigmoid"]
    return theme.heads[verdict.contender] if supports == "softmax" else theme.muted


def reason_card(reason: Reason, verdict: Verdict, theme: Theme) -> Card:
    """A reason with its number."""
    tag = {"sigmoid": "speaks for sigmoid", "softmax": "speaks for softmax", "caution": "caution"}
    number = with_interval(reason.value, reason.low, reason.high, signed=True) if reason.low is not None else ""
    return Card(
        tag.get(reason.supports, "speaks for neither"), reason.title, number, typeset(reason.text),
        color_of(reason.supports, verdict, theme),
    )  # fmt: skip


def draw_forests(dataset: dict[str, Any], verdict: Verdict, variant: Variant, theme: Theme) -> None:
    """Paired differences in labels and in probabilities, side by side."""
    frame = loaders.metrics(run)
    split = cast(Split, verdict.split)
    suffix = ", after temperature" if variant == "temperature" else ""
    plots: tuple[tuple[str, str, str, Variant], ...] = (
        ("dice", "Dice", "higher is better", "raw"),
        ("classwise_ece", "Classwise ECE", f"lower is better{suffix}", variant),
        ("brier", "Brier score", f"lower is better{suffix}", variant),
    )  # fmt: skip
    drawn = []
    for column, (metric, title, subtitle, which) in zip(st.columns(3), plots, strict=True):
        table = tables.differences(
            frame, metric=metric, split=split, variant=which, contender=verdict.contender, classes=dataset["classes"]
        )
        drawn.append(table.assign(metric=metric, variant=which))
        if table.empty:
            continue
        mean = table.iloc[0]
        margin = {
            "dice": verdict.margin.dice, "classwise_ece": verdict.margin.classwise_ece,
            "brier": verdict.margin.brier_relative * (mean["sigmoid"] + mean["softmax"]) / 2,
        }[metric]  # fmt: skip
        seeds = tables.seed_advantages(
            frame, metric=metric, split=split, variant=which, contender=verdict.contender, class_name=str(mean["class"])
        )
        figure = forest_figure(
            table, theme, title=title, contender=verdict.contender, margin=margin, seeds=seeds, subtitle=subtitle
        )
        said = with_interval(mean["advantage"], mean["low"], mean["high"], signed=True)
        with column:
            alt = f"{title}: advantage of sigmoid over {HEAD_TITLES[verdict.contender].lower()} by class; mean {said}."
            components.chart(figure, key=f"forest_{metric}", alt=alt, name=f"{run.name}-{metric}")
    components.explain("forest", pd.concat(drawn), key="forest", name=f"{run.name}-differences")


run = state.current_run()
theme = state.theme()
dataset = loaders.dataset(run)
slot = st.container()
margin = choose_margin()
verdict = decide(dataset, loaders.metrics(run), run.facts, margin=margin)

with slot:
    answer = verdict.answer if verdict.answer in ("sigmoid", "softmax") else "neither"
    certainty = "several seeds and honest intervals" if verdict.confidence == "strong" else "tentative"
    components.headline(
        typeset(verdict.headline), above=f"Verdict, {certainty}", color=color_of(answer, verdict, theme), theme=theme
    )
    components.facts_line(state.run_facts(run, dataset, cast(Split, verdict.split)), theme)
variant: Variant = "temperature" if (loaders.metrics(run)["variant"] == "temperature").any() else "raw"
draw_forests(dataset, verdict, variant, theme)

st.subheader("Why")
components.cards([reason_card(reason, verdict, theme) for reason in verdict.reasons], theme)
if verdict.would_change:
    st.subheader("What would change this")
    components.bullets([typeset(line) for line in verdict.would_change], theme)

st.subheader("Scores")
scores = tables.scores(loaders.metrics(run), split=cast(Split, verdict.split), variant="raw", heads=run.heads)
readable = tables.readable_scores(scores)
components.small_table(list(readable.columns), readable.to_numpy().tolist(), theme)
components.explain("scores", scores, key="scores_raw", name=f"{run.name}-scores")
