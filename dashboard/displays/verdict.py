"""The verdict as a page and a report show it: its reasons as boxes, and the figures that it rests on.

With a pair these are paired differences beside the margin; without one, what a head alone reaches.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import pandas as pd

from dashboard import queries, tables
from dashboard.charts import forest_figure
from dashboard.displays.accuracy import POOLED, class_title, values_figure
from dashboard.displays.base import Display, Picture
from dashboard.rounding import typeset, with_interval
from dashboard.theme import HEAD_TITLES, Theme
from pipelines.judgement import Reason, Verdict
from pipelines.schema import MACRO, Split, Variant
from pipelines.store.runs import Run
from pipelines.verdict.evidence import Contender

ALONE: Final = "OWN-"  # codes of what one head says of itself where there is none to compare it with
_SPEAKS: Final = {"sigmoid": "speaks for sigmoid", "softmax": "speaks for softmax", "caution": "caution"}
_SEVERITIES: Final = {"error": "#c0392b", "warning": "#b7791f", "note": "#6b7785"}


class Card(NamedTuple):
    """A box. tag: a few words above the title; title and number: may be empty; color: of tag and edge, "#rrggbb"."""

    tag: str
    title: str
    number: str
    text: str
    color: str


def certainty(verdict: Verdict) -> str:
    """The small line above a verdict's headline."""
    if verdict.missing is not None:
        return f"Half of the evidence: the {verdict.missing} head is missing"
    sure = "several seeds and honest intervals" if verdict.confidence == "strong" else "tentative"
    return f"Verdict, {sure}"


def color_of(supports: str, verdict: Verdict, theme: Theme) -> str:
    """A head's colour, or a quiet one for what speaks for neither."""
    if supports == "sigmoid":
        return theme.heads["sigmoid"]
    return theme.heads[verdict.contender or "softmax"] if supports == "softmax" else theme.muted


def reason_card(reason: Reason, verdict: Verdict, theme: Theme) -> Card:
    """A reason with its number, which has the decimals that it has in the text."""
    alone = reason.code.startswith(ALONE) and reason.supports == "neither"
    tag = "this head alone" if alone else _SPEAKS.get(reason.supports, "speaks for neither")
    number = ""
    if reason.low is not None:
        number = with_interval(reason.value, reason.low, reason.high, signed=True, fewest=3)
    return Card(tag, reason.title, number, typeset(reason.text), color_of(reason.supports, verdict, theme))


def finding_card(finding: Mapping[str, str]) -> Card:
    """A finding of the check of a data set: its severity, code and message."""
    severity = finding["severity"]
    return Card(f"{severity} · {finding['code']}", "", "", finding["message"], _SEVERITIES[severity])


def figures_of(run: Run, theme: Theme, *, split: Split, verdict: Verdict) -> Display:
    """What a verdict rests on: paired differences, or where there are none what is there reaches."""
    if verdict.contender is None:
        return levels(run, theme, split=split)
    return forests(run, theme, split=split, verdict=verdict, contender=verdict.contender)


def levels(run: Run, theme: Theme, *, split: Split) -> Display:
    """Dice, ECE and Brier score of every head by class with their intervals, for a run without a pair."""
    classes = list(queries.runs.dataset(run)["classes"])
    names = [MACRO, *classes] if len(classes) > 1 else classes
    absent = queries.counts.absent_classes(run, split)
    pictures, parts = [], []
    for metric, title, subtitle, variant in _plots(run):
        table = tables.levels(run, metric=metric, split=split, variant=variant, heads=run.heads, names=names)
        table = table[~table["class"].isin(absent)].reset_index(drop=True)
        parts.append(table.assign(metric=metric, variant=variant))
        if table.empty:
            continue
        figure = values_figure(table.assign(average=POOLED), theme, title=title, subtitle=subtitle)
        values = "; ".join(
            f"{HEAD_TITLES[row['head']]} {with_interval(row['value'], row['low'], row['high'])}"
            for row in table[table["class"] == names[0]].to_dict("records")
        )
        pictures.append(Picture(f"level_{metric}", figure, f"{title} by class; {class_title(names[0])}: {values}."))
    return Display("levels", "What is there reaches", tuple(pictures), pd.concat(parts, ignore_index=True), "levels")


def forests(run: Run, theme: Theme, *, split: Split, verdict: Verdict, contender: Contender) -> Display:
    """Paired differences of Dice, and of the probabilities after temperature where one was fitted, by class."""
    pictures, parts = [], []
    for metric, title, subtitle, variant in _plots(run):
        table, seeds = queries.scores.advantages(run, metric=metric, split=split, variant=variant, contender=contender)
        parts.append(table.assign(metric=metric, variant=variant))
        if table.empty:
            continue
        mean = table.iloc[0]
        figure = forest_figure(
            table,
            theme,
            title=title,
            contender=contender,
            margin=margin_of(metric, verdict, mean),
            seeds=seeds,
            subtitle=subtitle,
        )
        advantage = with_interval(mean["advantage"], mean["low"], mean["high"], signed=True)
        alt = f"{title}: advantage of sigmoid over {HEAD_TITLES[contender].lower()} by class; mean {advantage}."
        pictures.append(Picture(f"forest_{metric}", figure, alt))
    return Display("forest", "Paired differences", tuple(pictures), pd.concat(parts, ignore_index=True), "forest")


def margin_of(metric: str, verdict: Verdict, mean: pd.Series) -> float:
    """Half-width of the band of practical equivalence in the metric's own units; mean: a row of `differences`."""
    return {
        "dice": verdict.margin.dice,
        "classwise_ece": verdict.margin.classwise_ece,
        "brier": verdict.margin.brier_relative * float(mean["sigmoid"] + mean["softmax"]) / 2,
    }[metric.removeprefix("soft_")]


def _plots(run: Run) -> tuple[tuple[str, str, str, Variant], ...]:
    """Metric, title, subtitle and variant of what is drawn: probabilities after temperature where one was fitted."""
    variant: Variant = "temperature" if queries.scores.after_temperature(run) else "raw"
    suffix = ", after temperature" if variant == "temperature" else ""
    soft, against = ("soft_", ", soft truth") if run.facts.get("soft_truth") else ("", "")
    return (
        ("dice", "Dice", "higher is better", "raw"),
        (f"{soft}classwise_ece", f"Classwise ECE{against}", f"lower is better{suffix}", variant),
        (f"{soft}brier", f"Brier score{against}", f"lower is better{suffix}", variant),
    )
