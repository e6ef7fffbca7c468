"""Evidence to the sentences that explain a verdict."""

import math
from collections.abc import Mapping
from statistics import stdev
from typing import Final

from pipelines.metrics.inference import CONFIDENCE
from pipelines.schema import MACRO
from pipelines.sentences import begun, none_carries, not_tuned, signed
from pipelines.verdict.evidence import Evidence, Margin, Position, Reason, Supports

# What was measured ---------------------------------------------------------------------------------------------------

NAMES: Final = {"sigmoid": "Sigmoid", "softmax": "Softmax", "softmax-powerset": "Softmax over label sets"}
RARE = 0.01  # share of pixels under which a class counts as rare


def truth_reason(evidence: Evidence, margin: Margin) -> Reason:
    """What the labels alone say, before any training."""
    dataset = evidence.dataset
    if dataset["kind"] == "binary":
        return Reason(
            code="TRUTH-BINARY",
            title="One class: the two heads are the same function",
            text="A two-class softmax is the sigmoid of the difference of its logits, so any difference measured here "
            "comes from optimisation and noise, not from the head.",
            supports="neither",
        )
    if dataset["exclusive"]:
        return Reason(
            code="TRUTH-EXCLUSIVE",
            title="No pixel carries two labels",
            text="Every labelled pixel has one class, so a softmax can express the truth, and its probabilities add "
            "up to 1. A sigmoid head has to learn that and may call several classes at a pixel, or none.",
            supports="softmax",
        )
    lost = 1 - dataset["ceiling_macro_dice"]
    share = f"{100 * dataset['overlap_share_labelled']:.1f}% of the labelled pixels carry two or more labels. "
    bound = (
        f"Any output with one label a pixel can reach a macro Dice of at most {dataset['ceiling_macro_dice']:.3f} "
        f"(IoU {dataset['ceiling_macro_iou']:.3f}), whatever the network. "
    )
    if lost > margin.dice:
        return Reason(
            code="TRUTH-OVERLAPS", title="Labels share pixels", supports="sigmoid", value=lost,
            text=share + bound + "Only a sigmoid, or a softmax over label sets, can return both labels.",
        )  # fmt: skip
    return Reason(
        code="TRUTH-OVERLAPS-LITTLE", title="Labels share few pixels", supports="neither", value=lost,
        text=share + bound + f"That loss lies inside the margin of {margin.dice:g}.",
    )  # fmt: skip


def why_undefined(evidence: Evidence) -> str:
    """Why Dice has no value on the split, as half a sentence."""
    absent = evidence.absent(evidence.split)
    why = none_carries(absent, evidence.split) if absent else f"{evidence.split} has no pixel that counts"
    return f"{why}, so Dice has no value"


def undefined_reason(evidence: Evidence) -> Reason | None:
    """That nothing can be compared, because the split has nothing to find."""
    if not evidence.undefined:
        return None
    return Reason(
        code="DICE-UNDEFINED",
        title="Dice has no value",
        text=f"{begun(why_undefined(evidence))}: there is nothing to find and nothing to be missed. What a head calls "
        "there is a false alarm, which the Confusion and Images pages count.",
        supports="caution",
    )


def absent_reason(evidence: Evidence) -> Reason | None:
    """Classes without a score on the split, and those whose thresholds could not be tuned on validation."""
    parts = []
    scored = evidence.absent(evidence.split)
    if scored and not evidence.undefined:
        parts.append(
            f"{begun(none_carries(scored, evidence.split))}: no score there, and {MACRO} is the mean of the others."
        )
    validated = any(part["split"] == "val" and part["images"] for part in evidence.dataset["splits"])
    untuned = evidence.absent("val") if validated and evidence.split != "val" else ()
    if untuned:
        parts.append(f"{begun(not_tuned(untuned, 'val'))}; a temperature of a class's own stays at 1.")
    if not parts:
        return None
    return Reason(code="ABSENT-CLASSES", title="Classes that are missing", text=" ".join(parts), supports="caution")


def accuracy_reason(evidence: Evidence, contender: str, margin: Margin) -> Reason:
    """The paired difference in macro Dice."""
    gap = evidence.difference(contender, "dice")
    position = gap.position(margin.dice)
    ours, theirs = evidence.get("sigmoid", "dice").value, evidence.get(contender, "dice").value
    meaning = {
        "above": "sigmoid is better by more than the margin",
        "below": f"{NAMES[contender].lower()} is better by more than the margin",
        "inside": "the difference lies inside the margin: of no practical size",
        "open": "the interval reaches over a margin: these images do not settle it",
    }[position]
    supports: dict[Position, Supports] = {
        "above": "sigmoid", "below": "softmax", "inside": "neither", "open": "caution",
    }  # fmt: skip
    return Reason(
        code=f"DICE-{contender.upper()}",
        title=f"{begun(evidence.dice)}: sigmoid {ours:.3f}, {NAMES[contender].lower()} {theirs:.3f}",
        text=f"Sigmoid minus {NAMES[contender].lower()} is {gap}, margin ±{margin.dice:g}: {meaning}.",
        supports=supports[position],
        **numbers(gap.value, gap.low, gap.high),
    )


def brier_margin(evidence: Evidence, contender: str, margin: Margin) -> float:
    """The relative Brier margin as a number: a share of the mean of the two heads."""
    both = [evidence.get(head, "brier", variant=evidence.calibrated).value for head in ("sigmoid", contender)]
    return margin.brier_relative * sum(both) / 2


def probability_reason(evidence: Evidence, contender: str, margin: Margin) -> Reason:
    """The paired difference in Brier score at the fitted temperature; ECE explains it."""
    variant = evidence.calibrated
    gap = evidence.difference(contender, "brier", variant=variant)
    position = gap.position(brier_margin(evidence, contender, margin))
    ece = [evidence.get(head, "classwise_ece", variant=variant).value for head in ("sigmoid", contender)]
    when = "after each head's temperature was fitted" if variant == "temperature" else "as trained"
    meaning = {
        "above": f"{NAMES[contender].lower()} has the better probabilities",
        "below": "sigmoid has the better probabilities",
        "inside": "no practical difference in the probabilities",
        "open": "these images do not settle it",
    }[position]
    supports: dict[Position, Supports] = {
        "above": "softmax", "below": "sigmoid", "inside": "neither", "open": "caution",
    }  # fmt: skip
    return Reason(
        code=f"BRIER-{contender.upper()}",
        title="Probabilities: Brier score and calibration",
        text=f"Brier score, sigmoid minus {NAMES[contender].lower()}, {when}: "
        f"{gap.text(digits=4)}, margin ±{100 * margin.brier_relative:g}%: {meaning}. "
        f"Classwise ECE: {ece[0]:.4f} and {ece[1]:.4f}.",
        supports=supports[position],
        **numbers(gap.value, gap.low, gap.high),
    )


def seeds_reason(evidence: Evidence, contender: str, fewest: int) -> Reason:
    """How much the difference moves from seed to seed."""
    gaps = [evidence.difference(contender, "dice", seed=seed).value for seed in evidence.seeds]
    if len(gaps) < 2:
        return Reason(
            code="ONE-SEED", title="One seed is an anecdote", supports="caution",
            text="The pair was trained once. Another start can move either head by more than their difference; "
            f"train at least {fewest} seeds.",
        )  # fmt: skip
    return Reason(
        code="SEEDS",
        title=f"{len(gaps)} seeds",
        text=f"{begun(evidence.dice)}, sigmoid minus " + NAMES[contender].lower() + ", seed by seed: "
        + ", ".join(signed(gap, 3) for gap in gaps)
        + f" (standard deviation {stdev(gaps):.3f}). The intervals above hold this spread beside that of the "
        + f"{evidence.unit_name}."
        + ("" if len(gaps) >= fewest else f" {len(gaps)} seeds are few; train at least {fewest}."),
        supports="neither" if len(gaps) >= fewest else "caution",
        value=stdev(gaps),
    )  # fmt: skip


def class_reason(evidence: Evidence, contender: str, margin: Margin) -> Reason | None:
    """The class with the largest difference outside the margin, said with how many were looked at."""
    every = [entry["name"] for entry in evidence.dataset["class_facts"]]
    gaps = {name: evidence.difference(contender, "dice", class_name=name) for name in every}
    names = [name for name, gap in gaps.items() if not math.isnan(gap.value)]
    outside = {name: gap for name, gap in gaps.items() if gap.position(margin.dice) in ("above", "below")}
    if len(names) < 2 or not outside:
        return None
    name = max(outside, key=lambda one: abs(outside[one].value))
    gap = outside[name]
    text = f"Dice of {name}, sigmoid minus {NAMES[contender].lower()}: {gap}. {len(outside)} of {len(names)} classes "
    adjusted = {one: found.p_holm for one, found in gaps.items() if not math.isnan(found.p_holm)}
    if adjusted:
        text += f"lie outside the margin. {_after_holm(adjusted, evidence.replicates)}"
    else:
        text += "lie outside the margin; with many classes some do by chance."
    return Reason(
        code="CLASS",
        title=f"Largest difference: {name}",
        text=text,
        supports="sigmoid" if gap.value > 0 else "softmax",
        **numbers(gap.value, gap.low, gap.high),
    )


def _after_holm(adjusted: Mapping[str, float], replicates: int) -> str:
    """Which classes differ from 0 for sure; or that so few replicates cannot tell, by inference.p_value's floor."""
    sure = [name for name, p in adjusted.items() if p <= 1 - CONFIDENCE]
    if not sure and len(adjusted) * 2 / (replicates + 1) > 1 - CONFIDENCE:
        enough = math.ceil(len(adjusted) * 2 / (1 - CONFIDENCE))
        return (
            f"Whether they differ from 0 after Holm's correction for {len(adjusted)} classes, {replicates} replicates "
            f"cannot show; evaluate with {enough} or more."
        )
    return f"Different from 0 after Holm's correction for the number of classes: {', '.join(sure) or 'none'}."


def interval_reason(evidence: Evidence) -> Reason | None:
    """Why the intervals should be read with care."""
    warning = evidence.interval_warning
    if warning is None:
        return None
    return Reason(code="INTERVALS", title="Read the intervals with care", text=f"{begun(warning)}.",
                  supports="caution")  # fmt: skip


def split_reason(evidence: Evidence) -> Reason | None:
    """That the verdict rests on images which training has used."""
    if evidence.split == "test":
        return None
    return Reason(
        code="NOT-TEST",
        title=f"Judged on {evidence.split}",
        text="There are no test predictions. The split used here also chose the best weights and the temperature (val) "
        "or the weights themselves (train), so every number is too good.",
        supports="caution",
    )


def rare_reason(evidence: Evidence) -> Reason | None:
    """Classes so rare that loss, sampling and threshold are likely to matter more than the head."""
    rare = [entry["name"] for entry in evidence.dataset["class_facts"] if 0 < entry["share"] < RARE]
    if not rare:
        return None
    return Reason(
        code="RARE-CLASSES",
        title="Rare classes",
        text=f"{', '.join(rare)}: each under {100 * RARE:g}% of the pixels. For these the loss, the sampling and the "
        f"threshold usually move {MACRO} Dice more than the head does.",
        supports="caution",
    )


def misuse_reasons(evidence: Evidence) -> list[Reason]:
    """What the outputs look like that they should not."""
    return [
        Reason(
            code=f"OUTPUTS-{found['code']}",
            title=f"{NAMES[head]}: the outputs are not what they should be",
            text=f"{begun(found['message'])}.",
            supports="caution",
        )
        for head, some in evidence.findings.items()
        for found in some
    ]


def numbers(value: float, low: float, high: float) -> dict[str, float | None]:
    """A reason's numbers by name, None for what is not known."""
    pairs = {"value": value, "low": low, "high": high}
    return {name: None if math.isnan(number) else number for name, number in pairs.items()}


# Threshold, temperature and training against head --------------------------------------------------------------------


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
