"""How well labels fit: by class, by seed, image against image, and the spread of the images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from dashboard import queries
from dashboard.charts import (
    Drawn,
    Trace,
    around_zero,
    draw,
    forest_figure,
    interval,
    line,
    mark,
    points,
    shortened,
)
from dashboard.displays import base
from dashboard.displays.base import Display, Picture, Selection, selection_of
from dashboard.rounding import rounded, with_interval
from dashboard.tables import difference_row
from dashboard.theme import HEAD_MARKERS, HEAD_SHORT, HEAD_TITLES, LIGHT, Theme, faded
from pipelines.metrics import METRICS
from pipelines.metrics.estimates import QUANTILES
from pipelines.schema import ALL_CLASSES, ALL_SEEDS, MACRO, Head, Split
from pipelines.store.runs import Run

Order: TypeAlias = Literal["worst sigmoid", "worst softmax", "sigmoid better", "softmax better"]
ORDERS: Final[tuple[Order, ...]] = ("worst sigmoid", "worst softmax", "sigmoid better", "softmax better")
POOLED: Final = "all pixels"
BY_IMAGE: Final = "mean of images"
_SUFFIXES: Final = {POOLED: "", BY_IMAGE: "_image_mean"}
_LANE: Final = 11  # CSS pixels of one marker with its interval
_LONGEST: Final = 18  # characters of a name on an axis


class Gap(NamedTuple):
    """Sigmoid minus the contender, with its 95% interval."""

    value: float
    low: float
    high: float


def metric_names(run: Run, *, split: Split) -> list[str]:
    """Scores of labels that this run has, in the registry's order."""
    return [name for name in queries.scores.label_scores() if queries.scores.scored_regions(run, split, name)]


def class_names(run: Run, metric: str) -> list[str]:
    """The classes, or ALL_CLASSES for a metric that has none."""
    return list(queries.runs.dataset(run)["classes"]) if METRICS[metric].per_class else [ALL_CLASSES]


def averages(shown: Selection) -> dict[str, pd.DataFrame]:
    """Rows of `queries.scores.stored_rows` of both averages: over all pixels, and the mean over images.

    Of classes that no pixel carries there are none: a Dice of 0 says that they were called, nothing of how well.
    """
    run, split, metric, region = shown.run, shown.split, shown.metric, shown.region
    found = {
        name: queries.scores.stored_rows(run, split, f"{metric}{suffix}", region) for name, suffix in _SUFFIXES.items()
    }
    if found[BY_IMAGE].empty:
        found[BY_IMAGE] = queries.scores.image_means(run, split, metric, region)
    absent = base.classes_without_value(run, split, metric)
    return {name: rows[~rows["class"].isin(absent)] for name, rows in found.items()}


def row_names(shown: Selection) -> list[str]:
    """Names of the rows of a figure by class, the mean first; without the classes that no pixel carries."""
    names = class_names(shown.run, shown.metric)
    if len(names) == 1:
        return names
    absent = base.classes_without_value(shown.run, shown.split, shown.metric)
    return [MACRO, *(name for name in names if name not in absent)]


def first_name(shown: Selection) -> str:
    """Name of the rows of the class shown, or of the mean of the classes."""
    return shown.class_name or row_names(shown)[0]


def gaps(shown: Selection) -> dict[str, Gap]:
    """Sigmoid minus the contender in both averages."""
    name = first_name(shown)
    found = {}
    for average, frame in averages(shown).items():
        of_heads = (frame["head"] == difference_row(shown.contender)) & (frame["seed"] == shown.row_seed)
        rows = frame[of_heads & (frame["class"] == name)]
        if len(rows):
            found[average] = Gap(*(float(one) for one in rows[["value", "low", "high"]].to_numpy()[0]))
    return found


def of_classes(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Rows of these classes in their order."""
    rows = frame[frame["class"].isin(names)]
    return rows.sort_values("class", key=lambda one: one.map(list(names).index), kind="stable")


def values_of(shown: Selection, head: Head) -> pd.DataFrame:
    """A head's scores of single images, a column a class: see `queries.scores.image_values`."""
    return queries.scores.image_values(shown.run, shown.split, head, shown.seeds, shown.metric, shown.region)


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
    table = queries.scores.paired_values(
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


def by_class(subject: Run | Selection, theme: Theme = LIGHT, *, margin: float = 0.01) -> Display:
    """Every head by class with intervals, over all pixels and as the mean of images, and the paired differences.

    Without differences where there is no pair.
    """
    shown = selection_of(subject)
    known = shown.once(_known_by_class, theme)
    names, title = row_names(shown), METRICS[shown.metric].title
    look: dict[str, Any] = {"contender": shown.contender, "margin": margin, "height": known.height}
    forests = [_forest(rows, theme, average, names, title, **look) for average, rows in known.differences.items()]
    return Display("accuracy", f"{title} by class", (known.values, *forests), known.table, "accuracy")


class _KnownByClass(NamedTuple):
    """What of `by_class` no margin changes. height: of its figures; differences: by average, none without a pair."""

    values: Picture
    height: int
    differences: dict[str, pd.DataFrame]
    table: pd.DataFrame


def _known_by_class(shown: Selection, theme: Theme) -> _KnownByClass:
    names, title, heads = row_names(shown), METRICS[shown.metric].title, shown.run.heads
    found = {
        average: of_classes(frame[frame["seed"] == shown.row_seed], names) for average, frame in averages(shown).items()
    }
    every = pd.concat([rows.assign(average=average) for average, rows in found.items()], ignore_index=True)
    values = every[every["head"].isin(heads)]
    values = values.sort_values("head", key=lambda column: column.map(heads.index), kind="stable")
    figure = values_figure(values, theme, title=title, subtitle=f"filled {POOLED}, hollow {BY_IMAGE}")
    first = ", ".join(
        f"{HEAD_SHORT[row['head']]} {rounded(row['value'])} ({row['average']})"
        for row in values[values["class"] == names[0]].to_dict("records")
    )
    alt = f"{title} of each head by class, {POOLED} and {BY_IMAGE}; {first}."
    picture, height = Picture("accuracy_values", figure, alt), height_of(len(names), len(heads))
    pairs = found.items() if shown.pair else ()
    differences = {average: difference_rows(rows, shown.contender, names) for average, rows in pairs}
    return _KnownByClass(picture, height, differences, every[["class", "head", "average", "value", "low", "high"]])


def _forest(
    table: pd.DataFrame,
    theme: Theme,
    average: str,
    names: Sequence[str],
    title: str,
    *,
    contender: Head,
    margin: float,
    height: int,
) -> Picture:
    """Paired differences in one average, with the height and the rows of the values beside them."""
    theirs = HEAD_TITLES[contender].lower()
    difference = f"Sigmoid − {HEAD_SHORT[contender].lower()}"
    figure = forest_figure(table, theme, title=difference, contender=contender, margin=margin, subtitle=average)
    order = {"categoryorder": "array", "categoryarray": [class_title(name) for name in names]}
    rows_down = order | {"autorange": False, "range": [len(names) - 0.5, -0.5]}
    figure = figure.with_layout(height=height, yaxis=rows_down)
    first = with_interval(*table[["advantage", "low", "high"]].to_numpy()[0], signed=True) if len(table) else "none"
    alt = f"{title}, {average}: sigmoid minus {theirs} by class; {class_title(names[0])} {first}."
    return Picture(f"accuracy_difference_{'pooled' if average == POOLED else 'images'}", figure, alt)


def by_seed(subject: Run | Selection, theme: Theme = LIGHT, *, margin: float = 0.01) -> Display | None:
    """Every seed's score of every head, and its difference, over all pixels; all seeds, whichever are chosen.

    None when there is one seed.
    """
    shown = selection_of(subject)
    run, contender = shown.run, shown.contender
    if len(run.seeds) == 1:
        return None
    name = first_name(shown)
    frame = queries.scores.stored_rows(run, shown.split, shown.metric, shown.region)
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
    return Display("seed_spread", "Seeds", tuple(pictures), table, "seed_spread", columns=2)


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
        each.rename(columns={"value": "difference"})[["seed", "difference", "low", "high"]],
        theme,
        contender=contender,
        margin=margin,
        mean=overall,
        title=f"Sigmoid − {HEAD_SHORT[contender].lower()}",
        subtitle="of each seed, and their mean",
    )
    said = with_interval(overall["value"], overall["low"], overall["high"], signed=True)
    alt = f"{title}: sigmoid minus {HEAD_TITLES[contender].lower()} of each seed; mean {said}."
    return Picture("seed_differences", figure, alt)


def paired_images(
    subject: Run | Selection,
    theme: Theme = LIGHT,
    *,
    margin: float = 0.01,
    chosen: str | None = None,
    table: pd.DataFrame | None = None,
) -> Display | None:
    """The contender's score of each image and sigmoid's. None when no image has both, as where there is no pair.

    chosen: an image to ring. table: `image_pairs` of the same, where it is there already.
    """
    shown = selection_of(subject)
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
    return Display("image_pairs", "Image by image", (Picture("image_pairs", figure, alt),), table, "image_pairs")


def spread_of_images(subject: Run | Selection, theme: Theme = LIGHT) -> Display | None:
    """The images' scores by head: boxes of every class, or of one class with a point for each image.

    None when no image has a score.
    """
    shown = selection_of(subject)
    metric = shown.metric
    absent = base.classes_without_value(shown.run, shown.split, metric)
    names = class_names(shown.run, metric) if shown.class_name is None else [shown.class_name]
    names = [name for name in names if name not in absent]
    if not names:
        return None
    rows = queries.scores.stored_rows(shown.run, shown.split, metric, shown.region)
    pooled = rows[rows["seed"] == shown.row_seed].set_index(["head", "class"])["value"]
    found, single = [], []
    for head in shown.run.heads:
        values = values_of(shown, head)
        for name in names:
            known = values[name].dropna()
            quantiles = np.quantile(known, QUANTILES) if len(known) else [np.nan] * len(QUANTILES)
            entry = {"class": name, "head": head, "images": len(known), "pooled": pooled.get((head, name), np.nan)}
            entry |= {"mean": known.mean() if len(known) else np.nan}
            found.append(entry | {f"p{100 * q:g}": value for q, value in zip(QUANTILES, quantiles, strict=True)})
            single.append(pd.DataFrame({"image": known.index, "head": head, "value": known.to_numpy()}))
    table = pd.DataFrame(found)
    if not table["images"].any():
        return None
    title = f"{METRICS[metric].title} of single images"
    figure = boxes_figure(table, theme, values=pd.concat(single) if len(names) == 1 else None, title=title)
    top = table[table["class"] == names[0]].to_dict("records")
    said = ", ".join(f"{HEAD_SHORT[row['head']]} {rounded(row['p50'])}" for row in top)
    alt = f"{METRICS[metric].title} of single images by head; median of {class_title(names[0])}: {said}."
    return Display(
        "image_spread", "Spread of the images", (Picture("image_spread", figure, alt),), table, "image_spread"
    )


def height_of(classes: int, heads: int) -> int:
    """CSS pixels of a figure with a row for each class in which every head has two lanes."""
    return 150 + max(2 * _LANE * heads + 8, 32) * classes


def values_figure(table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str) -> Drawn:
    """Values with intervals: a row a class, in it a lane for each head and average, filled over all pixels and hollow
    for the mean of images.

    table: class, head, average (POOLED or BY_IMAGE), value, low, high; rows without a value are left out.
    """
    classes, heads = list(dict.fromkeys(table["class"])), list(dict.fromkeys(table["head"]))
    lanes = [(head, average) for head in heads for average in (POOLED, BY_IMAGE)]
    step = 0.8 / len(lanes)
    traces = []
    for lane, (head, average) in enumerate(lanes):
        rows = table[(table["head"] == head) & (table["average"] == average) & table["value"].notna()]
        offset = (lane - (len(lanes) - 1) / 2) * step
        traces.append(_interval_points(rows, classes, offset, theme, head, hollow=average == BY_IMAGE))
    return draw(
        traces,
        theme,
        height=height_of(len(classes), len(heads)),
        title=title,
        subtitle=subtitle,
        legend=False,
        shapes=row_rules(len(classes), theme),
        xaxis={"nticks": 5, "tickformat": "~g", "title": " "},
        yaxis=rows_axis(classes),
    )


def _interval_points(
    rows: pd.DataFrame, classes: Sequence[str], offset: float, theme: Theme, head: Head, *, hollow: bool
) -> dict[str, Any]:
    """One head with one average, over all classes."""
    color, average = theme.heads[head], BY_IMAGE if hollow else POOLED
    return points(
        rows["value"],
        [classes.index(name) + offset for name in rows["class"]],
        mark(theme.surface if hollow else color, 8, symbol=HEAD_MARKERS[head], edge=color, width=1.5),
        error_x=interval(rows, color, thickness=1.3 if hollow else 2.2),
        name=f"{HEAD_SHORT[head]}, {average}",
        customdata=[[class_title(name), *ends] for name, *ends in rows[["class", "low", "high"]].to_numpy()],
        hover=f"<b>%{{customdata[0]}}</b><br>{HEAD_SHORT[head]}, {average}: %{{x:.4f}}"
        "<br>%{customdata[1]:.4f} to %{customdata[2]:.4f}",
    )


def class_title(name: str) -> str:
    """A class as it is called in figures."""
    return "mean of classes" if name == MACRO else name


def row_rules(rows: int, theme: Theme) -> list[dict[str, Any]]:
    """Thin lines between rows, as one shape: Plotly takes its time with each."""
    path = " ".join(f"M0,{row - 0.5} L1,{row - 0.5}" for row in range(1, rows))
    line = {"type": "path", "path": path, "xref": "paper", "layer": "below", "line": {"color": theme.line, "width": 1}}
    return [line] if path else []


def rows_axis(names: Sequence[str]) -> dict[str, Any]:
    """Options of an axis with a row for each name, from the top."""
    written = [shortened(class_title(name), most=_LONGEST) for name in names]
    return {"range": [len(names) - 0.5, -0.5], "showgrid": False, "tickvals": [*range(len(names))], "ticktext": written}


def seed_values_figure(table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str) -> Drawn:
    """A lane a head with a point for each seed; a thin line joins the heads of one seed.

    table: seed, head, value.
    """
    heads, seeds = list(dict.fromkeys(table["head"])), list(dict.fromkeys(table["seed"]))
    traces = []
    for seed in seeds:
        rows = table[table["seed"] == seed]
        traces.append(line(rows["value"], [heads.index(one) for one in rows["head"]], theme.line, width=1.5))
    for head in heads:
        rows = table[table["head"] == head]
        marker = mark(theme.heads[head], 11, symbol=HEAD_MARKERS[head], edge=theme.surface, width=1.5)
        hover = f"<b>{HEAD_SHORT[head]}</b>, seed %{{customdata}}: %{{x:.4f}}"
        row = [heads.index(head)] * len(rows)
        traces.append(points(rows["value"], row, marker, hover=hover, customdata=rows["seed"]))
    return draw(
        traces,
        theme,
        height=250,
        title=title,
        subtitle=subtitle,
        legend=False,
        yaxis=rows_axis([HEAD_SHORT[head] for head in heads]),
        xaxis={"nticks": 5, "tickformat": "~g", "title": " "},
    )


def seed_differences_figure(
    table: pd.DataFrame,
    theme: Theme,
    *,
    contender: Head,
    margin: float,
    mean: Mapping[str, float],
    title: str,
    subtitle: str,
) -> Drawn:
    """A row a seed with its difference, below them the mean with its interval, and the margin's band.

    table: seed, difference, low, high; mean: value, low, high over the seeds.
    """
    names = [f"seed {seed}" for seed in table["seed"]] + ["mean"]
    rows = [*table[["difference", "low", "high"]].to_numpy().tolist(), [mean["value"], mean["low"], mean["high"]]]
    reach = 1.1 * max(*(abs(end) for row in rows for end in row if end == end), 1.5 * margin)
    frame = pd.DataFrame(rows, columns=["value", "low", "high"])
    is_mean = [False] * len(table) + [True]
    sizes, symbols = [12 if one else 8 for one in is_mean], ["diamond" if one else "circle" for one in is_mean]
    ends = frame[["low", "high"]].to_numpy()
    dots = points(
        frame["value"],
        list(range(len(names))),
        mark(theme.text, sizes, symbol=symbols),
        error_x=interval(frame, theme.muted, thickness=1.8),
        customdata=[[name, *pair] for name, pair in zip(names, ends, strict=True)],
        hover="<b>%{customdata[0]}</b>: %{x:+.4f}<br>%{customdata[1]:+.4f} to %{customdata[2]:+.4f}",
    )
    sides = f"← {HEAD_SHORT[contender].lower()} better, sigmoid better →"
    return draw(
        [dots],
        theme,
        height=max(250, 130 + 28 * len(names)),
        title=title,
        subtitle=subtitle,
        legend=False,
        shapes=around_zero(margin, theme),
        xaxis={"range": [-reach, reach], "nticks": 5, "tickformat": "~g", "title": sides},
        yaxis=rows_axis(names),
    )


def pairs_figure(
    table: pd.DataFrame, theme: Theme, *, contender: Head, margin: float, title: str, chosen: str | None = None
) -> Drawn:
    """A point an image: the contender's score to the right, sigmoid's upwards, with the diagonal and the margin's band.

    table: image, sigmoid, softmax (the contender's), difference, better ("sigmoid", the contender or "neither").
    chosen: an image to ring.
    """
    images, sigmoid, softmax = (table[column].to_numpy() for column in ("image", "sigmoid", "softmax"))
    low, high = (float(end([end(sigmoid), end(softmax)])) for end in (np.min, np.max))
    air = 0.05 * (high - low) or 0.05
    low, high = low - air, high + air
    traces = _pair_groups(table, theme, contender)
    ring = images == chosen
    around = mark(theme.text, 18, symbol="circle-open", width=2)
    traces.append(points(softmax[ring], sigmoid[ring], around, showlegend=False))
    common: dict[str, Any] = {"range": [low, high], "nticks": 6, "tickformat": "~g"}
    return draw(
        traces,
        theme,
        height=520,
        title=title,
        shapes=_diagonal(low, high, margin, theme),
        xaxis=common | {"title": HEAD_SHORT[contender]},
        yaxis=common | {"title": HEAD_SHORT["sigmoid"]},
    )


def _pair_groups(table: pd.DataFrame, theme: Theme, contender: Head) -> list[dict[str, Any]]:
    """A trace for the images that are better with each head, and for those within the margin."""
    theirs = HEAD_SHORT[contender].lower()
    groups = {
        "neither": ("within the margin", theme.muted, "circle-open"),
        "sigmoid": ("sigmoid better", theme.heads["sigmoid"], HEAD_MARKERS["sigmoid"]),
        contender: (f"{theirs} better", theme.heads[contender], HEAD_MARKERS[contender]),
    }
    columns = {name: table[name].to_numpy() for name in ("image", "sigmoid", "softmax", "difference", "better")}
    traces = []
    for group, (name, color, symbol) in groups.items():
        rows = {key: values[columns["better"] == group] for key, values in columns.items()}
        traces.append(
            points(
                rows["softmax"],
                rows["sigmoid"],
                mark(color, 8, symbol=symbol, opacity=0.85),
                name=f"{name}: {len(rows['image'])}",
                customdata=list(zip(rows["image"].tolist(), rows["difference"].tolist(), strict=True)),
                hover=f"<b>%{{customdata[0]}}</b><br>sigmoid %{{y:.4f}}, {theirs} %{{x:.4f}}"
                "<br>difference %{customdata[1]:+.4f}",
                selected={"marker": {"opacity": 1}},
                unselected={"marker": {"opacity": 0.85}},
            )
        )
    return traces


def _diagonal(low: float, high: float, margin: float, theme: Theme) -> list[dict[str, Any]]:
    """Where both heads are equal, and the band in which they are as good as that."""
    path = f"M{low},{low + margin} L{high},{high + margin} L{high},{high - margin} L{low},{low - margin} Z"
    ends = {"x0": low, "y0": low, "x1": high, "y1": high}
    return [
        {"type": "path", "path": path, "layer": "below", "fillcolor": theme.band, "line": {"width": 0}},
        {"type": "line", "layer": "below", "line": {"color": theme.muted, "width": 1, "dash": "dot"}} | ends,
    ]


def boxes_figure(table: pd.DataFrame, theme: Theme, *, values: pd.DataFrame | None, title: str) -> Drawn:
    """Boxes of the images' scores: a row a class, in it a lane for each head; a diamond is the score over all pixels.

    table: class, head, p5, p25, p50, p75, p95, pooled. values: image, head, value of the one class there is, to be
    drawn as points over the boxes; None for boxes alone.
    """
    classes, heads = list(dict.fromkeys(table["class"])), list(dict.fromkeys(table["head"]))
    step = 0.84 / len(heads)
    traces: list[dict[str, Any]] = []
    for lane, head in enumerate(heads):
        rows = table[(table["head"] == head) & table["p50"].notna()]
        offset = (lane - (len(heads) - 1) / 2) * step
        places = [classes.index(name) + offset for name in rows["class"]]
        traces += _boxes(rows, places, theme, head, width=0.8 * step)
        if values is not None:
            traces.append(_strip(values[values["head"] == head], offset, step, theme, head))
    return draw(
        traces,
        theme,
        height=140 + max(2 * 15 * len(heads), 40) * len(classes) + (80 if values is not None else 0),
        title=title,
        shapes=row_rules(len(classes), theme),
        xaxis={"nticks": 6, "tickformat": "~g", "title": " "},
        yaxis=rows_axis(classes),
    )


def _boxes(rows: pd.DataFrame, places: Sequence[float], theme: Theme, head: Head, *, width: float) -> list[Trace]:
    """Boxes from quantiles, and the pooled scores."""
    color = theme.heads[head]
    quantiles = {"q1": "p25", "median": "p50", "q3": "p75", "lowerfence": "p5", "upperfence": "p95"}
    box: Trace = {"type": "box", "orientation": "h", "name": HEAD_SHORT[head], "y": places, "width": width}
    box |= {name: rows[column] for name, column in quantiles.items()}
    box |= {"line": {"color": color, "width": 1.5}, "fillcolor": faded(color, 0.25)}
    box |= {"boxpoints": False, "hoverinfo": "skip"}
    pooled = points(
        rows["pooled"],
        places,
        mark(color, 9, symbol="diamond", edge=theme.surface, width=1.5),
        showlegend=False,
        customdata=rows[["p5", "p25", "p50", "p75", "p95", "images"]].to_numpy().tolist(),
        hover=f"<b>{HEAD_SHORT[head]}</b><br>over all pixels %{{x:.4f}}<br>median of %{{customdata[5]}} "
        "images %{customdata[2]:.4f}<br>half of them %{customdata[1]:.4f} to %{customdata[3]:.4f}"
        "<br>nine of ten %{customdata[0]:.4f} to %{customdata[4]:.4f}",
    )
    return [box, pooled]


def _strip(rows: pd.DataFrame, offset: float, step: float, theme: Theme, head: Head) -> Trace:
    """A point an image, spread over the box's height in a fixed pattern."""
    # Multiples of the golden ratio fill an interval evenly, whatever their number.
    spread = [offset + ((place * 0.6180339887) % 1 - 0.5) * 0.66 * step for place in range(len(rows))]
    marker = mark(theme.heads[head], 5, symbol=HEAD_MARKERS[head], opacity=0.55)
    hover = f"<b>%{{customdata}}</b><br>{HEAD_SHORT[head]} %{{x:.4f}}"
    return points(rows["value"], spread, marker, hover=hover, customdata=rows["image"], showlegend=False)
