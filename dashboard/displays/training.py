"""How networks learned: loss and validation score by epoch, a line for each head and seed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from dashboard import queries
from dashboard.charts import Drawn, Trace, draw, mark, scatter
from dashboard.displays.base import Display, Picture
from dashboard.rounding import rounded
from dashboard.theme import HEAD_DASHES, HEAD_SHORT, Theme
from pipelines.schema import HEADS
from pipelines.store.runs import Run

_HEIGHT: Final = 320


def learning(run: Run, theme: Theme, *, top: float | None = None, named: bool = False) -> Display | None:
    """Loss and validation score while training, of each head and seed; None when the networks were loaded.

    top: end of the axis of scores; named: say in the titles which run it is; both for runs that are compared.
    """
    curves = queries.runs.learning(run)
    if curves is None:
        return None
    losses, points = curves
    loss_title, score_title = "Training loss", "Validation Dice"
    if named:
        loss_title, score_title = f"{run.name}: training loss", f"{run.name}: validation Dice"
    pictures = []
    if len(losses):
        figure = loss_figure(losses.to_dict("records"), theme, title=loss_title, subtitle="mean of neighbouring steps")
        pictures.append(Picture(f"loss_{run.name}", figure, f"Training loss of {run.name} by epoch, head and seed."))
    if len(points):
        figure = curve_figure(
            points.to_dict("records"), theme, title=score_title, subtitle="ring: the weights that were kept", top=top
        )
        best = "; ".join(
            f"{row['head']}, seed {row['seed']}: {rounded(row['score'])} in epoch {row['epoch']}"
            for row in points[points["best"]].to_dict("records")
        )
        pictures.append(Picture(f"score_{run.name}", figure, f"Validation Dice of {run.name} by epoch. Best: {best}."))
    if not pictures:
        return None
    table = pd.concat([losses.assign(what="loss"), points.assign(what="score")], ignore_index=True)
    return Display(f"learning_{run.name}", "Training", tuple(pictures), table, "learning", columns=2)


def training(runs: Sequence[Run], theme: Theme) -> Display | None:
    """The same of several runs, scores on one scale; None when the networks of every run were loaded."""
    curves = [queries.runs.learning(run) for run in runs]
    highest = [float(pair[1]["score"].max()) for pair in curves if pair is not None and len(pair[1])]
    displays = [learning(run, theme, top=max(highest, default=None), named=len(runs) > 1) for run in runs]
    drawn = [(run.name, display) for run, display in zip(runs, displays, strict=True) if display is not None]
    if not drawn:
        return None
    table = pd.concat([display.table.assign(run=name) for name, display in drawn], ignore_index=True)
    pictures = tuple(picture for _, display in drawn for picture in display.pictures)
    return Display("learning", "Training", pictures, table, "learning", columns=2)


# Figures -----------------------------------------------------------------------------------------------------------


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
    known = [point for point in points if point["score"] is not None and not math.isnan(point["score"])]
    rings = [_ring(point, theme) for point in known if point.get("best")]
    last = max((int(point["epoch"]) for point in known), default=1)
    scores = {"range": [0, 1.05 * top]} if top else {"rangemode": "tozero"}
    return draw(
        [*_lines(known, "score", theme, markers=True), *rings],
        theme,
        height=_HEIGHT,
        title=title,
        subtitle=subtitle,
        xaxis=_epochs(0.5, last),
        yaxis={"title": "validation Dice"} | scores,
    )


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
    last = max((math.ceil(point["epoch"]) for point in points), default=1)
    return draw(
        _lines(points, "loss", theme, markers=by_epoch or len(points) < 2 * len(HEADS)),
        theme,
        height=_HEIGHT,
        title=title,
        subtitle=subtitle,
        xaxis=_epochs(0.5 if by_epoch else 0.0, last),
        yaxis={"title": "training loss", "rangemode": "tozero"},
    )


def _lines(points: Sequence[Mapping[Any, Any]], value: str, theme: Theme, *, markers: bool) -> list[Trace]:
    traces: list[Trace] = []
    for head in HEADS:
        seeds = sorted({int(point["seed"]) for point in points if point["head"] == head})
        name, epoch = HEAD_SHORT[head], "%{x}" if value == "score" else "%{x:.1f}"
        for seed in seeds:
            places = sorted((p["epoch"], p[value]) for p in points if p["head"] == head and p["seed"] == seed)
            trace = scatter(
                "lines+markers" if markers else "lines",
                [x for x, _ in places],
                [y for _, y in places],
                name=name,
                legendgroup=head,
                showlegend=seed == seeds[0],
                marker={"size": 5},
                line={"color": theme.heads[head], "width": 2 if markers else 1.5, "dash": HEAD_DASHES[head]},
                hover=f"<b>{name}</b>, seed {seed}<br>epoch {epoch}: %{{y:.3f}}",
            )
            traces.append(trace)
    return traces


def _ring(point: Mapping[Any, Any], theme: Theme) -> Trace:
    color = theme.heads[point["head"]]
    around = mark(color, 14, symbol="circle-open", edge=color, width=2)
    return scatter(
        "markers", [point["epoch"]], [point["score"]], marker=around, legendgroup=point["head"], showlegend=False
    )


def _epochs(first: float, last: int) -> dict[str, Any]:
    return {"title": "epoch", "range": [first, last + (0.5 if first else 0.0)], "dtick": -(-last // 10), "tick0": 0}
