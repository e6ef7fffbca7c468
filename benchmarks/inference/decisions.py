"""Populations to how often intervals and verdicts about them are right, wrong or undecided."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from benchmarks.inference.coverage import POOL, weight_pool
from benchmarks.inference.estimates import STATISTICS, Estimates, draw, estimate, truth
from benchmarks.inference.population import Population, Scenario, build
from pipelines.arrays import Float64Array
from pipelines.judgement import Margin
from pipelines.metrics import inference
from pipelines.schema import ALL_SEEDS, DIFFERENCE, MACRO
from pipelines.verdict.rule import decide

DICE: Final = STATISTICS.index("Dice, macro, difference")
# Where a row of the metrics table stands among STATISTICS; a softmax is the sigmoid minus the difference.
_ROWS: Final = {
    "dice": (DICE, STATISTICS.index("Dice, macro, sigmoid")),
    "brier": (STATISTICS.index("Brier, difference"), STATISTICS.index("Brier, sigmoid")),
}


@dataclass(frozen=True)
class Outcomes:
    """Counts over repeats.

    difference: the true one in macro Dice; brier: in the Brier score, as a share of the mean of both heads;
    positions: above, below, inside, open, where the interval lies against the margin; off_zero: intervals that do not
    hold 0; answers: of the verdict; strong: those of them that are called strong.
    """

    difference: float
    brier: float
    positions: Counter[str]
    off_zero: int
    answers: Counter[str]
    strong: Counter[str]
    repeats: int

    def strongly_wrong(self, right: str) -> int:
        """How many strong answers are another one."""
        return self.strong.total() - self.strong[right]


def with_difference(scenario: Scenario, target: float, *, stream: list[int]) -> Scenario:
    """The scenario with the noise of its second head set so that sigmoid is better by about target macro Dice."""
    low, high = scenario.noise[0], scenario.noise[0] + 1.5
    for _ in range(7):
        middle = (low + high) / 2
        changed = replace(scenario, noise=(scenario.noise[0], middle))
        trial = build(changed, images=400, seeds=4, rng=np.random.default_rng(stream)).without_gaps
        low, high = (middle, high) if truth(trial)[DICE] < target else (low, middle)
    return replace(scenario, noise=(scenario.noise[0], (low + high) / 2))


def outcomes(
    population: Population, units: int, seeds: int, *, repeats: int, replicates: int, stream: list[int]
) -> Outcomes:
    """What the intervals and the verdict say in repeats with so many units and distinct seeds."""
    rng = np.random.default_rng(stream)
    margin = Margin().dice
    positions: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    strong: Counter[str] = Counter()
    off_zero = 0
    pool = weight_pool(units, replicates=replicates, rng=rng)
    facts = {"resampling": {"test": {"unit": "images", "count": units, "warning": None}}}
    for repeat in range(repeats):
        chosen = rng.permutation(population.seeds)[:seeds]
        sample = draw(population, rng.integers(0, population.images, units), chosen)
        one = estimate(sample, pool[repeat % POOL], reduced=False)
        table, low, high = metrics_of(one, units=units, rng=rng)
        off_zero += bool(low > 0 or high < 0)
        inside = "inside" if -margin <= low and high <= margin else "open"
        positions["above" if low > margin else "below" if high < -margin else inside] += 1
        verdict = decide(_dataset(population.scenario), table, facts)
        answers[verdict.answer] += 1
        strong[verdict.answer] += verdict.confidence == "strong"
    true = truth(population)
    gap, level = (float(true[column]) for column in _ROWS["brier"])
    return Outcomes(float(true[DICE]), gap / (level - gap / 2), positions, off_zero, answers, strong, repeats)


def metrics_of(one: Estimates, *, units: int, rng: np.random.Generator) -> tuple[pd.DataFrame, float, float]:
    """The rows of the metrics table that a verdict reads, and both ends of the interval of macro Dice's difference.

    Heads are at their own temperature as trained: the variant is raw and no other is there.
    """
    rows: list[dict[str, Any]] = []

    def add(head: str, metric: str, seed: int, numbers: Sequence[float]) -> None:
        rows.append(
            {"head": head, "seed": seed, "split": "test", "variant": "raw", "region": "all", "class": MACRO,
             "metric": metric, "images": units} | dict(zip(("value", "low", "high"), numbers, strict=True))
        )  # fmt: skip

    center, replicates, effective = inference.over_seeds(one.center, one.replicates, units=units, rng=rng)
    ends = inference.interval(center, replicates, units=effective)
    every = {ALL_SEEDS: (center, *ends)}
    every |= {seed: (value, *_unknown(value)) for seed, value in enumerate(one.value)}
    for seed, (value, low, high) in every.items():
        for metric, (gap, level) in _ROWS.items():
            add(DIFFERENCE, metric, seed, (value[gap], low[gap], high[gap]))
            add("sigmoid", metric, seed, (value[level], low[level], high[level]))
            add("softmax", metric, seed, (value[level] - value[gap], np.nan, np.nan))
    return pd.DataFrame(rows), float(ends[0][DICE]), float(ends[1][DICE])


def _unknown(value: Float64Array) -> tuple[Float64Array, Float64Array]:
    nan = np.full_like(value, np.nan)
    return nan, nan


def _dataset(scenario: Scenario) -> dict[str, Any]:
    """Of the check report, what the verdict reads: no ceiling that would speak for sigmoid before any measurement."""
    return {
        "kind": scenario.kind,
        "exclusive": scenario.kind == "exclusive",
        "overlap_share_labelled": 0.0 if scenario.kind == "exclusive" else 0.2,
        "ceiling_macro_dice": 1.0,
        "ceiling_macro_iou": 1.0,
        "class_facts": [{"name": f"class {k}", "share": 0.2} for k in range(len(scenario.offsets))],
    }
