"""The loops over pixels: all log-odds of a pixel together to histograms, compiled by numba, which infers their types.

Arrays and conventions as in loops. A block of pixels stays in the cache from one loop to the next.
"""

from typing import NamedTuple

import numpy as np

from pipelines.arrays import Int64Array, UInt16Array, UInt32Array
from pipelines.counting.instructions import WORD, jit, lowest_bit, number_of_bits

RANKS = 3  # largest, second and third score of a pixel
BLOCK = 8192  # pixels, a multiple of WORD
TURNS = 4  # counters of the same cell that take turns: an increment need not wait for the one before
# Rows of a block do not begin a multiple of 4096 bytes apart: they would share the few places of one cache set.
_PADDING = 192
_LABEL_ROWS = 4  # true number of labels: 0, 1, 2, 3 or more
_OUTSIDE = 2  # place of an ignored pixel


class Grid(NamedTuple):
    """What the loops need of the grid: tables by key (see tables), and numbers.

    cell: (65536,) uint16; p: (65536,) uint32 in units of 2**-p_bits. cells: number of cells; active: the first with
    p > 1/300.
    """

    cell: UInt16Array
    p: UInt32Array
    cells: int
    active: int
    p_bits: int


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


@jit
def count_blocks(bits, masks, places, rows, labels, exclusive, background, grid, out):
    """Counts that need the classes of a pixel together, into Histograms.

    exclusive: whether the truth is. Log-odds of a block are held as keys, (C, BLOCK) uint16, which order as they do and
    point into tables by key, and as cells. Ignored pixels and those after the end have key 0, below all, and cell 0.
    """
    classes, pixels = bits.shape
    words = BLOCK // WORD
    keys = np.zeros((classes, BLOCK + _PADDING), np.uint16)
    cells = np.zeros((classes, BLOCK + _PADDING), np.uint16)
    active, present = np.zeros((classes, words), np.uint64), np.zeros((classes, words), np.uint64)
    for start in range(0, pixels, BLOCK):
        n = min(BLOCK, pixels - start)
        mask, place, row, label = (
            masks[start : start + n], places[start : start + n], rows[start : start + n], labels[start : start + n],
        )  # fmt: skip
        for c in range(classes):
            _set_keys(bits[c][start : start + n], place, grid.cell, keys[c], cells[c])
            _count_cells(cells[c], row, grid.cells, out.joint[c].reshape(TURNS, -1))
            _mark_from(cells[c], grid.active, active[c])
        if not exclusive:
            _count_other_labels(mask, label, cells, out.joint)
            _mark_present(mask, present)
            _sum_pairs(keys, n, grid, out.pair_mass)
        _count_pairs(cells, active, present, out.pairs)
        _count_largest(keys, place, label, row, exclusive, background, grid, out)


@jit
def _set_keys(bits, places, cell_table, keys, cells):
    """Keys and cells of one class in a block, (BLOCK,) uint16 each."""
    for i in range(bits.size):
        b = bits[i]
        key = np.uint16(-b) if b & 0x8000 else np.uint16(b + 0x8000)
        keys[i] = key if places[i] != _OUTSIDE else np.uint16(0)
    keys[bits.size :] = 0
    for i in range(keys.size):
        cells[i] = cell_table[keys[i]]


@jit
def _count_cells(cells, rows, number, counts):
    """Cells of one class by true class, in tables that take turns, (TURNS, (C + 2) * number of cells)."""
    n = rows.size
    indices = np.empty(n, np.uint16)
    for i in range(n):
        indices[i] = np.uint16(rows[i]) * np.uint16(number) + cells[i]
    whole = n - n % TURNS
    for i in range(0, whole, TURNS):
        for turn in range(TURNS):
            counts[turn, indices[i + turn]] += np.uint32(1)
    for i in range(whole, n):
        counts[0, indices[i]] += np.uint32(1)


@jit
def _count_other_labels(masks, labels, cells, joint):
    """Cells of all classes at the pixels with several labels, for their labels besides the smallest."""
    for i in range(masks.size):
        if labels[i] > 1:
            rest = masks[i] & (masks[i] - np.uint64(1))
            while rest:
                t = lowest_bit(rest)
                rest &= rest - np.uint64(1)
                for c in range(cells.shape[0]):
                    joint[c, 0, t, cells[c, i]] += np.uint32(1)


# Pairs of classes ---------------------------------------------------------------------------------------------------


@jit
def _mark_from(values, threshold, words):
    """Pixels with a value of at least threshold; values: (64 W or more,), words: (W,) uint64."""
    for w in range(words.size):
        some = values[w * WORD : (w + 1) * WORD]
        word = np.uint64(0)
        for k in range(WORD):
            word |= np.uint64(some[k] >= threshold) << np.uint64(k)
        words[w] = word


@jit
def _mark_present(masks, present):
    """Pixels that have each class in their truth, (C, W) uint64."""
    for c in range(present.shape[0]):
        for w in range(present.shape[1]):
            some = masks[w * WORD : (w + 1) * WORD]
            word = np.uint64(0)
            for k in range(some.size):
                word |= ((some[k] >> np.uint64(c)) & np.uint64(1)) << np.uint64(k)
            present[c, w] = word


@jit
def _count_pairs(cells, active, present, pairs):
    """Smaller cell of each pair of classes by whether both are there, at the pixels where both have p > 1/300.

    The processor's guesses of when a loop ends are what costs here: so words without a pixel are sorted out first, and
    the others are taken in steps of 2 TURNS pixels, of which the last ones may be none: `smaller` ends with a cell 0.
    """
    pair = 0
    words, places = np.empty(active.shape[1], np.uint64), np.empty(active.shape[1], np.uint64)
    smaller = np.zeros(WORD + 1, np.uint16)
    bit = np.uint64(1)
    for a in range(active.shape[0]):
        for e in range(a + 1, active.shape[0]):
            one, other = cells[a], cells[e]
            some = 0
            for w in range(words.size):
                words[some] = active[a, w] & active[e, w]
                places[some] = w
                some += words[some] != 0
            for j in range(some):
                w = places[j]
                for k in range(np.uint64(WORD)):
                    smaller[k] = min(one[w * np.uint64(WORD) + k], other[w * np.uint64(WORD) + k])
                both = words[j] & present[a, w] & present[e, w]
                for there in range(pairs.shape[1]):
                    rest = both if there else words[j] ^ both
                    for _ in range((number_of_bits(rest) + np.uint64(2 * TURNS - 1)) // np.uint64(2 * TURNS)):
                        for turn in range(2 * TURNS):
                            pairs[pair, there, turn % TURNS, smaller[lowest_bit(rest)]] += np.uint32(1)
                            rest &= rest - bit
            pair += 1


@jit
def _sum_pairs(keys, n, grid, pair_mass):
    """Sums of p_a p_b and of the Frechet bounds max(0, p_a + p_b - 1) and min(p_a, p_b) of each pair of classes.

    p is 0 at ignored pixels, where all three are 0.
    """
    p = np.empty((keys.shape[0], n), np.int64)
    for c in range(keys.shape[0]):
        for i in range(n):
            p[c, i] = grid.p[keys[c, i]]
    certain, half = np.int64(1) << grid.p_bits, np.int64(1) << (grid.p_bits - 1)
    pair = 0
    for a in range(keys.shape[0]):
        for e in range(a + 1, keys.shape[0]):
            one, other = p[a], p[e]
            product, lowest, highest = np.int64(0), np.int64(0), np.int64(0)
            for i in range(n):
                product += (one[i] * other[i] + half) >> grid.p_bits
                lowest += max(one[i] + other[i] - certain, 0)
                highest += min(one[i], other[i])
            pair_mass[pair, 0] += product
            pair_mass[pair, 1] += lowest
            pair_mass[pair, 2] += highest
            pair += 1


# Largest scores -----------------------------------------------------------------------------------------------------


@jit
def _count_largest(keys, places, labels, rows, exclusive, background, grid, out):
    """Largest scores by true number of labels; for exclusive truth also the argmax against the truth."""
    n, kept = places.size, out.ranks.shape[2]
    largest = np.empty((RANKS, n), np.uint16)
    winner = np.empty(n, np.uint8)
    _select(keys, largest[0], largest[1], largest[2], winner)
    if exclusive:
        _count_winners(largest[0], winner, rows, places, background, grid, out)
    for k in range(kept):
        _index_rank(k, kept, largest[k], places, labels, grid)
    _tally_ranks(largest, kept, out.ranks.reshape(-1))


@jit
def _select(keys, first, second, third, winner):
    """The three largest keys of each pixel and the class of the largest; the first of equal ones wins."""
    first[:] = 0
    second[:] = 0
    third[:] = 0
    for c in range(keys.shape[0]):
        row = keys[c]
        for i in range(first.size):
            key = row[i]
            winner[i] = np.uint8(c) if key > first[i] else winner[i]
            low = min(first[i], key)
            first[i] = max(first[i], key)
            lower = min(second[i], low)
            second[i] = max(second[i], low)
            third[i] = max(third[i], lower)


@jit
def _index_rank(k, kept, keys, places, labels, grid):
    """Replace the k-th largest keys by their indices into (3, 4, kept, CELLS)."""
    for i in range(keys.size):
        keys[i] = grid.cell[keys[i]]
    for i in range(keys.size):
        row = np.uint16(places[i]) * np.uint16(_LABEL_ROWS) + np.uint16(labels[i])
        keys[i] += (row * np.uint16(kept) + np.uint16(k)) * np.uint16(grid.cells)


@jit
def _tally_ranks(indices, kept, ranks):
    """One pass for all ranks: increments of one need not wait for those of another."""
    first, second, third = indices[0], indices[1], indices[2]
    one = np.uint32(1)
    if kept == RANKS:
        for i in range(first.size):
            ranks[first[i]] += one
            ranks[second[i]] += one
            ranks[third[i]] += one
    else:
        for k in range(kept):
            for i in range(first.size):
                ranks[indices[k, i]] += one


@jit
def _count_winners(keys, winner, rows, places, background, grid, out):
    """Largest score and its p by foreground and by correctness, and the argmax confusion."""
    n, classes = keys.size, out.confusion.shape[2]
    indices, pairs, p = np.empty(n, np.uint16), np.empty(n, np.uint16), np.empty(n, np.uint32)
    for i in range(n):
        indices[i] = grid.cell[keys[i]]
        p[i] = grid.p[keys[i]]
    for i in range(n):
        winner[i] = winner[i] if places[i] != _OUTSIDE else np.uint8(0)  # nobody was chosen where all keys are 0
        right = np.uint16(rows[i] == winner[i])
        front = np.uint16((rows[i] != background) | (winner[i] != background))
        row = (np.uint16(places[i]) * np.uint16(2) + front) * np.uint16(2) + right
        indices[i] += row * np.uint16(grid.cells)
        pair = np.uint16(places[i]) * np.uint16(classes + 2) + np.uint16(rows[i])
        pairs[i] = pair * np.uint16(classes) + np.uint16(winner[i])
    top, top_p, confusion = out.top.reshape(-1), out.top_p.reshape(-1), out.confusion.reshape(-1)
    for i in range(n):
        top[indices[i]] += np.uint32(1)
        top_p[indices[i]] += np.int64(p[i])
        confusion[pairs[i]] += np.uint32(1)
