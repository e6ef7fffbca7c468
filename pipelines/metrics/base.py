"""What a metric is: numbers of each image that add up, and a function from added-up numbers to a value.

Because a source's numbers add over images, a bootstrap replicate is a weighted sum of them, and all replicates of all
metrics of a source together are one matrix product.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.counting import Counts
from pipelines.errors import ShapeError
from pipelines.schema import REGIONS, Kind, Region

Better: TypeAlias = Literal["higher", "lower", "neither"]
ALL_KINDS: tuple[Kind, ...] = ("exclusive", "binary", "overlapping")
PIXEL_REGIONS: tuple[Region, ...] = ("all", "boundary", "interior")


@dataclass(frozen=True)
class Setting:
    """What a metric may depend on besides the counts.

    bins: equal-width bins of p, a divisor of 300; background: whether exclusive truth has a background class;
    thresholds: for each class the k of a threshold k/300 that was tuned on another split, None where there is none;
    cost_fp, cost_fn: what a false positive and a false negative cost, above 0.
    """

    kind: Kind
    bins: int = 15
    background: bool = False
    thresholds: tuple[int, ...] | None = None
    cost_fp: float = 1.0
    cost_fn: float = 1.0


def pick_region(totals: Float64Array, region: Region) -> Float64Array:
    """Sum or pick the slots of a source that has two of them, interior and boundary: (B, 2, ...) to (B, ...)."""
    if region == "all":
        return totals[:, 0] + totals[:, 1]
    if region in ("interior", "boundary"):
        return totals[:, int(region == "boundary")]
    raise ShapeError(f"this source has no pixels by {region}; its metrics exist for {', '.join(PIXEL_REGIONS)}")


def only_slot(totals: Float64Array, _region: Region) -> Float64Array:
    """The one slot of a source without regions: (B, 1, ...) to (B, ...)."""
    return totals[:, 0]


@dataclass(frozen=True)
class Source:
    """Numbers of each image that add over images, from which one metric or many are computed.

    terms: (counts, setting) to float64 (N, S, C, *F) if per_class, else (N, S, *F): S slots that regions are put
        together from, F numbers (one axis or more) that add over images.
    pick: sums over images, (B, S, ...), and a region to (B, ...); B is 1 for the whole, or one row a replicate.
    regions: those that pick knows.
    base: the source whose sums this one is a function of, so that they are added up once for both.
    origin: the source whose terms this one's are a function of, `of_origin` (terms, setting), so that they are made
        once for both.
    """

    name: str
    terms: Callable[[Any, Setting], Float64Array]
    pick: Callable[[Float64Array, Region], Float64Array] = pick_region
    per_class: bool = True
    regions: tuple[Region, ...] = PIXEL_REGIONS
    base: "Source | None" = None
    origin: "Source | None" = None
    of_origin: Callable[[Float64Array, Setting], Float64Array] | None = None

    @property
    def summed(self) -> "Source":
        """The source whose sums are to be made."""
        return self.base or self


def derived(base: Source, name: str, function: Callable[[Float64Array], Float64Array]) -> Source:
    """A source whose terms are a function of another one's sums in a region, for metrics that share its work."""
    return Source(
        name, base.terms, lambda totals, region: function(base.pick(totals, region)), base.per_class, base.regions, base
    )


@dataclass(frozen=True)
class Metric:
    """One metric.

    source: what it is computed from; if that has a class axis, so has the metric, and its macro mean runs over the
        classes with any truth.
    value: (terms (..., *F), setting) to (...); NaN where the metric is not defined (nothing to divide by).
    gaps: for a calibration error that is a sum of absolute gaps, (terms, setting) to the gaps (..., bins): its upward
        bias is taken off its interval (inference.calibration_error).
    folded: whether noise makes the value larger, as it does to a largest or mean absolute gap; the bootstrap's estimate
        of that is taken off the interval (inference.bias_corrected).
    needs: setting without which the metric does not exist.
    """

    name: str
    title: str
    better: Better
    description: str
    source: Source
    value: Callable[[Float64Array, Setting], Float64Array]
    kinds: tuple[Kind, ...] = ALL_KINDS
    regions: tuple[Region, ...] = REGIONS
    gaps: Callable[[Float64Array, Setting], Float64Array] | None = None
    folded: bool = False
    needs: Literal["thresholds", None] = None
    bounds: tuple[float, float] = (0.0, 1.0)

    @property
    def difference_bounds(self) -> tuple[float, float]:
        """What the difference of two values cannot leave."""
        low, high = self.bounds
        return low - high, high - low

    @property
    def per_class(self) -> bool:
        """Whether there is a value for each class."""
        return self.source.per_class

    def applies(self, setting: Setting, region: Region) -> bool:
        """Whether the metric is defined for this kind of truth, region and setting."""
        if setting.kind not in self.kinds or region not in self.regions or region not in self.source.regions:
            return False
        if self.needs == "thresholds" and setting.thresholds is None:
            return False
        return self.per_class or region != "foreground" or setting.background

    def terms(self, counts: Counts, region: Region, setting: Setting) -> Float64Array:
        """What the value of each image alone is made from, (N, C, *F) or (N, *F)."""
        return self.source.pick(self.source.terms(counts, setting), region)

    def pooled(self, counts: Counts, region: Region, setting: Setting) -> Float64Array:
        """The metric over all images together, (C,) or ()."""
        whole = self.source.terms(counts, setting).sum(axis=0, keepdims=True)
        return self.value(self.source.pick(whole, region), setting)[0]

    def by_image(self, counts: Counts, region: Region, setting: Setting) -> Float64Array:
        """The metric of each image alone, (N, C) or (N,)."""
        return self.value(self.terms(counts, region, setting), setting)


def terms_of(sources: Iterable[Source], counts: Any, setting: Setting) -> dict[str, Float64Array]:
    """Terms of sources by name; those that several are a function of are made once."""
    made: dict[str, Float64Array] = {}

    def terms(source: Source) -> Float64Array:
        if source.name not in made:
            if source.origin is None or source.of_origin is None:
                made[source.name] = source.terms(counts, setting)
            else:
                made[source.name] = source.of_origin(terms(source.origin), setting)
        return made[source.name]

    return {source.name: terms(source) for source in sources}


def ratio(numerator: Float64Array, denominator: Float64Array) -> Float64Array:
    """Quotient, NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def first_over_second(terms: Float64Array, _setting: Setting) -> Float64Array:
    """Sum over count: terms (..., 2) to their quotient (...), NaN where the count is 0."""
    return ratio(terms[..., 0], terms[..., 1])


def image_mean(metric: Metric, *, name: str, title: str, description: str) -> Metric:
    """The mean of a metric over the images in which it is defined, with the same regions and bounds."""
    regions = tuple(region for region in metric.regions if region in metric.source.regions)

    def of_origin(whole: Float64Array, setting: Setting) -> Float64Array:
        shape = (len(whole), *whole.shape[2:3]) if metric.per_class else (len(whole),)
        slots = [
            metric.value(metric.source.pick(whole, region), setting)
            if metric.applies(setting, region)
            else np.full(shape, np.nan)
            for region in regions
        ]
        values = np.stack(slots, axis=1)
        defined = ~np.isnan(values)
        return np.stack([np.where(defined, values, 0.0), defined.astype(np.float64)], axis=-1)

    source = Source(
        name, lambda counts, setting: of_origin(metric.source.terms(counts, setting), setting),
        lambda totals, region: totals[:, regions.index(region)], metric.per_class, regions,
        origin=metric.source.summed, of_origin=of_origin,
    )  # fmt: skip
    return Metric(
        name=name, title=title, better=metric.better, description=description, source=source,
        value=first_over_second, kinds=metric.kinds, regions=metric.regions, needs=metric.needs, bounds=metric.bounds,
    )  # fmt: skip


def registry(topics: Sequence[Sequence[Metric]]) -> dict[str, Metric]:
    """Metrics by name, in the order given. Raises ShapeError on a name that stands twice."""
    found: dict[str, Metric] = {}
    for metric in (one for topic in topics for one in topic):
        if metric.name in found:
            raise ShapeError(f"two metrics are called {metric.name}; give one of them another name")
        found[metric.name] = metric
    return found
