"""Scores of a run to the tables behind the page Accuracy."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from dashboard import loaders
from dashboard.figures.accuracy import BY_IMAGE, POOLED
from dashboard.panels import absence
from dashboard.panels.selection import Selection
from dashboard.tables import difference_row
from pipelines.metrics import METRICS
from pipelines.schema import ALL_CLASSES, MACRO, Head, Split
from pipelines.store import Run

Order: TypeAlias = Literal["worst sigmoid", "worst softmax", "sigmoid better", "softmax better"]
ORDERS: Final[tuple[Order, ...]] = ("worst sigmoid", "worst softmax", "sigmoid better", "softmax better")
_SUFFIXES: Final = {POOLED: "", BY_IMAGE: "_image_mean"}


class Gap(NamedTuple):
    """Sigmoid minus the contender, with its 95% interval."""

    value: float
    low: float
    high: float


def metric_names(run: Run, *, split: Split) -> list[str]:
    """Scores of labels that this run has, in the registry's order."""
    return [name for name in loaders.METRIC_NAMES if loaders.scored_regions(run, split, name)]


def class_names(run: Run, metric: str) -> list[str]:
    """The classes, or ALL_CLASSES for a metric that has none."""
    return list(loaders.dataset(run)["classes"]) if METRICS[metric].per_class else [ALL_CLASSES]


def averages(shown: Selection) -> dict[str, pd.DataFrame]:
    """Rows of `loaders.stored_rows` of both averages: over all pixels, and the mean over images.

    Of classes that no pixel carries there are none: a Dice of 0 says that they were called, nothing of how well.
    """
    run, split, metric, region = shown.run, shown.split, shown.metric, shown.region
    found = {name: loaders.stored_rows(run, split, f"{metric}{suffix}", region) for name, suffix in _SUFFIXES.items()}
    if found[BY_IMAGE].empty:
        found[BY_IMAGE] = loaders.image_means(run, split, metric, region)
    absent = absence.left_out(run, split, metric)
    return {name: rows[~rows["class"].isin(absent)] for name, rows in found.items()}


def row_names(shown: Selection) -> list[str]:
    """Names of the rows of a figure by class, the mean first; without the classes that no pixel carries."""
    names = class_names(shown.run, shown.metric)
    if len(names) == 1:
        return names
    absent = absence.left_out(shown.run, shown.split, shown.metric)
    return [MACRO, *(name for name in names if name not in absent)]


def first_name(shown: Selection) -> str:
    """Name of the rows of the class shown, or of the mean of the classes."""
    return shown.class_name or row_names(shown)[0]


def gaps(shown: Selection) -> dict[str, Gap]:
    """Sigmoid minus the contender in both averages."""
    name = first_name(shown)
    found = {}
    for average, frame in averages(shown).items():
        rows = frame[
            (frame["head"] == difference_row(shown.contender)) & (frame["class"] == name)
            & (frame["seed"] == shown.row_seed)
        ]  # fmt: skip
        if len(rows):
            found[average] = Gap(*(float(one) for one in rows[["value", "low", "high"]].to_numpy()[0]))
    return found


def of_classes(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Rows of these classes in their order."""
    rows = frame[frame["class"].isin(names)]
    return rows.sort_values("class", key=lambda one: one.map(list(names).index), kind="stable")


def values_of(shown: Selection, head: Head) -> pd.DataFrame:
    """A head's scores of single images, a column a class: see `loaders.image_values`."""
    return loaders.image_values(shown.run, shown.split, head, shown.seeds, shown.metric, shown.region)


def image_values(shown: Selection) -> pd.DataFrame:
    """The only head's score of each image that has it, the worst first: image, value.

    The mean of the classes is that of those that an image has.
    """
    values = values_of(shown, shown.contender)
    one = values.mean(axis=1) if shown.class_name is None else values[shown.class_name]
    return one.dropna().rename("value").sort_values(kind="stable").reset_index()


def difference_rows(rows: pd.DataFrame, contender: Head, names: Sequence[str]) -> pd.DataFrame:
    """Rows of `tables.differences` for the forest."""
    columns = (rows[name] for name in ("head", "class", "value", "low", "high"))
    numbers = {(head, name): ends for head, name, *ends in zip(*columns, strict=True)}
    found = []
    for name in names:
        value, low, high = numbers.get((difference_row(contender), name), (np.nan, np.nan, np.nan))
        if np.isnan(value):
            continue
        found.append((name, value, low, high, numbers["sigmoid", name][0], numbers[contender, name][0]))
    return pd.DataFrame(found, columns=["class", "advantage", "low", "high", "sigmoid", "softmax"])


def image_pairs(shown: Selection, *, margin: float = 0.01) -> pd.DataFrame:
    """Both heads' scores of each image that has them, most different first.

    The mean of the classes is that of those that an image has. Returns image, sigmoid, softmax (the contender's),
    difference, better ("sigmoid", the contender, or "neither" where the difference is within the margin).
    """
    table = loaders.paired_values(
        shown.run, shown.split, shown.contender, shown.seeds, shown.metric, shown.region, shown.class_name
    )
    difference = table["difference"].to_numpy()
    winner = np.where(difference > 0, "sigmoid", shown.contender)
    return table.assign(better=np.where(np.abs(difference) > margin, winner, "neither"))


def ordered(table: pd.DataFrame, order: Order) -> pd.DataFrame:
    """Rows of `image_pairs` in another order, those that the order is about first and no others."""
    if order.startswith("worst"):
        return table.sort_values(order.split()[1], kind="stable", ignore_index=True)
    sign = 1 if order == "sigmoid better" else -1
    rows = table[sign * table["difference"] > 0]
    return rows.sort_values("difference", ascending=sign < 0, kind="stable", ignore_index=True)
