"""Scores of several runs to a pair of figures: the values of each head, and the heads' difference within each run."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import pandas as pd

from dashboard.charts import Drawn, axis, figure_of, layout
from dashboard.theme import HEAD_MARKERS, HEAD_SHORT, Theme, words_in
from pipelines.schema import HEADS, Head

_LANE: Final = 30  # CSS pixels of a head's lane
_BETWEEN: Final = 0.7  # lanes between two runs
_LONGEST: Final = 20  # characters of a run's or a data set's label

Lanes = Mapping[tuple[str, str], float]


def lanes_of(table: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Where each run and head stands, from the top, so that figures side by side agree. table: run, head."""
    lanes: dict[tuple[str, str], float] = {}
    end = 0.0
    for run, rows in table.groupby("run", sort=False):
        for head in (head for head in HEADS if (rows["head"] == head).any()):
            lanes[str(run), head] = end
            end += 1
        end += _BETWEEN
    return lanes


def values_figure(table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str) -> Drawn:
    """A lane for each head of each run, with the value and its interval.

    table: run, data (name of its data set), head, value, low, high.
    """
    lanes = lanes_of(table)
    traces = [
        _points(table[table["head"] == head], lanes, theme.heads[head], HEAD_MARKERS[head], HEAD_SHORT[head], "")
        for head in HEADS
        if (table["head"] == head).any()
    ]
    axes: dict[str, Any] = {
        "xaxis": axis(theme, nticks=6, tickformat="~g", title=" "),
        "yaxis": _names(table, lanes, theme),
    }
    return _figure(traces, lanes, theme, title=title, subtitle=subtitle, **axes)


def differences_figure(
    table: pd.DataFrame, theme: Theme, *, lanes: Lanes, title: str, subtitle: str, margin: float, sides: bool
) -> Drawn:
    """Sigmoid against each other head within each run, in the lane of that head.

    table: run, data, head (the other one), value, low, high (of the difference, above 0 for sigmoid); lanes: of the
    figure beside it. margin: half-width of the band of practical equivalence, 0 for none. sides: whether one side of
    zero is better, and is named. A point takes a head's colour only when its interval lies wholly beyond the band.
    """
    ends = table[["value", "low", "high"]].abs().max().max()
    reach = 1.08 * max(0.0 if pd.isna(ends) else float(ends), 1.5 * margin) or 1.0
    traces = []
    for row in table.to_dict("records"):
        color = _color(row["head"], row["low"], row["high"], margin, theme) if sides else theme.text
        only = pd.DataFrame([row])
        traces.append(_points(only, lanes, color, HEAD_MARKERS[row["head"]], _against(row["head"]), "+"))
    shapes = [_line(theme.muted, x0=0, x1=0, yref="paper", y0=0, y1=1)]
    if margin:
        band = {"type": "rect", "x0": -margin, "x1": margin, "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
        shapes.insert(0, band | {"fillcolor": theme.band, "line": {"width": 0}})
    named = axis(theme, range=[-reach, reach], nticks=5, tickformat="~g", title=" ")
    axes: dict[str, Any] = {"xaxis": named, "yaxis": _names(table, lanes, theme)}
    notes = _sides(theme, sorted(set(table["head"]), key=HEADS.index)) if sides else []
    return _figure(traces, lanes, theme, title=title, subtitle=subtitle, shapes=shapes, annotations=notes, **axes)


def _figure(
    traces: list[dict[str, Any]],
    lanes: Lanes,
    theme: Theme,
    *,
    title: str,
    subtitle: str,
    shapes: Sequence[dict[str, Any]] = (),
    **more: Any,
) -> Drawn:
    last = max(lanes.values())
    edges = [place - (1 + _BETWEEN) / 2 for place in _starts(lanes)[1:]]
    rules = [_line(theme.line, xref="paper", x0=0, x1=1, y0=edge, y1=edge) for edge in edges]
    more["yaxis"] |= {"range": [last + 0.7, -0.7]}
    shared = layout(
        theme, height=round(118 + _LANE * (last + 1.4)), title=title, subtitle=subtitle, legend=False,
        shapes=[*shapes, *rules], **more,
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def _starts(lanes: Lanes) -> list[float]:
    """The first lane of each run."""
    starts: dict[str, float] = {}
    for (run, _), place in lanes.items():
        starts[run] = min(place, starts.get(run, place))
    return list(starts.values())


def _names(table: pd.DataFrame, lanes: Lanes, theme: Theme) -> dict[str, Any]:
    """An axis with each run's name in the middle of its lanes, and its data set under it where there are several."""
    of_run = dict(zip(table["run"], table["data"], strict=True))
    middles = {run: [place for (one, _), place in lanes.items() if one == run] for run in of_run}
    several = len(set(of_run.values())) > 1
    texts = [
        escape(_short(run)) + (f'<br><span style="font-size:11px">{escape(_short(data))}</span>' if several else "")
        for run, data in of_run.items()
    ]
    return axis(theme, showgrid=False, tickvals=[sum(some) / len(some) for some in middles.values()], ticktext=texts)


def _points(rows: pd.DataFrame, lanes: Lanes, color: str, symbol: str, name: str, sign: str) -> dict[str, Any]:
    """Values with their intervals; sign: "+" where the sign is to be shown."""
    error = {
        "type": "data", "symmetric": False, "array": rows["high"] - rows["value"],
        "arrayminus": rows["value"] - rows["low"], "width": 0, "thickness": 2.5, "color": color,
    }  # fmt: skip
    told = [
        [escape(str(row["run"])), escape(str(row["data"])), _ends(row["low"], row["high"], sign)]
        for row in rows.to_dict("records")
    ]
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": rows["value"], "error_x": error,
        "y": [lanes[run, head] for run, head in zip(rows["run"], rows["head"], strict=True)],
        "marker": {"symbol": symbol, "size": 10, "color": color}, "customdata": told,
        "hovertemplate": f"<b>%{{customdata[0]}}</b><br>%{{customdata[1]}}<br>{name}: %{{x:{sign}.4f}}"
        "<br>%{customdata[2]}<extra></extra>",
    }  # fmt: skip


def _ends(low: float, high: float, sign: str) -> str:
    return "no interval" if math.isnan(low) else f"{low:{sign}.4f} to {high:{sign}.4f}"


def _color(head: Head, low: float, high: float, margin: float, theme: Theme) -> str:
    if low > margin:
        return theme.heads["sigmoid"]
    return theme.heads[head] if high < -margin else theme.muted


def _against(head: Head) -> str:
    return f"sigmoid − {HEAD_SHORT[head].lower()}"


def _sides(theme: Theme, others: Sequence[Head]) -> list[dict[str, Any]]:
    """What lies left and right of zero, under the axis."""
    left = (
        (f"← {HEAD_SHORT[others[0]]} better", theme.heads[others[0]])
        if len(others) == 1
        else ("← Sigmoid worse", theme.muted)
    )
    common = {"y": 0, "xref": "paper", "yref": "paper", "yanchor": "top", "yshift": -24, "showarrow": False}
    return [
        common | {"x": x, "xanchor": anchor, "text": words, "font": {"color": words_in(color, theme), "size": 12}}
        for (words, color), x, anchor in (
            (left, 0.0, "left"),
            (("Sigmoid better →", theme.heads["sigmoid"]), 1.0, "right"),
        )
    ]


def _line(color: str, **places: Any) -> dict[str, Any]:
    return {"type": "line", "line": {"color": color, "width": 1}} | places


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
