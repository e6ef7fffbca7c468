"""The one hot path: float16 log-odds and truth of an image to integer counts."""

from typing import Final, NamedTuple

import numpy as np

from pipelines.arrays import Float16Array, Int64Array, UInt8Array, UInt32Array, UInt64Array
from pipelines.counting import grid, loops, mass, pixel_loops, tables
from pipelines.counting.loops import MOST_LABELS
from pipelines.counting.pixel_loops import RANKS, TURNS, Histograms
from pipelines.counting.pixels import Pixels, pixels_of
from pipelines.counting.sets import add_sets, count_sets
from pipelines.errors import ShapeError

_SUM_TABLES: Final = (tables.P, tables.SQUARED_ERROR, tables.SOFTPLUS)


class ImageCounts(NamedTuple):
    """Counts of one image of C classes, int64 but for `sets`.

    R = 2 regions: interior, boundary. Y = 2: absent, present. K = min(C, 3). P = C (C - 1) / 2 pairs of classes in the
    order (0, 1), (0, 2), …, (1, 2), …

    score: (C, R, Y, CELLS) pixels; score_p: their sum of p in units of grid.P_UNIT.
    squared_error, nll: (C, R, Y, 2) sums by whether p > 0.5, in units of P_UNIT and NLL_UNIT.
    ranks: (R, 4, K, CELLS) k-th largest score by true number of labels.
    top, top_p: (R, 2, 2, CELLS) largest score by foreground and by correct. Exclusive truth, else empty.
    confusion: (R, C, C) argmax, rows the truth. Exclusive truth, else empty.
    categorical: (R, 2) sums of -log P(truth | exactly one label) (NLL_UNIT) and of 1 - P(exactly one label) (P_UNIT),
        the latter 0 for softmax. Exclusive truth, else empty.
    mass: (R, 3) sums of the probability that a pixel carries no label, one, and two or more (P_UNIT); they add up to
        the region's pixels.
    boundary, surface: (C, 3) and (C, 4) of geometry.Geometry; 0 here.
    joint: (C + 1, C, CELLS) pixels by true class (last row: no label) and score of every class.
    pairs: (P, 2, CELLS) smaller score of a pair by whether both are there; p <= 1/300 is one cell.
    pair_mass: (P, 3) sums of p_a p_b and of the Fréchet bounds max(0, p_a + p_b - 1) and min(p_a, p_b) (P_UNIT). Truth
        that is not exclusive, else empty.
    sets: (S, 2) uint64, true set and set with p > 0.5 (bit c for class c) of the pairs that occur, ascending;
    set_pixels: (S,) their pixels. At most sets.MOST_SETS rows.
    """

    score: Int64Array
    score_p: Int64Array
    squared_error: Int64Array
    nll: Int64Array
    ranks: Int64Array
    top: Int64Array
    top_p: Int64Array
    confusion: Int64Array
    categorical: Int64Array
    mass: Int64Array
    boundary: Int64Array
    surface: Int64Array
    joint: Int64Array
    pairs: Int64Array
    pair_mass: Int64Array
    sets: UInt64Array
    set_pixels: Int64Array


class _Values(NamedTuple):
    """Per class: score, score_p, squared_error and nll of ImageCounts.

    true_log_odds: (R,) sums over the pixels of the log-odds of their true classes (NLL_UNIT).
    """

    score: Int64Array
    score_p: Int64Array
    squared_error: Int64Array
    nll: Int64Array
    true_log_odds: Int64Array


def count_image(
    log_odds: Float16Array,
    masks: UInt64Array,
    region: UInt8Array,
    *,
    exclusive: bool,
    softmax: bool = False,
    background: int = -1,
    channels: Float16Array | None = None,
    channel_labels: tuple[int, ...] = (),
) -> ImageCounts:
    """Count one image.

    log_odds: (C, H, W) or (C, N) float16; masks: (H, W) uint64 label sets, bit c for class c; region: (H, W) uint8 of
    regions.regions, IGNORED pixels are left out of everything. softmax: whether the p of a pixel are one softmax, so
    that -log p[truth] is its categorical likelihood as it stands. background: class index that does not count as
    foreground in the top-label counts, -1 for none.
    channels: (E, H, W) float16 log-odds of the channels that are not classes (HeadSpec.extra_channels), and
    channel_labels: how many labels each stands for; a softmax of several classes on overlapping truth needs both.
    Raises ShapeError when shapes or dtypes differ from these, exclusive truth has not exactly one label at a valid
    pixel, or a valid log-odds is not a number.
    """
    pixels = pixels_of(log_odds, masks, region, exclusive=exclusive)
    values = _values(pixels, exclusive=exclusive)
    found = _histograms(pixels, exclusive=exclusive, background=background)
    keys, key_pixels = count_sets(pixels, exclusive=exclusive)
    sets, set_pixels = add_sets([keys], [key_pixels])
    log_sums = None
    if not exclusive and pixels.classes == 1:
        by_number = mass.of_binary(pixels, values.score_p)
    elif not softmax:
        by_number, log_sums = mass.of_independent(pixels)
    elif exclusive:
        by_number = mass.of_one_label(pixels)
    else:
        by_number = mass.of_channels(pixels, channels, channel_labels)
    return ImageCounts(
        score=values.score,
        score_p=values.score_p,
        squared_error=values.squared_error,
        nll=values.nll,
        ranks=found.ranks[:2].astype(np.int64),
        top=found.top[:2].astype(np.int64),
        top_p=found.top_p[:2].copy(),
        confusion=found.confusion[:2, : found.confusion.shape[2]].astype(np.int64),
        categorical=_categorical(pixels, values, by_number, log_sums) if exclusive else np.zeros((2, 0), np.int64),
        mass=by_number,
        boundary=np.zeros((pixels.classes, 3), np.int64),
        surface=np.zeros((pixels.classes, 4), np.int64),
        joint=_add_turns(found.joint, axis=1)[:, : pixels.classes + 1].swapaxes(0, 1).copy(),
        pairs=_pairs(pixels, found, keys, key_pixels),
        pair_mass=found.pair_mass,
        sets=sets,
        set_pixels=set_pixels,
    )


def _values(pixels: Pixels, *, exclusive: bool) -> _Values:
    classes, cells = pixels.classes, grid.CELLS
    out = _Values(
        score=np.zeros((classes, 2, 2, cells), np.int64),
        score_p=np.zeros((classes, 2, 2, cells), np.int64),
        squared_error=np.zeros((classes, 2, 2, 2), np.int64),
        nll=np.zeros((classes, 2, 2, 2), np.int64),
        true_log_odds=np.zeros(2, np.int64),
    )
    patterns = np.empty(loops.PATTERN_ROWS * loops.PATTERNS, np.uint32)
    patterns[: 4 * loops.PATTERNS] = 0  # nobody reads the rows of ignored pixels
    bad = 0
    for c in range(classes):
        loops.count_patterns(c, pixels.bits[c], pixels.masks, pixels.places, pixels.rows, exclusive, patterns)
        true_log_odds, more = loops.reduce_patterns(
            patterns, tables.SEGMENTS, _SUM_TABLES,
            out.score[c], out.score_p[c], out.squared_error[c], out.nll[c],
        )  # fmt: skip
        out.true_log_odds[:] += true_log_odds
        bad += int(more)
    if bad:
        raise ShapeError(f"{bad} log-odds are not numbers; write finite values only")
    return out


def _histograms(pixels: Pixels, *, exclusive: bool, background: int) -> Histograms:
    """What needs the classes of a pixel together."""
    classes, cells = pixels.classes, grid.CELLS
    pairs, known = classes * (classes - 1) // 2, classes if exclusive else 0
    out = Histograms(
        joint=np.zeros((classes, TURNS, classes + 2, cells), np.uint32),
        pairs=np.zeros((pairs, 1 if exclusive else 2, TURNS, cells), np.uint32),
        pair_mass=np.zeros((0 if exclusive else pairs, 3), np.int64),
        ranks=np.zeros((3, MOST_LABELS + 1, min(classes, RANKS), cells), np.uint32),
        top=np.zeros((3, 2, 2, cells if exclusive else 0), np.uint32),
        top_p=np.zeros((3, 2, 2, cells if exclusive else 0), np.int64),
        confusion=np.zeros((3, known + 2 if exclusive else 0, known), np.uint32),
    )
    pixel_loops.count_blocks(
        pixels.bits, pixels.masks, pixels.places, pixels.rows, pixels.labels, exclusive, background, tables.GRID, out
    )
    return out


def _categorical(pixels: Pixels, values: _Values, by_number: Int64Array, log_sums: Int64Array | None) -> Int64Array:
    """(R, 2) of ImageCounts; log_sums: (R,) sums of log of the sum of exp(log-odds), None for softmax."""
    if log_sums is None:  # the true class's own likelihood
        return np.stack([values.nll[:, :, 1].sum(axis=(0, 2)), np.zeros(2, np.int64)], axis=-1)
    return np.stack([log_sums - values.true_log_odds, pixels.valid * mass.ONE - by_number[:, 1]], axis=-1)


def _add_turns(counts: UInt32Array, *, axis: int) -> Int64Array:
    """Sum of the counters that took turns, over an axis."""
    first, *others = np.moveaxis(counts, axis, 0)
    total = first.astype(np.int64)
    for other in others:
        total += other
    return total


def _pairs(pixels: Pixels, found: Histograms, keys: UInt64Array, key_pixels: Int64Array) -> Int64Array:
    """(P, 2, CELLS); cell 0 gets the pixels whose smaller score lies in the first step, which the loops pass over."""
    counts = np.zeros((len(found.pairs), 2, grid.CELLS), np.int64)
    counts[:, : found.pairs.shape[1]] = _add_turns(found.pairs, axis=2)
    counts[:, :, 0] = 0  # the loops use it for steps without a pixel
    several = (keys[:, 0] & (keys[:, 0] - np.uint64(1))) != 0  # at least two bits set
    members = ((keys[several, :1] >> np.arange(pixels.classes, dtype=np.uint64)) & np.uint64(1)).astype(np.int64)
    together = (members * key_pixels[several, None]).T @ members
    both = together[np.triu_indices(pixels.classes, 1)]
    counts[:, 1, 0] = both - counts[:, 1].sum(axis=-1)
    counts[:, 0, 0] = pixels.valid.sum() - both - counts[:, 0].sum(axis=-1)
    return counts
