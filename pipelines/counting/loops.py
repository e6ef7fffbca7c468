"""The loops over values: bit patterns of float16 log-odds to histograms, compiled by numba, which infers their types.

bits: (C, N) uint16 patterns; masks: (N,) uint64 label sets, bit c for class c; region: (N,) uint8; places, rows and
labels: of describe_pixels. Ignored pixels are not skipped but counted in rows that nobody reads: skipping them would
cost more. Hot tables are uint32, which keeps twice as much of them in the cache; an image has fewer than 2**32 pixels.
Indices are unsigned, which spares the wrap-around of negative ones.
"""

import numpy as np

from pipelines.counting.instructions import highest_bit, jit, lowest_bit, number_of_bits
from pipelines.counting.regions import BOUNDARY, IGNORED

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
def count_patterns(c, bits, masks, places, rows, exclusive, patterns):
    """Histogram of one class's bit patterns, (PATTERN_ROWS * PATTERNS,) uint32; bits: (N,)."""
    shift, one = np.uint64(c), np.uint64(1)
    indices = np.empty(_PIECE, np.uint32)
    for start in range(0, bits.size, _PIECE):
        n = min(_PIECE, bits.size - start)
        some, place = bits[start : start + n], places[start : start + n]
        if exclusive:  # a byte to read where the label set has eight
            row = rows[start : start + n]
            for i in range(n):
                indices[i] = np.uint32(row[i] == c) << np.uint32(16)
        else:
            mask = masks[start : start + n]
            for i in range(n):
                indices[i] = np.uint32((mask[i] >> shift) & one) << np.uint32(16)
        for i in range(n):
            indices[i] |= (np.uint32(place[i]) << np.uint32(17)) | np.uint32(some[i])
        for i in range(n):  # with indices made before, one step a value
            patterns[indices[i]] += np.uint32(1)


@jit
def reduce_patterns(patterns, segments, sum_tables, score, score_p, squared_error, nll):
    """Counts of one class's bit patterns to cells and exact sums; clears the patterns for the next class.

    segments: tables.SEGMENTS, in which log-odds are first + k step, so that two sums of integers give theirs exactly.
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
            some = np.uint32(0)
            for b in range(start, stop):
                some |= counts[b]
            if some == 0:
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
