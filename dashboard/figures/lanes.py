"""Tables with a row a class and head to figures in which each class is a group of lanes, one for each head."""

from typing import Any, Final

import numpy as np
import pandas as pd

from dashboard.figures.drawn import Drawn
from dashboard.figures.theme import HEAD_MARKERS, HEAD_TITLES, Theme, axis, faded, figure_of, layout
from dashboard.figures.thresholds import Scale, threshold_axis
from pipelines.schema import Head

_LANE: Final = 20  # CSS pixels of a head's lane
_LONGEST: Final = 18  # characters of a class's label


def choices_figure(table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str, scale: Scale = "p") -> Drawn:
    """Where the thresholds of each class lie: tuned, best here, and where best would be if p were calibrated.

    table: class, head, tuned, best, best_low, best_high, half_optimum of `metrics.decisions.threshold_choices`. A bar
    spans the thresholds that are as good as the best.
    """
    place, where = _places(table), _positions(table, scale)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip",
            "x": _broken(rows["best_low"], rows["best_high"]), "y": _broken(rows["place"], rows["place"]),
            "line": {"color": faded(theme.heads[head], 0.3), "width": 9},
        }
        for head, rows in _by_head(where.assign(place=place))
    ]  # fmt: skip
    kinds = (
        ("half_optimum", "half the greatest Dice", "line-ns-open", 13),
        ("best", "greatest Dice here", "star", 11), ("tuned", "tuned on validation", "diamond", 9),
    )  # fmt: skip
    for column, said, symbol, size in kinds:
        known = table[column].notna()
        if not known.any():
            continue
        rows, colors = table[known], [theme.heads[head] for head in table[known]["head"]]
        line = {"width": 2, "color": colors} if "open" in symbol else {"width": 1, "color": theme.surface}
        traces.append(
            {
                "type": "scatter", "mode": "markers", "x": where[known][column], "y": place[known],
                "showlegend": False,
                "marker": {"symbol": symbol, "size": size, "color": colors, "line": line}, "name": said,
                "customdata": [
                    [HEAD_TITLES[one["head"]], one["class"], one[column]] for one in rows.to_dict("records")
                ],
                "hovertemplate": f"<b>%{{customdata[0]}}</b>, %{{customdata[1]}}<br>{said}: %{{customdata[2]:.3f}}"
                "<extra></extra>",
            }
        )  # fmt: skip
        traces.append(_entry(said, {"symbol": symbol, "size": 10, "line": {"width": 2, "color": theme.muted}}, theme))
    middle, ends = (0.5, (-0.02, 1.02)) if scale == "p" else (0.0, (-6.0, 6.0))
    half = {"type": "line", "x0": middle, "x1": middle, "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    return _figure(
        traces, table, theme, title=title, subtitle=subtitle,
        shapes=[half | {"line": {"color": theme.line, "width": 2}}],
        xaxis=threshold_axis(theme, scale, ends),
    )  # fmt: skip


def dots_figure(
    table: pd.DataFrame,
    theme: Theme,
    *,
    title: str,
    subtitle: str = "",
    x_title: str,
    before: str = "",
    after: str = "",
) -> Drawn:
    """A value of each class and head, with its interval, and what it was before, hollow.

    table: class, head, value, low, high, and, if before is given, before; NaN where there is none. before, after: what
    hollow and filled points are called in the legend.
    """
    table = table.assign(place=_places(table))
    traces: list[dict[str, Any]] = []
    for head, rows in _by_head(table):
        color, symbol = theme.heads[head], HEAD_MARKERS[head]
        said = [[HEAD_TITLES[head], row["class"]] for row in rows.to_dict("records")]
        hover = "<b>%{customdata[0]}</b>, %{customdata[1]}<br>"
        if before:
            traces.append(_link(rows, color))
            traces.append(
                {
                    "type": "scatter", "mode": "markers", "x": rows["before"], "y": rows["place"], "showlegend": False,
                    "marker": {
                        "symbol": symbol, "size": 8, "color": theme.surface, "line": {"color": color, "width": 2}
                    },
                    "customdata": said, "hovertemplate": f"{hover}{before}: %{{x:.4f}}<extra></extra>",
                }
            )  # fmt: skip
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": HEAD_TITLES[head], "x": rows["value"], "y": rows["place"],
                "marker": {"symbol": symbol, "size": 9, "color": color}, "error_x": _bars(rows, color),
                "customdata": said,
                "hovertemplate": f"{hover}{after + ': ' if after else ''}%{{x:.4f}}<extra></extra>",
            }
        )  # fmt: skip
    if before:
        hollow = {"symbol": "circle", "color": theme.surface, "line": {"color": theme.muted, "width": 2}, "size": 8}
        traces += [_entry(before, hollow, theme), _entry(after, {"symbol": "circle", "size": 9}, theme)]
    return _figure(
        traces, table, theme, title=title, subtitle=subtitle, xaxis=axis(theme, title=x_title, nticks=6), shapes=[]
    )


def _figure(
    traces: list[dict[str, Any]], table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str,
    xaxis: dict[str, Any], shapes: list[dict[str, Any]],
) -> Drawn:  # fmt: skip
    names, heads = list(dict.fromkeys(table["class"])), table["head"].nunique()
    lane = heads + 1
    rows = axis(
        theme, tickvals=[lane * k + (heads - 1) / 2 for k in range(len(names))], showgrid=False,
        ticktext=[_short(name) for name in names], range=[lane * len(names) - 1, -1],
    )  # fmt: skip
    between = [
        {
            "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": lane * k - 1, "y1": lane * k - 1, "layer": "below",
            "line": {"color": theme.line, "width": 1},
        }
        for k in range(1, len(names))
    ]  # fmt: skip
    height = 170 + _LANE * lane * len(names)
    shared = layout(
        theme, height=height, title=title, subtitle=subtitle, shapes=shapes + between, xaxis=xaxis, yaxis=rows
    )
    return figure_of({"data": traces, "layout": shared})


def _places(table: pd.DataFrame) -> pd.Series:
    """Height of each row: classes from the top, their heads below each other, a free lane between classes."""
    names, heads = list(dict.fromkeys(table["class"])), list(dict.fromkeys(table["head"]))
    return table["class"].map(names.index) * (len(heads) + 1) + table["head"].map(heads.index)


def _positions(table: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """The same with thresholds as positions on the axis."""
    if scale == "p":
        return table
    columns = ["best_low", "best_high", "half_optimum", "best", "tuned"]
    with np.errstate(divide="ignore"):
        return table.assign(**{name: np.log(table[name]) - np.log1p(-table[name]) for name in columns})


def _by_head(table: pd.DataFrame) -> list[tuple[Head, pd.DataFrame]]:
    return [(head, table[table["head"] == head]) for head in dict.fromkeys(table["head"])]


def _broken(first: pd.Series, second: pd.Series) -> list[float | None]:
    """Pairs with a gap behind each, for lines that do not touch."""
    return [value for pair in zip(first, second, [None] * len(first), strict=True) for value in pair]


def _link(rows: pd.DataFrame, color: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "x": _broken(rows["before"], rows["value"]), "showlegend": False,
        "y": _broken(rows["place"], rows["place"]), "line": {"color": color, "width": 1.5}, "hoverinfo": "skip",
    }  # fmt: skip


def _bars(rows: pd.DataFrame, color: str) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "array": rows["high"] - rows["value"], "width": 0, "thickness": 1.5,
        "arrayminus": rows["value"] - rows["low"], "color": faded(color, 0.6),
    }  # fmt: skip


def _entry(said: str, marker: dict[str, Any], theme: Theme) -> dict[str, Any]:
    """A trace without points: what a shape means, in a colour of no head."""
    return {
        "type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": said, "hoverinfo": "skip",
        "marker": {"color": theme.muted} | marker,
    }  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
