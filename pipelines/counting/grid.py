"""The fixed grid of scores: each of the 65,536 float16 log-odds falls into one of CELLS cells.

Edges stand at every p = k/300, so that 10, 12, 15, 20, 25, 30, 50, 60, 75, 100, 150 and 300 equal bins and all
thresholds in steps of 1/300 are exact, and every half unit of log-odds from 6 to 16 in both tails.
Cells are right-closed.
"""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import Float64Array, Int64Array, UInt16Array
from pipelines.errors import ShapeError

Number = TypeVar("Number", np.int64, np.float64)
STEPS: Final = 300
P_UNIT: Final = 2.0**-30  # one unit of a stored sum of probabilities or of squared errors
NLL_UNIT: Final = 2.0**-24  # one unit of a stored sum of negative log-likelihoods, in nats
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
# (2, 65536), first axis: is the class there. (p - y)^2 and -log P(y).
SQUARED_ERROR_TABLE: Final[Int64Array] = fixed(np.stack([PROBABILITY**2, (1 - PROBABILITY) ** 2]), P_UNIT)
NLL_TABLE: Final[Int64Array] = fixed(np.stack([softplus(LOG_ODDS), softplus(-LOG_ODDS)]), NLL_UNIT)


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
