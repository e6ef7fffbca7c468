"""Counts to how many labels a pixel carries and which: shares of several or none, pairs of classes, label sets."""

from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from pipelines.arrays import Float64Array, Int64Array, UInt64Array
from pipelines.counting.counts import Counts
from pipelines.counting.grid import P_UNIT, first_cell_above
from pipelines.errors import ShapeError
from pipelines.metrics.base import LABELS, MASS, Metric, Setting, in_region, pixels_by_labels, ratio
from pipelines.metrics.inference import UnitOfImage, band
from pipelines.schema import Region


def _overlap_rate(terms: Float64Array, _setting: Setting) -> Float64Array:
    """From (..., 4, 4): by true number of labels, pixels and those called at least one, two, three classes."""
    return ratio(terms[..., 2].sum(axis=-1), terms[..., 0].sum(axis=-1))


def _no_label_rate(terms: Float64Array, _setting: Setting) -> Float64Array:
    pixels = terms[..., 0].sum(axis=-1)
    return ratio(pixels - terms[..., 1].sum(axis=-1), pixels)


def _overlap_recall(terms: Float64Array, _setting: Setting) -> Float64Array:
    return ratio(terms[..., 2:, 2].sum(axis=-1), terms[..., 2:, 0].sum(axis=-1))


def _overlap_precision(terms: Float64Array, _setting: Setting) -> Float64Array:
    return ratio(terms[..., 2:, 2].sum(axis=-1), terms[..., 2].sum(axis=-1))


def _share(terms: Float64Array, number: int) -> Float64Array:
    """From (..., 2, 3): probability and true pixels of 0, 1, and 2 or more labels."""
    return ratio(terms[..., 0, number], terms[..., 1, :].sum(axis=-1))


def _overlap_bias(terms: Float64Array, _setting: Setting) -> Float64Array:
    return ratio(terms[..., 0, 2] - terms[..., 1, 2], terms[..., 1, :].sum(axis=-1))


METRICS = (
    Metric(
        name="overlap_rate",
        title="Overlapping-label rate",
        better="neither",
        description="Share of pixels with two or more classes at p > 0.5.",
        source=LABELS,
        value=_overlap_rate,
    ),
    Metric(
        name="no_label_rate",
        title="No-label rate",
        better="neither",
        description="Share of pixels with no class at p > 0.5.",
        source=LABELS,
        value=_no_label_rate,
    ),
    Metric(
        name="overlap_recall",
        title="Overlap recall",
        better="higher",
        description="Of the pixels with two or more true labels, the share given two or more at p > 0.5.",
        source=LABELS,
        value=_overlap_recall,
        kinds=("overlapping",),
    ),
    Metric(
        name="overlap_precision",
        title="Overlap precision",
        better="higher",
        description="Of the pixels given two or more labels at p > 0.5, the share that truly carries two or more.",
        source=LABELS,
        value=_overlap_precision,
        kinds=("overlapping",),
    ),
    Metric(
        name="no_label_mass",
        title="Probability of no label",
        better="neither",
        description="Mean probability that a pixel carries no label; sigmoid's labels are taken as independent.",
        source=MASS,
        value=lambda terms, _: _share(terms, 0),
    ),
    Metric(
        name="one_label_mass",
        title="Probability of one label",
        better="neither",
        description="Mean probability that a pixel carries exactly one label.",
        source=MASS,
        value=lambda terms, _: _share(terms, 1),
    ),
    Metric(
        name="overlap_mass",
        title="Probability of several labels",
        better="neither",
        description="Mean probability that a pixel carries two labels or more: the expected overlapping-label rate.",
        source=MASS,
        value=lambda terms, _: _share(terms, 2),
    ),
    Metric(
        name="overlap_bias",
        title="Expected minus true overlap",
        better="neither",
        description="Expected overlapping-label rate minus the true one; off 0 where labels are not independent.",
        source=MASS,
        value=_overlap_bias,
        bounds=(-1.0, 1.0),
    ),
)


# Labels together ------------------------------------------------------------------------------------------------------
#
# Marginal probabilities do not say how likely two labels are together: max(0, p_a + p_b − 1) ≤ P(a, b) ≤ min(p_a, p_b)
# (Fréchet 1935), and p_a p_b only if the labels are independent given the pixel.

REST: Final = "all other sets"
NO_LABELS: Final = "none"
MOST_SETS: Final = 64


def pair_probabilities(counts: Counts, *, classes: Sequence[str]) -> pd.DataFrame:
    """Joint presence of each pair of classes against what the marginal probabilities allow, as shares of the pixels.

    Returns one row a pair: first, second, observed (share of pixels with both in the truth), independent (mean of
    p_a p_b), lowest and highest (means of the Fréchet bounds), inside (whether the observed share lies between them; if
    not, the marginals are wrong, whatever joint law is assumed). Needs truth that is not exclusive.
    Raises ShapeError otherwise.
    """
    pairs = list(combinations(range(len(classes)), 2))
    if len(counts.pair_mass) != len(pairs):
        raise ShapeError("joint probabilities are counted only where labels may share a pixel")
    pixels = max(int(counts.pixels.sum()), 1)
    independent, lowest, highest = (counts.pair_mass * P_UNIT / pixels).T
    observed = counts.pairs[:, 1].sum(axis=1) / pixels
    rounding = P_UNIT  # each pixel's mass was rounded to this
    return pd.DataFrame(
        {
            "first": [classes[a] for a, _ in pairs],
            "second": [classes[b] for _, b in pairs],
            "observed": observed,
            "independent": independent,
            "lowest": lowest,
            "highest": highest,
            "inside": (observed >= lowest - rounding) & (observed <= highest + rounding),
        }
    )


def pair_decisions(counts: Counts, *, classes: Sequence[str], threshold: float = 0.5) -> pd.DataFrame:
    """Pixels called both classes of a pair at p > threshold (k/300) against what chance would give.

    Returns one row a pair: first, second, called (pixels with both), expected (first's times second's called pixels
    over all pixels: as if the two calls were independent over the image), lift (their quotient), and the same of the
    truth: true, true_expected, true_lift.
    """
    cell = first_cell_above(threshold)
    pairs = list(combinations(range(len(classes)), 2))
    score = counts.score.sum(axis=(0, 2))  # (C, Y, CELLS)
    both_called = counts.pairs[:, :, cell:].sum(axis=(1, 2)).astype(np.float64)
    both_true = counts.pairs[:, 1].sum(axis=1).astype(np.float64)
    pixels = max(int(counts.pixels.sum()), 1)

    def expected(own: Int64Array) -> Float64Array:
        return np.array([float(own[a]) * float(own[b]) / pixels for a, b in pairs], np.float64)

    by_call, by_truth = expected(score[:, :, cell:].sum(axis=(1, 2))), expected(score[:, 1].sum(axis=1))
    return pd.DataFrame(
        {
            "first": [classes[a] for a, _ in pairs],
            "second": [classes[b] for _, b in pairs],
            "called": both_called.astype(np.int64),
            "expected": by_call,
            "lift": ratio(both_called, by_call),
            "true": both_true.astype(np.int64),
            "true_expected": by_truth,
            "true_lift": ratio(both_true, by_truth),
        }
    )


def label_set_confusion(counts: Counts, *, classes: Sequence[str], most: int = MOST_SETS) -> pd.DataFrame:
    """Pixels by true set of labels and set called at p > 0.5.

    The `most` commonest sets, by true and called pixels together, keep their name ("a+b", or "none"); the others are
    pooled as REST. Returns one row a pair that occurs, commonest sets first: truth, called, pixels, truth_pixels, share
    (of the true set's pixels), right (whether the two sets, before pooling, are the same in all of its pixels).
    """
    keys, pixels = counts.sets, counts.set_pixels
    every, place = np.unique(keys.reshape(-1), return_inverse=True)
    place = place.reshape(keys.shape)
    weight = np.bincount(place.reshape(-1), weights=np.repeat(pixels, 2), minlength=len(every))
    order = np.lexsort((every, -weight))  # commonest first, then by mask
    kept = order[:most]
    rank = np.full(len(every), len(kept), np.int64)
    rank[kept] = np.arange(len(kept))
    frame = pd.DataFrame(
        {"t": rank[place[:, 0]], "c": rank[place[:, 1]], "pixels": pixels, "right": keys[:, 0] == keys[:, 1]}
    )
    missing = int(counts.pixels.sum() - pixels.sum())  # of sets beyond those that counting keeps
    if missing:
        frame.loc[len(frame)] = [len(kept), len(kept), missing, False]
    grouped = frame.groupby(["t", "c"], as_index=False).agg(pixels=("pixels", "sum"), right=("right", "all"))
    names = [*_set_names(every[kept], classes), REST]
    truth_pixels = grouped.groupby("t")["pixels"].transform("sum")
    return pd.DataFrame(
        {
            "truth": [names[k] for k in grouped["t"]],
            "called": [names[k] for k in grouped["c"]],
            "pixels": grouped["pixels"].astype(np.int64),
            "truth_pixels": truth_pixels.astype(np.int64),
            "share": grouped["pixels"] / truth_pixels,
            "right": grouped["right"],
        }
    )


def exact_match(counts: Counts) -> float:
    """Share of pixels whose whole set of labels is right at p > 0.5 (subset accuracy); NaN without pixels.

    Of the pixels whose pair of sets was kept, which is all but in noise over many classes (counts.MOST_SETS).
    """
    whole = int(counts.set_pixels.sum())
    right = int(counts.set_pixels[counts.sets[:, 0] == counts.sets[:, 1]].sum())
    return right / whole if whole else float("nan")


def _set_names(masks: UInt64Array, classes: Sequence[str]) -> list[str]:
    return ["+".join(name for bit, name in enumerate(classes) if int(mask) >> bit & 1) or NO_LABELS for mask in masks]


# Numbers of labels: the tables behind the figures ---------------------------------------------------------------------

THRESHOLDS: Final[tuple[float, ...]] = tuple(step / 300 for step in range(3, 300, 3))


class LabelCuts(NamedTuple):
    """Pixels of N images by labels. true: (N, 4) by true number (0, 1, 2, 3 or more); above: (N, K, T) with at least
    1, … K <= 3 classes called at each of T common thresholds.
    """

    true: Int64Array
    above: Int64Array


def label_cuts(counts: Counts, *, region: Region = "all", thresholds: Sequence[float] = THRESHOLDS) -> LabelCuts:
    """What `rates_of` is made from."""
    ranks = in_region(counts.ranks, region, axis=1).sum(axis=1)  # (N, K, CELLS)
    above = ranks[:, :, ::-1].cumsum(axis=-1)[:, :, ::-1][:, :, [first_cell_above(t) for t in thresholds]]
    return LabelCuts(in_region(pixels_by_labels(counts), region, axis=1), above)


def rates_of(
    cuts: LabelCuts, *, thresholds: Sequence[float] = THRESHOLDS, units: UnitOfImage | None = None
) -> pd.DataFrame:
    """Shares of pixels with two classes or more, and with none, at each common threshold (k/300).

    Returns one row a threshold and rate: threshold, rate ("overlap" or "no label"), value, low, high, truth. There is
    no overlap row when there is one class.
    """
    by_labels, above = cuts
    pixels = by_labels.sum(axis=1)
    parts = {"no label": (pixels[:, None] - above[:, 0], by_labels[:, 0].sum())}
    if above.shape[1] > 1:
        parts["overlap"] = (above[:, 1], by_labels[:, 2:].sum())
    total = max(int(pixels.sum()), 1)
    frames = []
    for rate, (part, truth) in parts.items():
        whole = np.repeat(pixels[:, None], part.shape[1], axis=1)
        low, high = band(part.astype(np.float64), whole.astype(np.float64), units)
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
    score = counts.score.sum(axis=(0, 2))  # (C, Y, CELLS)
    called = score[:, :, first_cell:].sum(axis=(1, 2)).astype(np.float64)
    present = score[:, 1].sum(axis=1).astype(np.float64)
    both = counts.pairs[:, :, first_cell:].sum(axis=(1, 2))
    both_true = counts.pairs[:, 1].sum(axis=1)
    ordered = list(permutations(range(len(classes)), 2))
    place = {pair: at for at, pair in enumerate(combinations(range(len(classes)), 2))}
    place_of = np.array([place[min(pair), max(pair)] for pair in ordered], np.int64)
    own = np.array([first for first, _ in ordered], np.int64)
    return pd.DataFrame(
        {
            "first": [classes[first] for first, _ in ordered],
            "second": [classes[second] for _, second in ordered],
            "predicted": both[place_of],
            "truth": both_true[place_of],
            "predicted_share": ratio(both[place_of].astype(np.float64), called[own]),
            "truth_share": ratio(both_true[place_of].astype(np.float64), present[own]),
        }
    )
