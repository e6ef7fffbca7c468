"""Small steps that the loops are built from, compiled by numba, which infers their types.

A word holds one bit for each of 64 pixels. Indices are unsigned, which spares the wrap-around of negative ones.
"""

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

WORD = 64
jit = numba.njit(nogil=True, cache=True, error_model="numpy")  # a division that may raise is never vectorised


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


@jit
def tally(indices, table):
    """Count each index in a flat table of uint32. Indices that were computed before keep this to one step a value."""
    for i in range(indices.size):
        table[indices[i]] += np.uint32(1)


@jit
def mark_from(values, threshold, words):
    """Pixels with a value of at least threshold; values: (64 W or more,), words: (W,) uint64."""
    for w in range(words.size):
        some = values[w * WORD : (w + 1) * WORD]
        word = np.uint64(0)
        for k in range(WORD):
            word |= np.uint64(some[k] >= threshold) << np.uint64(k)
        words[w] = word
