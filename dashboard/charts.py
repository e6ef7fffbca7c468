"""The kinds of picture that several displays share, and what every figure is made of."""

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.rounding import minus
from dashboard.theme import FONT, HEAD_SHORT, Theme, ink_on, words_in
from pipelines.arrays import Float64Array
from pipelines.schema import MACRO, Head

Trace: TypeAlias = dict[str, Any]
VALIDATE: Final = "VALIDATE_FIGURES"
# What Plotly's script reads as numbers in base64; int64 it cannot.
_TYPED: Final = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
_AS_THEY_ARE: Final = frozenset(("geojson", "layer", "layers", "range"))
_CONTENT: Final = "_content"
_HOVER = (
    "<b>%{y}</b><br>sigmoid %{customdata[0]:.4f}, softmax %{customdata[1]:.4f}"
    "<br>advantage of sigmoid %{x:+.4f} (%{customdata[2]:+.4f} to %{customdata[3]:+.4f})"
)
_WRITTEN = 14  # up to so many rows the numbers stand in the cells
_ZEROS = 6  # in a matrix of so many rows a 0 is worth saying
_DECIMALS = 8  # up to so many rows there is room for them
# A matrix of which classes share pixels, for `matrix_figure`.
SHARED: Final[dict[str, Any]] = {
    "rows": "first",
    "columns": "second",
    "row_title": "share of",
    "column_title": "that is also",
    "top": 1.0,
}


class Drawn(go.Figure):  # type: ignore[misc]
    """A figure that is sent to the browser as it was given, and that can be looked into and changed like any other.

    Plotly checks every property of a figure in Python and copies each twice on its way to JSON, which takes more than
    half of the time of a page. What nobody has looked into needs neither: its properties are made from "data" and
    "layout" when one of them is first asked for.
    """

    def __init__(self, content: dict[str, Any], **options: Any) -> None:
        self.__dict__[_CONTENT] = content
        if options.get("_validate", True):
            self._take_apart(**options)

    def _take_apart(self, **options: Any) -> None:
        content = self.__dict__.pop(_CONTENT)
        super().__init__(content, **options)

    def __getattr__(self, name: str) -> Any:
        if _CONTENT not in self.__dict__ or name.startswith("__"):
            raise AttributeError(name)
        self._take_apart(_validate=False)
        return getattr(self, name)

    def with_layout(self, **options: Any) -> "Drawn":
        """The same figure with more of a layout; mappings are added to those that are there."""
        content = self.__dict__.get(_CONTENT)
        if content is None:
            self.update_layout(**options)
            return self
        return Drawn(content | {"layout": _merged(content["layout"], options)}, _validate=False)

    def to_dict(self) -> dict[str, Any]:
        """The figure as plain values, arrays in base64."""
        if _CONTENT in self.__dict__:
            content: dict[str, Any] = encoded(self.__dict__[_CONTENT])
            return content
        return dict(super().to_dict())


def encoded(value: Any) -> Any:
    """A figure's content with its arrays as Plotly's script reads them; nothing of what was given is changed."""
    if isinstance(value, dict):
        return {key: one if key in _AS_THEY_ARE else encoded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [encoded(one) for one in value] if value and isinstance(value[0], dict) else value
    return value if isinstance(value, str) or not hasattr(value, "__array__") else _typed(np.asarray(value))


def _typed(array: np.ndarray) -> Any:
    """An array of numbers in base64, any other as a list. Whole numbers take as few bytes as hold the largest."""
    if array.dtype.kind in "iu" and array.itemsize == 8 and array.size:
        fitting = np.promote_types(np.min_scalar_type(array.min()), np.min_scalar_type(array.max()))
        array = array.astype(fitting) if fitting.itemsize < 8 else array
    if array.dtype.name not in _TYPED or not array.size or not array.ndim:
        return array.tolist()
    content = {"dtype": array.dtype.str[1:], "bdata": base64.b64encode(array.tobytes()).decode("ascii")}
    return content | ({"shape": ", ".join(map(str, array.shape))} if array.ndim > 1 else {})


def _merged(one: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(one[key], value) if isinstance(value, dict) and isinstance(one.get(key), dict) else value
        for key, value in more.items()
    }
    return {**one, **both}


def axis(theme: Theme, **options: Any) -> dict[str, Any]:
    """Options of an axis: a thin grid, no box, small outside ticks."""
    words = options.pop("title", None)
    return {
        "gridcolor": theme.line,
        "linecolor": theme.line,
        "zeroline": False,
        "ticks": "",
        "tickfont": {"color": theme.muted, "size": 12},
        "title": {"font": {"color": theme.muted, "size": 13}, "standoff": 8} | ({"text": words} if words else {}),
        "automargin": True,
        "fixedrange": True,
    } | options


def layout(
    theme: Theme, *, height: int, title: str = "", subtitle: str = "", legend: bool = True, **more: Any
) -> dict[str, Any]:
    """The shared look of a figure as a Plotly layout; height in CSS pixels, more: axes and the like.

    Figures are made in one go from plain dicts: adding traces and axes one by one takes Plotly twenty times as long.
    """
    heading = {"text": title, "x": 0, "xref": "paper", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 8}}
    heading |= {"font": {"size": 15, "color": theme.text, "weight": 600}}
    if subtitle:
        heading["subtitle"] = {"text": subtitle, "font": {"size": 12, "color": theme.muted}}
        # From the plot upwards: hung from the top, Plotly lets a subtitle down by a line more.
        heading |= {"yref": "paper", "yanchor": "bottom", "pad": {"b": 34 + 16 * subtitle.count("<br>")}}
    margin = {"l": 8, "r": 12, "t": 56 if subtitle else 38 if title else 10, "b": 8}
    # Below the axis, where the margin grows with the legend's lines.
    entries = {"orientation": "h", "x": 0, "y": -64 / max(height - 110, 1), "yanchor": "top", "traceorder": "normal"}
    label = {"bgcolor": theme.surface, "bordercolor": theme.line, "font": {"color": theme.text, "size": 13}}
    return {
        "template": {"data": {"scatter": [{"type": "scatter"}]}},  # Plotly's "none"; an empty one would be its usual
        "height": height,
        "margin": margin,
        "paper_bgcolor": theme.surface,  # the page's own, so that a saved picture is readable anywhere
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "color": theme.text, "size": 13},
        "title": heading,
        "showlegend": legend,
        "legend": entries | {"font": {"size": 12}},
        "hoverlabel": label,
        "dragmode": False,
    } | more


def figure_of(content: dict[str, Any]) -> Drawn:
    """A figure from its "data" and "layout", checked by Plotly only where VALIDATE_FIGURES is set."""
    return Drawn(content, _validate=bool(os.environ.get(VALIDATE)))


def draw(traces: Sequence[Trace], theme: Theme, *, height: int, **look: Any) -> Drawn:
    """A figure of traces in the shared look. look: of `layout`; xaxis, yaxis, yaxis2 … are options of `axis`."""
    for name in look:
        if name.startswith(("xaxis", "yaxis")):
            look[name] = axis(theme, **look[name])
    return figure_of({"data": list(traces), "layout": layout(theme, height=height, **look)})


def scatter(mode: str, x: Any, y: Any, *, hover: str = "", **options: Any) -> Trace:
    """Lines or points. hover: what is said of a point, as Plotly's template; nothing when it is empty."""
    said = {"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}
    return {"type": "scatter", "mode": mode, "x": x, "y": y} | said | options


def line(x: Any, y: Any, color: str, *, width: float = 1, dash: str = "", hover: str = "", **options: Any) -> Trace:
    """A line, broken wherever there is None."""
    look: dict[str, Any] = {"color": color, "width": width} | ({"dash": dash} if dash else {})
    return scatter("lines", x, y, hover=hover, line=look, **options)


def mark(color: Any, size: Any, *, symbol: Any = "", edge: Any = "", width: Any = 0, **options: Any) -> dict[str, Any]:
    """The look of points. edge, width: colour and CSS pixels of the line around each."""
    around = ({"width": width} if width else {}) | ({"color": edge} if edge else {})
    return (
        {"color": color, "size": size}
        | ({"symbol": symbol} if symbol else {})
        | ({"line": around} if around else {})
        | options
    )


def points(x: Any, y: Any, marker: Mapping[str, Any], *, hover: str = "", **options: Any) -> Trace:
    """Points. marker: of `mark`."""
    return scatter("markers", x, y, hover=hover, marker=marker, **options)


def broken(*columns: Any) -> list[Any]:
    """Columns of a row after each other, with a gap behind each row: for lines that do not touch."""
    return [value for row in zip(*columns, strict=True) for value in (*row, None)]


def interval(rows: pd.DataFrame, color: str, *, thickness: float) -> dict[str, Any]:
    """Bars from `low` to `high` around `value`, without caps."""
    return {
        "type": "data",
        "symmetric": False,
        "array": rows["high"] - rows["value"],
        "arrayminus": rows["value"] - rows["low"],
        "width": 0,
        "thickness": thickness,
        "color": color,
    }


def upright(x: float, color: str, **look: Any) -> dict[str, Any]:
    """A shape: a line from the bottom of a figure to its top."""
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": {"color": color} | look}


def shortened(name: str, *, most: int = 16) -> str:
    """A name as it is written on an axis."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def forest_figure(
    table: pd.DataFrame,
    theme: Theme,
    *,
    title: str,
    contender: Head,
    margin: float | None,
    subtitle: str = "",
    seeds: Sequence[float] = (),
) -> Drawn:
    """A forest plot.

    table: rows of `tables.differences`. margin: half-width of the band of practical equivalence, None for no band.
    seeds: advantage of sigmoid in each seed, drawn as ticks on the first row.
    """
    reach = _reach(table, margin)
    return draw(
        _traces(table, theme, contender, margin or 0.0, seeds),
        theme,
        height=146 + 26 * len(table),
        title=title,
        subtitle=subtitle or " ",
        legend=False,
        shapes=around_zero(margin, theme),
        annotations=sides(theme, f"{HEAD_SHORT[contender]} better", theme.heads[contender]),
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
        xaxis={"range": [-reach, reach], "nticks": 5, "title": " ", "tickformat": "~g"},
    )


def around_zero(margin: float | None, theme: Theme) -> list[dict[str, Any]]:
    """Shapes: a line at zero, and below it a band where a difference is too small to matter; margin: its half-width."""
    zero = upright(0, theme.muted, width=1)
    if not margin:
        return [zero]
    ends = {"x0": -margin, "x1": margin, "yref": "paper", "y0": 0, "y1": 1}
    return [{"type": "rect", "layer": "below", "fillcolor": theme.band, "line": {"width": 0}} | ends, zero]


class Lanes:
    """Where rows of a figure stand: a lane for each member of each group, from the top, with room between two groups.

    pairs: (group, member) of every row, in their order. between: room, in lanes. air: above the first and below the
    last, in lanes.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], *, between: float, air: float) -> None:
        self._between, self._air = between, air
        self._groups: dict[str, list[float]] = {}
        self._place: dict[tuple[str, str], float] = {}
        for group, member in dict.fromkeys(pairs):
            start = self.last + 1 + (between if self._groups and group not in self._groups else 0.0)
            self._place[group, member] = start
            self._groups.setdefault(group, []).append(start)

    @property
    def last(self) -> float:
        """The lowest lane; -1 where there is none."""
        return max(self._place.values(), default=-1.0)

    def of(self, groups: Iterable[str], members: Iterable[str]) -> list[float]:
        """The lane of each row."""
        return [self._place[pair] for pair in zip(groups, members, strict=True)]

    def ends(self, group: str) -> tuple[float, float]:
        """The first and the last lane of a group."""
        return self._groups[group][0], self._groups[group][-1]

    def axis(self, names: Sequence[str] = (), **options: Any) -> dict[str, Any]:
        """Options of the axis. names: of the groups, as they are written."""
        middles = [sum(lanes) / len(lanes) for lanes in self._groups.values()]
        written = {"tickvals": middles, "ticktext": list(names or self._groups)}
        return {"range": [self.last + self._air, -self._air], "showgrid": False} | written | options

    def rules(self, theme: Theme) -> list[dict[str, Any]]:
        """Shapes: thin lines between groups."""
        line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"color": theme.line, "width": 1}}
        edges = [lanes[0] - (1 + self._between) / 2 for lanes in list(self._groups.values())[1:]]
        return [line | {"y0": edge, "y1": edge} for edge in edges]


def _traces(
    table: pd.DataFrame, theme: Theme, contender: Head, margin: float, seeds: Sequence[float]
) -> list[dict[str, Any]]:
    """Intervals, points and seeds."""
    names = ["mean of classes" if name == MACRO else str(name) for name in table["class"]]
    is_mean = [name == MACRO for name in table["class"]]
    ends = list(zip(table["low"], table["high"], strict=True))
    colors = [_color(low, high, margin, contender, theme) for low, high in ends]
    # One trace a look, with gaps between the lines: Plotly takes its time for each trace.
    looks: dict[tuple[str, int], tuple[list[float | None], list[str | None]]] = {}
    for (low, high), name, color, mean in zip(ends, names, colors, is_mean, strict=True):
        x, y = looks.setdefault((color, 4 if mean else 2), ([], []))
        x += [low, high, None]
        y += [name, name, None]
    traces = [line(x, y, color, width=width, showlegend=False) for (color, width), (x, y) in looks.items()]
    sizes, symbols = [12 if mean else 8 for mean in is_mean], ["diamond" if mean else "circle" for mean in is_mean]
    marker = mark(colors, sizes, symbol=symbols, edge=theme.surface, width=1.5)
    numbers = table[["sigmoid", "softmax", "low", "high"]].to_numpy()
    traces.append(points(table["advantage"], names, marker, hover=_HOVER, customdata=numbers, showlegend=False))
    if seeds:
        tick = mark(theme.text, 16, symbol="line-ns-open", width=1.5)
        first = [names[0]] * len(seeds)
        traces.append(points(list(seeds), first, tick, hover="one seed: %{x:+.4f}", showlegend=False))
    return traces


def sides(theme: Theme, left: str, color: str) -> list[dict[str, Any]]:
    """What lies left and right of zero, under the axis. left: in words; color: of the head that is better there."""
    common = {"y": 0, "xref": "paper", "yref": "paper", "yanchor": "top", "yshift": -24, "showarrow": False}
    return [
        common | {"x": x, "xanchor": anchor, "text": words, "font": {"color": words_in(ink, theme), "size": 12}}
        for words, ink, x, anchor in (
            (f"← {left}", color, 0.0, "left"),
            ("Sigmoid better →", theme.heads["sigmoid"], 1.0, "right"),
        )
    ]


def _reach(table: pd.DataFrame, margin: float | None) -> float:
    """Half-width of the axis: zero stays in the middle, so that the side of a point can be seen at a glance."""
    ends = np.abs(table[["low", "high", "advantage"]].to_numpy(np.float64))
    widest = float(np.fmax.reduce(ends, axis=None, initial=1.5 * (margin or 0.0)))  # fmax passes over NaN
    return 1.08 * widest or 1.0


def _color(low: float, high: float, margin: float, contender: Head, theme: Theme) -> str:
    """A head's colour only where the whole interval lies beyond the margin on its side."""
    if low > margin:
        return theme.heads["sigmoid"]
    if high < -margin:
        return theme.heads[contender]
    return theme.muted


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
    color: str | tuple[str, str],
    form: Literal["share", "count"] = "share",
    top: float | None = None,
    clickable: bool = False,
    chosen: tuple[str, str] | None = None,
) -> Drawn:
    """A heat map of values from 0 up, or of signed ones, with their numbers.

    table: long, one row a cell. color: of the largest value; of signed ones, of the largest positive and of the largest
    negative one. top: value of the full colour, None for the largest. clickable: whether points with the customdata
    (row, column, value) lie over the cells; chosen: row and column of a cell to frame.
    """
    wide = _wide(table, rows, columns, value)
    values, signed = wide.to_numpy(np.float64), not isinstance(color, str)
    most, least = (color, color) if isinstance(color, str) else color
    largest = float(np.fmax.reduce(np.abs(values), axis=None, initial=0.0)) if top is None else top
    largest = largest or 1.0
    cell = {"share": "%{z:+.2%}" if signed else "%{z:.1%}", "count": f"%{{z:{'+' if signed else ''},.0f}} pixels"}[form]
    hover = f"{row_title} %{{y}}<br>{column_title} %{{x}}<br>{cell}<extra></extra>"
    n_rows, n_columns = wide.shape
    body = min(max(34 * n_rows, 130), 520)
    heat: Trace = {"type": "heatmap", "z": values, "x": list(wide.columns), "y": list(wide.index)}
    heat |= {"showscale": False, "xgap": 1, "ygap": 1, "hoverongaps": False, "zmax": largest}
    if signed:
        heat |= {"zmin": -largest, "colorscale": [[0.0, least], [0.5, theme.band], [1.0, most]]}
    else:
        heat |= {"zmin": 0, "colorscale": [[0.0, theme.band], [1.0, most]]}
    # Rows from the top. Left to itself an axis makes room around points, and the cells would shrink for it.
    down = {"range": [n_rows - 0.5, -0.5]} if clickable else {"autorange": "reversed"}
    across = {"tickangle": 0 if n_columns <= 4 else -45, "range": [-0.5, n_columns - 0.5]}
    more: dict[str, Any] = {"shapes": _frame(wide, chosen, theme)}
    written, size = n_rows <= _WRITTEN and n_columns <= _WRITTEN, 12 if n_rows <= 8 else 10
    texts, inks = _texts(values, form, signed=signed), _inks(values / largest, (most, least), theme)
    traces = [heat]
    if clickable:
        squares = _squares(wide, hover, side=round(0.8 * body / n_rows))
        traces.append(squares | (_numbers(wide, texts, inks, size) if written else {"mode": "markers"}))
        heat["hoverinfo"] = "skip"
        more["hoverdistance"] = 60  # pixels: cells can be wider than the square in their middle
    else:
        heat["hovertemplate"] = hover
        if written:
            more["annotations"] = _annotations(texts, inks, size)
    return draw(
        traces,
        theme,
        height=130 + body,
        title=title,
        legend=False,
        yaxis=_names_axis(wide.index) | down | {"title": row_title},
        xaxis=_names_axis(wide.columns) | across | {"title": column_title},
        **more,
    )


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


def _texts(values: Float64Array, form: str, *, signed: bool) -> list[list[str]]:
    """What stands in the cells: whole percents or short counts; in a large matrix nothing where it rounds to 0."""
    few, fine = len(values) <= _ZEROS, len(values) <= _DECIMALS

    def one(value: float) -> str:
        if not np.isfinite(value):
            return ""
        if value == 0:
            return "0" if few else ""
        if form == "count":
            return minus(_short(value, signed))
        return minus(_percent(value, few=few, fine=fine, signed=signed))

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


def _annotations(texts: list[list[str]], inks: list[list[str]], size: int) -> list[dict[str, Any]]:
    """The cells' numbers."""
    return [
        {"x": x, "y": y, "text": text, "showarrow": False, "font": {"size": size, "color": inks[y][x]}}
        for y, row in enumerate(texts)
        for x, text in enumerate(row)
        if text
    ]


def _frame(wide: pd.DataFrame, chosen: tuple[str, str] | None, theme: Theme) -> list[dict[str, Any]]:
    """A frame around the chosen cell, where it is there."""
    if chosen is None or chosen[0] not in wide.index or chosen[1] not in wide.columns:
        return []
    y, x = list(wide.index).index(chosen[0]), list(wide.columns).index(chosen[1])
    frame = {"type": "rect", "x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
    return [frame | {"line": {"color": theme.text, "width": 2}}]


def _names_axis(names: pd.Index) -> dict[str, Any]:
    """Options of an axis of names, long ones shortened where they are written."""
    written = [shortened(str(name)) for name in names]
    return {"showgrid": False, "type": "category", "tickvals": list(range(len(names))), "ticktext": written}


def _squares(wide: pd.DataFrame, hover: str, *, side: int) -> Trace:
    """Invisible squares over the cells that have a value: heat maps report no clicks."""
    values = wide.to_numpy(np.float64)
    cells = [(wide.index[row], wide.columns[column], float(values[row, column])) for row, column in _filled(wide)]
    unseen = {"marker": {"opacity": 0}}
    return {
        "type": "scatter",
        "x": [cell[1] for cell in cells],
        "y": [cell[0] for cell in cells],
        "customdata": cells,
        "hovertemplate": hover.replace("%{z", "%{customdata[2]"),
        "showlegend": False,
        "marker": {"symbol": "square", "size": side, "opacity": 0},
        "selected": unseen,
        "unselected": unseen,
    }


def _filled(wide: pd.DataFrame) -> list[tuple[int, int]]:
    """Places of the cells that have a value."""
    rows, columns = np.nonzero(np.isfinite(wide.to_numpy(np.float64)))
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _numbers(wide: pd.DataFrame, texts: list[list[str]], inks: list[list[str]], size: int) -> dict[str, Any]:
    """The cells' numbers as texts of the points: Plotly takes ten times as long to check an annotation each."""
    filled = _filled(wide)
    return {
        "mode": "markers+text",
        "text": [texts[row][column] for row, column in filled],
        "textfont": {"size": size, "color": [inks[row][column] for row, column in filled]},
        "textposition": "middle center",
    }
