"""What users bring (probabilities or logits) against what they say it is: misuse that would make results wrong.

The declaration is never guessed from the values; they are only compared with it (docs/misuse.md). Values are counted
image by image, in whole numbers that add up to the same in any order; findings are read from the counts.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray, Float64Array
from pipelines.channels import Activation, Declaration
from pipelines.datasets.base import Finding
from pipelines.errors import ConfigError, ShapeError
from pipelines.heads import HeadSpec
from pipelines.schema import BACKGROUND_CHANNEL, Kind
from pipelines.sentences import count_of, first_of

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
# What to do about label maps.
NO_LABELS: Final = (
    "a label carries no probability, so nothing could be said of calibration or thresholds; bring what goes into "
    "argmax instead, (C, H, W), declared logits: np.save(name, logits[i].float().cpu().numpy()) in place of "
    "logits.argmax(1)[i]"
)
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
    counts["whole"] = _count(values == np.rint(values))
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
    counts = {"hard": _count((values == 0) | (values == 1))}
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


# Findings of one head ------------------------------------------------------------------------------------------------


def findings(declared: Declaration, seen: Evidence) -> tuple[Finding, ...]:
    """Everything that speaks against a declaration, in a fixed order; empty when nothing does.

    One cause gives one finding: what only follows from another finding is left out.
    """
    if not seen.pixels:
        problem = "there is no pixel in what was given, so nothing was checked; give at least one image"
        return (_error("EMPTY", problem),)
    case = _Case(declared, seen)
    channels = case.channels()
    told = channels is not None and seen.channels == 1  # what else one channel is not follows from it
    every = [channels, case.not_finite(), *(case.of_values() if seen.finite and not told else ())]
    return tuple(finding for finding in every if finding is not None)


def _error(code: str, message: str) -> Finding:
    """Results would be wrong."""
    return Finding(code=code, severity="error", message=message)


def _warning(code: str, message: str) -> Finding:
    """Results may be wrong."""
    return Finding(code=code, severity="warning", message=message)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.3g}%"


@dataclass(frozen=True)
class _Case:
    """What was said and what was counted; each method looks for one misuse, and is None where there is none of it."""

    said: Declaration
    seen: Evidence

    @property
    def _every(self) -> str:
        return f"every one of the {self.seen.finite:,} values declared {self.said.what}"

    def _some(self, count: int) -> str:
        values = self.seen.pixels * self.seen.channels
        return f"{count:,} of {values:,} values ({_percent(count, values)}) declared {self.said.what}"

    @property
    def _range(self) -> str:
        return f"{self.seen.lowest:.4g} to {self.seen.highest:.4g}"

    @property
    def _outside(self) -> str:
        return f"{self._some(self.seen.below + self.seen.above)} lie outside 0 to 1 (values {self._range})"

    def of_values(self) -> tuple[Finding | None, ...]:
        """Findings on finite values."""
        one_channel = self.softmax_of_one()
        if one_channel is not None:
            return (one_channel,)
        constant = self.constant()
        if self.said.values == "logits":
            return (constant or self.log_probabilities() or self.probabilities_as_logits(),)
        other = self.scaled() or self.logits_as_probabilities()
        if other is not None:
            return (other,)
        if self.said.head == "sigmoid":
            last = self.softmax_as_sigmoid()
            return self.out_of_range(), self.hard() or constant or self.sigmoid_twice(), last
        return self.out_of_range(), self.hard() or constant or self.softmax_twice(), self.rows()

    # Of any values

    def channels(self) -> Finding | None:
        named = len(self.said.classes)
        if not named or named == self.seen.channels:
            return None
        if self.seen.channels == 1 and self.seen.finite:
            return self.one_for_all()
        mend = "name one class a channel, in channel order, a background channel among them"
        if self.seen.last_axis == self.seen.images:
            mend = "the last axis has that many: put channels first with np.moveaxis(array, -1, 0)"
        return _error(
            "CHANNELS",
            f"{count_of(named, 'class is', 'classes are')} declared ({_listed(self.said.classes)}), but the arrays "
            f"have {count_of(self.seen.channels, 'channel')}; values would be read under another class's name; {mend}",
        )

    def one_for_all(self) -> Finding:
        """One channel for several classes: a label map, or the probabilities of one class."""
        seen, classes = self.seen, f"there are {len(self.said.classes)} classes ({_listed(self.said.classes)})"
        if seen.whole == seen.finite:
            return _error(
                "LABEL-MAP",
                f"{classes}, but the arrays hold one whole number a pixel ({self._range}): label maps, as argmax gives "
                f"them; {NO_LABELS}",
            )
        mend = "bring one channel a class"
        if self.said.head == "softmax":
            mend += "; if these are those of one class, declare them as a sigmoid's and name that class"
        return _error(
            "CHANNELS",
            f"{classes}, but the arrays have one channel ({self._range}); values would be read under another class's "
            f"name; {mend}",
        )

    def not_finite(self) -> Finding | None:
        seen = self.seen
        if not seen.nan and not seen.infinite:
            return None
        return _error(
            "NOT-FINITE",
            f"{self._some(seen.nan + seen.infinite)} are not finite ({seen.nan:,} NaN, {seen.infinite:,} infinite); a "
            "NaN wins every argmax and falls silently into some bin; find where they come from (division by 0, log of "
            "0, overflow in 16 bits) and predict again",
        )

    def softmax_of_one(self) -> Finding | None:
        seen = self.seen
        if seen.channels > 1:
            return None
        if self.said.head == "softmax":
            found = "a softmax is declared over one channel, where it is 1 at every pixel whatever the network says"
        elif seen.ones == seen.finite and seen.pixels >= ENOUGH_PIXELS:
            found = f"{self._every} is exactly 1: most likely a softmax was taken over this one channel"
        else:
            return None
        mend = "use a sigmoid for one channel, or a softmax over two (background and the class)"
        return _error("SOFTMAX-ONE-CHANNEL", f"{found}; every pixel would count as the class; {mend}")

    def constant(self) -> Finding | None:
        if self.seen.spread > NEARLY_CONSTANT or self.seen.pixels < ENOUGH_PIXELS:
            return None
        return _warning(
            "NEARLY-CONSTANT",
            f"over {self.seen.pixels:,} pixels no channel of the declared {self.said.what} changes by more than "
            f"{self.seen.spread:.1g} (values {self._range}): the network says the same whatever it sees; scores would "
            "be those of a constant; look at how its input is scaled and at its training",
        )

    # Of what is declared logits

    def log_probabilities(self) -> Finding | None:
        seen = self.seen
        if self.said.head != "sigmoid" or seen.rows < ENOUGH_PIXELS or not seen.adds_up(seen.log_row_error):
            return None
        return _error(
            "LOG-PROBABILITIES-AS-LOGITS",
            f"exp of the declared sigmoid logits adds up to 1 at every one of {seen.rows:,} pixels: these are a "
            "softmax's log-probabilities; a sigmoid turns log p into p / (1 + p), never above 0.5, so no class would "
            "be found; declare softmax logits, which log-probabilities are",
        )

    def probabilities_as_logits(self) -> Finding | None:
        seen, low, high = self.seen, self.seen.lowest, self.seen.highest
        if low < -SLACK or high > 1 + SLACK or seen.pixels < ENOUGH_PIXELS:
            return None
        found = f"{self._every} lies in 0 to 1 ({self._range})"
        second = "the sigmoid over them would be the second and keep every p in 0.500 to 0.731"
        if self.said.head == "softmax":
            least, most = twice_bounds(seen.channels)
            second = f"the softmax over them would be the second and keep p in about {least:.3f} to {most:.3f}"
        effect = f"{second}; declare probabilities, or bring what goes into the last activation"
        if seen.adds_up(seen.row_error):
            why = f"and they add up to 1 at every one of {seen.rows:,} pixels, so these are a softmax's probabilities"
            return _error("PROBABILITIES-AS-LOGITS", f"{found}, {why}; {effect}")
        if low <= CONFIDENT and high >= 1 - CONFIDENT:
            why = "and reaches both ends: most likely these are probabilities"
            return _error("PROBABILITIES-AS-LOGITS", f"{found} {why}; {effect}")
        if high - low < NARROW_UNIT:
            return None
        return _warning("PROBABILITIES-AS-LOGITS", f"{found}, as probabilities do; if they are, {effect}")

    # Of what is declared probabilities

    def scaled(self) -> Finding | None:
        """Percentages, probabilities saved as images, class numbers: not below 0, and whole or with a known maximum."""
        seen = self.seen
        whole = seen.whole == seen.finite
        if seen.below or not seen.above or not (whole or seen.highest in SCALES):
            return None
        what, mend = "scaled probabilities", f"divide by {seen.highest:g}"
        if whole:
            what, mend = "scaled probabilities or class numbers", "divide by the scale, or bring probabilities"
        return _error("OUT-OF-RANGE", f"{self._outside}, like {what}; every one above 1 would count as certain; {mend}")

    def logits_as_probabilities(self) -> Finding | None:
        if self.seen.below + self.seen.above < LOGIT_SHARE * self.seen.finite:
            return None
        return _error(
            "LOGITS-AS-PROBABILITIES",
            f"{self._outside}, as logits and log-probabilities do; scores and calibration of such numbers mean "
            f"nothing; declare logits, or apply the {self.said.head} once before saving",
        )

    def out_of_range(self) -> Finding | None:
        if not self.seen.below + self.seen.above:
            return None
        return _error(
            "OUT-OF-RANGE",
            f"{self._outside}; they have no log-odds, and cut off they would claim certainty; interpolate the logits, "
            "or the probabilities linearly (cubic interpolation overshoots)",
        )

    def hard(self) -> Finding | None:
        if self.seen.hard != self.seen.finite:
            return None
        return _warning(
            "HARD",
            f"{self._every} is exactly 0 or 1: these are decisions; Dice and IoU would hold, but they carry no "
            "calibration information, and NLL is infinite at each mistake; bring the probabilities before the "
            "threshold",
        )

    def sigmoid_twice(self) -> Finding | None:
        seen, low, high = self.seen, self.seen.lowest, self.seen.highest
        inside = low >= TWICE_LOW - SLACK and high <= TWICE_HIGH + SLACK
        if not inside or high - low < NARROW_TWICE or seen.pixels < ENOUGH_PIXELS:
            return None
        found = f"{self._every} lies in 0.500 to 0.731 ({self._range}), where sigmoid(sigmoid(z)) lies"
        effect = (
            "every class would count as present everywhere (p > 0.5), and no calibration figure would be the network's"
        )
        if low <= TWICE_NEAR_LOW and high >= TWICE_NEAR_HIGH:
            why = "most likely the activation was applied twice"
            return _error("ACTIVATION-TWICE", f"{found}: {why}; {effect}; apply the sigmoid once")
        why = "either the activation was applied twice, or the network is unsure everywhere"
        return _warning("ACTIVATION-TWICE", f"{found}: {why}; {effect}; look at how they were made")

    def softmax_twice(self) -> Finding | None:
        seen = self.seen
        if seen.rows < ENOUGH_PIXELS or seen.rows_not_twice or not seen.adds_up(seen.row_error):
            return None
        # A network that says the class shares everywhere can look like a softmax of a softmax, but it does not change.
        ratio = math.exp(twice_span(seen.channels))
        if not any(high >= ratio * low for low, high in zip(seen.low, seen.high, strict=True)):
            return None
        if seen.channels == 2 and seen.rows_twice_confident < TWO_CHANNEL_SHARE * seen.rows:
            return None
        low, high = twice_bounds(seen.channels)
        return _error(
            "ACTIVATION-TWICE",
            f"the declared softmax probabilities lie in {self._range}, and at every one of {seen.rows:,} pixels they "
            f"are softmax(p) of other probabilities p (over {seen.channels} channels it lies in {low:.3f} to "
            f"{high:.3f}): most likely the activation was applied twice; every p would be far too unsure; apply the "
            "softmax once",
        )

    def rows(self) -> Finding | None:
        seen = self.seen
        if not seen.rows_off:
            return None
        zero = f"; {seen.rows_zero:,} of these are 0 in every channel, as padding is" if seen.rows_zero else ""
        report = _error if seen.rows_off > MANY_ROWS * seen.rows else _warning
        return report(
            "ROWS",
            f"at {seen.rows_off:,} of {seen.rows:,} pixels ({_percent(seen.rows_off, seen.rows)}) the declared softmax "
            f"probabilities do not add up to 1 (off by up to {seen.row_error:.3g}{zero}); calibration would be that of "
            "no softmax; declare sigmoid if that is what they are, bring every channel, or leave padded pixels out",
        )

    def softmax_as_sigmoid(self) -> Finding | None:
        seen = self.seen
        if not seen.adds_up(seen.row_error) or seen.rows_unsure < ENOUGH_UNSURE:
            return None
        return _warning(
            "SOFTMAX-AS-SIGMOID",
            f"the declared sigmoid probabilities add up to 1 at every one of {seen.rows:,} pixels, "
            f"{seen.rows_unsure:,} of them unsure: these look like a softmax's rows; a softmax would be judged under "
            "the name of a sigmoid; declare softmax if that is what they are (two sigmoids trained as opposites from a "
            "zero start do the same)",
        )


def _listed(names: Sequence[str]) -> str:
    return first_of(names, 6)


# Image by image ------------------------------------------------------------------------------------------------------


class MisuseCheck:
    """What the outputs of one head turn out to be, image by image, in memory that does not grow with their number.

    Images may come in any order and in any number of parts: counts are whole numbers, so merged parts equal the whole.
    """

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self.evidence: Evidence | None = None  # of all images so far; None before the first

    def add(self, values: NDArray[Any]) -> None:
        """Count one image, (C, H, W), or (H, W) of one channel, or several, (N, C, H, W), of a bool, integer or float
        dtype.

        Raises ShapeError for other dimensions or dtypes, no channel, or another number of channels than before.
        """
        values = np.asarray(values)
        check_form(values.shape, values.dtype)
        for image in values if values.ndim == 4 else (values if values.ndim == 3 else values[None],):
            self._include(measure(image, self.declaration))

    def merge(self, other: "MisuseCheck") -> None:
        """Take over what another part of the same head's images showed. Raises ConfigError for another declaration."""
        if other.declaration != self.declaration:
            raise ConfigError(
                f"only checks of one declaration can be merged, got {self.declaration.what} and "
                f"{other.declaration.what}; check each head on its own"
            )
        if other.evidence is not None:
            self._include(other.evidence)

    def _include(self, evidence: Evidence) -> None:
        self.evidence = evidence if self.evidence is None else self.evidence + evidence

    def findings(self) -> tuple[Finding, ...]:
        """Everything that speaks against the declaration so far. severity "error": results would be wrong."""
        return findings(self.declaration, self.evidence or Evidence(low=(), high=()))


def check_form(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise ShapeError unless these are outputs of one image, (C, H, W), or (H, W) of one channel, or of several,
    (N, C, H, W), as real numbers.
    """
    if len(shape) not in (2, 3, 4) or not 0 < (1, *shape)[-3] <= MOST_CHANNELS:
        raise ShapeError(
            f"outputs must be (C, H, W), (H, W) for one channel, or (N, C, H, W) for several images, with 1 to "
            f"{MOST_CHANNELS:,} channels, got shape {shape}; put the channels before height and width"
        )
    if dtype.kind not in "biuf":
        raise ShapeError(f"outputs must be real numbers, got dtype {dtype}; save them as float32")


def check_outputs(images: Iterable[NDArray[Any]], declaration: Declaration) -> tuple[Finding, ...]:
    """What speaks against a declaration in these outputs, each (C, H, W) or (N, C, H, W); an array is its images.

    Raises ShapeError for what is not an array of numbers of these dimensions.
    """
    check = MisuseCheck(declaration)
    if isinstance(images, np.ndarray):
        check.add(images)
    else:
        for image in images:
            check.add(image)
    return check.findings()


def head_check(spec: HeadSpec) -> MisuseCheck:
    """A check for the logits of one of our heads: add the (K, H, W) logits of each image, then read the findings."""
    head: Activation = "softmax" if spec.is_softmax else "sigmoid"
    background = BACKGROUND_CHANNEL if BACKGROUND_CHANNEL in spec.channels else None
    return MisuseCheck(Declaration(head=head, values="logits", classes=spec.channels, background=background))


# Two heads -----------------------------------------------------------------------------------------------------------

_BACKGROUND_NAMES: Final = frozenset({"background", "bg", "back", "none", "nothing", "unlabeled", "unlabelled"})


def check_pair(one: MisuseCheck, other: MisuseCheck, *, kind: Kind | None = None) -> tuple[Finding, ...]:
    """What stands against comparing two heads. kind: of the truth, where it is known.

    Class lists are compared where both were declared, numbers of images and pixels where both have seen any.
    """
    found = [_other_classes(one.declaration, other.declaration, kind), _other_images(one, other)]
    return tuple(finding for finding in found if finding is not None)


def _other_images(one: MisuseCheck, other: MisuseCheck) -> Finding | None:
    mine, theirs = one.evidence, other.evidence
    if mine is None or theirs is None or (mine.images, mine.pixels) == (theirs.images, theirs.pixels):
        return None
    has = ", ".join(
        f"{check.declaration.head} has {count_of(seen.images, 'image')} with {count_of(seen.pixels, 'pixel')}"
        for check, seen in ((one, mine), (other, theirs))
    )
    return _error(
        "IMAGES-DIFFER",
        f"{has}; a pair is compared image by image and pixel by pixel; predict the same images at the same size with "
        "both",
    )


def _other_classes(one: Declaration, other: Declaration, kind: Kind | None) -> Finding | None:
    if not one.classes or not other.classes:
        return None
    mine, theirs = ([name for name in said.classes if name != said.background] for said in (one, other))
    if mine == theirs:
        return _other_background(one, other, kind)
    extra = set(mine) ^ set(theirs)
    if len(extra) == 1 and "".join(filter(str.isalnum, next(iter(extra)).lower())) in _BACKGROUND_NAMES:
        name = extra.pop()
        has, lacks = (one, other) if name in one.classes else (other, one)
        mend = "declare it as the background if it means that nothing is there, or give both heads the channel"
        return _error("BACKGROUND-IN-ONE-HEAD", _one_has(has, lacks, name, mend))
    if extra:
        single = [name for name in (*one.classes, *other.classes) if name in extra]
        return _error(
            "CLASSES-DIFFER",
            f"{one.head} has the classes {_listed(mine)}, {other.head} has {_listed(theirs)}; only one of them has "
            f"{_listed(single)}, so averages would be over other classes; bring the same classes with both",
        )
    return _other_order(one, other)


def _other_order(one: Declaration, other: Declaration) -> Finding:
    return _warning(
        "CLASS-ORDER",
        f"the channels of {one.head} are {_listed(one.classes)}, those of {other.head} {_listed(other.classes)}; "
        "compared by number, other classes would meet; make sure that both orders are true, and match channels by name",
    )


def _other_background(one: Declaration, other: Declaration, kind: Kind | None) -> Finding | None:
    """A softmax needs a background channel where a sigmoid needs none; on exclusive truth both have it or neither."""
    if (one.background is None) == (other.background is None):
        same = one.classes == other.classes or one.background != other.background
        return None if same else _other_order(one, other)
    has, lacks = (other, one) if one.background is None else (one, other)
    if has.head == "softmax" and (kind in ("binary", "overlapping") or len(lacks.classes) == 1):
        return None
    mend = "give both heads the channel, or neither"
    if has.head == "softmax" and kind is None:
        mend = "on exclusive truth give both heads the channel; on overlapping truth leave it out of every average"
    report = _error if kind == "exclusive" else _warning
    return report("BACKGROUND-IN-ONE-HEAD", _one_has(has, lacks, has.background or "", mend))


def _one_has(has: Declaration, lacks: Declaration, name: str, mend: str) -> str:
    return (
        f"{has.head} has {name} among its {len(has.classes)} channels, {lacks.head} with {len(lacks.classes)} has no "
        f"such channel; averages over classes would be over other lists, and one head alone judged on {name}; {mend}"
    )
