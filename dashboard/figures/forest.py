"""Paired differences to a forest plot: a row a class, its interval, and the band of practical equivalence."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import HEAD_SHORT, Theme, axis, dress
from pipelines.schema import MACRO, Head


def forest_figure(
    table: pd.DataFrame,
    theme: Theme,
    *,
    title: str,
    contender: Head,
    margin: float | None,
    subtitle: str = "",
    seeds: Sequence[float] = (),
) -> go.Figure:
    """A forest plot.

    table: rows of `tables.differences`. margin: half-width of the band of practical equivalence, None for no band.
    seeds: advantage of sigmoid in each seed, drawn as ticks on the first row.
    """
    figure = go.Figure()
    if margin is not None:
        figure.add_vrect(x0=-margin, x1=margin, fillcolor=theme.band, line_width=0, layer="below")
    figure.add_vline(x=0, line={"color": theme.muted, "width": 1})
    ends = zip(table["low"], table["high"], strict=True)
    colors = [_color(low, high, margin or 0.0, contender, theme) for low, high in ends]
    macro = table["class"] == MACRO
    hover = (
        "<b>%{y}</b><br>sigmoid %{customdata[0]:.4f}, softmax %{customdata[1]:.4f}"
        "<br>advantage of sigmoid %{x:+.4f} (%{customdata[2]:+.4f} to %{customdata[3]:+.4f})<extra></extra>"
    )
    for index, row in enumerate(table.itertuples()):
        thick = 4 if macro.iloc[index] else 2
        line = {"color": colors[index], "width": thick}
        name = _name(str(table["class"].iloc[index]))
        figure.add_scatter(
            x=[row.low, row.high], y=[name, name], mode="lines", line=line, hoverinfo="skip", showlegend=False
        )
    figure.add_scatter(
        x=table["advantage"],
        y=[_name(str(name)) for name in table["class"]],
        mode="markers",
        marker={
            "color": colors,
            "size": [12 if is_macro else 8 for is_macro in macro],
            "symbol": ["diamond" if is_macro else "circle" for is_macro in macro],
            "line": {"width": 1.5, "color": theme.surface},
        },
        customdata=table[["sigmoid", "softmax", "low", "high"]].to_numpy(),
        hovertemplate=hover,
        showlegend=False,
    )
    if seeds:
        figure.add_scatter(
            x=list(seeds),
            y=[_name(str(table["class"].iloc[0]))] * len(seeds),
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 16, "color": theme.text, "line": {"width": 1.5}},
            hovertemplate="one seed: %{x:+.4f}<extra></extra>",
            showlegend=False,
        )
    figure.update_yaxes(axis(theme, autorange="reversed", showgrid=False, type="category"))
    reach = _reach(table, margin)
    figure.update_xaxes(axis(theme, range=[-reach, reach], nticks=5, title=" ", tickformat="~g"))
    sides: tuple[tuple[str, Head, float, str], ...] = (
        (f"← {HEAD_SHORT[contender]} better", contender, 0.0, "left"), ("Sigmoid better →", "sigmoid", 1.0, "right"),
    )  # fmt: skip
    for words, head, x, anchor in sides:
        figure.add_annotation(
            x=x, y=0, xref="paper", yref="paper", xanchor=anchor, yanchor="top", yshift=-24, text=words,
            showarrow=False, font={"color": theme.heads[head], "size": 12},
        )  # fmt: skip
    dress(figure, theme, height=146 + 26 * len(table), title=title, legend=False)
    figure.update_layout(title={"subtitle": {"text": subtitle, "font": {"size": 12, "color": theme.muted}}})
    return figure.update_layout(margin={"t": 56})


def _name(class_name: str) -> str:
    return "mean of classes" if class_name == MACRO else class_name


def _reach(table: pd.DataFrame, margin: float | None) -> float:
    """Half-width of the axis: zero stays in the middle, so that the side of a point can be seen at a glance."""
    ends = pd.concat([table["low"], table["high"], table["advantage"]]).abs().max()
    widest = max(float(ends) if pd.notna(ends) else 0.0, 1.5 * (margin or 0.0))
    return 1.08 * widest or 1.0


def _color(low: float, high: float, margin: float, contender: Head, theme: Theme) -> str:
    """A head's colour only where the whole interval lies beyond the margin on its side."""
    if low > margin:
        return theme.heads["sigmoid"]
    if high < -margin:
        return theme.heads[contender]
    return theme.muted
