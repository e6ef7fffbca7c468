"""Where the thresholds lie, and what another one gives and costs."""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from dashboard.charts import Drawn, Lanes, Trace, broken, draw, interval, line, mark, points, shortened, upright
from dashboard.displays import base
from dashboard.displays.base import Display, Picture
from dashboard.displays.threshold_choice import (
    INNER,
    PER,
    Costs,
    Cuts,
    Look,
    Policy,
    cost_text,
    cut_text,
    look_of,
    policy_table,
)
from dashboard.displays.threshold_choice import choices as choices_table
from dashboard.rounding import rounded
from dashboard.theme import HEAD_DASHES, HEAD_MARKERS, HEAD_SHORT, HEAD_TITLES, LIGHT, Theme, faded, words_in
from pipelines.arrays import Float32Array, Float64Array
from pipelines.counting.grid import HALF_CELL, STEPS, first_cell_above
from pipelines.metrics import thresholds
from pipelines.metrics.thresholds import CUT_LOG_ODDS, CUT_P
from pipelines.schema import Head
from pipelines.store.runs import Run

_TITLES: Final = {"dice": "Dice", "iou": "IoU"}
_CURVES: Final = {"dice": thresholds.dice_curve, "iou": thresholds.iou_curve}
Scale: TypeAlias = Literal["p", "log-odds"]
SCALES: Final[tuple[Scale, ...]] = ("p", "log-odds")
_TICKS: Final = (1e-6, 1e-4, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999, 1 - 1e-6)
_TICK_NAMES: Final = ("10⁻⁶", "10⁻⁴", "0.01", "0.1", "0.5", "0.9", "0.99", "1 − 10⁻⁴", "1 − 10⁻⁶")
_AT_THRESHOLD: Final = "at p > %{customdata:.3g}<br>%{y:.4g}"
_WIDE: Final = math.log(0.999 / 0.001)  # log-odds that the axis shows at least
Role: TypeAlias = Literal["chosen", "half", "tuned", "best", "calibrated", "bayes", "cheapest"]
# Shape says which threshold it is, colour whose; each with its size. Later ones lie on top.
_MARKS: Final[Mapping[Role, tuple[str, int]]] = {
    "half": ("circle-open", 9),
    "calibrated": ("line-ns-open", 15),
    "tuned": ("diamond", 10),
    "best": ("star", 12),
    "bayes": ("triangle-up", 10),
    "cheapest": ("hexagram", 12),
    "chosen": ("circle", 13),
}
INSIDE: Final = slice(INNER.start, INNER.stop)  # of arrays over all cuts, those that are drawn
INSIDE_P: Final = CUT_P[INSIDE].astype(np.float32)
_LANE: Final = 20  # CSS pixels of a head's lane
_LONGEST: Final = 18  # characters of a class's label


class Level(NamedTuple):
    """A height with no threshold of its own, such as that of thresholds that differ between classes.

    said: its entry in the legend; dash: of its line, which tells levels of one colour apart.
    """

    said: str
    color: str
    y: float
    dash: str = "dot"


class Mark(NamedTuple):
    """A point on a curve. said: its entry in the legend; cut: where; y: its height; x: where, if not at the cut's p."""

    role: Role
    said: str
    head: Head
    cut: int
    y: float
    x: float | None = None


def choices(subject: Run | Look, theme: Theme = LIGHT, *, scale: Scale = "p") -> Display | None:
    """Where the thresholds of each class lie, and the Dice that tuning them gains; None where no class has truth."""
    look = look_of(subject)
    table = choices_table(look)
    if table.empty:
        return None
    within = "bar: as good as the best, within 0.005 Dice"
    where = choices_figure(table, theme, title="Best threshold of each class", subtitle=within, scale=scale)
    has_tuned = bool(table["tuned"].notna().any())
    after = "tuned on validation" if has_tuned else "greatest here"
    gains = table.assign(before=table["dice_half"], value=table["dice_tuned" if has_tuned else "dice_best"])
    drawn = gains.assign(low=np.nan, high=np.nan)
    worth = dots_figure(
        drawn,
        theme,
        title="What tuning is worth",
        subtitle=f"pooled Dice, from p > 0.5 to {after}",
        x_title="Dice",
        before="at 0.5",
        after=after,
    )
    best = "; ".join(
        f"{row['class']}, {HEAD_TITLES[row['head']]}: {row['best']:.2f}" for row in table.to_dict("records")
    )
    alt = [f"Thresholds of the greatest Dice. {best}.", f"Dice of each class and head at 0.5 and {after}."]
    pictures = (Picture("threshold_choices", where, alt[0]), Picture("threshold_worth", worth, alt[1]))
    first = ["class", "head"]
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    return Display(
        "threshold_choices_table", "Best threshold of each class", pictures, table, "threshold_choices", columns=2
    )


def scores(subject: Run | Look, theme: Theme = LIGHT, *, cuts: Cuts | None = None, scale: Scale = "p") -> Display:
    """Dice and IoU against the threshold. cuts: the chosen ones."""
    look = look_of(subject)
    chosen = look.filled(cuts)
    pictures = []
    for name, lines in look.scores.items():
        why = base.why_no_value(look.run, look.split, _TITLES[name], look.class_name)
        marks, levels = [], []
        for head, curve in lines.items():
            marks += _score_marks(look, head, curve, look.scores["dice"][head], chosen[head])
            levels += _score_levels(look, head, name, chosen[head], theme)
        at = {
            head: rounded(float(curve[cut]))
            if (cut := look.shown_cut(chosen[head])) is not None
            else "differs by class"
            for head, curve in lines.items()
        }
        heights = [*(mark.y for mark in marks), *(level.y for level in levels)]
        figure = threshold_figure(
            lines,
            marks,
            theme,
            title=f"{_TITLES[name]}, {look.title}",
            scale=scale,
            levels=levels,
            subtitle=why or f"at the chosen threshold: {colored(at, theme, titles=HEAD_SHORT)}",
            y_title=_TITLES[name],
            span=(0.0, 1.0) if why else span_of_scores(list(lines.values()), heights),
        )
        said = ", ".join(f"{HEAD_TITLES[head]} {value}" for head, value in at.items())
        alt = why or f"{_TITLES[name]} of {look.title} against the threshold; at the chosen thresholds {said}."
        pictures.append(Picture(f"threshold_{name}", figure, alt))
    title = "Dice and IoU against the threshold"
    return Display("threshold_scores", title, tuple(pictures), look.score_table, "threshold_scores", columns=2)


def _score_marks(
    look: Look, head: Head, curve: Float64Array, dice: Float64Array, chosen: tuple[int, ...]
) -> list[Mark]:
    """The points of one head on its curve. dice: its Dice at every cut, for half the greatest."""
    places: list[tuple[Role, str, int | None]] = [("half", "0.5", HALF_CELL)]
    places.append(("chosen", "chosen", look.shown_cut(chosen)))
    tuned, best = look.tuned_cuts[head], float(thresholds.greatest(curve)[0])
    if tuned is not None and (look.index is None or look.title not in look.untuned):
        places.append(("tuned", "tuned on validation", look.shown_cut(tuned)))
    if not np.isnan(best):
        places.append(("best", "greatest here", first_cell_above(best)))
        if look.index is not None:  # that half the greatest Dice is best holds for a class, not for a mean of several
            half = min(max(round(STEPS * float(thresholds.greatest(dice)[1]) / 2), 1), STEPS - 1)
            places.append(("calibrated", "half the greatest Dice", first_cell_above(half / STEPS)))
    return [Mark(role, said, head, cut, float(curve[cut])) for role, said, cut in places if cut is not None]


def _score_levels(look: Look, head: Head, name: str, chosen: tuple[int, ...], theme: Theme) -> list[Level]:
    """Means over the classes, each at a threshold of its own, which no point on the curve stands for."""
    tuned = look.tuned_cuts[head]
    rules = [("each class tuned", "dot", tuned)] + ([("chosen", "longdash", chosen)] if chosen != tuned else [])
    curve = _CURVES[name](look.of(head).hist).mean(axis=0)
    levels = []
    for said, dash, cuts in rules:
        if cuts is not None and look.shown_cut(cuts) is None and look.present.any():
            height = float(curve[np.arange(len(cuts)), np.array(cuts)][look.present].mean())
            levels.append(Level(f"{HEAD_SHORT[head]}, {said}", theme.heads[head], height, dash))
    return levels


def costs(look: Look, theme: Theme, found: Sequence[Policy], price: Costs, *, scale: Scale = "p") -> Display:
    """Expected cost against the threshold, with the chosen, the Bayes and the cheapest ones, and their difference.

    found: `threshold_costs.policies` at this price.
    """
    each = {
        head: PER * thresholds.cost_curve(look.of(head).hist, cost_fp=price.fp, cost_fn=price.fn) for head in look.heads
    }
    lines = {head: look.curve(curve) for head, curve in each.items()}
    # Calling a class everywhere or nowhere takes no model; each class does what is cheaper for it.
    first = each[look.heads[0]]
    without = float(look.curve(np.fmin(first[..., :1], first[..., -1:]))[0])
    levels = [] if np.isnan(without) else [Level(f"without a model: {without:.3g}", theme.muted, without)]
    marks = []
    roles: dict[str, Role] = {"chosen": "chosen", "bayes": "bayes", "cheapest": "cheapest"}
    for one in found:
        for head, cost in zip(look.heads, one.cost.values, strict=True):
            cut = look.shown_cut(one.cuts[head])
            if cut is not None:
                # Calling everywhere and nowhere are drawn at the outermost thresholds.
                inside = min(max(cut, INNER.start), INNER.stop - 1)
                marks.append(Mark(roles[one.name], one.said, head, inside, float(lines[head][cut])))
            else:
                dash = "longdash" if one.name == "chosen" else "dashdot"
                levels.append(Level(f"{HEAD_SHORT[head]}, {one.said}", theme.heads[head], float(cost[0]), dash))
    span = span_of_costs([*(mark.y for mark in marks), *(level.y for level in levels[1:])], without)
    figure = threshold_figure(
        lines,
        marks,
        theme,
        title=f"Expected cost, {look.title}",
        scale=scale,
        levels=levels,
        span=span,
        subtitle=f"false positive {price.fp:g}, false negative {price.fn:g}",
        y_title=f"cost per {PER:.0f} pixels",
        height=440,
    )
    said = "; ".join(f"{one.said}: {_each_cost(look, one)}" for one in found)
    alt = f"Cost per {PER:.0f} pixels of {look.title} against the threshold. {said}."
    table = policy_table(look, found)
    picture = Picture("threshold_cost", figure, alt)
    return Display("threshold_costs", "Expected cost", (picture,), table, "threshold_costs", columns=1)


def _each_cost(look: Look, policy: Policy) -> str:
    pairs = zip(look.heads, policy.cost.values, strict=True)
    return ", ".join(f"{HEAD_TITLES[head]} {cost_text(float(cost[0]))}" for head, cost in pairs)


def threshold_figure(
    lines: Mapping[Head, Float64Array],
    marks: Sequence[Mark],
    theme: Theme,
    *,
    title: str,
    subtitle: str = "",
    y_title: str = "",
    scale: Scale = "p",
    levels: Sequence[Level] = (),
    span: tuple[float, float] | None = None,
    height: int = 400,
) -> Drawn:
    """A score or a cost against the threshold.

    lines: per head, (CELLS + 1) its value at every cut. levels: drawn across. span: ends of the y axis, by default
    from 0 to the highest that is drawn. A thin line stands at each chosen threshold.
    """
    where = (CUT_P if scale == "p" else CUT_LOG_ODDS)[INSIDE]
    ends = (0.0, 1.0) if scale == "p" else _log_odds_range(marks)
    traces = [
        curve_trace(head, where, values[INSIDE], theme, hover=_AT_THRESHOLD, at=INSIDE_P)
        for head, values in lines.items()
    ]
    for level in levels:
        hover = f"{level.said}: %{{y:.4g}}"
        look: dict[str, Any] = {"width": 1.5, "dash": level.dash, "name": level.said}
        traces.append(line(list(ends), [level.y, level.y], level.color, hover=hover, **look))
    traces += mark_traces([one._replace(x=float(where[one.cut - 1])) for one in marks], theme, hover="%{y:.4g}")
    chosen = [(float(where[one.cut - 1]), theme.heads[one.head]) for one in marks if one.role == "chosen"]
    return draw(
        traces,
        theme,
        height=height,
        title=title,
        subtitle=subtitle,
        shapes=[upright(x, color, width=1, dash="dot") | {"layer": "below"} for x, color in chosen],
        **room(subtitle),
        xaxis=threshold_axis(scale, ends),
        yaxis={"title": y_title or title, "nticks": 6}
        | ({"rangemode": "tozero"} if span is None else {"range": list(span)}),
    )


def threshold_axis(scale: Scale, ends: tuple[float, float]) -> dict[str, Any]:
    """Options of the axis of thresholds, in p, or spaced by log-odds with p written on it."""
    if scale == "p":
        return {"title": "threshold on p", "range": list(ends), "dtick": 0.25}
    ticks = [math.log(p) - math.log1p(-p) for p in _TICKS]
    title = "threshold on p, spaced by log-odds"
    return {"title": title, "range": list(ends), "tickvals": ticks, "ticktext": _TICK_NAMES}


def _log_odds_range(marks: Sequence[Mark]) -> tuple[float, float]:
    shown = [float(CUT_LOG_ODDS[one.cut]) for one in marks if one.cut in INNER]
    return min([-_WIDE, *(one - 0.5 for one in shown)]), max([_WIDE, *(one + 0.5 for one in shown)])


def span_of_scores(curves: Sequence[Float64Array], heights: Sequence[float]) -> tuple[float, float] | None:
    """Ends of an axis that shows the tops of score curves and all heights, from 0 only if need be; None without any."""
    known = [one for one in heights if math.isfinite(one)]
    tops = [float(np.nanmax(curve)) for curve in curves if np.isfinite(curve).any()]
    if not known or not tops:
        return None
    top = max(*tops, *known)
    low = top - max(0.15, 1.6 * (top - min(known)))
    return (low, top + 0.06 * (top - low)) if low > 0.05 else (0.0, 1.06 * top) if top > 0 else None


def span_of_costs(points: Sequence[float], without: float) -> tuple[float, float] | None:
    """Ends of an axis of costs: from 0 beyond all points, and to the cost without a model unless it is far beyond."""
    known = [one for one in points if math.isfinite(one)]
    if not known or not max(known) > 0:
        return None
    return 0.0, max(1.25 * max(known), min(1.15 * without, 3 * max(known)))


def curve_trace(
    head: Head, x: Float64Array, y: Float64Array, theme: Theme, *, hover: str, at: Float32Array | None = None
) -> Trace:
    """A curve. at: the threshold of each point, for the hover. Single precision halves what goes to the browser."""
    title = HEAD_TITLES[head]
    look: dict[str, Any] = {"width": 2.5, "dash": HEAD_DASHES[head], "name": title, "customdata": at}
    return line(x.astype(np.float32), y.astype(np.float32), theme.heads[head], hover=f"<b>{title}</b> {hover}", **look)


def mark_traces(marks: Sequence[Mark], theme: Theme, *, hover: str) -> list[Trace]:
    """All points as one trace, and one without points a role that puts its shape into the legend in a quiet colour."""
    # Drawn in the order of roles, so that the chosen ones lie on top.
    known = sorted((one for one in marks if not math.isnan(one.y)), key=lambda one: list(_MARKS).index(one.role))
    colors = [theme.heads[one.head] for one in known]
    symbols, sizes = ([_MARKS[one.role][at] for one in known] for at in (0, 1))
    hollow = ["open" in str(symbol) for symbol in symbols]
    edges = [color if empty else theme.surface for color, empty in zip(colors, hollow, strict=True)]
    widths = [2 if empty else 1.5 for empty in hollow]
    placed = points(
        [one.x for one in known],
        [one.y for one in known],
        mark(colors, sizes, opacity=1) | {"symbol": symbols, "line": {"color": edges, "width": widths}},
        customdata=[[HEAD_TITLES[one.head], one.said, cut_text(one.cut)] for one in known],
        name="thresholds",
        hover=f"<b>%{{customdata[0]}}</b>, %{{customdata[1]}}<br>p > %{{customdata[2]}}: {hover}",
        showlegend=False,
        cliponaxis=False,
    )
    entries = [
        points([None], [None], mark(theme.muted, 10, symbol=_MARKS[role][0], edge=theme.muted, width=2), name=said)
        for role, said in {one.role: one.said for one in known}.items()
    ]
    return [placed, *entries]


def room(subtitle: str) -> dict[str, Any]:
    """A margin above for each line of the subtitle."""
    return {"margin": {"l": 8, "r": 12, "t": 42 + 17 * (1 + subtitle.count("<br>")) if subtitle else 38, "b": 8}}


def colored(parts: Mapping[Head, str], theme: Theme, *, titles: Mapping[Head, str], apart: str = " · ") -> str:
    """A number of each head in its colour, for the line under a title."""
    return apart.join(
        f'<span style="color:{words_in(theme.heads[head], theme)}">{titles[head]} {text}</span>'
        for head, text in parts.items()
    )


# A lane for each class and head ---------------------------------------------------------------------------------------


def choices_figure(table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str, scale: Scale = "p") -> Drawn:
    """Where the thresholds of each class lie: tuned, best here, and where best would be if p were calibrated.

    table: class, head, tuned, best, best_low, best_high, half_optimum of `metrics.decisions.threshold_choices`. A bar
    spans the thresholds that are as good as the best.
    """
    place = pd.Series(_lanes(table).of(table["class"], table["head"]), table.index)
    where = _positions(table, scale)
    traces = []
    for head, rows in _by_head(where.assign(place=place)):
        reach, down = broken(rows["best_low"], rows["best_high"]), broken(rows["place"], rows["place"])
        traces.append(line(reach, down, faded(theme.heads[head], 0.3), width=9, showlegend=False))
    for column, said, symbol, size in (
        ("half_optimum", "half the greatest Dice", "line-ns-open", 13),
        ("best", "greatest Dice here", "star", 11),
        ("tuned", "tuned on validation", "diamond", 9),
    ):
        known = table[column].notna()
        if not known.any():
            continue
        rows, colors = table[known], [theme.heads[head] for head in table[known]["head"]]
        edge = {"edge": colors, "width": 2} if "open" in symbol else {"edge": theme.surface, "width": 1}
        traces.append(
            points(
                where[known][column],
                place[known],
                mark(colors, size, symbol=symbol, **edge),
                showlegend=False,
                name=said,
                customdata=[[HEAD_TITLES[one["head"]], one["class"], one[column]] for one in rows.to_dict("records")],
                hover=f"<b>%{{customdata[0]}}</b>, %{{customdata[1]}}<br>{said}: %{{customdata[2]:.3f}}",
            )
        )
        traces.append(_entry(said, mark(theme.muted, 10, symbol=symbol, edge=theme.muted, width=2), theme))
    middle, ends = (0.5, (-0.02, 1.02)) if scale == "p" else (0.0, (-6.0, 6.0))
    half = upright(middle, theme.line, width=2) | {"layer": "below"}
    xaxis = threshold_axis(scale, ends)
    return _lanes_figure(traces, table, theme, title=title, subtitle=subtitle, shapes=[half], xaxis=xaxis)


def dots_figure(
    table: pd.DataFrame,
    theme: Theme,
    *,
    title: str,
    subtitle: str = "",
    x_title: str,
    before: str = "",
    after: str = "",
) -> Drawn:
    """A value of each class and head, with its interval, and what it was before, hollow.

    table: class, head, value, low, high, and, if before is given, before; NaN where there is none. before, after: what
    hollow and filled points are called in the legend.
    """
    table = table.assign(place=_lanes(table).of(table["class"], table["head"]))
    traces: list[Trace] = []
    for head, rows in _by_head(table):
        color, symbol = theme.heads[head], HEAD_MARKERS[head]
        said = [[HEAD_TITLES[head], row["class"]] for row in rows.to_dict("records")]
        hover = "<b>%{customdata[0]}</b>, %{customdata[1]}<br>"
        if before:
            hollow = mark(theme.surface, 8, symbol=symbol, edge=color, width=2)
            told: dict[str, Any] = {"hover": f"{hover}{before}: %{{x:.4f}}", "customdata": said}
            link = broken(rows["before"], rows["value"]), broken(rows["place"], rows["place"])
            traces.append(line(*link, color, width=1.5, showlegend=False))
            traces.append(points(rows["before"], rows["place"], hollow, showlegend=False, **told))
        told = {"hover": f"{hover}{after + ': ' if after else ''}%{{x:.4f}}", "customdata": said}
        filled, bars = mark(color, 9, symbol=symbol), interval(rows, faded(color, 0.6), thickness=1.5)
        traces.append(points(rows["value"], rows["place"], filled, name=HEAD_TITLES[head], error_x=bars, **told))
    if before:
        hollow = mark(theme.surface, 8, symbol="circle", edge=theme.muted, width=2)
        traces += [_entry(before, hollow, theme), _entry(after, {"symbol": "circle", "size": 9}, theme)]
    xaxis = {"title": x_title, "nticks": 6}
    return _lanes_figure(traces, table, theme, title=title, subtitle=subtitle, xaxis=xaxis)


def _lanes(table: pd.DataFrame) -> Lanes:
    """Classes from the top, their heads below each other, a free lane between classes."""
    return Lanes(product(dict.fromkeys(table["class"]), dict.fromkeys(table["head"])), between=1, air=1)


def _lanes_figure(
    traces: list[Trace],
    table: pd.DataFrame,
    theme: Theme,
    *,
    title: str,
    subtitle: str,
    xaxis: dict[str, Any],
    shapes: Sequence[dict[str, Any]] = (),
) -> Drawn:
    lanes, names = _lanes(table), [shortened(name, most=_LONGEST) for name in dict.fromkeys(table["class"])]
    return draw(
        traces,
        theme,
        height=round(170 + _LANE * (lanes.last + 2)),
        title=title,
        subtitle=subtitle,
        shapes=[*shapes, *(rule | {"layer": "below"} for rule in lanes.rules(theme))],
        xaxis=xaxis,
        yaxis=lanes.axis(names),
    )


def _positions(table: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """The same with thresholds as positions on the axis."""
    if scale == "p":
        return table
    columns = ["best_low", "best_high", "half_optimum", "best", "tuned"]
    with np.errstate(divide="ignore"):
        return table.assign(**{name: np.log(table[name]) - np.log1p(-table[name]) for name in columns})


def _by_head(table: pd.DataFrame) -> list[tuple[Head, pd.DataFrame]]:
    return [(head, table[table["head"] == head]) for head in dict.fromkeys(table["head"])]


def _entry(said: str, marker: dict[str, Any], theme: Theme) -> Trace:
    """A trace without points: what a shape means, in a colour of no head."""
    return points([None], [None], {"color": theme.muted} | marker, name=said)
