"""Overlap tables to figures: rates against the threshold, numbers of labels, and pairs of classes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
)
from pipelines.schema import Head

_LANE: Final = 24  # CSS pixels of a head's lane
_BETWEEN: Final = 0.8  # lanes between two pairs
_TITLES: Final = {"overlap": "Pixels with two labels or more", "no label": "Pixels with no label"}
# One hue from light to dark (Crameri's "oslo" order): more labels, stronger colour.
_LABEL_COLORS: Final = {
    False: {"0": "#d9dde3", "1": "#a9a4d0", "2": "#6c5fb0", "3+": "#35246f"},
    True: {"0": "#39424e", "1": "#6a62a0", "2": "#9f95d6", "3+": "#d9d3f7"},
}


def rate_figure(tables: Mapping[Head, pd.DataFrame], theme: Theme, *, rate: str, height: int = 340) -> Drawn:
    """One rate against the threshold. tables: per head, `metrics.tables.label_rates`."""
    traces: list[dict[str, Any]] = []
    truth = float("nan")
    for head, table in tables.items():
        chosen = (table["rate"] == rate).to_numpy()
        x, y, low, high, true = (
            table[name].to_numpy()[chosen] for name in ("threshold", "value", "low", "high", "truth")
        )
        truth = float(true[0])
        color = theme.heads[head]
        traces.append(
            {
                "type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": faded(color, 0.18),
                "x": np.concatenate([x, x[::-1]]), "y": np.concatenate([high, low[::-1]]),
                "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False,
            }
        )  # fmt: skip
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": HEAD_TITLES[head], "x": x, "y": y,
                "line": {"color": color, "width": 2.5, "dash": HEAD_DASHES[head]},
                "customdata": np.stack([low, high], axis=-1),
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
    shared = layout(
        theme, height=height, title=_TITLES[rate],
        xaxis=axis(theme, range=[0, 1], dtick=0.25, title="threshold on p"),
        yaxis=axis(theme, rangemode="tozero", tickformat="~p", title="share of pixels", nticks=6),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def marked_at(curves: Drawn, theme: Theme, threshold: float) -> Drawn:
    """A figure over thresholds with a line at one."""
    mark = {"type": "line", "x0": threshold, "x1": threshold, "yref": "paper", "y0": 0, "y1": 1}
    return curves.with_layout(shapes=[mark | {"line": {"color": theme.muted, "width": 1}}])


def labels_figure(tables: Mapping[Head, pd.DataFrame], theme: Theme) -> Drawn:
    """Predicted number of labels, as shares, by true number of labels and head. tables: `predicted_labels` per head."""
    names = ("true_labels", "predicted_labels", "share", "pixels")
    rows = [
        (true, HEAD_SHORT[head], predicted, share, pixels)
        for head, table in tables.items()
        for true, predicted, share, pixels in zip(*(table[name].tolist() for name in names), strict=True)
    ]
    rows.sort(key=lambda row: row[0])  # heads keep their order
    colors = _LABEL_COLORS[theme.dark]
    traces: list[dict[str, Any]] = []
    for predicted in dict.fromkeys(row[2] for row in rows):
        true, heads, _, shares, pixels = zip(*(row for row in rows if row[2] == predicted), strict=True)
        traces.append(
            {
                "type": "bar", "orientation": "h", "name": f"{_plural(predicted)} predicted",
                "x": list(shares), "y": [[_plural(name) for name in true], list(heads)],
                "marker": {"color": colors[predicted], "line": {"width": 0}}, "customdata": list(pixels),
                "hovertemplate": f"{_plural(predicted)} predicted: %{{x:.2%}}<br>"
                "%{customdata:,} pixels<extra></extra>",
            }
        )  # fmt: skip
    bars = len({row[0] for row in rows}) * len(tables)
    shared = layout(
        theme, height=150 + max(26 * bars, 36 * (1 + 2 * len(tables))), barmode="stack", bargap=0.25,
        title="Labels predicted, by true number",
        xaxis=axis(theme, range=[0, 1], tickformat=".0%", title="share of the pixels with that truth"),
        yaxis=axis(theme, autorange="reversed", showgrid=False, dividercolor=theme.line),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def mass_figure(table: pd.DataFrame, theme: Theme) -> Drawn:
    """Shares of the pixels with no label, one, and two or more: a bar a row.

    table: rows row, labels ("0", "1", "2+") and share, bars from the top.
    """
    colors = _LABEL_COLORS[theme.dark]
    bars: dict[str, list[tuple[str, float]]] = {}
    for row, labels, share in zip(*(table[name].tolist() for name in ("row", "labels", "share")), strict=True):
        bars.setdefault(labels, []).append((row, share))
    traces = [
        {
            "type": "bar", "orientation": "h", "name": _plural(labels), "x": [share for _, share in rows],
            "y": [row for row, _ in rows], "marker": {"color": colors[labels[0]], "line": {"width": 0}},
            "hovertemplate": f"%{{y}}<br>{_plural(labels)}: %{{x:.2%}} of pixels<extra></extra>",
        }
        for labels, rows in bars.items()
        if any(share for _, share in rows)
    ]  # fmt: skip
    shared = layout(
        theme, height=150 + 36 * max(map(len, bars.values()), default=0), barmode="stack", bargap=0.25,
        title="Labels a pixel: expected and decided",
        xaxis=axis(theme, range=[0, 1], tickformat=".0%", title="share of pixels"),
        yaxis=axis(theme, autorange="reversed", showgrid=False, type="category"),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def expected_figure(table: pd.DataFrame, theme: Theme, *, threshold: float) -> Drawn:
    """Of each pair of classes and head: expected overlap if independent (hollow), decided (filled), truth (line).

    table: rows pair, head, lowest, highest (Fréchet bounds), independent, predicted, observed, all shares of the
    pixels, pairs from the top. The bounds are a faint bar.
    """
    pairs, heads = list(dict.fromkeys(table["pair"])), list(dict.fromkeys(table["head"]))
    room = len(heads) + _BETWEEN
    lanes = {(pair, head): at * room + lane for at, pair in enumerate(pairs) for lane, head in enumerate(heads)}
    traces: list[dict[str, Any]] = []
    for head in heads:
        rows = table[table["head"] == head]
        traces += _dumbbells(rows, [lanes[pair, head] for pair in rows["pair"]], head, theme)
    truth = table.drop_duplicates("pair")
    traces.append(
        {
            "type": "scatter", "mode": "lines", "name": "truth", "line": {"color": theme.text, "width": 2.5},
            "x": [x for value in truth["observed"] for x in (value, value, None)],
            "y": [y for pair in pairs for y in (lanes[pair, heads[0]] - 0.55, lanes[pair, heads[-1]] + 0.55, None)],
            "hovertemplate": "truth: %{x:.2%} of pixels<extra></extra>",
        }
    )  # fmt: skip
    traces += _keys(theme, threshold)
    last = lanes[pairs[-1], heads[-1]]
    shared = layout(
        theme, height=round(150 + _LANE * (last + 1)), title="Pairs: expected and decided overlap",
        xaxis=axis(theme, rangemode="tozero", tickformat="~p", title="share of pixels with both", nticks=6),
        yaxis=axis(
            theme, range=[last + 0.9, -0.9], showgrid=False, ticklabelstandoff=8, ticktext=pairs,
            tickvals=[lanes[pair, heads[0]] + (len(heads) - 1) / 2 for pair in pairs],
        ),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def _dumbbells(rows: pd.DataFrame, places: Sequence[float], head: Head, theme: Theme) -> list[dict[str, Any]]:
    """Bounds, expected and decided overlap of one head."""
    color = theme.heads[head]
    quiet = {"type": "scatter", "showlegend": False}
    lines = [
        quiet | {
            "mode": "lines", "hoverinfo": "skip", "line": {"color": faded(color, strength), "width": width},
            "x": [x for low, high in zip(rows[first], rows[last], strict=True) for x in (low, high, None)],
            "y": [y for place in places for y in (place, place, None)],
        }
        for first, last, strength, width in (("lowest", "highest", 0.18, 12), ("independent", "predicted", 1.0, 1.5))
    ]  # fmt: skip
    marker = {"symbol": HEAD_MARKERS[head], "size": 10, "line": {"width": 2, "color": color}}
    said = rows[["pair", "independent", "predicted", "lowest", "highest"]].to_numpy(dtype=object)
    hover = (
        f"<b>{HEAD_TITLES[head]}, %{{customdata[0]}}</b><br>expected if independent %{{customdata[1]:.2%}}"
        "<br>decided %{customdata[2]:.2%}<br>bounds %{customdata[3]:.2%} to %{customdata[4]:.2%}<extra></extra>"
    )
    points = [
        quiet | {
            "mode": "markers", "cliponaxis": False, "x": rows[column].to_numpy(), "y": list(places), "customdata": said,
            "marker": marker | {"color": fill}, "hovertemplate": hover,
        }
        for column, fill in (("independent", theme.surface), ("predicted", color))
    ]  # fmt: skip
    return [*lines, *points]


def _keys(theme: Theme, threshold: float) -> list[dict[str, Any]]:
    """Entries of the legend that stand for all heads."""
    marker = {"size": 10, "symbol": "circle", "line": {"width": 2, "color": theme.muted}}
    nowhere = {"type": "scatter", "x": [None], "y": [None]}
    return [
        nowhere | {"mode": "markers", "name": "expected if independent", "marker": marker | {"color": theme.surface}},
        nowhere
        | {"mode": "markers", "name": f"decided at p > {threshold:.2f}", "marker": marker | {"color": theme.muted}},
        nowhere | {"mode": "lines", "name": "Fréchet bounds", "line": {"color": faded(theme.muted, 0.3), "width": 12}},
    ]


def _plural(labels: str) -> str:
    return {"0": "no label", "1": "1 label", "2+": "2 labels or more", "3+": "3 or more"}.get(
        labels, f"{labels} labels"
    )
