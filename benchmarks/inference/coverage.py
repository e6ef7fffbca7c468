"""Populations whose metrics are known to the share of repeats in which an interval holds the truth."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.inference import intervals
from benchmarks.inference.estimates import Estimates, draw, estimate, truth, values_by_seed
from benchmarks.inference.population import Population
from pipelines.arrays import Float32Array, Float64Array
from pipelines.metrics import inference

POOL = 40  # sets of replicate weights that repeats take turns in; drawing them anew would take most of the time
METHODS = ("percentile", "basic", "bca", "expanded", "chosen")
SEED_METHODS = ("drawn again", "Welch", "chosen")


@dataclass
class Tally:
    """What repeats of K intervals found, one array (K,) a repeat; NaN where a repeat has no interval."""

    truth: Float64Array
    above: list[Float64Array] = field(default_factory=list)  # 1 where the truth lies below the interval
    below: list[Float64Array] = field(default_factory=list)
    width: list[Float64Array] = field(default_factory=list)

    def add(self, low: Float64Array, high: Float64Array) -> None:
        """Note one repeat. An end that equals the truth but for rounding counts as reaching it."""
        known = ~(np.isnan(low) | np.isnan(high))
        self.above.append(np.where(known, low > self.truth + 1e-12, np.nan))
        self.below.append(np.where(known, high < self.truth - 1e-12, np.nan))
        self.width.append(high - low)

    def misses(self) -> tuple[Float64Array, Float64Array]:
        """(K,) shares of repeats whose interval lies wholly above the truth, and wholly below it."""
        return np.nanmean(self.above, axis=0), np.nanmean(self.below, axis=0)

    def coverage(self) -> Float64Array:
        """(K,) share of repeats whose interval holds the truth."""
        above, below = self.misses()
        return 1 - above - below

    def mean_width(self) -> Float64Array:
        """(K,)."""
        return np.nanmean(self.width, axis=0)


def weight_pool(units: int, *, replicates: int, rng: np.random.Generator) -> list[Float32Array]:
    """Sets of (B, N) weights: how often each unit stands in each replicate."""
    even = np.full(units, 1 / units)
    return [rng.multinomial(units, even, size=replicates).astype(np.float32) for _ in range(POOL)]


def methods(
    population: Population, units: int, *, repeats: int, replicates: int, stream: list[int]
) -> dict[str, Tally]:
    """Coverage of every kind of interval, one seed. "chosen" is the one production uses: expanded, with reduced ECE."""
    rng = np.random.default_rng(stream)
    known = truth(population)
    tallies = {name: Tally(known) for name in METHODS}
    pool = weight_pool(units, replicates=replicates, rng=rng)
    without = (1 - np.eye(units, dtype=np.float32)) * np.float32(units / (units - 1))
    for repeat in range(repeats):
        sample = draw(population, rng.integers(0, population.images, units), rng.integers(0, population.seeds, 1))
        weights = pool[repeat % POOL]
        chosen = estimate(sample, weights)
        plain = estimate(sample, weights, reduced=False)
        jackknife = estimate(sample, without, reduced=False).replicates
        for name in METHODS[:4]:
            ends = intervals.interval(plain.value, plain.replicates, units=units, method=name, jackknife=jackknife)
            tallies[name].add(*(end[0] for end in ends))
        ends = inference.interval(chosen.center, chosen.replicates, units=units)
        tallies["chosen"].add(*(end[0] for end in ends))
    return tallies


def in_use(population: Population, units: int, *, repeats: int, replicates: int, stream: list[int]) -> Tally:
    """Coverage of the intervals that production uses, one seed: "chosen" of methods, from samples of its own."""
    rng = np.random.default_rng(stream)
    tally = Tally(truth(population))
    pool = weight_pool(units, replicates=replicates, rng=rng)
    for repeat in range(repeats):
        sample = draw(population, rng.integers(0, population.images, units), rng.integers(0, population.seeds, 1))
        one = estimate(sample, pool[repeat % POOL])
        tally.add(*(end[0] for end in inference.interval(one.center, one.replicates, units=units)))
    return tally


def seed_levels(
    population: Population, units: int, seeds: int, *, repeats: int, replicates: int, stream: list[int]
) -> dict[str, Tally]:
    """Coverage of the mean over trainings by intervals from some distinct seeds.

    "drawn again": seeds drawn with replacement in each replicate; "Welch": the chosen rule with the degrees of freedom
    of Welch and Satterthwaite; "chosen": inference.over_seeds. The three are the same for one seed.
    """
    rng = np.random.default_rng(stream)
    tallies = {name: Tally(truth(population)) for name in SEED_METHODS}
    pool = weight_pool(units, replicates=replicates, rng=rng)
    for repeat in range(repeats):
        sample = draw(population, rng.integers(0, population.images, units), rng.permutation(population.seeds)[:seeds])
        one = estimate(sample, pool[repeat % POOL])
        for name, ends in _seed_intervals(one, units, rng):
            tallies[name].add(*ends)
    return tallies


def _seed_intervals(
    one: Estimates, units: int, rng: np.random.Generator
) -> Iterator[tuple[str, tuple[Float64Array, Float64Array]]]:
    seeds = len(one.center)
    shares = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(one.replicates)) / seeds
    again = np.einsum("bs,bsk->bk", shares, one.replicates)
    yield "drawn again", inference.interval(one.center.mean(axis=0), again, units=units)
    center, replicates, effective = inference.over_seeds(one.center, one.replicates, units=units, rng=rng)
    yield "chosen", inference.interval(center, replicates, units=effective)
    if seeds > 1:
        welch = _welch_units(one, units)
        # The same distances from the centre as if so many units had been drawn.
        scale = np.sqrt((1 - 1 / welch) / (1 - 1 / effective))
        replicates = center + scale * (replicates - center)
        effective = welch
    yield "Welch", inference.interval(center, replicates, units=effective)


def _welch_units(one: Estimates, units: int) -> Float64Array:
    """1 + degrees of freedom of Welch (1947) and Satterthwaite (1946), (K,)."""
    seeds = len(one.center)
    by_units = inference.standard_error(one.replicates.mean(axis=1), units=units) ** 2
    by_seeds = one.center.var(axis=0, ddof=1) / seeds
    both = by_units + by_seeds
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = both**2 / (by_units**2 / (units - 1) + by_seeds**2 / (seeds - 1))
    return 1 + np.where(both > 0, freedom, units - 1)


def seed_share(population: Population, units: int, *, replicates: int = 400) -> Float64Array:
    """(K,) share of one trained network's variance, in samples of so many units, that is due to its seed."""
    by_seeds = values_by_seed(population).var(axis=0, ddof=1)
    even = np.full(population.images, 1 / population.images)
    drawn = np.random.default_rng(0).multinomial(units, even, size=replicates)
    weights = (drawn * (population.images / units)).astype(np.float32)
    some = draw(population, np.arange(population.images), np.arange(min(population.seeds, 10)))
    by_units = estimate(some, weights, reduced=False).replicates.var(axis=0).mean(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0: a rate that is always 0
        return by_seeds / (by_seeds + by_units)


def monte_carlo_error(share: Float64Array | float, repeats: int) -> Float64Array:
    """Monte Carlo standard error of a share of repeats."""
    return np.sqrt(np.clip(share, 1e-9, 1) * np.clip(1 - np.asarray(share), 1e-9, 1) / repeats)
