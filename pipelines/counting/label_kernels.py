"""The loops over label sets of an image: to surfaces, to what lies near them, to counts, compiled by numba.

A label set is a uint64 with bit c for class c, so that one pass over the pixels serves all classes at once.
masks, known, surface, band, near: (H, W) uint64; known has the bits of all classes at a valid pixel, none elsewhere.
"""

import numba
import numpy as np

MOST_CLASSES = 64  # bits of a label set
_jit = numba.njit(nogil=True, cache=True)


@_jit
def pack(classes, known):
    """(C, H, W) bool to label sets, empty at pixels that are not known."""
    masks = np.zeros(known.shape, np.uint64)
    for y in range(known.shape[0]):
        row = masks[y]
        for c in range(classes.shape[0]):
            shift = np.uint64(c)
            for x in range(row.size):
                row[x] |= np.uint64(classes[c, y, x]) << shift
        for x in range(row.size):
            row[x] &= known[y, x]
    return masks


@_jit
def surfaces(masks, known):
    """Classes of each pixel that a known 4-neighbour does not have."""
    height, width = masks.shape
    out = np.zeros(masks.shape, np.uint64)
    for y in range(height):
        here, edge = masks[y], out[y]
        for x in range(1, width):
            edge[x] |= here[x] & ~here[x - 1] & known[y, x - 1]
        for x in range(width - 1):
            edge[x] |= here[x] & ~here[x + 1] & known[y, x + 1]
        if y > 0:
            for x in range(width):
                edge[x] |= here[x] & ~masks[y - 1, x] & known[y - 1, x]
        if y < height - 1:
            for x in range(width):
                edge[x] |= here[x] & ~masks[y + 1, x] & known[y + 1, x]
    return out


@_jit
def dilate(surface, half_widths):
    """Classes with a surface pixel in the disk around each pixel; half_widths: its reach in x by its distance in y.

    A row is widened step by step from the narrowest row of the disk to the widest, and put into all rows at that
    distance: the time does not depend on how many surface pixels there are, and noisy masks have many.
    """
    height, width = surface.shape
    out = np.zeros(surface.shape, np.uint64)
    pad = half_widths[0]
    wide = np.zeros(width + 2 * pad, np.uint64)
    for y in range(height):
        row = surface[y]
        first, end = _extent(row)
        if first == end:
            continue
        low, high = max(first - pad, 0), min(end + pad, width)
        wide[low : high + 2 * pad] = 0
        reach = -1
        for dy in range(half_widths.size - 1, -1, -1):
            while reach < half_widths[dy]:
                reach += 1
                _merge(wide[first + pad - reach : end + pad - reach], row[first:end])
                _merge(wide[first + pad + reach : end + pad + reach], row[first:end])
            if y >= dy:
                _merge(out[y - dy, low:high], wide[low + pad : high + pad])
            if dy > 0 and y + dy < height:
                _merge(out[y + dy, low:high], wide[low + pad : high + pad])
    return out


@_jit
def _merge(into, bits):
    for x in range(bits.size):
        into[x] |= bits[x]


@_jit
def _extent(row):
    """Index of the first entry that is not 0, and one past the last; equal when there is none."""
    first, end = 0, row.size
    while first < end and row[first] == 0:
        first += 1
    while end > first and row[end - 1] == 0:
        end -= 1
    return first, end


@_jit
def count_common(first, second, counts):
    """Pixels by class, into (C, 3): in both, in the first, in the second; runs of equal pixels are counted at once."""
    a = b = np.uint64(0)
    run = 0
    for y in range(first.shape[0]):
        for x in range(first.shape[1]):
            if first[y, x] != a or second[y, x] != b:
                _add_common(a, b, run, counts)
                a, b, run = first[y, x], second[y, x], 0
            run += 1
    _add_common(a, b, run, counts)


@_jit
def _add_common(a, b, pixels, counts):
    if a | b == 0:
        return
    one = np.uint64(1)
    for c in range(counts.shape[0]):  # no branch here: in noisy masks none could be foreseen
        shift = np.uint64(c)
        in_first, in_second = np.int64((a >> shift) & one), np.int64((b >> shift) & one)
        counts[c, 0] += pixels * (in_first & in_second)
        counts[c, 1] += pixels * in_first
        counts[c, 2] += pixels * in_second


@_jit
def count_agreement(first, second, truth, region, by_class, by_pixel):
    """Decisions of two heads by class and by whole label set; runs of equal pixels are counted at once."""
    a, b, t, r = np.uint64(0), np.uint64(0), np.uint64(0), np.uint8(255)
    run = 0
    for y in range(first.shape[0]):
        for x in range(first.shape[1]):
            if first[y, x] != a or second[y, x] != b or truth[y, x] != t or region[y, x] != r:
                _add_decisions(a, b, t, r, run, by_class, by_pixel)
                a, b, t, r = first[y, x], second[y, x], truth[y, x], region[y, x]
                run = 0
            run += 1
    _add_decisions(a, b, t, r, run, by_class, by_pixel)


@_jit
def _add_decisions(a, b, t, r, pixels, by_class, by_pixel):
    if r >= by_pixel.shape[0]:  # ignored
        return
    if a == b:
        by_pixel[r, 0 if a == t else 1] += pixels
    elif a == t:
        by_pixel[r, 2] += pixels
    elif b == t:
        by_pixel[r, 3] += pixels
    else:
        by_pixel[r, 4] += pixels
    one = np.uint64(1)
    for c in range(by_class.shape[0]):
        shift = np.uint64(c)
        by_class[c, r, (t >> shift) & one, (a >> shift) & one, (b >> shift) & one] += pixels
