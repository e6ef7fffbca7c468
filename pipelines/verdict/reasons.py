"""Evidence to the sentences that explain a verdict."""

import math
from collections.abc import Mapping
from statistics import stdev
from typing import Final

from pipelines.heads import LAST_LAYERS
from pipelines.judgement import Margin, Reason, Supports
from pipelines.metrics.inference import CONFIDENCE
from pipelines.schema import MACRO, Head
from pipelines.sentences import capitalised, decimals_of, none_carries, not_tuned, signed
from pipelines.verdict.evidence import Estimate, Evidence, Position

# What was measured ---------------------------------------------------------------------------------------------------

_SUPPORTS: Final[dict[Position, Supports]] = {
    "above": "sigmoid",
    "below": "softmax",
    "inside": "neither",
    "open": "caution",
}
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
            code="TRUTH-OVERLAPS",
            title="Labels share pixels",
            supports="sigmoid",
            value=lost,
            text=share + bound + "Only a sigmoid, or a softmax over label sets, can return both labels.",
        )
    return Reason(
        code="TRUTH-OVERLAPS-LITTLE",
        title="Labels share few pixels",
        supports="neither",
        value=lost,
        text=share + bound + f"That loss lies inside the margin of {margin.dice:g}.",
    )


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
        text=f"{capitalised(why_undefined(evidence))}: there is nothing to find and nothing to be missed. "
        "What a head calls there is a false alarm, which the Confusion and Images pages count.",
        supports="caution",
    )


def absent_reason(evidence: Evidence) -> Reason | None:
    """Classes without a score on the split, and those whose thresholds could not be tuned on validation."""
    parts = []
    scored = evidence.absent(evidence.split)
    if scored and not evidence.undefined:
        nothing = capitalised(none_carries(scored, evidence.split))
        parts.append(f"{nothing}: no score there, and {MACRO} is the mean of the others.")
    validated = any(part["split"] == "val" and part["images"] for part in evidence.dataset["splits"])
    untuned = evidence.absent("val") if validated and evidence.split != "val" else ()
    if untuned:
        parts.append(f"{capitalised(not_tuned(untuned, 'val'))}; a temperature of a class's own stays at 1.")
    if not parts:
        return None
    return Reason(code="ABSENT-CLASSES", title="Classes that are missing", text=" ".join(parts), supports="caution")


def accuracy_reason(evidence: Evidence, contender: Head, margin: Margin) -> Reason:
    """The paired difference in macro Dice."""
    gap = evidence.difference(contender, "dice")
    position = gap.position(margin.dice)
    ours, theirs = evidence.get("sigmoid", "dice").value, evidence.get(contender, "dice").value
    meaning = {
        "above": "sigmoid is better by more than the margin",
        "below": f"{_named(contender)} is better by more than the margin",
        "inside": "the difference lies inside the margin: of no practical size",
        "open": "the interval reaches over a margin: these images do not settle it",
    }[position]
    return Reason(
        code=f"DICE-{contender.upper()}",
        title=f"{capitalised(evidence.dice)}: sigmoid {ours:.3f}, {_named(contender)} {theirs:.3f}",
        text=f"Sigmoid minus {_named(contender)} is {gap}, margin ±{margin.dice:g}: {meaning}.",
        supports=_SUPPORTS[position],
        **numbers(gap.value, gap.low, gap.high),
    )


def brier_margin(evidence: Evidence, contender: Head, margin: Margin) -> float:
    """The relative Brier margin as a number: a share of the mean of the two heads."""
    both = [evidence.get(head, "brier", variant=evidence.calibrated).value for head in ("sigmoid", contender)]
    return margin.brier_relative * sum(both) / 2


def probability_reason(evidence: Evidence, contender: Head, margin: Margin) -> Reason:
    """The paired difference in Brier score at the fitted temperature; ECE explains it."""
    variant = evidence.calibrated
    gap = evidence.difference(contender, "brier", variant=variant)
    position = gap.position(brier_margin(evidence, contender, margin))
    ece = [evidence.get(head, "classwise_ece", variant=variant).value for head in ("sigmoid", contender)]
    when = "after each head's temperature was fitted" if variant == "temperature" else "as trained"
    meaning = {
        "above": f"{_named(contender)} has the better probabilities",
        "below": "sigmoid has the better probabilities",
        "inside": "no practical difference in the probabilities",
        "open": "these images do not settle it",
    }[position]
    return Reason(
        code=f"BRIER-{contender.upper()}",
        title="Probabilities: Brier score and calibration",
        text=f"Brier score, sigmoid minus {_named(contender)}, {when}: "
        f"{gap.text(digits=4)}, margin ±{100 * margin.brier_relative:g}%: {meaning}. "
        f"Classwise ECE: {ece[0]:.4f} and {ece[1]:.4f}.",
        supports={"above": "softmax", "below": "sigmoid"}.get(position, _SUPPORTS[position]),  # type: ignore[arg-type]
        **numbers(gap.value, gap.low, gap.high),
    )


def seeds_reason(evidence: Evidence, contender: Head, fewest: int) -> Reason:
    """How much the difference moves from seed to seed."""
    gaps = [evidence.difference(contender, "dice", seed=seed).value for seed in evidence.seeds]
    if len(gaps) < 2:
        return Reason(
            code="ONE-SEED",
            title="One seed is an anecdote",
            supports="caution",
            text="The pair was trained once. Another start can move either head by more than their difference; "
            f"train at least {fewest} seeds.",
        )
    return Reason(
        code="SEEDS",
        title=f"{len(gaps)} seeds",
        text=f"{capitalised(evidence.dice)}, sigmoid minus "
        + _named(contender)
        + ", seed by seed: "
        + ", ".join(signed(gap, 3) for gap in gaps)
        + f" (standard deviation {stdev(gaps):.3f}). The intervals above hold this spread beside that of the "
        + f"{evidence.unit_name}."
        + ("" if len(gaps) >= fewest else f" {len(gaps)} seeds are few; train at least {fewest}."),
        supports="neither" if len(gaps) >= fewest else "caution",
        value=stdev(gaps),
    )


def class_reason(evidence: Evidence, contender: Head, margin: Margin) -> Reason | None:
    """The class with the largest difference outside the margin, said with how many were looked at."""
    every = [entry["name"] for entry in evidence.dataset["class_facts"]]
    gaps = {name: evidence.difference(contender, "dice", class_name=name) for name in every}
    names = [name for name, gap in gaps.items() if not math.isnan(gap.value)]
    outside = {name: gap for name, gap in gaps.items() if gap.position(margin.dice) in ("above", "below")}
    if len(names) < 2 or not outside:
        return None
    name = max(outside, key=lambda name: abs(outside[name].value))
    gap = outside[name]
    text = f"Dice of {name}, sigmoid minus {_named(contender)}: {gap}. {len(outside)} of {len(names)} classes "
    adjusted = {name: gap.p_holm for name, gap in gaps.items() if not math.isnan(gap.p_holm)}
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
    title = "Read the intervals with care"
    return Reason(code="INTERVALS", title=title, text=f"{capitalised(warning)}.", supports="caution")


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
            code=f"OUTPUTS-{finding['code']}",
            title=f"{LAST_LAYERS[head].title}: the outputs are not what they should be",
            text=f"{capitalised(finding['message'])}.",
            supports="caution",
        )
        for head, findings in evidence.findings.items()
        for finding in findings
    ]


def numbers(value: float, low: float, high: float) -> dict[str, float | None]:
    """A reason's numbers by name, None for what is not known."""
    pairs = {"value": value, "low": low, "high": high}
    return {name: None if math.isnan(number) else number for name, number in pairs.items()}


# Threshold, temperature and training against head --------------------------------------------------------------------


def temperature_reason(evidence: Evidence, contender: Head, margin: Margin) -> Reason | None:
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
        f"{signed(changes[contender], 4)} ({_named(contender)}); the choice of head changes it by "
        f"{head_change:.4f}: "
    )
    if temperature_explains(evidence, contender, margin):
        raw, fitted = (evidence.difference(contender, "brier", variant=variant) for variant in ("raw", "temperature"))
        return Reason(
            code="TEMPERATURE-DECIDES",
            title="The temperature, not the head, makes the difference",
            supports="neither",
            text=text + f"sigmoid minus {_named(contender)} in Brier score is {raw.text(digits=4)} as trained "
            f"and {fitted.text(digits=4)} once each temperature is fitted, inside the margin.",
            **numbers(fitted.value, fitted.low, fitted.high),
        )
    verdict = "more than" if largest > head_change else "no more than"
    return Reason(
        code="TEMPERATURE",
        title="Temperature against head",
        text=text + f"temperature matters {verdict} the head here.",
        supports="neither",
        value=largest - head_change,
    )


def temperature_explains(evidence: Evidence, contender: Head, margin: Margin) -> bool:
    """Whether the Brier scores differ by more than the margin as trained, and by less at fitted temperatures."""
    room = brier_margin(evidence, contender, margin)
    raw, fitted = (
        evidence.difference(contender, "brier", variant=variant).position(room) for variant in ("raw", "temperature")
    )
    return raw in ("above", "below") and fitted == "inside"


def threshold_base(evidence: Evidence) -> str:
    """The Dice that tuned thresholds are held against: one class against the rest at p > 0.5."""
    return "dice_threshold" if evidence.dataset["kind"] == "exclusive" else "dice"


def threshold_explains(evidence: Evidence, contender: Head, margin: Margin) -> bool:
    """Whether labels differ by more than the margin at p > 0.5 and by less at thresholds tuned on validation.

    Never on exclusive truth: its labels are read off by argmax, which has no threshold.
    """
    if evidence.dataset["kind"] == "exclusive":
        return False
    at_half, tuned = (evidence.difference(contender, name).position(margin.dice) for name in ("dice", "dice_tuned"))
    return at_half in ("above", "below") and tuned == "inside"


def threshold_reason(evidence: Evidence, contender: Head, margin: Margin) -> Reason | None:
    """Whether tuning the thresholds changes the labels more than choosing the head does."""
    base = threshold_base(evidence)
    heads = ("sigmoid", contender)
    gains = [evidence.get(head, "dice_tuned").value - evidence.get(head, base).value for head in heads]
    at_half, tuned = evidence.difference(contender, base), evidence.difference(contender, "dice_tuned")
    if any(math.isnan(number) for number in (*gains, at_half.value, tuned.value)):
        return None
    other = _named(contender)
    text = (
        f"Thresholds tuned on validation change {evidence.dice} by {signed(gains[0], 3)} (sigmoid) and "
        f"{signed(gains[1], 3)} ({other}). "
        f"Sigmoid minus {other} is {at_half} at p > 0.5 and {tuned} at the tuned thresholds: "
    )
    if threshold_explains(evidence, contender, margin):
        return Reason(
            code="THRESHOLD-DECIDES",
            title="The threshold, not the head, makes the difference",
            supports="neither",
            text=text + "what looks like a better head is a threshold that suits it better.",
            **numbers(tuned.value, tuned.low, tuned.high),
        )
    more = max(abs(gain) for gain in gains) > abs(at_half.value)
    return Reason(
        code="THRESHOLD",
        title="Threshold against head",
        supports="neither",
        text=text + f"the thresholds matter {'more than' if more else 'no more than'} the head here.",
        **numbers(tuned.value, tuned.low, tuned.high),
    )


def swap_reason(evidence: Evidence, contender: Head) -> Reason | None:
    """What training did apart from what reading the output does: each network read by the other head's function."""
    if LAST_LAYERS[contender].swap is None:
        return None
    # Decoding leaves the argmax as it is: on exclusive truth only the probabilities can tell.
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


def _named(head: Head) -> str:
    """A head within a sentence."""
    return LAST_LAYERS[head].title.lower()


# A run without a pair ------------------------------------------------------------------------------------------------


def _plainly(estimate: Estimate, *, digits: int = 3) -> str:
    """A value with its interval and no sign."""
    if math.isnan(estimate.low):
        return f"{estimate.value:.{digits}f} (no interval)"
    digits = decimals_of(estimate.low, estimate.high, fewest=3)
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def own_scores_reason(evidence: Evidence, head: Head) -> Reason:
    """How well the head does on its own."""
    dice, name = evidence.get(head, "dice"), LAST_LAYERS[head].title
    brier = evidence.get(head, "brier", variant=evidence.calibrated)
    ece = evidence.get(head, "classwise_ece", variant=evidence.calibrated)
    when = "after its temperature was fitted" if evidence.calibrated == "temperature" else "as trained"
    return Reason(
        code=f"OWN-{head.upper()}",
        title=f"{name}: {evidence.dice} {dice.value:.3f}",
        supports="neither",
        text=f"{capitalised(evidence.dice)} is {_plainly(dice)}; Brier score {when} {_plainly(brier, digits=4)}, "
        f"classwise ECE {ece.value:.4f}. Whether another last layer would do better these numbers do not say.",
        value=numbers(dice.value, dice.low, dice.high)["value"],
    )


def above_ceiling(evidence: Evidence, head: Head, margin: Margin) -> bool:
    """Whether a head is better, beyond noise and margin, than one label a pixel could be."""
    dataset = evidence.dataset
    if dataset["exclusive"] or 1 - dataset["ceiling_macro_dice"] <= margin.dice:
        return False
    return evidence.get(head, "dice").low > dataset["ceiling_macro_dice"] + margin.dice


def own_ceiling_reason(evidence: Evidence, head: Head, margin: Margin) -> Reason | None:
    """Macro Dice against the best that one label a pixel could reach on this truth."""
    dataset = evidence.dataset
    ceiling = dataset["ceiling_macro_dice"]
    dice = evidence.get(head, "dice")
    if dataset["exclusive"] or 1 - ceiling <= margin.dice or math.isnan(dice.value):
        return None
    above = numbers(dice.value - ceiling, dice.low - ceiling, dice.high - ceiling)
    beyond = above_ceiling(evidence, head, margin)
    if not LAST_LAYERS[head].one_label:
        end = "is beyond it: no softmax over the classes could do as well" if beyond else "is not clearly beyond it"
        text = (
            f"One label a pixel can reach {ceiling:.3f} at most, over all splits. The {_plainly(dice)} of "
            f"{_named(head)} {end}."
        )
    else:
        text = (
            f"This softmax gives a pixel one label, so {ceiling:.3f}, over all splits, is the most it could reach; it "
            f"reaches {_plainly(dice)}. The rest of the way to 1 is closed to it, however it is trained."
        )
    title = "Against the best with one label a pixel"
    supports: Supports = "sigmoid" if beyond and head == "sigmoid" else "neither"
    return Reason(code="OWN-CEILING", title=title, text=text, supports=supports, **above)


def _to(evidence: Evidence, head: Head) -> str:
    """Whose it is, where there are two softmaxes."""
    return f" to {_named(head)}" if len(evidence.heads) > 1 else ""


def own_temperature_reason(evidence: Evidence, head: Head) -> Reason | None:
    """What one fitted temperature does to the probabilities."""
    raw, fitted = (evidence.get(head, "brier", variant=variant).value for variant in ("raw", "temperature"))
    if math.isnan(raw) or math.isnan(fitted):
        return None
    ece = [evidence.get(head, "classwise_ece", variant=variant).value for variant in ("raw", "temperature")]
    return Reason(
        code="OWN-TEMPERATURE",
        title=f"What a temperature is worth{_to(evidence, head)}",
        supports="neither",
        text=f"One temperature fitted on validation moves the Brier score of {_named(head)} from "
        f"{raw:.4f} to {fitted:.4f} and its classwise ECE from {ece[0]:.4f} to {ece[1]:.4f}.",
        value=fitted - raw,
    )


def own_threshold_reason(evidence: Evidence, head: Head) -> Reason | None:
    """What thresholds tuned on validation do to the labels."""
    before = evidence.get(head, threshold_base(evidence)).value
    tuned = evidence.get(head, "dice_tuned")
    if math.isnan(before) or math.isnan(tuned.value):
        return None
    rest = ", each class against the rest," if evidence.dataset["kind"] == "exclusive" else ""
    return Reason(
        code="OWN-THRESHOLD",
        title=f"What tuned thresholds are worth{_to(evidence, head)}",
        supports="neither",
        text=f"Thresholds tuned on validation move the {evidence.dice} of {_named(head)}{rest} from "
        f"{before:.3f} at p > 0.5 to {_plainly(tuned)}.",
        value=tuned.value - before,
    )


def own_swap_reason(evidence: Evidence, head: Head) -> Reason | None:
    """The half of the swap test that one network allows: the same logits read by the other head's function."""
    exclusive = evidence.dataset["kind"] == "exclusive"  # where decoding leaves the argmax as it is
    change = evidence.get(str(LAST_LAYERS[head].swap), "brier" if exclusive else "dice")
    if math.isnan(change.value):
        return None
    measure = "Brier score" if exclusive else "Dice"
    return Reason(
        code="OWN-SWAP",
        title="Swap test: what reading the output does",
        supports="neither",
        text=f"Reading this {head} network's logits by sigmoids instead of a softmax changes its macro {measure} by "
        f"{change.text(digits=4 if exclusive else 3)}. What training with the other head does is not seen here.",
        **numbers(change.value, change.low, change.high),
    )


def own_seeds_reason(evidence: Evidence, head: Head) -> Reason | None:
    """How far the head's Dice moves from seed to seed."""
    values = [evidence.get(head, "dice", seed=seed).value for seed in evidence.seeds]
    if len(values) < 2:
        return None
    return Reason(
        code="OWN-SEEDS",
        title=f"{len(values)} seeds",
        supports="neither",
        value=stdev(values),
        text=f"{capitalised(evidence.dice)} of {_named(head)}, seed by seed: "
        f"{', '.join(f'{value:.3f}' for value in values)} "
        f"(standard deviation {stdev(values):.3f}). A difference between heads would have to be larger than that.",
    )
