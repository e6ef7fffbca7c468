"""Curves of how well heads rank pixels to figures: ROC, precision-recall, and risk against coverage."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.figures.drawn import Drawn
from dashboard.figures.marks import INSIDE, INSIDE_P, Mark, line, mark_traces, room
from dashboard.figures.theme import Theme, axis, figure_of, layout
from pipelines.arrays import Float64Array
from pipelines.schema import Head


def roc_figure(
    curves: Mapping[Head, tuple[Float64Array, Float64Array]],
    marks: Sequence[Mark],
    theme: Theme,
    *,
    subtitle: str,
    near: bool = False,
    height: int = 440,
) -> Drawn:
    """True against false positive rate. curves: per head, both at every cut, (CELLS + 1) each; near: show the corner
    that the points are in instead of the whole.
    """
    diagonal = _reference([0, 1], [0, 1], "coin toss", theme)
    hover = "at p > %{customdata:.3g}<br>recall %{y:.4g}, false positive rate %{x:.4g}"
    return _curves(
        curves, marks, theme, hover=hover, reference=diagonal, title="ROC", subtitle=subtitle, height=height,
        axes=("false positive rate", "true positive rate (recall)"), near=near,
    )  # fmt: skip


def precision_recall_figure(
    curves: Mapping[Head, tuple[Float64Array, Float64Array]],
    marks: Sequence[Mark],
    theme: Theme,
    *,
    share: float,
    subtitle: str,
    near: bool = False,
    height: int = 440,
) -> Drawn:
    """Precision against recall. curves: per head, recall and precision at every cut; share: of the pixels that have the
    class, which is the precision of a score that knows nothing.
    """
    flat = _reference([0, 1], [share, share], "share of the class", theme)
    hover = "at p > %{customdata:.3g}<br>precision %{y:.4g}, recall %{x:.4g}"
    return _curves(
        curves, marks, theme, hover=hover, reference=flat, title="Precision and recall", subtitle=subtitle,
        height=height, axes=("recall", "precision"), near=near,
    )  # fmt: skip


def risk_figure(
    curves: Mapping[Head, Float64Array], at: Float64Array, theme: Theme, *, title: str, subtitle: str, height: int = 400
) -> Drawn:
    """Error rate of the most confident pixels against how many are kept. curves: per head, (A,); at: (A,) coverages."""
    hover = "of the surest %{x:.1%} of pixels<br>%{y:.3%} are wrong"
    traces = [line(head, at, risk, theme, hover=hover) for head, risk in curves.items()]
    return figure_of(
        {
            "data": traces,
            "layout": layout(
                theme, height=height, title=title, subtitle=subtitle, **room(subtitle),
                xaxis=axis(
                    theme, title="coverage: share of pixels kept, surest first", tickformat=".0%", range=[0, 1.01]
                ),
                yaxis=axis(
                    theme, title="risk: share wrong of those kept", tickformat="~p", rangemode="tozero", nticks=6
                ),
            ),
        }
    )  # fmt: skip


def _curves(
    curves: Mapping[Head, tuple[Float64Array, Float64Array]], marks: Sequence[Mark], theme: Theme, *, hover: str,
    reference: dict[str, Any], title: str, subtitle: str, axes: tuple[str, str], near: bool, height: int,
) -> Drawn:  # fmt: skip
    traces = [reference]
    for head, (x, y) in curves.items():
        traces.append(line(head, x[INSIDE], y[INSIDE], theme, hover=hover, at=INSIDE_P))
    traces += mark_traces(marks, theme, hover="%{x:.4g}, %{y:.4g}")
    across, up = (_ends([one.x for one in marks] if near else []), _ends([one.y for one in marks] if near else []))
    return figure_of(
        {
            "data": traces,
            "layout": layout(
                theme, height=height, title=title, subtitle=subtitle, **room(subtitle),
                xaxis=axis(theme, title=axes[0], **across), yaxis=axis(theme, title=axes[1], **up),
            ),
        }
    )  # fmt: skip


def _ends(values: Sequence[float | None]) -> dict[str, Any]:
    """An axis of a share: the whole of it, or what encloses some values, up to the nearer end."""
    known = [one for one in values if one is not None and math.isfinite(one)]
    if not known:
        return {"range": [-0.02, 1.02], "dtick": 0.25}
    room = max(0.02, 0.4 * (max(known) - min(known)))
    return {"range": [max(-0.02, min(known) - room), min(1.02, max(known) + room)], "nticks": 6}


def _reference(x: Sequence[float], y: Sequence[float], said: str, theme: Theme) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": said, "hoverinfo": "skip",
        "line": {"color": theme.muted, "width": 1, "dash": "dot"},
    }  # fmt: skip
