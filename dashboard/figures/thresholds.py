"""Scores and costs to figures against the threshold, with the thresholds that matter marked on them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from dashboard.figures.cuts import INNER
from dashboard.figures.drawn import Drawn
from dashboard.figures.marks import INSIDE, INSIDE_P, Mark, line, mark_traces, room
from dashboard.figures.theme import Theme, axis, figure_of, layout
from pipelines.arrays import Float64Array
from pipelines.metrics.thresholds import CUT_LOG_ODDS, CUT_P
from pipelines.schema import Head

Scale: TypeAlias = Literal["p", "log-odds"]
SCALES: Final[tuple[Scale, ...]] = ("p", "log-odds")
_TICKS: Final = (1e-6, 1e-4, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999, 1 - 1e-6)
_TICK_NAMES: Final = ("10⁻⁶", "10⁻⁴", "0.01", "0.1", "0.5", "0.9", "0.99", "1 − 10⁻⁴", "1 − 10⁻⁶")
_AT_THRESHOLD: Final = "at p > %{customdata:.3g}<br>%{y:.4g}"
_WIDE: Final = math.log(0.999 / 0.001)  # log-odds that the axis shows at least


class Level(NamedTuple):
    """A height with no threshold of its own, such as that of thresholds that differ between classes.

    said: its entry in the legend; dash: of its line, which tells levels of one colour apart.
    """

    said: str
    color: str
    y: float
    dash: str = "dot"


def threshold_figure(
    lines: Mapping[Head, Float64Array],
    marks: Sequence[Mark],
    theme: Theme,
    *,
    title: str,
    subtitle: str = "",
    y_title: str = "",
    scale: Scale = "p",
    levels: Sequence[Level] = (),
    span: tuple[float, float] | None = None,
    height: int = 400,
) -> Drawn:
    """A score or a cost against the threshold.

    lines: per head, (CELLS + 1) its value at every cut. levels: drawn across. span: ends of the y axis, by default
    from 0 to the highest that is drawn. A thin line stands at each chosen threshold.
    """
    where = (CUT_P if scale == "p" else CUT_LOG_ODDS)[INSIDE]
    ends = (0.0, 1.0) if scale == "p" else _log_odds_range(marks)
    traces = [
        line(head, where, values[INSIDE], theme, hover=_AT_THRESHOLD, at=INSIDE_P) for head, values in lines.items()
    ]
    traces += [_level(one, ends) for one in levels]
    traces += mark_traces([one._replace(x=float(where[one.cut - 1])) for one in marks], theme, hover="%{y:.4g}")
    shapes = [
        {
            "type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "layer": "below",
            "line": {"color": theme.heads[one.head], "width": 1, "dash": "dot"},
        }
        for one in marks if one.role == "chosen" for x in [float(where[one.cut - 1])]
    ]  # fmt: skip
    y_axis = {"rangemode": "tozero"} if span is None else {"range": list(span)}
    across = threshold_axis(theme, scale, ends)
    return figure_of(
        {
            "data": traces,
            "layout": layout(
                theme, height=height, title=title, subtitle=subtitle, shapes=shapes, **room(subtitle),
                xaxis=across, yaxis=axis(theme, title=y_title or title, nticks=6, **y_axis),
            ),
        }
    )  # fmt: skip


def _level(one: Level, ends: tuple[float, float]) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": one.said, "x": list(ends), "y": [one.y, one.y],
        "line": {"color": one.color, "width": 1.5, "dash": one.dash},
        "hovertemplate": f"{one.said}: %{{y:.4g}}<extra></extra>",
    }  # fmt: skip


def threshold_axis(theme: Theme, scale: Scale, ends: tuple[float, float]) -> dict[str, Any]:
    """The axis of thresholds, in p, or spaced by log-odds with p written on it."""
    if scale == "p":
        return axis(theme, title="threshold on p", range=list(ends), dtick=0.25)
    ticks = [math.log(p) - math.log1p(-p) for p in _TICKS]
    return axis(
        theme, title="threshold on p, spaced by log-odds", range=list(ends), tickvals=ticks, ticktext=_TICK_NAMES
    )


def _log_odds_range(marks: Sequence[Mark]) -> tuple[float, float]:
    shown = [float(CUT_LOG_ODDS[one.cut]) for one in marks if one.cut in INNER]
    return min([-_WIDE, *(one - 0.5 for one in shown)]), max([_WIDE, *(one + 0.5 for one in shown)])


def span_of_scores(curves: Sequence[Float64Array], heights: Sequence[float]) -> tuple[float, float] | None:
    """Ends of an axis that shows the tops of score curves and all heights, from 0 only if need be; None without any."""
    known = [one for one in heights if math.isfinite(one)]
    tops = [float(np.nanmax(curve)) for curve in curves if np.isfinite(curve).any()]
    if not known or not tops:
        return None
    top = max(*tops, *known)
    low = top - max(0.15, 1.6 * (top - min(known)))
    return (low, top + 0.06 * (top - low)) if low > 0.05 else (0.0, 1.06 * top) if top > 0 else None


def span_of_costs(points: Sequence[float], without: float) -> tuple[float, float] | None:
    """Ends of an axis of costs: from 0 beyond all points, and to the cost without a model unless it is far beyond."""
    known = [one for one in points if math.isfinite(one)]
    if not known or not max(known) > 0:
        return None
    return 0.0, max(1.25 * max(known), min(1.15 * without, 3 * max(known)))
