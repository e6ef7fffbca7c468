"""Training to figures: loss and validation score, a line for each head and seed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dashboard.charts import Drawn, axis, figure_of, layout
from dashboard.theme import HEAD_DASHES, HEAD_SHORT, Theme
from pipelines.schema import HEADS

_HEIGHT: Final = 320


def curve_figure(
    points: Sequence[Mapping[Any, Any]],
    theme: Theme,
    *,
    title: str = "Learning",
    subtitle: str = "",
    top: float | None = None,
) -> Drawn:
    """Validation scores by epoch, with a ring around the epoch whose weights were kept.

    points: entries head, seed, epoch (from 1), score (macro Dice on validation) and, if it is known, best (bool), in
    any order. top: end of the axis of scores, for figures that are compared.
    """
    known = [point for point in points if not _is_nothing(point["score"])]
    traces = _lines(known, "score", theme, markers=True)
    traces += [_ring(point, theme) for point in known if point.get("best")]
    last = max((int(point["epoch"]) for point in known), default=1)
    scores = {"range": [0, 1.05 * top]} if top else {"rangemode": "tozero"}
    shared = layout(
        theme, height=_HEIGHT, title=title, subtitle=subtitle, xaxis=_epochs(theme, 0.5, last),
        yaxis=axis(theme, title="validation Dice", **scores),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def loss_figure(
    points: Sequence[Mapping[Any, Any]],
    theme: Theme,
    *,
    title: str = "Loss",
    subtitle: str = "",
    by_epoch: bool = False,
) -> Drawn:
    """Training losses. points: entries head, seed, epoch (float: steps counted in epochs), loss, in any order.

    by_epoch: the points are means of whole epochs, few enough to be seen one by one.
    """
    traces = _lines(points, "loss", theme, markers=by_epoch or len(points) < 2 * len(HEADS))
    last = max((math.ceil(point["epoch"]) for point in points), default=1)
    shared = layout(
        theme, height=_HEIGHT, title=title, subtitle=subtitle, xaxis=_epochs(theme, 0.5 if by_epoch else 0.0, last),
        yaxis=axis(theme, title="training loss", rangemode="tozero"),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def _lines(points: Sequence[Mapping[Any, Any]], what: str, theme: Theme, *, markers: bool) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = []
    for head in HEADS:
        seeds = sorted({int(point["seed"]) for point in points if point["head"] == head})
        for seed in seeds:
            line = sorted((p["epoch"], p[what]) for p in points if p["head"] == head and p["seed"] == seed)
            traces.append(
                {
                    "type": "scatter", "mode": "lines+markers" if markers else "lines", "x": [x for x, _ in line],
                    "y": [y for _, y in line], "name": HEAD_SHORT[head], "legendgroup": head,
                    "showlegend": seed == seeds[0], "marker": {"size": 5},
                    "line": {"color": theme.heads[head], "width": 2 if markers else 1.5, "dash": HEAD_DASHES[head]},
                    "hovertemplate": f"<b>{HEAD_SHORT[head]}</b>, seed {seed}<br>"
                    f"epoch %{{x{'' if what == 'score' else ':.1f'}}}: %{{y:.3f}}<extra></extra>",
                }
            )  # fmt: skip
    return traces


def _ring(point: Mapping[Any, Any], theme: Theme) -> dict[str, Any]:
    color = theme.heads[point["head"]]
    return {
        "type": "scatter", "mode": "markers", "x": [point["epoch"]], "y": [point["score"]], "showlegend": False,
        "legendgroup": point["head"], "hoverinfo": "skip",
        "marker": {"symbol": "circle-open", "size": 14, "color": color, "line": {"width": 2, "color": color}},
    }  # fmt: skip


def _epochs(theme: Theme, first: float, last: int) -> dict[str, Any]:
    return axis(theme, title="epoch", range=[first, last + (0.5 if first else 0.0)], dtick=-(-last // 10), tick0=0)


def _is_nothing(value: float | None) -> bool:
    return value is None or math.isnan(value)
