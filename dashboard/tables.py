"""Estimates of a run to the tables that pages show."""

import math
from collections.abc import Sequence
from typing import Final

import pandas as pd

from dashboard.rounding import with_interval
from dashboard.theme import HEAD_SHORT
from pipelines.metrics import METRICS
from pipelines.schema import ALL_CLASSES, ALL_SEEDS, DIFFERENCES, MACRO, Head, Split, Variant
from pipelines.store.runs import Run

# In the order in which they are read: labels, probabilities, overlap.
SHOWN: Final = (
    "dice",
    "dice_tuned",
    "iou",
    "dice_image_mean",
    "iou_image_mean",
    "boundary_iou",
    "surface_dice",
    "average_precision",
    "classwise_ece",
    "top_label_ece",
    "soft_classwise_ece",
    "brier",
    "soft_brier",
    "nll",
    "soft_nll",
    "categorical_nll",
    "overlap_rate",
    "no_label_rate",
    "overlap_recall",
)
RATES: Final = ("overlap_rate", "no_label_rate", "overlap_recall")  # shown as percent


def difference_row(contender: Head) -> str:
    """`head` of the rows that hold sigmoid minus this contender."""
    return next(name for name, head in DIFFERENCES.items() if head == contender)


def differences(
    run: Run, *, metric: str, split: Split, variant: Variant, contender: Head, classes: Sequence[str]
) -> pd.DataFrame:
    """Paired differences of one metric over all pixels and seeds, the mean of the classes first.

    Returns rows class, advantage (of sigmoid: sigmoid minus contender, turned round where lower is better), low, high,
    sigmoid, softmax (the heads' own values). Classes without a value are left out.
    """
    rows = run.estimates(metric=metric, split=split, variant=variant)
    sign = _sign(metric)
    columns = (rows[name].tolist() for name in ("head", "class", "value", "low", "high"))
    numbers = {(head, name): interval for head, name, *interval in zip(*columns, strict=True)}
    entries = []
    for name in [MACRO, *classes] if len(classes) > 1 else list(classes):
        value, low, high = numbers.get((difference_row(contender), name), (math.nan, math.nan, math.nan))
        if math.isnan(value):
            continue
        low, high = (low, high) if sign > 0 else (-high, -low)
        ours, theirs = numbers["sigmoid", name][0], numbers[contender, name][0]
        entries.append((name, sign * value, low, high, ours, theirs))
    return pd.DataFrame(entries, columns=["class", "advantage", "low", "high", "sigmoid", "softmax"])


def levels(
    run: Run, *, metric: str, split: Split, variant: Variant, heads: Sequence[Head], names: Sequence[str]
) -> pd.DataFrame:
    """One metric of each head over all pixels and seeds: class, head, value, low, high; classes in the order given."""
    rows = run.estimates(metric=metric, head=heads, class_=names, split=split, variant=variant)
    place = rows["class"].map(list(names).index) * len(heads) + rows["head"].map(list(heads).index)
    rows = rows.assign(place=place)[rows["value"].notna()].sort_values("place")
    return (
        rows[["class", "head", "value", "low", "high"]].astype({"class": object, "head": object}).reset_index(drop=True)
    )


def seed_advantages(
    run: Run, *, metric: str, split: Split, variant: Variant, contender: Head, class_name: str
) -> list[float]:
    """Advantage of sigmoid in each seed, ascending by seed; empty when there is one seed."""
    head = difference_row(contender)
    rows = run.estimates(metric=metric, head=head, class_=class_name, split=split, seed=None, variant=variant)
    rows = rows[rows["seed"] != ALL_SEEDS].sort_values("seed")
    values = [_sign(metric) * float(value) for value in rows["value"]]
    return values if len(values) > 1 else []


def _sign(metric: str) -> float:
    """What makes an advantage of a difference."""
    return -1.0 if METRICS[metric].better == "lower" else 1.0


def scores(run: Run, *, split: Split, variant: Variant, heads: Sequence[Head]) -> pd.DataFrame:
    """Every metric's mean over the classes, one row a metric and head or difference: metric, head, value, low, high."""
    order = [*heads, *(name for name, head in DIFFERENCES.items() if head in heads)]
    rows = run.estimates(metric=SHOWN, head=order, class_=[MACRO, ALL_CLASSES], split=split, variant=variant)
    place = rows["metric"].map(SHOWN.index) * len(order) + rows["head"].map(order.index)
    return (
        rows.assign(place=place).sort_values("place")[["metric", "head", "value", "low", "high"]].reset_index(drop=True)
    )


def readable_scores(table: pd.DataFrame) -> pd.DataFrame:
    """The same with a row a metric, a column a head, and numbers rounded to their intervals."""
    entries = []
    for metric, rows in table.groupby("metric", sort=False):
        arrow = {"higher": "↑", "lower": "↓", "neither": ""}[METRICS[str(metric)].better]
        entry = {"Metric": f"{METRICS[str(metric)].title} {arrow}".strip()}
        for row in rows.to_dict("records"):
            head = str(row["head"])
            title = HEAD_SHORT.get(head) or f"Sigmoid − {HEAD_SHORT[DIFFERENCES[head]].lower()}"  # type: ignore[call-overload]
            numbers = (row["value"], row["low"], row["high"])
            entry[title] = _written(str(metric), numbers, signed=head in DIFFERENCES)
        entries.append(entry)
    return pd.DataFrame(entries)


def _written(metric: str, numbers: tuple[float, float, float], *, signed: bool) -> str:
    """Rates as percent, scores as they are."""
    if metric not in RATES:
        return with_interval(*numbers, signed=signed)
    value, low, high = (100 * number for number in numbers)
    return with_interval(value, low, high, signed=signed, unit="%")
