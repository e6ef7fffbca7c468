"""Overlap tables to figures: rates against the threshold, and predicted by true number of labels."""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.theme import HEAD_DASHES, HEAD_SHORT, HEAD_TITLES, Theme, axis, faded, layout
from pipelines.schema import Head

_TITLES: Final = {"overlap": "Pixels with two labels or more", "no label": "Pixels with no label"}
# One hue from light to dark (Crameri's "oslo" order): more labels, stronger colour.
_LABEL_COLORS: Final = {
    False: {"0": "#d9dde3", "1": "#a9a4d0", "2": "#6c5fb0", "3+": "#35246f"},
    True: {"0": "#39424e", "1": "#6a62a0", "2": "#9f95d6", "3+": "#d9d3f7"},
}


def rate_figure(
    tables: Mapping[Head, pd.DataFrame], theme: Theme, *, rate: str, threshold: float, height: int = 340
) -> go.Figure:
    """One rate against the threshold. tables: per head, `metrics.tables.label_rates`; threshold: where to mark."""
    traces: list[dict[str, Any]] = []
    truth = float("nan")
    for head, table in tables.items():
        rows = table[table["rate"] == rate]
        truth = float(rows["truth"].iloc[0])
        color = theme.heads[head]
        traces.append(
            {
                "type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": faded(color, 0.18),
                "x": pd.concat([rows["threshold"], rows["threshold"][::-1]]),
                "y": pd.concat([rows["high"], rows["low"][::-1]]), "line": {"width": 0}, "hoverinfo": "skip",
                "showlegend": False,
            }
        )  # fmt: skip
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": HEAD_TITLES[head], "x": rows["threshold"],
                "y": rows["value"], "line": {"color": color, "width": 2.5, "dash": HEAD_DASHES[head]},
                "customdata": rows[["low", "high"]].to_numpy(),
                "hovertemplate": f"<b>{HEAD_TITLES[head]}</b> at p > %{{x:.2f}}<br>%{{y:.2%}} of pixels "
                "(%{customdata[0]:.2%} to %{customdata[1]:.2%})<extra></extra>",
            }
        )  # fmt: skip
    traces.append(
        {
            "type": "scatter", "mode": "lines", "name": "Truth", "x": [0, 1], "y": [truth, truth],
            "line": {"color": theme.text, "width": 1.2, "dash": "dot"},
            "hovertemplate": "Truth: %{y:.2%} of pixels<extra></extra>",
        }
    )  # fmt: skip
    mark = {"type": "line", "x0": threshold, "x1": threshold, "yref": "paper", "y0": 0, "y1": 1}
    shared = layout(
        theme, height=height, title=_TITLES[rate], shapes=[mark | {"line": {"color": theme.muted, "width": 1}}],
        xaxis=axis(theme, range=[0, 1], dtick=0.25, title="threshold on p"),
        yaxis=axis(theme, rangemode="tozero", tickformat="~p", title="share of pixels", nticks=6),
    )  # fmt: skip
    return go.Figure({"data": traces, "layout": shared})


def labels_figure(tables: Mapping[Head, pd.DataFrame], theme: Theme) -> go.Figure:
    """Predicted number of labels, as shares, by true number of labels and head. tables: `predicted_labels` per head."""
    frame = pd.concat([table.assign(head=HEAD_SHORT[head]) for head, table in tables.items()])
    frame = frame.sort_values("true_labels", kind="stable")
    colors = _LABEL_COLORS[theme.dark]
    traces: list[dict[str, Any]] = []
    for predicted in dict.fromkeys(frame["predicted_labels"]):
        rows = frame[frame["predicted_labels"] == predicted]
        traces.append(
            {
                "type": "bar", "orientation": "h", "name": f"{_plural(predicted)} predicted", "x": rows["share"],
                "y": [[_plural(name) for name in rows["true_labels"]], list(rows["head"])],
                "marker": {"color": colors[predicted], "line": {"width": 0}}, "customdata": rows["pixels"],
                "hovertemplate": f"{_plural(predicted)} predicted: %{{x:.2%}}<br>"
                "%{customdata:,} pixels<extra></extra>",
            }
        )  # fmt: skip
    bars = frame["true_labels"].nunique() * len(tables)
    shared = layout(
        theme, height=160 + 36 * bars, title="Labels predicted, by true number", barmode="stack", bargap=0.25,
        xaxis=axis(theme, range=[0, 1], tickformat=".0%", title="share of the pixels with that truth"),
        yaxis=axis(theme, autorange="reversed", showgrid=False, dividercolor=theme.line),
    )  # fmt: skip
    return go.Figure({"data": traces, "layout": shared})


def _plural(labels: str) -> str:
    return {"0": "no label", "1": "1 label", "3+": "3 or more"}.get(labels, f"{labels} labels")
