"""Pixels to pairs of a true and a called label set, in order and within bounds."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.arrays import Int64Array, UInt64Array
from pipelines.counting import set_loops
from pipelines.counting.pixels import Pixels
from pipelines.errors import ShapeError

# Rows kept, those first in order, 1.5 MB: predictions that are noise over many classes could make a row of every
# pixel. A row that is kept is first in order wherever it was counted, so nothing depends on the order of images, and
# its pixels are exact; the pixels of the others are missing from the sum.
MOST_SETS: Final = 65_536
MOST_COUNTERS: Final = 65_536  # pairs of sets up to which each has its own counter


def count_sets(pixels: Pixels, *, exclusive: bool) -> tuple[UInt64Array, Int64Array]:
    """Pairs that occur, (S, 2) uint64 in no order, and their pixels, (S,); the called set has the labels with p > 0.5.

    Few classes have few pairs of sets, and each has its own counter; of many, those that occur stand in a hash table.
    """
    classes = pixels.classes
    counters = (classes if exclusive else 1 << classes) << classes
    if counters > MOST_COUNTERS:
        keys, count = set_loops.count_hashed(pixels.bits, pixels.masks, pixels.places)
        return keys[count > 0], count[count > 0]
    turns = np.zeros((2, counters + 1), np.uint32)
    set_loops.count_direct(pixels.bits, pixels.masks, pixels.rows, pixels.places, exclusive, turns)
    table = turns[0] + turns[1]
    occurring = np.flatnonzero(table[:-1])
    code, called = np.divmod(occurring.astype(np.uint64), np.uint64(1 << classes))
    true = np.uint64(1) << code if exclusive else code
    return np.stack([true, called], axis=-1), table[occurring].astype(np.int64)


def add_sets(
    sets: Sequence[UInt64Array], pixels: Sequence[Int64Array], *, most: int = MOST_SETS
) -> tuple[UInt64Array, Int64Array]:
    """Unique rows in ascending order and the sums of their pixels.

    sets: (S, 2) uint64 each, true and called set; pixels: (S,) int64 each, rows with 0 pixels are left out. Returns at
    most `most` rows, the first ones. Raises ShapeError unless there is one array of pixels for each of sets.
    """
    if not sets or len(sets) != len(pixels):
        raise ShapeError(f"expected pixels for each of at least one array of sets, got {len(sets)} and {len(pixels)}")
    rows, counts = np.concatenate(list(sets)), np.concatenate(list(pixels))
    rows, counts = rows[counts > 0], counts[counts > 0]
    if not len(rows):
        return np.zeros((0, 2), np.uint64), np.zeros(0, np.int64)
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    rows, counts = rows[order], counts[order]
    starts = np.flatnonzero(np.append(True, (rows[1:] != rows[:-1]).any(axis=1)))
    return rows[starts][:most], np.add.reduceat(counts, starts)[:most]
