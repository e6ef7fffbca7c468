"""Evidence to a verdict: which last layer, how sure, why, what would change it. docs/verdict.md says it in words."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipelines.errors import RunError
from pipelines.heads import LAST_LAYERS, missing_head, only
from pipelines.judgement import Answer, Margin, Missing, Verdict
from pipelines.schema import Head
from pipelines.sentences import count_of
from pipelines.verdict.evidence import Evidence
from pipelines.verdict.reasons import FEWEST_SEEDS, Case, reasons_of_heads, reasons_of_pair, why_undefined

_OF_TRAINING = "A test split: this one also chose the weights and the temperature."


def decide(
    dataset: dict[str, Any], metrics: pd.DataFrame, facts: dict[str, Any], *, margin: Margin | None = None
) -> Verdict:
    """Judge a run.

    dataset: the check report; metrics: rows of layouts.METRICS_SCHEMA; facts: evaluation.json; margin: what counts as
    no practical difference, default Margin(). Where there is no pair to compare the answer is "nothing to compare".
    """
    return judge(Evidence(dataset, metrics, facts), margin)


def judge(evidence: Evidence, margin: Margin | None = None) -> Verdict:
    """The same from evidence that was gathered before, which takes most of the time."""
    margin = margin or Margin()
    common: dict[str, Any] = {"split": evidence.split, "seeds": evidence.seeds, "margin": margin}
    if not evidence.contenders:
        return _judge_without_pair(evidence, margin, common)
    if evidence.undefined:
        missing = " or ".join(evidence.absent(evidence.split)) or "pixels that count"
        return Verdict(
            answer="not enough evidence",
            contender=evidence.contenders[0],
            headline=f"Not known: {why_undefined(evidence)}.",
            confidence="tentative",
            reasons=reasons_of_pair(Case(evidence, margin, evidence.contenders[0])),
            would_change=(f"Images in {evidence.split} with {missing}: without them nothing is measured.",),
            images_needed=None,
            **common,
        )
    case = _case(evidence, margin)
    answer = _answer(case)
    is_open = case.position == "open"
    needed = None
    if is_open and answer == "not enough evidence":
        needed = case.gap.more_units(margin.dice, evidence.units, fixed=evidence.seed_share(case.head, "dice"))
    settled = (
        answer != "not enough evidence"
        and not is_open
        and len(evidence.seeds) >= FEWEST_SEEDS
        and evidence.split == "test"
        and not (answer == "no practical difference" and case.brier_position(evidence.calibrated) == "open")
    )
    return Verdict(
        answer=answer,
        contender=case.head,  # type: ignore[arg-type]
        headline=_headline(answer, case),
        confidence="strong" if settled and evidence.interval_warning is None else "tentative",
        reasons=reasons_of_pair(case),
        would_change=_would_change(answer, case, needed),
        images_needed=needed,
        **common,
    )


def _case(evidence: Evidence, margin: Margin) -> Case:
    """The softmax the answer is about: the one over label sets only if it is alone or beats sigmoid by the margin."""
    cases = [Case(evidence, margin, head) for head in evidence.contenders]
    plain = next((case for case in cases if LAST_LAYERS[case.head].one_label), None)
    sets = next((case for case in cases if LAST_LAYERS[case.head].over_label_sets), None)
    if sets is not None and (plain is None or sets.position == "below"):
        return sets
    return plain or cases[0]


def _theory_backs(case: Case) -> bool:
    """Whether one label a pixel, all that the contender can give, costs more than the margin by the truth alone."""
    return LAST_LAYERS[case.head].one_label and case.lost > case.margin.dice


def _every_pair_agrees(case: Case) -> bool:
    """Whether theory says sigmoid and each trained pair alone is better by more than the margin.

    Then the spread of a few seeds, which makes the interval of their mean wide, leaves only the size of it open.
    """
    gaps = [case.evidence.difference(case.head, "dice", seed=seed) for seed in case.evidence.seeds]
    return _theory_backs(case) and all(gap.position(case.margin.dice) == "above" for gap in gaps)


def _answer(case: Case) -> Answer:
    position = case.position
    enough = len(case.evidence.seeds) >= FEWEST_SEEDS
    if case.evidence.misused:
        return "not enough evidence"
    if position == "open":
        return "sigmoid" if _every_pair_agrees(case) else "not enough evidence"
    if case.threshold_explains:  # then labels are equally good where it counts
        return _by_probabilities(case) if enough else "not enough evidence"
    if position == "above":
        # Theory and measurement agree where the truth overlaps; a measurement alone needs several seeds.
        return "sigmoid" if enough or _theory_backs(case) else "not enough evidence"
    if position == "below":
        return "softmax" if enough else "not enough evidence"
    if case.evidence.dataset["kind"] == "binary":  # equal in theory and measured so
        return "no practical difference"
    return _by_probabilities(case) if enough else "not enough evidence"


def _by_probabilities(case: Case) -> Answer:
    """Equal accuracy: the proper score decides, if its difference is of practical size."""
    position = case.brier_position(case.evidence.calibrated)
    if position == "above":
        return "softmax"
    return "sigmoid" if position == "below" else "no practical difference"


def _headline(answer: Answer, case: Case) -> str:
    evidence, gap, position, margin = case.evidence, case.gap, case.position, case.margin
    winner = "Sigmoid" if answer == "sigmoid" else LAST_LAYERS[case.head].title
    if answer != "not enough evidence" and case.threshold_explains:
        better = "sigmoid" if gap.value > 0 else case.name
        why = (
            f"at p > 0.5 {better} is {abs(gap.value):.3f} Dice better, at thresholds tuned on validation the heads are "
            f"within {margin.dice:g}"
        )
        if answer == "no practical difference":
            return f"No practical difference once thresholds are tuned: {why}."
        return (
            f"{winner}, for its probabilities; in the labels the threshold, not the head, makes the difference: {why}."
        )
    if answer == "no practical difference":
        return f"No practical difference: sigmoid and {case.name} are within {margin.dice:g} Dice of each other."
    if evidence.misused:
        return "Not enough evidence: the outputs of a head are not what they are said to be, so its numbers are wrong."
    if answer == "not enough evidence":
        if position == "open":
            known = f"{evidence.units} {evidence.unit_name[:-1] if evidence.units == 1 else evidence.unit_name}"
            return f"Not enough evidence: {known} cannot settle the difference in Dice, {gap}."
        leaning = {"above": "sigmoid", "below": case.name, "inside": "no practical difference"}[position]
        seeds = count_of(len(evidence.seeds), "seed")
        return f"Not enough evidence: {seeds} only. What was trained leans to {leaning} ({gap} Dice)."
    if position == "inside":
        return f"{winner}: the labels are equally good, its probabilities are better."
    if position == "open":  # a sigmoid whose pairs all agree
        pairs = "both" if len(evidence.seeds) == 2 else f"all {len(evidence.seeds)}"
        return f"{winner}: better in {pairs} trained pairs, by {abs(gap.value):.3f} Dice on average."
    return f"{winner}: {abs(gap.value):.3f} Dice better on this data."


def _would_change(answer: Answer, case: Case, needed: int | None) -> tuple[str, ...]:
    evidence, gap, position = case.evidence, case.gap, case.position
    items: list[str] = []
    missing = FEWEST_SEEDS - len(evidence.seeds)
    if missing > 0:
        items.append(
            f"{count_of(missing, 'more seed')}: with fewer than {FEWEST_SEEDS} a difference may be luck of the start."
        )
    if position == "open" and answer == "sigmoid":
        items.append(
            "More seeds would say by how much: sigmoid is better in every pair, but the gap varies between seeds."
        )
    elif position == "open":
        if needed is not None:
            items.append(f"About {needed} more {evidence.unit_name} like these would settle the difference in Dice.")
        elif evidence.seed_share(case.head, "dice") > 0.5:
            items.append("More seeds: most of the uncertainty comes from training, which more images do not remove.")
        elif gap.low == gap.low:  # an interval is known
            items.append("The difference lies too close to the margin for more images to settle it; choose another.")
    elif position == "inside":
        items.append(f"A margin under {max(abs(gap.low), abs(gap.high)):.3f} Dice would leave the question open.")
    else:
        items.append(f"A margin above {min(abs(gap.low), abs(gap.high)):.3f} Dice would leave the question open.")
    if answer in ("sigmoid", "softmax") and position == "inside":
        items.append("If only the labels matter and not the probabilities, either head will do.")
    if answer == "no practical difference" and case.brier_position(evidence.calibrated) == "open":
        items.append("The labels are equally good, but whether the probabilities are is open: more images would tell.")
    if evidence.split != "test":
        items.append(_OF_TRAINING)
    if evidence.interval_warning is not None:
        items.append("More images, from more groups where there are groups: the intervals shown may be too narrow.")
    return tuple(items)


# Without a pair ------------------------------------------------------------------------------------------------------


def _judge_without_pair(evidence: Evidence, margin: Margin, common: dict[str, Any]) -> Verdict:
    """What can be said without the other head. The answer never chooses one: that takes a comparison.

    Raises RunError where both heads have metrics and their difference has none.
    """
    missing = missing_head(evidence.heads)
    if missing is None:
        raise RunError("the metrics hold both heads and no difference of them; run evaluate on the run again")
    cases = [Case(evidence, margin, head) for head in evidence.heads]
    changes = [_how_to_add(evidence.heads, missing)] + [_OF_TRAINING] * (evidence.split != "test")
    return Verdict(
        answer="nothing to compare",
        contender=None,
        missing=missing,
        headline=f"{only(evidence.heads)}{_alone(cases)}",
        confidence="tentative",
        reasons=reasons_of_heads(cases),
        would_change=tuple(changes),
        images_needed=None,
        **common,
    )


def _how_to_add(heads: Sequence[Head], missing: Missing) -> str:
    """What would make a comparison of the heads that are here."""
    both = " ".join(f"--{layer.option} FOLDER" for head, layer in LAST_LAYERS.items() if head in (*heads, missing))
    return (
        f"The {missing} head, on the same images: import the outputs of all heads with python -m pipelines import NAME "
        f"--dataset DATASET {both}, or train a pair with python -m pipelines run DATASET --seeds 0,1,2."
    )


def _alone(cases: Sequence[Case]) -> str:
    """The end of a headline that begins with what is there."""
    evidence, dataset = cases[0].evidence, cases[0].evidence.dataset
    if evidence.undefined:
        return f", and {why_undefined(evidence)}."
    if evidence.misused:
        return ", and its outputs are not what they are said to be, so its numbers are wrong."
    if dataset["kind"] == "binary":
        return ". With one class the other would be the same function: what differs comes from training."
    other = "a softmax" if "sigmoid" in evidence.heads else "a sigmoid"
    if dataset["exclusive"]:
        return f". No pixel carries two labels, which suits a softmax; whether {other} does better is open."
    if cases[0].lost <= cases[0].margin.dice:
        return f". So few pixels carry two labels that the truth decides nothing; {other} is needed to compare."
    bound = f"one label a pixel can reach {dataset['ceiling_macro_dice']:.3f} Dice at most"
    beyond = next((case.name for case in cases if case.beyond_ceiling), None)
    if beyond is not None:
        return f". Labels share pixels: {bound}, and {beyond} is beyond that."
    return f". Labels share pixels: {bound}; what {other} reaches in practice is open."
