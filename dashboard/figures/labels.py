"""What the check counted to figures: class shares, and labels per pixel."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.figures.theme import Theme, axis, layout


def class_share_figure(class_facts: Sequence[Mapping[str, Any]], theme: Theme) -> go.Figure:
    """Share of valid pixels of each class. class_facts: entries name, color, share, pixels, images."""
    shares = [float(entry["share"]) for entry in class_facts]
    smallest = min((share for share in shares if share > 0), default=1.0)
    logarithmic = smallest < 0.01 * max(shares, default=1.0)
    bars = {
        "x": shares, "y": [str(entry["name"]) for entry in class_facts],
        "marker": {"color": [str(entry["color"]) for entry in class_facts], "line": {"width": 0}},
        "customdata": [[entry["pixels"], entry["images"]] for entry in class_facts],
        "hovertemplate": "<b>%{y}</b><br>%{x:.3%} of the pixels<br>%{customdata[0]:,} pixels"
        "<br>in %{customdata[1]:,} images<extra></extra>",
    }  # fmt: skip
    scale = {"type": "log"} if logarithmic else {"rangemode": "tozero"}
    title = "share of pixels, logarithmic" if logarithmic else "share of pixels"
    return _share_figure(bars, theme, title="Classes", x=scale | {"title": title})


def labels_per_pixel_figure(counts: Sequence[int], theme: Theme) -> go.Figure:
    """Share of valid pixels by number of labels. counts: pixels with 0, 1, 2, … labels."""
    total = max(sum(counts), 1)
    bars = {
        "x": [count / total for count in counts], "y": [_labels(number) for number in range(len(counts))],
        "marker": {"color": theme.muted, "line": {"width": 0}}, "customdata": list(counts),
        "hovertemplate": "%{y}: %{x:.2%}<br>%{customdata:,} pixels<extra></extra>",
    }  # fmt: skip
    return _share_figure(bars, theme, title="Labels per pixel", x={"rangemode": "tozero", "title": "share of pixels"})


def _share_figure(bars: dict[str, Any], theme: Theme, *, title: str, x: dict[str, Any]) -> go.Figure:
    """Lying bars of shares with their percents beside them."""
    bars |= {
        "type": "bar", "orientation": "h", "text": [_percent(share) for share in bars["x"]], "cliponaxis": False,
        "textposition": "outside", "textfont": {"color": theme.muted, "size": 12},
    }  # fmt: skip
    shared = layout(
        theme, height=90 + 30 * max(len(bars["y"]), 2), title=title, legend=False, bargap=0.35,
        margin={"l": 8, "r": 56, "t": 38, "b": 8}, xaxis=axis(theme, tickformat="~p", nticks=5, **x),
        yaxis=axis(theme, autorange="reversed", showgrid=False, type="category"),
    )  # fmt: skip
    return go.Figure({"data": [bars], "layout": shared})


def _labels(number: int) -> str:
    return "no label" if number == 0 else f"{number} label{'s' if number > 1 else ''}"


def _percent(share: float) -> str:
    value = 100 * share
    if value == 0:
        return "none"
    return f"{value:.1f} %" if value >= 1 else f"{value:.2g} %"
