"""Scores of a run to the panels of the page Accuracy: by class, by seed, image against image, and their spread."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from dashboard import loaders
from dashboard.figures.accuracy import (
    BY_IMAGE,
    POOLED,
    class_title,
    height_of,
    seed_differences_figure,
    seed_values_figure,
    values_figure,
)
from dashboard.figures.accuracy_images import boxes_figure, pairs_figure
from dashboard.figures.forest import forest_figure
from dashboard.figures.theme import HEAD_SHORT, HEAD_TITLES, Theme
from dashboard.panels import absence
from dashboard.panels.accuracy_tables import (
    averages,
    class_names,
    difference_rows,
    first_name,
    image_pairs,
    of_classes,
    row_names,
    values_of,
)
from dashboard.panels.base import Panel, Picture
from dashboard.panels.selection import Selection
from dashboard.rounding import rounded, with_interval
from dashboard.tables import difference_row
from pipelines.metrics import METRICS
from pipelines.metrics.distribution import QUANTILES
from pipelines.schema import ALL_SEEDS, Head


class ByClass(NamedTuple):
    """Scores by class. values: the picture of every head's; differences: average to rows of `tables.differences`."""

    values: Picture
    differences: Mapping[str, pd.DataFrame]
    table: pd.DataFrame


def by_class(shown: Selection, theme: Theme, *, margin: float = 0.01, known: ByClass | None = None) -> Panel:
    """Every head by class with intervals, over all pixels and as the mean of images, and the paired differences.

    Without differences where there is no pair. known: `known_by_class` of the same, where it is there already.
    """
    if known is None:
        known = known_by_class(shown, theme)
    names, title = row_names(shown), METRICS[shown.metric].title
    height = height_of(len(names), len(shown.run.heads))
    forests = [
        _forest(rows, theme, average, names, title, contender=shown.contender, margin=margin, height=height)
        for average, rows in known.differences.items()
    ]
    return Panel("accuracy", f"{title} by class", (known.values, *forests), known.table, "accuracy")


def known_by_class(shown: Selection, theme: Theme) -> ByClass:
    """What of the scores by class no margin changes."""
    names = row_names(shown)
    found = {
        average: of_classes(frame[frame["seed"] == shown.row_seed], names) for average, frame in averages(shown).items()
    }
    every = pd.concat([rows.assign(average=average) for average, rows in found.items()], ignore_index=True)
    return ByClass(
        _class_values(shown, theme, found),
        {average: difference_rows(rows, shown.contender, names) for average, rows in found.items() if shown.pair},
        every[["class", "head", "average", "value", "low", "high"]],
    )


def _class_values(shown: Selection, theme: Theme, found: Mapping[str, pd.DataFrame]) -> Picture:
    names, title, heads = row_names(shown), METRICS[shown.metric].title, shown.run.heads
    values = pd.concat([rows[rows["head"].isin(heads)].assign(average=average) for average, rows in found.items()])
    values = values.sort_values("head", key=lambda one: one.map(heads.index), kind="stable")
    figure = values_figure(values, theme, title=title, subtitle=f"filled {POOLED}, hollow {BY_IMAGE}")
    alt = f"{title} of each head by class, {POOLED} and {BY_IMAGE}; {_said(values, names[0])}."
    return Picture("accuracy_values", figure, alt)


def _forest(
    table: pd.DataFrame, theme: Theme, average: str, names: Sequence[str], title: str, *, contender: Head,
    margin: float, height: int,
) -> Picture:  # fmt: skip
    """Paired differences in one average, with the height and the rows of the values beside them."""
    theirs = HEAD_TITLES[contender].lower()
    figure = forest_figure(
        table, theme, title=f"Sigmoid − {HEAD_SHORT[contender].lower()}", contender=contender, margin=margin,
        subtitle=average,
    )  # fmt: skip
    order = {"categoryorder": "array", "categoryarray": [class_title(name) for name in names]}
    rows_down = order | {"autorange": False, "range": [len(names) - 0.5, -0.5]}
    figure = figure.with_layout(height=height, yaxis=rows_down)
    first = with_interval(*table[["advantage", "low", "high"]].to_numpy()[0], signed=True) if len(table) else "none"
    alt = f"{title}, {average}: sigmoid minus {theirs} by class; {class_title(names[0])} {first}."
    return Picture(f"accuracy_difference_{'pooled' if average == POOLED else 'images'}", figure, alt)


def _said(values: pd.DataFrame, name: str) -> str:
    """The first row in words."""
    rows = values[values["class"] == name].to_dict("records")
    return ", ".join(f"{HEAD_SHORT[row['head']]} {rounded(row['value'])} ({row['average']})" for row in rows)


def by_seed(shown: Selection, theme: Theme, *, margin: float = 0.01) -> Panel | None:
    """Every seed's score of every head, and its difference, over all pixels; all seeds, whichever are chosen.

    None when there is one seed.
    """
    run, contender = shown.run, shown.contender
    if len(run.seeds) == 1:
        return None
    name = first_name(shown)
    frame = loaders.stored_rows(run, shown.split, shown.metric, shown.region)
    frame = frame[(frame["class"] == name) & frame["value"].notna()]
    values = frame[frame["head"].isin(run.heads) & (frame["seed"] != ALL_SEEDS)].sort_values("seed", kind="stable")
    values = values.sort_values("head", key=lambda one: one.map(run.heads.index), kind="stable")
    rows = frame[frame["head"] == difference_row(contender)] if shown.pair else frame.iloc[:0]
    each, mean = rows[rows["seed"] != ALL_SEEDS].sort_values("seed"), rows[rows["seed"] == ALL_SEEDS]
    if values.empty or (shown.pair and mean.empty):
        return None
    title = f"{METRICS[shown.metric].title}, {class_title(name)}"
    pictures = [_seed_values(values, theme, title)]
    if len(mean):
        pictures.append(_seed_differences(each, mean.iloc[0], theme, title, contender=contender, margin=margin))
    table = pd.concat([values, each, mean], ignore_index=True)[["seed", "head", "class", "value", "low", "high"]]
    table["seed"] = table["seed"].map(lambda seed: "all" if seed == ALL_SEEDS else str(seed))
    return Panel("seed_spread", "Seeds", tuple(pictures), table, "seed_spread", columns=2)


def _seed_values(values: pd.DataFrame, theme: Theme, title: str) -> Picture:
    heads: list[Head] = list(dict.fromkeys(values["head"]))
    spread = ", ".join(
        f"{HEAD_SHORT[head]} {rounded(float(values[values['head'] == head]['value'].std()))}" for head in heads
    )
    figure = seed_values_figure(
        values[["seed", "head", "value"]], theme, title=title, subtitle=f"SD between seeds: {spread}"
    )
    return Picture(
        "seed_values", figure, f"{title}, of each seed and head; standard deviation between seeds: {spread}."
    )


def _seed_differences(
    each: pd.DataFrame, mean: pd.Series, theme: Theme, title: str, *, contender: Head, margin: float
) -> Picture:
    overall = {column: float(mean[column]) for column in ("value", "low", "high")}
    figure = seed_differences_figure(
        each.rename(columns={"value": "difference"})[["seed", "difference", "low", "high"]], theme,
        contender=contender, margin=margin, mean=overall, title=f"Sigmoid − {HEAD_SHORT[contender].lower()}",
        subtitle="of each seed, and their mean",
    )  # fmt: skip
    said = with_interval(overall["value"], overall["low"], overall["high"], signed=True)
    alt = f"{title}: sigmoid minus {HEAD_TITLES[contender].lower()} of each seed; mean {said}."
    return Picture("seed_differences", figure, alt)


def paired_images(
    shown: Selection, theme: Theme, *, margin: float = 0.01, chosen: str | None = None,
    table: pd.DataFrame | None = None,
) -> Panel | None:  # fmt: skip
    """The contender's score of each image and sigmoid's. None when no image has both, as where there is no pair.

    chosen: an image to ring. table: `accuracy_tables.image_pairs` of the same, where it is there already.
    """
    if not shown.pair:
        return None
    if table is None:
        table = image_pairs(shown, margin=margin)
    if table.empty:
        return None
    contender = shown.contender
    title = f"{METRICS[shown.metric].title} of each image, {class_title(first_name(shown))}"
    number = Counter(table["better"].tolist())
    alt = (
        f"{title}: sigmoid better beyond {margin:g} in {number['sigmoid']} images, "
        f"{HEAD_TITLES[contender].lower()} in {number[contender]}, neither in {number['neither']}."
    )
    figure = pairs_figure(table, theme, contender=contender, margin=margin, title=title, chosen=chosen)
    return Panel("image_pairs", "Image by image", (Picture("image_pairs", figure, alt),), table, "image_pairs")


def spread_of_images(shown: Selection, theme: Theme) -> Panel | None:
    """The images' scores by head: boxes of every class, or of one class with a point for each image.

    None when no image has a score.
    """
    metric = shown.metric
    absent = absence.left_out(shown.run, shown.split, metric)
    names = class_names(shown.run, metric) if shown.class_name is None else [shown.class_name]
    names = [name for name in names if name not in absent]
    if not names:
        return None
    rows = loaders.stored_rows(shown.run, shown.split, metric, shown.region)
    pooled = rows[rows["seed"] == shown.row_seed].set_index(["head", "class"])["value"]
    found, points = [], []
    for head in shown.run.heads:
        values = values_of(shown, head)
        for name in names:
            known = values[name].dropna()
            quantiles = np.quantile(known, QUANTILES) if len(known) else [np.nan] * len(QUANTILES)
            entry = {"class": name, "head": head, "images": len(known), "pooled": pooled.get((head, name), np.nan)}
            entry |= {"mean": known.mean() if len(known) else np.nan}
            found.append(entry | {f"p{100 * q:g}": value for q, value in zip(QUANTILES, quantiles, strict=True)})
            points.append(pd.DataFrame({"image": known.index, "head": head, "value": known.to_numpy()}))
    table = pd.DataFrame(found)
    if not table["images"].any():
        return None
    figure = boxes_figure(
        table, theme, values=pd.concat(points) if len(names) == 1 else None,
        title=f"{METRICS[metric].title} of single images",
    )  # fmt: skip
    top = table[table["class"] == names[0]].to_dict("records")
    said = ", ".join(f"{HEAD_SHORT[row['head']]} {rounded(row['p50'])}" for row in top)
    alt = f"{METRICS[metric].title} of single images by head; median of {class_title(names[0])}: {said}."
    return Panel("image_spread", "Spread of the images", (Picture("image_spread", figure, alt),), table, "image_spread")
