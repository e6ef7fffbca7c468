"""Counts of several runs to the macro value of every cell of the grid, all resampled with the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from pipelines.arrays import Float32Array, Float64Array, Int64Array
from pipelines.comparison.matching import Match, Member
from pipelines.errors import RunError
from pipelines.metrics import METRICS, Setting, Source, inference
from pipelines.metrics.base import only_slot, ratio
from pipelines.metrics.bootstrap import CONFIDENCE, unit_weights
from pipelines.metrics.calibration import ece_of_bins
from pipelines.metrics.estimates import Estimate, HeadEstimates, estimate_head
from pipelines.metrics.sources import OUTCOMES_AT_HALF
from pipelines.schema import Head, Kind, Variant
from pipelines.statistics import Counts
from pipelines.statistics.grid import P_UNIT, STEPS

Threshold: TypeAlias = Literal["argmax", "p > 0.5", "tuned"]
MEASURES: Final = ("dice", "iou", "brier", "classwise_ece")
_ARRAYS: Final = ("score", "squared_error", "confusion")  # that they are made from
LABEL_MEASURES: Final = ("dice", "iou")  # of labels, read off by a threshold; the others are of probabilities


class Place(NamedTuple):
    """A cell of the grid. run: its label."""

    run: str
    head: Head
    threshold: Threshold
    variant: Variant


@dataclass(frozen=True)
class BySeed:
    """A macro value, or a difference of such, in each of S seeds.

    values: (S,); centers: (S,) what the replicates lie around (estimates.Estimate); replicates: (B, S), all seeds with
    the same images in a replicate.
    """

    values: Float64Array
    centers: Float64Array
    replicates: Float32Array

    def __sub__(self, other: "BySeed") -> "BySeed":
        """The difference in each seed, paired in the images."""
        return self + (-1) * other

    def __add__(self, other: "BySeed") -> "BySeed":
        """The sum in each seed."""
        return BySeed(self.values + other.values, self.centers + other.centers, self.replicates + other.replicates)

    def __rmul__(self, factor: float) -> "BySeed":
        """A multiple."""
        return BySeed(factor * self.values, factor * self.centers, np.float32(factor) * self.replicates)

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(self.values.mean())


def own_decision(kind: Kind) -> Threshold:
    """How labels are read off unless thresholds are tuned."""
    return "argmax" if kind == "exclusive" else "p > 0.5"


def _bin_terms(bins: Int64Array, classes: int) -> Float64Array:
    """`statistics.bins.image_bins`, (N, C or more, 3, bins), to (N, 1, C, bins, 3), p as it is."""
    return np.moveaxis(bins[:, :classes] * np.array([1, 1, P_UNIT])[:, None], 2, 3)[:, None]


class _Terms(NamedTuple):
    """What sources have made of a block of counts, by their names."""

    images: tuple[str, ...]
    terms: Mapping[str, Float64Array]


# The registry's classwise ECE over all pixels, from sums of bins: a thirtieth of the numbers in the grid of scores.
_BINS: Final = Source(
    "calibration_bins", lambda block, _setting: block.terms["calibration_bins"], only_slot, regions=("all",)
)
_ECE: Final = replace(
    METRICS["classwise_ece"], source=_BINS, value=lambda terms, _setting: ece_of_bins(terms),
    gaps=lambda terms, _setting: ratio(terms[..., 1] - terms[..., 2], terms[..., 0].sum(axis=-1, keepdims=True)),
)  # fmt: skip


@dataclass(frozen=True)
class Cells:
    """Macro values of the grid. by_place: by place and measure; bootstrap_seed: of all draws."""

    match: Match
    by_place: Mapping[tuple[Place, str], BySeed]
    bootstrap_seed: int

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """How labels are read off, the kind's own decision first."""
        other: tuple[Threshold, ...] = ("p > 0.5",) if self.match.kind == "exclusive" else ()
        return (own_decision(self.match.kind), *other, *(("tuned",) if self.match.thresholds else ()))

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Raw, and at the fitted temperature where every run has one."""
        return ("raw", "temperature") if self.match.temperatures else ("raw",)


def measure(match: Match, *, replicates: int, bootstrap_seed: int) -> Cells:
    """Estimate every cell of the grid: each replicate draws the same images for all runs, heads and seeds.

    Raises RunError when the runs were counted on different images.
    """
    rng = np.random.default_rng(bootstrap_seed)
    weights = unit_weights(match.units, replicates=replicates, rng=rng).astype(np.float32)
    found: dict[tuple[Place, str], BySeed] = {}
    images: tuple[str, ...] | None = None
    for member in match.members:
        for head in match.heads:
            for variant in ("raw", "temperature") if match.temperatures else ("raw",):
                by_seed = [_estimate(match, member, head, seed, variant, weights) for seed in member.seeds]
                images = images or by_seed[0].images
                if any(one.images != images for one in by_seed):
                    raise RunError(f"{member.run.name} was counted on other images; run evaluate on it again")
                for (threshold, name), key in _names(match).items():
                    place = Place(member.label, head, threshold, variant)
                    found[place, name] = _macro([one.by_key[key, "all"] for one in by_seed])
    return Cells(match, found, bootstrap_seed)


def _names(match: Match) -> dict[tuple[Threshold, str], str]:
    """The registry's name of each measure at each threshold."""
    suffixes: dict[Threshold, str] = {own_decision(match.kind): ""}
    suffixes |= {"p > 0.5": "_threshold"} if match.kind == "exclusive" else {}
    suffixes |= {"tuned": "_tuned"} if match.thresholds else {}
    return {
        (threshold, name): name + suffix if name in LABEL_MEASURES else name
        for threshold, suffix in suffixes.items()
        for name in MEASURES
    }


def _estimate(
    match: Match, member: Member, head: Head, seed: int, variant: Variant, weights: Float32Array
) -> HeadEstimates:
    thresholds = _tuned(match, member, head, seed, variant) if match.thresholds else None
    setting = Setting(match.kind, match.bins, match.background is not None, thresholds)
    wanted = sorted(set(_names(match).values()))
    metrics = [_ECE if name == "classwise_ece" else METRICS[name] for name in wanted]
    sources = {source.name: source for source in (OUTCOMES_AT_HALF, *(metric.source for metric in metrics))}

    def terms(block: Counts) -> _Terms:
        found = {name: source.terms(block, setting) for name, source in sources.items() if source is not _BINS}
        return _Terms(block.images, found)

    # Reading counts takes most of the time: only the arrays that are asked for, and of them a few numbers are kept.
    bins = member.run.image_bins(match.split, head, (seed,), bins=match.bins, variant=variant)
    every = _joined(member.run.map_counts(terms, _ARRAYS, match.split, head, (seed,), variant=variant))
    blocks = [every._replace(terms={**every.terms, _BINS.name: _bin_terms(bins, len(match.classes))})]
    kept = {name: _kept(source) for name, source in sources.items()}
    return estimate_head(
        lambda: blocks, setting, weights, metrics=[replace(one, source=kept[one.source.name]) for one in metrics],
        units=match.units.count, presence=kept[OUTCOMES_AT_HALF.name], regions=("all",),
    )  # fmt: skip


def _joined(blocks: Sequence[_Terms]) -> _Terms:
    """All images in one: a single product with the weights is many times faster than one for every few images."""
    return _Terms(
        tuple(name for block in blocks for name in block.images),
        {name: np.concatenate([block.terms[name] for block in blocks]) for name in blocks[0].terms},
    )


def _kept(source: Source) -> Source:
    """The same source over _Terms instead of counts."""

    def terms(block: Any, _setting: Setting) -> Float64Array:
        kept: Float64Array = block.terms[source.name]
        return kept

    return replace(source, terms=terms)


def _tuned(match: Match, member: Member, head: Head, seed: int, variant: Variant) -> tuple[int, ...]:
    """The k of each class's threshold k/300."""
    try:
        noted = member.run.facts["thresholds"][variant][head][str(seed)]
        return tuple(round(noted[name] * STEPS) for name in match.classes)
    except KeyError:
        raise RunError(
            f"{member.run.name} has no tuned thresholds for {head}, seed {seed}, {variant}; run evaluate on it again"
        ) from None


def _macro(by_seed: Sequence[Estimate]) -> BySeed:
    """The macro means, which stand behind the classes."""
    return BySeed(
        np.array([one.value[-1] for one in by_seed]), np.array([one.center[-1] for one in by_seed]),
        np.stack([one.replicates[:, -1] for one in by_seed], axis=1),
    )  # fmt: skip


def ends(
    cells: Cells,
    family: Sequence[BySeed],
    *,
    confidence: float = CONFIDENCE,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> list[tuple[float, float]]:
    """Low and high end of each of a family's means over seeds; those of several hold for all of them together.

    Seeds are a second level of chance beside the images (inference.over_seeds). NaN where there is one image.
    confidence: of the only one; several have 95%. bounds: what none of them can leave.
    """
    center, replicates, units = inference.over_seeds(
        np.stack([one.centers for one in family], axis=1), np.stack([one.replicates for one in family], axis=2),
        units=cells.match.units.count, rng=np.random.default_rng([cells.bootstrap_seed, 1]),
    )  # fmt: skip
    if len(family) > 1:
        low, high = inference.simultaneous_interval(center, replicates, units=units)
    else:
        low, high = inference.interval(center, replicates, units=units, confidence=confidence)
    return list(zip(np.clip(low, *bounds).tolist(), np.clip(high, *bounds).tolist(), strict=True))
