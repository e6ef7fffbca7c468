"""Tables to HTML: thinned out, with numbers as text."""

import math
from typing import Any, Final

import numpy as np
import pandas as pd

from dashboard.report.safe import escaped
from dashboard.rounding import NO_VALUE, count, minus, percent

MOST_ROWS: Final = 150  # of a table in the page; the whole one is in the CSV


def thinned(table: pd.DataFrame, most: int = MOST_ROWS) -> pd.DataFrame:
    """At most so many rows, evenly spaced, the first and the last among them."""
    if len(table) <= most:
        return table
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, most).round().astype(np.int64))]


def written(value: Any, *, share: bool = False) -> str:
    """One cell as text: numbers with four decimals or as percent, a dash for what has no value."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer) and not share:
        return minus(count(int(value)))
    if not isinstance(value, int | float | np.number):
        return NO_VALUE if value is None or value is pd.NA else str(value)
    number = float(value)
    if math.isnan(number):
        return NO_VALUE
    if math.isinf(number):
        return minus(f"{'-' if number < 0 else ''}∞")
    if share:
        return percent(number)
    if number and abs(number) < 1e-3:
        return minus(f"{number:.2e}")
    return minus(f"{number:.4f}" if abs(number) < 1000 else count(number))


def table_html(frame: pd.DataFrame, rows: list[list[str]], kind: str) -> str:
    """Rows of text under the frame's column names; columns of text are set left."""
    left = [not pd.api.types.is_numeric_dtype(frame[name]) for name in frame.columns]
    if "readable" in kind:
        left = [at == 0 for at in range(len(left))]
    head = "".join(f"<th{_side(side)}>{escaped(name)}" for name, side in zip(frame.columns, left, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{_side(side)}>{_cell(cell, kind, side)}" for cell, side in zip(row, left, strict=True))
        for row in rows
    )
    return f'<table class="{kind}"><thead><tr>{head}</thead><tbody>{body}</tbody></table>'


def _cell(text: str, kind: str, left: bool) -> str:
    """Text of a cell; in a table that is read, an interval stands under its value."""
    value, bracket, interval = text.partition(" [")
    if "readable" not in kind or left or not bracket:
        return escaped(text)
    return f"{escaped(value)}<small>[{escaped(interval)}</small>"


def _side(left: bool) -> str:
    return ' class="l"' if left else ""
