"""Confusion and pair tables to heat maps: a head's in its own colour, a difference between both heads' colours."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from dashboard.figures.drawn import Drawn
from dashboard.figures.theme import Theme, axis, figure_of, ink_on, layout
from dashboard.rounding import minus
from pipelines.arrays import Float64Array

_WRITTEN = 14  # up to so many rows the numbers stand in the cells
_ZEROS = 6  # in a matrix of so many rows a 0 is worth saying
_DECIMALS = 8  # up to so many rows there is room for them
_LONGEST = 16  # characters of a name on an axis


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
    clickable: bool = False,
    chosen: tuple[str, str] | None = None,
) -> Drawn:
    """A heat map of values from 0 up.

    table: long, one row a cell. top: value of the full colour, None for the largest. clickable: whether points with
    the customdata (row, column, value) lie over the cells; chosen: row and column of a cell to frame.
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
    return _figure(
        heat, wide, written, inks, theme, title=title, titles=(row_title, column_title), clickable=clickable,
        chosen=chosen,
    )  # fmt: skip


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
    clickable: bool = False,
    chosen: tuple[str, str] | None = None,
) -> Drawn:
    """A heat map of signed values. colors: of the largest positive and of the largest negative value.

    clickable, chosen: as of `matrix_figure`.
    """
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
    return _figure(
        heat, wide, written, inks, theme, title=title, titles=(row_title, column_title), clickable=clickable,
        chosen=chosen,
    )  # fmt: skip


def _hover(row_title: str, column_title: str, cell: str) -> str:
    return f"{row_title} %{{y}}<br>{column_title} %{{x}}<br>{cell}<extra></extra>"


def _wide(table: pd.DataFrame, rows: str, columns: str, value: str) -> pd.DataFrame:
    """Long to wide, rows in the order of first appearance and columns in the order of the rows; each pair once.

    By hand, as pandas takes a hundred times as long for so few cells.
    """
    ys, xs = table[rows].tolist(), table[columns].tolist()
    down, across = list(dict.fromkeys(ys)), list(dict.fromkeys(xs))
    if set(across) <= set(down):
        across.sort(key=down.index)
    y_of, x_of = ({name: at for at, name in enumerate(names)} for names in (down, across))
    values = np.full((len(down), len(across)), np.nan)
    values[[y_of[name] for name in ys], [x_of[name] for name in xs]] = table[value].to_numpy(np.float64)
    return pd.DataFrame(values, index=down, columns=across)


def _texts(values: Float64Array, form: str, *, signed: bool = False) -> list[list[str]]:
    """What stands in the cells: whole percents or short counts; in a large matrix nothing where it rounds to 0."""
    few, fine = len(values) <= _ZEROS, len(values) <= _DECIMALS

    def one(value: float) -> str:
        if not np.isfinite(value):
            return ""
        if value == 0:
            return "0" if few else ""
        return (
            minus(_short(value, signed))
            if form == "count"
            else minus(_percent(value, few=few, fine=fine, signed=signed))
        )

    return [[one(float(value)) for value in row] for row in values]


def _inks(strength: Float64Array, colors: tuple[str, str], theme: Theme) -> list[list[str]]:
    """Readable colours of the numbers. strength: -1 to 1; colors: at 1 and at -1."""

    def one(value: float) -> str:
        full = colors[0] if value >= 0 else colors[1]
        return ink_on(theme, full, min(abs(value), 1.0)) if np.isfinite(value) else theme.text

    return [[one(float(value)) for value in row] for row in strength]


def _percent(value: float, *, few: bool, fine: bool, signed: bool) -> str:
    """few: whether to write what rounds to 0; fine: whether differences have a decimal."""
    percent = 100 * value
    if signed and fine and abs(percent) < 9.95:
        return f"{percent:+.1f}" if abs(percent) >= 0.05 else "0.0" if few else ""
    if signed:
        return f"{percent:+.0f}" if abs(percent) >= 0.5 else "0" if few else ""
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
    clickable: bool,
    chosen: tuple[str, str] | None,
) -> Drawn:
    """The heat map with its numbers. inks: their colours."""
    n_rows, n_columns = wide.shape
    body = min(max(34 * n_rows, 130), 520)
    heat |= {
        "type": "heatmap", "z": wide.to_numpy(np.float64), "x": list(wide.columns), "y": list(wide.index),
        "showscale": False, "xgap": 1, "ygap": 1, "hoverongaps": False,
    }  # fmt: skip
    shared = layout(
        theme, height=130 + body, title=title, legend=False,
        yaxis=_names_axis(wide.index, theme, title=titles[0], **_rows_down(n_rows, clickable)),
        xaxis=_names_axis(
            wide.columns, theme, title=titles[1], tickangle=0 if n_columns <= 4 else -45, range=[-0.5, n_columns - 0.5]
        ),
    )  # fmt: skip
    written = n_rows <= _WRITTEN and n_columns <= _WRITTEN
    size = 12 if n_rows <= 8 else 10
    if written and not clickable:
        shared["annotations"] = _annotations(texts, inks, size)
    shared["shapes"] = _frame(wide, chosen, theme)
    traces = [heat]
    if clickable:
        points = _points(wide, heat.pop("hovertemplate"), side=round(0.8 * body / n_rows))
        traces.append(points | (_numbers(wide, texts, inks, size) if written else {"mode": "markers"}))
        heat["hoverinfo"] = "skip"
        shared["hoverdistance"] = 60  # pixels: cells can be wider than the square in their middle
    return figure_of({"data": traces, "layout": shared})


def _annotations(texts: list[list[str]], inks: list[list[str]], size: int) -> list[dict[str, Any]]:
    """The cells' numbers."""
    return [
        {
            "x": column, "y": row, "text": text, "showarrow": False,
            "font": {"size": size, "color": inks[row][column]},
        }
        for row, some in enumerate(texts) for column, text in enumerate(some) if text
    ]  # fmt: skip


def _frame(wide: pd.DataFrame, chosen: tuple[str, str] | None, theme: Theme) -> list[dict[str, Any]]:
    """A frame around the chosen cell, where it is there."""
    if chosen is None or chosen[0] not in wide.index or chosen[1] not in wide.columns:
        return []
    y, x = list(wide.index).index(chosen[0]), list(wide.columns).index(chosen[1])
    frame = {"type": "rect", "x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
    return [frame | {"line": {"color": theme.text, "width": 2}}]


def _rows_down(rows: int, clickable: bool) -> dict[str, Any]:
    """Rows from the top. Left to itself an axis makes room around points, and the cells would shrink for it."""
    return {"range": [rows - 0.5, -0.5]} if clickable else {"autorange": "reversed"}


def _names_axis(names: pd.Index, theme: Theme, **options: Any) -> dict[str, Any]:
    """An axis of names, long ones shortened where they are written."""
    written = [shortened(str(name)) for name in names]
    return axis(
        theme, showgrid=False, type="category", tickvals=list(range(len(names))), ticktext=written, **options
    )  # fmt: skip


def shortened(name: str) -> str:
    """A name as it is written on an axis."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _points(wide: pd.DataFrame, hover: str, *, side: int) -> dict[str, Any]:
    """Invisible squares over the cells that have a value: heat maps report no clicks."""
    values = wide.to_numpy(np.float64)
    cells = [(wide.index[row], wide.columns[column], float(values[row, column])) for row, column in _filled(wide)]
    unseen = {"marker": {"opacity": 0}}
    return {
        "type": "scatter", "x": [cell[1] for cell in cells], "y": [cell[0] for cell in cells],
        "customdata": cells, "hovertemplate": hover.replace("%{z", "%{customdata[2]"), "showlegend": False,
        "marker": {"symbol": "square", "size": side, "opacity": 0}, "selected": unseen, "unselected": unseen,
    }  # fmt: skip


def _filled(wide: pd.DataFrame) -> list[tuple[int, int]]:
    """Places of the cells that have a value."""
    rows, columns = np.nonzero(np.isfinite(wide.to_numpy(np.float64)))
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _numbers(wide: pd.DataFrame, texts: list[list[str]], inks: list[list[str]], size: int) -> dict[str, Any]:
    """The cells' numbers as texts of the points: Plotly takes ten times as long to check an annotation each."""
    filled = _filled(wide)
    colors = [inks[row][column] for row, column in filled]
    font = {"size": size, "color": colors}
    return {
        "mode": "markers+text", "text": [texts[row][column] for row, column in filled], "textfont": font,
        "textposition": "middle center",
    }  # fmt: skip
