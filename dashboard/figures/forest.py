"""Paired differences to a forest plot: a row a class, its interval, and the band of practical equivalence."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dashboard.figures.drawn import Drawn
from dashboard.figures.theme import HEAD_SHORT, Theme, axis, figure_of, layout, words_in
from pipelines.schema import MACRO, Head

_HOVER = (
    "<b>%{y}</b><br>sigmoid %{customdata[0]:.4f}, softmax %{customdata[1]:.4f}"
    "<br>advantage of sigmoid %{x:+.4f} (%{customdata[2]:+.4f} to %{customdata[3]:+.4f})<extra></extra>"
)


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
    shapes = [{"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1}]
    shapes[0] |= {"line": {"color": theme.muted, "width": 1}}
    if margin is not None:
        band = {"type": "rect", "x0": -margin, "x1": margin, "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
        shapes.insert(0, band | {"fillcolor": theme.band, "line": {"width": 0}})
    return figure_of(
        {
            "data": _traces(table, theme, contender, margin or 0.0, seeds),
            "layout": layout(
                theme, height=146 + 26 * len(table), title=title, subtitle=subtitle or " ", legend=False, shapes=shapes,
                annotations=_sides(theme, contender),
                yaxis=axis(theme, autorange="reversed", showgrid=False, type="category"),
                xaxis=axis(theme, range=[-reach, reach], nticks=5, title=" ", tickformat="~g"),
            ),
        }
    )  # fmt: skip


def _traces(
    table: pd.DataFrame, theme: Theme, contender: Head, margin: float, seeds: Sequence[float]
) -> list[dict[str, Any]]:
    """Intervals, points and seeds."""
    names = ["mean of classes" if name == MACRO else str(name) for name in table["class"]]
    is_mean = [name == MACRO for name in table["class"]]
    ends = list(zip(table["low"], table["high"], strict=True))
    colors = [_color(low, high, margin, contender, theme) for low, high in ends]
    quiet = {"type": "scatter", "showlegend": False}
    # One trace a look, with gaps between the lines: Plotly takes its time for each trace.
    looks: dict[tuple[str, int], tuple[list[float | None], list[str | None]]] = {}
    for (low, high), name, color, mean in zip(ends, names, colors, is_mean, strict=True):
        x, y = looks.setdefault((color, 4 if mean else 2), ([], []))
        x += [low, high, None]
        y += [name, name, None]
    traces: list[dict[str, Any]] = [
        quiet | {"x": x, "y": y, "mode": "lines", "hoverinfo": "skip", "line": {"color": color, "width": width}}
        for (color, width), (x, y) in looks.items()
    ]
    marker = {
        "color": colors, "size": [12 if mean else 8 for mean in is_mean],
        "line": {"width": 1.5, "color": theme.surface},
        "symbol": ["diamond" if mean else "circle" for mean in is_mean],
    }  # fmt: skip
    points = {"x": table["advantage"], "y": names, "mode": "markers", "marker": marker, "hovertemplate": _HOVER}
    traces.append(quiet | points | {"customdata": table[["sigmoid", "softmax", "low", "high"]].to_numpy()})
    if seeds:
        tick = {"symbol": "line-ns-open", "size": 16, "color": theme.text, "line": {"width": 1.5}}
        traces.append(
            quiet | {"x": list(seeds), "y": [names[0]] * len(seeds), "mode": "markers", "marker": tick}
            | {"hovertemplate": "one seed: %{x:+.4f}<extra></extra>"}
        )  # fmt: skip
    return traces


def _sides(theme: Theme, contender: Head) -> list[dict[str, Any]]:
    """What lies left and right of zero, in the heads' colours, under the axis."""
    common = {"y": 0, "xref": "paper", "yref": "paper", "yanchor": "top", "yshift": -24, "showarrow": False}
    return [
        common
        | {"x": x, "xanchor": anchor, "text": words, "font": {"color": words_in(theme.heads[head], theme), "size": 12}}
        for words, head, x, anchor in (
            (f"← {HEAD_SHORT[contender]} better", contender, 0.0, "left"),
            ("Sigmoid better →", "sigmoid", 1.0, "right"),
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
