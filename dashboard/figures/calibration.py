"""Calibration errors of single images to a figure: their spread by class and head, with the pooled error marked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from dashboard.figures.drawn import Drawn
from dashboard.figures.theme import HEAD_MARKERS, HEAD_SHORT, HEAD_TITLES, Theme, axis, faded, figure_of, layout
from pipelines.schema import Head

_LANE: Final = 24  # CSS pixels of a head's lane
_BETWEEN: Final = 0.8  # lanes between two classes
_DRAWN: Final = 2500  # images drawn one by one; of more, only those outside the middle nine tenths
_SPREAD: Final = 0.24  # lanes that points are moved up or down at most, so that equal ones can be told apart


def by_image_figure(pooled: pd.DataFrame, single: pd.DataFrame, theme: Theme, *, title: str) -> Drawn:
    """A lane for each class and head: dots are images, bars their middle 50 and 90%, a tick their median.

    pooled: rows class, head, pooled, p5, p25, p50, p75, p95; single: rows class, head, image, value, NaN left out.
    A diamond stands at the error of all images together. Points carry [image, class, head] as customdata.
    """
    classes, heads = list(dict.fromkeys(pooled["class"])), list(dict.fromkeys(pooled["head"]))
    room = len(heads) + _BETWEEN
    lanes = {(name, head): at * room + lane for at, name in enumerate(classes) for lane, head in enumerate(heads)}
    shown = _drawn(single.dropna(subset="value"), pooled)
    traces: list[dict[str, Any]] = []
    for head in heads:
        rows = pooled[pooled["head"] == head].dropna(subset="pooled")
        places = [lanes[name, head] for name in rows["class"]]
        traces += _spread(rows, places, head, theme)
        traces.append(_images(shown[shown["head"] == head], lanes, head, theme))
        traces.append(_pooled(rows, places, head, theme))
    last = lanes[classes[-1], heads[-1]]
    shared = layout(
        theme, height=round(110 + _LANE * (last + 1)), title=title, legend=False,
        xaxis=axis(theme, rangemode="tozero", title="calibration error", nticks=7, tickformat="~g"),
        yaxis=axis(
            theme, range=[last + 0.8, -0.8], showgrid=False, ticktext=classes,
            tickvals=[lanes[name, heads[0]] + (len(heads) - 1) / 2 for name in classes],
        ),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def _drawn(single: pd.DataFrame, pooled: pd.DataFrame) -> pd.DataFrame:
    """Images that get a dot."""
    if len(single) <= _DRAWN:
        return single
    ends = pooled.set_index(["class", "head"])[["p5", "p95"]]
    joined = single.join(ends, on=["class", "head"])
    return joined[(joined["value"] < joined["p5"]) | (joined["value"] > joined["p95"])]


def _spread(rows: pd.DataFrame, places: Sequence[float], head: Head, theme: Theme) -> list[dict[str, Any]]:
    """Bars of the middle 90 and 50% of the images, and a tick at their median."""
    bars = [
        {
            "type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False,
            "x": [x for low, high in zip(rows[first], rows[last], strict=True) for x in (low, high, None)],
            "y": [y for place in places for y in (place, place, None)],
            "line": {"color": faded(theme.heads[head], strength), "width": width},
        }
        for first, last, strength, width in (("p5", "p95", 0.35, 3), ("p25", "p75", 0.35, 12))
    ]  # fmt: skip
    median = {
        "type": "scatter", "mode": "markers", "x": rows["p50"].to_numpy(), "y": list(places), "hoverinfo": "skip",
        "marker": {"symbol": "line-ns-open", "size": 14, "color": theme.text, "line": {"width": 2}},
    }  # fmt: skip
    return [*bars, median]


def _images(rows: pd.DataFrame, lanes: Mapping[tuple[str, Head], float], head: Head, theme: Theme) -> dict[str, Any]:
    """A dot an image, moved a little by its name's place in the list so that the picture is always the same."""
    steps = (np.arange(len(rows)) * 0.618034) % 1  # golden section: neighbours land far apart
    middles = np.array([lanes[name, head] for name in rows["class"]], np.float64)
    return {
        "type": "scatter", "mode": "markers", "x": rows["value"].to_numpy(),
        "y": middles + _SPREAD * (2 * steps - 1),
        "marker": {"color": faded(theme.heads[head], 0.75), "size": 5}, "cliponaxis": False,
        "customdata": rows[["image", "class", "head"]].to_numpy(dtype=object),
        "hovertemplate": f"%{{customdata[0]}}<br>{HEAD_SHORT[head]}, %{{customdata[1]}}: %{{x:.3f}}<extra></extra>",
    }  # fmt: skip


def _pooled(rows: pd.DataFrame, places: Sequence[float], head: Head, theme: Theme) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "x": rows["pooled"].to_numpy(), "y": list(places),
        "marker": {
            "symbol": HEAD_MARKERS[head], "size": 11, "color": theme.heads[head],
            "line": {"width": 2, "color": theme.text},
        },
        "customdata": rows["class"].to_numpy(dtype=object), "cliponaxis": False,
        "hovertemplate": f"<b>{HEAD_TITLES[head]}, %{{customdata}}</b><br>all images together: %{{x:.3f}}"
        "<extra></extra>",
    }  # fmt: skip
