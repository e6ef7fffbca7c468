"""A verdict to its figures: paired differences with the margin, and every score."""

import pandas as pd

from dashboard import loaders, tables
from dashboard.figures.forest import forest_figure
from dashboard.figures.theme import HEAD_TITLES, Theme
from dashboard.panels.base import Panel, Picture
from dashboard.rounding import with_interval
from pipelines.schema import Split, Variant
from pipelines.storage import Run
from pipelines.verdict import Verdict


def forests(run: Run, theme: Theme, *, split: Split, verdict: Verdict) -> Panel:
    """Paired differences of Dice, and of the probabilities after temperature where one was fitted, by class."""
    frame = loaders.metrics(run)
    variant: Variant = "temperature" if (frame["variant"] == "temperature").any() else "raw"
    suffix = ", after temperature" if variant == "temperature" else ""
    plots: tuple[tuple[str, str, str, Variant], ...] = (
        ("dice", "Dice", "higher is better", "raw"),
        ("classwise_ece", "Classwise ECE", f"lower is better{suffix}", variant),
        ("brier", "Brier score", f"lower is better{suffix}", variant),
    )
    classes = loaders.dataset(run)["classes"]
    pictures, drawn = [], []
    for metric, title, subtitle, which in plots:
        table = tables.differences(
            frame, metric=metric, split=split, variant=which, contender=verdict.contender, classes=classes
        )
        drawn.append(table.assign(metric=metric, variant=which))
        if table.empty:
            continue
        mean = table.iloc[0]
        seeds = tables.seed_advantages(
            frame, metric=metric, split=split, variant=which, contender=verdict.contender, class_name=str(mean["class"])
        )
        figure = forest_figure(
            table, theme, title=title, contender=verdict.contender, margin=margin_of(metric, verdict, mean),
            seeds=seeds, subtitle=subtitle,
        )  # fmt: skip
        said = with_interval(mean["advantage"], mean["low"], mean["high"], signed=True)
        alt = f"{title}: advantage of sigmoid over {HEAD_TITLES[verdict.contender].lower()} by class; mean {said}."
        pictures.append(Picture(f"forest_{metric}", figure, alt))
    table = pd.concat(drawn, ignore_index=True)
    return Panel("forest", "Paired differences", tuple(pictures), table, "forest")


def margin_of(metric: str, verdict: Verdict, mean: pd.Series) -> float:
    """Half-width of the band of practical equivalence in the metric's own units; mean: a row of `differences`."""
    return {
        "dice": verdict.margin.dice,
        "classwise_ece": verdict.margin.classwise_ece,
        "brier": verdict.margin.brier_relative * float(mean["sigmoid"] + mean["softmax"]) / 2,
    }[metric]


def scores(run: Run, *, split: Split) -> pd.DataFrame:
    """Every metric's mean over the classes, as trained: rows of `tables.scores`."""
    return tables.scores(loaders.metrics(run), split=split, variant="raw", heads=run.heads)
