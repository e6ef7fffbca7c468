"""What speaks against arrays that are declared probabilities."""

import math

from pipelines.datasets.base import Finding, Severity
from pipelines.misuse import limits
from pipelines.misuse.declaration import Declaration
from pipelines.misuse.evidence import Evidence
from pipelines.misuse.wording import every, finding, percent, some, value_range


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
    if seen.below or not seen.above or not (whole or seen.highest in limits.SCALES):
        return None
    what, mend = "scaled probabilities", f"divide by {seen.highest:g}"
    if whole:
        what, mend = "scaled probabilities or class numbers", "divide by the scale, or bring probabilities"
    problem = f"{_outside(declared, seen)}, like {what}; every one above 1 would count as certain; {mend}"
    return finding("OUT-OF-RANGE", "error", problem)


def _logits_as_probabilities(declared: Declaration, seen: Evidence) -> Finding | None:
    if seen.below + seen.above < limits.LOGIT_SHARE * seen.finite:
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
    inside = low >= limits.TWICE_LOW - limits.SLACK and high <= limits.TWICE_HIGH + limits.SLACK
    if not inside or high - low < limits.NARROW_TWICE or seen.pixels < limits.ENOUGH_PIXELS:
        return None
    found = f"{every(seen, declared.what)} lies in 0.500 to 0.731 ({value_range(seen)}), where sigmoid(sigmoid(z)) lies"
    effect = "every class would count as present everywhere (p > 0.5), and no calibration figure would be the network's"
    if low <= limits.TWICE_NEAR_LOW and high >= limits.TWICE_NEAR_HIGH:
        problem = f"{found}: most likely the activation was applied twice; {effect}; apply the sigmoid once"
        return finding("ACTIVATION-TWICE", "error", problem)
    why = "either the activation was applied twice, or the network is unsure everywhere"
    return finding("ACTIVATION-TWICE", "warning", f"{found}: {why}; {effect}; look at how they were made")


def _softmax_twice(seen: Evidence) -> Finding | None:
    if seen.rows < limits.ENOUGH_PIXELS or seen.rows_not_twice or not seen.adds_up(seen.row_error):
        return None
    # A network that says the class shares everywhere can look like a softmax of a softmax, but it does not change.
    ratio = math.exp(limits.twice_span(seen.channels))
    if not any(high >= ratio * low for low, high in zip(seen.low, seen.high, strict=True)):
        return None
    if seen.channels == 2 and seen.rows_twice_confident < limits.TWO_CHANNEL_SHARE * seen.rows:
        return None
    low, high = limits.twice_bounds(seen.channels)
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
    severity: Severity = "error" if seen.rows_off > limits.MANY_ROWS * seen.rows else "warning"
    return finding("ROWS", severity, problem)


def _softmax_as_sigmoid(seen: Evidence) -> Finding | None:
    if not seen.adds_up(seen.row_error) or seen.rows_unsure < limits.ENOUGH_UNSURE:
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
