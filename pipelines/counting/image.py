"""The one hot path: float16 log-odds and truth of an image to integer counts."""

from typing import Final, NamedTuple

import numpy as np

from pipelines.arrays import Float16Array, Int64Array, UInt8Array, UInt16Array, UInt32Array, UInt64Array
from pipelines.counting import grid, kernels
from pipelines.counting.counts import ImageCounts, add_sets
from pipelines.counting.kernels import BOUNDARY, MOST_LABELS, RANKS, TURNS
from pipelines.counting.label_kernels import MOST_CLASSES
from pipelines.errors import ShapeError

# Pixels ---------------------------------------------------------------------------------------------------------------
#
# What is given, checked, to the flat arrays that the loops take.


class Pixels(NamedTuple):
    """An image's N pixels in a row.

    bits: (C, N) uint16 patterns of the log-odds; masks: (N,) uint64 label sets; places, rows, labels: (N,) uint8 of
    kernels.describe_pixels; valid: (R,) pixels of each region.
    """

    bits: UInt16Array
    masks: UInt64Array
    places: UInt8Array
    rows: UInt8Array
    labels: UInt8Array
    valid: Int64Array

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.bits)


def pixels_of(log_odds: Float16Array, masks: UInt64Array, region: UInt8Array, *, exclusive: bool) -> Pixels:
    """Pixels of one image, arguments as in count_image.

    Raises ShapeError when shapes or dtypes do not fit, a label or region at a valid pixel is unknown, or exclusive
    truth has not exactly one label there.
    """
    count = int(np.prod(log_odds.shape[1:]))
    if log_odds.dtype != np.float16 or masks.size != count or region.size != count:
        raise ShapeError(
            f"log_odds must be (C, H, W) float16 with masks and region (H, W), got {log_odds.shape} {log_odds.dtype}, "
            f"{masks.shape} and {region.shape}"
        )
    classes = log_odds.shape[0]
    if not 0 < classes <= MOST_CLASSES:
        raise ShapeError(f"expected 1 to {MOST_CLASSES} classes, got {classes}; count the classes in groups")
    flat = np.ascontiguousarray(masks, np.uint64).reshape(-1)
    places, rows, labels = (np.empty(count, np.uint8) for _ in range(3))
    valid, wrong = kernels.describe_pixels(
        flat, np.ascontiguousarray(region, np.uint8).reshape(-1), classes, places, rows, labels
    )
    not_one, beyond, unknown = wrong
    if unknown:
        raise ShapeError(f"region must be 0 to {BOUNDARY} or ignored, got others at {unknown} pixels; use regions()")
    if beyond:
        raise ShapeError(f"masks name labels beyond the {classes} classes at {beyond} pixels; use label_masks()")
    if exclusive and not_one:
        raise ShapeError("exclusive truth must have exactly one class at every valid pixel; mark the others as ignored")
    bits = np.ascontiguousarray(log_odds).reshape(classes, count).view(np.uint16)
    return Pixels(bits, flat, places, rows, labels, valid)


_SUM_TABLES: Final = (grid.P, grid.SQUARED_ERROR, grid.SOFTPLUS)


class Histograms(NamedTuple):
    """What count_blocks adds to; the first axis of three is the place of a pixel, the last of them ignored ones.

    joint: (C, TURNS, C + 2, CELLS), counters that take turns, by true class, none, ignored.
    pairs: (P, 1 or 2, TURNS, CELLS), P pairs of classes, by whether both are there (truth that is not exclusive), with
        TURNS counters; cell 0 holds nothing of use, the rest of the first step nothing. pair_mass: (P, 3).
    ranks: (3, 4, K, CELLS). top, top_p: (3, 2, 2, CELLS). confusion: (3, C + 2, C).
    """

    joint: UInt32Array
    pairs: UInt32Array
    pair_mass: Int64Array
    ranks: UInt32Array
    top: UInt32Array
    top_p: Int64Array
    confusion: UInt32Array


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
    soft: Float16Array | None = None,
) -> ImageCounts:
    """Count one image.

    log_odds: (C, H, W) or (C, N) float16; masks: (H, W) uint64 label sets, bit c for class c; region: (H, W) uint8 of
    outlines.regions, IGNORED pixels are left out of everything. softmax: whether the p of a pixel are one softmax, so
    that -log p[truth] is its categorical likelihood as it stands. background: class index that does not count as
    foreground in the top-label counts, -1 for none.
    channels: (E, H, W) float16 log-odds of the channels that are not classes (HeadSpec.extra_channels), and
    channel_labels: how many labels each stands for; a softmax of several classes on overlapping truth needs both.
    soft: (C, H, W) float16 in [0, 1], how probable each class is by a soft truth; None where the truth is hard.
    Raises ShapeError when shapes or dtypes differ from these, exclusive truth has not exactly one label at a valid
    pixel, or a valid log-odds is not a number.
    """
    pixels = pixels_of(log_odds, masks, region, exclusive=exclusive)
    softened = {} if soft is None else _soft(pixels, soft)
    values, true_log_odds = _values(pixels, exclusive=exclusive)
    histograms = _histograms(pixels, exclusive=exclusive, background=background)
    keys, key_pixels = count_sets(pixels, exclusive=exclusive)
    sets, set_pixels = add_sets([keys], [key_pixels])
    log_sums = None
    if not exclusive and pixels.classes == 1:
        by_number = of_binary(pixels, values["score_p"])
    elif not softmax:
        by_number, log_sums = of_independent(pixels)
    elif exclusive:
        by_number = of_one_label(pixels)
    else:
        by_number = of_channels(pixels, channels, channel_labels)
    categorical = np.zeros((2, 0), np.int64)
    if exclusive and log_sums is None:  # the true class's own likelihood
        categorical = np.stack([values["nll"][:, :, 1].sum(axis=(0, 2)), np.zeros(2, np.int64)], axis=-1)
    elif exclusive and log_sums is not None:
        categorical = np.stack([log_sums - true_log_odds, pixels.valid * ONE - by_number[:, 1]], axis=-1)
    return ImageCounts(
        **values,
        ranks=histograms.ranks[:2].astype(np.int64),
        top=histograms.top[:2].astype(np.int64),
        top_p=histograms.top_p[:2].copy(),
        confusion=histograms.confusion[:2, : histograms.confusion.shape[2]].astype(np.int64),
        categorical=categorical,
        mass=by_number,
        boundary=np.zeros((pixels.classes, 3), np.int64),
        surface=np.zeros((pixels.classes, 4), np.int64),
        joint=_add_turns(histograms.joint, axis=1)[:, : pixels.classes + 1].swapaxes(0, 1).copy(),
        pairs=_pairs(pixels, histograms, keys, key_pixels),
        pair_mass=histograms.pair_mass,
        sets=sets,
        set_pixels=set_pixels,
        **softened,
    )


_SOFT_TABLES: Final = (grid.CELL_TABLE, grid.P, grid.SOFTPLUS)


def _soft(pixels: Pixels, soft: Float16Array) -> dict[str, Int64Array]:
    """soft, soft_squared_error and soft_nll of ImageCounts. Raises ShapeError unless soft is (C, H, W) in [0, 1]."""
    shares = np.ascontiguousarray(soft).reshape(len(soft), -1)
    if shares.shape != pixels.bits.shape or not ((shares >= 0) & (shares <= 1)).all():
        raise ShapeError(
            f"soft truth must be {pixels.classes} classes of {pixels.places.size} pixels in [0, 1], got {soft.shape} "
            f"from {soft.min(initial=0)} to {soft.max(initial=0)}"
        )
    shapes = {"soft": grid.CELLS, "soft_squared_error": 2, "soft_nll": 2}
    out = {name: np.zeros((pixels.classes, 2, 2, last), np.int64) for name, last in shapes.items()}
    for c in range(pixels.classes):
        units = np.rint(shares[c].astype(np.float64) / grid.SOFT_UNIT).astype(np.int32)
        kernels.count_soft(
            c,
            pixels.bits[c],
            units,
            pixels.masks,
            pixels.places,
            grid.HALF_CELL,
            _SOFT_TABLES,
            grid.LOG_ODDS,
            *(array[c] for array in out.values()),
        )
    return out


def _values(pixels: Pixels, *, exclusive: bool) -> tuple[dict[str, Int64Array], Int64Array]:
    """What is counted class by class: score, score_p, squared_error and nll of ImageCounts.

    And (R,) sums over the pixels of the log-odds of their true classes (NLL_UNIT).
    """
    shapes = {"score": grid.CELLS, "score_p": grid.CELLS, "squared_error": 2, "nll": 2}
    out = {name: np.zeros((pixels.classes, 2, 2, last), np.int64) for name, last in shapes.items()}
    total = np.zeros(2, np.int64)
    patterns = np.empty(kernels.PATTERN_ROWS * kernels.PATTERNS, np.uint32)
    patterns[: 4 * kernels.PATTERNS] = 0  # nobody reads the rows of ignored pixels
    bad = 0
    for c in range(pixels.classes):
        kernels.count_patterns(c, pixels.bits[c], pixels.masks, pixels.places, pixels.rows, exclusive, patterns)
        sums = [array[c] for array in out.values()]
        true_log_odds, more = kernels.reduce_patterns(patterns, grid.SEGMENTS, _SUM_TABLES, *sums)
        total += true_log_odds
        bad += int(more)
    if bad:
        raise ShapeError(f"{bad} log-odds are not numbers; write finite values only")
    return out, total


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
    kernels.count_blocks(
        pixels.bits, pixels.masks, pixels.places, pixels.rows, pixels.labels, exclusive, background, grid.GRID, out
    )
    return out


def _add_turns(counts: UInt32Array, *, axis: int) -> Int64Array:
    """Sum of the counters that took turns, over an axis."""
    first, *others = np.moveaxis(counts, axis, 0)
    total = first.astype(np.int64)
    for other in others:
        total += other
    return total


def _pairs(pixels: Pixels, histograms: Histograms, keys: UInt64Array, key_pixels: Int64Array) -> Int64Array:
    """(P, 2, CELLS); cell 0 gets the pixels whose smaller score lies in the first step, which the loops pass over."""
    counts = np.zeros((len(histograms.pairs), 2, grid.CELLS), np.int64)
    counts[:, : histograms.pairs.shape[1]] = _add_turns(histograms.pairs, axis=2)
    counts[:, :, 0] = 0  # the loops use it for steps without a pixel
    several = (keys[:, 0] & (keys[:, 0] - np.uint64(1))) != 0  # at least two bits set
    members = ((keys[several, :1] >> np.arange(pixels.classes, dtype=np.uint64)) & np.uint64(1)).astype(np.int64)
    together = (members * key_pixels[several, None]).T @ members
    both = together[np.triu_indices(pixels.classes, 1)]
    counts[:, 1, 0] = both - counts[:, 1].sum(axis=-1)
    counts[:, 0, 0] = pixels.valid.sum() - both - counts[:, 0].sum(axis=-1)
    return counts


# Probability that a pixel carries no label, one, and two or more ------------------------------------------------------

ONE: Final = round(1 / grid.P_UNIT)  # probability 1
_P: Final = np.where(grid.CELL_TABLE == grid.NOT_A_NUMBER, np.nan, grid.PROBABILITY)  # (65536,)


def of_binary(pixels: Pixels, score_p: Int64Array) -> Int64Array:
    """(R, 3) for one class: 1 - p, p, 0. score_p: (1, R, Y, CELLS) of ImageCounts."""
    return _with_rest(pixels, np.stack([pixels.valid * ONE - _there(score_p), _there(score_p)], axis=-1))


def _there(score_p: Int64Array) -> Int64Array:
    total: Int64Array = score_p[0].sum(axis=(1, 2))
    return total


def of_one_label(pixels: Pixels) -> Int64Array:
    """(R, 3) for a softmax over classes that shut each other out: 0, 1, 0."""
    return _with_rest(pixels, np.stack([np.zeros(2, np.int64), pixels.valid * ONE], axis=-1))


def of_independent(pixels: Pixels) -> tuple[Int64Array, Int64Array]:
    """(R, 3) for independent labels, and (R,) sums of the log of the sum of exp(log-odds) (NLL_UNIT)."""
    sums = np.zeros((2, 3), np.int64)
    kernels.sum_independent(pixels.bits, pixels.places, grid.ODDS, grid.LOG_ODDS, ONE, 1 / grid.NLL_UNIT, sums)
    return _with_rest(pixels, sums[:, :2]), sums[:, 2]


def of_channels(pixels: Pixels, channels: Float16Array | None, labels: tuple[int, ...]) -> Int64Array:
    """(R, 3) for a softmax on overlapping truth, from the channels that are not classes.

    channels: (E, H, W) float16 log-odds; labels: how many labels each stands for. One channel: its rest is one label,
    as for the background of a softmax by priority. Raises ShapeError when there is none, the numbers do not fit, or a
    valid value is not a number.
    """
    count = pixels.places.size
    if channels is None or not labels or channels.dtype != np.float16 or channels.size != len(labels) * count:
        got = "none" if channels is None else f"{channels.shape} {channels.dtype} for {len(labels)} numbers of labels"
        raise ShapeError(
            f"a softmax on overlapping truth needs its channels that are not classes, (E, H, W) float16, got {got}"
        )
    bits = np.ascontiguousarray(channels).reshape(-1, count).view(np.uint16)
    sums = np.zeros((2, 2), np.int64)
    bad = kernels.sum_channels(bits, np.array(labels, np.int64), pixels.places, _P, ONE, sums)
    if bad:
        raise ShapeError(f"log-odds of channels are not numbers at {bad} pixels; write finite values only")
    return _with_rest(pixels, sums)


def _with_rest(pixels: Pixels, few: Int64Array) -> Int64Array:
    """(R, 2) sums for no label and one to (R, 3): the third is what they lack of the region's pixels."""
    return np.concatenate([few, (pixels.valid * ONE - few.sum(axis=1))[:, None]], axis=1)


# Pairs of a true and a called label set -------------------------------------------------------------------------------

MOST_COUNTERS: Final = 65_536  # pairs of sets up to which each has its own counter


def count_sets(pixels: Pixels, *, exclusive: bool) -> tuple[UInt64Array, Int64Array]:
    """Pairs that occur, (S, 2) uint64 in no order, and their pixels, (S,); the called set has the labels with p > 0.5.

    Few classes have few pairs of sets, and each has its own counter; of many, those that occur stand in a hash table.
    """
    classes = pixels.classes
    counters = (classes if exclusive else 1 << classes) << classes
    if counters > MOST_COUNTERS:
        keys, count = kernels.count_hashed(pixels.bits, pixels.masks, pixels.places)
        return keys[count > 0], count[count > 0]
    turns = np.zeros((2, counters + 1), np.uint32)
    kernels.count_direct(pixels.bits, pixels.masks, pixels.rows, pixels.places, exclusive, turns)
    table = turns[0] + turns[1]
    occurring = np.flatnonzero(table[:-1])
    code, called = np.divmod(occurring.astype(np.uint64), np.uint64(1 << classes))
    true = np.uint64(1) << code if exclusive else code
    return np.stack([true, called], axis=-1), table[occurring].astype(np.int64)
