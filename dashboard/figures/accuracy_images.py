"""Scores of single images to figures: head against head, and how they spread."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dashboard.figures.accuracy import row_rules, rows_axis
from dashboard.figures.drawn import Drawn
from dashboard.figures.theme import HEAD_MARKERS, HEAD_SHORT, Theme, axis, faded, figure_of, layout
from pipelines.schema import Head


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
    marker = {"symbol": "circle-open", "size": 18, "color": theme.text, "line": {"width": 2}}
    traces.append(
        {"type": "scatter", "mode": "markers", "x": softmax[ring], "y": sigmoid[ring], "marker": marker}
        | {"hoverinfo": "skip", "showlegend": False}
    )
    common: dict[str, Any] = {"range": [low, high], "nticks": 6, "tickformat": "~g"}
    shared = layout(
        theme, height=520, title=title, shapes=_diagonal(low, high, margin, theme),
        xaxis=axis(theme, title=HEAD_SHORT[contender], **common),
        yaxis=axis(theme, title=HEAD_SHORT["sigmoid"], **common),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


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
        marker = {"symbol": symbol, "size": 8, "color": color, "opacity": 0.85}
        points = {"name": f"{name}: {len(rows['image'])}", "marker": marker}
        traces.append(_image_points(rows, theirs) | points)
    return traces


def _diagonal(low: float, high: float, margin: float, theme: Theme) -> list[dict[str, Any]]:
    """Where both heads are equal, and the band in which they are as good as that."""
    band = f"M{low},{low + margin} L{high},{high + margin} L{high},{high - margin} L{low},{low - margin} Z"
    return [
        {"type": "path", "path": band, "layer": "below", "fillcolor": theme.band, "line": {"width": 0}},
        {"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "layer": "below"}
        | {"line": {"color": theme.muted, "width": 1, "dash": "dot"}},
    ]  # fmt: skip


def _image_points(rows: Mapping[str, np.ndarray], theirs: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "x": rows["softmax"], "y": rows["sigmoid"],
        "customdata": list(zip(rows["image"].tolist(), rows["difference"].tolist(), strict=True)),
        "hovertemplate": f"<b>%{{customdata[0]}}</b><br>sigmoid %{{y:.4f}}, {theirs} %{{x:.4f}}"
        "<br>difference %{customdata[1]:+.4f}<extra></extra>",
        "selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 0.85}},
    }  # fmt: skip


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
    shared = layout(
        theme, height=140 + max(2 * 15 * len(heads), 40) * len(classes) + (80 if values is not None else 0),
        title=title, shapes=row_rules(len(classes), theme),
        xaxis=axis(theme, nticks=6, tickformat="~g", title=" "), yaxis=rows_axis(classes, theme),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def _boxes(
    rows: pd.DataFrame, places: Sequence[float], theme: Theme, head: Head, *, width: float
) -> list[dict[str, Any]]:
    """Boxes from quantiles, and the pooled scores."""
    color = theme.heads[head]
    box = {
        "type": "box", "orientation": "h", "name": HEAD_SHORT[head], "y": places, "q1": rows["p25"],
        "median": rows["p50"], "q3": rows["p75"], "lowerfence": rows["p5"], "upperfence": rows["p95"],
        "width": width, "line": {"color": color, "width": 1.5}, "fillcolor": faded(color, 0.25), "boxpoints": False,
        "hoverinfo": "skip",
    }  # fmt: skip
    marker = {"symbol": "diamond", "size": 9, "color": color, "line": {"width": 1.5, "color": theme.surface}}
    pooled = {
        "type": "scatter", "mode": "markers", "x": rows["pooled"], "y": places, "marker": marker, "showlegend": False,
        "customdata": rows[["p5", "p25", "p50", "p75", "p95", "images"]].to_numpy().tolist(),
        "hovertemplate": f"<b>{HEAD_SHORT[head]}</b><br>over all pixels %{{x:.4f}}<br>median of %{{customdata[5]}} "
        "images %{customdata[2]:.4f}<br>half of them %{customdata[1]:.4f} to %{customdata[3]:.4f}"
        "<br>nine of ten %{customdata[0]:.4f} to %{customdata[4]:.4f}<extra></extra>",
    }  # fmt: skip
    return [box, pooled]


def _strip(rows: pd.DataFrame, offset: float, step: float, theme: Theme, head: Head) -> dict[str, Any]:
    """A point an image, spread over the box's height in a fixed pattern."""
    # Multiples of the golden ratio fill an interval evenly, whatever their number.
    spread = [((place * 0.6180339887) % 1 - 0.5) * 0.66 * step for place in range(len(rows))]
    return {
        "type": "scatter", "mode": "markers", "x": rows["value"], "y": [offset + one for one in spread],
        "showlegend": False, "customdata": rows["image"],
        "marker": {"symbol": HEAD_MARKERS[head], "size": 5, "color": theme.heads[head], "opacity": 0.55},
        "hovertemplate": f"<b>%{{customdata}}</b><br>{HEAD_SHORT[head]} %{{x:.4f}}<extra></extra>",
    }  # fmt: skip
