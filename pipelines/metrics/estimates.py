"""Counts of one head and seed to every metric's value and bootstrap replicates, in memory that no image adds to."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from pipelines.counting.counts import Counts
from pipelines.engine import map_in_order
from pipelines.errors import ShapeError
from pipelines.layouts import METRICS_SCHEMA
from pipelines.metrics import METRICS, inference
from pipelines.metrics.base import OUTCOMES_AT_HALF, Metric, Setting, Source, terms_of
from pipelines.metrics.inference import Resampling, calibration_error
from pipelines.schema import (
    ALL_CLASSES,
    ALL_SEEDS,
    DIFFERENCES,
    MACRO,
    REGIONS,
    SWAP_DIFFERENCES,
    Region,
    Split,
    Variant,
)

Key: TypeAlias = tuple[str, Region]
_Slot: TypeAlias = tuple[str, Region, Literal["value", "gaps"]]
_Found: TypeAlias = dict[_Slot, Float32Array]
MEMORY: Final = 320 * 2**20  # bytes of replicated sums held at a time; more are made in several passes
_VALUES_MEMORY: Final = 24 * 2**20  # bytes of sums whose values a thread computes at a time


@dataclass(frozen=True)
class Replicated:
    """K numbers side by side and what resampling makes of them: of classes and their macro mean, of metrics, of seeds.

    value: (K,) float64, from exact sums; center: (K,) what the replicates lie around, which is the value unless that
    is biased (inference.calibration_error); replicates: (B, K) float32, NaN where a replicate does not define it.
    Sums and differences are paired: all were drawn with the same images in each replicate.
    """

    value: Float64Array
    center: Float64Array
    replicates: Float32Array

    def __add__(self, other: "Replicated") -> "Replicated":
        return Replicated(self.value + other.value, self.center + other.center, self.replicates + other.replicates)

    def __sub__(self, other: "Replicated") -> "Replicated":
        return Replicated(self.value - other.value, self.center - other.center, self.replicates - other.replicates)

    def __rmul__(self, factor: float) -> "Replicated":
        return Replicated(factor * self.value, factor * self.center, np.float32(factor) * self.replicates)

    @property
    def mean(self) -> float:
        """Of the values."""
        return float(self.value.mean())

    @property
    def per_class(self) -> bool:
        """Of a metric: whether it has a value a class, and the macro mean behind them."""
        return len(self.value) > 1


@dataclass
class HeadEstimates:
    """All metrics of one head and seed. images: in the order counted; by_key: by (metric, region)."""

    images: tuple[str, ...]
    by_key: dict[Key, Replicated]


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
        part = weights[start : start + sums.step]
        drawn = sums.drawn if start == 0 else _drawn(blocks(), sources, setting, part)
        count = max(16, _VALUES_MEMORY // (8 * sum(one[0].size for one in drawn.values())))

        def values_from(first: int, count: int = count, drawn: dict[str, Float32Array] = drawn) -> _Found:
            rows = {name: one[first : first + count].astype(np.float64) for name, one in drawn.items()}
            computed = _values(keys, rows, rows[truth], present, setting)
            return {key: replicates.astype(np.float32) for key, replicates in computed.items()}

        for computed in map_in_order(values_from, range(0, len(part), count)):
            for key, replicates in computed.items():
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
) -> Replicated:
    """Value, and replicates around their center; the macro mean of classes is put behind them."""
    value, drawn = values[metric.name, region, "value"][0], replicates[metric.name, region, "value"]
    center = value
    if metric.gaps is not None and len(drawn):
        slot: _Slot = (metric.name, region, "gaps")
        center, around = calibration_error(values[slot][0], replicates[slot].astype(np.float64), units=units)
        drawn = np.where(np.isnan(drawn), np.nan, around).astype(np.float32)
    if not metric.per_class:
        return Replicated(value[None], np.atleast_1d(center), drawn[:, None])
    return Replicated(
        np.append(value, _macro(value[None], present)),
        np.append(center, _macro(center[None], present)),
        np.concatenate([drawn, _macro(drawn, present)[:, None]], axis=1, dtype=np.float32),
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
            step = max(1, memory // (4 * sum(array[0].size for array in terms.values())))
            drawn = _no_sums(terms, len(weights[:step]))
        for name, array in terms.items():
            part = array.sum(axis=0, keepdims=True)
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
    return {name: np.zeros((replicates, *array.shape[1:]), np.float32) for name, array in terms.items()}


def _add(drawn: dict[str, Float32Array], terms: dict[str, Float64Array], weights: Float32Array) -> None:
    """Add a block's images, as often as each stands in each replicate: one matrix product a source."""
    from scipy.linalg import blas  # loaded when it is needed, which on the first page it is not

    drawn_images = np.ascontiguousarray(weights, np.float32)
    if not drawn_images.size:
        return
    for name, array in terms.items():
        flat = array.reshape(len(array), array[0].size).astype(np.float32)
        sums = drawn[name].reshape(len(drawn_images), array[0].size)
        if sums.size:  # added in place, where numpy would first make a second array of that size
            blas.sgemm(1.0, flat.T, drawn_images.T, beta=1.0, c=sums.T, overwrite_c=True)


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
    for source, region, metrics in _by_source(keys):
        terms = source.pick(sums[source.summed.name], region)
        for metric in metrics:
            value = metric.value(terms, setting)
            # A replicate without a class says nothing of it, for any head: a head that calls it somewhere would get 0
            # there and one that does not NaN, and their macro means would run over different classes.
            out[metric.name, region, "value"] = np.where(truth | ~present, value, np.nan) if metric.per_class else value
            if metric.gaps is not None:
                out[metric.name, region, "gaps"] = metric.gaps(terms, setting)
    return out


def _by_source(keys: list[tuple[Metric, Region]]) -> Iterator[tuple[Source, Region, list[Metric]]]:
    """Metrics that are computed from the same terms together."""
    groups: dict[Key, tuple[Source, Region, list[Metric]]] = {}
    for metric, region in keys:
        groups.setdefault((metric.source.name, region), (metric.source, region, []))[2].append(metric)
    yield from groups.values()


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


# Rows of metrics.parquet ----------------------------------------------------------------------------------------------


def metrics_table(
    estimates: Mapping[Any, Mapping[int, HeadEstimates]],
    *,
    classes: Sequence[str],
    split: Split,
    variant: Variant,
    units: Resampling,
    stream: Sequence[int],
    metrics: Mapping[str, Metric] = METRICS,
) -> pa.Table:
    """Rows of layouts.METRICS_SCHEMA for one split and variant.

    estimates: by head (or other reading of a network) and seed, all over the same images in the same order and with
    the same images in each replicate; units: what was resampled; stream: seed of the draws of seeds. Rows with seed
    ALL_SEEDS average over the seeds, which are a second level of chance. metrics: those that are estimated; no interval
    crosses their bounds.
    Raises ShapeError when heads or seeds were counted on different images.
    """
    every = [estimate for by_seed in estimates.values() for estimate in by_seed.values()]
    if len({estimate.images for estimate in every}) != 1:
        raise ShapeError("heads and seeds were counted on different images; predict all of them on the same split")
    rows = partial(_rows_of_seeds, units=units.count, stream=stream, metrics=metrics)
    parts: list[pd.DataFrame] = []
    for head, by_seed in estimates.items():
        columns = _columns(list(by_seed.values()), classes)
        numbers = {seed: _side_by_side(one, columns) for seed, one in sorted(by_seed.items())}
        parts += rows(columns.assign(head=head), numbers, difference=False)
    pairs = {**{row: ("sigmoid", other) for row, other in DIFFERENCES.items()}, **SWAP_DIFFERENCES}
    for row, (first, second) in pairs.items():
        if first in estimates and second in estimates:
            columns = _columns([*estimates[first].values(), *estimates[second].values()], classes)
            gaps = {
                seed: _side_by_side(one, columns) - _side_by_side(estimates[second][seed], columns)
                for seed, one in sorted(estimates[first].items())
            }
            parts += rows(columns.assign(head=row), gaps, difference=True)
    frame = pd.concat(parts, ignore_index=True).assign(split=split, variant=variant, images=len(every[0].images))
    return pa.table({field.name: pa.array(frame[field.name], field.type) for field in METRICS_SCHEMA}, METRICS_SCHEMA)


def _columns(estimates: Sequence[HeadEstimates], classes: Sequence[str]) -> pd.DataFrame:
    """metric, region and class of what all of them have: one row a number, classes before their macro mean."""
    first = estimates[0].by_key
    shared = [key for key in first if all(key in other.by_key for other in estimates)]
    rows = [(*key, name) for key in shared for name in ((*classes, MACRO) if first[key].per_class else (ALL_CLASSES,))]
    return pd.DataFrame(rows, columns=["metric", "region", "class"])


def _side_by_side(estimates: HeadEstimates, columns: pd.DataFrame) -> Replicated:
    """All metrics, regions and classes of one head and seed, in the order of the columns."""
    chosen = [estimates.by_key[key] for key in dict.fromkeys(zip(columns["metric"], columns["region"], strict=True))]
    return Replicated(
        np.concatenate([estimate.value for estimate in chosen]),
        np.concatenate([estimate.center for estimate in chosen]),
        np.concatenate([estimate.replicates for estimate in chosen], axis=1),
    )


def _rows_of_seeds(
    columns: pd.DataFrame,
    by_seed: Mapping[int, Replicated],
    *,
    units: int,
    stream: Sequence[int],
    metrics: Mapping[str, Metric],
    difference: bool,
) -> Iterator[pd.DataFrame]:
    """Rows of each seed, and of their mean. units: how many were resampled; stream: seed of the draws of seeds."""
    by_name = [metrics[name] for name in columns["metric"]]
    bounds = np.array([one.difference_bounds if difference else one.bounds for one in by_name]).reshape(-1, 2).T
    folded = np.flatnonzero([one.folded for one in by_name])
    by_seed = {seed: _unbiased(numbers, folded, difference=difference) for seed, numbers in by_seed.items()}
    for seed, numbers in by_seed.items():
        every = np.full(len(columns), float(units))
        chance = numbers.center, numbers.replicates.astype(np.float64), every
        yield _rows(columns.assign(seed=seed), numbers.value, *chance, bounds, difference=difference)
    mean = inference.over_seeds(
        np.stack([numbers.center for numbers in by_seed.values()]),
        np.stack([numbers.replicates for numbers in by_seed.values()], axis=1, dtype=np.float64),
        units=units,
        rng=np.random.default_rng(stream),  # afresh: every row sees the same draws
    )
    value = np.mean([numbers.value for numbers in by_seed.values()], axis=0)
    yield _rows(columns.assign(seed=ALL_SEEDS), value, *mean, bounds, difference=difference)


def _rows(
    columns: pd.DataFrame,
    value: Float64Array,
    center: Float64Array,
    replicates: Float64Array,
    units: Float64Array,
    bounds: Float64Array,
    *,
    difference: bool,
) -> pd.DataFrame:
    """The columns with their numbers. bounds: (2, K), what no interval leaves."""
    low, high = inference.interval(center, replicates, units=units, bounds=(bounds[0], bounds[1]))
    p = inference.p_value(center, replicates, units=units) if difference else np.full(value.shape, np.nan)
    error, holm = inference.standard_error(replicates, units=units), np.full(value.shape, np.nan)
    of_class = ~columns["class"].isin([MACRO, ALL_CLASSES]).to_numpy()
    for places in columns.groupby(["metric", "region"], sort=False).indices.values():
        classes = places[of_class[places]]
        holm[classes] = inference.holm(p[classes])
    return columns.assign(value=value, low=low, high=high, standard_error=error, p_value=p, p_holm=holm)


def _unbiased(numbers: Replicated, folded: Int64Array, *, difference: bool) -> Replicated:
    """Take the bias that the bootstrap sees off folded metrics; a difference keeps its value as the center.

    folded: places of these.
    """
    if not folded.size or not len(numbers.replicates):
        return numbers
    value, replicates = numbers.value[folded], numbers.replicates[:, folded].astype(np.float64)
    if difference:
        center, around = value, inference.moved(replicates, to=value)
    else:
        center, around = inference.bias_corrected(value, replicates)
    centers, every = numbers.center.copy(), numbers.replicates.copy()
    centers[folded], every[:, folded] = center, around
    return Replicated(numbers.value, centers, every)


# Over all pixels and over images: the two can differ a lot ------------------------------------------------------------

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


def by_image(counts: Counts, name: str, *, setting: Setting, classes: Sequence[str], region: Region) -> pd.DataFrame:
    """A metric of each image alone: one row an image and class, with image, class and value (NaN where not defined).

    Raises ShapeError when the metric does not exist in the region or for this kind of truth.
    """
    metric = METRICS[name]
    if not metric.applies(setting, region):
        raise ShapeError(f"{name} does not exist for {setting.kind} truth in region {region}; choose another")
    names = list(classes) if metric.per_class else [ALL_CLASSES]
    return rows_of(counts.images, names, metric.by_image(counts, region, setting).reshape(-1, len(names)))


def rows_of(images: Sequence[str], names: Sequence[str], values: Float64Array) -> pd.DataFrame:
    """Values of images and classes, (N, C), as rows of `by_image`."""
    return pd.DataFrame(
        {
            "image": np.repeat(images, len(names)),
            "class": np.tile(names, len(images)),
            "value": values.reshape(-1),
        }
    )


def pooled_and_by_image(
    counts: Counts, name: str, *, setting: Setting, classes: Sequence[str], region: Region
) -> pd.DataFrame:
    """One row a class: class, pooled (over all pixels), images (in which it is defined), mean over them, quantiles.

    Quantile columns are p5, p25, p50, p75, p95; NaN where no image defines the metric.
    """
    metric = METRICS[name]
    rows = by_image(counts, name, setting=setting, classes=classes, region=region)
    names = list(classes) if metric.per_class else [ALL_CLASSES]
    pooled = np.atleast_1d(metric.pooled(counts, region, setting))
    return spread_of(names, pooled, rows["value"].to_numpy().reshape(-1, len(names)))


def spread_of(names: Sequence[str], pooled: Float64Array, values: Float64Array) -> pd.DataFrame:
    """Rows of `pooled_and_by_image` from values over all pixels, (C,), and of each image, (N, C)."""
    rows = []
    for name, whole, column in zip(names, pooled, values.T, strict=True):
        known = column[~np.isnan(column)]
        quantiles = np.quantile(known, QUANTILES) if len(known) else np.full(len(QUANTILES), np.nan)
        entry = {"class": name, "pooled": float(whole), "images": len(known)}
        entry |= {"mean": float(known.mean()) if len(known) else np.nan}
        rows.append(entry | {f"p{100 * q:g}": float(v) for q, v in zip(QUANTILES, quantiles, strict=True)})
    return pd.DataFrame(rows)
