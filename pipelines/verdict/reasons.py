"""Evidence to the sentences that explain a verdict: one function a reason, listed in the order they are read."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import stdev
from typing import Final, TypeAlias

from pipelines.heads import LAST_LAYERS
from pipelines.judgement import Margin, Reason, Supports
from pipelines.metrics.inference import CONFIDENCE
from pipelines.schema import MACRO, OBSERVERS, Head
from pipelines.sentences import capitalised, decimals_of, none_carries, not_tuned, signed
from pipelines.verdict.evidence import Estimate, Evidence, Position

FEWEST_SEEDS: Final = 3
RARE: Final = 0.01  # share of pixels under which a class counts as rare
_SUPPORTS: Final[dict[Position, Supports]] = {
    "above": "sigmoid",
    "below": "softmax",
    "inside": "neither",
    "open": "caution",
}


@dataclass(frozen=True)
class Case:
    """What is judged: a run's evidence, by a margin, of one head: the contender of sigmoid, or a head on its own."""

    evidence: Evidence
    margin: Margin
    head: Head

    @property
    def name(self) -> str:
        """The head within a sentence."""
        return LAST_LAYERS[self.head].title.lower()

    @property
    def exclusive(self) -> bool:
        """Whether labels are read off by argmax."""
        return bool(self.evidence.dataset["kind"] == "exclusive")

    @property
    def lost(self) -> float:
        """Macro Dice that one label a pixel loses at least, by the truth alone; 0 where no pixel carries two."""
        dataset = self.evidence.dataset
        return 0.0 if dataset["exclusive"] else float(1 - dataset["ceiling_macro_dice"])

    @cached_property
    def gap(self) -> Estimate:
        """Sigmoid minus the contender in macro Dice."""
        return self.evidence.difference(self.head, "dice")

    @property
    def position(self) -> Position:
        """Where that lies by the margin."""
        return self.gap.position(self.margin.dice)

    def values(self, metric: str, variant: str = "raw") -> list[float]:
        """Sigmoid's and the contender's."""
        return [self.evidence.get(head, metric, variant=variant).value for head in ("sigmoid", self.head)]

    def brier_position(self, variant: str) -> Position:
        """Where sigmoid minus the contender in Brier score lies by the margin, a share of the mean of the two heads."""
        metric = self.evidence.brier
        room = self.margin.brier_relative * sum(self.values(metric, self.evidence.calibrated)) / 2
        return self.evidence.difference(self.head, metric, variant=variant).position(room)

    @property
    def temperature_explains(self) -> bool:
        """Whether the Brier scores differ by more than the margin as trained, and by less at fitted temperatures."""
        raw, fitted = self.brier_position("raw"), self.brier_position("temperature")
        return raw in ("above", "below") and fitted == "inside"

    @property
    def threshold_explains(self) -> bool:
        """Whether labels differ by more than the margin at p > 0.5 and by less at thresholds tuned on validation.

        Never on exclusive truth: its labels are read off by argmax, which has no threshold.
        """
        tuned = self.evidence.difference(self.head, "dice_tuned").position(self.margin.dice)
        return not self.exclusive and self.position in ("above", "below") and tuned == "inside"

    @property
    def beyond_ceiling(self) -> bool:
        """Whether the head alone is better, beyond noise and margin, than one label a pixel could be."""
        low = self.evidence.get(self.head, "dice").low
        return self.lost > self.margin.dice and low > self.evidence.dataset["ceiling_macro_dice"] + self.margin.dice


_Reason: TypeAlias = Callable[[Case], Reason | None]


def _reason(
    code: str, title: str, text: str, supports: Supports = "neither", number: Estimate | float | None = None
) -> Reason:
    """A reason with a value, or with a value and its interval, None for what is not known."""
    if not isinstance(number, Estimate):
        return Reason(code=code, title=title, text=text, supports=supports, value=number)
    value, low, high = (None if math.isnan(end) else end for end in (number.value, number.low, number.high))
    return Reason(code=code, title=title, text=text, supports=supports, value=value, low=low, high=high)


# What the truth and the images say -----------------------------------------------------------------------------------


def _truth(case: Case) -> Reason:
    """What the labels alone say, before any training."""
    dataset = case.evidence.dataset
    if dataset["kind"] == "binary":
        text = (
            "A two-class softmax is the sigmoid of the difference of its logits, so any difference measured here "
            "comes from optimisation and noise, not from the head."
        )
        return _reason("TRUTH-BINARY", "One class: the two heads are the same function", text)
    if dataset["exclusive"]:
        text = (
            "Every labelled pixel has one class, so a softmax can express the truth, and its probabilities add "
            "up to 1. A sigmoid head has to learn that and may call several classes at a pixel, or none."
        )
        return _reason("TRUTH-EXCLUSIVE", "No pixel carries two labels", text, "softmax")
    text = (
        f"{100 * dataset['overlap_share_labelled']:.1f}% of the labelled pixels carry two or more labels. "
        f"Any output with one label a pixel can reach a macro Dice of at most {dataset['ceiling_macro_dice']:.3f} "
        f"(IoU {dataset['ceiling_macro_iou']:.3f}), whatever the network. "
    )
    if case.lost > case.margin.dice:
        text += "Only a sigmoid, or a softmax over label sets, can return both labels."
        return _reason("TRUTH-OVERLAPS", "Labels share pixels", text, "sigmoid", case.lost)
    text += f"That loss lies inside the margin of {case.margin.dice:g}."
    return _reason("TRUTH-OVERLAPS-LITTLE", "Labels share few pixels", text, "neither", case.lost)


def why_undefined(evidence: Evidence) -> str:
    """Why Dice has no value on the split, as half a sentence."""
    absent = evidence.absent(evidence.split)
    why = none_carries(absent, evidence.split) if absent else f"{evidence.split} has no pixel that counts"
    return f"{why}, so Dice has no value"


def _undefined(case: Case) -> Reason | None:
    """That nothing can be compared, because the split has nothing to find."""
    if not case.evidence.undefined:
        return None
    text = (
        f"{capitalised(why_undefined(case.evidence))}: there is nothing to find and nothing to be missed. "
        "What a head calls there is a false alarm, which the Confusion and Images pages count."
    )
    return _reason("DICE-UNDEFINED", "Dice has no value", text, "caution")


def _absent(case: Case) -> Reason | None:
    """Classes without a score on the split, and those whose thresholds could not be tuned on validation."""
    evidence, parts = case.evidence, []
    scored = evidence.absent(evidence.split)
    if scored and not evidence.undefined:
        nothing = capitalised(none_carries(scored, evidence.split))
        parts.append(f"{nothing}: no score there, and {MACRO} is the mean of the others.")
    validated = any(part["split"] == "val" and part["images"] for part in evidence.dataset["splits"])
    untuned = evidence.absent("val") if validated and evidence.split != "val" else ()
    if untuned:
        parts.append(f"{capitalised(not_tuned(untuned, 'val'))}; a temperature of a class's own stays at 1.")
    return _reason("ABSENT-CLASSES", "Classes that are missing", " ".join(parts), "caution") if parts else None


def _rare(case: Case) -> Reason | None:
    """Classes so rare that loss, sampling and threshold are likely to matter more than the head."""
    rare = [entry["name"] for entry in case.evidence.dataset["class_facts"] if 0 < entry["share"] < RARE]
    text = (
        f"{', '.join(rare)}: each under {100 * RARE:g}% of the pixels. For these the loss, the sampling and the "
        f"threshold usually move {MACRO} Dice more than the head does."
    )
    return _reason("RARE-CLASSES", "Rare classes", text, "caution") if rare else None


def _interval(case: Case) -> Reason | None:
    """Why the intervals should be read with care."""
    warning = case.evidence.interval_warning
    if warning is None:
        return None
    return _reason("INTERVALS", "Read the intervals with care", f"{capitalised(warning)}.", "caution")


def _split(case: Case) -> Reason | None:
    """That the verdict rests on images which training has used."""
    if case.evidence.split == "test":
        return None
    text = (
        "There are no test predictions. The split used here also chose the best weights and the temperature (val) "
        "or the weights themselves (train), so every number is too good."
    )
    return _reason("NOT-TEST", f"Judged on {case.evidence.split}", text, "caution")


def _misuse(evidence: Evidence) -> Iterator[Reason]:
    """What the outputs look like that they should not."""
    for head, findings in evidence.findings.items():
        title = f"{LAST_LAYERS[head].title}: the outputs are not what they should be"
        for finding in findings:
            yield _reason(f"OUTPUTS-{finding['code']}", title, f"{capitalised(finding['message'])}.", "caution")


# What was measured of a pair -----------------------------------------------------------------------------------------


def _accuracy(case: Case) -> Reason:
    """The paired difference in macro Dice."""
    ours, theirs = case.values("dice")
    meaning = {
        "above": "sigmoid is better by more than the margin",
        "below": f"{case.name} is better by more than the margin",
        "inside": "the difference lies inside the margin: of no practical size",
        "open": "the interval reaches over a margin: these images do not settle it",
    }[case.position]
    return _reason(
        f"DICE-{case.head.upper()}",
        f"{capitalised(case.evidence.dice)}: sigmoid {ours:.3f}, {case.name} {theirs:.3f}",
        f"Sigmoid minus {case.name} is {case.gap}, margin ±{case.margin.dice:g}: {meaning}.",
        _SUPPORTS[case.position],
        case.gap,
    )


def _accuracies(case: Case) -> Iterator[Reason]:
    """Of the contender, then of the others."""
    yield _accuracy(case)
    others = (head for head in case.evidence.contenders if head != case.head)
    yield from (_accuracy(Case(case.evidence, case.margin, head)) for head in others)


def _probability(case: Case) -> Reason:
    """The paired difference in Brier score at the fitted temperature; ECE explains it."""
    evidence, variant = case.evidence, case.evidence.calibrated
    gap, position = evidence.difference(case.head, evidence.brier, variant=variant), case.brier_position(variant)
    ece = case.values(evidence.ece, variant)
    when = "after each head's temperature was fitted" if variant == "temperature" else "as trained"
    supports, meaning = {
        "above": ("softmax", f"{case.name} has the better probabilities"),
        "below": ("sigmoid", "sigmoid has the better probabilities"),
        "inside": ("neither", "no practical difference in the probabilities"),
        "open": ("caution", "these images do not settle it"),
    }[position]
    text = (
        f"Brier score{evidence.against}, sigmoid minus {case.name}, {when}: "
        f"{gap.text(digits=4)}, margin ±{100 * case.margin.brier_relative:g}%: {meaning}. "
        f"Classwise ECE: {ece[0]:.4f} and {ece[1]:.4f}."
    )
    title = "Probabilities: Brier score and calibration"
    return _reason(f"BRIER-{case.head.upper()}", title, text, supports, gap)  # type: ignore[arg-type]


def _soft_truth(case: Case) -> Reason | None:
    """Classes whose heads rank otherwise by ECE against the soft truth than against the hard one, beyond noise."""
    evidence, variant = case.evidence, case.evidence.calibrated
    turned: list[str] = []
    for name in (entry["name"] for entry in evidence.dataset["class_facts"] if evidence.soft):
        hard, soft = (
            evidence.difference(case.head, metric, class_name=name, variant=variant).position(0.0)
            for metric in ("classwise_ece", evidence.ece)
        )
        if {hard, soft} == {"above", "below"}:
            turned.append(f"{name} ({case.name if hard == 'above' else 'sigmoid'} against hard truth)")
    if not turned:
        return None
    text = (
        f"The head with the lower calibration error is another one against the soft truth: {', '.join(turned)}. Hard "
        "truth counts it as an error to give half of the probability to what half of the observers marked; the soft "
        "truth does not."
    )
    return _reason("SOFT-TRUTH", "Doubt of the observers turns the order of the heads", text, "caution")


def _observers(case: Case) -> Reason | None:
    """How far people differ, beside how far the heads do."""
    evidence = case.evidence
    people = evidence.get(OBSERVERS, "observer_dice")
    if math.isnan(people.value):
        return None
    apart = 1 - people.value
    text = f"One observer's {evidence.dice} with the majority of the others is {_plainly(people)}. "
    if not math.isnan(case.gap.value):
        meaning = {
            "inside": "the heads differ less than people do",
            "open": "whether the heads differ less than people do is open",
        }.get(case.gap.position(apart), "the heads differ more than people do")
        text += f"The heads differ by {abs(case.gap.value):.3f} ({case.gap}), people by {apart:.3f}: {meaning}."
    else:
        reached = evidence.get(case.head, "dice")
        text += f"{capitalised(case.name)} reaches {_plainly(reached)} with the truth."
    return _reason("OBSERVERS", f"Two observers differ by {apart:.3f} Dice", text)


def _class(case: Case) -> Reason | None:
    """The class with the largest difference outside the margin, said with how many were looked at."""
    evidence = case.evidence
    every = [entry["name"] for entry in evidence.dataset["class_facts"]]
    gaps = {name: evidence.difference(case.head, "dice", class_name=name) for name in every}
    known = [name for name, gap in gaps.items() if not math.isnan(gap.value)]
    outside = {name: gap for name, gap in gaps.items() if gap.position(case.margin.dice) in ("above", "below")}
    if len(known) < 2 or not outside:
        return None
    name, gap = max(outside.items(), key=lambda entry: abs(entry[1].value))
    text = f"Dice of {name}, sigmoid minus {case.name}: {gap}. {len(outside)} of {len(known)} classes "
    adjusted = {name: gap.p_holm for name, gap in gaps.items() if not math.isnan(gap.p_holm)}
    if adjusted:
        text += f"lie outside the margin. {_after_holm(adjusted, evidence.replicates)}"
    else:
        text += "lie outside the margin; with many classes some do by chance."
    return _reason("CLASS", f"Largest difference: {name}", text, "sigmoid" if gap.value > 0 else "softmax", gap)


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


def _temperature(case: Case) -> Reason | None:
    """Whether fitting a temperature changes the probabilities more than choosing the head does."""
    if case.evidence.calibrated == "raw":
        return None
    ece = case.evidence.ece
    before, after = case.values(ece), case.values(ece, "temperature")
    changes = [fitted - raw for raw, fitted in zip(before, after, strict=True)]
    by_head = abs(case.evidence.difference(case.head, ece).value)
    largest = max(abs(change) for change in changes)
    if math.isnan(largest) or math.isnan(by_head):
        return None
    text = (
        f"One fitted temperature changes classwise ECE by {signed(changes[0], 4)} (sigmoid) and "
        f"{signed(changes[1], 4)} ({case.name}); the choice of head changes it by {by_head:.4f}: "
    )
    if not case.temperature_explains:
        text += f"temperature matters {'more than' if largest > by_head else 'no more than'} the head here."
        return _reason("TEMPERATURE", "Temperature against head", text, "neither", largest - by_head)
    brier = case.evidence.brier
    raw, fitted = (case.evidence.difference(case.head, brier, variant=one) for one in ("raw", "temperature"))
    text += (
        f"sigmoid minus {case.name} in Brier score is {raw.text(digits=4)} as trained "
        f"and {fitted.text(digits=4)} once each temperature is fitted, inside the margin."
    )
    title = "The temperature, not the head, makes the difference"
    return _reason("TEMPERATURE-DECIDES", title, text, "neither", fitted)


def _threshold_base(case: Case) -> str:
    """The Dice that tuned thresholds are held against: one class against the rest at p > 0.5."""
    return "dice_threshold" if case.exclusive else "dice"


def _threshold(case: Case) -> Reason | None:
    """Whether tuning the thresholds changes the labels more than choosing the head does."""
    base = _threshold_base(case)
    gains = [tuned - half for half, tuned in zip(case.values(base), case.values("dice_tuned"), strict=True)]
    at_half, tuned = (case.evidence.difference(case.head, name) for name in (base, "dice_tuned"))
    if any(math.isnan(number) for number in (*gains, at_half.value, tuned.value)):
        return None
    text = (
        f"Thresholds tuned on validation change {case.evidence.dice} by {signed(gains[0], 3)} (sigmoid) and "
        f"{signed(gains[1], 3)} ({case.name}). "
        f"Sigmoid minus {case.name} is {at_half} at p > 0.5 and {tuned} at the tuned thresholds: "
    )
    if case.threshold_explains:
        text += "what looks like a better head is a threshold that suits it better."
        title = "The threshold, not the head, makes the difference"
        return _reason("THRESHOLD-DECIDES", title, text, "neither", tuned)
    more = max(abs(gain) for gain in gains) > abs(at_half.value)
    text += f"the thresholds matter {'more than' if more else 'no more than'} the head here."
    return _reason("THRESHOLD", "Threshold against head", text, "neither", tuned)


def _swap_metric(case: Case) -> tuple[str, str, int]:
    """Name, title and decimals of what decoding may move: it leaves the argmax of exclusive truth as it is."""
    return (case.evidence.brier, "Brier score", 4) if case.exclusive else ("dice", "Dice", 3)


def _swap(case: Case) -> Reason | None:
    """What training did apart from what reading the output does: each network read by the other head's function."""
    if LAST_LAYERS[case.head].swap is None:
        return None
    metric, title, digits = _swap_metric(case)
    rows = ("reading-of-sigmoid", "reading-of-softmax", "training-read-as-softmax", "training-read-as-sigmoid")
    changes = [case.evidence.get(row, metric) for row in rows]
    if any(math.isnan(change.value) for change in changes):
        return None
    by_reading, by_training = (sum(abs(one.value) for one in pair) / 2 for pair in (changes[:2], changes[2:]))
    first, second, third, fourth = (change.text(digits=digits) for change in changes)
    larger = "training" if by_training > by_reading else "reading the output"
    text = (
        f"Reading one network's logits by sigmoids instead of a softmax changes its macro {title} by {first} "
        f"(sigmoid's network) and {second} (softmax's). Read alike, the two networks differ by {third} (as "
        f"softmax) and {fourth} (as sigmoid). {larger.capitalize()} accounts for more of the difference."
    )
    return _reason("SWAP", "Swap test: training against reading", text, "neither", by_training - by_reading)


def _seeds(case: Case) -> Reason:
    """How much the difference moves from seed to seed."""
    evidence = case.evidence
    gaps = [evidence.difference(case.head, "dice", seed=seed).value for seed in evidence.seeds]
    if len(gaps) < 2:
        text = (
            "The pair was trained once. Another start can move either head by more than their difference; "
            f"train at least {FEWEST_SEEDS} seeds."
        )
        return _reason("ONE-SEED", "One seed is an anecdote", text, "caution")
    few = len(gaps) < FEWEST_SEEDS
    text = (
        f"{capitalised(evidence.dice)}, sigmoid minus {case.name}, seed by seed: "
        f"{', '.join(signed(gap, 3) for gap in gaps)} (standard deviation {stdev(gaps):.3f}). "
        f"The intervals above hold this spread beside that of the {evidence.unit_name}."
        + (f" {len(gaps)} seeds are few; train at least {FEWEST_SEEDS}." if few else "")
    )
    return _reason("SEEDS", f"{len(gaps)} seeds", text, "caution" if few else "neither", stdev(gaps))


# What was measured of a head on its own ------------------------------------------------------------------------------


def _plainly(estimate: Estimate, *, digits: int = 3) -> str:
    """A value with its interval and no sign."""
    if math.isnan(estimate.low):
        return f"{estimate.value:.{digits}f} (no interval)"
    digits = decimals_of(estimate.low, estimate.high, fewest=3)
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _own_scores(case: Case) -> Reason:
    """How well the head does on its own."""
    dice = case.evidence.get(case.head, "dice")
    brier, ece = (
        case.evidence.get(case.head, name, variant=case.evidence.calibrated)
        for name in (case.evidence.brier, case.evidence.ece)
    )
    when = "after its temperature was fitted" if case.evidence.calibrated == "temperature" else "as trained"
    text = (
        f"{capitalised(case.evidence.dice)} is {_plainly(dice)}; Brier score {when} {_plainly(brier, digits=4)}, "
        f"classwise ECE {ece.value:.4f}. Whether another last layer would do better these numbers do not say."
    )
    title = f"{LAST_LAYERS[case.head].title}: {case.evidence.dice} {dice.value:.3f}"
    alone = Estimate(dice.value, math.nan, math.nan)
    return _reason(f"OWN-{case.head.upper()}", title, text, "neither", alone)


def _own_ceiling(case: Case) -> Reason | None:
    """Macro Dice against the best that one label a pixel could reach on this truth."""
    ceiling = case.evidence.dataset["ceiling_macro_dice"]
    dice = case.evidence.get(case.head, "dice")
    if case.lost <= case.margin.dice or math.isnan(dice.value):
        return None
    beyond = case.beyond_ceiling
    if not LAST_LAYERS[case.head].one_label:
        end = "is beyond it: no softmax over the classes could do as well" if beyond else "is not clearly beyond it"
        text = (
            f"One label a pixel can reach {ceiling:.3f} at most, over all splits. The {_plainly(dice)} of "
            f"{case.name} {end}."
        )
    else:
        text = (
            f"This softmax gives a pixel one label, so {ceiling:.3f}, over all splits, is the most it could reach; it "
            f"reaches {_plainly(dice)}. The rest of the way to 1 is closed to it, however it is trained."
        )
    above = Estimate(dice.value - ceiling, dice.low - ceiling, dice.high - ceiling)
    supports: Supports = "sigmoid" if beyond and case.head == "sigmoid" else "neither"
    return _reason("OWN-CEILING", "Against the best with one label a pixel", text, supports, above)


def _to(case: Case) -> str:
    """Whose it is, where there are two softmaxes."""
    return f" to {case.name}" if len(case.evidence.heads) > 1 else ""


def _own_temperature(case: Case) -> Reason | None:
    """What one fitted temperature does to the probabilities."""
    (raw, fitted), ece = (
        [case.evidence.get(case.head, name, variant=variant).value for variant in ("raw", "temperature")]
        for name in (case.evidence.brier, case.evidence.ece)
    )
    if math.isnan(raw) or math.isnan(fitted):
        return None
    text = (
        f"One temperature fitted on validation moves the Brier score of {case.name} from "
        f"{raw:.4f} to {fitted:.4f} and its classwise ECE from {ece[0]:.4f} to {ece[1]:.4f}."
    )
    return _reason("OWN-TEMPERATURE", f"What a temperature is worth{_to(case)}", text, "neither", fitted - raw)


def _own_threshold(case: Case) -> Reason | None:
    """What thresholds tuned on validation do to the labels."""
    before = case.evidence.get(case.head, _threshold_base(case)).value
    tuned = case.evidence.get(case.head, "dice_tuned")
    if math.isnan(before) or math.isnan(tuned.value):
        return None
    rest = ", each class against the rest," if case.exclusive else ""
    text = (
        f"Thresholds tuned on validation move the {case.evidence.dice} of {case.name}{rest} from "
        f"{before:.3f} at p > 0.5 to {_plainly(tuned)}."
    )
    return _reason(
        "OWN-THRESHOLD", f"What tuned thresholds are worth{_to(case)}", text, "neither", tuned.value - before
    )


def _own_swap(case: Case) -> Reason | None:
    """The half of the swap test that one network allows: the same logits read by the other head's function."""
    metric, title, digits = _swap_metric(case)
    change = case.evidence.get(str(LAST_LAYERS[case.head].swap), metric)
    if math.isnan(change.value):
        return None
    text = (
        f"Reading this {case.head} network's logits by sigmoids instead of a softmax changes its macro {title} by "
        f"{change.text(digits=digits)}. What training with the other head does is not seen here."
    )
    return _reason("OWN-SWAP", "Swap test: what reading the output does", text, "neither", change)


def _own_seeds(case: Case) -> Reason | None:
    """How far the head's Dice moves from seed to seed."""
    values = [case.evidence.get(case.head, "dice", seed=seed).value for seed in case.evidence.seeds]
    if len(values) < 2:
        return None
    text = (
        f"{capitalised(case.evidence.dice)} of {case.name}, seed by seed: "
        f"{', '.join(f'{value:.3f}' for value in values)} "
        f"(standard deviation {stdev(values):.3f}). A difference between heads would have to be larger than that."
    )
    return _reason("OWN-SEEDS", f"{len(values)} seeds", text, "neither", stdev(values))


# In the order in which they are read ---------------------------------------------------------------------------------

_OF_PAIR: Final[tuple[_Reason, ...]] = (
    _probability,
    _soft_truth,
    _observers,
    _class,
    _temperature,
    _threshold,
    _swap,
    _seeds,
)
_OF_HEAD: Final[tuple[_Reason, ...]] = (
    _own_scores, _observers, _own_ceiling, _own_temperature, _own_threshold, _own_swap, _own_seeds,
)  # fmt: skip
_OF_DATA: Final[tuple[_Reason, ...]] = (_rare, _absent, _interval, _split)


def _known(case: Case, *functions: _Reason) -> Iterator[Reason]:
    yield from (reason for function in functions if (reason := function(case)) is not None)


def reasons_of_pair(case: Case) -> tuple[Reason, ...]:
    """What speaks for sigmoid or its contender; where Dice has no value, only why."""
    if case.evidence.undefined:
        start, end = (*_known(case, _undefined), *_misuse(case.evidence)), (_truth, _absent, _split)
        return (*start, *_known(case, *end))
    start = (*_misuse(case.evidence), _truth(case), *_accuracies(case))
    return (*start, *_known(case, *_OF_PAIR, *_OF_DATA))


def reasons_of_heads(cases: list[Case]) -> tuple[Reason, ...]:
    """What can be said of heads that have nothing to be compared with."""
    first = cases[0]
    start = (*_known(first, _undefined), *_misuse(first.evidence), _truth(first))
    each = [reason for case in cases if not case.evidence.undefined for reason in _known(case, *_OF_HEAD)]
    return (*start, *each, *_known(first, *_OF_DATA))
