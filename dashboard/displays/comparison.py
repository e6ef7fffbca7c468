"""Runs of one data set taken apart: every loss and head before and after its remedy, and what moves the results."""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final

import pandas as pd

from dashboard.charts import Drawn, Lanes, Trace, around_zero, draw, interval, line, mark, points
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
    runs, heads, settings = (list(dict.fromkeys(table[column])) for column in ("run", "head", "setting"))
    lanes = Lanes(product(runs, heads), between=0.6, air=0.7)
    shifts = dict.fromkeys(settings, -_SHIFT) | {settings[-1]: _SHIFT} if len(settings) > 1 else {settings[0]: 0.0}
    traces = [
        _points(table[(table["head"] == head) & (table["setting"] == setting)], lanes, theme, head, setting, shift)
        for head in heads
        for setting, shift in shifts.items()
    ]
    return draw(
        traces,
        theme,
        height=round(98 + _LANE * (lanes.last + 1.2)),
        title=title,
        subtitle=subtitle,
        legend=False,
        shapes=lanes.rules(theme),
        xaxis={"nticks": 6, "tickformat": "~g"},
        yaxis=lanes.axis([shortened(run, _LONGEST) for run in runs]),
    )


def _points(rows: pd.DataFrame, lanes: Lanes, theme: Theme, head: Head, setting: str, shift: float) -> Trace:
    """One head in one setting, over all runs: hollow where it is drawn above its lane's middle."""
    color, hollow = theme.heads[head], shift < 0
    return points(
        rows["value"],
        [lane + shift for lane in lanes.of(rows["run"], rows["head"])],
        mark(theme.surface if hollow else color, 10, symbol=HEAD_MARKERS[head], edge=color, width=2),
        error_x=interval(rows, faded(color, 0.6) if hollow else color, thickness=1.5 if hollow else 2.5),
        name=f"{HEAD_SHORT[head]}, {setting}",
        customdata=rows[["run", "low", "high"]].to_numpy(),
        hover=f"<b>%{{customdata[0]}}</b><br>{HEAD_SHORT[head]}, {setting}: %{{x:.4f}}"
        "<br>%{customdata[1]:.4f} to %{customdata[2]:.4f}",
    )


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
    colors = [theme.text if row["low"] > room or row["high"] < -room else theme.muted for row in rows]
    mains = [not row["part"] for row in rows]
    sizes, symbols = [12 if main else 7 for main in mains], ["diamond" if main else "circle" for main in mains]
    traces = [
        line([row["low"], row["high"]], [place, place], color, width=4 if main else 1.5, showlegend=False)
        for row, place, color, main in zip(rows, places, colors, mains, strict=True)
    ]
    traces.append(
        points(
            [row["gain"] for row in rows],
            places,
            mark(colors, sizes, symbol=symbols, edge=theme.surface, width=1.5),
            customdata=[_hovered(row) for row in rows],
            hover="%{customdata[0]}<br>gain %{x:+.4f} (%{customdata[1]})",
            showlegend=False,
        )
    )
    return draw(
        traces,
        theme,
        height=round(100 + 26 * bottom),
        title=title,
        legend=False,
        shapes=around_zero(room, theme),
        xaxis={"range": [low - air, high + air], "title": "gain, right is better", "nticks": 5, "tickformat": "~g"},
        yaxis={
            "range": [bottom, 0],
            "showgrid": False,
            "tickvals": places,
            "ticktext": [_row_name(row) for row in rows],
        },
    )


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
