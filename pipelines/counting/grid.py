"""The fixed grid of scores: each of the 65,536 float16 log-odds falls into one of CELLS cells.

Edges stand at every p = k/300, so that 10, 12, 15, 20, 25, 30, 50, 60, 75, 100, 150 and 300 equal bins and all
thresholds in steps of 1/300 are exact, and every half unit of log-odds from 6 to 16 in both tails.
Cells are right-closed.
"""

from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import Float32Array, Float64Array, Int64Array, UInt16Array, UInt32Array
from pipelines.errors import ShapeError

Number = TypeVar("Number", np.int64, np.float64)
STEPS: Final = 300
P_UNIT: Final = 2.0**-30  # one unit of a stored sum of probabilities or of squared errors
NLL_UNIT: Final = 2.0**-24  # one unit of a stored sum of negative log-likelihoods, in nats
SOFT_UNIT: Final = 2.0**-24  # one unit of a stored sum of soft truth: every float16 in [0, 1] is a multiple
NOT_A_NUMBER: Final = 65535  # cell of a NaN

_TAIL: Final = np.arange(6.0, 16.25, 0.5)


def _edges() -> Float64Array:
    p = np.arange(1, STEPS) / STEPS
    return np.concatenate([-_TAIL[::-1], np.log(p) - np.log1p(-p), _TAIL])


EDGES: Final[Float64Array] = _edges()  # (CELLS - 1,) log-odds, ascending
CELLS: Final = len(EDGES) + 1
HALF_CELL: Final = int(np.searchsorted(EDGES, 0.0)) + 1  # first cell with p > 0.5

# (CELLS,) index of the 1/300 step each cell belongs to; both tails belong to the outermost steps.
STEP_OF_CELL: Final[Int64Array] = np.clip(np.arange(CELLS) - len(_TAIL), 0, STEPS - 1).astype(np.int64)

_VALUES: Final = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float64)


def _cell_table() -> UInt16Array:
    table = np.searchsorted(EDGES, _VALUES, side="left").astype(np.uint16)
    table[np.isnan(_VALUES)] = NOT_A_NUMBER
    return table


def softplus(x: Float64Array) -> Float64Array:
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def fixed(values: Float64Array, unit: float) -> Int64Array:
    """Values in whole units, rounded to the nearest."""
    return np.rint(values / unit).astype(np.int64)


# Tables from the bit pattern of a float16 log-odds, (65536,); infinities count as the largest float16, NaN as 0.
LOG_ODDS: Final[Float64Array] = np.clip(np.nan_to_num(_VALUES, nan=0.0), -65504.0, 65504.0)
PROBABILITY: Final[Float64Array] = np.exp(-softplus(-LOG_ODDS))

# The same as integers: sums of them are exact, whatever the order.
CELL_TABLE: Final[UInt16Array] = _cell_table()
P_TABLE: Final[Int64Array] = fixed(PROBABILITY, P_UNIT)
# (2, 65536), first axis: is the class there. (p - y)^2.
SQUARED_ERROR_TABLE: Final[Int64Array] = fixed(np.stack([PROBABILITY**2, (1 - PROBABILITY) ** 2]), P_UNIT)


def bin_of_cell(bins: int) -> Int64Array:
    """(CELLS,) index of the equal-width bin of p that each cell lies in. Raises ShapeError unless bins divides 300."""
    return STEP_OF_CELL // _steps_a_bin(bins)


def _steps_a_bin(bins: int) -> int:
    if bins < 1 or STEPS % bins:
        raise ShapeError(f"bins must divide {STEPS} (10, 12, 15, 20, 25, 30, 50, 60, 75, 100), got {bins}")
    return STEPS // bins


def bin_edges(bins: int) -> Int64Array:
    """(bins + 1,) first cell of each equal-width bin of p, and CELLS. Raises ShapeError unless bins divides 300."""
    return np.searchsorted(bin_of_cell(bins), np.arange(bins + 1)).astype(np.int64)


def rebin(counts: NDArray[Number], bins: int) -> NDArray[Number]:
    """Sum the last axis, (..., CELLS), into equal-width bins of p, (..., bins). Raises as in_bins does."""
    return in_bins(in_steps(counts), bins)


def in_steps(counts: NDArray[Number]) -> NDArray[Number]:
    """Sum the last axis, (..., CELLS), into steps of p, (..., 300): all cells beyond an outer step are in it."""
    tail = len(_TAIL)
    steps = counts[..., tail : tail + STEPS].copy()
    steps[..., 0] += counts[..., :tail].sum(axis=-1)
    steps[..., -1] += counts[..., tail + STEPS :].sum(axis=-1)
    return steps


def in_bins(steps: NDArray[Number], bins: int) -> NDArray[Number]:
    """Add steps, (..., 300), up to equal-width bins of p, (..., bins). Raises ShapeError unless bins divides 300."""
    found: NDArray[Number] = steps.reshape(*steps.shape[:-1], bins, _steps_a_bin(bins)).sum(axis=-1)
    return found


def first_cell_above(threshold: float) -> int:
    """Index of the first cell whose p all lie above the threshold, a multiple of 1/300 strictly inside (0, 1)."""
    step = round(threshold * STEPS)
    if not 0 < step < STEPS or abs(step / STEPS - threshold) > 1e-9:
        raise ShapeError(f"a threshold must be k/{STEPS} with 0 < k < {STEPS}, got {threshold}")
    return step + len(_TAIL)


# Compact tables for the loops -----------------------------------------------------------------------------------------
#
# The same in the fewest bytes: what fits the cache is what makes the loops fast.

_INFINITY: Final = 0x7C00  # last pattern of a sign that is a number

# By bit pattern -------------------------------------------------------------------------------------------------------

# Log-odds in NLL_UNIT, which all float16 are multiples of.
_LOG_ODDS: Final[Int64Array] = fixed(LOG_ODDS, NLL_UNIT)


def _segments() -> Int64Array:
    """(S, 6): runs of patterns that share a cell and whose log-odds are evenly spaced, of at most 256.

    Columns: first pattern, one past the last, cell, whether p > 0.5, and in NLL_UNIT the first's log-odds and the step.
    """
    rows = []
    for sign in (0, 0x8000):
        cells = CELL_TABLE[sign : sign + _INFINITY + 1].astype(np.int64)
        k = np.arange(1, len(cells))
        cuts = np.flatnonzero((np.diff(cells) != 0) | (k % 1024 == 0)) + 1  # the step changes with the exponent
        for start, stop in pairwise([0, *cuts, len(cells)]):
            for low in range(sign + start, sign + stop, 256):
                high = min(low + 256, sign + stop)
                first, last = _LOG_ODDS[low], _LOG_ODDS[high - 1]
                step = (last - first) // max(high - low - 1, 1)
                rows.append((low, high, cells[start], cells[start] >= HALF_CELL, first, step))
    return np.array(rows, np.int64)


SEGMENTS: Final[Int64Array] = _segments()
P: Final[UInt32Array] = P_TABLE.astype(np.uint32)
SQUARED_ERROR: Final[UInt32Array] = SQUARED_ERROR_TABLE.astype(np.uint32)
# log(1 + exp(-|l|)) in NLL_UNIT: -log P(y) is this where the sign of l speaks for y, else this and |l|.
SOFTPLUS: Final[UInt32Array] = fixed(softplus(-np.abs(LOG_ODDS)), NLL_UNIT).astype(np.uint32)

# Odds p / (1 - p), clipped to stay finite; the loops do without them where that would matter.
ODDS: Final[Float32Array] = np.exp(np.clip(LOG_ODDS, -87, 87)).astype(np.float32)

# By key ---------------------------------------------------------------------------------------------------------------

_PATTERNS: Final = np.arange(65536, dtype=np.uint16)
# Keys are uint16 that order as the float16 do and are equal for -0 and 0. No value has key 0.
KEY_OF_PATTERN: Final[UInt16Array] = np.where(_PATTERNS & 0x8000, -_PATTERNS, _PATTERNS + np.uint16(0x8000))


def _by_key(table: NDArray[Any]) -> NDArray[Any]:
    out = np.zeros_like(table)
    out[KEY_OF_PATTERN] = table
    return out


# Values that are not numbers are found before their cells matter; here they only must not point outside the counts.
_CELLS: Final[UInt16Array] = np.where(CELL_TABLE == NOT_A_NUMBER, 0, CELL_TABLE).astype(np.uint16)


class Grid(NamedTuple):
    """What the loops over pixels need of the grid: tables by key, and numbers.

    cell: (65536,) uint16; p: (65536,) uint32 in units of 2**-p_bits. cells: number of cells; active: the first with
    p > 1/300.
    """

    cell: UInt16Array
    p: UInt32Array
    cells: int
    active: int
    p_bits: int


GRID: Final = Grid(
    cell=_by_key(_CELLS),
    p=_by_key(P),
    cells=CELLS,
    active=int(np.searchsorted(STEP_OF_CELL, 1)),
    p_bits=round(-np.log2(P_UNIT)),
)
