"""The grid's tables to the compact ones that the loops look up: what fits the cache is what makes them fast."""

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import Float32Array, Int64Array, UInt16Array, UInt32Array
from pipelines.counting import grid
from pipelines.counting.pixel_loops import Grid

_INFINITY: Final = 0x7C00  # last pattern of a sign that is a number

# By bit pattern -------------------------------------------------------------------------------------------------------

# Log-odds in NLL_UNIT, which all float16 are multiples of.
_LOG_ODDS: Final[Int64Array] = grid.fixed(grid.LOG_ODDS, grid.NLL_UNIT)


def _segments() -> Int64Array:
    """(S, 6): runs of patterns that share a cell and whose log-odds are evenly spaced, of at most 256.

    Columns: first pattern, one past the last, cell, whether p > 0.5, and in NLL_UNIT the first's log-odds and the step.
    """
    rows = []
    for sign in (0, 0x8000):
        cells = grid.CELL_TABLE[sign : sign + _INFINITY + 1].astype(np.int64)
        k = np.arange(1, len(cells))
        cuts = np.flatnonzero((np.diff(cells) != 0) | (k % 1024 == 0)) + 1  # the step changes with the exponent
        for start, stop in pairwise([0, *cuts, len(cells)]):
            for low in range(sign + start, sign + stop, 256):
                high = min(low + 256, sign + stop)
                first, last = _LOG_ODDS[low], _LOG_ODDS[high - 1]
                step = (last - first) // max(high - low - 1, 1)
                rows.append((low, high, cells[start], cells[start] >= grid.HALF_CELL, first, step))
    return np.array(rows, np.int64)


SEGMENTS: Final[Int64Array] = _segments()
P: Final[UInt32Array] = grid.P_TABLE.astype(np.uint32)
SQUARED_ERROR: Final[UInt32Array] = grid.SQUARED_ERROR_TABLE.astype(np.uint32)
# log(1 + exp(-|l|)) in NLL_UNIT: -log P(y) is this where the sign of l speaks for y, else this and |l|.
SOFTPLUS: Final[UInt32Array] = grid.fixed(grid.softplus(-np.abs(grid.LOG_ODDS)), grid.NLL_UNIT).astype(np.uint32)

# Odds p / (1 - p), clipped to stay finite; the loops do without them where that would matter.
ODDS: Final[Float32Array] = np.exp(np.clip(grid.LOG_ODDS, -87, 87)).astype(np.float32)

# By key ---------------------------------------------------------------------------------------------------------------

_PATTERNS: Final = np.arange(65536, dtype=np.uint16)
# Keys are uint16 that order as the float16 do and are equal for -0 and 0. No value has key 0.
KEY_OF_PATTERN: Final[UInt16Array] = np.where(_PATTERNS & 0x8000, -_PATTERNS, _PATTERNS + np.uint16(0x8000))


def _by_key(table: NDArray[Any]) -> NDArray[Any]:
    out = np.zeros_like(table)
    out[KEY_OF_PATTERN] = table
    return out


# Values that are not numbers are found before their cells matter; here they only must not point outside the counts.
_CELLS: Final[UInt16Array] = np.where(grid.CELL_TABLE == grid.NOT_A_NUMBER, 0, grid.CELL_TABLE).astype(np.uint16)

GRID: Final = Grid(
    cell=_by_key(_CELLS),
    p=_by_key(P),
    cells=grid.CELLS,
    active=int(np.searchsorted(grid.STEP_OF_CELL, 1)),
    p_bits=round(-np.log2(grid.P_UNIT)),
)
