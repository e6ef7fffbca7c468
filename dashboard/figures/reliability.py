"""Reliability tables to diagrams: the heads over each other, with bands, above the share of pixels in each bin."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from dashboard.figures.drawn import Drawn
from dashboard.figures.theme import (
    HEAD_DASHES,
    HEAD_MARKERS,
    HEAD_SHORT,
    HEAD_TITLES,
    Theme,
    axis,
    faded,
    figure_of,
    layout,
    words_in,
)
from dashboard.rounding import rounded
from pipelines.arrays import Float64Array
from pipelines.schema import Head

Scale: TypeAlias = Literal["linear", "log-odds"]
Columns: TypeAlias = pd.DataFrame | Mapping[str, np.ndarray]
_OUTERMOST: Final = 3e-4  # p beyond it, or as near to 1, is drawn there: at 0 and 1 log-odds are infinite
_TICKS: Final = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_SPARSE: Final = (0.001, 0.1, 0.5, 0.9, 0.999)  # the labels that fit below a small diagram
_SMALL: Final = 500  # CSS pixels of height up to which a diagram counts as small
_HOVERED: Final = ["low_edge", "high_edge", "mean_p", "observed", "low", "high", "pixels"]


def reliability_figure(
    tables: Mapping[Head, Columns],
    theme: Theme,
    *,
    title: str,
    errors: Mapping[Head, float],
    height: int = 360,
    observed: str = "observed share",
    scale: Scale = "linear",
) -> Drawn:
    """One diagram.

    tables: per head, the rows of one class of `metrics.tables.reliability`, or just its columns. errors: per head,
    its calibration error.
    scale: of both axes; on log-odds, p nearer to 0 or 1 than 0.0003 is drawn there.
    """
    traces: list[dict[str, Any]] = [_diagonal(theme, scale)]
    for at, (head, table) in enumerate(tables.items()):
        columns = {name: np.asarray(table[name]) for name in (*_HOVERED, "share")}
        traces += [
            _band(columns, faded(theme.heads[head], 0.18), scale), _line(columns, head, theme, scale),
            _bars(columns, head, theme, scale, at / len(tables), 1 / len(tables)),
        ]  # fmt: skip
    shares = np.concatenate([np.asarray(table["share"]) for table in tables.values()])
    small = height <= _SMALL
    pixels = axis(theme, type="log", title="pixels", domain=[0.0, 0.23], **_decades(shares))
    across = _p_axis(scale, _SPARSE if small else _TICKS)
    return figure_of(
        {
            "data": traces,
            "layout": layout(
                theme, height=height, title=title, subtitle=_errors(errors, theme), legend=False, barmode="group",
                bargap=0.15, bargroupgap=0, yaxis2=pixels,
                yaxis=axis(theme, title=observed, domain=[0.27, 1.0], **_p_axis(scale, _TICKS)),
                xaxis=axis(theme, anchor="y", showticklabels=False, matches="x2", **across),
                xaxis2=axis(theme, anchor="y2", title="predicted p", **across),
            ),
        }
    )  # fmt: skip


def place(p: Float64Array, scale: Scale) -> Float64Array:
    """Where p stands on an axis: as it is, or its log-odds at most ±8.1."""
    if scale == "linear":
        return p
    inside = np.clip(p, _OUTERMOST, 1 - _OUTERMOST)
    return np.log(inside) - np.log1p(-inside)


def _numbers(*parts: Float64Array) -> list[float]:
    """As a list, rounded to what can be seen: Plotly takes three times as long to pack a short array."""
    numbers: list[float] = np.concatenate(parts).round(5).tolist()
    return numbers


def _p_axis(scale: Scale, labelled: Sequence[float]) -> dict[str, Any]:
    """Range and ticks of an axis of p."""
    if scale == "linear":
        return {"range": [-0.02, 1.02], "dtick": 0.25}
    reach = 1.03 * float(place(np.array([1.0]), scale)[0])
    return {
        "range": [-reach, reach], "tickvals": place(np.array(_TICKS), scale).tolist(), "tickangle": 0,
        "ticktext": [f"{tick:g}" if tick in labelled else "" for tick in _TICKS],
    }  # fmt: skip


def _diagonal(theme: Theme, scale: Scale) -> dict[str, Any]:
    ends = place(np.array([0.0, 1.0]), scale)
    return {
        "type": "scatter", "x": ends.tolist(), "y": ends.tolist(), "mode": "lines", "showlegend": False,
        "hoverinfo": "skip",
        "line": {"color": theme.muted, "width": 1, "dash": "dot"},
    }  # fmt: skip


def _errors(errors: Mapping[Head, float], theme: Theme) -> str:
    """The heads' calibration errors in their colours; three names do not fit over a small diagram."""
    names = {head: f"{HEAD_SHORT[head]} " if len(errors) <= 2 else "" for head in errors}
    said = (
        f'<span style="color:{words_in(theme.heads[head], theme)}">{names[head]}{rounded(error)}</span>'
        for head, error in errors.items()
    )
    return f"ECE: {' · '.join(said)}"


def _decades(shares: Float64Array) -> dict[str, Any]:
    """Ticks of a logarithmic axis of shares: powers of a hundred, with room below the smallest share."""
    some = shares[shares > 0]
    low = max(float(some.min()), 1e-6) if some.size else 0.01
    ticks = [tick for tick in (1e-6, 1e-4, 1e-2, 1.0) if tick >= low / 3] or [1.0]
    names = {1e-6: "0.0001%", 1e-4: "0.01%", 1e-2: "1%", 1.0: "100%"}
    return {
        "tickvals": ticks,
        "ticktext": [names[tick] for tick in ticks],
        "range": [math.log10(low) - 0.3, 0.1],
    }


def _band(columns: Mapping[str, np.ndarray], color: str, scale: Scale) -> dict[str, Any]:
    known = ~np.isnan(columns["low"])
    p, low, high = (place(columns[name][known], scale) for name in ("mean_p", "low", "high"))
    return {
        "type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": color, "line": {"width": 0},
        "x": _numbers(p, p[::-1]), "y": _numbers(high, low[::-1]), "hoverinfo": "skip",
        "showlegend": False,
    }  # fmt: skip


def _line(columns: Mapping[str, np.ndarray], head: Head, theme: Theme, scale: Scale) -> dict[str, Any]:
    filled = columns["pixels"] > 0
    color = theme.heads[head]
    hover = (
        f"<b>{HEAD_TITLES[head]}</b><br>p from %{{customdata[0]:.3f}} to %{{customdata[1]:.3f}}"
        "<br>mean p %{customdata[2]:.4f}<br>observed %{customdata[3]:.4f} (%{customdata[4]:.4f} to "
        "%{customdata[5]:.4f})<br>%{customdata[6]:,} pixels<extra></extra>"
    )
    return {
        "type": "scatter", "mode": "lines+markers", "name": HEAD_TITLES[head],
        "x": _numbers(place(columns["mean_p"][filled], scale)),
        "y": _numbers(place(columns["observed"][filled], scale)),
        "line": {"color": color, "width": 2, "dash": HEAD_DASHES[head]},
        "marker": {"color": color, "size": 6, "symbol": HEAD_MARKERS[head]}, "hovertemplate": hover,
        "customdata": np.stack([columns[name][filled].astype(np.float64) for name in _HOVERED], axis=-1),
    }  # fmt: skip


def _bars(
    columns: Mapping[str, np.ndarray], head: Head, theme: Theme, scale: Scale, start: float, width: float
) -> dict[str, Any]:
    """Shares of the pixels; on log-odds each bar takes its head's part, from `start` on, of the bin's own width."""
    share = columns["share"]
    bars: dict[str, Any] = {
        "type": "bar", "xaxis": "x2", "yaxis": "y2", "y": np.where(share > 0, share, np.nan),
        "name": HEAD_TITLES[head], "showlegend": False,
        "marker": {"color": faded(theme.heads[head], 0.75), "line": {"width": 0}},
        "hovertemplate": f"{HEAD_TITLES[head]}<br>%{{y:.2%}} of the pixels<extra></extra>",
    }  # fmt: skip
    if scale == "linear":
        return bars | {"x": _numbers((columns["low_edge"] + columns["high_edge"]) / 2)}
    low = place(columns["low_edge"], scale)
    room = place(columns["high_edge"], scale) - low
    offset, size = (0.05 + 0.9 * start) * room, 0.9 * width * room
    return bars | {"x": _numbers(low), "offset": _numbers(offset), "width": _numbers(size)}
