"""A report to one HTML page that needs nothing but a browser: style, script, plotly.js, figures and images inside.

The page's markup is `report.html`, a Jinja template that escapes whatever it is given; this module makes what it needs.
"""

import base64
import gzip
import hashlib
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dashboard.displays.base import Display, Picture
from dashboard.report.contents import Block, Chapter, Report, Summary, explained, table_name
from dashboard.report.describe import plural
from dashboard.rounding import NO_VALUE, count, minus, percent
from dashboard.safe import safe_color, script_json, template
from dashboard.theme import LIGHT, words_in

MOST_ROWS: Final = 150  # of a table in the page; the whole one is in the CSV
FONT: Final = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_NO_TITLE: Final = 10  # CSS pixels above a figure without a title
_HERE: Final = Path(__file__).parent


def page(report: Report, *, tables: str) -> str:
    """The whole page. tables: name of the export that holds the whole tables, such as "cells-tables"."""
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    plotly, plotly_hash = _plotly()
    # Nothing may be fetched, and only the two scripts of the page may run, whatever a name from a file says.
    policy = (
        f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src '{_hash(script)}' "
        f"'{plotly_hash}'; base-uri 'none'; form-action 'none'"
    )
    values = {"report": report, "tables": tables, "policy": policy, "style": style, "script": script, "plotly": plotly}
    return _template().render(values, id_of=_Ids(), table_name=table_name, figure_json=figure_json)


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    return template(
        _HERE / "report.html",
        color=safe_color,
        count=count,
        explained=explained,
        grid=grid,
        ink=lambda color: words_in(safe_color(color), LIGHT),
        plural=plural,
        readable_grid=readable_grid,
        runs=_runs,
        script_json=lambda value: Markup(script_json(value)),
        thinned=thinned,
    )


class _Ids:
    """Ids that no two elements of a page share."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, key: str) -> str:
        """An id made of a key: letters, digits and hyphens, with a number where it is taken."""
        stem = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-") or "part"
        number, name = 1, stem
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name)
        return name


def _runs(chapter: Chapter) -> list[tuple[bool, list[Block | Summary | Display]]]:
    """Blocks of a chapter in groups: displays of one figure that follow each other, and all else."""

    def is_small(block: Block | Summary | Display) -> bool:
        return isinstance(block, Display) and len(block.pictures) == 1

    return [(small, list(blocks)) for small, blocks in groupby(chapter.blocks, is_small)]


@lru_cache(maxsize=1)
def _plotly() -> tuple[str, str]:
    """plotly.js as the base64 of a gzip file, 2.0 MB instead of 4.8, and its hash for the policy."""
    code = get_plotlyjs()
    # Without a time in it, so that a run's report is the same to the byte whenever it is made.
    packed = gzip.compress(code.encode(), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode("ascii"), _hash(code)


def _hash(code: str) -> str:
    """Source of a script in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii")


# Figures and tables ------------------------------------------------------------------------------------------------


def figure_json(picture: Picture, *, above: str) -> dict[str, Any]:
    """Data and layout of a figure for plotly.js, in the page's font.

    above: what the page says above it; a title that is the same is left out.
    """
    figure = picture.figure.to_plotly_json()
    layout = {key: value for key, value in figure["layout"].items() if key != "template"}
    title, margin = layout.pop("title", {}), layout.get("margin", {})
    if title.get("text") == above and not title.get("subtitle") and {"t", "b"} <= margin.keys():
        layout |= {"margin": margin | {"t": _NO_TITLE}, "height": layout["height"] + _NO_TITLE - margin["t"]}
    else:
        layout["title"] = title | {"xref": "container"}  # under the text above, with the whole width to itself
    return {"data": figure["data"], "layout": layout | {"font": layout.get("font", {}) | {"family": FONT}}}


class Grid(NamedTuple):
    """A table as text. columns: name, whether its cells are set left; rows: by cell text, interval, set left."""

    columns: list[tuple[str, bool]]
    rows: list[list[tuple[str, str, bool]]]


def grid(table: pd.DataFrame, shares: Sequence[str]) -> Grid:
    """A table with numbers as text; columns of text are set left. shares: names of the columns that are shares."""
    left = [not pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    columns = [
        [(written(value, share=name in shares), "", side) for value in table[name]]
        for name, side in zip(table.columns, left, strict=True)
    ]
    names = list(map(str, table.columns))
    return Grid(list(zip(names, left, strict=True)), [list(row) for row in zip(*columns, strict=True)])


def readable_grid(table: pd.DataFrame) -> Grid:
    """A table of text whose first column is set left; elsewhere an interval stands under its value."""

    def cell(text: str, at: int) -> tuple[str, str, bool]:
        value, bracket, interval = text.partition(" [") if at else (text, "", "")
        return value, f"[{interval}" if bracket else "", at == 0

    names = [(str(name), at == 0) for at, name in enumerate(table.columns)]
    return Grid(names, [[cell(text, at) for at, text in enumerate(row)] for row in table.to_numpy()])


def thinned(table: pd.DataFrame, most: int = MOST_ROWS) -> pd.DataFrame:
    """At most so many rows, evenly spaced, the first and the last among them."""
    if len(table) <= most:
        return table
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, most).round().astype(np.int64))]


def written(value: Any, *, share: bool = False) -> str:
    """One cell as text: numbers with four decimals or as percent, a dash for what has no value.

    >>> written(12.5), written(0.107, share=True), written(None)
    ('12.5000', '10.7%', '–')
    """
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
