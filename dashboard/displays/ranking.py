"""How well the heads rank pixels, over all thresholds at once: ROC, precision-recall, risk against coverage."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from dashboard.charts import Drawn, Trace, draw, line
from dashboard.displays.base import Display, Picture
from dashboard.displays.threshold_choice import Curve, Cuts, Look, areas_of, look_of
from dashboard.displays.thresholds import (
    INSIDE,
    INSIDE_P,
    Mark,
    Role,
    colored,
    curve_trace,
    dots_figure,
    mark_traces,
    room,
)
from dashboard.rounding import percent, with_interval
from dashboard.theme import HEAD_SHORT, HEAD_TITLES, LIGHT, Theme
from pipelines.arrays import Float64Array
from pipelines.counting.grid import HALF_CELL
from pipelines.metrics import thresholds
from pipelines.schema import Head
from pipelines.store.runs import Run

# What an area is called, and under the title of its curve.
_RANKS: Final = {
    "auroc": ("AUROC", "area"),
    "average_precision": ("Average precision", "average precision"),
}
_COVERAGES: Final = np.linspace(0.005, 1, 200)


def curves(
    subject: Run | Look, theme: Theme = LIGHT, *, cuts: Cuts | None = None, near: bool = False
) -> Display | None:
    """ROC and precision-recall of one class with the chosen thresholds on them; None for the mean of several classes,
    which has no such curve, and where the class has no truth. near: show the corner that the points are in.
    """
    look = look_of(subject)
    if look.index is None or not look.present[look.index]:
        return None
    rates, precisions, tables, table = look.ranked
    under = {name: _areas_said(look, tables[name], theme, said) for name, (_, said) in _RANKS.items()}
    hist = look.of(look.heads[0]).hist[0, look.index]
    share = float(hist[1].sum() / hist[:2].sum())
    roc = _curves(
        rates,
        _curve_marks(look, rates, cuts),
        theme,
        hover="recall %{y:.4g}, false positive rate %{x:.4g}",
        reference=line([0, 1], [0, 1], theme.muted, dash="dot", name="coin toss"),
        near=near,
        axes=("false positive rate", "true positive rate (recall)"),
        title="ROC",
        subtitle=under["auroc"],
    )
    # A score that knows nothing has the share of the class as its precision.
    pr = _curves(
        precisions,
        _curve_marks(look, precisions, cuts),
        theme,
        hover="precision %{y:.4g}, recall %{x:.4g}",
        reference=line([0, 1], [share, share], theme.muted, dash="dot", name="share of the class"),
        near=near,
        axes=("recall", "precision"),
        title="Precision and recall",
        subtitle=under["average_precision"],
    )
    alt = f"curve of {look.title}, {' and '.join(look.heads)}, with the chosen threshold marked."
    pictures = (Picture("threshold_roc", roc, f"ROC {alt}"), Picture("threshold_pr", pr, f"Precision-recall {alt}"))
    return Display("threshold_curves", "ROC and precision-recall", pictures, table, "threshold_curves", columns=2)


def _areas_said(look: Look, table: pd.DataFrame, theme: Theme, what: str) -> str:
    rows = table[table["class"] == look.title].to_dict("records")
    said: dict[Head, str] = {
        row["head"]: f"{what} {with_interval(row['value'], row['low'], row['high'])}" for row in rows
    }
    return colored(said, theme, titles=HEAD_SHORT, apart="<br>")


def _curve_marks(look: Look, found: Mapping[Head, Curve], cuts: Cuts | None) -> list[Mark]:
    chosen, marks = look.filled(cuts), []
    for head, (x, y) in found.items():
        tuned = look.tuned_cuts[head]
        places: list[tuple[Role, str, Sequence[int] | None]] = [("half", "0.5", (HALF_CELL,) * len(look.classes))]
        places += [("tuned", "tuned on validation", tuned), ("chosen", "chosen", chosen[head])]
        for role, said, some in places:
            cut = None if some is None else look.shown_cut(some)
            if cut is not None:
                marks.append(Mark(role, said, head, cut, float(y[cut]), float(x[cut])))
    return marks


def areas(subject: Run | Look, theme: Theme = LIGHT) -> Display | None:
    """AUROC and average precision of every class; None where no class has truth."""
    look = look_of(subject)
    tables, pictures = [], []
    for metric, (title, _) in _RANKS.items():
        table = areas_of(look, metric)
        if table.empty:
            continue
        tables.append(table)
        figure = dots_figure(table, theme, title=title, subtitle="higher is better", x_title=title)
        alt = f"{title} of every class and head with 95% intervals."
        pictures.append(Picture(f"areas_{metric}", figure, alt))
    if not tables:
        return None
    together = pd.concat(tables, ignore_index=True)
    return Display("areas", "How well the heads rank pixels", tuple(pictures), together, "areas", columns=2)


def selective_prediction(subject: Run | Look, theme: Theme = LIGHT) -> Display:
    """Error rate of the surest pixels against how many are kept, and the area under it of every class.

    Of one class against the rest; of all classes the mean and, for exclusive truth, the argmax.
    """
    look = look_of(subject)
    lines: dict[str, dict[Head, Float64Array]] = {look.title: {head: _risk(look, head) for head in look.heads}}
    tops = {head: top for head in look.heads if (top := look.of(head).top) is not None}
    if look.index is None and tops:
        at = {
            head: thresholds.risk_at(*thresholds.top_label_risk_coverage(top), _COVERAGES) for head, top in tops.items()
        }
        lines = {"top label": {head: one.mean(axis=0) for head, one in at.items()}} | lines
    areas = areas_of(look, "aurc")
    pictures: list[Picture] = []
    for name, curve in lines.items():
        if name == "top label":
            shown = {head: f"{float(thresholds.top_label_aurc(top).mean()):#.3g}" for head, top in tops.items()}
        else:
            rows = areas[areas["class"] == name].set_index("head")["value"]
            shown = {head: f"{rows[head]:#.3g}" for head in look.heads if head in rows.index}
        title = f"Risk against coverage, {name}"
        subtitle = f"area: {colored(shown, theme, titles=HEAD_SHORT)}"
        figure = risk_figure(curve, _COVERAGES, theme, title=title, subtitle=subtitle)
        ninety = ", ".join(f"{HEAD_TITLES[head]} {percent(float(one[179]))}" for head, one in curve.items())
        alt = f"Error rate of {name} against the share of pixels kept; of the surest 90%: {ninety}."
        pictures.append(Picture(f"risk_{len(pictures)}", figure, alt))
    if len(pictures) == 1 and not areas.empty:
        figure = dots_figure(areas, theme, title="Area under risk-coverage", subtitle="lower is better", x_title="area")
        pictures.append(Picture("areas_aurc", figure, "Area under risk-coverage of every class and head."))
    frames = [
        pd.DataFrame({"shown": name, "head": head, "coverage": _COVERAGES, "risk": risk})
        for name, by_head in lines.items()
        for head, risk in by_head.items()
    ]
    table = pd.concat(frames, ignore_index=True)
    return Display(
        "selective",
        "Leaving the unsure pixels out",
        tuple(pictures),
        table,
        "selective",
        ("coverage", "risk"),
        columns=2,
    )


def _risk(look: Look, head: Head) -> Float64Array:
    """(A,) at _COVERAGES."""
    at = thresholds.risk_at(*thresholds.risk_coverage(look.of(head).hist), _COVERAGES)
    return look.curve(at)


def risk_figure(
    curves: Mapping[Head, Float64Array], at: Float64Array, theme: Theme, *, title: str, subtitle: str, height: int = 400
) -> Drawn:
    """Error rate of the most confident pixels against how many are kept. curves: per head, (A,); at: (A,) coverages."""
    hover = "of the surest %{x:.1%} of pixels<br>%{y:.3%} are wrong"
    coverage = "coverage: share of pixels kept, surest first"
    return draw(
        [curve_trace(head, at, risk, theme, hover=hover) for head, risk in curves.items()],
        theme,
        height=height,
        title=title,
        subtitle=subtitle,
        **room(subtitle),
        xaxis={"title": coverage, "tickformat": ".0%", "range": [0, 1.01]},
        yaxis={"title": "risk: share wrong of those kept", "tickformat": "~p", "rangemode": "tozero", "nticks": 6},
    )


def _curves(
    curves: Mapping[Head, Curve],
    marks: Sequence[Mark],
    theme: Theme,
    *,
    hover: str,
    reference: Trace,
    near: bool,
    axes: tuple[str, str],
    title: str,
    subtitle: str,
) -> Drawn:
    """One measure against another at every threshold. curves: per head, both at every cut, (CELLS + 1) each; near: show
    the corner that the points are in instead of the whole.
    """
    traces = [reference]
    for head, (x, y) in curves.items():
        traces.append(
            curve_trace(head, x[INSIDE], y[INSIDE], theme, hover=f"at p > %{{customdata:.3g}}<br>{hover}", at=INSIDE_P)
        )
    traces += mark_traces(marks, theme, hover="%{x:.4g}, %{y:.4g}")
    across, up = _ends([one.x for one in marks] if near else []), _ends([one.y for one in marks] if near else [])
    named: dict[str, Any] = {"xaxis": across | {"title": axes[0]}, "yaxis": up | {"title": axes[1]}}
    return draw(traces, theme, height=440, title=title, subtitle=subtitle, **room(subtitle), **named)


def _ends(values: Sequence[float | None]) -> dict[str, Any]:
    """An axis of a share: the whole of it, or what encloses some values, up to the nearer end."""
    known = [one for one in values if one is not None and math.isfinite(one)]
    if not known:
        return {"range": [-0.02, 1.02], "dtick": 0.25}
    room = max(0.02, 0.4 * (max(known) - min(known)))
    return {"range": [max(-0.02, min(known) - room), min(1.02, max(known) + room)], "nticks": 6}
