"""Scores by class and by seed to figures: both heads in their colours, with what separates them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from dashboard.figures.drawn import Drawn
from dashboard.figures.theme import HEAD_MARKERS, HEAD_SHORT, Theme, axis, figure_of, layout
from pipelines.schema import MACRO, Head

POOLED: Final = "all pixels"
BY_IMAGE: Final = "mean of images"
_LANE: Final = 11  # CSS pixels of one marker with its interval
_LONGEST: Final = 18  # characters of a name on an axis


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
    shared = layout(
        theme, height=height_of(len(classes), len(heads)), title=title, subtitle=subtitle, legend=False,
        shapes=row_rules(len(classes), theme),
        xaxis=axis(theme, nticks=5, tickformat="~g", title=" "), yaxis=rows_axis(classes, theme),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def _interval_points(
    rows: pd.DataFrame, classes: Sequence[str], offset: float, theme: Theme, head: Head, *, hollow: bool
) -> dict[str, Any]:
    """One head with one average, over all classes."""
    color, average = theme.heads[head], BY_IMAGE if hollow else POOLED
    error = {
        "type": "data", "symmetric": False, "array": rows["high"] - rows["value"],
        "arrayminus": rows["value"] - rows["low"], "width": 0, "thickness": 1.3 if hollow else 2.2, "color": color,
    }  # fmt: skip
    marker = {"symbol": HEAD_MARKERS[head], "size": 8, "line": {"width": 1.5, "color": color}}
    return {
        "type": "scatter", "mode": "markers", "name": f"{HEAD_SHORT[head]}, {average}", "x": rows["value"],
        "y": [classes.index(name) + offset for name in rows["class"]], "error_x": error,
        "marker": marker | {"color": theme.surface if hollow else color},
        "customdata": [[class_title(name), *ends] for name, *ends in rows[["class", "low", "high"]].to_numpy()],
        "hovertemplate": f"<b>%{{customdata[0]}}</b><br>{HEAD_SHORT[head]}, {average}: %{{x:.4f}}"
        "<br>%{customdata[1]:.4f} to %{customdata[2]:.4f}<extra></extra>",
    }  # fmt: skip


def class_title(name: str) -> str:
    """A class as it is called in figures."""
    return "mean of classes" if name == MACRO else name


def row_rules(rows: int, theme: Theme) -> list[dict[str, Any]]:
    """Thin lines between rows, as one shape: Plotly takes its time with each."""
    path = " ".join(f"M0,{row - 0.5} L1,{row - 0.5}" for row in range(1, rows))
    line = {"type": "path", "path": path, "xref": "paper", "layer": "below", "line": {"color": theme.line, "width": 1}}
    return [line] if path else []


def rows_axis(names: Sequence[str], theme: Theme) -> dict[str, Any]:
    """A row for each name, from the top."""
    titles = [class_title(name) for name in names]
    written = [one if len(one) <= _LONGEST else f"{one[: _LONGEST - 1]}…" for one in titles]
    return axis(
        theme, range=[len(names) - 0.5, -0.5], showgrid=False, tickvals=list(range(len(names))), ticktext=written
    )  # fmt: skip


def seed_values_figure(table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str) -> Drawn:
    """A lane a head with a point for each seed; a thin line joins the heads of one seed.

    table: seed, head, value.
    """
    heads, seeds = list(dict.fromkeys(table["head"])), list(dict.fromkeys(table["seed"]))
    traces: list[dict[str, Any]] = []
    for seed in seeds:
        rows = table[table["seed"] == seed]
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": rows["value"], "y": [heads.index(one) for one in rows["head"]],
                "line": {"color": theme.line, "width": 1.5}, "hoverinfo": "skip",
            }
        )  # fmt: skip
    for head in heads:
        rows = table[table["head"] == head]
        marker = {"symbol": HEAD_MARKERS[head], "size": 11, "color": theme.heads[head]}
        traces.append(
            {
                "type": "scatter", "mode": "markers", "x": rows["value"], "y": [heads.index(head)] * len(rows),
                "marker": marker | {"line": {"width": 1.5, "color": theme.surface}}, "customdata": rows["seed"],
                "hovertemplate": f"<b>{HEAD_SHORT[head]}</b>, seed %{{customdata}}: %{{x:.4f}}<extra></extra>",
            }
        )  # fmt: skip
    yaxis = axis(
        theme, range=[len(heads) - 0.5, -0.5], showgrid=False, tickvals=list(range(len(heads))),
        ticktext=[HEAD_SHORT[head] for head in heads],
    )  # fmt: skip
    shared = layout(
        theme, height=250, title=title, subtitle=subtitle, legend=False, yaxis=yaxis,
        xaxis=axis(theme, nticks=5, tickformat="~g", title=" "),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def seed_differences_figure(
    table: pd.DataFrame, theme: Theme, *, contender: Head, margin: float, mean: Mapping[str, float], title: str,
    subtitle: str,
) -> Drawn:  # fmt: skip
    """A row a seed with its difference, below them the mean with its interval, and the margin's band.

    table: seed, difference, low, high; mean: value, low, high over the seeds.
    """
    names = [f"seed {seed}" for seed in table["seed"]] + ["mean"]
    rows = [*table[["difference", "low", "high"]].to_numpy().tolist(), [mean["value"], mean["low"], mean["high"]]]
    reach = 1.1 * max(*(abs(end) for row in rows for end in row if end == end), 1.5 * margin)
    frame = pd.DataFrame(rows, columns=["value", "low", "high"])
    is_mean = [False] * len(table) + [True]
    error = {
        "type": "data", "symmetric": False, "array": frame["high"] - frame["value"],
        "arrayminus": frame["value"] - frame["low"], "width": 0, "thickness": 1.8, "color": theme.muted,
    }  # fmt: skip
    points = {
        "type": "scatter", "mode": "markers", "x": frame["value"], "y": list(range(len(names))), "error_x": error,
        "marker": {
            "color": theme.text, "size": [12 if one else 8 for one in is_mean],
            "symbol": ["diamond" if one else "circle" for one in is_mean],
        },
        "customdata": [[name, *ends] for name, ends in zip(names, frame[["low", "high"]].to_numpy(), strict=True)],
        "hovertemplate": "<b>%{customdata[0]}</b>: %{x:+.4f}<br>%{customdata[1]:+.4f} to %{customdata[2]:+.4f}"
        "<extra></extra>",
    }  # fmt: skip
    shared = layout(
        theme, height=max(250, 130 + 28 * len(names)), title=title, subtitle=subtitle, legend=False,
        shapes=_zero_and_margin(margin, theme),
        xaxis=axis(
            theme, range=[-reach, reach], nticks=5, tickformat="~g",
            title=f"← {HEAD_SHORT[contender].lower()} better, sigmoid better →",
        ),
        yaxis=axis(
            theme, range=[len(names) - 0.5, -0.5], showgrid=False, tickvals=list(range(len(names))), ticktext=names
        ),
    )  # fmt: skip
    return figure_of({"data": [points], "layout": shared})


def _zero_and_margin(margin: float, theme: Theme) -> list[dict[str, Any]]:
    """No difference, and the band in which one is too small to matter."""
    tall = {"yref": "paper", "y0": 0, "y1": 1}
    band = {
        "type": "rect",
        "x0": -margin,
        "x1": margin,
        "layer": "below",
        "fillcolor": theme.band,
        "line": {"width": 0},
    }
    return [tall | band, tall | {"type": "line", "x0": 0, "x1": 0, "line": {"color": theme.muted, "width": 1}}]
