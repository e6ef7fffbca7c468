"""Logits to maps: which labels each head gives at every place of the plane of two logits, or along one."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.ndimage import distance_transform_edt

from dashboard.charts import Drawn, axis, figure_of, layout
from dashboard.theme import HEAD_DASHES, HEAD_MARKERS, HEAD_TITLES, Theme, faded
from pipelines.arrays import BoolArray, Float64Array
from pipelines.heads import HeadSpec
from pipelines.one_pixel import Rule, called, channel_logits, class_probabilities, least_logit

REACH: Final = 6.0  # logits shown, to both sides of 0
_LINE: Final[Float64Array] = np.linspace(-REACH, REACH, 121)
_COARSE: Final[Float64Array] = np.linspace(-REACH, REACH, 49)
_SMALLEST: Final = 20  # cells of the coarse grid that a region needs for its name to fit


def plane_figure(
    spec: HeadSpec,
    theme: Theme,
    *,
    point: tuple[float, float],
    truth: tuple[bool, bool],
    colors: Sequence[str],
    rule: Rule,
    threshold: float,
    temperature: float,
    background: float,
    height: int = 430,
) -> Drawn:
    """Where a head of two classes gives which labels, over the plane of their logits, and where a pixel stands.

    point: its two logits. truth: which labels it truly carries; the region that gives just these is marked. colors:
    of the classes; where both are given the fills blend, as on images. background: logit of a softmax's background
    channel, of no account to a head without one.
    """
    options: dict[str, Any] = {"rule": rule, "threshold": threshold, "temperature": temperature}
    traces = [_region(spec, which, colors[which], background, options) for which in (0, 1)]
    traces.append(_point(spec, point, background, options, theme))
    names = [*spec.classes, "neither", "both"]
    codes = region_codes(spec, background=background, **options)
    labels = [
        _region_label(codes, code, name, code == truth[0] + 2 * truth[1], theme)
        for code, name in ((0, names[2]), (1, names[0]), (2, names[1]), (3, names[3]))
        if (codes == code).sum() >= _SMALLEST
    ]
    by = "argmax" if rule == "argmax" else f"p > {threshold:.2f}"
    shared = layout(
        theme, height=height, title=f"{HEAD_TITLES[spec.head]}, {by}", subtitle=_missing(codes), legend=False,
        margin={"l": 8, "r": 12, "t": 64, "b": 8}, annotations=labels,
        xaxis=_logit_axis(spec.classes[0], theme, constrain="domain"),
        yaxis=_logit_axis(spec.classes[1], theme, scaleanchor="x", constrain="domain"),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def curve_figure(
    specs: Sequence[HeadSpec],
    theme: Theme,
    *,
    logit: float,
    background: float,
    threshold: float,
    temperature: float,
    height: int = 320,
) -> Drawn:
    """One class: its probability against its logit, for each head."""
    traces: list[dict[str, Any]] = []
    for at, spec in enumerate(specs):
        color = theme.heads[spec.head]
        p = _p_of(spec, np.append(_LINE, logit), background, temperature)
        name = HEAD_TITLES[spec.head]
        line = {"color": color, "width": 6 - 3 * at, "dash": HEAD_DASHES[spec.head]}  # one shows behind the other
        marker = {"color": color, "size": 15 - 5 * at, "symbol": HEAD_MARKERS[spec.head]}
        marker["line"] = {"width": 1.5, "color": theme.surface}
        hover = f"{name}: p %{{y:.3f}} at z %{{x:.1f}}<extra></extra>"
        common = {"type": "scatter", "name": name, "hovertemplate": hover}
        traces.append(common | {"x": _LINE, "y": p[:-1], "mode": "lines", "line": line})
        point = {"x": [logit], "y": p[-1:], "mode": "markers", "marker": marker, "showlegend": False}
        traces.append(common | point)
    mark = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": threshold, "y1": threshold}
    mark["line"] = {"color": theme.muted, "width": 1, "dash": "dot"}
    shared = layout(
        theme, height=height, title="p against the logit", shapes=[mark],
        xaxis=_logit_axis(specs[0].classes[0], theme),
        yaxis=axis(theme, range=[-0.02, 1.02], dtick=0.25, title="probability p"),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})


def region_codes(
    spec: HeadSpec, *, rule: Rule, threshold: float, temperature: float, background: float
) -> Float64Array:
    """Labels given on a grid, (logit of the second class, of the first): 0 neither, 1 first, 2 second, 3 both."""
    first, second = np.meshgrid(_COARSE, _COARSE)
    channels = channel_logits(spec, np.stack([first, second]), background=background)
    given: BoolArray = called(spec, channels, rule=rule, threshold=threshold, temperature=temperature)
    return given[0] + 2.0 * given[1]


def _p_of(spec: HeadSpec, logits: Float64Array, background: float, temperature: float) -> Float64Array:
    channels = channel_logits(spec, logits[None], background=background)
    return class_probabilities(spec, channels, temperature=temperature)[0]


def _region(spec: HeadSpec, which: int, color: str, background: float, options: dict[str, Any]) -> dict[str, Any]:
    """The part of the plane where one class is called: beyond a border that may depend on the other's logit."""
    others = channel_logits(spec, _LINE[None], background=background)
    border = np.clip(least_logit(spec, others, **options), -REACH, REACH)
    own, other = np.append(border, [REACH, REACH]), np.append(_LINE, [REACH, -REACH])
    return {
        "type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": faded(color, 0.34), "hoverinfo": "skip",
        "line": {"width": 1.5, "color": color}, "name": spec.classes[which],
        "x": own if which == 0 else other, "y": other if which == 0 else own,
    }  # fmt: skip


def _point(
    spec: HeadSpec, point: tuple[float, float], background: float, options: dict[str, Any], theme: Theme
) -> dict[str, Any]:
    channels = channel_logits(spec, point, background=background)
    p = class_probabilities(spec, channels, temperature=options["temperature"])
    said = "<br>".join(f"{name}: z {z:.1f}, p {one:.3f}" for name, z, one in zip(spec.classes, point, p, strict=True))
    return {
        "type": "scatter", "mode": "markers", "x": [point[0]], "y": [point[1]], "name": "this pixel",
        "hovertemplate": f"{said}<extra></extra>",
        "marker": {
            "size": 15, "color": theme.heads[spec.head], "symbol": HEAD_MARKERS[spec.head],
            "line": {"width": 2.5, "color": theme.surface},
        },
    }  # fmt: skip


def _region_label(codes: Float64Array, code: int, name: str, is_truth: bool, theme: Theme) -> dict[str, Any]:
    """A region's name at the place furthest from its borders."""
    inside = np.pad(codes == code, 1)
    row, column = np.unravel_index(int(distance_transform_edt(inside).argmax()), inside.shape)
    text = f"<b>{name}</b><br>the truth" if is_truth else name
    return {
        "x": _COARSE[column - 1], "y": _COARSE[row - 1], "text": text, "showarrow": False,
        "font": {"color": theme.text, "size": 13},
    }  # fmt: skip


def _missing(codes: Float64Array) -> str:
    """What a head cannot give anywhere on the plane."""
    names = {0: "neither", 3: "both"}
    absent = [name for code, name in names.items() if not (codes == code).any()]
    return f"no place gives {' or '.join(absent)}" if absent else "neither, either or both"


def _logit_axis(name: str, theme: Theme, **options: Any) -> dict[str, Any]:
    return axis(theme, range=[-REACH, REACH], dtick=2, title=f"logit of {name}", **options)
