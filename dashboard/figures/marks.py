"""Curves of heads and the thresholds on them to traces: what figures of thresholds and of ranking share."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from dashboard.figures.cuts import INNER, cut_text
from dashboard.figures.theme import HEAD_DASHES, HEAD_TITLES, Theme, words_in
from pipelines.arrays import Float32Array, Float64Array
from pipelines.metrics.thresholds import CUT_P
from pipelines.schema import Head

Role: TypeAlias = Literal["chosen", "half", "tuned", "best", "calibrated", "bayes", "cheapest"]
# Shape says which threshold it is, colour whose.
_SYMBOLS: Final[Mapping[Role, str]] = {
    "half": "circle-open", "calibrated": "line-ns-open", "tuned": "diamond", "best": "star", "bayes": "triangle-up",
    "cheapest": "hexagram", "chosen": "circle",
}  # fmt: skip
_SIZES: Final[Mapping[Role, int]] = {
    "half": 9, "calibrated": 15, "tuned": 10, "best": 12, "bayes": 10, "cheapest": 12, "chosen": 13,
}  # fmt: skip
INSIDE: Final = slice(INNER.start, INNER.stop)  # of arrays over all cuts, those that are drawn
INSIDE_P: Final = CUT_P[INSIDE].astype(np.float32)


class Mark(NamedTuple):
    """A point on a curve. said: its entry in the legend; cut: where; y: its height; x: where, if not at the cut's p."""

    role: Role
    said: str
    head: Head
    cut: int
    y: float
    x: float | None = None


def line(
    head: Head, x: Float64Array, y: Float64Array, theme: Theme, *, hover: str, at: Float32Array | None = None
) -> dict[str, Any]:
    """A curve. at: the threshold of each point, for the hover. Single precision halves what goes to the browser."""
    return {
        "type": "scatter", "mode": "lines", "name": HEAD_TITLES[head], "x": x.astype(np.float32),
        "y": y.astype(np.float32), "customdata": at,
        "line": {"color": theme.heads[head], "width": 2.5, "dash": HEAD_DASHES[head]},
        "hovertemplate": f"<b>{HEAD_TITLES[head]}</b> {hover}<extra></extra>",
    }  # fmt: skip


def mark_traces(marks: Sequence[Mark], theme: Theme, *, hover: str) -> list[dict[str, Any]]:
    """All points as one trace, and one without points a role that puts its shape into the legend in a quiet colour."""
    # Drawn in the order of roles, so that the chosen ones lie on top.
    known = sorted((one for one in marks if not math.isnan(one.y)), key=lambda one: list(_SYMBOLS).index(one.role))
    colors = [theme.heads[one.head] for one in known]
    hollow = ["open" in _SYMBOLS[one.role] for one in known]
    points = {
        "type": "scatter", "mode": "markers", "x": [one.x for one in known], "y": [one.y for one in known],
        "marker": {
            "opacity": 1, "symbol": [_SYMBOLS[one.role] for one in known], "size": [_SIZES[one.role] for one in known],
            "color": colors, "line": {
                "color": [color if open_ else theme.surface for color, open_ in zip(colors, hollow, strict=True)],
                "width": [2 if open_ else 1.5 for open_ in hollow],
            },
        },
        "customdata": [[HEAD_TITLES[one.head], one.said, cut_text(one.cut)] for one in known], "name": "thresholds",
        "hovertemplate": f"<b>%{{customdata[0]}}</b>, %{{customdata[1]}}<br>p > %{{customdata[2]}}: {hover}"
        "<extra></extra>", "showlegend": False, "cliponaxis": False,
    }  # fmt: skip
    quiet = {"color": theme.muted, "width": 2}
    entries: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": said, "hoverinfo": "skip",
            "marker": {"symbol": _SYMBOLS[role], "color": theme.muted, "size": 10, "line": quiet},
        }
        for role, said in {one.role: one.said for one in known}.items()
    ]  # fmt: skip
    return [points, *entries]


def room(subtitle: str) -> dict[str, Any]:
    """A margin above for each line of the subtitle."""
    return {"margin": {"l": 8, "r": 12, "t": 42 + 17 * (1 + subtitle.count("<br>")) if subtitle else 38, "b": 8}}


def colored(parts: Mapping[Head, str], theme: Theme, *, titles: Mapping[Head, str], apart: str = " · ") -> str:
    """A number of each head in its colour, for the line under a title."""
    return apart.join(
        f'<span style="color:{words_in(theme.heads[head], theme)}">{titles[head]} {text}</span>'
        for head, text in parts.items()
    )
