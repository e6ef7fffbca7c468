"""Counts to the tables behind the figures: reliability, confusion, overlap against threshold, pairs of classes.

Every table is a DataFrame in long form. Bands are 95% intervals from resampling whole images, or groups of them where
`units` names the group of each image; two heads of the same images get the same draws. One unit gives no interval.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from pipelines.arrays import Float32Array, Float64Array, Int64Array
from pipelines.counting import Counts
from pipelines.counting.grid import HALF_CELL, P_UNIT, first_cell_above, in_bins, in_steps
from pipelines.errors import ShapeError
from pipelines.metrics import bootstrap
from pipelines.metrics.base import ratio
from pipelines.metrics.sources import in_region, pixels_by_labels
from pipelines.schema import Kind, Region

REPLICATES: Final = 400  # enough for the edges of a band that is only looked at
TOP_LABEL: Final = "top label"
NO_LABEL: Final = "no label"
Units: TypeAlias = tuple[int, ...]  # unit of each image, from 0
THRESHOLDS: Final[tuple[float, ...]] = tuple(step / 300 for step in range(3, 300, 3))


@lru_cache(maxsize=8)
def _weights(units: Units) -> Float64Array:
    """(REPLICATES, images) how often each image is drawn in each replicate."""
    resampling = bootstrap.Resampling("groups", np.array(units, np.int64), max(units) + 1, None)
    return bootstrap.unit_weights(resampling, replicates=REPLICATES, rng=np.random.default_rng(0))


def _band(part: Float64Array, whole: Float64Array, units: Units | None) -> tuple[Float64Array, Float64Array]:
    """Interval of the ratio of two sums over images, (N, ...) each to two arrays (...); NaN with a single unit."""
    units = units or tuple(range(len(part)))
    if max(units) == 0:
        return np.full(part.shape[1:], np.nan), np.full(part.shape[1:], np.nan)
    weights = _weights(units)
    return bootstrap.interval(ratio(bootstrap.totals(part, weights), bootstrap.totals(whole, weights)))


def reliability_steps(counts: Counts, *, region: Region = "all") -> Float64Array:
    """What reliability tables of any number of bins are made from: (N, C, 3, 300) pixels, hits and sum of p by step.

    Where the truth is exclusive, class C + 1 is the largest p of a pixel against whether the argmax is right; the
    foreground leaves out pixels that are background in truth and in the argmax.
    """
    mass = in_steps(_of_classes(counts.score_p, region).sum(axis=2)) * P_UNIT
    if counts.exclusive:
        top = in_steps(_of_top(counts.top_p, region).sum(axis=1)) * P_UNIT
        mass = np.concatenate([mass, top[:, None]], axis=1)
    return np.concatenate([hit_steps(counts, region=region), mass[:, :, None]], axis=2)


def hit_steps(counts: Counts, *, region: Region = "all") -> Float64Array:
    """(N, C, 2, 300) pixels and hits of `reliability_steps`, which need no sums of p."""
    steps = _hits(_of_classes(counts.score, region))
    if not counts.exclusive:
        return steps
    return np.concatenate([steps, _hits(_of_top(counts.top, region))[:, None]], axis=1)


def _hits(cells: Int64Array) -> Float64Array:
    """(..., 2, CELLS) of what is not a hit and what is to (..., 2, 300)."""
    steps = in_steps(cells).astype(np.float64)
    steps[..., 0, :] += steps[..., 1, :]
    return steps


def _of_classes(array: Int64Array, region: Region) -> Int64Array:
    """(N, C, R, 2, CELLS) to (N, C, 2, CELLS): the foreground as in sources.SCORES."""
    if region in ("interior", "boundary"):
        return in_region(array, region, axis=2)
    whole: Int64Array = array[:, :, 0] + array[:, :, 1]
    if region == "foreground":
        whole[:, :, 0, :HALF_CELL] = 0
    return whole


def _of_top(array: Int64Array, region: Region) -> Int64Array:
    """(N, R, 2, 2, CELLS) to (N, 2, CELLS), wrong and right."""
    if region == "foreground":
        front: Int64Array = array[:, :, 1].sum(axis=1)
        return front
    some: Int64Array = in_region(array, region, axis=1).sum(axis=1)
    return some


class Steps(NamedTuple):
    """Sums over images of `reliability_steps`: (C, 3, 300), and pixels and hits of each replicate, (B, C, 2, 300)."""

    whole: Float64Array
    drawn: Float64Array


def resampled_steps(whole: Float64Array, by_image: Float32Array, units: Units | None = None) -> Steps:
    """Steps from their sum over the images, and from pixels and hits of each image, (N, C, 2, 300) float32.

    Bins of any width are sums of steps, in the replicates too, so that images are resampled once for all of them. The
    sums of replicates are float32, with relative errors of 10⁻⁷. One unit gives no replicate.
    """
    units = units or tuple(range(len(by_image)))
    if max(units) == 0:
        return Steps(whole, np.empty((0, *by_image.shape[1:])))
    drawn = _weights(units).astype(np.float32) @ by_image.reshape(len(by_image), -1)
    return Steps(whole, drawn.reshape(-1, *by_image.shape[1:]).astype(np.float64))


def reliability(steps: Steps, *, names: Sequence[str], bins: int) -> pd.DataFrame:
    """Observed share against mean p for each class and equal-width bin of p.

    names: of the steps' classes, TOP_LABEL last where they hold it. bins: a divisor of 300.
    Returns one row a class and bin: class, bin (from 0), low_edge and high_edge of p, pixels, share of the class's
    pixels, mean_p, observed with low and high; the last four are NaN in an empty bin.
    """
    drawn = in_bins(steps.drawn, bins)
    low, high = bootstrap.interval(ratio(drawn[:, :, 1], drawn[:, :, 0]))
    pixels, hits, sum_p = np.moveaxis(in_bins(steps.whole, bins), 1, 0)
    whole = np.repeat(pixels.sum(axis=1), bins)
    edges = np.tile(np.arange(bins), len(names))
    return pd.DataFrame(
        {
            "class": np.repeat(names, bins),
            "bin": edges,
            "low_edge": edges / bins,
            "high_edge": (edges + 1) / bins,
            "pixels": pixels.reshape(-1).astype(np.int64),
            "share": ratio(pixels.reshape(-1), whole),
            "mean_p": ratio(sum_p, pixels).reshape(-1),
            "observed": ratio(hits, pixels).reshape(-1),
            "low": low.reshape(-1),
            "high": high.reshape(-1),
        }
    )


def argmax_confusion(counts: Counts, *, classes: Sequence[str], region: Region = "all") -> pd.DataFrame:
    """Pixels by true class and argmax; exclusive truth only.

    Returns one row a pair: truth, predicted, pixels, truth_pixels, share (of the true class; NaN where it has none).
    """
    if not counts.exclusive:
        raise ShapeError("the argmax confusion needs exactly one true class a pixel; use a threshold instead")
    matrix = in_region(counts.confusion, region, axis=1).sum(axis=0)
    return _confusion(matrix, matrix.sum(axis=1), list(classes), list(classes))


def threshold_confusion(
    counts: Counts, *, kind: Kind, classes: Sequence[str], threshold: float, background: str = "background"
) -> pd.DataFrame:
    """Pixels by true class and by class with p > threshold (k/300); columns as in `argmax_confusion`.

    A pixel counts in the row of each of its labels, or in NO_LABEL's, and in the column of each class called, so that
    rows may add up to more or less than their pixels. Binary truth gets the full 2 × 2 table with `background`.
    """
    first = first_cell_above(threshold)
    called = counts.joint[:, :, first:].sum(axis=-1)
    totals = counts.joint[:, 0].sum(axis=-1)
    if kind == "binary":
        both = np.stack([totals - called[:, 0], called[:, 0]], axis=1)[::-1]
        names = [background, classes[0]]
        return _confusion(both, totals[::-1], names, names)
    if kind == "exclusive":
        return _confusion(called[:-1], totals[:-1], list(classes), list(classes))
    return _confusion(called, totals, [*classes, NO_LABEL], list(classes))


def _confusion(matrix: Int64Array, totals: Int64Array, rows: list[str], columns: list[str]) -> pd.DataFrame:
    whole = np.repeat(totals, len(columns))
    return pd.DataFrame(
        {
            "truth": np.repeat(rows, len(columns)),
            "predicted": np.tile(columns, len(rows)),
            "pixels": matrix.reshape(-1),
            "truth_pixels": whole,
            "share": ratio(matrix.reshape(-1).astype(np.float64), whole.astype(np.float64)),
        }
    )


def label_rates(
    counts: Counts,
    *,
    region: Region = "all",
    thresholds: Sequence[float] = THRESHOLDS,
    units: Units | None = None,
) -> pd.DataFrame:
    """Shares of pixels with two classes or more, and with none, at each common threshold (k/300).

    Returns one row a threshold and rate: threshold, rate ("overlap" or "no label"), value, low, high, truth. There is
    no overlap row when there is one class.
    """
    found = label_cuts(counts, region=region, thresholds=thresholds)
    return rates_of(found, thresholds=thresholds, units=units)


class LabelCuts(NamedTuple):
    """Pixels of N images by labels. true: (N, 4) by true number (0, 1, 2, 3 or more); above: (N, K, T) with at least
    1, … K <= 3 classes called at each of T common thresholds.
    """

    true: Int64Array
    above: Int64Array


def label_cuts(counts: Counts, *, region: Region = "all", thresholds: Sequence[float] = THRESHOLDS) -> LabelCuts:
    """What `label_rates` is made from."""
    ranks = in_region(counts.ranks, region, axis=1).sum(axis=1)  # (N, K, CELLS)
    above = ranks[:, :, ::-1].cumsum(axis=-1)[:, :, ::-1][:, :, [first_cell_above(t) for t in thresholds]]
    return LabelCuts(in_region(pixels_by_labels(counts), region, axis=1), above)


def rates_of(cuts: LabelCuts, *, thresholds: Sequence[float] = THRESHOLDS, units: Units | None = None) -> pd.DataFrame:
    """Rows of `label_rates`."""
    by_labels, above = cuts
    pixels = by_labels.sum(axis=1)
    parts = {"no label": (pixels[:, None] - above[:, 0], by_labels[:, 0].sum())}
    if above.shape[1] > 1:
        parts["overlap"] = (above[:, 1], by_labels[:, 2:].sum())
    total = max(int(pixels.sum()), 1)
    frames = []
    for rate, (part, truth) in parts.items():
        whole = np.repeat(pixels[:, None], part.shape[1], axis=1)
        low, high = _band(part.astype(np.float64), whole.astype(np.float64), units)
        columns = {"threshold": thresholds, "rate": rate, "value": part.sum(axis=0) / total, "low": low, "high": high}
        frames.append(pd.DataFrame(columns | {"truth": truth / total}))
    return pd.concat(frames, ignore_index=True)


def predicted_labels(counts: Counts, *, threshold: float, region: Region = "all") -> pd.DataFrame:
    """Pixels by true and by predicted number of labels at p > threshold (k/300).

    Returns one row a pair: true_labels and predicted_labels ("0", "1", "2", "3+"), pixels, share of the row; true
    numbers that do not occur are left out.
    """
    first = first_cell_above(threshold)
    ranks = in_region(counts.ranks, region, axis=1).sum(axis=0)  # (4, K, CELLS)
    at_least = ranks[:, :, first:].sum(axis=-1)
    whole = ranks[:, 0].sum(axis=-1)
    edges = np.concatenate([whole[:, None], at_least, np.zeros((len(whole), 1), np.int64)], axis=1)
    matrix = edges[:, :-1] - edges[:, 1:]  # exactly 0, 1, … labels; the last column is K or more
    names, there = np.array(["0", "1", "2", "3+"]), whole > 0
    matrix, whole = matrix[there], whole[there, None]
    return pd.DataFrame(
        {
            "true_labels": np.repeat(names[there], matrix.shape[1]),
            "predicted_labels": np.tile(names[: matrix.shape[1]], len(matrix)),
            "pixels": matrix.reshape(-1),
            "share": ratio(matrix.astype(np.float64), whole.astype(np.float64)).reshape(-1),
        }
    )


def pair_overlap(counts: Counts, *, classes: Sequence[str], threshold: float) -> pd.DataFrame:
    """Pixels that two classes share at p > threshold (k/300), predicted and true, for each ordered pair.

    Returns one row a pair: first, second, predicted and truth (pixels with both), predicted_share and truth_share of
    first's own predicted or true pixels (NaN where first has none).
    """
    first_cell = first_cell_above(threshold)
    called = counts.score.sum(axis=(0, 2))[:, :, first_cell:].sum(axis=(1, 2)).astype(np.float64)
    present = counts.score.sum(axis=(0, 2))[:, 1].sum(axis=1).astype(np.float64)
    both = counts.pairs[:, :, first_cell:].sum(axis=(1, 2))
    both_true = counts.pairs[:, 1].sum(axis=1)
    ordered: list[tuple[int, int, int]] = []
    place = 0  # of the pair in the counts: (0, 1), (0, 2), …, (1, 2), …
    for one in range(len(classes)):
        for other in range(one + 1, len(classes)):
            ordered += [(one, other, place), (other, one, place)]
            place += 1
    ordered.sort()
    own = np.array([row[0] for row in ordered], np.int64)
    place_of = np.array([row[2] for row in ordered], np.int64)
    return pd.DataFrame(
        {
            "first": [classes[row[0]] for row in ordered],
            "second": [classes[row[1]] for row in ordered],
            "predicted": both[place_of],
            "truth": both_true[place_of],
            "predicted_share": ratio(both[place_of].astype(np.float64), called[own]),
            "truth_share": ratio(both_true[place_of].astype(np.float64), present[own]),
        }
    )
