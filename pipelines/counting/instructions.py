"""How loops are compiled, and the single instructions on words that numba has no name for.

A word is a uint64 with one bit for each of 64 pixels or labels.

numba's cache of compiled code looks at the file of a function, not at what that function takes from other files, and
must never be out of date: so a module of loops holds all that its functions call, but for these instructions, and is
told what it needs of the grid.
"""

from typing import Any, Final

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

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
