"""The loops over label sets: pairs of a true and a called set to pixels, compiled by numba.

Few classes have few pairs of sets, and each has its own counter. Many have more than a table could hold; those that
occur then stand in a hash table. masks: (N,) uint64 true sets, bit c for class c; places: (N,) uint8, 2 where ignored.
"""

import numpy as np

from pipelines.statistics import grid
from pipelines.statistics.primitives import jit, tally

MOST_COUNTERS = 65_536
_HALF = grid.HALF_CELL


@jit
def add_called(c, cells, called):
    """Put class c into the set of each pixel with p > 0.5; cells: (N,) or more; called: (N,) uint16 or uint64."""
    label = called.dtype.type(1) << called.dtype.type(c)
    none = called.dtype.type(0)
    for i in range(called.size):
        called[i] |= label if cells[i] >= _HALF else none


@jit
def count_direct(masks, rows, places, called, classes, exclusive, counters):
    """Add pixels to (codes * 2**classes + 1,) uint32 counters, the last one for ignored pixels.

    The code of a true set is its class where the truth is exclusive, else the set itself.
    """
    n = masks.size
    ignored = np.uint32(counters.size - 1)
    indices = np.empty(n, np.uint32)
    for i in range(n):
        code = np.uint32(rows[i]) if exclusive else np.uint32(masks[i])
        index = (code << np.uint32(classes)) | np.uint32(called[i])
        indices[i] = ignored if places[i] == 2 else index
    tally(indices, counters)


@jit
def count_hashed(masks, places, called, keys, pixels, used):
    """Add pixels to a hash table; returns it, larger if need be, and its slots in use.

    keys: (S, 2) uint64, S a power of two; pixels: (S,) int64, 0 where a slot is free. Neighbours mostly share their
    sets, so that a look-up is needed only where they change.
    """
    run = 0
    true, call = np.uint64(0), np.uint64(0)
    for i in range(masks.size):
        if places[i] == 2:
            continue
        if run and (masks[i] != true or called[i] != call):
            keys, pixels, used = _add(true, call, run, keys, pixels, used)
            run = 0
        true, call = masks[i], called[i]
        run += 1
    if run:
        keys, pixels, used = _add(true, call, run, keys, pixels, used)
    return keys, pixels, used


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
