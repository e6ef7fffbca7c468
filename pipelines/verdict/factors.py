"""Evidence to whether the threshold, the temperature or the training makes the difference, and not the head."""

import math

from pipelines.rounding import signed
from pipelines.verdict.evidence import Evidence
from pipelines.verdict.model import Margin, Reason
from pipelines.verdict.reasons import NAMES, brier_margin, numbers


def temperature_reason(evidence: Evidence, contender: str, margin: Margin) -> Reason | None:
    """Whether fitting a temperature changes the probabilities more than choosing the head does."""
    if evidence.calibrated == "raw":
        return None
    changes = {
        head: evidence.get(head, "classwise_ece", variant="temperature").value
        - evidence.get(head, "classwise_ece").value
        for head in ("sigmoid", contender)
    }
    head_change = abs(evidence.difference(contender, "classwise_ece").value)
    largest = max(abs(change) for change in changes.values())
    if math.isnan(largest) or math.isnan(head_change):
        return None
    text = (
        f"One fitted temperature changes classwise ECE by {signed(changes['sigmoid'], 4)} (sigmoid) and "
        f"{signed(changes[contender], 4)} ({NAMES[contender].lower()}); the choice of head changes it by "
        f"{head_change:.4f}: "
    )
    if temperature_explains(evidence, contender, margin):
        raw, fitted = (evidence.difference(contender, "brier", variant=one) for one in ("raw", "temperature"))
        return Reason(
            code="TEMPERATURE-DECIDES", title="The temperature, not the head, makes the difference", supports="neither",
            text=text + f"sigmoid minus {NAMES[contender].lower()} in Brier score is {raw.text(digits=4)} as trained "
            f"and {fitted.text(digits=4)} once each temperature is fitted, inside the margin.",
            **numbers(fitted.value, fitted.low, fitted.high),
        )  # fmt: skip
    verdict = "more than" if largest > head_change else "no more than"
    return Reason(
        code="TEMPERATURE",
        title="Temperature against head",
        text=text + f"temperature matters {verdict} the head here.",
        supports="neither",
        value=largest - head_change,
    )


def temperature_explains(evidence: Evidence, contender: str, margin: Margin) -> bool:
    """Whether the Brier scores differ by more than the margin as trained, and by less at fitted temperatures."""
    room = brier_margin(evidence, contender, margin)
    raw, fitted = (
        evidence.difference(contender, "brier", variant=one).position(room) for one in ("raw", "temperature")
    )
    return raw in ("above", "below") and fitted == "inside"


def threshold_base(evidence: Evidence) -> str:
    """The Dice that tuned thresholds are held against: one class against the rest at p > 0.5."""
    return "dice_threshold" if evidence.dataset["kind"] == "exclusive" else "dice"


def threshold_explains(evidence: Evidence, contender: str, margin: Margin) -> bool:
    """Whether labels differ by more than the margin at p > 0.5 and by less at thresholds tuned on validation.

    Never on exclusive truth: its labels are read off by argmax, which has no threshold.
    """
    if evidence.dataset["kind"] == "exclusive":
        return False
    at_half, tuned = (evidence.difference(contender, name).position(margin.dice) for name in ("dice", "dice_tuned"))
    return at_half in ("above", "below") and tuned == "inside"


def threshold_reason(evidence: Evidence, contender: str, margin: Margin) -> Reason | None:
    """Whether tuning the thresholds changes the labels more than choosing the head does."""
    base = threshold_base(evidence)
    heads = ("sigmoid", contender)
    gains = [evidence.get(head, "dice_tuned").value - evidence.get(head, base).value for head in heads]
    at_half, tuned = evidence.difference(contender, base), evidence.difference(contender, "dice_tuned")
    if any(math.isnan(number) for number in (*gains, at_half.value, tuned.value)):
        return None
    other = NAMES[contender].lower()
    text = (
        f"Thresholds tuned on validation change {evidence.dice} by {signed(gains[0], 3)} (sigmoid) and "
        f"{signed(gains[1], 3)} ({other}). "
        f"Sigmoid minus {other} is {at_half} at p > 0.5 and {tuned} at the tuned thresholds: "
    )
    if threshold_explains(evidence, contender, margin):
        return Reason(
            code="THRESHOLD-DECIDES", title="The threshold, not the head, makes the difference", supports="neither",
            text=text + "what looks like a better head is a threshold that suits it better.",
            **numbers(tuned.value, tuned.low, tuned.high),
        )  # fmt: skip
    more = max(abs(gain) for gain in gains) > abs(at_half.value)
    return Reason(
        code="THRESHOLD", title="Threshold against head", supports="neither",
        text=text + f"the thresholds matter {'more than' if more else 'no more than'} the head here.",
        **numbers(tuned.value, tuned.low, tuned.high),
    )  # fmt: skip


def swap_reason(evidence: Evidence, contender: str) -> Reason | None:
    """What training did apart from what reading the output does: each network read by the other head's function."""
    if contender != "softmax":
        return None
    # Reading leaves the argmax as it is: on exclusive truth only the probabilities can tell.
    metric, title = ("brier", "Brier score") if evidence.dataset["kind"] == "exclusive" else ("dice", "Dice")
    reading = [evidence.get(row, metric) for row in ("reading-of-sigmoid", "reading-of-softmax")]
    training = [evidence.get(row, metric) for row in ("training-read-as-softmax", "training-read-as-sigmoid")]
    if any(math.isnan(one.value) for one in (*reading, *training)):
        return None
    by_reading, by_training = (sum(abs(one.value) for one in pair) / 2 for pair in (reading, training))
    first, second, third, fourth = (one.text(digits=4 if metric == "brier" else 3) for one in (*reading, *training))
    larger = "training" if by_training > by_reading else "reading the output"
    return Reason(
        code="SWAP",
        title="Swap test: training against reading",
        text=f"Reading one network's logits by sigmoids instead of a softmax changes its macro {title} by {first} "
        f"(sigmoid's network) and {second} (softmax's). Read alike, the two networks differ by {third} (as "
        f"softmax) and {fourth} (as sigmoid). {larger.capitalize()} accounts for more of the difference.",
        supports="neither",
        value=by_training - by_reading,
    )
