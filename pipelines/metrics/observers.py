"""What several observers marked to how far they agree: the ceiling that no network can be asked to pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipelines.arrays import Float64Array, Int64Array
from pipelines.datasets.observers import OTHERS
from pipelines.metrics.base import Metric, Setting, Source, only_slot, ratio, registry
from pipelines.metrics.estimates import HeadEstimates, estimate_head, metrics_table
from pipelines.metrics.inference import choose_units, unit_weights
from pipelines.schema import ALL_SEEDS, OBSERVERS, Kind, Split

# Metrics --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ObserverCounts:
    """Pixels of N images: others (N, C, K, 3) of K observers and the majority of the others, pairs (N, C, P, 3) of P
    pairs of observers; on the last axis both, the one, the other. An image that lacks an observer has 0 there.
    """

    images: tuple[str, ...]
    others: Int64Array
    pairs: Int64Array


def read_counts(table: pa.Table, classes: Sequence[str]) -> ObserverCounts:
    """Counts of rows of layouts.OBSERVERS_SCHEMA, images in their order."""
    rows = table.to_pylist()
    images = tuple(dict.fromkeys(row["image"] for row in rows))
    people = sorted({row["observer"] for row in rows})
    pairs = [(one, other) for index, one in enumerate(people) for other in people[index + 1 :]]
    places: dict[str, dict[Any, int]] = {
        "image": {name: index for index, name in enumerate(images)},
        "class": {name: index for index, name in enumerate(classes)},
        "others": {(one, OTHERS): index for index, one in enumerate(people)},
        "pairs": {pair: index for index, pair in enumerate(pairs)},
    }
    counts = {
        name: np.zeros((len(images), len(classes), len(places[name]), 3), np.int64) for name in ("others", "pairs")
    }
    for row in rows:
        for name, array in counts.items():
            at = places[name].get((row["observer"], row["against"]))
            if at is not None:
                place = places["image"][row["image"]], places["class"][row["class"]], at
                array[place] = row["both"], row["own"], row["other"]
    return ObserverCounts(images, **counts)


def mean_dice(pixels: Float64Array) -> Float64Array:
    """Mean over comparisons of 2 both / (one + other): (..., K, 3) to (...); those without a pixel are left out.

    >>> mean_dice(np.array([[[3, 4, 4], [2, 4, 4]]], float))
    array([0.625])
    """
    dice = ratio(2 * pixels[..., 0], pixels[..., 1] + pixels[..., 2])
    known = ~np.isnan(dice)
    return ratio(np.where(known, dice, 0.0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def _presence(counts: ObserverCounts, _setting: Setting) -> Float64Array:
    """(N, 1, C, 4): outcomes whose positives are the pixels that anybody marked."""
    marked = counts.others[..., 1].sum(axis=2).astype(np.float64)
    return np.stack([marked, *(np.zeros_like(marked),) * 3], axis=-1)[:, None]


def _source(name: str) -> Source:
    def terms(counts: ObserverCounts, _setting: Setting) -> Float64Array:
        found: Float64Array = getattr(counts, name).astype(np.float64)[:, None]
        return found

    return Source(f"observers_{name}", terms, only_slot, regions=("all",))


_PRESENCE: Final = Source("observers_presence", _presence, only_slot, regions=("all",))
OBSERVER_METRICS: Final = registry(
    [
        (
            Metric(
                name="observer_dice",
                title="Dice of an observer",
                better="higher",
                description="Dice of each observer with the majority of the others, mean over observers.",
                source=_source("others"),
                value=lambda pixels, _: mean_dice(pixels),
                regions=("all",),
            ),
            Metric(
                name="observer_pair_dice",
                title="Dice between two observers",
                better="higher",
                description="Dice of two observers' masks, mean over pairs of observers.",
                source=_source("pairs"),
                value=lambda pixels, _: mean_dice(pixels),
                regions=("all",),
            ),
        )
    ]
)


def observers_table(
    table: pa.Table,
    *,
    kind: Kind,
    classes: Sequence[str],
    split: Split,
    groups: Mapping[str, str],
    replicates: int,
    seed: int,
) -> pa.Table:
    """Rows of layouts.METRICS_SCHEMA whose `head` is schema.OBSERVERS, over all seeds, with intervals over images.

    table: of layouts.OBSERVERS_SCHEMA, at least one row; groups: image to group, resampled together; seed: of the
    draws. Images that one observer alone marked are in none of it.
    """
    counts = read_counts(table, classes)
    units = choose_units(counts.images, groups)
    weights = unit_weights(units, replicates=replicates, rng=np.random.default_rng(seed)).astype(np.float32)
    estimates: dict[str, dict[int, HeadEstimates]] = {
        OBSERVERS: {
            0: estimate_head(
                lambda: [counts],
                Setting(kind),
                weights,
                units=units.count,
                metrics=OBSERVER_METRICS.values(),
                presence=_PRESENCE,
            )
        }
    }
    rows = metrics_table(
        estimates,
        classes=classes,
        split=split,
        variant="raw",
        units=units,
        stream=(seed, 1),
        metrics=OBSERVER_METRICS,
    )
    return rows.filter(pa.compute.equal(rows["seed"], ALL_SEEDS))
