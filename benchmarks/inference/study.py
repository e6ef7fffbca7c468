"""Scenarios and sizes to the tasks of the study, each of which can run in a process of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from benchmarks.inference.coverage import Tally, in_use, methods, seed_levels, seed_share
from benchmarks.inference.decisions import outcomes, with_difference
from benchmarks.inference.estimates import ECE, STATISTICS
from benchmarks.inference.population import Scenario, build
from pipelines.judgement import Answer

# Every number of the study comes from this seed; the rule and its constants were chosen on populations from others.
SEED: Final = 20261124
SIZES: Final = (30, 50, 100, 200)
SCENARIOS: Final = (
    Scenario("heads alike"),
    Scenario("heads alike, nearly calibrated", noise=(0.3, 0.3), slope=(0.97, 0.97)),
    Scenario("sigmoid more accurate", noise=(0.8, 1.4)),
    Scenario("softmax over-confident", slope=(0.8, 1.6)),
    Scenario("rare classes", offsets=(1.5, 0.0, -1.0, -2.0)),
    Scenario("two classes", offsets=(0.4, -0.4)),
    Scenario("overlapping truth", kind="overlapping", offsets=(-0.5, -1.0, -1.5)),
)
SPREADS: Final = (
    Scenario("small", seed_bias=0.05, seed_slope=0.02, seed_noise=0.02),
    Scenario("medium", seed_bias=0.2, seed_slope=0.1, seed_noise=0.1),
    Scenario("large", seed_bias=0.7, seed_slope=0.3, seed_noise=0.1),
)
SEED_COUNTS: Final = (1, 3, 5)
SEED_UNITS: Final = 100
DECISION_SIZES: Final = (50, 100, 200, 400)
# Both heads in the same form, so that they differ in what the case says and nothing else.
_PAIRS: Final = (
    Scenario("exclusive", overlap=(0.0, 0.0), seed_bias=0.08, seed_slope=0.04, seed_noise=0.15),
    Scenario(
        "overlapping", kind="overlapping", offsets=(-0.5, -1.0, -1.5), overlap=(0.0, 0.0),
        forms=("sigmoid", "sigmoid"), seed_bias=0.08, seed_slope=0.04, seed_noise=0.15,
    ),
)  # fmt: skip
_SLOPES: Final = (0.8, 1.8)  # the second head over-confident; neither argmax nor p > 0.5 depends on the slope


@dataclass(frozen=True)
class Case:
    """Two heads of a kind. target: the difference in macro Dice; right: the answer a verdict should give, if any."""

    pair: Scenario
    name: str
    target: float = 0.0
    right: Answer | None = None
    calibration: bool = False


CASES: Final = tuple(
    case
    for pair in _PAIRS
    for case in (
        Case(pair, "equal", right="no practical difference"),
        Case(pair, "half the margin", 0.005, right="no practical difference"),
        Case(pair, "the margin", 0.01),
        Case(pair, "twice the margin", 0.02, right="sigmoid"),
        Case(pair, "three times the margin", 0.03, right="sigmoid"),
        Case(pair, "five times the margin", 0.05, right="sigmoid"),
        Case(pair, "sigmoid better calibrated", right="sigmoid", calibration=True),
    )
)


@dataclass(frozen=True)
class Effort:
    """How much is computed."""

    repeats: int = 1000
    smooth_repeats: int = 4000  # of the intervals in use of what is no calibration error, which are cheap
    replicates: int = 1000
    images: int = 2000  # of a population
    seeds: int = 80  # of a population with several


QUICK: Final = Effort(repeats=40, smooth_repeats=40, replicates=200, images=300, seeds=10)
Row = dict[str, Any]


def coverage_task(index: int, effort: Effort) -> list[Row]:
    """One scenario's intervals by every method and size: a row for each statistic."""
    scenario = SCENARIOS[index]
    population = build(scenario, images=effort.images, rng=np.random.default_rng([SEED, 0, index]))
    rows = []
    for units in SIZES:
        tallies = methods(
            population, units, repeats=effort.repeats, replicates=effort.replicates, stream=[SEED, 1, index, units]
        )
        smooth = in_use(
            population.without_gaps, units,
            repeats=effort.smooth_repeats, replicates=effort.replicates, stream=[SEED, 7, index, units],
        )  # fmt: skip
        for method, tally in tallies.items():
            for k, statistic in enumerate(STATISTICS):
                more = method == "chosen" and k not in ECE
                rows.append(
                    {"scenario": scenario.name, "units": units, "statistic": statistic, "method": method}
                    | (_found(smooth, k, effort.smooth_repeats) if more else _found(tally, k, effort.repeats))
                )
    return rows


def _found(tally: Tally, k: int, repeats: int) -> Row:
    above, below = tally.misses()
    return {
        "coverage": tally.coverage()[k], "above": above[k], "below": below[k], "width": tally.mean_width()[k],
        "truth": tally.truth[k], "repeats": repeats,
    }  # fmt: skip


def seeds_task(index: int, effort: Effort) -> list[Row]:
    """One spread of seeds: a row for each statistic, number of seeds and method."""
    scenario = SPREADS[index]
    images = max(effort.images // 5, 2 * SEED_UNITS)
    population = build(scenario, images=images, seeds=effort.seeds, rng=np.random.default_rng([SEED, 2, index]))
    share = seed_share(population, SEED_UNITS)
    return [
        {
            "spread": scenario.name, "share": share[k], "seeds": seeds, "statistic": statistic, "method": method,
            "coverage": tally.coverage()[k], "width": tally.mean_width()[k], "repeats": effort.repeats,
        }
        for seeds in SEED_COUNTS
        for method, tally in seed_levels(
            population, SEED_UNITS, seeds,
            repeats=effort.repeats, replicates=effort.replicates, stream=[SEED, 3, index, seeds],
        ).items()
        for k, statistic in enumerate(STATISTICS)
    ]  # fmt: skip


def decisions_task(index: int, effort: Effort) -> list[Row]:
    """One pair of heads, three seeds: a row for each size."""
    case = CASES[index]
    rng = np.random.default_rng([SEED, 4, index])
    stream = [SEED, 5, index]
    scenario = case.pair
    if case.target:
        scenario = with_difference(scenario, case.target, stream=stream)
    if case.calibration:
        scenario = replace(scenario, slope=_SLOPES)
    equal = case.name == "equal"
    population = build(scenario, images=effort.images // 4, seeds=effort.seeds // 2, rng=rng).without_gaps
    if equal:
        population = population.mirrored(by="seeds")
    rows = []
    for units in DECISION_SIZES:
        found = outcomes(
            population, units, 3, repeats=effort.repeats, replicates=effort.replicates, stream=[SEED, 6, index, units]
        )
        undecided = found.answers["not enough evidence"]
        right = None if case.right is None else found.answers[case.right]
        rows.append(
            {
                "kind": scenario.name, "case": case.name, "difference": found.difference, "brier": found.brier,
                "units": units, "off_zero": found.off_zero / found.repeats,
                **{name: found.positions[name] / found.repeats for name in ("above", "below", "inside", "open")},
                "right": None if right is None else right / found.repeats,
                "wrong": None if right is None else 1 - (right + undecided) / found.repeats,
                "strong": None if right is None else found.strongly_wrong(case.right) / found.repeats,
                "undecided": undecided / found.repeats, "repeats": found.repeats,
            }
        )  # fmt: skip
    return rows


def tasks() -> dict[str, list[Callable[[Effort], list[Row]]]]:
    """By table, the functions whose rows make it up; the longest first."""
    return {
        "seeds": [partial(seeds_task, index) for index in range(len(SPREADS))],
        "coverage": [partial(coverage_task, index) for index in range(len(SCENARIOS))],
        "decisions": [partial(decisions_task, index) for index in range(len(CASES))],
    }
