"""Counts of every head and seed to the long table of metrics with intervals and paired differences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from pipelines.arrays import BoolArray, Float64Array
from pipelines.errors import ShapeError
from pipelines.metrics import METRICS, Setting
from pipelines.metrics.bootstrap import Resampling, interval, seed_weights, totals, unit_weights
from pipelines.schema import (
    ALL_CLASSES,
    ALL_SEEDS,
    DIFFERENCES,
    MACRO,
    METRICS_SCHEMA,
    REGIONS,
    Head,
    Region,
    Split,
    Variant,
)  # fmt: skip
from pipelines.statistics import Counts

Key: TypeAlias = tuple[str, Region]


@dataclass
class Terms:
    """Terms of every metric and region over the images of one head and seed.

    by_key: (metric, region) to float64 (N, C, F) or (N, F); truth: (N, C) float64, pixels of each class in the truth.
    """

    images: tuple[str, ...]
    by_key: dict[Key, Float64Array]
    truth: Float64Array

    @property
    def has_truth(self) -> BoolArray:
        """(C,) classes that occur in the split's truth."""
        return self.truth.sum(axis=0) > 0


def collect_terms(blocks: Iterable[Counts], setting: Setting) -> Terms:
    """Terms of all images, from counts that come in blocks; only the terms stay in memory."""
    parts: dict[Key, list[Float64Array]] = {}
    images: list[str] = []
    truth: list[Float64Array] = []
    for block in blocks:
        images += block.images
        truth.append(block.score[:, :, :, 1].sum(axis=(2, 3)).astype(np.float64))
        for metric in METRICS.values():
            for region in REGIONS:
                if metric.applies(setting, region):
                    parts.setdefault((metric.name, region), []).append(metric.terms(block, region, setting))
    if not truth:
        raise ShapeError("there are no counts to compute metrics from")
    return Terms(tuple(images), {key: np.concatenate(values) for key, values in parts.items()}, np.concatenate(truth))


@dataclass
class _Estimate:
    """A value per class and macro, or a single one, with its replicates. value: (K,); replicates: (B, K)."""

    value: Float64Array
    replicates: Float64Array


@dataclass
class _Rows:
    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in METRICS_SCHEMA.names})

    def add(self, estimate: _Estimate, classes: Sequence[str], **where: Any) -> None:
        low, high = interval(estimate.replicates)
        for index, name in enumerate(classes):
            row = where | {
                "class": name,
                "value": _number(estimate.value[index]),
                "low": _number(low[index]),
                "high": _number(high[index]),
            }
            for column, value in row.items():
                self.columns[column].append(value)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def metrics_table(
    terms: Mapping[Head, Mapping[int, Terms]],
    *,
    setting: Setting,
    classes: Sequence[str],
    split: Split,
    variant: Variant,
    resampling: Resampling,
    replicates: int,
    rng: np.random.Generator,
) -> pa.Table:
    """Rows of schema.METRICS_SCHEMA for one split and variant.

    terms: by head and seed, all over the same images in the same order. Each replicate draws the same images for all
    heads and seeds. Rows with seed ALL_SEEDS average over the seeds; their replicates draw seeds, then images.
    Raises ShapeError when heads or seeds were counted on different images.
    """
    _check_same_images(terms)
    weights = unit_weights(resampling, replicates=replicates, rng=rng)
    if resampling.count < 2:  # one unit has no spread to resample
        weights = np.full_like(weights, np.nan)
    seeds = sorted(next(iter(terms.values())))
    draws = seed_weights(len(seeds), replicates=replicates, rng=rng)
    rows = _Rows()
    some = terms["sigmoid"][seeds[0]] if "sigmoid" in terms else next(iter(next(iter(terms.values())).values()))
    for metric, region in some.by_key:
        names = (*classes, MACRO) if METRICS[metric].per_class else (ALL_CLASSES,)
        where: dict[str, Any] = {
            "split": split, "variant": variant, "region": region, "metric": metric, "images": len(some.images),
        }  # fmt: skip
        by_head = {
            head: _over_seeds({seed: _estimate(one, (metric, region), weights) for seed, one in by_seed.items()}, draws)
            for head, by_seed in terms.items()
        }
        for head, by_seed in by_head.items():
            for seed, estimate in by_seed.items():
                rows.add(estimate, names, head=head, seed=seed, **where)
        for row_head, other in DIFFERENCES.items():
            if "sigmoid" in by_head and other in by_head:
                for seed, estimate in by_head["sigmoid"].items():
                    against = by_head[other][seed]
                    gap = _Estimate(estimate.value - against.value, estimate.replicates - against.replicates)
                    rows.add(gap, names, head=row_head, seed=seed, **where)
    return pa.table(rows.columns, schema=METRICS_SCHEMA)


def _check_same_images(terms: Mapping[Head, Mapping[int, Terms]]) -> None:
    lists = {one.images for by_seed in terms.values() for one in by_seed.values()}
    if len(lists) != 1:
        raise ShapeError("heads and seeds were counted on different images; predict all of them on the same split")


def _estimate(terms: Terms, key: Key, weights: Float64Array) -> _Estimate:
    metric = METRICS[key[0]]
    value = metric.value(terms.by_key[key].sum(axis=0))
    drawn = metric.value(totals(terms.by_key[key], weights))
    if not metric.per_class:
        return _Estimate(value[None], drawn[:, None])
    # A replicate without a class says nothing of it, for any head: a head that calls it somewhere would get 0 there and
    # one that does not NaN, and their macro means would run over different classes.
    drawn = np.where(totals(terms.truth, weights) > 0, drawn, np.nan)
    return _Estimate(
        np.append(value, _macro(value[None], terms.has_truth)),
        np.concatenate([drawn, _macro(drawn, terms.has_truth)[:, None]], axis=1),
    )


def _macro(values: Float64Array, has_truth: BoolArray) -> Float64Array:
    """Mean over classes with truth, (B, C) to (B,); classes a replicate has nothing of are left out of its mean."""
    chosen = values[:, has_truth]
    defined = ~np.isnan(chosen)
    count = defined.sum(axis=1)
    total = np.where(defined, chosen, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _over_seeds(by_seed: dict[int, _Estimate], draws: Float64Array) -> dict[int, _Estimate]:
    ordered = [by_seed[seed] for seed in sorted(by_seed)]
    value = np.mean([one.value for one in ordered], axis=0)
    replicates = np.einsum("bs,sbk->bk", draws, np.stack([one.replicates for one in ordered]))
    return by_seed | {ALL_SEEDS: _Estimate(value, replicates)}
