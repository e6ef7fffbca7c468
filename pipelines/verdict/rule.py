"""Evidence to a verdict: which last layer, how sure, why, what would change it. docs/verdict.md says it in words."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipelines.errors import RunError
from pipelines.heads import LAST_LAYERS, missing_head, only
from pipelines.judgement import Answer, Contender, Margin, Missing, Reason, Verdict
from pipelines.schema import Head
from pipelines.sentences import count_of
from pipelines.verdict import reasons
from pipelines.verdict.evidence import Evidence, Position

FEWEST_SEEDS = 3


def decide(
    dataset: dict[str, Any], metrics: pd.DataFrame, facts: dict[str, Any], *, margin: Margin | None = None
) -> Verdict:
    """Judge a run.

    dataset: the check report; metrics: rows of schema.METRICS_SCHEMA; facts: evaluation.json; margin: what counts as
    no practical difference, default Margin(). Where there is no pair to compare the answer is "nothing to compare".
    """
    return judge(Evidence(dataset, metrics, facts), margin)


def judge(evidence: Evidence, margin: Margin | None = None) -> Verdict:
    """The same from evidence that was gathered before, which takes most of the time."""
    margin = margin or Margin()
    if not evidence.contenders:
        return _judge_without_pair(evidence, margin)
    if evidence.undefined:
        return _undefined(evidence, margin)
    contender = _contender(evidence, margin)
    answer = _answer(evidence, contender, margin)
    gap = evidence.difference(contender, "dice")
    share = evidence.seed_share(contender, "dice")
    is_open = gap.position(margin.dice) == "open"
    asked = is_open and answer == "not enough evidence"
    needed = gap.more_units(margin.dice, evidence.units, fixed=share) if asked else None
    settled = (
        answer != "not enough evidence"
        and not is_open
        and len(evidence.seeds) >= FEWEST_SEEDS
        and evidence.split == "test"
        and not (answer == "no practical difference" and _brier_position(evidence, contender, margin) == "open")
    )
    return Verdict(
        answer=answer,
        contender=contender,
        headline=_headline(answer, evidence, contender, margin),
        confidence="strong" if settled and evidence.interval_warning is None else "tentative",
        reasons=_reasons(evidence, contender, margin),
        would_change=_would_change(answer, evidence, contender, margin, needed),
        images_needed=needed,
        split=evidence.split,
        seeds=evidence.seeds,
        margin=margin,
    )


def _undefined(evidence: Evidence, margin: Margin) -> Verdict:
    """Nothing is known where Dice has no value."""
    contender = evidence.contenders[0]
    given = [
        reasons.undefined_reason(evidence),
        *reasons.misuse_reasons(evidence),
        reasons.truth_reason(evidence, margin),
        reasons.absent_reason(evidence),
        reasons.split_reason(evidence),
    ]
    missing = " or ".join(evidence.absent(evidence.split)) or "pixels that count"
    return Verdict(
        answer="not enough evidence",
        contender=contender,
        headline=f"Not known: {reasons.why_undefined(evidence)}.",
        confidence="tentative",
        reasons=tuple(reason for reason in given if reason is not None),
        would_change=(f"Images in {evidence.split} with {missing}: without them nothing is measured.",),
        images_needed=None,
        split=evidence.split,
        seeds=evidence.seeds,
        margin=margin,
    )


def _positions(evidence: Evidence, margin: Margin) -> dict[str, Position]:
    return {one: evidence.difference(one, "dice").position(margin.dice) for one in evidence.contenders}


def _contender(evidence: Evidence, margin: Margin) -> Contender:
    """The softmax the answer is about: the one over label sets only if it is alone or beats sigmoid by the margin."""
    plain = next((head for head in evidence.contenders if LAST_LAYERS[head].one_label), None)
    sets = next((head for head in evidence.contenders if LAST_LAYERS[head].over_label_sets), None)
    better = sets is not None and _positions(evidence, margin)[sets] == "below"
    return sets if sets is not None and (plain is None or better) else plain or "softmax"


def _overlap_binds(evidence: Evidence, margin: Margin) -> bool:
    """Whether one label a pixel costs more than the margin, by the truth alone."""
    return not evidence.dataset["exclusive"] and 1 - evidence.dataset["ceiling_macro_dice"] > margin.dice


def _every_pair_agrees(evidence: Evidence, contender: Contender, margin: Margin) -> bool:
    """Whether theory says sigmoid and each trained pair alone is better by more than the margin.

    Then the spread of a few seeds, which makes the interval of their mean wide, leaves only the size of it open.
    """
    backed = LAST_LAYERS[contender].one_label and _overlap_binds(evidence, margin)
    gaps = [evidence.difference(contender, "dice", seed=seed) for seed in evidence.seeds]
    return backed and all(gap.position(margin.dice) == "above" for gap in gaps)


def _answer(evidence: Evidence, contender: Contender, margin: Margin) -> Answer:
    position = _positions(evidence, margin)[contender]
    enough = len(evidence.seeds) >= FEWEST_SEEDS
    if evidence.misused:
        return "not enough evidence"
    if position == "open":
        return "sigmoid" if _every_pair_agrees(evidence, contender, margin) else "not enough evidence"
    if reasons.threshold_explains(evidence, contender, margin):  # then labels are equally good where it counts
        return _by_probabilities(evidence, contender, margin) if enough else "not enough evidence"
    if position == "above":
        # Theory and measurement agree where the truth overlaps; a measurement alone needs several seeds.
        backed = LAST_LAYERS[contender].one_label and _overlap_binds(evidence, margin)
        return "sigmoid" if enough or backed else "not enough evidence"
    if position == "below":
        return "softmax" if enough else "not enough evidence"
    if evidence.dataset["kind"] == "binary":  # equal in theory and measured so
        return "no practical difference"
    if not enough:
        return "not enough evidence"
    return _by_probabilities(evidence, contender, margin)


def _brier_position(evidence: Evidence, contender: Contender, margin: Margin) -> Position:
    gap = evidence.difference(contender, "brier", variant=evidence.calibrated)
    return gap.position(reasons.brier_margin(evidence, contender, margin))


def _by_probabilities(evidence: Evidence, contender: Contender, margin: Margin) -> Answer:
    """Equal accuracy: the proper score decides, if its difference is of practical size."""
    position = _brier_position(evidence, contender, margin)
    if position == "above":
        return "softmax"
    return "sigmoid" if position == "below" else "no practical difference"


def _headline(answer: Answer, evidence: Evidence, contender: Contender, margin: Margin) -> str:
    other = LAST_LAYERS[contender].title
    gap = evidence.difference(contender, "dice")
    position = gap.position(margin.dice)
    if answer != "not enough evidence" and reasons.threshold_explains(evidence, contender, margin):
        return _threshold_headline(answer, gap.value, other, margin)
    if answer == "no practical difference":
        return f"No practical difference: sigmoid and {other.lower()} are within {margin.dice:g} Dice of each other."
    if evidence.misused:
        return "Not enough evidence: the outputs of a head are not what they are said to be, so its numbers are wrong."
    if answer == "not enough evidence":
        if position == "open":
            known = f"{evidence.units} {evidence.unit_name[:-1] if evidence.units == 1 else evidence.unit_name}"
            return f"Not enough evidence: {known} cannot settle the difference in Dice, {gap}."
        leaning = {"above": "sigmoid", "below": other.lower(), "inside": "no practical difference"}[position]
        seeds = count_of(len(evidence.seeds), "seed")
        return f"Not enough evidence: {seeds} only. What was trained leans to {leaning} ({gap} Dice)."
    winner = "Sigmoid" if answer == "sigmoid" else other
    if position == "inside":
        return f"{winner}: the labels are equally good, its probabilities are better."
    if position == "open":  # a sigmoid whose pairs all agree
        pairs = "both" if len(evidence.seeds) == 2 else f"all {len(evidence.seeds)}"
        return f"{winner}: better in {pairs} trained pairs, by {abs(gap.value):.3f} Dice on average."
    return f"{winner}: {abs(gap.value):.3f} Dice better on this data."


def _threshold_headline(answer: Answer, gap: float, other: str, margin: Margin) -> str:
    better = "sigmoid" if gap > 0 else other.lower()
    why = (
        f"at p > 0.5 {better} is {abs(gap):.3f} Dice better, at thresholds tuned on validation the heads are within "
        f"{margin.dice:g}"
    )
    if answer == "no practical difference":
        return f"No practical difference once thresholds are tuned: {why}."
    winner = "Sigmoid" if answer == "sigmoid" else other
    return f"{winner}, for its probabilities; in the labels the threshold, not the head, makes the difference: {why}."


def _reasons(evidence: Evidence, contender: Contender, margin: Margin) -> tuple[Reason, ...]:
    others = [head for head in evidence.contenders if head != contender]
    given = [
        *reasons.misuse_reasons(evidence),
        reasons.truth_reason(evidence, margin),
        reasons.accuracy_reason(evidence, contender, margin),
        *(reasons.accuracy_reason(evidence, head, margin) for head in others),
        reasons.probability_reason(evidence, contender, margin),
        reasons.class_reason(evidence, contender, margin),
        reasons.temperature_reason(evidence, contender, margin),
        reasons.threshold_reason(evidence, contender, margin),
        reasons.swap_reason(evidence, contender),
        reasons.seeds_reason(evidence, contender, FEWEST_SEEDS),
        reasons.rare_reason(evidence),
        reasons.absent_reason(evidence),
        reasons.interval_reason(evidence),
        reasons.split_reason(evidence),
    ]
    return tuple(reason for reason in given if reason is not None)


def _would_change(
    answer: Answer, evidence: Evidence, contender: Contender, margin: Margin, needed: int | None
) -> tuple[str, ...]:
    gap = evidence.difference(contender, "dice")
    position = gap.position(margin.dice)
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
        elif evidence.seed_share(contender, "dice") > 0.5:
            items.append("More seeds: most of the uncertainty comes from training, which more images do not remove.")
        elif gap.low == gap.low:  # an interval is known
            items.append("The difference lies too close to the margin for more images to settle it; choose another.")
    elif position == "inside":
        items.append(f"A margin under {max(abs(gap.low), abs(gap.high)):.3f} Dice would leave the question open.")
    else:
        items.append(f"A margin above {min(abs(gap.low), abs(gap.high)):.3f} Dice would leave the question open.")
    if answer in ("sigmoid", "softmax") and position == "inside":
        items.append("If only the labels matter and not the probabilities, either head will do.")
    if answer == "no practical difference" and _brier_position(evidence, contender, margin) == "open":
        items.append("The labels are equally good, but whether the probabilities are is open: more images would tell.")
    if evidence.split != "test":
        items.append("A test split: this one also chose the weights and the temperature.")
    if evidence.interval_warning is not None:
        items.append("More images, from more groups where there are groups: the intervals shown may be too narrow.")
    return tuple(items)


# Without a pair ------------------------------------------------------------------------------------------------------


def _judge_without_pair(evidence: Evidence, margin: Margin) -> Verdict:
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
        headline=_headline_without_pair(evidence, margin),
        confidence="tentative",
        reasons=_reasons_without_pair(evidence, margin),
        would_change=tuple(changes),
        images_needed=None,
        split=evidence.split,
        seeds=evidence.seeds,
        margin=margin,
    )


def _how_to_add(heads: Sequence[Head], missing: Missing) -> str:
    """What would make a comparison of the heads that are here."""
    both = " ".join(f"--{layer.option} FOLDER" for head, layer in LAST_LAYERS.items() if head in (*heads, missing))
    return (
        f"The {missing} head, on the same images: import the outputs of all heads with python -m pipelines import NAME "
        f"--dataset DATASET {both}, or train a pair with python -m pipelines run DATASET --seeds 0,1,2."
    )


def _headline_without_pair(evidence: Evidence, margin: Margin) -> str:
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
    beyond = [
        LAST_LAYERS[head].title.lower() for head in evidence.heads if reasons.above_ceiling(evidence, head, margin)
    ]
    if beyond:
        return f"{here}. Labels share pixels: {bound}, and {beyond[0]} is beyond that."
    return f"{here}. Labels share pixels: {bound}; what {other} reaches in practice is open."


def _reasons_without_pair(evidence: Evidence, margin: Margin) -> tuple[Reason, ...]:
    given: list[Reason | None] = [
        reasons.undefined_reason(evidence),
        *reasons.misuse_reasons(evidence),
        reasons.truth_reason(evidence, margin),
    ]
    for head in () if evidence.undefined else evidence.heads:
        given += [
            reasons.own_scores_reason(evidence, head),
            reasons.own_ceiling_reason(evidence, head, margin),
            reasons.own_temperature_reason(evidence, head),
            reasons.own_threshold_reason(evidence, head),
            reasons.own_swap_reason(evidence, head),
            reasons.own_seeds_reason(evidence, head),
        ]
    given += [
        reasons.rare_reason(evidence),
        reasons.absent_reason(evidence),
        reasons.interval_reason(evidence),
        reasons.split_reason(evidence),
    ]
    return tuple(reason for reason in given if reason is not None)
