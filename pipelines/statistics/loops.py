"""The hot loops: bit patterns of float16 log-odds to histograms, compiled by numba, which infers their types.

bits: (C, N) uint16 patterns; masks: (N,) uint64 label sets; region: (N,) uint8; the rest as in grid and kernel.
"""

import numba
import numpy as np

from pipelines.statistics import grid

MOST_LABELS = 3  # true number of labels: 0, 1, 2, 3 or more
RANKS = 3  # largest, second and third score of a pixel
_FIRST_STEP_END = int(np.searchsorted(grid.STEP_OF_CELL, 1))  # first cell with p > 1/300
_TO_P = 1.0 / grid.P_UNIT
_TO_NLL = 1.0 / grid.NLL_UNIT
_HALF = grid.HALF_CELL
_jit = numba.njit(nogil=True, cache=True)


@_jit
def count_class(
    c,
    bits,
    masks,
    region,
    patterns,
    joint,
    cell_table,
):
    """Histogram of bit patterns by (region, truth) for one class, and of its cells by true class."""
    none = joint.shape[1]
    shift = np.uint64(c)
    one = np.uint64(1)
    for i in range(bits.size):
        b = bits[i]
        mask = masks[i]
        patterns[2 * region[i] + ((mask >> shift) & one), b] += np.uint32(1)
        cell = cell_table[b]
        if mask == 0:
            joint[none, c, cell] += 1
        elif mask & (mask - one) == 0:
            joint[_lowest_bit(mask), c, cell] += 1
        else:
            for t in range(none):
                if (mask >> np.uint64(t)) & one:
                    joint[t, c, cell] += 1


@_jit
def _lowest_bit(mask):
    """Index of the lowest set bit; mask must not be 0."""
    t = 0
    while (mask >> np.uint64(t)) & np.uint64(1) == 0:
        t += 1
    return t


@_jit
def reduce_patterns(
    patterns,
    cell_table,
    p_table,
    squared_error_table,
    nll_table,
    score,
    score_p,
    squared_error,
    nll,
):
    """Counts of bit patterns to cells and exact sums; clears the patterns for the next class."""
    for code in range(4):
        r, y = code // 2, code % 2
        row = patterns[code]
        for b in range(65536):
            n = np.int64(row[b])
            if n == 0:
                continue
            row[b] = 0
            cell = cell_table[b]
            called = 1 if cell >= _HALF else 0
            score[r, y, cell] += n
            score_p[r, y, cell] += n * p_table[b]
            squared_error[r, y, called] += n * squared_error_table[y, b]
            nll[r, y, called] += n * nll_table[y, b]


@_jit
def _order(b):
    """Integer in the order of the float16 values; -0 and 0 are equal."""
    if b & 0x8000:
        return np.int64(0x8000) - np.int64(b)
    return np.int64(b)


@_jit
def count_pixels(bits, masks, region, cell_table, ranks, pairs):
    """Largest scores of each pixel by its true number of labels, and the smaller score of each pair of classes."""
    classes, pixels = bits.shape
    kept = ranks.shape[2]
    active = np.zeros(classes, np.int64)
    cells = np.zeros(classes, np.int64)
    for i in range(pixels):
        first = second = third = np.int64(-1)  # cells of the three largest scores: cells keep the order
        n_active = 0
        for c in range(classes):
            cell = np.int64(cell_table[bits[c, i]])
            if cell >= _FIRST_STEP_END:
                active[n_active] = c
                cells[n_active] = cell
                n_active += 1
            if cell > third:
                if cell > second:
                    third = second
                    if cell > first:
                        second = first
                        first = cell
                    else:
                        second = cell
                else:
                    third = cell
        labels = 0
        mask = masks[i]
        while mask and labels < MOST_LABELS:
            mask &= mask - np.uint64(1)
            labels += 1
        r = region[i]
        ranks[r, labels, 0, first] += 1
        if kept > 1:
            ranks[r, labels, 1, second] += 1
        if kept > 2:
            ranks[r, labels, 2, third] += 1
        for a in range(n_active):
            for e in range(a + 1, n_active):
                one, two = active[a], active[e]
                pair = one * (2 * classes - one - 1) // 2 + two - one - 1
                both = (masks[i] >> np.uint64(one)) & (masks[i] >> np.uint64(two)) & np.uint64(1)
                pairs[pair, np.int64(both), min(cells[a], cells[e])] += 1


@_jit
def count_categories(
    bits, masks, region, softmax, background,
    cell_table, p_table, nll_table, exp_table, softplus_table,
    top, top_p, confusion, categorical,
):  # fmt: skip
    """Argmax confusion, largest score by correctness, and the categorical likelihood, for exclusive truth."""
    classes, pixels = bits.shape
    for i in range(pixels):
        truth = _lowest_bit(masks[i])
        winner = 0
        best = _order(bits[0, i])
        for c in range(1, classes):
            key = _order(bits[c, i])
            if key > best:  # strictly: the first of equal scores wins
                best = key
                winner = c
        r = region[i]
        front = 0 if (truth == background and winner == background) else 1
        b = bits[winner, i]
        top[r, front, np.int64(winner == truth), cell_table[b]] += 1
        top_p[r, front, np.int64(winner == truth), cell_table[b]] += p_table[b]
        confusion[r, truth, winner] += 1
        if softmax:
            categorical[r, 0] += nll_table[1, bits[truth, i]]
            continue
        exp_sum = 0.0
        softplus_sum = 0.0
        for c in range(classes):
            exp_sum += exp_table[bits[c, i]]
            softplus_sum += softplus_table[bits[c, i]]
        log_sum = np.log(exp_sum)
        log_truth = np.log(exp_table[bits[truth, i]])
        categorical[r, 0] += np.int64(np.rint((log_sum - log_truth) * _TO_NLL))
        categorical[r, 1] += np.int64(np.rint((1.0 - np.exp(log_sum - softplus_sum)) * _TO_P))
