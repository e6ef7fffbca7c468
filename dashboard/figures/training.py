"""Validation scores while training to a figure: a line for each head and seed."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.figures.theme import HEAD_DASHES, HEAD_SHORT, Theme, axis, layout
from pipelines.schema import HEADS


def curve_figure(points: Sequence[dict[str, Any]], theme: Theme) -> go.Figure:
    """points: entries head, seed, epoch (from 1), score (macro Dice on validation), in any order."""
    traces: list[dict[str, Any]] = []
    for head in HEADS:
        seeds = sorted({int(point["seed"]) for point in points if point["head"] == head})
        for seed in seeds:
            line = sorted((p["epoch"], p["score"]) for p in points if p["head"] == head and p["seed"] == seed)
            traces.append(
                {
                    "type": "scatter", "mode": "lines+markers", "x": [epoch for epoch, _ in line],
                    "y": [score for _, score in line], "name": HEAD_SHORT[head], "legendgroup": head,
                    "showlegend": seed == seeds[0], "marker": {"size": 5},
                    "line": {"color": theme.heads[head], "width": 2, "dash": HEAD_DASHES[head]},
                    "hovertemplate": f"<b>{HEAD_SHORT[head]}</b>, seed {seed}<br>"
                    "epoch %{x}: %{y:.3f}<extra></extra>",
                }
            )  # fmt: skip
    last = max((int(point["epoch"]) for point in points), default=1)
    epochs = axis(theme, title="epoch", range=[0.5, last + 0.5], dtick=-(-last // 10), tick0=0)
    shared = layout(
        theme, height=320, title="Learning", xaxis=epochs,
        yaxis=axis(theme, title="validation Dice", rangemode="tozero"),
    )  # fmt: skip
    return go.Figure({"data": traces, "layout": shared})
