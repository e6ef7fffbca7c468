"""A run and the controls of the page Thresholds and costs to its panels."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from dashboard.figures import thresholds as figures
from dashboard.figures.cuts import INNER, Cuts
from dashboard.figures.lanes import choices_figure, dots_figure
from dashboard.figures.marks import Mark, Role, colored
from dashboard.figures.theme import HEAD_SHORT, HEAD_TITLES, Theme
from dashboard.figures.thresholds import Level, Scale
from dashboard.panels import absence
from dashboard.panels.base import Panel, Picture
from dashboard.panels.threshold_choice import Look
from dashboard.panels.threshold_choice import choices as choices_table
from dashboard.panels.threshold_costs import PER, Costs, Policy, policy_table
from dashboard.panels.threshold_sentences import cost_text
from dashboard.rounding import rounded
from pipelines.arrays import Float64Array
from pipelines.counting.grid import HALF_CELL, STEPS, first_cell_above
from pipelines.metrics import thresholds
from pipelines.schema import Head

_TITLES: Final = {"dice": "Dice", "iou": "IoU"}
_CURVES: Final = {"dice": thresholds.dice_curve, "iou": thresholds.iou_curve}


def choices(look: Look, theme: Theme, *, scale: Scale = "p") -> Panel | None:
    """Where the thresholds of each class lie, and the Dice that tuning them gains; None where no class has truth."""
    table = choices_table(look)
    if table.empty:
        return None
    where = choices_figure(
        table, theme, title="Best threshold of each class", scale=scale,
        subtitle="bar: as good as the best, within 0.005 Dice",
    )  # fmt: skip
    has_tuned = bool(table["tuned"].notna().any())
    after = "tuned on validation" if has_tuned else "greatest here"
    gains = table.assign(before=table["dice_half"], value=table["dice_tuned" if has_tuned else "dice_best"])
    drawn = gains.assign(low=np.nan, high=np.nan)
    worth = dots_figure(
        drawn, theme, title="What tuning is worth", subtitle=f"pooled Dice, from p > 0.5 to {after}",
        x_title="Dice", before="at 0.5", after=after,
    )  # fmt: skip
    best = "; ".join(
        f"{row['class']}, {HEAD_TITLES[row['head']]}: {row['best']:.2f}" for row in table.to_dict("records")
    )
    alt = [f"Thresholds of the greatest Dice. {best}.", f"Dice of each class and head at 0.5 and {after}."]
    pictures = (Picture("threshold_choices", where, alt[0]), Picture("threshold_worth", worth, alt[1]))
    first = ["class", "head"]
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    return Panel(
        "threshold_choices_table", "Best threshold of each class", pictures, table, "threshold_choices", columns=2
    )


def scores(look: Look, theme: Theme, *, cuts: Cuts | None = None, scale: Scale = "p") -> Panel:
    """Dice and IoU against the threshold. cuts: the chosen ones."""
    chosen = look.filled(cuts)
    pictures = []
    for name, lines in look.scores.items():
        why = absence.why_no_value(look.run, look.split, _TITLES[name], look.class_name)
        marks, levels = [], []
        for head, line in lines.items():
            marks += _score_marks(look, head, line, look.scores["dice"][head], chosen[head])
            levels += _score_levels(look, head, name, chosen[head], theme)
        at = {
            head: rounded(float(line[cut])) if (cut := look.shown_cut(chosen[head])) is not None else "differs by class"
            for head, line in lines.items()
        }
        heights = [*(mark.y for mark in marks), *(level.y for level in levels)]
        figure = figures.threshold_figure(
            lines, marks, theme, title=f"{_TITLES[name]}, {look.title}", scale=scale, levels=levels,
            subtitle=why or f"at the chosen threshold: {colored(at, theme, titles=HEAD_SHORT)}", y_title=_TITLES[name],
            span=(0.0, 1.0) if why else figures.span_of_scores(list(lines.values()), heights),
        )  # fmt: skip
        said = ", ".join(f"{HEAD_TITLES[head]} {value}" for head, value in at.items())
        alt = why or f"{_TITLES[name]} of {look.title} against the threshold; at the chosen thresholds {said}."
        pictures.append(Picture(f"threshold_{name}", figure, alt))
    title = "Dice and IoU against the threshold"
    return Panel("threshold_scores", title, tuple(pictures), look.score_table, "threshold_scores", columns=2)


def _score_marks(look: Look, head: Head, line: Float64Array, dice: Float64Array, chosen: tuple[int, ...]) -> list[Mark]:
    """The points of one head on its curve. dice: its Dice at every cut, for half the greatest."""
    places: list[tuple[Role, str, int | None]] = [
        ("half", "0.5", HALF_CELL), ("chosen", "chosen", look.shown_cut(chosen)),
    ]  # fmt: skip
    tuned, best = look.tuned_cuts(head), float(thresholds.greatest(line)[0])
    if tuned is not None and (look.index is None or look.title not in look.untuned):
        places.append(("tuned", "tuned on validation", look.shown_cut(tuned)))
    if not np.isnan(best):
        places.append(("best", "greatest here", first_cell_above(best)))
        if look.index is not None:  # that half the greatest Dice is best holds for a class, not for a mean of several
            half = min(max(round(STEPS * float(thresholds.greatest(dice)[1]) / 2), 1), STEPS - 1)
            places.append(("calibrated", "half the greatest Dice", first_cell_above(half / STEPS)))
    return [Mark(role, said, head, cut, float(line[cut])) for role, said, cut in places if cut is not None]


def _score_levels(look: Look, head: Head, name: str, chosen: tuple[int, ...], theme: Theme) -> list[Level]:
    """Means over the classes, each at a threshold of its own, which no point on the curve stands for."""
    tuned = look.tuned_cuts(head)
    rules = [("each class tuned", "dot", tuned)] + ([("chosen", "longdash", chosen)] if chosen != tuned else [])
    curve = _CURVES[name](look.of(head).hist).mean(axis=0)
    return [
        Level(
            f"{HEAD_SHORT[head]}, {said}", theme.heads[head],
            float(curve[np.arange(len(cuts)), np.array(cuts)][look.present].mean()), dash,
        )
        for said, dash, cuts in rules if cuts is not None and look.shown_cut(cuts) is None and look.present.any()
    ]  # fmt: skip


def costs(look: Look, theme: Theme, found: Sequence[Policy], price: Costs, *, scale: Scale = "p") -> Panel:
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
    span = figures.span_of_costs([*(mark.y for mark in marks), *(level.y for level in levels[1:])], without)
    figure = figures.threshold_figure(
        lines, marks, theme, title=f"Expected cost, {look.title}", scale=scale, levels=levels, span=span,
        subtitle=f"false positive {price.fp:g}, false negative {price.fn:g}", y_title=f"cost per {PER:.0f} pixels",
        height=440,
    )  # fmt: skip
    said = "; ".join(f"{one.said}: {_each_cost(look, one)}" for one in found)
    alt = f"Cost per {PER:.0f} pixels of {look.title} against the threshold. {said}."
    table = policy_table(look, found)
    picture = Picture("threshold_cost", figure, alt)
    return Panel("threshold_costs", "Expected cost", (picture,), table, "threshold_costs", columns=1)


def _each_cost(look: Look, policy: Policy) -> str:
    pairs = zip(look.heads, policy.cost.values, strict=True)
    return ", ".join(f"{HEAD_TITLES[head]} {cost_text(float(cost[0]))}" for head, cost in pairs)
