"""A verdict to its figures: paired differences with the margin, or what a head alone reaches, and every score."""

import pandas as pd

from dashboard import queries, tables
from dashboard.charts import forest_figure
from dashboard.displays.accuracy import POOLED, class_title, values_figure
from dashboard.displays.base import Display, Picture
from dashboard.rounding import with_interval
from dashboard.theme import HEAD_TITLES, Theme
from pipelines.schema import MACRO, Split, Variant
from pipelines.store import Run
from pipelines.verdict import Verdict
from pipelines.verdict.evidence import Contender


def certainty(verdict: Verdict) -> str:
    """The small line above a verdict's headline."""
    if verdict.missing is not None:
        return f"Half of the evidence: the {verdict.missing} head is missing"
    sure = "several seeds and honest intervals" if verdict.confidence == "strong" else "tentative"
    return f"Verdict, {sure}"


def _plots(run: Run) -> tuple[tuple[str, str, str, Variant], ...]:
    """Metric, title, subtitle and variant of what is drawn: probabilities after temperature where one was fitted."""
    variant: Variant = "temperature" if queries.after_temperature(run) else "raw"
    suffix = ", after temperature" if variant == "temperature" else ""
    return (
        ("dice", "Dice", "higher is better", "raw"),
        ("classwise_ece", "Classwise ECE", f"lower is better{suffix}", variant),
        ("brier", "Brier score", f"lower is better{suffix}", variant),
    )


def figures_of(run: Run, theme: Theme, *, split: Split, verdict: Verdict) -> Display:
    """What a verdict rests on: paired differences, or where there are none what is there reaches."""
    if verdict.contender is None:
        return levels(run, theme, split=split)
    return forests(run, theme, split=split, verdict=verdict, contender=verdict.contender)


def levels(run: Run, theme: Theme, *, split: Split) -> Display:
    """Dice, ECE and Brier score of every head by class with their intervals, for a run without a pair."""
    frame = queries.metrics(run)
    classes = list(queries.dataset(run)["classes"])
    names = [MACRO, *classes] if len(classes) > 1 else classes
    absent = queries.absent_classes(run, split)
    pictures, drawn = [], []
    for metric, title, subtitle, which in _plots(run):
        table = tables.levels(frame, metric=metric, split=split, variant=which, heads=run.heads, names=names)
        table = table[~table["class"].isin(absent)].reset_index(drop=True)
        drawn.append(table.assign(metric=metric, variant=which))
        if table.empty:
            continue
        figure = values_figure(table.assign(average=POOLED), theme, title=title, subtitle=subtitle)
        said = "; ".join(
            f"{HEAD_TITLES[row['head']]} {with_interval(row['value'], row['low'], row['high'])}"
            for row in table[table["class"] == names[0]].to_dict("records")
        )
        pictures.append(Picture(f"level_{metric}", figure, f"{title} by class; {class_title(names[0])}: {said}."))
    table = pd.concat(drawn, ignore_index=True)
    return Display("levels", "What is there reaches", tuple(pictures), table, "levels")


def forests(run: Run, theme: Theme, *, split: Split, verdict: Verdict, contender: Contender) -> Display:
    """Paired differences of Dice, and of the probabilities after temperature where one was fitted, by class."""
    pictures, drawn = [], []
    for metric, title, subtitle, which in _plots(run):
        table, seeds = queries.advantages(run, metric=metric, split=split, variant=which, contender=contender)
        drawn.append(table.assign(metric=metric, variant=which))
        if table.empty:
            continue
        mean = table.iloc[0]
        figure = forest_figure(
            table, theme, title=title, contender=contender, margin=margin_of(metric, verdict, mean),
            seeds=seeds, subtitle=subtitle,
        )  # fmt: skip
        said = with_interval(mean["advantage"], mean["low"], mean["high"], signed=True)
        alt = f"{title}: advantage of sigmoid over {HEAD_TITLES[contender].lower()} by class; mean {said}."
        pictures.append(Picture(f"forest_{metric}", figure, alt))
    table = pd.concat(drawn, ignore_index=True)
    return Display("forest", "Paired differences", tuple(pictures), table, "forest")


def margin_of(metric: str, verdict: Verdict, mean: pd.Series) -> float:
    """Half-width of the band of practical equivalence in the metric's own units; mean: a row of `differences`."""
    return {
        "dice": verdict.margin.dice,
        "classwise_ece": verdict.margin.classwise_ece,
        "brier": verdict.margin.brier_relative * float(mean["sigmoid"] + mean["softmax"]) / 2,
    }[metric]
