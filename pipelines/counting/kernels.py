"""The loops over float16 log-odds and the truth of an image, to integer counts; compiled by numba, which infers types.

bits: (C, N) uint16 patterns of log-odds; masks: (N,) uint64 label sets, bit c for class c; region: (N,) uint8; places,
rows and labels: of describe_pixels. Ignored pixels are not skipped but counted in rows that nobody reads: skipping them
would cost more. Hot tables are uint32, which keeps twice as much of them in the cache; an image has fewer than 2**32
pixels. Indices are unsigned, which spares the wrap-around of negative ones. A word is a uint64 with one bit for each of
64 pixels or labels.

numba's cache of compiled code looks at the file of a function, not at what that function takes from other files, and
must never be out of date: so this module holds all that its functions call, and is told what it needs of the grid.
"""

import math
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

INTERIOR, BOUNDARY, IGNORED = 0, 1, 255  # region of a pixel
_OUTSIDE = 2  # place of an ignored pixel
WORD: Final = 64
# Without the interpreter's lock, so that threads count images side by side; with numpy's division, since one that may
# raise is never vectorised.
jit: Final[Any] = numba.njit(nogil=True, cache=True, error_model="numpy")


@intrinsic
def lowest_bit(typing_context, word):
    """Index of the lowest set bit of a uint64, 64 where there is none."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def highest_bit(typing_context, word):
    """Index of the highest set bit of a uint64 as int64, -1 where there is none."""

    def generate(context, builder, signature, arguments):
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(ir.IntType(64), 63), zeros)

    return types.int64(types.uint64), generate


@intrinsic
def number_of_bits(typing_context, word):
    """Number of set bits of a uint64."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


# Values: bit patterns to histograms -----------------------------------------------------------------------------------

MOST_LABELS = 3  # true number of labels: 0, 1, 2, 3 or more
PATTERNS = 65536
PATTERN_ROWS = 6  # (interior, boundary, ignored) x (absent, present)
_NOT_A_NUMBER = 0x7C01  # first pattern that is no number; so are all up to the next sign
_PIECE = 2048  # pixels whose indices are computed together


@jit
def describe_pixels(masks, region, classes, places, rows, labels):
    """Where the counts of each pixel go; returns valid pixels by region, (2,), and what is wrong with them, (3,).

    places: (N,) uint8, interior 0, boundary 1, ignored 2. rows: (N,) uint8, its smallest class; `classes` for none,
    `classes` + 1 where it is ignored. labels: (N,) uint8, its number of labels, at most MOST_LABELS; 0 where ignored.
    Wrong: pixels that lack exactly one label, that have a label beyond the classes, and of no known region.
    """
    valid, boundary = np.int64(0), np.int64(0)
    not_one, beyond, unknown = np.int64(0), np.int64(0), np.int64(0)
    for i in range(masks.size):  # without a branch, so that several pixels are done at once
        here = region[i] != IGNORED
        n = number_of_bits(masks[i])
        row = lowest_bit(masks[i]) if n else np.uint64(classes)
        places[i] = region[i] if here else 2
        rows[i] = row if here else classes + 1
        labels[i] = min(n, np.uint64(MOST_LABELS)) if here else 0
        valid += here
        boundary += here & (region[i] == BOUNDARY)
        not_one += here & (n != 1)
        beyond += here & (highest_bit(masks[i]) >= classes)
        unknown += here & (region[i] > BOUNDARY)
    return np.array([valid - boundary, boundary]), np.array([not_one, beyond, unknown])


@jit
def count_soft(c, bits, shares, masks, places, half, tables, log_odds, soft, squared_error, nll):
    """Add one class's soft truth to ImageCounts' soft, soft_squared_error and soft_nll of that class.

    bits: (N,); shares: (N,) int32, s in units of 2**-24; half: first cell with p > 0.5; tables: cell, p in units of
    2**-30 and log(1 + exp(-|l|)) in units of 2**-24 by pattern; log_odds: (65536,) float64 by pattern.
    """
    cell_of, p_of, softplus_of = tables
    shift, one, whole = np.uint64(c), np.uint64(1), np.int64(1 << 24)
    for i in range(bits.size):
        place = places[i]
        if place == _OUTSIDE:
            continue
        there, pattern, share = (masks[i] >> shift) & one, bits[i], np.int64(shares[i])
        cell = cell_of[pattern]
        above = np.int64(cell >= half)
        soft[place, there, cell] += share
        gap = np.int64(p_of[pattern]) - (share << 6)
        squared_error[place, there, above] += (gap * gap + (1 << 29)) >> 30
        # -log p is softplus(-|l|), and |l| more where l speaks against the class; 1 - p likewise.
        against = whole - share if log_odds[pattern] > 0 else share
        nll[place, there, above] += np.int64(softplus_of[pattern]) + np.int64(
            math.floor(abs(log_odds[pattern]) * against + 0.5)
        )


@jit
def count_patterns(c, bits, masks, places, rows, exclusive, patterns):
    """Histogram of one class's bit patterns, (PATTERN_ROWS * PATTERNS,) uint32; bits: (N,)."""
    shift, one = np.uint64(c), np.uint64(1)
    indices = np.empty(_PIECE, np.uint32)
    for start in range(0, bits.size, _PIECE):
        n = min(_PIECE, bits.size - start)
        values, place = bits[start : start + n], places[start : start + n]
        if exclusive:  # a byte to read where the label set has eight
            row = rows[start : start + n]
            for i in range(n):
                indices[i] = np.uint32(row[i] == c) << np.uint32(16)
        else:
            mask = masks[start : start + n]
            for i in range(n):
                indices[i] = np.uint32((mask[i] >> shift) & one) << np.uint32(16)
        for i in range(n):
            indices[i] |= (np.uint32(place[i]) << np.uint32(17)) | np.uint32(values[i])
        for i in range(n):  # with indices made before, one step a value
            patterns[indices[i]] += np.uint32(1)


@jit
def reduce_patterns(patterns, segments, sum_tables, score, score_p, squared_error, nll):
    """Counts of one class's bit patterns to cells and exact sums; clears the patterns for the next class.

    segments: grid.SEGMENTS, in which log-odds are first + k step, so that two sums of integers give theirs exactly.
    sum_tables: by pattern, p, squared error and softplus, uint32, so that a product with a count is one step.
    Returns the sum of the log-odds over the pixels where the class is there, (2,) by region (NLL_UNIT), and how many
    values of valid pixels are not numbers.
    """
    p_table, squared_error_table, softplus_table = sum_tables
    true_log_odds = np.zeros(2, np.int64)
    bad = 0
    for code in range(4):
        r, y = code // 2, code % 2
        counts, errors_table = patterns[code * PATTERNS : (code + 1) * PATTERNS], squared_error_table[y]
        for sign in (0, 0x8000):
            bad += counts[sign + _NOT_A_NUMBER : sign + 0x8000].sum()
        for s in range(segments.shape[0]):
            low, high, cell, called, first, step = segments[s]
            start, stop = np.uint64(low), np.uint64(high)
            occurring = np.uint32(0)
            for b in range(start, stop):
                occurring |= counts[b]
            if occurring == 0:
                continue
            pixels, steps = np.uint64(0), np.uint64(0)
            p, errors, softplus = np.uint64(0), np.uint64(0), np.uint64(0)
            for b in range(start, stop):
                n = np.uint64(counts[b])
                pixels += n
                steps += n * np.uint64(np.uint32(b - start))
                p += n * np.uint64(p_table[b])
                errors += n * np.uint64(errors_table[b])
                softplus += n * np.uint64(softplus_table[b])
            for b in range(start, stop):
                counts[b] = 0
            log_odds = first * np.int64(pixels) + step * np.int64(steps)
            against = log_odds if (low < 0x8000) != y else 0  # where the sign of l speaks for the other side
            score[r, y, cell] += pixels
            score_p[r, y, cell] += p
            squared_error[r, y, called] += errors
            nll[r, y, called] += np.int64(softplus) + abs(against)
            true_log_odds[r] += y * log_odds
    return true_log_odds, bad


# Pixels: all log-odds of a pixel together -----------------------------------------------------------------------------
#
# A block of pixels stays in the cache from one loop to the next.

RANKS = 3  # largest, second and third score of a pixel
BLOCK = 8192  # pixels, a multiple of WORD
TURNS = 4  # counters of the same cell that take turns: an increment need not wait for the one before
# Rows of a block do not begin a multiple of 4096 bytes apart: they would share the few places of one cache set.
_PADDING = 192
_LABEL_ROWS = 4  # true number of labels: 0, 1, 2, 3 or more


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
        end = start + n
        mask, place, row, label = masks[start:end], places[start:end], rows[start:end], labels[start:end]
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
        block = values[w * WORD : (w + 1) * WORD]
        word = np.uint64(0)
        for k in range(WORD):
            word |= np.uint64(block[k] >= threshold) << np.uint64(k)
        words[w] = word


@jit
def _mark_present(masks, present):
    """Pixels that have each class in their truth, (C, W) uint64."""
    for c in range(present.shape[0]):
        for w in range(present.shape[1]):
            block = masks[w * WORD : (w + 1) * WORD]
            word = np.uint64(0)
            for k in range(block.size):
                word |= ((block[k] >> np.uint64(c)) & np.uint64(1)) << np.uint64(k)
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
            first, second = cells[a], cells[e]
            filled = 0
            for w in range(words.size):
                words[filled] = active[a, w] & active[e, w]
                places[filled] = w
                filled += words[filled] != 0
            for j in range(filled):
                w = places[j]
                for k in range(np.uint64(WORD)):
                    smaller[k] = min(first[w * np.uint64(WORD) + k], second[w * np.uint64(WORD) + k])
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
            first, second = p[a], p[e]
            product, lowest, highest = np.int64(0), np.int64(0), np.int64(0)
            for i in range(n):
                product += (first[i] * second[i] + half) >> grid.p_bits
                lowest += max(first[i] + second[i] - certain, 0)
                highest += min(first[i], second[i])
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


# Probability of no label and of one -----------------------------------------------------------------------------------

_BLOCK = 4096  # pixels whose sums or called sets stay in the cache from one loop to the next
_LOWEST, _HIGHEST = 1e-30, 1e30  # sums of odds between which clipped odds are exact enough
_ROOT_2, _LOG_2 = math.sqrt(2.0), math.log(2.0)


@jit
def sum_independent(bits, places, odds_table, log_odds_table, certain, nat, sums):
    """Add sums by region, (2, 3) int64: P of no label, P of one, log of the sum of odds.

    For independent labels with odds o = p / (1 - p), P of no label is the product of 1 / (1 + o), and P of one label
    is the sum of o times it. Tables by pattern: odds, clipped, float32; log-odds float64. certain: probability 1, nat:
    one nat, in the units of the sums.
    """
    for start in range(0, places.size, _BLOCK):
        n = min(_BLOCK, places.size - start)
        product, odds, logs = np.ones(n), np.zeros(n), np.empty(n)
        first, second = np.empty(n, np.float32), np.empty(n, np.float32)
        for c in range(0, bits.shape[0] - 1, 2):  # two at a time: sums are read and written half as often
            _look_up(bits[c][start : start + n], odds_table, first)
            _look_up(bits[c + 1][start : start + n], odds_table, second)
            for i in range(n):
                x, y = np.float64(first[i]), np.float64(second[i])
                product[i] = product[i] * (1.0 + x) * (1.0 + y)
                odds[i] = odds[i] + x + y
        if bits.shape[0] % 2:
            _look_up(bits[bits.shape[0] - 1][start : start + n], odds_table, first)
            for i in range(n):
                product[i] *= 1.0 + np.float64(first[i])
                odds[i] += np.float64(first[i])
        _log(odds, logs)
        for i in range(n):
            if not _LOWEST < odds[i] < _HIGHEST:
                logs[i] = _log_sum(bits, start + i, log_odds_table)
        _add_block(product, odds, logs, places[start : start + n], certain, nat, sums)


@jit
def _look_up(patterns, table, out):
    for i in range(patterns.size):
        out[i] = table[patterns[i]]


@jit
def _add_block(product, odds, logs, places, certain, nat, sums):
    zeros, ones, nats = np.int64(0), np.int64(0), np.int64(0)  # of all valid pixels, and of those in the boundary band
    band_zeros, band_ones, band_nats = np.int64(0), np.int64(0), np.int64(0)
    for i in range(places.size):
        share = certain / product[i]
        zero = np.int64(share + 0.5)
        one = min(np.int64(odds[i] * share + 0.5), certain - zero)
        log = np.int64(np.floor(logs[i] * nat + 0.5))
        valid, band = places[i] != _OUTSIDE, places[i] == 1
        zeros += zero if valid else 0
        ones += one if valid else 0
        nats += log if valid else 0
        band_zeros += zero if band else 0
        band_ones += one if band else 0
        band_nats += log if band else 0
    sums[0, 0] += zeros - band_zeros
    sums[0, 1] += ones - band_ones
    sums[0, 2] += nats - band_nats
    sums[1, 0] += band_zeros
    sums[1, 1] += band_ones
    sums[1, 2] += band_nats


@jit
def _log(values, out):
    """Natural logarithms of positive normal float64, to 2e-11.

    x = 2**e m with m in [sqrt(1/2), sqrt(2)), and log m = 2 artanh(s) with s = (m - 1) / (m + 1), from its series.
    Unlike the library's function, this one can be computed for several values at once.
    """
    words = values.view(np.int64)
    fractions = np.empty(values.size, np.int64)
    for i in range(values.size):
        out[i] = np.float64((words[i] >> 52) - 1023)
        fractions[i] = (words[i] & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000
    mantissas = fractions.view(np.float64)
    for i in range(values.size):
        large = mantissas[i] >= _ROOT_2
        m = 0.5 * mantissas[i] if large else mantissas[i]
        exponent = out[i] + 1.0 if large else out[i]
        s = (m - 1.0) / (m + 1.0)
        t = s * s
        series = 1.0 + t * (1 / 3 + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t / 11))))
        out[i] = exponent * _LOG_2 + 2.0 * s * series


@jit
def _log_sum(bits, i, log_odds_table):
    """log of the sum of exp(l) at one pixel, without overflow."""
    largest = log_odds_table[bits[0, i]]
    for c in range(1, bits.shape[0]):
        largest = max(largest, log_odds_table[bits[c, i]])
    total = 0.0
    for c in range(bits.shape[0]):
        total += math.exp(log_odds_table[bits[c, i]] - largest)
    return largest + math.log(total)


@jit
def sum_channels(bits, labels, places, p_table, certain, sums):
    """Add the sums by place, (2, 2) int64: P of no label and of one; returns how many valid pixels have a NaN.

    bits: (E, N) of softmax channels that each stand for labels[e] labels, one channel being true at a pixel. They are
    normalised by their sum, which float16 makes differ from 1 a little; a single channel's rest is one label.
    """
    bad = 0
    by_number = np.empty(3)
    for i in range(places.size):
        if places[i] == _OUTSIDE:
            continue
        by_number[:] = 0.0
        for e in range(bits.shape[0]):
            by_number[min(labels[e], 2)] += p_table[bits[e, i]]
        if bits.shape[0] == 1:
            by_number[1 if labels[0] == 0 else 0] += 1.0 - by_number.sum()
        total = by_number.sum()
        if not total > 0.0:
            bad += 1
            continue
        zero = np.int64(by_number[0] / total * certain + 0.5)
        sums[places[i], 0] += zero
        sums[places[i], 1] += min(np.int64(by_number[1] / total * certain + 0.5), certain - zero)
    return bad


# Pairs of a true and a called label set -------------------------------------------------------------------------------


@jit
def count_direct(bits, masks, rows, places, exclusive, counters):
    """Add pixels to (2, codes * 2**C + 1) uint32 counters, two that take turns, the last ones for ignored pixels.

    A pair's counter is the code of the true set times 2**C, plus the called set; the code is the class where the truth
    is exclusive, else the set itself.
    """
    classes = bits.shape[0]
    ignored = np.uint32(counters.shape[1] - 1)
    for start in range(0, masks.size, _BLOCK):
        n = min(_BLOCK, masks.size - start)
        called, indices = np.zeros(n, np.uint16), np.empty(n, np.uint32)
        for c in range(classes):
            _add_called(np.uint16(1 << c), bits[c][start : start + n], called)
        mask, row, place = masks[start : start + n], rows[start : start + n], places[start : start + n]
        for i in range(n):
            code = np.uint32(row[i]) if exclusive else np.uint32(mask[i])
            index = (code << np.uint32(classes)) | np.uint32(called[i])
            indices[i] = ignored if place[i] == _OUTSIDE else index
        for i in range(1, n, 2):  # neighbours mostly share their sets: an increment need not wait for the one before
            counters[0, indices[i - 1]] += np.uint32(1)
            counters[1, indices[i]] += np.uint32(1)
        if n % 2:
            counters[0, indices[n - 1]] += np.uint32(1)


@jit
def _add_called(label, bits, called):
    """Put a label into the set of each pixel where it has p > 0.5: log-odds above 0, the first pattern."""
    none = label ^ label
    for i in range(called.size):
        called[i] |= label if np.uint16(bits[i] - 1) < 0x7FFF else none


@jit
def count_hashed(bits, masks, places):
    """Hash table of the pairs of sets: keys (S, 2) uint64, and pixels (S,) int64, 0 where a slot is free.

    S is a power of two. Neighbours mostly share their sets, so that a look-up is needed only where they change.
    """
    keys, pixels, used = np.zeros((256, 2), np.uint64), np.zeros(256, np.int64), np.int64(0)
    run = np.int64(0)
    true, call = np.uint64(0), np.uint64(0)
    for start in range(0, masks.size, _BLOCK):
        n = min(_BLOCK, masks.size - start)
        called = np.zeros(n, np.uint64)
        for c in range(bits.shape[0]):
            _add_called(np.uint64(1) << np.uint64(c), bits[c][start : start + n], called)
        for i in range(n):
            if places[start + i] == _OUTSIDE:
                continue
            if run and (masks[start + i] != true or called[i] != call):
                keys, pixels, used = _add(true, call, run, keys, pixels, used)
                run = np.int64(0)
            true, call = masks[start + i], called[i]
            run += 1
    if run:
        keys, pixels, used = _add(true, call, run, keys, pixels, used)
    return keys, pixels


@jit
def _add(true, call, run, keys, pixels, used):
    slot = _slot(true, call, keys, pixels)
    if pixels[slot] == 0:
        keys[slot, 0], keys[slot, 1] = true, call
        used += 1
    pixels[slot] += run
    if 2 * used <= pixels.size:
        return keys, pixels, used
    wider, counts = np.zeros((2 * pixels.size, 2), np.uint64), np.zeros(2 * pixels.size, np.int64)
    for old in range(pixels.size):
        if pixels[old]:
            slot = _slot(keys[old, 0], keys[old, 1], wider, counts)
            wider[slot, 0], wider[slot, 1], counts[slot] = keys[old, 0], keys[old, 1], pixels[old]
    return wider, counts, used


@jit
def _slot(true, call, keys, pixels):
    """Where a pair stands, or the free slot for it; multipliers are those of splitmix64 (Steele et al. 2014)."""
    mixed = true * np.uint64(0xBF58476D1CE4E5B9) ^ (call + np.uint64(1)) * np.uint64(0x94D049BB133111EB)
    slot = (mixed ^ (mixed >> np.uint64(31))) & np.uint64(pixels.size - 1)
    while pixels[slot] and (keys[slot, 0] != true or keys[slot, 1] != call):
        slot = (slot + np.uint64(1)) & np.uint64(pixels.size - 1)
    return slot
