"""What speaks against arrays that are declared logits."""

from pipelines.datasets.base import Finding
from pipelines.misuse import limits
from pipelines.misuse.declaration import Declaration
from pipelines.misuse.evidence import Evidence
from pipelines.misuse.wording import every, finding, value_range


def logit_findings(declared: Declaration, seen: Evidence) -> Finding | None:
    """The finding on finite logits that do change, if there is one."""
    return _log_probabilities(declared, seen) or _probabilities_as_logits(declared, seen)


def _log_probabilities(declared: Declaration, seen: Evidence) -> Finding | None:
    if declared.head != "sigmoid" or seen.rows < limits.ENOUGH_PIXELS or not seen.adds_up(seen.log_row_error):
        return None
    problem = (
        f"exp of the declared sigmoid logits adds up to 1 at every one of {seen.rows:,} pixels: these are a softmax's "
        "log-probabilities; a sigmoid turns log p into p / (1 + p), never above 0.5, so no class would be found; "
        "declare softmax logits, which log-probabilities are"
    )
    return finding("LOG-PROBABILITIES-AS-LOGITS", "error", problem)


def _probabilities_as_logits(declared: Declaration, seen: Evidence) -> Finding | None:
    low, high = seen.lowest, seen.highest
    if low < -limits.SLACK or high > 1 + limits.SLACK or seen.pixels < limits.ENOUGH_PIXELS:
        return None
    found = f"{every(seen, declared.what)} lies in 0 to 1 ({value_range(seen)})"
    effect = f"{_second(declared, seen)}; declare probabilities, or bring what goes into the last activation"
    if seen.adds_up(seen.row_error):
        why = f"and they add up to 1 at every one of {seen.rows:,} pixels, so these are a softmax's probabilities"
        return finding("PROBABILITIES-AS-LOGITS", "error", f"{found}, {why}; {effect}")
    if low <= limits.CONFIDENT and high >= 1 - limits.CONFIDENT:
        why = "and reaches both ends: most likely these are probabilities"
        return finding("PROBABILITIES-AS-LOGITS", "error", f"{found} {why}; {effect}")
    if high - low < limits.NARROW_UNIT:
        return None
    return finding("PROBABILITIES-AS-LOGITS", "warning", f"{found}, as probabilities do; if they are, {effect}")


def _second(declared: Declaration, seen: Evidence) -> str:
    """What another activation would do to probabilities."""
    if declared.head == "sigmoid":
        return "the sigmoid over them would be the second and keep every p in 0.500 to 0.731"
    low, high = limits.twice_bounds(seen.channels)
    return f"the softmax over them would be the second and keep p in about {low:.3f} to {high:.3f}"
