"""What a metric is: numbers of each image that add up, and a function from added-up numbers to a value.

Because a source's numbers add over images, a bootstrap replicate is a weighted sum of them, and all replicates of all
metrics of a source together are one matrix product.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from pipelines.arrays import Float64Array, Int64Array
from pipelines.counting.counts import Counts
from pipelines.counting.grid import HALF_CELL, NLL_UNIT, P_UNIT, SOFT_UNIT, STEPS, first_cell_above
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
    cost_fp, cost_fn: what a false positive and a false negative cost, above 0. soft: whether there is a soft truth.
    """

    kind: Kind
    bins: int = 15
    background: bool = False
    thresholds: tuple[int, ...] | None = None
    cost_fp: float = 1.0
    cost_fn: float = 1.0
    soft: bool = False


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


Value: TypeAlias = Callable[[Float64Array, Setting], Float64Array]


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
    value: Value
    kinds: tuple[Kind, ...] = ALL_KINDS
    regions: tuple[Region, ...] = REGIONS
    gaps: Callable[[Float64Array, Setting], Float64Array] | None = None
    folded: bool = False
    needs: Literal["thresholds", "soft", None] = None
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
        if (self.needs == "thresholds" and setting.thresholds is None) or (self.needs == "soft" and not setting.soft):
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


class Terms(NamedTuple):
    """What sources made of a block of counts, kept instead of it. by_source: (N, S, C, …) each by the source's name."""

    images: tuple[str, ...]
    by_source: Mapping[str, Float64Array]

    @classmethod
    def joined(cls, blocks: Sequence["Terms"]) -> "Terms":
        """All images in one: a single product with the weights is many times faster than one for every few images."""
        return cls(
            tuple(name for block in blocks for name in block.images),
            {name: np.concatenate([block.by_source[name] for block in blocks]) for name in blocks[0].by_source},
        )


def kept(source: Source) -> Source:
    """The same source over Terms instead of counts."""
    return replace(source, terms=lambda block, _: block.by_source[source.name])


def ratio(numerator: Float64Array, denominator: Float64Array) -> Float64Array:
    """Quotient, NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def first_over_second(terms: Float64Array, _setting: Setting) -> Float64Array:
    """Sum over count: terms (..., 2) to their quotient (...), NaN where the count is 0."""
    return ratio(terms[..., 0], terms[..., 1])


def image_mean(metric: Metric, description: str, *, name: str = "", title: str = "") -> Metric:
    """The mean of a metric over the images in which it is defined, with the same regions and bounds.

    name, title: those of the metric with "_image_mean" and ", mean over images" behind them, if they are not given.
    """
    name = name or f"{metric.name}_image_mean"
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
        name,
        lambda counts, setting: of_origin(metric.source.terms(counts, setting), setting),
        lambda totals, region: totals[:, regions.index(region)],
        metric.per_class,
        regions,
        origin=metric.source.summed,
        of_origin=of_origin,
    )
    title = title or f"{metric.title}, mean over images"
    own: dict[str, Any] = {"name": name, "title": title, "description": description}
    return replace(metric, source=source, value=first_over_second, gaps=None, folded=False, **own)


def registry(topics: Sequence[Sequence[Metric]]) -> dict[str, Metric]:
    """Metrics by name, in the order given. Raises ShapeError on a name that stands twice."""
    metrics: dict[str, Metric] = {}
    for metric in (one for topic in topics for one in topic):
        if metric.name in metrics:
            raise ShapeError(f"two metrics are called {metric.name}; give one of them another name")
        metrics[metric.name] = metric
    return metrics


def in_region(array: Int64Array, region: Region, *, axis: int) -> Int64Array:
    """Sum or pick the region axis (interior, boundary) of counts. Raises ShapeError for "foreground"."""
    if region == "all":
        return array.sum(axis=axis)
    if region in ("interior", "boundary"):
        picked: Int64Array = np.moveaxis(array, axis, 0)[int(region == "boundary")]
        return picked
    raise ShapeError(f"region {region} is not stored but derived from scores; see SCORES")


# Scores ------------------------------------------------------------------------------------------------------------


def _scores(counts: Counts, _setting: Setting) -> Float64Array:
    """(N, 2, C, 4, CELLS): pixels without and with the class by cell of p, then the sums of p over them."""
    p = counts.score_p.astype(np.float64) * P_UNIT
    both = np.concatenate([counts.score.astype(np.float64), p], axis=3)  # (N, C, R, 4, CELLS)
    return np.moveaxis(both, 2, 1)


def _scores_in(totals: Float64Array, region: Region) -> Float64Array:
    """The foreground of a class is its truth together with what is called it.

    So all pixels where it is there, and of the others those with p > 0.5.
    """
    if region != "foreground":
        return pick_region(totals, region)
    out = totals[:, 0] + totals[:, 1]
    out[..., 0::2, :HALF_CELL] = 0
    return out


SCORES: Final = Source("scores", _scores, _scores_in, regions=REGIONS)


def _soft_scores(counts: Counts, _setting: Setting) -> Float64Array:
    """(N, 3, C, 3, CELLS): of interior, boundary and foreground, pixels, Σs and Σp by cell of p."""
    parts = (counts.score.astype(np.float64), counts.soft * SOFT_UNIT, counts.score_p * P_UNIT)
    by_region = np.moveaxis(np.stack(parts, axis=4), 2, 1)  # (N, R, C, Y, 3, CELLS)
    front = by_region.sum(axis=1)
    front[:, :, 0, :, :HALF_CELL] = 0
    return np.concatenate([by_region.sum(axis=3), front.sum(axis=2)[:, None]], axis=1)


def _soft_scores_in(totals: Float64Array, region: Region) -> Float64Array:
    """As those of SCORES, (B, C, 4, CELLS): for pixels with the class the sum of s, for those without the rest."""
    slots = {"all": [0, 1], "interior": [0], "boundary": [1], "foreground": [2]}[region]
    pixels, soft, p = np.moveaxis(totals[:, slots].sum(axis=1), 2, 0)
    return np.stack([pixels - soft, soft, p, np.zeros_like(p)], axis=2)


SOFT_SCORES: Final = Source("soft_scores", _soft_scores, _soft_scores_in, regions=REGIONS)


def _top(counts: Counts, _setting: Setting) -> Float64Array:
    """(N, 4, 4, CELLS): slots are region × foreground; wrong and right argmax by cell of the largest p, and Σp."""
    whole = np.concatenate([counts.top.astype(np.float64), counts.top_p * P_UNIT], axis=3)
    return whole.reshape(whole.shape[0], 4, *whole.shape[3:])


def _top_in(totals: Float64Array, region: Region) -> Float64Array:
    """The foreground leaves out pixels that are background in truth and in the argmax."""
    interior_back, interior_front, edge_back, edge_front = np.moveaxis(totals, 1, 0)
    if region == "foreground":
        return interior_front + edge_front
    inner, edge = interior_back + interior_front, edge_back + edge_front
    return {"all": inner + edge, "interior": inner, "boundary": edge}[region]


TOP: Final = Source("top", _top, _top_in, per_class=False, regions=REGIONS)

# Errors ------------------------------------------------------------------------------------------------------------


def _error_source(name: str, unit: float) -> Source:
    """Sums of one kind of error and pixels: (N, 2, C, 2, 2, 2), by truth, by p > 0.5, and which of the two."""

    def terms(counts: Counts, _setting: Setting) -> Float64Array:
        sums = getattr(counts, name) * np.float64(unit)
        score = counts.score
        pixels = np.stack([score[..., :HALF_CELL].sum(axis=-1), score[..., HALF_CELL:].sum(axis=-1)], axis=-1)
        return np.moveaxis(np.stack([sums, pixels.astype(np.float64)], axis=-1), 2, 1)

    def pick(totals: Float64Array, region: Region) -> Float64Array:
        if region != "foreground":
            return pick_region(totals, region).sum(axis=(2, 3))
        whole = totals[:, 0] + totals[:, 1]
        return whole[:, :, 1].sum(axis=2) + whole[:, :, 0, 1]

    return Source(name, terms, pick, regions=REGIONS)


SQUARED_ERROR: Final = _error_source("squared_error", P_UNIT)
NLL: Final = _error_source("nll", NLL_UNIT)
SOFT_SQUARED_ERROR: Final = _error_source("soft_squared_error", P_UNIT)
SOFT_NLL: Final = _error_source("soft_nll", NLL_UNIT)


def _categorical(counts: Counts, _setting: Setting) -> Float64Array:
    """(N, 2, 3): sum of −log P(true class), sum of the mass off one label, pixels."""
    sums = counts.categorical * np.array([NLL_UNIT, P_UNIT])
    pixels = counts.confusion.sum(axis=(2, 3), dtype=np.float64)
    return np.concatenate([sums, pixels[..., None]], axis=-1)


CATEGORICAL: Final = Source("categorical", _categorical, per_class=False)

# Decisions ---------------------------------------------------------------------------------------------------------


def _outcomes(tp: Int64Array, called: Int64Array, there: Int64Array, pixels: Int64Array) -> Float64Array:
    """True and false positives, false and true negatives on a new last axis."""
    return np.stack([tp, called - tp, there - tp, pixels - called - there + tp], axis=-1).astype(np.float64)


def outcomes_above(counts: Counts, cells: Int64Array) -> Float64Array:
    """(N, 2, C, 4) outcomes when a class is called present in the cells from cells[c] on; cells: (C,)."""
    score = np.moveaxis(counts.score, 2, 1)  # (N, R, C, Y, CELLS)
    above = np.arange(score.shape[-1]) >= cells[:, None]  # (C, CELLS)
    called = np.einsum("nrcyk,ck->nrcy", score, above.astype(np.int64))
    whole = score.sum(axis=-1)
    return _outcomes(called[..., 1], called.sum(axis=-1), whole[..., 1], whole.sum(axis=-1))


def _at_half(counts: Counts, _setting: Setting) -> Float64Array:
    return outcomes_above(counts, np.full(counts.classes, HALF_CELL, np.int64))


def _at_argmax(counts: Counts, _setting: Setting) -> Float64Array:
    confusion = counts.confusion
    hits = np.einsum("nrcc->nrc", confusion)
    pixels = confusion.sum(axis=(2, 3))[..., None]
    return _outcomes(hits, confusion.sum(axis=2), confusion.sum(axis=3), pixels)


def _decided(counts: Counts, setting: Setting) -> Float64Array:
    return (_at_argmax if setting.kind == "exclusive" else _at_half)(counts, setting)


def _tuned(counts: Counts, setting: Setting) -> Float64Array:
    if setting.thresholds is None:
        raise ShapeError("there are no tuned thresholds; tune them on another split first")
    cells = [first_cell_above(step / STEPS) for step in setting.thresholds]
    return outcomes_above(counts, np.array(cells, np.int64))


# True and false positives, false and true negatives of each class.
OUTCOMES: Final = Source("outcomes", _decided)  # the kind's own decision: argmax for exclusive truth, else p > 0.5
OUTCOMES_AT_HALF: Final = Source("outcomes_at_half", _at_half)
OUTCOMES_TUNED: Final = Source("outcomes_tuned", _tuned)
CONFUSION: Final = Source("confusion", lambda counts, _: counts.confusion.astype(np.float64), per_class=False)

# Labels a pixel, geometry ------------------------------------------------------------------------------------------


def claimed(counts: Counts, *, labels: int, first_cell: int = HALF_CELL) -> Int64Array:
    """(N, 2, 4) pixels with at least `labels` classes (1 to 3) from first_cell on, by true number of labels."""
    if labels > counts.ranks.shape[3]:
        return np.zeros(counts.ranks.shape[:3], np.int64)
    return counts.ranks[:, :, :, labels - 1, first_cell:].sum(axis=-1)


def pixels_by_labels(counts: Counts) -> Int64Array:
    """(N, 2, 4) valid pixels by region and true number of labels: 0, 1, 2, 3 or more."""
    return counts.ranks[:, :, :, 0].sum(axis=-1)


def _labels(counts: Counts, _setting: Setting) -> Float64Array:
    """(N, 2, 4, 4): by true number of labels: pixels, and those called at least one, two, three classes."""
    parts = [pixels_by_labels(counts), *(claimed(counts, labels=k) for k in (1, 2, 3))]
    return np.stack(parts, axis=-1).astype(np.float64)


LABELS: Final = Source("labels", _labels, per_class=False)


def _mass(counts: Counts, _setting: Setting) -> Float64Array:
    """(N, 2, 2, 3): probability and true pixels of 0, 1, and 2 or more labels."""
    labels = pixels_by_labels(counts).astype(np.float64)
    true = np.stack([labels[..., 0], labels[..., 1], labels[..., 2] + labels[..., 3]], axis=-1)
    return np.stack([counts.mass * np.float64(P_UNIT), true], axis=-2)


MASS: Final = Source("mass", _mass, per_class=False)
