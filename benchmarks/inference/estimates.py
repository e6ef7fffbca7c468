"""Images drawn from a population to the statistics that are judged, with their bootstrap replicates."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.inference.population import SIDE, Population
from pipelines.arrays import Float32Array, Float64Array
from pipelines.metrics import inference

# Differences are sigmoid minus softmax.
STATISTICS: Final = (
    "Dice, macro, difference",
    "Dice, macro, sigmoid",
    "Dice, first class, difference",
    "Dice, last class, difference",
    "ECE, macro, difference",
    "ECE, first class, difference",
    "ECE, macro, sigmoid",
    "ECE, macro, softmax",
    "Brier, difference",
    "Brier, sigmoid",
    "overlap rate, difference",
    "overlap rate, sigmoid",
)
ECE: Final = tuple(k for k, name in enumerate(STATISTICS) if name.startswith("ECE"))


@dataclass(frozen=True)
class Sample:
    """N images of S seeds, all sums of an image side by side. columns: (N, S × 2 × (C × F + 1) + C) float32."""

    columns: Float32Array
    seeds: int
    classes: int


@dataclass(frozen=True)
class Estimates:
    """K statistics of S seeds. value: (S, K); center, replicates: (S, K), (B, S, K), what intervals are made of."""

    value: Float64Array
    center: Float64Array
    replicates: Float64Array


def draw(population: Population, images: Float64Array, seeds: Float64Array) -> Sample:
    """A sample of images and seeds given by their indices."""
    terms = population.terms[images[:, None], seeds[None]]
    overlap = population.overlap[images[:, None], seeds[None]]
    size = len(images)
    columns = [terms.reshape(size, -1), overlap.reshape(size, -1), population.present[images]]
    return Sample(np.concatenate(columns, axis=1), len(seeds), population.present.shape[1])


def values_by_seed(population: Population) -> Float64Array:
    """(S, K) the statistics of the population for each seed."""
    every = draw(population, np.arange(population.images), np.arange(population.seeds))
    return _values(_sums(every, every.columns.mean(axis=0, dtype=np.float64)[None]))[0]


def truth(population: Population) -> Float64Array:
    """(K,) the statistics of the population, averaged over its seeds."""
    return values_by_seed(population).mean(axis=0)


def estimate(sample: Sample, weights: Float32Array, *, reduced: bool = True) -> Estimates:
    """Statistics of a sample.

    weights: (B, N), each row adds up to N. reduced: whether the ECE's center and replicates are
    those of inference.calibration_error, or the plain ones.
    """
    units = len(sample.columns)
    whole = _sums(sample, sample.columns.mean(axis=0, dtype=np.float64)[None])
    drawn = _sums(sample, weights @ sample.columns / np.float32(units))
    value = _values(whole)[0]
    center, replicates = value.copy(), _values(drawn)
    if reduced:
        class_center, class_replicates = inference.calibration_error(whole.gaps[0], drawn.gaps, units=units)
        center[:, ECE] = _calibration(class_center[None], whole.present)[0]
        replicates[:, :, ECE] = _calibration(class_replicates, drawn.present)
    return Estimates(value, center, replicates)


@dataclass(frozen=True)
class _Sums:
    """Means over images: outcomes (B, S, 2, C, 3), error (B, S, 2, C), gaps (B, S, 2, C, BINS), overlap (B, S, 2)."""

    outcomes: Float64Array
    error: Float64Array
    gaps: Float64Array
    overlap: Float64Array
    present: Float64Array  # (B, C)


def _sums(sample: Sample, rows: Float64Array) -> _Sums:
    heads = 2 * sample.seeds
    overlap, present = rows[:, -heads - sample.classes : -sample.classes], rows[:, -sample.classes :]
    terms = rows[:, : -heads - sample.classes].reshape(len(rows), sample.seeds, 2, sample.classes, -1)
    return _Sums(
        terms[..., :3],
        terms[..., 3] / SIDE**2,
        terms[..., 4:] / SIDE**2,
        overlap.reshape(len(rows), sample.seeds, 2),
        present,
    )


def _values(sums: _Sums) -> Float64Array:
    """(B, S, K) plain statistics."""
    tp, fp, fn = np.moveaxis(sums.outcomes, -1, 0)
    with np.errstate(invalid="ignore"):
        dice = np.where(sums.present[:, None, None] > 0, 2 * tp / (2 * tp + fp + fn), np.nan)
    macro, brier = _macro(dice, sums.present), _macro(sums.error, sums.present)
    gap = dice[:, :, 0] - dice[:, :, 1]
    ece = _calibration(np.abs(sums.gaps).sum(axis=-1), sums.present)
    columns = [
        macro[..., 0] - macro[..., 1], macro[..., 0], gap[..., 0], gap[..., -1], *np.moveaxis(ece, -1, 0),
        brier[..., 0] - brier[..., 1], brier[..., 0],
        sums.overlap[..., 0] - sums.overlap[..., 1], sums.overlap[..., 0],
    ]  # fmt: skip
    return np.stack(columns, axis=-1).astype(np.float64)


def _calibration(by_class: Float64Array, present: Float64Array) -> Float64Array:
    """(B, S, 4) the four statistics of ECE from (B, S, 2, C)."""
    macro = _macro(by_class, present)
    first = by_class[:, :, 0, 0] - by_class[:, :, 1, 0]
    return np.stack([macro[..., 0] - macro[..., 1], first, macro[..., 0], macro[..., 1]], axis=-1)


def _macro(by_class: Float64Array, present: Float64Array) -> Float64Array:
    """Mean over the classes in the truth of each row, (B, S, 2, C) to (B, S, 2)."""
    there = present[:, None, None] > 0
    return np.where(there, by_class, 0).sum(axis=-1) / there.sum(axis=-1)
