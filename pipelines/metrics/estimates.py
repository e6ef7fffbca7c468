"""Counts of one head and seed to every metric's value and bootstrap replicates, in memory that no image adds to."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from pipelines.arrays import BoolArray, Float32Array, Float64Array
from pipelines.engine import map_in_order
from pipelines.errors import ShapeError
from pipelines.metrics import METRICS
from pipelines.metrics.base import Metric, Setting, Source, terms_of
from pipelines.metrics.inference import calibration_error
from pipelines.metrics.sources import OUTCOMES_AT_HALF
from pipelines.schema import REGIONS, Region

Key: TypeAlias = tuple[str, Region]
_Slot: TypeAlias = tuple[str, Region, Literal["value", "gaps"]]
_Found: TypeAlias = dict[_Slot, Float32Array]
MEMORY: Final = 320 * 2**20  # bytes of replicated sums held at a time; more are made in several passes
_VALUES_MEMORY: Final = 24 * 2**20  # bytes of sums whose values a thread computes at a time


@dataclass
class Estimate:
    """A metric's values for each class and their macro mean (per_class), or a single one, with its replicates.

    value: (K,) float64, from exact sums; center: (K,) what the replicates lie around, which is the value unless that
    is biased (inference.calibration_error); replicates: (B, K) float32, NaN where a replicate does not define it.
    """

    value: Float64Array
    center: Float64Array
    replicates: Float32Array
    per_class: bool

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The paired difference: both were drawn with the same images in each replicate."""
        return Estimate(
            self.value - other.value, self.center - other.center, self.replicates - other.replicates, self.per_class
        )


@dataclass
class HeadEstimates:
    """All metrics of one head and seed. images: in the order counted; by_key: by (metric, region)."""

    images: tuple[str, ...]
    by_key: dict[Key, Estimate]


def estimate_head(
    blocks: Callable[[], Iterable[Any]],
    setting: Setting,
    weights: Float32Array,
    *,
    units: int,
    metrics: Iterable[Metric] | None = None,
    presence: Source = OUTCOMES_AT_HALF,
    regions: tuple[Region, ...] = REGIONS,
    memory: int = MEMORY,
) -> HeadEstimates:
    """Values and replicates of all metrics that apply.

    blocks: called once or several times, each time the counts of all images in the same order; weights: (B, N) how
    often each image stands in each replicate; units: how many images or groups were drawn from; metrics: those to
    compute, by default the registry; presence: a source of outcomes, (N, 2, C, 4), that says which classes occur in
    the truth. Sums of replicates are float32, with relative errors of 10⁻⁷, far below what resampling adds; values
    come from float64 sums of integers and are exact.
    Raises ShapeError when there are no counts or their number is not that of the weights.
    """
    chosen = list(METRICS.values() if metrics is None else metrics)
    keys = [(one, region) for one in chosen for region in regions if one.applies(setting, region)]
    sources = list({one.source.summed.name: one.source.summed for one, _ in keys}.values())
    if presence not in sources:
        sources.append(presence)
    sums = _first_pass(blocks(), sources, setting, weights, memory)
    if len(sums.images) < weights.shape[1]:
        raise ShapeError(f"there are weights for {weights.shape[1]} images, but counts of {len(sums.images)}")
    truth = presence.name
    present = _truth(sums.whole[truth])[0]
    values = _values(keys, sums.whole, sums.whole[truth], present, setting)
    parts: dict[_Slot, list[Float32Array]] = {key: [] for key in values}
    for start in range(0, len(weights), sums.step):
        some = weights[start : start + sums.step]
        drawn = sums.drawn if start == 0 else _drawn(blocks(), sources, setting, some)
        count = max(16, _VALUES_MEMORY // (8 * sum(one[0].size for one in drawn.values())))

        def values_from(first: int, count: int = count, drawn: dict[str, Float32Array] = drawn) -> _Found:
            rows = {name: one[first : first + count].astype(np.float64) for name, one in drawn.items()}
            found = _values(keys, rows, rows[truth], present, setting)
            return {key: replicates.astype(np.float32) for key, replicates in found.items()}

        for found in map_in_order(values_from, range(0, len(some), count)):
            for key, replicates in found.items():
                parts[key].append(replicates)
    empty = np.empty(0, np.float32)
    joined = {
        key: np.concatenate(parts[key]) if parts[key] else empty.reshape(0, *value.shape[1:])
        for key, value in values.items()
    }
    return HeadEstimates(
        sums.images,
        {(metric.name, region): _estimate(metric, region, values, joined, present, units) for metric, region in keys},
    )


def _estimate(
    metric: Metric,
    region: Region,
    values: dict[_Slot, Float64Array],
    replicates: dict[_Slot, Float32Array],
    present: BoolArray,
    units: int,
) -> Estimate:
    """Value, and replicates around their center; the macro mean of classes is put behind them."""
    value, drawn = values[metric.name, region, "value"][0], replicates[metric.name, region, "value"]
    center = value
    if metric.gaps is not None and len(drawn):
        slot: _Slot = (metric.name, region, "gaps")
        center, around = calibration_error(values[slot][0], replicates[slot].astype(np.float64), units=units)
        drawn = np.where(np.isnan(drawn), np.nan, around).astype(np.float32)
    if not metric.per_class:
        return Estimate(value[None], np.atleast_1d(center), drawn[:, None], per_class=False)
    return Estimate(
        np.append(value, _macro(value[None], present)),
        np.append(center, _macro(center[None], present)),
        np.concatenate([drawn, _macro(drawn, present)[:, None]], axis=1, dtype=np.float32),
        per_class=True,
    )


@dataclass
class _Sums:
    """What the first pass leaves: exact sums, (1, S, …) float64, and the first `step` replicates' (step, S, …)."""

    images: tuple[str, ...]
    whole: dict[str, Float64Array]
    drawn: dict[str, Float32Array]
    step: int


def _first_pass(
    blocks: Iterable[Any], sources: list[Source], setting: Setting, weights: Float32Array, memory: int
) -> _Sums:
    """Add up what every source has of every image; as many replicates as fit into memory come along."""
    images: list[str] = []
    whole: dict[str, Float64Array] = {}
    drawn: dict[str, Float32Array] = {}
    step = 1
    for block in blocks:
        terms = terms_of(sources, block, setting)
        if not images:
            step = max(1, memory // (4 * sum(one[0].size for one in terms.values())))
            drawn = _no_sums(terms, len(weights[:step]))
        for name, one in terms.items():
            part = one.sum(axis=0, keepdims=True)
            whole[name] = whole[name] + part if name in whole else part
        if len(images) + len(block.images) > weights.shape[1]:
            raise ShapeError(f"there are counts of more images than the {weights.shape[1]} that have weights")
        _add(drawn, terms, weights[:step, len(images) : len(images) + len(block.images)])
        images += block.images
    if not images:
        raise ShapeError("there are no counts to compute metrics from")
    return _Sums(tuple(images), whole, drawn, step)


def _drawn(
    blocks: Iterable[Any], sources: list[Source], setting: Setting, weights: Float32Array
) -> dict[str, Float32Array]:
    """Each source's weighted sums, (B, S, …) float32."""
    drawn: dict[str, Float32Array] = {}
    at = 0
    for block in blocks:
        terms = terms_of(sources, block, setting)
        if not at:
            drawn = _no_sums(terms, len(weights))
        _add(drawn, terms, weights[:, at : at + len(block.images)])
        at += len(block.images)
    return drawn


def _no_sums(terms: dict[str, Float64Array], replicates: int) -> dict[str, Float32Array]:
    """Sums of no image yet, (replicates, S, …) for each source."""
    return {name: np.zeros((replicates, *one.shape[1:]), np.float32) for name, one in terms.items()}


def _add(drawn: dict[str, Float32Array], terms: dict[str, Float64Array], weights: Float32Array) -> None:
    """Add a block's images, as often as each stands in each replicate: one matrix product a source."""
    from scipy.linalg import blas  # loaded when it is needed, which on the first page it is not

    some = np.ascontiguousarray(weights, np.float32)
    if not some.size:
        return
    for name, one in terms.items():
        flat = one.reshape(len(one), one[0].size).astype(np.float32)
        sums = drawn[name].reshape(len(some), one[0].size)
        if sums.size:  # added in place, where numpy would first make a second array of that size
            blas.sgemm(1.0, flat.T, some.T, beta=1.0, c=sums.T, overwrite_c=True)


def _values(
    keys: list[tuple[Metric, Region]],
    sums: dict[str, Float64Array],
    outcomes: Float64Array,
    present: BoolArray,
    setting: Setting,
) -> dict[_Slot, Float64Array]:
    """Values of every metric, (B, C) or (B,), and gaps of those that have them, (B, C, bins) or (B, bins)."""
    truth = _truth(outcomes)
    out: dict[_Slot, Float64Array] = {}
    for source, region, some in _by_source(keys):
        terms = source.pick(sums[source.summed.name], region)
        for metric in some:
            value = metric.value(terms, setting)
            # A replicate without a class says nothing of it, for any head: a head that calls it somewhere would get 0
            # there and one that does not NaN, and their macro means would run over different classes.
            out[metric.name, region, "value"] = np.where(truth | ~present, value, np.nan) if metric.per_class else value
            if metric.gaps is not None:
                out[metric.name, region, "gaps"] = metric.gaps(terms, setting)
    return out


def _by_source(keys: list[tuple[Metric, Region]]) -> Iterator[tuple[Source, Region, list[Metric]]]:
    """Metrics that are computed from the same terms together."""
    found: dict[Key, tuple[Source, Region, list[Metric]]] = {}
    for metric, region in keys:
        found.setdefault((metric.source.name, region), (metric.source, region, []))[2].append(metric)
    yield from found.values()


def _truth(outcomes: Float64Array) -> BoolArray:
    """(B, C) whether each class occurs in the truth, from (B, 2, C, 4) outcomes."""
    positives: Float64Array = outcomes[..., 0] + outcomes[..., 2]
    return positives.sum(axis=1) > 0


def _macro(values: Float64Array | Float32Array, present: BoolArray) -> Float64Array:
    """Mean over classes with truth, (B, C) to (B,); classes a replicate has nothing of are left out of its mean."""
    chosen = values[:, present]
    defined = ~np.isnan(chosen)
    count = defined.sum(axis=1)
    total = np.where(defined, chosen, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
