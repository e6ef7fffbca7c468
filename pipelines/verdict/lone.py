"""Evidence of a run without a pair to half a verdict: what the truth and the head alone say, and what is missing."""

import math
from collections.abc import Sequence
from statistics import stdev

from pipelines.errors import RunError
from pipelines.schema import Head
from pipelines.sentences import begun, decimals_of
from pipelines.verdict import reasons
from pipelines.verdict.evidence import Estimate, Evidence, Margin, Missing, Reason, Supports, Verdict
from pipelines.verdict.reasons import threshold_base


def missing_head(heads: Sequence[Head]) -> Missing | None:
    """What a run needs before anything can be compared: a sigmoid, or any softmax; None when both are there."""
    if "sigmoid" not in heads:
        return "sigmoid"
    return "softmax" if len(heads) == 1 else None


def only(heads: Sequence[Head]) -> str:
    """What is there, such as "Only the sigmoid head is here"."""
    names = {"sigmoid": "sigmoid head", "softmax": "softmax head", "softmax-powerset": "softmax over label sets"}
    return f"Only the {' and the '.join(names[head] for head in heads)} {'is' if len(heads) == 1 else 'are'} here"


def judge(evidence: Evidence, margin: Margin) -> Verdict:
    """What can be said without the other head. The answer never chooses one: that takes a comparison.

    Raises RunError where both heads have metrics and their difference has none.
    """
    missing = missing_head(evidence.heads)
    if missing is None:
        raise RunError("the metrics hold both heads and no difference of them; run evaluate on the run again")
    changes = [_how_to_add(evidence.heads, missing)]
    if evidence.split != "test":
        changes.append("A test split: this one also chose the weights and the temperature.")
    return Verdict(
        answer="nothing to compare",
        contender=None,
        missing=missing,
        headline=_headline(evidence, margin),
        confidence="tentative",
        reasons=_reasons(evidence, margin),
        would_change=tuple(changes),
        images_needed=None,
        split=evidence.split,
        seeds=evidence.seeds,
        margin=margin,
    )


def _how_to_add(heads: Sequence[Head], missing: Missing) -> str:
    """What would make a comparison of the heads that are here."""
    options = {"sigmoid": "--sigmoid", "softmax": "--softmax", "softmax-powerset": "--powerset"}
    both = " ".join(f"{option} FOLDER" for head, option in options.items() if head in (*heads, missing))
    return (
        f"The {missing} head, on the same images: import the outputs of all heads with python -m pipelines import NAME "
        f"--dataset DATASET {both}, or train a pair with python -m pipelines run DATASET --seeds 0,1,2."
    )


def _headline(evidence: Evidence, margin: Margin) -> str:
    here = only(evidence.heads)
    dataset = evidence.dataset
    if evidence.undefined:
        return f"{here}, and {reasons.why_undefined(evidence)}."
    if evidence.misused:
        return f"{here}, and its outputs are not what they are said to be, so its numbers are wrong."
    if dataset["kind"] == "binary":
        return f"{here}. With one class the other would be the same function: what differs comes from training."
    other = "a softmax" if "sigmoid" in evidence.heads else "a sigmoid"
    if dataset["exclusive"]:
        return f"{here}. No pixel carries two labels, which suits a softmax; whether {other} does better is open."
    ceiling = dataset["ceiling_macro_dice"]
    if 1 - ceiling <= margin.dice:
        return f"{here}. So few pixels carry two labels that the truth decides nothing; {other} is needed to compare."
    bound = f"one label a pixel can reach {ceiling:.3f} Dice at most"
    beyond = [reasons.NAMES[head].lower() for head in evidence.heads if _above_ceiling(evidence, head, margin)]
    if beyond:
        return f"{here}. Labels share pixels: {bound}, and {beyond[0]} is beyond that."
    return f"{here}. Labels share pixels: {bound}; what {other} reaches in practice is open."


def _reasons(evidence: Evidence, margin: Margin) -> tuple[Reason, ...]:
    found: list[Reason | None] = [
        reasons.undefined_reason(evidence),
        *reasons.misuse_reasons(evidence),
        reasons.truth_reason(evidence, margin),
    ]
    for head in () if evidence.undefined else evidence.heads:
        found += [
            _scores(evidence, head), _ceiling(evidence, head, margin), _temperature(evidence, head),
            _threshold(evidence, head), _reading(evidence, head), _seeds(evidence, head),
        ]  # fmt: skip
    found += [
        reasons.rare_reason(evidence),
        reasons.absent_reason(evidence),
        reasons.interval_reason(evidence),
        reasons.split_reason(evidence),
    ]
    return tuple(reason for reason in found if reason is not None)


def _plainly(one: Estimate, *, digits: int = 3) -> str:
    """A value with its interval and no sign."""
    if math.isnan(one.low):
        return f"{one.value:.{digits}f} (no interval)"
    digits = decimals_of(one.low, one.high, fewest=3)
    return f"{one.value:.{digits}f} [{one.low:.{digits}f}, {one.high:.{digits}f}]"


def _scores(evidence: Evidence, head: Head) -> Reason:
    """How well the head does on its own."""
    dice, name = evidence.get(head, "dice"), reasons.NAMES[head]
    brier = evidence.get(head, "brier", variant=evidence.calibrated)
    ece = evidence.get(head, "classwise_ece", variant=evidence.calibrated)
    when = "after its temperature was fitted" if evidence.calibrated == "temperature" else "as trained"
    return Reason(
        code=f"OWN-{head.upper()}", title=f"{name}: {evidence.dice} {dice.value:.3f}", supports="neither",
        text=f"{begun(evidence.dice)} is {_plainly(dice)}; Brier score {when} {_plainly(brier, digits=4)}, "
        f"classwise ECE {ece.value:.4f}. Whether another last layer would do better these numbers do not say.",
        value=reasons.numbers(dice.value, dice.low, dice.high)["value"],
    )  # fmt: skip


def _above_ceiling(evidence: Evidence, head: Head, margin: Margin) -> bool:
    """Whether a head is better, beyond noise and margin, than one label a pixel could be."""
    dataset = evidence.dataset
    if dataset["exclusive"] or 1 - dataset["ceiling_macro_dice"] <= margin.dice:
        return False
    return evidence.get(head, "dice").low > dataset["ceiling_macro_dice"] + margin.dice


def _ceiling(evidence: Evidence, head: Head, margin: Margin) -> Reason | None:
    """Macro Dice against the best that one label a pixel could reach on this truth."""
    dataset = evidence.dataset
    ceiling = dataset["ceiling_macro_dice"]
    dice = evidence.get(head, "dice")
    if dataset["exclusive"] or 1 - ceiling <= margin.dice or math.isnan(dice.value):
        return None
    numbers = reasons.numbers(dice.value - ceiling, dice.low - ceiling, dice.high - ceiling)
    beyond = _above_ceiling(evidence, head, margin)
    if head != "softmax":
        end = "is beyond it: no softmax over the classes could do as well" if beyond else "is not clearly beyond it"
        text = (
            f"One label a pixel can reach {ceiling:.3f} at most, over all splits. The {_plainly(dice)} of "
            f"{reasons.NAMES[head].lower()} {end}."
        )
    else:
        text = (
            f"This softmax gives a pixel one label, so {ceiling:.3f}, over all splits, is the most it could reach; it "
            f"reaches {_plainly(dice)}. The rest of the way to 1 is closed to it, however it is trained."
        )
    title = "Against the best with one label a pixel"
    supports: Supports = "sigmoid" if beyond and head == "sigmoid" else "neither"
    return Reason(code="OWN-CEILING", title=title, text=text, supports=supports, **numbers)


def _to(evidence: Evidence, head: Head) -> str:
    """Whose it is, where there are two softmaxes."""
    return f" to {reasons.NAMES[head].lower()}" if len(evidence.heads) > 1 else ""


def _temperature(evidence: Evidence, head: Head) -> Reason | None:
    """What one fitted temperature does to the probabilities."""
    raw, fitted = (evidence.get(head, "brier", variant=one).value for one in ("raw", "temperature"))
    if math.isnan(raw) or math.isnan(fitted):
        return None
    ece = [evidence.get(head, "classwise_ece", variant=one).value for one in ("raw", "temperature")]
    return Reason(
        code="OWN-TEMPERATURE", title=f"What a temperature is worth{_to(evidence, head)}", supports="neither",
        text=f"One temperature fitted on validation moves the Brier score of {reasons.NAMES[head].lower()} from "
        f"{raw:.4f} to {fitted:.4f} and its classwise ECE from {ece[0]:.4f} to {ece[1]:.4f}.", value=fitted - raw,
    )  # fmt: skip


def _threshold(evidence: Evidence, head: Head) -> Reason | None:
    """What thresholds tuned on validation do to the labels."""
    before = evidence.get(head, threshold_base(evidence)).value
    tuned = evidence.get(head, "dice_tuned")
    if math.isnan(before) or math.isnan(tuned.value):
        return None
    rest = ", each class against the rest," if evidence.dataset["kind"] == "exclusive" else ""
    return Reason(
        code="OWN-THRESHOLD", title=f"What tuned thresholds are worth{_to(evidence, head)}", supports="neither",
        text=f"Thresholds tuned on validation move the {evidence.dice} of {reasons.NAMES[head].lower()}{rest} from "
        f"{before:.3f} at p > 0.5 to {_plainly(tuned)}.", value=tuned.value - before,
    )  # fmt: skip


def _reading(evidence: Evidence, head: Head) -> Reason | None:
    """The half of the swap test that one network allows: the same logits read by the other head's function."""
    row = {"sigmoid": "reading-of-sigmoid", "softmax": "reading-of-softmax"}.get(head, "")
    exclusive = evidence.dataset["kind"] == "exclusive"  # where reading leaves the argmax as it is
    change = evidence.get(row, "brier" if exclusive else "dice")
    if math.isnan(change.value):
        return None
    what = "Brier score" if exclusive else "Dice"
    return Reason(
        code="OWN-SWAP", title="Swap test: what reading the output does", supports="neither",
        text=f"Reading this {head} network's logits by sigmoids instead of a softmax changes its macro {what} by "
        f"{change.text(digits=4 if exclusive else 3)}. What training with the other head does is not seen here.",
        **reasons.numbers(change.value, change.low, change.high),
    )  # fmt: skip


def _seeds(evidence: Evidence, head: Head) -> Reason | None:
    """How far the head's Dice moves from seed to seed."""
    values = [evidence.get(head, "dice", seed=seed).value for seed in evidence.seeds]
    if len(values) < 2:
        return None
    return Reason(
        code="OWN-SEEDS", title=f"{len(values)} seeds", supports="neither", value=stdev(values),
        text=f"{begun(evidence.dice)} of {reasons.NAMES[head].lower()}, seed by seed: "
        f"{', '.join(f'{one:.3f}' for one in values)} "
        f"(standard deviation {stdev(values):.3f}). A difference between heads would have to be larger than that.",
    )  # fmt: skip
