"""Reliability tables to diagrams: the heads over each other, with bands, above the share of pixels in each bin."""

import math
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.figures.theme import HEAD_DASHES, HEAD_MARKERS, HEAD_SHORT, HEAD_TITLES, Theme, axis, dress, faded
from pipelines.schema import Head


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
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.04)
    diagonal = {"color": theme.muted, "width": 1, "dash": "dot"}
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line=diagonal, showlegend=False, hoverinfo="skip", row=1, col=1
    )
    for head, table in tables.items():
        filled = table[table["pixels"] > 0]
        _add_band(figure, filled, faded(theme.heads[head], 0.18))
        _add_line(figure, filled, head, theme)
        figure.add_bar(
            x=(table["low_edge"] + table["high_edge"]) / 2,
            y=table["share"].where(table["share"] > 0),
            marker={"color": faded(theme.heads[head], 0.75), "line": {"width": 0}},
            name=HEAD_TITLES[head],
            showlegend=False,
            hovertemplate=f"{HEAD_TITLES[head]}<br>%{{y:.2%}} of the pixels<extra></extra>",
            row=2,
            col=1,
        )
    figure.update_layout(barmode="group", bargap=0.15, bargroupgap=0)
    figure.update_yaxes(axis(theme, range=[-0.02, 1.02], dtick=0.25, title=observed), row=1, col=1)
    figure.update_yaxes(axis(theme, type="log", title="pixels", nticks=4, tickformat=".0%"), row=2, col=1)
    shares = pd.concat([table["share"] for table in tables.values()])
    smallest = shares[shares > 0].min()
    figure.update_yaxes(_decades(float(smallest)), row=2, col=1)
    figure.update_xaxes(axis(theme, range=[-0.02, 1.02], dtick=0.25), row=1, col=1)
    figure.update_xaxes(axis(theme, range=[-0.02, 1.02], dtick=0.25, title="predicted p"), row=2, col=1)
    dress(figure, theme, height=height, legend=False)
    said = " · ".join(_colored(head, error, theme) for head, error in errors.items())
    figure.update_layout(title={"subtitle": {"text": f"ECE: {said}", "font": {"size": 12, "color": theme.muted}}})
    figure.update_layout(title={"text": title}, margin={"t": 56})
    return figure


def _colored(head: Head, error: float, theme: Theme) -> str:
    return f'<span style="color:{theme.heads[head]}">{HEAD_SHORT[head]} {error:.3f}</span>'


def _decades(smallest: float) -> dict[str, object]:
    """Ticks of a logarithmic axis of shares: at most three powers of a hundred, and room to the smallest share."""
    low = 1e-6 if not smallest > 1e-6 else smallest
    ticks = [tick for tick in (1e-6, 1e-4, 1e-2, 1.0) if tick >= low / 3] or [1.0]
    names = {1e-6: "0.0001 %", 1e-4: "0.01 %", 1e-2: "1 %", 1.0: "100 %"}
    return {
        "tickvals": ticks,
        "ticktext": [names[tick] for tick in ticks],
        "range": [math.log10(low) - 0.3, 0.1],
    }


def _add_band(figure: go.Figure, table: pd.DataFrame, color: str) -> None:
    known = table[table["low"].notna()]
    figure.add_scatter(
        x=pd.concat([known["mean_p"], known["mean_p"][::-1]]),
        y=pd.concat([known["high"], known["low"][::-1]]),
        fill="toself",
        fillcolor=color,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=1,
    )


def _add_line(figure: go.Figure, table: pd.DataFrame, head: Head, theme: Theme) -> None:
    color = theme.heads[head]
    hover = (
        f"<b>{HEAD_TITLES[head]}</b><br>p from %{{customdata[0]:.3f}} to %{{customdata[1]:.3f}}<br>mean p %{{x:.3f}}"
        "<br>observed %{y:.3f} (%{customdata[2]:.3f} to %{customdata[3]:.3f})<br>%{customdata[4]:,} pixels"
        "<extra></extra>"
    )
    figure.add_scatter(
        x=table["mean_p"],
        y=table["observed"],
        mode="lines+markers",
        name=HEAD_TITLES[head],
        line={"color": color, "width": 2, "dash": HEAD_DASHES[head]},
        marker={"color": color, "size": 6, "symbol": HEAD_MARKERS[head]},
        customdata=table[["low_edge", "high_edge", "low", "high", "pixels"]].to_numpy(),
        hovertemplate=hover,
        row=1,
        col=1,
    )
