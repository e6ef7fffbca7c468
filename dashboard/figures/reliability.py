"""Reliability tables to diagrams: the heads over each other, with bands, above the share of pixels in each bin."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import HEAD_DASHES, HEAD_MARKERS, HEAD_SHORT, HEAD_TITLES, Theme, axis, faded, layout
from pipelines.schema import Head

_P_AXIS = {"range": [-0.02, 1.02], "dtick": 0.25}


def reliability_figure(
    tables: Mapping[Head, pd.DataFrame],
    theme: Theme,
    *,
    title: str,
    errors: Mapping[Head, float],
    height: int = 360,
    observed: str = "observed share",
) -> go.Figure:
    """One diagram.

    tables: per head, the rows of one class of `metrics.tables.reliability`. errors: per head, its calibration error.
    """
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter", "x": [0, 1], "y": [0, 1], "mode": "lines", "showlegend": False, "hoverinfo": "skip",
            "line": {"color": theme.muted, "width": 1, "dash": "dot"},
        }
    ]  # fmt: skip
    for head, table in tables.items():
        filled = table[table["pixels"] > 0]
        traces += [_band(filled, faded(theme.heads[head], 0.18)), _line(filled, head, theme), _bars(table, head, theme)]
    shares = pd.concat([table["share"] for table in tables.values()])
    named = len(errors) <= 2  # three names do not fit over a small diagram
    said = " · ".join(_colored(head, error, theme, named=named) for head, error in errors.items())
    pixels = axis(theme, type="log", title="pixels", domain=[0.0, 0.23], **_decades(float(shares[shares > 0].min())))
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme, height=height, title=title, subtitle=f"ECE: {said}", legend=False, barmode="group", bargap=0.15,
                bargroupgap=0, yaxis=axis(theme, title=observed, domain=[0.27, 1.0], **_P_AXIS), yaxis2=pixels,
                xaxis=axis(theme, anchor="y", showticklabels=False, matches="x2", **_P_AXIS),
                xaxis2=axis(theme, anchor="y2", title="predicted p", **_P_AXIS),
            ),
        }
    )  # fmt: skip


def _colored(head: Head, error: float, theme: Theme, *, named: bool) -> str:
    name = f"{HEAD_SHORT[head]} " if named else ""
    return f'<span style="color:{theme.heads[head]}">{name}{error:.3f}</span>'


def _decades(smallest: float) -> dict[str, Any]:
    """Ticks of a logarithmic axis of shares: powers of a hundred, with room below the smallest share."""
    low = smallest if smallest > 1e-6 else 1e-6
    ticks = [tick for tick in (1e-6, 1e-4, 1e-2, 1.0) if tick >= low / 3] or [1.0]
    names = {1e-6: "0.0001 %", 1e-4: "0.01 %", 1e-2: "1 %", 1.0: "100 %"}
    return {
        "tickvals": ticks,
        "ticktext": [names[tick] for tick in ticks],
        "range": [math.log10(low) - 0.3, 0.1],
    }


def _band(table: pd.DataFrame, color: str) -> dict[str, Any]:
    known = table[table["low"].notna()]
    return {
        "type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": color, "line": {"width": 0},
        "x": pd.concat([known["mean_p"], known["mean_p"][::-1]]), "y": pd.concat([known["high"], known["low"][::-1]]),
        "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip


def _line(table: pd.DataFrame, head: Head, theme: Theme) -> dict[str, Any]:
    color = theme.heads[head]
    hover = (
        f"<b>{HEAD_TITLES[head]}</b><br>p from %{{customdata[0]:.3f}} to %{{customdata[1]:.3f}}<br>mean p %{{x:.3f}}"
        "<br>observed %{y:.3f} (%{customdata[2]:.3f} to %{customdata[3]:.3f})<br>%{customdata[4]:,} pixels"
        "<extra></extra>"
    )
    return {
        "type": "scatter", "mode": "lines+markers", "name": HEAD_TITLES[head], "x": table["mean_p"],
        "y": table["observed"], "line": {"color": color, "width": 2, "dash": HEAD_DASHES[head]},
        "marker": {"color": color, "size": 6, "symbol": HEAD_MARKERS[head]}, "hovertemplate": hover,
        "customdata": table[["low_edge", "high_edge", "low", "high", "pixels"]].to_numpy(),
    }  # fmt: skip


def _bars(table: pd.DataFrame, head: Head, theme: Theme) -> dict[str, Any]:
    return {
        "type": "bar", "x": (table["low_edge"] + table["high_edge"]) / 2, "xaxis": "x2", "yaxis": "y2",
        "y": table["share"].where(table["share"] > 0), "name": HEAD_TITLES[head], "showlegend": False,
        "marker": {"color": faded(theme.heads[head], 0.75), "line": {"width": 0}},
        "hovertemplate": f"{HEAD_TITLES[head]}<br>%{{y:.2%}} of the pixels<extra></extra>",
    }  # fmt: skip
