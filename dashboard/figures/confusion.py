"""Confusion and pair tables to heat maps: a head's in its own colour, a difference between both heads' colours."""

from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import Theme, axis, dress
from pipelines.arrays import Float64Array

_ZEROS = 6
_WRITTEN = 14  # up to so many rows the numbers stand in the cells


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
    scale = [[0.0, theme.band], [1.0, color]]
    cells = "%{z:.1%}" if form == "share" else "%{z:,.0f} pixels"
    heat = go.Heatmap(
        z=values, x=list(wide.columns), y=list(wide.index), zmin=0, zmax=largest or 1.0, colorscale=scale,
        showscale=False, xgap=1, ygap=1, hoverongaps=False,
        hovertemplate=f"{row_title} %{{y}}<br>{column_title} %{{x}}<br>{cells}<extra></extra>",
    )  # fmt: skip
    return _framed(heat, wide, _texts(values, form), theme, title, row_title, column_title, values / (largest or 1.0))


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
    scale = [[0.0, colors[1]], [0.5, theme.band], [1.0, colors[0]]]
    cells = "%{z:+.2%}" if form == "share" else "%{z:+,.0f} pixels"
    heat = go.Heatmap(
        z=values, x=list(wide.columns), y=list(wide.index), zmin=-reach, zmax=reach, colorscale=scale, showscale=False,
        xgap=1, ygap=1, hoverongaps=False,
        hovertemplate=f"{row_title} %{{y}}<br>{column_title} %{{x}}<br>{cells}<extra></extra>",
    )  # fmt: skip
    texts = _texts(values, form, signed=True)
    return _framed(heat, wide, texts, theme, title, row_title, column_title, np.abs(values) / reach)


def _wide(table: pd.DataFrame, rows: str, columns: str, value: str) -> pd.DataFrame:
    """Long to wide, rows in the order of first appearance and columns in the order of the rows."""
    wide = table.set_index([rows, columns])[value].unstack(columns)  # noqa: PD010 - each pair stands once
    down, across = list(dict.fromkeys(table[rows])), list(dict.fromkeys(table[columns]))
    return wide.loc[down, sorted(across, key=down.index) if set(across) <= set(down) else across]


def _texts(values: Float64Array, form: str, *, signed: bool = False) -> list[list[str]]:
    """What stands in the cells: whole percents or short counts; nothing where it rounds to nothing."""
    plus = "+" if signed else ""

    few = len(values) <= _ZEROS  # in a small matrix a 0 is worth saying

    def one(value: float) -> str:
        if not np.isfinite(value) or value == 0:
            return "0" if few and value == 0 else ""
        if form == "count":
            return _short(value, plus)
        percent = 100 * value
        if abs(percent) < (0.05 if signed else 0.5):
            return ""
        return f"{percent:{plus}.1f}" if signed and abs(percent) < 10 else f"{percent:{plus}.0f}"

    return [[one(float(value)) for value in row] for row in values]


def _short(value: float, plus: str) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:{plus}.3g}{unit}"
    return f"{value:{plus}.0f}"


def _framed(
    heat: go.Heatmap,
    wide: pd.DataFrame,
    texts: list[list[str]],
    theme: Theme,
    title: str,
    row_title: str,
    column_title: str,
    strength: Float64Array,
) -> go.Figure:
    figure = go.Figure(heat)
    n_rows, n_columns = wide.shape
    if n_rows <= _WRITTEN and n_columns <= _WRITTEN:
        size = 12 if n_rows <= 8 else 10
        for row in range(n_rows):
            for column in range(n_columns):
                if texts[row][column]:
                    strong = strength[row, column] > 0.6
                    ink = ("#12161c" if theme.dark else "#ffffff") if strong else theme.text
                    figure.add_annotation(
                        x=column, y=row, text=texts[row][column], showarrow=False, font={"size": size, "color": ink}
                    )
    figure.update_yaxes(axis(theme, autorange="reversed", title=row_title, showgrid=False, type="category"))
    figure.update_xaxes(axis(theme, title=column_title, showgrid=False, side="bottom", type="category"))
    figure.update_xaxes(tickangle=0 if n_columns <= 4 else -45)
    return dress(figure, theme, height=130 + min(max(34 * n_rows, 130), 520), title=title, legend=False)
