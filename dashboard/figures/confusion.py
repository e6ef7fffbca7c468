"""Confusion and pair tables to heat maps: a head's in its own colour, a difference between both heads' colours."""

from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import Theme, axis, ink_on, layout
from dashboard.rounding import minus
from pipelines.arrays import Float64Array

_WRITTEN = 14  # up to so many rows the numbers stand in the cells
_ZEROS = 6  # in a matrix of so many rows a 0 is worth saying


def matrix_figure(
    table: pd.DataFrame,
    theme: Theme,
    *,
    rows: str,
    columns: str,
    value: str,
    title: str,
    row_title: str,
    column_title: str,
    color: str,
    form: Literal["share", "count"] = "share",
    top: float | None = None,
) -> go.Figure:
    """A heat map of values from 0 up.

    table: long, one row a cell. top: value of the full colour, None for the largest.
    """
    wide = _wide(table, rows, columns, value)
    values = wide.to_numpy(np.float64)
    largest = top if top is not None else (float(np.nanmax(values)) if np.isfinite(values).any() else 1.0)
    largest = largest or 1.0
    heat = {
        "zmin": 0, "zmax": largest, "colorscale": [[0.0, theme.band], [1.0, color]],
        "hovertemplate": _hover(row_title, column_title, "%{z:.1%}" if form == "share" else "%{z:,.0f} pixels"),
    }  # fmt: skip
    written = _texts(values, form)
    inks = _inks(values / largest, (color, color), theme)
    return _figure(heat, wide, written, inks, theme, title=title, titles=(row_title, column_title))


def difference_figure(
    table: pd.DataFrame,
    theme: Theme,
    *,
    rows: str,
    columns: str,
    value: str,
    title: str,
    row_title: str,
    column_title: str,
    colors: tuple[str, str],
    form: Literal["share", "count"] = "share",
) -> go.Figure:
    """A heat map of signed values. colors: of the largest positive and of the largest negative value."""
    wide = _wide(table, rows, columns, value)
    values = wide.to_numpy(np.float64)
    reach = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    reach = reach or 1.0
    heat = {
        "zmin": -reach, "zmax": reach, "colorscale": [[0.0, colors[1]], [0.5, theme.band], [1.0, colors[0]]],
        "hovertemplate": _hover(row_title, column_title, "%{z:+.2%}" if form == "share" else "%{z:+,.0f} pixels"),
    }  # fmt: skip
    written = _texts(values, form, signed=True)
    inks = _inks(values / reach, colors, theme)
    return _figure(heat, wide, written, inks, theme, title=title, titles=(row_title, column_title))


def _hover(row_title: str, column_title: str, cell: str) -> str:
    return f"{row_title} %{{y}}<br>{column_title} %{{x}}<br>{cell}<extra></extra>"


def _wide(table: pd.DataFrame, rows: str, columns: str, value: str) -> pd.DataFrame:
    """Long to wide, rows in the order of first appearance and columns in the order of the rows."""
    wide = table.set_index([rows, columns])[value].unstack(columns)  # noqa: PD010 - each pair stands once
    down, across = list(dict.fromkeys(table[rows])), list(dict.fromkeys(table[columns]))
    return wide.loc[down, sorted(across, key=down.index) if set(across) <= set(down) else across]


def _texts(values: Float64Array, form: str, *, signed: bool = False) -> list[list[str]]:
    """What stands in the cells: whole percents or short counts; in a large matrix nothing where it rounds to 0."""
    few = len(values) <= _ZEROS

    def one(value: float) -> str:
        if not np.isfinite(value):
            return ""
        if value == 0:
            return "0" if few else ""
        return minus(_short(value, signed)) if form == "count" else minus(_percent(value, few=few, signed=signed))

    return [[one(float(value)) for value in row] for row in values]


def _inks(strength: Float64Array, colors: tuple[str, str], theme: Theme) -> list[list[str]]:
    """Readable colours of the numbers. strength: -1 to 1; colors: at 1 and at -1."""

    def one(value: float) -> str:
        full = colors[0] if value >= 0 else colors[1]
        return ink_on(theme, full, min(abs(value), 1.0)) if np.isfinite(value) else theme.text

    return [[one(float(value)) for value in row] for row in strength]


def _percent(value: float, *, few: bool, signed: bool) -> str:
    percent = 100 * value
    if signed:
        return f"{percent:+.1f}" if 0.05 <= abs(percent) < 10 else f"{percent:+.0f}" if abs(percent) >= 10 else ""
    if percent < 0.5:
        return "<1" if few else ""
    return f"{percent:.0f}"


def _short(value: float, signed: bool) -> str:
    plus = "+" if signed else ""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:{plus}.3g}{unit}"
    return f"{value:{plus}.0f}"


def _figure(
    heat: dict[str, Any],
    wide: pd.DataFrame,
    texts: list[list[str]],
    inks: list[list[str]],
    theme: Theme,
    *,
    title: str,
    titles: tuple[str, str],
) -> go.Figure:
    """The heat map with its numbers. inks: their colours."""
    n_rows, n_columns = wide.shape
    heat |= {
        "type": "heatmap", "z": wide.to_numpy(np.float64), "x": list(wide.columns), "y": list(wide.index),
        "showscale": False, "xgap": 1, "ygap": 1, "hoverongaps": False,
    }  # fmt: skip
    shared = layout(
        theme, height=130 + min(max(34 * n_rows, 130), 520), title=title, legend=False,
        yaxis=axis(theme, autorange="reversed", title=titles[0], showgrid=False, type="category"),
        xaxis=axis(theme, title=titles[1], showgrid=False, type="category", tickangle=0 if n_columns <= 4 else -45),
    )  # fmt: skip
    if n_rows <= _WRITTEN and n_columns <= _WRITTEN:
        size = 12 if n_rows <= 8 else 10
        shared["annotations"] = [
            {
                "x": column, "y": row, "text": texts[row][column], "showarrow": False,
                "font": {"size": size, "color": inks[row][column]},
            }
            for row in range(n_rows) for column in range(n_columns) if texts[row][column]
        ]  # fmt: skip
    return go.Figure({"data": [heat], "layout": shared})
