"""Validation scores while training to a figure: a line for each head and seed."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.figures.theme import HEAD_DASHES, HEAD_SHORT, Theme, axis, dress
from pipelines.schema import HEADS


def curve_figure(points: Sequence[dict[str, Any]], theme: Theme) -> go.Figure:
    """points: entries head, seed, epoch (from 1), score (macro Dice on validation), in any order."""
    figure = go.Figure()
    for head in HEADS:
        seeds = sorted({int(point["seed"]) for point in points if point["head"] == head})
        for seed in seeds:
            line = sorted((p["epoch"], p["score"]) for p in points if p["head"] == head and p["seed"] == seed)
            figure.add_scatter(
                x=[epoch for epoch, _ in line], y=[score for _, score in line], mode="lines+markers",
                name=HEAD_SHORT[head], legendgroup=head, showlegend=seed == seeds[0],
                line={"color": theme.heads[head], "width": 2, "dash": HEAD_DASHES[head]}, marker={"size": 5},
                hovertemplate=f"<b>{HEAD_SHORT[head]}</b>, seed {seed}<br>epoch %{{x}}: %{{y:.3f}}<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(axis(theme, title="epoch", rangemode="tozero", tickformat="d"))
    figure.update_yaxes(axis(theme, title="validation Dice", rangemode="tozero"))
    return dress(figure, theme, height=320, title="Learning")
