"""Counts and a declaration to what was found against what was said, what it does to results, and what to do."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.base import Finding, Severity
from pipelines.errors import ConfigError, ShapeError
from pipelines.heads import HeadSpec
from pipelines.misuse import evidence
from pipelines.misuse.declaration import Activation, Declaration
from pipelines.misuse.evidence import ENOUGH_PIXELS, MOST_CHANNELS, NEARLY_CONSTANT, Evidence, measure
from pipelines.schema import BACKGROUND_CHANNEL, Kind

# Numbers and names in words ------------------------------------------------------------------------------------------

_NAMED: Final = 6  # names listed before the rest are counted


def finding(code: str, severity: Severity, message: str) -> Finding:
    """One finding; severity "error" where results would be wrong, "warning" where they may be."""
    return Finding(code=code, severity=severity, message=message)


def every(seen: Evidence, what: str) -> str:
    """All values, and what they are declared to be."""
    return f"every one of the {seen.finite:,} values declared {what}"


def some(count: int, seen: Evidence, what: str) -> str:
    """How many of all values, and what they are declared to be."""
    values = seen.pixels * seen.channels
    return f"{count:,} of {values:,} values ({percent(count, values)}) declared {what}"


def percent(count: int, total: int) -> str:
    """A share with three digits."""
    return f"{100 * count / total:.3g}%"


def value_range(seen: Evidence) -> str:
    """Lowest to highest finite value."""
    return f"{seen.lowest:.4g} to {seen.highest:.4g}"


def names(words: Sequence[str]) -> str:
    """A list of names; a long one is cut and counted."""
    shown = ", ".join(words[:_NAMED])
    return shown if len(words) <= _NAMED else f"{shown} and {len(words) - _NAMED} more"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {many or one + 's'}"


# Arrays that are declared logits -------------------------------------------------------------------------------------


def logit_findings(declared: Declaration, seen: Evidence) -> Finding | None:
    """The finding on finite logits that do change, if there is one."""
    return _log_probabilities(declared, seen) or _probabilities_as_logits(declared, seen)


def _log_probabilities(declared: Declaration, seen: Evidence) -> Finding | None:
    if declared.head != "sigmoid" or seen.rows < evidence.ENOUGH_PIXELS or not seen.adds_up(seen.log_row_error):
        return None
    problem = (
        f"exp of the declared sigmoid logits adds up to 1 at every one of {seen.rows:,} pixels: these are a softmax's "
        "log-probabilities; a sigmoid turns log p into p / (1 + p), never above 0.5, so no class would be found; "
        "declare softmax logits, which log-probabilities are"
    )
    return finding("LOG-PROBABILITIES-AS-LOGITS", "error", problem)


def _probabilities_as_logits(declared: Declaration, seen: Evidence) -> Finding | None:
    low, high = seen.lowest, seen.highest
    if low < -evidence.SLACK or high > 1 + evidence.SLACK or seen.pixels < evidence.ENOUGH_PIXELS:
        return None
    found = f"{every(seen, declared.what)} lies in 0 to 1 ({value_range(seen)})"
    effect = f"{_second(declared, seen)}; declare probabilities, or bring what goes into the last activation"
    if seen.adds_up(seen.row_error):
        why = f"and they add up to 1 at every one of {seen.rows:,} pixels, so these are a softmax's probabilities"
        return finding("PROBABILITIES-AS-LOGITS", "error", f"{found}, {why}; {effect}")
    if low <= evidence.CONFIDENT and high >= 1 - evidence.CONFIDENT:
        why = "and reaches both ends: most likely these are probabilities"
        return finding("PROBABILITIES-AS-LOGITS", "error", f"{found} {why}; {effect}")
    if high - low < evidence.NARROW_UNIT:
        return None
    return finding("PROBABILITIES-AS-LOGITS", "warning", f"{found}, as probabilities do; if they are, {effect}")


def _second(declared: Declaration, seen: Evidence) -> str:
    """What another activation would do to probabilities."""
    if declared.head == "sigmoid":
        return "the sigmoid over them would be the second and keep every p in 0.500 to 0.731"
    low, high = evidence.twice_bounds(seen.channels)
    return f"the softmax over them would be the second and keep p in about {low:.3f} to {high:.3f}"


# Arrays that are declared probabilities ------------------------------------------------------------------------------


def probability_findings(declared: Declaration, seen: Evidence, constant: Finding | None) -> list[Finding | None]:
    """Findings on finite probabilities. constant: the finding that they do not change, if they do not."""
    other = _scaled(declared, seen) or _logits_as_probabilities(declared, seen)
    if other is not None:
        return [other]
    outside, hard = _out_of_range(declared, seen), _hard(declared, seen)
    if declared.head == "sigmoid":
        return [outside, hard or constant or _sigmoid_twice(declared, seen), _softmax_as_sigmoid(seen)]
    return [outside, hard or constant or _softmax_twice(seen), _rows(seen)]


def _scaled(declared: Declaration, seen: Evidence) -> Finding | None:
    """Percentages, probabilities saved as images, class numbers: not below 0, and whole or with a known maximum."""
    whole = seen.whole == seen.finite
    if seen.below or not seen.above or not (whole or seen.highest in evidence.SCALES):
        return None
    what, mend = "scaled probabilities", f"divide by {seen.highest:g}"
    if whole:
        what, mend = "scaled probabilities or class numbers", "divide by the scale, or bring probabilities"
    problem = f"{_outside(declared, seen)}, like {what}; every one above 1 would count as certain; {mend}"
    return finding("OUT-OF-RANGE", "error", problem)


def _logits_as_probabilities(declared: Declaration, seen: Evidence) -> Finding | None:
    if seen.below + seen.above < evidence.LOGIT_SHARE * seen.finite:
        return None
    problem = (
        f"{_outside(declared, seen)}, as logits and log-probabilities do; scores and calibration of such numbers mean "
        f"nothing; declare logits, or apply the {declared.head} once before saving"
    )
    return finding("LOGITS-AS-PROBABILITIES", "error", problem)


def _out_of_range(declared: Declaration, seen: Evidence) -> Finding | None:
    if not seen.below + seen.above:
        return None
    problem = (
        f"{_outside(declared, seen)}; they have no log-odds, and cut off they would claim certainty; interpolate the "
        "logits, or the probabilities linearly (cubic interpolation overshoots)"
    )
    return finding("OUT-OF-RANGE", "error", problem)


def _outside(declared: Declaration, seen: Evidence) -> str:
    outside = some(seen.below + seen.above, seen, declared.what)
    return f"{outside} lie outside 0 to 1 (values {value_range(seen)})"


def _sigmoid_twice(declared: Declaration, seen: Evidence) -> Finding | None:
    low, high = seen.lowest, seen.highest
    inside = low >= evidence.TWICE_LOW - evidence.SLACK and high <= evidence.TWICE_HIGH + evidence.SLACK
    if not inside or high - low < evidence.NARROW_TWICE or seen.pixels < evidence.ENOUGH_PIXELS:
        return None
    found = f"{every(seen, declared.what)} lies in 0.500 to 0.731 ({value_range(seen)}), where sigmoid(sigmoid(z)) lies"
    effect = "every class would count as present everywhere (p > 0.5), and no calibration figure would be the network's"
    if low <= evidence.TWICE_NEAR_LOW and high >= evidence.TWICE_NEAR_HIGH:
        problem = f"{found}: most likely the activation was applied twice; {effect}; apply the sigmoid once"
        return finding("ACTIVATION-TWICE", "error", problem)
    why = "either the activation was applied twice, or the network is unsure everywhere"
    return finding("ACTIVATION-TWICE", "warning", f"{found}: {why}; {effect}; look at how they were made")


def _softmax_twice(seen: Evidence) -> Finding | None:
    if seen.rows < evidence.ENOUGH_PIXELS or seen.rows_not_twice or not seen.adds_up(seen.row_error):
        return None
    # A network that says the class shares everywhere can look like a softmax of a softmax, but it does not change.
    ratio = math.exp(evidence.twice_span(seen.channels))
    if not any(high >= ratio * low for low, high in zip(seen.low, seen.high, strict=True)):
        return None
    if seen.channels == 2 and seen.rows_twice_confident < evidence.TWO_CHANNEL_SHARE * seen.rows:
        return None
    low, high = evidence.twice_bounds(seen.channels)
    problem = (
        f"the declared softmax probabilities lie in {value_range(seen)}, and at every one of {seen.rows:,} pixels they "
        f"are softmax(p) of other probabilities p (over {seen.channels} channels it lies in {low:.3f} to {high:.3f}): "
        "most likely the activation was applied twice; every p would be far too unsure; apply the softmax once"
    )
    return finding("ACTIVATION-TWICE", "error", problem)


def _rows(seen: Evidence) -> Finding | None:
    if not seen.rows_off:
        return None
    zero = f"; {seen.rows_zero:,} of these are 0 in every channel, as padding is" if seen.rows_zero else ""
    problem = (
        f"at {seen.rows_off:,} of {seen.rows:,} pixels ({percent(seen.rows_off, seen.rows)}) the declared softmax "
        f"probabilities do not add up to 1 (off by up to {seen.row_error:.3g}{zero}); calibration would be that of no "
        "softmax; declare sigmoid if that is what they are, bring every channel, or leave padded pixels out"
    )
    severity: Severity = "error" if seen.rows_off > evidence.MANY_ROWS * seen.rows else "warning"
    return finding("ROWS", severity, problem)


def _softmax_as_sigmoid(seen: Evidence) -> Finding | None:
    if not seen.adds_up(seen.row_error) or seen.rows_unsure < evidence.ENOUGH_UNSURE:
        return None
    problem = (
        f"the declared sigmoid probabilities add up to 1 at every one of {seen.rows:,} pixels, {seen.rows_unsure:,} of "
        "them unsure: these look like a softmax's rows; a softmax would be judged under the name of a sigmoid; declare "
        "softmax if that is what they are (two sigmoids trained as opposites from a zero start do the same)"
    )
    return finding("SOFTMAX-AS-SIGMOID", "warning", problem)


def _hard(declared: Declaration, seen: Evidence) -> Finding | None:
    if seen.hard != seen.finite:
        return None
    problem = (
        f"{every(seen, declared.what)} is exactly 0 or 1: these are decisions; Dice and IoU would hold, but they carry "
        "no calibration information, and NLL is infinite at each mistake; bring the probabilities before the threshold"
    )
    return finding("HARD", "warning", problem)


# All findings of a head ----------------------------------------------------------------------------------------------


def findings(declared: Declaration, seen: Evidence) -> tuple[Finding, ...]:
    """Everything that speaks against a declaration, in a fixed order; empty when nothing does.

    One cause gives one finding: what only follows from another finding is left out.
    """
    if not seen.pixels:
        problem = "there is no pixel in what was given, so nothing was checked; give at least one image"
        return (finding("EMPTY", "error", problem),)
    found = [_channels(declared, seen), _not_finite(declared, seen)]
    if seen.finite:
        found += _values(declared, seen)
    return tuple(one for one in found if one is not None)


def _values(declared: Declaration, seen: Evidence) -> list[Finding | None]:
    one_channel = _softmax_of_one(declared, seen)
    if one_channel is not None:
        return [one_channel]
    constant = _constant(declared, seen)
    if declared.values == "logits":
        return [constant or logit_findings(declared, seen)]
    return probability_findings(declared, seen, constant)


def _channels(declared: Declaration, seen: Evidence) -> Finding | None:
    named = len(declared.classes)
    if not named or named == seen.channels:
        return None
    mend = "name one class a channel, in channel order, a background channel among them"
    if seen.last_axis == seen.images:
        mend = "the last axis has that many: put channels first with np.moveaxis(array, -1, 0)"
    problem = (
        f"{plural(named, 'class is', 'classes are')} declared ({names(declared.classes)}), but the arrays have "
        f"{plural(seen.channels, 'channel')}; values would be read under another class's name; {mend}"
    )
    return finding("CHANNELS", "error", problem)


def _not_finite(declared: Declaration, seen: Evidence) -> Finding | None:
    if not seen.nan and not seen.infinite:
        return None
    problem = (
        f"{some(seen.nan + seen.infinite, seen, declared.what)} are not finite ({seen.nan:,} NaN, "
        f"{seen.infinite:,} infinite); a NaN wins every argmax and falls silently into some bin; find where they come "
        "from (division by 0, log of 0, overflow in 16 bits) and predict again"
    )
    return finding("NOT-FINITE", "error", problem)


def _softmax_of_one(declared: Declaration, seen: Evidence) -> Finding | None:
    if seen.channels > 1:
        return None
    if declared.head == "softmax":
        found = "a softmax is declared over one channel, where it is 1 at every pixel whatever the network says"
    elif seen.ones == seen.finite and seen.pixels >= ENOUGH_PIXELS:
        found = (
            f"every one of the {seen.finite:,} values declared {declared.what} is exactly 1: most likely a softmax was "
            "taken over this one channel"
        )
    else:
        return None
    mend = "use a sigmoid for one channel, or a softmax over two (background and the class)"
    return finding("SOFTMAX-ONE-CHANNEL", "error", f"{found}; every pixel would count as the class; {mend}")


def _constant(declared: Declaration, seen: Evidence) -> Finding | None:
    if seen.spread > NEARLY_CONSTANT or seen.pixels < ENOUGH_PIXELS:
        return None
    problem = (
        f"over {seen.pixels:,} pixels no channel of the declared {declared.what} changes by more than {seen.spread:.1g}"
        f" (values {value_range(seen)}): the network says the same whatever it sees; scores would be those of a "
        "constant; look at how its input is scaled and at its training"
    )
    return finding("NEARLY-CONSTANT", "warning", problem)


# Image by image ------------------------------------------------------------------------------------------------------


class MisuseCheck:
    """What the outputs of one head turn out to be, image by image, in memory that does not grow with their number.

    Images may come in any order and in any number of parts: counts are whole numbers, so merged parts equal the whole.
    """

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self.evidence: Evidence | None = None  # of all images so far; None before the first

    def add(self, values: NDArray[Any]) -> None:
        """Count one image, (C, H, W), or several, (N, C, H, W), of a bool, integer or float dtype.

        Raises ShapeError for other dimensions or dtypes, no channel, or another number of channels than before.
        """
        values = np.asarray(values)
        check_form(values.shape, values.dtype)
        for image in values if values.ndim == 4 else values[None]:
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
    """Raise ShapeError unless these are outputs of one image, (C, H, W), or several, (N, C, H, W), as real numbers."""
    if len(shape) not in (3, 4) or not 0 < shape[-3] <= MOST_CHANNELS:
        raise ShapeError(
            f"outputs must be (C, H, W), or (N, C, H, W) for several images, with 1 to {MOST_CHANNELS:,} channels, got "
            f"shape {shape}; put the channels before height and width"
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
    return _classes(one.declaration, other.declaration, kind) + _images(one, other)


def _images(one: MisuseCheck, other: MisuseCheck) -> tuple[Finding, ...]:
    if one.evidence is None or other.evidence is None:
        return ()
    sizes = [(check.evidence.images, check.evidence.pixels) for check in (one, other) if check.evidence]
    if sizes[0] == sizes[1]:
        return ()
    told = [
        f"{check.declaration.head} has {plural(images, 'image')} with {plural(pixels, 'pixel')}"
        for check, (images, pixels) in zip((one, other), sizes, strict=True)
    ]
    problem = (
        f"{told[0]}, {told[1]}; a pair is compared image by image and pixel by pixel; predict the same images at the "
        "same size with both"
    )
    return (Finding(code="IMAGES-DIFFER", severity="error", message=problem),)


def _classes(one: Declaration, other: Declaration, kind: Kind | None) -> tuple[Finding, ...]:
    if not one.classes or not other.classes:
        return ()
    mine, theirs = _without_background(one), _without_background(other)
    if mine == theirs:
        return _declared_background(one, other, kind)
    extra = set(mine) ^ set(theirs)
    if len(extra) == 1 and _means_background(*extra):
        return _undeclared_background(one, other, next(iter(extra)))
    if extra:
        alone = [name for name in (*one.classes, *other.classes) if name in extra]
        problem = (
            f"{one.head} has the classes {names(mine)}, {other.head} has {names(theirs)}; only one of them has "
            f"{names(alone)}, so averages would be over other classes; bring the same classes with both"
        )
        return (Finding(code="CLASSES-DIFFER", severity="error", message=problem),)
    return (_order(one, other),)


def _order(one: Declaration, other: Declaration) -> Finding:
    problem = (
        f"the channels of {one.head} are {names(one.classes)}, those of {other.head} {names(other.classes)}; compared "
        "by number, other classes would meet; make sure that both orders are true, and match channels by name"
    )
    return Finding(code="CLASS-ORDER", severity="warning", message=problem)


def _declared_background(one: Declaration, other: Declaration, kind: Kind | None) -> tuple[Finding, ...]:
    """A softmax needs a background channel where a sigmoid needs none; on exclusive truth both have it or neither."""
    if (one.background is None) == (other.background is None):
        return () if one.classes == other.classes or one.background != other.background else (_order(one, other),)
    has, lacks = (other, one) if one.background is None else (one, other)
    if has.head == "softmax" and (kind in ("binary", "overlapping") or len(lacks.classes) == 1):
        return ()
    severity: Severity = "error" if kind == "exclusive" else "warning"
    mend = "give both heads the channel, or neither"
    if has.head == "softmax" and kind is None:
        mend = "on exclusive truth give both heads the channel; on overlapping truth leave it out of every average"
    return (_one_head(has, lacks, has.background or "", severity, mend),)


def _undeclared_background(one: Declaration, other: Declaration, name: str) -> tuple[Finding, ...]:
    has, lacks = (one, other) if name in one.classes else (other, one)
    mend = "declare it as the background if it means that nothing is there, or give both heads the channel"
    return (_one_head(has, lacks, name, "error", mend),)


def _one_head(has: Declaration, lacks: Declaration, name: str, severity: Severity, mend: str) -> Finding:
    problem = (
        f"{has.head} has {name} among its {len(has.classes)} channels, {lacks.head} with {len(lacks.classes)} has no "
        f"such channel; averages over classes would be over other lists, and one head alone judged on {name}; {mend}"
    )
    return Finding(code="BACKGROUND-IN-ONE-HEAD", severity=severity, message=problem)


def _without_background(declared: Declaration) -> list[str]:
    return [name for name in declared.classes if name != declared.background]


def _means_background(name: str) -> bool:
    return "".join(filter(str.isalnum, name.lower())) in _BACKGROUND_NAMES
