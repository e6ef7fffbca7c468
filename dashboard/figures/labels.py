"""What the check counted to figures: class shares, and labels per pixel."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.figures.theme import Theme, axis, dress


def class_share_figure(class_facts: Sequence[Mapping[str, Any]], theme: Theme) -> go.Figure:
    """Share of valid pixels of each class. class_facts: entries name, color, share, pixels, images."""
    shares = [float(entry["share"]) for entry in class_facts]
    smallest = min((share for share in shares if share > 0), default=1.0)
    logarithmic = smallest < 0.01 * max(shares, default=1.0)
    figure = go.Figure(
        go.Bar(
            x=shares, y=[str(entry["name"]) for entry in class_facts], orientation="h",
            marker={"color": [str(entry["color"]) for entry in class_facts], "line": {"width": 0}},
            customdata=[[entry["pixels"], entry["images"]] for entry in class_facts],
            hovertemplate="<b>%{y}</b><br>%{x:.3%} of the pixels<br>%{customdata[0]:,} pixels"
            "<br>in %{customdata[1]:,} images<extra></extra>",
            text=[_percent(share) for share in shares], textposition="outside", cliponaxis=False,
            textfont={"color": theme.muted, "size": 12},
        )
    )  # fmt: skip
    scale = {"type": "log"} if logarithmic else {"rangemode": "tozero"}
    title = "share of pixels, logarithmic" if logarithmic else "share of pixels"
    figure.update_xaxes(axis(theme, title=title, tickformat="~p", nticks=5, **scale))
    figure.update_yaxes(axis(theme, autorange="reversed", showgrid=False, type="category"))
    figure.update_layout(bargap=0.35)
    dress(figure, theme, height=90 + 30 * max(len(class_facts), 2), title="Classes", legend=False)
    return figure.update_layout(margin={"r": 56})


def labels_per_pixel_figure(counts: Sequence[int], theme: Theme) -> go.Figure:
    """Share of valid pixels by number of labels. counts: pixels with 0, 1, 2, … labels."""
    total = max(sum(counts), 1)
    shares = [count / total for count in counts]
    figure = go.Figure(
        go.Bar(
            x=shares, y=[_labels(number) for number in range(len(counts))], orientation="h",
            marker={"color": theme.muted, "line": {"width": 0}}, customdata=list(counts),
            hovertemplate="%{y}: %{x:.2%}<br>%{customdata:,} pixels<extra></extra>",
            text=[_percent(share) for share in shares], textposition="outside", cliponaxis=False,
            textfont={"color": theme.muted, "size": 12},
        )
    )  # fmt: skip
    figure.update_xaxes(axis(theme, title="share of pixels", tickformat="~p", nticks=5, rangemode="tozero"))
    figure.update_yaxes(axis(theme, autorange="reversed", showgrid=False, type="category"))
    figure.update_layout(bargap=0.35)
    dress(figure, theme, height=90 + 30 * max(len(counts), 2), title="Labels per pixel", legend=False)
    return figure.update_layout(margin={"r": 56})


def _labels(number: int) -> str:
    return "no label" if number == 0 else f"{number} label{'s' if number > 1 else ''}"


def _percent(share: float) -> str:
    value = 100 * share
    if value == 0:
        return "none"
    return f"{value:.1f} %" if value >= 1 else f"{value:.2g} %"
