"""What outputs hold, image by image, as counts that add up to the same in any order."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray, Float64Array
from pipelines.errors import ShapeError
from pipelines.misuse.declaration import Declaration

# Limits, each with its reason ----------------------------------------------------------------------------------------

# Fewer pixels than this say too little for what is inferred from where values lie.
ENOUGH_PIXELS: Final = 1000
# Rounding that says nothing: 16-bit formats and sliding windows put probabilities this far beyond 0 and 1.
SLACK: Final = 1e-3
# A softmax's rows add up to 1 within this in float32, float16 and bfloat16, whatever format they came through before:
# the largest deviation seen was 0.003, with 11 channels of bfloat16.
EXACT: Final = 5e-3
EXACT_SHARE: Final = 0.05  # of what a channel varies: rows of two channels that stay at 0.5 add up to about 1 as well
# From here on rows do not add up. 11 channels rounded to 8 bits stay below: they are off by 0.012 at most.
ROW_TOLERANCE: Final = 0.02
MANY_ROWS: Final = 1e-3  # share of rows that do not add up from which on it is more than a blemish
ENOUGH_UNSURE: Final = 100  # rows without a confident value: one-hot rows add up to 1 under any head

# A probability this close to 0 or 1 is a confident one.
CONFIDENT: Final = 0.05
# sigmoid(sigmoid(z)) lies between sigmoid(0) and sigmoid(1) = 0.7311; of confident probabilities it lies beyond NEAR.
TWICE_LOW: Final = 0.5
TWICE_HIGH: Final = 1 / (1 + math.exp(-1))
TWICE_NEAR_LOW: Final = 1 / (1 + math.exp(-CONFIDENT))
TWICE_NEAR_HIGH: Final = 1 / (1 + math.exp(CONFIDENT - 1))
INVERTED_SLACK: Final = 0.01  # in the probabilities that a softmax of a softmax is traced back to; bfloat16 gives 0.004

# Share of pixels that must be confident before two channels are told: the same networks of 2 channels reached 0.0002 at
# that temperature, one whose softmax was applied twice 0.37.
TWO_CHANNEL_SHARE: Final = 0.01

# New networks put all outputs into a narrow band, wherever their bias lies; mistaken ranges are filled at least so far.
NARROW_TWICE: Final = 0.1
NARROW_UNIT: Final = 0.5
NEARLY_CONSTANT: Final = 1e-4
# Share of values outside 0 to 1 that interpolation does not reach by overshooting.
LOGIT_SHARE: Final = 0.25
SCALES: Final = (100.0, 255.0, 65535.0)  # largest values of percentages and of probabilities saved as images
MOST_CHANNELS: Final = 4096  # more are an axis of pixels in the place of the channels


def twice_bounds(channels: int) -> tuple[float, float]:
    """Lowest and highest value of softmax(softmax(z)) over K channels: 1/(K - 1 + e) and e/(K - 1 + e).

    The inner p lie on the simplex. exp(p_c) / sum exp(p_k) is largest where p_c = 1 and all others are 0. It is
    smallest where p_c = 0 and the sum is largest, which is at a corner because exp is convex: e + (K - 1).
    """
    return 1 / (channels - 1 + math.e), math.e / (channels - 1 + math.e)


def twice_span(channels: int) -> float:
    """How much log p of one channel must change over all pixels before softmax(softmax(z)) is believed.

    softmax(softmax(z)) over a confident network reaches 1, from e/(K - 1 + e) down to 1/(K - 1 + e). Trained networks
    divided by the temperature at which every pixel could just be softmax(softmax(z)) reached 0.38 at most with 4 to 11
    channels and 0.67 with 3. With 2 they reached 0.94: the fewer channels, the less the condition says.
    """
    return 0.9 if channels <= 3 else 0.7


# Counts --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """Counts over all images of one head. Values are counted one by one, rows are the channels of one pixel.

    low, high: lowest and highest finite value of each channel, inf and -inf when there is none.
    row_error, log_row_error: the largest |sum of a row - 1|, and the same of the exp of its values.
    Only rows without a NaN or infinity are counted as rows.
    Fields that the declared head and values give no meaning stay 0.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    images: int = 0
    pixels: int = 0
    last_axis: int = 0  # images whose last axis, and not their first, is as long as the list of classes
    nan: int = 0
    infinite: int = 0
    below: int = 0  # values below 0, by more than SLACK
    above: int = 0  # values above 1, by more than SLACK
    ones: int = 0  # values that are exactly 1
    hard: int = 0  # values that are exactly 0 or 1
    whole: int = 0  # values that are whole numbers
    rows: int = 0
    rows_zero: int = 0  # all channels are 0
    rows_off: int = 0  # |sum - 1| > ROW_TOLERANCE
    rows_unsure: int = 0  # no value is confidently 1
    rows_not_twice: int = 0  # no softmax over probabilities gives these
    rows_twice_confident: int = 0  # a softmax over probabilities with a confident one would
    row_error: float = 0.0
    log_row_error: float = 0.0

    @property
    def channels(self) -> int:
        """Length of the channel axis."""
        return len(self.low)

    @property
    def finite(self) -> int:
        """Values that are neither NaN nor infinite."""
        return self.pixels * self.channels - self.nan - self.infinite

    @property
    def lowest(self) -> float:
        """Lowest finite value."""
        return min(self.low)

    @property
    def highest(self) -> float:
        """Highest finite value."""
        return max(self.high)

    @property
    def spread(self) -> float:
        """The most that one channel's finite values differ; -inf when there are none."""
        return max(high - low for low, high in zip(self.low, self.high, strict=True))

    def adds_up(self, error: float) -> bool:
        """Whether rows with this largest error add up to 1, to rounding and much better than by varying little."""
        return self.rows > 0 and self.channels > 1 and error <= min(EXACT, EXACT_SHARE * self.spread)

    def __add__(self, other: "Evidence") -> "Evidence":
        """Evidence of both. Raises ShapeError when their numbers of channels differ."""
        if self.channels != other.channels:
            raise ShapeError(
                f"all images of a head must have the same number of channels, got {self.channels} and "
                f"{other.channels}; check each head on its own"
            )
        counts = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
            if field.type is int
        }
        low = tuple(map(min, self.low, other.low))
        high = tuple(map(max, self.high, other.high))
        row_error = max(self.row_error, other.row_error)
        log_row_error = max(self.log_row_error, other.log_row_error)
        return Evidence(low=low, high=high, row_error=row_error, log_row_error=log_row_error, **counts)


# One image's outputs to counts ---------------------------------------------------------------------------------------

_BLOCK: Final = 2**17  # values measured at once: 1 MB of float64


def measure(image: NDArray[Any], declaration: Declaration) -> Evidence:
    """Count one image. image: (C, H, W), C >= 1, of a bool, integer or float dtype."""
    channels, height, width = image.shape
    nothing = ((math.inf,) * channels, (-math.inf,) * channels)
    named = len(declaration.classes)
    mistaken = int(bool(named) and channels != named and width == named)
    total = Evidence(*nothing, images=1, pixels=height * width, last_axis=mistaken)
    for block in _blocks(image):
        total = total + _measure_block(block, declaration)
    return total


def _blocks(image: NDArray[Any]) -> Iterator[Float64Array]:
    """An image as (C, P) float64 blocks of about _BLOCK values."""
    channels, height, width = image.shape
    columns = max(1, min(width, _BLOCK // channels))
    lines = max(1, _BLOCK // (channels * columns))
    for top in range(0, height, lines):
        for left in range(0, width, columns):
            part = image[:, top : top + lines, left : left + columns]
            with np.errstate(over="ignore"):  # extended precision beyond float64 becomes infinite
                block = part.reshape(channels, -1).astype(np.float64)
            yield block


def _measure_block(block: Float64Array, declaration: Declaration) -> Evidence:
    finite = np.isfinite(block)
    values, rows = block, block
    if not finite.all():
        values, rows = np.where(finite, block, np.nan), block[:, finite.all(axis=0)]  # a NaN fails every comparison
    nan = _count(np.isnan(block))
    counts = {"nan": nan, "infinite": block.size - _count(finite) - nan, "ones": _count(values == 1)}
    counts |= {"below": _count(values < -SLACK), "above": _count(values > 1 + SLACK)}
    deviation = _deviation(rows)
    counts |= _sums(rows, deviation)
    log_row_error = 0.0
    if declaration.values == "probabilities":
        counts |= _of_probabilities(values, rows, declaration)
    elif declaration.head == "sigmoid":  # of a softmax, log-probabilities are logits
        log_row_error = float(_deviation(np.exp(np.minimum(rows, 1))).max(initial=0.0))  # exp(1) is too much already
    return Evidence(
        low=tuple(np.fmin.reduce(values, axis=1, initial=np.inf).tolist()),
        high=tuple(np.fmax.reduce(values, axis=1, initial=-np.inf).tolist()),
        row_error=float(deviation.max(initial=0.0)),
        log_row_error=log_row_error,
        **counts,
    )


def _deviation(rows: Float64Array) -> Float64Array:
    return np.abs(_row_sum(rows) - 1)


def _sums(rows: Float64Array, deviation: Float64Array) -> dict[str, int]:
    return {
        "rows": rows.shape[1],
        "rows_zero": _count(~rows.any(axis=0)),
        "rows_off": _count(deviation > ROW_TOLERANCE),
        "rows_unsure": _count(rows.max(axis=0) < 1 - CONFIDENT),
    }


def _of_probabilities(values: Float64Array, rows: Float64Array, declaration: Declaration) -> dict[str, int]:
    counts = {"hard": _count((values == 0) | (values == 1)), "whole": _count(values == np.rint(values))}
    if declaration.head == "sigmoid":
        return counts
    inner = _inner_softmax(rows)
    possible = inner.min(axis=0) >= -INVERTED_SLACK
    confident = inner.max(axis=0) >= 1 - CONFIDENT
    return counts | {"rows_not_twice": _count(~possible), "rows_twice_confident": _count(possible & confident)}


def _row_sum(rows: Float64Array) -> Float64Array:
    """Sum of each column of (C, P), channel after channel: the last bit does not depend on the memory layout."""
    total = rows[0].copy()
    with np.errstate(over="ignore"):
        for channel in rows[1:]:
            total += channel
    return total


def _inner_softmax(rows: Float64Array) -> Float64Array:
    """The q that add up to 1 and whose softmax the rows are: q_c = log p_c + (1 - sum_k log p_k) / K, (C, P).

    Where p is a softmax of probabilities, these are they; otherwise some q_c is negative as soon as one channel lies
    more than 1/K below the mean log p. Rows with a p of 0 or below give strongly negative q.
    """
    log_p = np.log(np.maximum(rows, np.finfo(np.float64).tiny))
    return log_p + (1 - _row_sum(log_p)) / len(rows)


def _count(flags: BoolArray | np.bool_) -> int:
    return int(np.count_nonzero(flags))
