"""Thresholds and the costs of mistakes to what they cost with each head."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dashboard.figures.cuts import Cuts, cut_text
from dashboard.panels.threshold_choice import Look
from pipelines.arrays import Float64Array, Int64Array
from pipelines.metrics import decisions, thresholds
from pipelines.metrics.decisions import Alone, Paired
from pipelines.schema import Head

PER: Final = 1000.0  # pixels that a cost on screen is of: that of one pixel has too many zeros


class Costs(NamedTuple):
    """What a false positive and a false negative cost, each above 0."""

    fp: float = 1.0
    fn: float = 1.0


class Policy(NamedTuple):
    """A rule for thresholds, where it puts them, and the cost per PER pixels of the heads and their difference."""

    name: str
    said: str
    cuts: dict[Head, tuple[int, ...]]
    cost: Paired | Alone


def policies(look: Look, cuts: Cuts | None, costs: Costs) -> list[Policy]:
    """The chosen thresholds, the one that is best for a calibrated p, and the cheapest on the images for tuning."""
    classes = len(look.classes)
    bayes = thresholds.cut_at(thresholds.bayes_threshold(cost_fp=costs.fp, cost_fn=costs.fn))
    where = "validation" if look.tuning else "these images"
    rules: list[tuple[str, str, dict[Head, tuple[int, ...]]]] = [
        ("chosen", "chosen", look.filled(cuts)),
        ("bayes", f"Bayes threshold {cut_text(bayes)}", dict.fromkeys(look.heads, (bayes,) * classes)),
        ("cheapest", f"cheapest on {where}", {head: cheapest(look, head, costs, bayes) for head in look.heads}),
    ]
    sums = [np.stack([_cost_sums(look, head, put[head], costs) for _, _, put in rules], axis=2) for head in look.heads]
    found = look.measured(sums, decisions.mean_cost, most=PER * max(costs.fp, costs.fn))
    return [
        Policy(name, said, put, type(found)(*(numbers[at : at + 1] for numbers in found)))
        for at, (name, said, put) in enumerate(rules)
    ]


def _cost_sums(look: Look, head: Head, cuts: Sequence[int], costs: Costs) -> Float64Array:
    """(1 + B, S, 2) cost per PER pixels of all images, then in each replicate, and their pixels."""
    outcomes = look.outcomes(head, cuts)
    if not look.members:
        return np.zeros((*outcomes.shape[:2], 2))
    return decisions.cost_terms(outcomes, look.members, cost_fp=PER * costs.fp, cost_fn=PER * costs.fn)


def cheapest(look: Look, head: Head, costs: Costs, bayes: int) -> tuple[int, ...]:
    """The cut of each class that costs least on the images for tuning; Bayes's for a class that they do not have."""
    found = look.tried[head]
    curve = thresholds.cost_curve(found.hist, cost_fp=costs.fp, cost_fn=costs.fn).mean(axis=0)
    cut: Int64Array = np.where(found.present, thresholds.cheapest_cut(curve, near=bayes), bayes)
    return tuple(int(one) for one in cut)


def policy_table(look: Look, found: Sequence[Policy]) -> pd.DataFrame:
    """One row a policy and class shown: thresholds and costs of the heads, and the difference with its interval; of one
    head alone the interval of its cost.
    """
    rows = []
    for one in found:
        row: dict[str, object] = {"thresholds": one.said, "class": look.title}
        for head, cost in zip(look.heads, one.cost.values, strict=True):
            cut = look.shown_cut(one.cuts[head])
            row[f"{head} threshold"] = np.nan if cut is None else float(thresholds.CUT_P[cut])
            row[f"{head} cost"] = float(cost[0])
        if isinstance(one.cost, Paired):
            row["difference"] = float(one.cost.difference[0])
        rows.append(row | {"low": float(one.cost.low[0]), "high": float(one.cost.high[0])})
    return pd.DataFrame(rows)
