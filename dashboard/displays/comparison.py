"""Runs of one data set taken apart: every loss and head before and after its remedy, and what moves the results."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from dashboard.charts import Drawn, axis, figure_of, layout
from dashboard.displays.base import Display, Picture
from dashboard.rounding import with_interval
from dashboard.theme import HEAD_MARKERS, HEAD_SHORT, Theme, faded
from pipelines.comparison.effects import TITLES, Comparison, Conclusion, before_after, effect_rows
from pipelines.metrics import METRICS
from pipelines.schema import Head
from pipelines.sentences import shortened

_LANE: Final = 34  # CSS pixels of a head's lane
_SHIFT: Final = 0.17  # lanes between what is before and what is after
_LONGEST: Final = 18  # characters of a run's label
_FACTORS: Final = {
    "loss": "Loss",
    "run": "Run",
    "head": "Head",
    "threshold": "Thresholds",
    "temperature": "Temperature",
}


def cells(comparison: Comparison, theme: Theme, *, measures: Sequence[str]) -> Display:
    """Measures of every run and head, before and after their remedy; a measure without any value has no picture."""
    pictures = []
    for measure in measures:
        table, metric = before_after(comparison, measure), METRICS[measure]
        if table["value"].isna().all():
            continue
        settings = list(dict.fromkeys(table["setting"]))
        subtitle = f"{metric.better} is better"
        subtitle += f"; hollow {settings[0]}, filled {settings[1]}" if len(settings) > 1 else ""
        best = table.sort_values("value", ascending=metric.better == "lower").iloc[0]
        number = with_interval(best["value"], best["low"], best["high"])
        title = f"{metric.title}, mean of classes"
        where = f"{best['run']}, {best['head']}, {best['setting']}"
        alt = f"{title}, of each run and head; best {where}: {number}."
        figure = cells_figure(table, theme, title=title, subtitle=subtitle)
        pictures.append(Picture(f"cells_{measure}", figure, alt))
    return Display("losses", "Every run and head", tuple(pictures), comparison.table, "losses", columns=2)


def effects(comparison: Comparison, theme: Theme, *, conclusions: Sequence[Conclusion]) -> Display:
    """What moves each measure that is concluded on; one without an effect has no picture."""
    pictures = []
    for conclusion in conclusions:
        if not conclusion.effects:
            continue
        largest = conclusion.effects[0]
        gain = with_interval(largest.gain, largest.low, largest.high, signed=True)
        title = f"What moves {TITLES[conclusion.measure]}"
        alt = f"{title}: the {largest.factor} most, {largest.first} over {largest.second} {gain}."
        rows = effect_rows(comparison, conclusion.measure)
        figure = effects_figure(rows, theme, title=title, margin=conclusion.margin)
        pictures.append(Picture(f"effects_{conclusion.measure}", figure, alt))
    return Display("effects", "What moves the results", tuple(pictures), comparison.contrasts, "effects", columns=2)


# Before and after --------------------------------------------------------------------------------------------------


def cells_figure(table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str) -> Drawn:
    """A group of lanes for each run, a lane for each head: hollow before, filled after, with intervals.

    table: rows of `comparison.before_after`.
    """
    runs, heads = list(dict.fromkeys(table["run"])), list(dict.fromkeys(table["head"]))
    settings = list(dict.fromkeys(table["setting"]))
    lanes = {
        (run, head): at * (len(heads) + 0.6) + lane for at, run in enumerate(runs) for lane, head in enumerate(heads)
    }
    shifts = dict.fromkeys(settings, -_SHIFT) | {settings[-1]: _SHIFT}
    if len(settings) == 1:
        shifts = {settings[0]: 0.0}
    traces = [
        _points(table[(table["head"] == head) & (table["setting"] == setting)], lanes, theme, head, setting, shift)
        for head in heads
        for setting, shift in shifts.items()
    ]
    rules = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": edge, "y1": edge}
        | {"line": {"color": theme.line, "width": 1}}
        for edge in (lanes[run, heads[0]] - 0.8 for run in runs[1:])
    ]
    last = lanes[runs[-1], heads[-1]]
    y = axis(
        theme,
        range=[last + 0.7, -0.7],
        showgrid=False,
        tickvals=[lanes[run, heads[0]] + (len(heads) - 1) / 2 for run in runs],
        ticktext=[shortened(run, _LONGEST) for run in runs],
    )
    shared = layout(
        theme,
        height=round(98 + _LANE * (last + 1.2)),
        title=title,
        subtitle=subtitle,
        legend=False,
        shapes=rules,
        xaxis=axis(theme, nticks=6, tickformat="~g"),
        yaxis=y,
    )
    return figure_of({"data": traces, "layout": shared})


def _points(
    rows: pd.DataFrame, lanes: Mapping[tuple[str, Head], float], theme: Theme, head: Head, setting: str, shift: float
) -> dict[str, Any]:
    """One head in one setting, over all runs: hollow where it is drawn above its lane's middle."""
    color, hollow = theme.heads[head], shift < 0
    error = {
        "type": "data",
        "symmetric": False,
        "array": rows["high"] - rows["value"],
        "arrayminus": rows["value"] - rows["low"],
        "width": 0,
        "thickness": 1.5 if hollow else 2.5,
        "color": faded(color, 0.6) if hollow else color,
    }
    marker = {"symbol": HEAD_MARKERS[head], "size": 10, "line": {"width": 2, "color": color}}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{HEAD_SHORT[head]}, {setting}",
        "x": rows["value"],
        "y": [lanes[run, head] + shift for run in rows["run"]],
        "error_x": error,
        "marker": marker | {"color": theme.surface if hollow else color},
        "customdata": rows[["run", "low", "high"]].to_numpy(),
        "hovertemplate": f"<b>%{{customdata[0]}}</b><br>{HEAD_SHORT[head]}, {setting}: %{{x:.4f}}"
        "<br>%{customdata[1]:.4f} to %{customdata[2]:.4f}<extra></extra>",
    }


# Effects -----------------------------------------------------------------------------------------------------------


def effects_figure(table: pd.DataFrame, theme: Theme, *, title: str, margin: float) -> Drawn:
    """A forest: each factor's effect, then in smaller rows the parts it is the mean of, and the margin as a band.

    table: rows of `comparison.effect_rows`; margin: half-width of the band, NaN for none.
    A row is drawn in the strong colour only when its whole interval lies beyond the margin.
    """
    rows: list[dict[str, Any]] = [dict(zip(table.columns, row, strict=True)) for row in table.to_numpy(dtype=object)]
    room = 0.0 if math.isnan(margin) else margin
    places: list[float] = []
    bottom = 0.0
    for row in rows:  # effects have two lines of text, their parts one
        height = 1.0 if row["part"] else 1.8
        places.append(bottom + height / 2)
        bottom += height
    ends = pd.concat([table["low"], table["high"], table["gain"]]).dropna()
    low, high = min(-1.2 * room, float(ends.min())), max(1.2 * room, float(ends.max()))
    air = 0.05 * (high - low) or 1.0
    zero = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1}
    shapes: list[dict[str, Any]] = [zero | {"line": {"color": theme.muted, "width": 1}}]
    if room:
        band = {"type": "rect", "x0": -room, "x1": room, "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
        shapes.insert(0, band | {"fillcolor": theme.band, "line": {"width": 0}})
    names = [_row_name(row) for row in rows]
    shared = layout(
        theme,
        height=round(100 + 26 * bottom),
        title=title,
        legend=False,
        shapes=shapes,
        xaxis=axis(theme, range=[low - air, high + air], title="gain, right is better", nticks=5, tickformat="~g"),
        yaxis=axis(theme, range=[bottom, 0], showgrid=False, tickvals=places, ticktext=names),
    )
    return figure_of({"data": _forest(rows, places, theme, room), "layout": shared})


def _forest(
    rows: Sequence[Mapping[str, Any]], places: Sequence[float], theme: Theme, room: float
) -> list[dict[str, Any]]:
    """Intervals and points."""
    colors = [theme.text if row["low"] > room or row["high"] < -room else theme.muted for row in rows]
    mains = [not row["part"] for row in rows]
    quiet = {"type": "scatter", "showlegend": False}
    traces: list[dict[str, Any]] = []
    for row, place, color, main in zip(rows, places, colors, mains, strict=True):
        ends = {"x": [row["low"], row["high"]], "y": [place, place], "mode": "lines", "hoverinfo": "skip"}
        traces.append(quiet | ends | {"line": {"color": color, "width": 4 if main else 1.5}})
    marker = {
        "color": colors,
        "size": [12 if main else 7 for main in mains],
        "line": {"width": 1.5, "color": theme.surface},
        "symbol": ["diamond" if main else "circle" for main in mains],
    }
    points = {"x": [row["gain"] for row in rows], "y": list(places), "mode": "markers", "marker": marker}
    hover = "%{customdata[0]}<br>gain %{x:+.4f} (%{customdata[1]})<extra></extra>"
    traces.append(quiet | points | {"customdata": [_hovered(row) for row in rows], "hovertemplate": hover})
    return traces


def _row_name(row: Mapping[str, Any]) -> str:
    """An effect's factor with its levels under it, or where a part was taken."""
    if row["part"] in ("tuned thresholds", "fitted temperature"):
        return f"at {row['part']}"
    if row["part"]:
        return f"with {_level(row['part'])}"
    return f"<b>{_FACTORS[row['factor']]}</b><br>{_level(row['first'])} against {_level(row['second'])}"


def _hovered(row: Mapping[str, Any]) -> list[str]:
    """What the cursor shows of a row: which level over which, where, and the interval."""
    where = f", {_row_name(row)}" if row["part"] else ""
    ends = "no interval" if math.isnan(row["low"]) else f"{row['low']:+.4f} to {row['high']:+.4f}"
    return [f"<b>{_level(row['first'])} against {_level(row['second'])}</b>{where}", ends]


def _level(name: str) -> str:
    """A head in words, anything else as it is."""
    return HEAD_SHORT[name].lower() if name in HEAD_SHORT else shortened(name, _LONGEST)  # type: ignore[index]
