"""What the check counted to figures: class shares, labels per pixel, nesting, ceilings and splits."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from dashboard.figures.drawn import Drawn
from dashboard.figures.theme import Theme, axis, faded, figure_of, layout

_LONGEST: Final = 18  # characters of a class's name in a row of two
SPLIT_TITLES: Final[Mapping[str, str]] = {"train": "Training", "val": "Validation", "test": "Test"}


def class_share_figure(class_facts: Sequence[Mapping[str, Any]], theme: Theme) -> Drawn:
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


def labels_per_pixel_figure(counts: Sequence[int], theme: Theme) -> Drawn:
    """Share of valid pixels by number of labels. counts: pixels with 0, 1, 2, … labels."""
    total = max(sum(counts), 1)
    bars = {
        "x": [count / total for count in counts], "y": [_labels(number) for number in range(len(counts))],
        "marker": {"color": theme.muted, "line": {"width": 0}}, "customdata": list(counts),
        "hovertemplate": "%{y}: %{x:.2%}<br>%{customdata:,} pixels<extra></extra>",
    }  # fmt: skip
    return _share_figure(bars, theme, title="Labels per pixel", x={"rangemode": "tozero", "title": "share of pixels"})


def ceiling_figure(table: pd.DataFrame, theme: Theme) -> Drawn:
    """The best Dice with one label a pixel, and Dice by priority, against 1, which several labels can reach.

    table: rows class, ceiling_dice, priority_dice, from the top; NaN for a class that never occurs.
    """
    names = [str(name) for name in table["class"]]
    best, rule = table["ceiling_dice"].to_numpy(), table["priority_dice"].to_numpy()
    lost: dict[str, Any] = {
        "type": "scatter", "mode": "lines", "x": [x for one in best for x in (one, 1.0, None)],
        "y": [y for name in names for y in (name, name, None)], "line": {"color": theme.line, "width": 8},
        "hoverinfo": "skip", "name": "out of reach",
    }  # fmt: skip
    points = [
        {
            "type": "scatter", "mode": "markers", "x": values, "y": names, "name": title,
            "marker": {"symbol": symbol, "size": size, "color": color, "line": {"width": 2, "color": theme.text}},
            "hovertemplate": f"<b>%{{y}}</b><br>{title}: Dice %{{x:.3f}}<extra></extra>",
        }
        for title, values, symbol, size, color in (
            ("best one label a pixel can do", best, "circle", 11, theme.text),
            ("one label by priority", rule, "diamond-open", 15, theme.text),
        )
    ]  # fmt: skip
    top = {"type": "line", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1, "line": {"color": theme.text}}
    lowest = float(np.nanmin([best, rule, np.ones_like(best)]))
    shared = layout(
        theme, height=140 + 34 * max(len(names), 2), title="Best possible with one label a pixel", shapes=[top],
        xaxis=axis(theme, range=[min(0.9, lowest) - 0.03, 1.02], title="Dice", nticks=6, tickformat="~g"),
        yaxis=axis(theme, autorange="reversed", type="category", showgrid=False),
    )  # fmt: skip
    return figure_of({"data": [lost, *points], "layout": shared})


def nesting_figure(table: pd.DataFrame, theme: Theme, *, colors: Mapping[str, str]) -> Drawn:
    """Pairs of classes as bars over each other: what lies under both is shared, so that nesting is seen.

    table: rows inner, outer, share (of inner inside outer), back (of outer inside inner), pixels (shared) and nested
    (whether inner lies inside), from the top. colors: of the classes, "#rrggbb". Each row is as wide as both together.
    """
    pixels = table["pixels"].to_numpy(np.float64)
    inner, outer = pixels / table["share"].to_numpy(), pixels / table["back"].to_numpy()
    whole = inner + outer - pixels
    names = [f"<b>{_short(a)}</b> in {_short(b)}" for a, b in zip(table["inner"], table["outer"], strict=True)]
    said = table[["inner", "outer", "share", "back", "pixels"]].to_numpy(dtype=object)
    hover = (
        "%{customdata[2]:.1%} of %{customdata[0]} lies inside %{customdata[1]}<br>%{customdata[3]:.1%} of "
        "%{customdata[1]} lies inside %{customdata[0]}<br>%{customdata[4]:,} shared pixels<extra></extra>"
    )
    bars = [
        {
            "type": "bar", "orientation": "h", "y": list(range(len(names))), "x": size / whole, "base": start / whole,
            "width": width, "customdata": said, "hovertemplate": hover,
            "marker": {"color": [faded(colors[name], alpha) for name in table[column]], "line": line},
        }
        for column, size, start, width, alpha, line in (
            ("outer", outer, np.zeros_like(outer), 0.78, 0.45, {"width": 1, "color": theme.muted}),
            ("inner", inner, outer - pixels, 0.42, 1.0, {"width": 1, "color": theme.text}),
        )
    ]  # fmt: skip
    notes = [
        {
            "x": 1.015, "xanchor": "left", "y": at, "text": _percent(share), "showarrow": False,
            "font": {"size": 13, "color": theme.text, "weight": 600 if nested else 400},
        }
        for at, (share, nested) in enumerate(zip(table["share"], table["nested"], strict=True))
    ]  # fmt: skip
    shared = layout(
        theme, height=100 + 44 * len(names), title="Which class lies inside which", legend=False,
        barmode="overlay", annotations=notes, margin={"l": 8, "r": 8, "t": 38, "b": 8},
        xaxis=axis(theme, range=[0, 1.24], tickvals=[0, 0.5, 1], tickformat="~p", title="of the pixels of both"),
        yaxis=axis(theme, range=[len(names) - 0.5, -0.5], showgrid=False, ticktext=names,
                   tickvals=list(range(len(names)))),
    )  # fmt: skip
    return figure_of({"data": bars, "layout": shared})


def split_share_figure(table: pd.DataFrame, theme: Theme) -> Drawn:
    """Share of the valid pixels of each class in each split, as points on a row a class.

    table: rows class, split, share. The axis is logarithmic when a class is rarer than a hundredth of the commonest.
    """
    names, splits = list(dict.fromkeys(table["class"])), list(dict.fromkeys(table["split"]))
    some = table["share"][table["share"] > 0]
    logarithmic = bool(len(some)) and float(some.min()) < 0.01 * float(some.max())
    by_class = table[table["share"] > 0].groupby("class", sort=False)["share"]
    ends = [(name, float(one.min()), float(one.max())) for name, one in by_class]
    lines: dict[str, Any] = {
        "type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False,
        "x": [x for _, low, high in ends for x in (low, high, None)],
        "y": [y for name, _, _ in ends for y in (name, name, None)], "line": {"color": theme.line, "width": 4},
    }  # fmt: skip
    points = [
        {
            "type": "scatter", "mode": "markers", "name": SPLIT_TITLES[split], "y": list(rows["class"]),
            "x": rows["share"].where(rows["share"] > 0).to_numpy(),
            "marker": {"symbol": symbol, "size": 10, "color": theme.muted, "line": {"width": 2, "color": theme.text}},
            "hovertemplate": f"<b>%{{y}}</b>, {SPLIT_TITLES[split].lower()}: %{{x:.2%}}<extra></extra>",
        }
        for split, symbol, rows in (
            (split, symbol, table[table["split"] == split])
            for split, symbol in zip(splits, ("circle-open", "square-open", "diamond"), strict=False)
        )
    ]  # fmt: skip
    scale = {"type": "log", "title": "share of pixels, logarithmic"} if logarithmic else {"title": "share of pixels"}
    shared = layout(
        theme, height=140 + 30 * max(len(names), 2), title="Classes in each split",
        xaxis=axis(theme, tickformat="~p", nticks=5, **({} if logarithmic else {"rangemode": "tozero"}), **scale),
        yaxis=axis(theme, autorange="reversed", type="category", showgrid=False, categoryarray=names),
    )  # fmt: skip
    return figure_of({"data": [lines, *points], "layout": shared})


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _share_figure(bars: dict[str, Any], theme: Theme, *, title: str, x: dict[str, Any]) -> Drawn:
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
    return figure_of({"data": [bars], "layout": shared})


def _labels(number: int) -> str:
    return "no label" if number == 0 else f"{number} label{'s' if number > 1 else ''}"


def _percent(share: float) -> str:
    value = 100 * share
    if value == 0:
        return "none"
    return f"{value:.1f}%" if value >= 1 else f"{value:.2g}%"
