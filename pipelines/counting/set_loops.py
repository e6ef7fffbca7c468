"""The loops over label sets: pairs of a true and a called set to pixels, compiled by numba, which infers their types.

Arrays and conventions as in loops.
"""

import numpy as np

from pipelines.counting.instructions import jit

_BLOCK = 4096  # pixels whose called sets stay in the cache
_OUTSIDE = 2  # place of an ignored pixel


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
