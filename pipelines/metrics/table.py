"""Estimates of every head and seed to the long table of metrics with intervals and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.arrays import Float32Array, Float64Array
from pipelines.errors import ShapeError
from pipelines.metrics import METRICS, inference
from pipelines.metrics.bootstrap import Resampling
from pipelines.metrics.estimates import HeadEstimates, Key
from pipelines.schema import (
    ALL_CLASSES,
    ALL_SEEDS,
    DIFFERENCES,
    MACRO,
    METRICS_SCHEMA,
    SWAP_DIFFERENCES,
    Split,
    Variant,
)  # fmt: skip

_NUMBERS: Final = ("value", "low", "high", "standard_error", "p_value", "p_holm")


class _Matrix(NamedTuple):
    """All metrics, regions and classes of one head and seed side by side: value and center (K,), replicates (B, K)."""

    value: Float64Array
    center: Float64Array
    replicates: Float32Array

    def minus(self, other: "_Matrix") -> "_Matrix":
        """The paired difference: both were drawn with the same images in each replicate."""
        return _Matrix(self.value - other.value, self.center - other.center, self.replicates - other.replicates)


@dataclass(frozen=True)
class _Columns:
    """What stands in which column of a matrix. keys: (metric, region) and the names of its classes, in order."""

    keys: tuple[tuple[Key, tuple[str, ...]], ...]

    def matrix(self, estimates: HeadEstimates) -> _Matrix:
        chosen = [estimates.by_key[key] for key, _ in self.keys]
        return _Matrix(
            np.concatenate([one.value for one in chosen]),
            np.concatenate([one.center for one in chosen]),
            np.concatenate([one.replicates for one in chosen], axis=1),
        )

    def unbiased(self, matrix: _Matrix, *, difference: bool) -> _Matrix:
        """Take the bias that the bootstrap sees off folded metrics; a difference keeps its value as the center."""
        folded = np.flatnonzero(np.repeat([_folded(key) for key, _ in self.keys], [len(one) for _, one in self.keys]))
        if not folded.size or not len(matrix.replicates):
            return matrix
        value, replicates = matrix.value[folded], matrix.replicates[:, folded].astype(np.float64)
        if difference:
            center, around = value, inference.moved(replicates, to=value)
        else:
            center, around = inference.bias_corrected(value, replicates)
        centers, every = matrix.center.copy(), matrix.replicates.copy()
        centers[folded], every[:, folded] = center, around
        return _Matrix(matrix.value, centers, every)

    def bounds(self, *, difference: bool) -> tuple[Float64Array, Float64Array]:
        """(K,) each: what the metrics, or their differences, cannot leave."""
        found = [METRICS.get(key[0]) for key, _ in self.keys]
        pairs = [
            (-np.inf, np.inf) if metric is None else metric.difference_bounds if difference else metric.bounds
            for metric in found
        ]
        each = np.repeat(np.array(pairs), [len(names) for _, names in self.keys], axis=0)
        return each[:, 0], each[:, 1]

    def corrected(self, p: Float64Array) -> Float64Array:
        """Holm's correction of p, (K,), over the classes of each metric and region; NaN where there are no classes."""
        out = np.full(p.shape, np.nan)
        start = 0
        for _, names in self.keys:
            if names[-1] == MACRO:
                classes = slice(start, start + len(names) - 1)
                out[classes] = inference.holm(p[classes])
            start += len(names)
        return out

    def described(self) -> dict[str, list[str]]:
        """metric, region and class of each column."""
        return {
            "metric": [key[0] for key, names in self.keys for _ in names],
            "region": [key[1] for key, names in self.keys for _ in names],
            "class": [name for _, names in self.keys for name in names],
        }


def _folded(key: Key) -> bool:
    return key[0] in METRICS and METRICS[key[0]].folded


@dataclass
class _Rows:
    """Rows of one head or difference each. units: how many were resampled; stream: seed of the draws of seeds."""

    units: int
    stream: Sequence[int]
    parts: list[dict[str, Any]] = field(default_factory=list)

    def add(self, head: str, by_seed: Mapping[int, _Matrix], columns: _Columns, *, difference: bool) -> None:
        """Rows of each seed, and of their mean."""
        by_seed = {seed: columns.unbiased(one, difference=difference) for seed, one in by_seed.items()}
        for seed, one in by_seed.items():
            every = np.full(one.value.shape, float(self.units))
            self._add(head, seed, one.value, (one.center, one.replicates, every), columns, difference=difference)
        some = list(by_seed.values())
        mean = inference.over_seeds(
            np.stack([one.center for one in some]),
            np.stack([one.replicates for one in some], axis=1, dtype=np.float64),
            units=self.units,
            rng=np.random.default_rng(self.stream),  # afresh: every row sees the same draws
        )
        value = np.mean([one.value for one in some], axis=0)
        self._add(head, ALL_SEEDS, value, mean, columns, difference=difference)

    def _add(
        self,
        head: str,
        seed: int,
        value: Float64Array,
        chance: tuple[Float64Array, Float64Array | Float32Array, Float64Array],
        columns: _Columns,
        *,
        difference: bool,
    ) -> None:
        center, replicates, units = chance[0], chance[1].astype(np.float64), chance[2]
        low, high = inference.interval(center, replicates, units=units, bounds=columns.bounds(difference=difference))
        p = inference.p_value(center, replicates, units=units) if difference else np.full(value.shape, np.nan)
        error = inference.standard_error(replicates, units=units)
        numbers = dict(zip(_NUMBERS, (value, low, high, error, p, columns.corrected(p)), strict=True))
        self.parts.append({"head": head, "seed": seed} | columns.described() | numbers)

    def table(self, **common: Any) -> pa.Table:
        """All rows; common: the columns that are the same in all of them."""
        count = sum(len(part["value"]) for part in self.parts)
        arrays = {}
        for column in METRICS_SCHEMA:
            if column.name in common:
                arrays[column.name] = pa.array([common[column.name]] * count, column.type)
            elif column.name in _NUMBERS:  # a missing number is null, not NaN
                numbers = np.concatenate([part[column.name] for part in self.parts] or [np.empty(0)])
                arrays[column.name] = pa.array(numbers, column.type, from_pandas=True)
            else:
                values: list[Any] = []
                for part in self.parts:
                    value = part[column.name]
                    values.extend(value if isinstance(value, list) else [value] * len(part["value"]))
                arrays[column.name] = pa.array(values, column.type)
        return pa.table(arrays, schema=METRICS_SCHEMA)


def metrics_table(
    estimates: Mapping[Any, Mapping[int, HeadEstimates]],
    *,
    classes: Sequence[str],
    split: Split,
    variant: Variant,
    units: Resampling,
    stream: Sequence[int],
) -> pa.Table:
    """Rows of schema.METRICS_SCHEMA for one split and variant.

    estimates: by head (or other reading of a network) and seed, all over the same images in the same order and with
    the same images in each replicate; units: what was resampled; stream: seed of the draws of seeds. Rows with seed
    ALL_SEEDS average over the seeds, which are a second level of chance.
    Raises ShapeError when heads or seeds were counted on different images.
    """
    every = [one for by_seed in estimates.values() for one in by_seed.values()]
    if len({one.images for one in every}) != 1:
        raise ShapeError("heads and seeds were counted on different images; predict all of them on the same split")
    pairs = {**{row: ("sigmoid", other) for row, other in DIFFERENCES.items()}, **SWAP_DIFFERENCES}
    rows = _Rows(units.count, stream)
    columns = {head: _columns(list(by_seed.values()), classes) for head, by_seed in estimates.items()}
    for head, by_seed in estimates.items():
        matrices = {seed: columns[head].matrix(one) for seed, one in sorted(by_seed.items())}
        rows.add(head, matrices, columns[head], difference=False)
    for row, (first, second) in pairs.items():
        if first in estimates and second in estimates:
            both = _columns([*estimates[first].values(), *estimates[second].values()], classes)
            gaps = {
                seed: both.matrix(one).minus(both.matrix(estimates[second][seed]))
                for seed, one in sorted(estimates[first].items())
            }
            rows.add(row, gaps, both, difference=True)
    return rows.table(split=split, variant=variant, images=len(every[0].images))


def _columns(estimates: Sequence[HeadEstimates], classes: Sequence[str]) -> _Columns:
    """The metrics and regions that all of them have."""
    return _Columns(
        tuple(
            (key, (*classes, MACRO) if one.per_class else (ALL_CLASSES,))
            for key, one in estimates[0].by_key.items()
            if all(key in other.by_key for other in estimates)
        )
    )
