"""Counts to the numbers that metrics of one topic or several are computed from."""

from typing import Final

import numpy as np

from pipelines.arrays import Float64Array, Int64Array
from pipelines.counting import Counts
from pipelines.counting.grid import HALF_CELL, NLL_UNIT, P_UNIT, STEPS, first_cell_above
from pipelines.errors import ShapeError
from pipelines.metrics.base import Setting, Source, pick_region
from pipelines.schema import REGIONS, Region


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
