"""Counts of what outputs hold, which add up to the same in any order."""

from dataclasses import dataclass, fields

from pipelines.errors import ShapeError
from pipelines.misuse.limits import EXACT, EXACT_SHARE


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
