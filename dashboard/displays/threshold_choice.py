"""Thresholds of single classes to what they give and cost, as numbers and in words."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Final, NamedTuple, TypeAlias, get_args

import numpy as np
import pandas as pd

from dashboard import queries, tables
from dashboard.displays import base
from dashboard.displays.base import Selection, selection_of
from dashboard.queries.counts import Decided, area_intervals, decided, outcome_sums, tuned, units_drawn
from dashboard.rounding import NO_VALUE, minus, percent, rounded, with_interval
from dashboard.theme import HEAD_TITLES
from pipelines.arrays import BoolArray, Float64Array, Int64Array
from pipelines.counting.grid import HALF_CELL, STEPS, first_cell_above
from pipelines.errors import ShapeError
from pipelines.judgement import Margin
from pipelines.metrics import METRICS, decisions, thresholds
from pipelines.metrics.decisions import Alone, Bounds, Paired, Statistic, nearest_cut
from pipelines.metrics.thresholds import CUT_LOG_ODDS, CUT_P
from pipelines.schema import MACRO, Head, Split
from pipelines.sentences import bracketed, capitalised, decimals_of
from pipelines.store.runs import Run

Cuts: TypeAlias = Mapping[Head, tuple[int, ...]]  # of each class
INNER: Final = range(1, len(CUT_P) - 1)
_FIRST, _LAST = first_cell_above(1 / 300), first_cell_above(299 / 300)
Curve: TypeAlias = tuple[Float64Array, Float64Array]  # x and y, (CELLS + 1) each
RANKS: Final = ("auroc", "average_precision")
_AREAS: Final = {"auroc": thresholds.auroc, "average_precision": thresholds.average_precision, "aurc": thresholds.aurc}
MEAN: Final = "mean of classes"
_KEPT: Final = 12  # sets of thresholds: three rules of two heads, twice
STEP_CUTS: Final = slice(first_cell_above(1 / STEPS), first_cell_above(1 - 1 / STEPS) + 1)  # the cuts k/300
PER: Final = 1000.0  # pixels that a cost on screen is of: that of one pixel has too many zeros


class Ranked(NamedTuple):
    """How the heads rank the pixels of one class.

    rates: false and true positive rate at every cut, by head; precisions: recall and precision; areas: by metric, of
    `areas_of`; table: of the curves.
    """

    rates: dict[Head, Curve]
    precisions: dict[Head, Curve]
    areas: dict[str, pd.DataFrame]
    table: pd.DataFrame


@dataclass(frozen=True)
class Look(Selection):
    """A selection with all that thresholds can make of it, each counted when it is first asked for."""

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names in channel order."""
        return tuple(queries.runs.dataset(self.run)["classes"])

    @cached_property
    def index(self) -> int | None:
        """Place of the class; None for the mean of several."""
        if len(self.classes) == 1:
            return 0
        return None if self.class_name is None else self.classes.index(self.class_name)

    @property
    def title(self) -> str:
        """Name of what is shown."""
        return MEAN if self.index is None else self.classes[self.index]

    @property
    def tuning(self) -> Split | None:
        """Images that thresholds may be chosen on and reported on the split shown; None where there are no others."""
        return "val" if "val" in self.run.splits and self.split != "val" else None

    @cached_property
    def _decided(self) -> dict[Head, Decided]:
        return {head: decided(self.run, self.split, head, self.seeds, self.variant) for head in self.heads}

    @cached_property
    def tried(self) -> dict[Head, Decided]:
        """What each head may decide on the images that thresholds are chosen on."""
        split = self.tuning or self.split
        return {head: decided(self.run, split, head, self.seeds, self.variant) for head in self.heads}

    def of(self, head: Head) -> Decided:
        """What a head may decide on the split shown."""
        return self._decided[head]

    @property
    def present(self) -> BoolArray:
        """(C,) classes with any truth in the split shown."""
        return self.of(self.heads[0]).present

    @cached_property
    def scores(self) -> dict[str, dict[Head, Float64Array]]:
        """Dice and IoU of what is shown, by name and head, at every cut, (CELLS + 1); NaN of a class without truth."""
        functions = {"dice": thresholds.dice_curve, "iou": thresholds.iou_curve}
        absent = ~self.present
        found: dict[str, dict[Head, Float64Array]] = {}
        for name, function in functions.items():
            found[name] = {}
            for head in self.heads:
                values = function(self.of(head).hist)
                values[:, absent] = np.nan  # 0 wherever the class is called, which says nothing of a threshold
                found[name][head] = self.curve(values)
        return found

    @cached_property
    def score_table(self) -> pd.DataFrame:
        """`curve_table` of the scores."""
        return curve_table(self, self.scores)

    @cached_property
    def ranked(self) -> "Ranked":
        """Curves and areas of the class shown. Raises ShapeError for the mean of several, which has none."""
        if self.index is None:
            raise ShapeError("the mean of several classes has no ROC curve; choose one class")
        rates: dict[Head, Curve] = {}
        precisions: dict[Head, Curve] = {}
        for head in self.heads:
            hist = self.of(head).hist[:, self.index]
            false, true = (rate.mean(axis=0) for rate in thresholds.roc_curve(hist))
            rates[head], precisions[head] = (false, true), (true, thresholds.pr_curve(hist)[0].mean(axis=0))
        columns = {
            "false_positive_rate": {head: x for head, (x, _) in rates.items()},
            "recall": {head: x for head, (x, _) in precisions.items()},
            "precision": {head: y for head, (_, y) in precisions.items()},
        }
        return Ranked(rates, precisions, {name: areas_of(self, name) for name in RANKS}, curve_table(self, columns))

    def curve(self, values: Float64Array) -> Float64Array:
        """(S, C, CELLS + 1) curves to the one shown, (CELLS + 1): means over seeds and, if need be, over classes."""
        mean = values.mean(axis=0)
        if self.index is not None:
            return mean[self.index]
        return mean[self.present].mean(axis=0) if self.present.any() else np.full(mean.shape[-1], np.nan)

    @cached_property
    def tuned_cuts(self) -> dict[Head, tuple[int, ...] | None]:
        """The cut of each class that was tuned on validation, by head; None without validation images."""
        found = {head: tuned(self.run, head, self.seeds, self.variant) for head in self.heads}
        return {
            head: None if some is None else tuple(first_cell_above(round(one * STEPS) / STEPS) for one in some)
            for head, some in found.items()
        }

    @cached_property
    def untuned(self) -> tuple[str, ...]:
        """Classes that validation has no pixel of, which keep 0.5."""
        return queries.counts.absent_classes(self.run, "val") if "val" in self.run.splits else ()

    def filled(self, cuts: Cuts | None) -> dict[Head, tuple[int, ...]]:
        """Cuts of both heads, 0.5 where none are given."""
        given = cuts or {}
        return {head: tuple(given.get(head, (HALF_CELL,) * len(self.classes))) for head in self.heads}

    def shown_cut(self, cuts: Sequence[int]) -> int | None:
        """The cut of the class shown; of all classes if they share one, else None."""
        if self.index is not None:
            return int(cuts[self.index])
        return int(cuts[0]) if len(set(cuts)) == 1 else None

    @property
    def members(self) -> list[int]:
        """The class shown, or those that its mean runs over: all with any truth."""
        return [self.index] if self.index is not None else [int(one) for one in np.flatnonzero(self.present)]

    def outcomes(self, head: Head, cuts: Sequence[int]) -> Float64Array:
        """(1 + B, S, C, 4) true and false positives, false and true negatives: of all images, then in replicates."""
        return self._outcomes(head, tuple(cuts))

    @cached_property
    def _outcomes(self) -> Callable[[Head, tuple[int, ...]], Float64Array]:
        """A step of one head's slider asks six times for thresholds that it does not move."""
        return lru_cache(_KEPT)(partial(outcome_sums, self.run, self.split, seeds=self.seeds, variant=self.variant))

    def measured(self, sums: Sequence[Float64Array], statistic: Statistic, *, most: float) -> Paired | Alone:
        """A statistic of the heads, from sums of each, (1 + B, S, *F), and their difference over the same images.

        Of one head alone its own interval. most: what the statistic cannot exceed.
        """
        units = units_drawn(self.run, self.split)
        if len(sums) == 1:
            return decisions.alone(sums[0], statistic, units=units, most=most)
        first, second = sums
        return decisions.paired(first, second, statistic, units=units, most=most)


class Costs(NamedTuple):
    """What a false positive and a false negative cost, each above 0."""

    fp: float = 1.0
    fn: float = 1.0


class Policy(NamedTuple):
    """A rule for thresholds, where it puts them, and the cost per PER pixels of the heads and their difference."""

    name: str
    said: str
    cuts: dict[Head, tuple[int, ...]]
    cost: Paired | Alone


class Gap(NamedTuple):
    """Mean Dice of sigmoid minus that of the contender, or of one of them, with its 95% interval; NaN if not known."""

    value: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """Rounded to the interval."""
        return with_interval(*self, signed=True)

    @property
    def level(self) -> str:
        """The same without a sign, of a head's own Dice."""
        return with_interval(*self)


class Answer(NamedTuple):
    """Whether the head still matters. winner: the head ahead by more than the margin for sure, None if neither is."""

    text: str
    more: str
    winner: Head | None


def cut_text(cut: int) -> str:
    """A threshold as people write it, such as "0.320", "0.00055" or "1 − 0.00055"."""
    p = float(CUT_P[cut])
    if cut < _FIRST:
        return _small(p)
    return f"1 − {_small(1 / (1 + math.exp(float(CUT_LOG_ODDS[cut]))))}" if cut > _LAST else f"{p:.3f}"


def _small(p: float) -> str:
    if p >= 1e-4:
        return f"{p:.2g}"
    exponent = math.floor(math.log10(p))
    return f"{p / 10**exponent:.1f} · 10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def link_text(cuts: Cuts) -> str:
    """Cuts in a link, of unreserved characters only: "sigmoid_0.5_0.32~softmax_0.18"; one number stands for all.

    Thresholds in the tails are written as log-odds, "L-7.5". Empty where all are 0.5.
    """
    if all(set(some) <= {HALF_CELL} for some in cuts.values()):
        return ""
    return "~".join("_".join([head, *_shortest(some)]) for head, some in cuts.items())


def _shortest(some: Sequence[int]) -> list[str]:
    written = some if len(set(some)) > 1 else some[:1]
    return [f"{CUT_P[cut]:.4g}" if _FIRST <= cut <= _LAST else f"L{CUT_LOG_ODDS[cut]:g}" for cut in written]


def cuts_of_link(text: str, *, classes: int) -> dict[Head, tuple[int, ...]]:
    """What `link_text` wrote. Heads whose part is not one threshold, or one for each class, are left out."""
    found: dict[Head, tuple[int, ...]] = {}
    for part in text.split("~"):
        head, *numbers = part.split("_")
        cuts = [_cut(number) for number in numbers]
        known = [cut for cut in cuts if cut is not None]
        if head in get_args(Head) and len(known) == len(cuts) and len(cuts) in (1, classes):
            found[head] = tuple(known * classes if len(known) == 1 else known)  # type: ignore[index]
    return found


def _cut(number: str) -> int | None:
    """The nearest cut to a threshold, or to log-odds after an "L"; None for anything else."""
    try:
        value = float(number.removeprefix("L"))
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    if number.startswith("L"):
        return nearest_cut(1 / (1 + math.exp(-min(max(value, -30.0), 30.0))))
    return nearest_cut(value) if 0 < value < 1 else None


def look_of(subject: Run | Look) -> Look:
    """A look as it is; of a run its usual selection, as of `selection_of`."""
    if isinstance(subject, Look):
        return subject
    chosen = selection_of(subject)
    return Look(chosen.run, chosen.split, chosen.seeds, chosen.contender)


def live_scores(look: Look, cuts: Cuts | None) -> tuple[pd.DataFrame, dict[Head, dict[str, Bounds]]]:
    """Scores of the heads at the chosen thresholds with their difference, and the labels that follow.

    Returns one row a score (precision, recall, dice, iou): score, a column a head, difference, low, high (of one head
    alone no difference, and its own interval); and for each head the shares of pixels with no label and with several,
    and the mean number of labels a pixel.
    """
    chosen = look.filled(cuts)
    outcomes = {head: look.outcomes(head, chosen[head]) for head in look.heads}
    sums = [decisions.score_terms(outcomes[head], look.members) for head in look.heads]
    found = look.measured(sums, decisions.mean_scores, most=1.0)
    columns = {"score": decisions.SCORE_NAMES} | dict(zip(look.heads, found.values, strict=True))
    gap = {"difference": found.difference} if isinstance(found, Paired) else {}
    table = pd.DataFrame(columns | gap | {"low": found.low, "high": found.high})
    return table, {head: _labels(look, head, outcomes[head], chosen[head]) for head in look.heads}


def _labels(look: Look, head: Head, outcomes: Float64Array, cuts: tuple[int, ...]) -> dict[str, Bounds]:
    whole = outcomes[0].sum(axis=0)
    called = (whole[:, 0] + whole[:, 1]) / np.maximum(whole.sum(axis=-1), 1)
    none, several = decisions.label_bounds(look.of(head).labels, called, cuts)
    number = float(called.sum())
    return {"labels": Bounds(number, number), "none": none, "several": several}


def choices(look: Look) -> pd.DataFrame:
    """`metrics.decisions.threshold_choices` of both heads, classes without truth left out; column head, class first.

    The 0.5 that a class keeps which validation has no pixel of is no tuned threshold: there tuned is NaN.
    """
    frames = []
    for head in look.heads:
        given = tuned(look.run, head, look.seeds, look.variant)
        if given is not None:
            given = tuple(
                math.nan if name in look.untuned else one for name, one in zip(look.classes, given, strict=True)
            )
        frames.append(decisions.threshold_choices(look.of(head).hist, given, classes=look.classes).assign(head=head))
    table = pd.concat(frames, ignore_index=True)
    return table[table["best"].notna()].reset_index(drop=True)


def areas_of(look: Look, metric: str) -> pd.DataFrame:
    """An area of each class and head with the interval that evaluation stored: class, head, metric, value, low, high.

    metric: "auroc", "average_precision" or "aurc". The mean of the classes with any truth comes first where there are
    several; classes without a value are left out.
    """
    ends = area_intervals(look.run, look.split, look.row_seed, look.variant)
    found = []
    for head in look.heads:
        value = _AREAS[metric](look.of(head).hist).mean(axis=0)
        known = value[look.present]
        entries = [(MEAN, MACRO, float(known.mean()) if known.size else np.nan)] if len(look.classes) > 1 else []
        entries += [(name, name, float(one)) for name, one in zip(look.classes, value, strict=True)]
        for title, name, one in entries:
            low, high = ends.get((metric, head, name), (np.nan, np.nan))
            row = {"class": title, "head": head, "metric": metric, "value": one, "low": low, "high": high}
            found.append(row)
    table = pd.DataFrame(found)
    return table[table["value"].notna()].reset_index(drop=True)


def curve_table(look: Look, columns: Mapping[str, Mapping[Head, Float64Array]]) -> pd.DataFrame:
    """Curves at every k/300, heads below each other: class, head, threshold and a column a curve."""
    steps = thresholds.CUT_P[STEP_CUTS]
    table = {
        "class": look.title,
        "head": np.repeat(look.heads, len(steps)),
        "threshold": np.tile(steps, len(look.heads)),
    }
    curves = {name: np.concatenate([lines[head][STEP_CUTS] for head in look.heads]) for name, lines in columns.items()}
    return pd.DataFrame(table | curves)


def threshold_said(look: Look, cuts: Sequence[int]) -> str:
    """The threshold of what is shown, or between which they lie."""
    cut = look.shown_cut(cuts)
    return cut_text(cut) if cut is not None else f"{cut_text(min(cuts))} – {cut_text(max(cuts))}"


def policies(look: Look, cuts: Cuts | None, costs: Costs) -> list[Policy]:
    """The chosen thresholds, the one that is best for a calibrated p, and the cheapest on the images for tuning."""
    classes = len(look.classes)
    bayes = thresholds.cut_at(thresholds.bayes_threshold(cost_fp=costs.fp, cost_fn=costs.fn))
    where = "validation" if look.tuning else "these images"
    rules: list[tuple[str, str, dict[Head, tuple[int, ...]]]] = [
        ("chosen", "chosen", look.filled(cuts)),
        ("bayes", f"Bayes threshold {cut_text(bayes)}", dict.fromkeys(look.heads, (bayes,) * classes)),
        ("cheapest", f"cheapest on {where}", {head: cheapest(look, head, costs, bayes) for head in look.heads}),
    ]
    sums = [np.stack([_cost_sums(look, head, put[head], costs) for _, _, put in rules], axis=2) for head in look.heads]
    found = look.measured(sums, decisions.mean_cost, most=PER * max(costs.fp, costs.fn))
    return [
        Policy(name, said, put, type(found)(*(numbers[at : at + 1] for numbers in found)))
        for at, (name, said, put) in enumerate(rules)
    ]


def _cost_sums(look: Look, head: Head, cuts: Sequence[int], costs: Costs) -> Float64Array:
    """(1 + B, S, 2) cost per PER pixels of all images, then in each replicate, and their pixels."""
    outcomes = look.outcomes(head, cuts)
    if not look.members:
        return np.zeros((*outcomes.shape[:2], 2))
    return decisions.cost_terms(outcomes, look.members, cost_fp=PER * costs.fp, cost_fn=PER * costs.fn)


def cheapest(look: Look, head: Head, costs: Costs, bayes: int) -> tuple[int, ...]:
    """The cut of each class that costs least on the images for tuning; Bayes's for a class that they do not have."""
    found = look.tried[head]
    curve = thresholds.cost_curve(found.hist, cost_fp=costs.fp, cost_fn=costs.fn).mean(axis=0)
    cut: Int64Array = np.where(found.present, thresholds.cheapest_cut(curve, near=bayes), bayes)
    return tuple(int(one) for one in cut)


def policy_table(look: Look, found: Sequence[Policy]) -> pd.DataFrame:
    """One row a policy and class shown: thresholds and costs of the heads, and the difference with its interval; of one
    head alone the interval of its cost.
    """
    rows = []
    for one in found:
        row: dict[str, object] = {"thresholds": one.said, "class": look.title}
        for head, cost in zip(look.heads, one.cost.values, strict=True):
            cut = look.shown_cut(one.cuts[head])
            row[f"{head} threshold"] = np.nan if cut is None else float(thresholds.CUT_P[cut])
            row[f"{head} cost"] = float(cost[0])
        if isinstance(one.cost, Paired):
            row["difference"] = float(one.cost.difference[0])
        rows.append(row | {"low": float(one.cost.low[0]), "high": float(one.cost.high[0])})
    return pd.DataFrame(rows)


def answer(look: Look, *, margin: float | None = None) -> Answer:
    """Whether the head still matters once thresholds are tuned: mean Dice as evaluation stored it, seed by seed.

    Of one head alone what tuning is worth. margin: of practical equivalence in Dice, by default the verdict's.
    """
    if len(look.heads) == 1:
        return _answer_alone(look, Margin().dice if margin is None else margin)
    room = Margin().dice if margin is None else margin
    exclusive = look.of("sigmoid").top is not None
    half, tuned = dice_gap(look, "dice_threshold" if exclusive else "dice"), dice_gap(look, "dice_tuned")
    before = f"at 0.5 it is {half.text}"
    before += f", by argmax {dice_gap(look, 'dice').text}" if exclusive else ""
    mean = "Mean Dice" if len(look.classes) > 1 else "Dice"
    less = f"{mean} of sigmoid less that of {HEAD_TITLES[look.contender].lower()}"
    absent = base.why_no_value(look.run, look.split, mean)
    if absent:
        return Answer("Whether tuned thresholds make up for the head cannot be told here", absent, None)
    if math.isnan(tuned.value):
        why = (
            "Thresholds cannot be judged on the images that they were tuned on; choose the test images."
            if "val" in look.run.splits
            else "Thresholds can only be tuned on validation images, which this run does not have."
        )
        return Answer(
            "Whether tuned thresholds make up for the head cannot be told here", f"{why} {less} {before}.", None
        )
    text, winner = _judged(tuned, look.heads, room)
    return Answer(text, f"{less}, each class at the threshold tuned on validation, is {tuned.text}; {before}.", winner)


def _answer_alone(look: Look, room: float) -> Answer:
    """What tuning does to the only head; whether the head matters its numbers cannot say."""
    head = look.heads[0]
    name = HEAD_TITLES[head]
    exclusive = look.of(head).top is not None
    half, tuned = (stored(look, head, one) for one in ("dice_threshold" if exclusive else "dice", "dice_tuned"))
    mean = "Mean Dice" if len(look.classes) > 1 else "Dice"
    more = f"{mean} of {name.lower()} is {half.level} at p > 0.5"
    more += f" and {stored(look, head, 'dice').level} by argmax" if exclusive else ""
    absent = base.why_no_value(look.run, look.split, mean)
    if absent:
        return Answer(f"What tuned thresholds are worth to {name.lower()} cannot be told here", absent, None)
    if math.isnan(tuned.value):
        why = "validation images are needed to tune on, and others to judge by"
        return Answer(f"What tuned thresholds are worth to {name.lower()} cannot be told here", f"{more}; {why}.", None)
    gain = tuned.value - half.value
    moved = f"{'raise' if gain >= 0 else 'lower'} the {mean.replace('Mean', 'mean')} of {name.lower()}"
    text = f"Tuned thresholds {moved} by {rounded(abs(gain))}"
    if abs(gain) <= room:
        text += ": too little to matter"
    return Answer(text, f"{more}, and {tuned.level} with each class at the threshold tuned on validation.", None)


def dice_gap(look: Look, metric: str) -> Gap:
    """The stored difference of the mean over the classes."""
    return stored(look, tables.difference_row(look.contender), metric)


def stored(look: Look, head: str, metric: str) -> Gap:
    """The stored mean over the classes of a head, or of a difference by its name in DIFFERENCES; NaN without any."""
    frame = queries.runs.metrics(look.run)
    rows = frame[
        (frame["metric"] == metric) & (frame["head"] == head)
        & (frame["split"] == look.split) & (frame["variant"] == look.variant) & (frame["region"] == "all")
        & (frame["class"] == MACRO) & (frame["seed"] == look.row_seed)
    ]  # fmt: skip
    if rows.empty:
        return Gap(math.nan, math.nan, math.nan)
    row = rows.iloc[0]
    return Gap(float(row["value"]), float(row["low"]), float(row["high"]))


def _judged(gap: Gap, heads: Sequence[Head], room: float) -> tuple[str, Head | None]:
    ahead = heads[0] if gap.value > 0 else heads[1]
    name = HEAD_TITLES[ahead].lower()
    if not math.isfinite(gap.low):
        return f"With tuned thresholds {name} is ahead, on one image", None
    if gap.low > room or gap.high < -room:
        return f"Even with tuned thresholds {name} is ahead", ahead
    if -room <= gap.low and gap.high <= room:
        return "Once thresholds are tuned, the head makes no practical difference", None
    if gap.low > 0 or gap.high < 0:
        return f"With tuned thresholds {name} is still ahead, perhaps by too little to matter", None
    return "Once thresholds are tuned, it is open which head is better", None


def cheaper(look: Look, policy: Policy) -> str:
    """Which head is cheaper at a policy's thresholds, by how much, and whether that is beyond noise.

    Of one head alone what it costs, with the interval.
    """
    if isinstance(policy.cost, Alone):
        return _cost_alone(look, policy, policy.cost)
    first, second = float(policy.cost.first[0]), float(policy.cost.second[0])
    gap, low, high = (float(one[0]) for one in policy.cost[2:])
    names = [HEAD_TITLES[head].lower() for head in look.heads]
    where = _where(look, policy)
    if math.isnan(gap):
        return "There are no pixels to count costs of."
    if gap == 0:
        return f"{where} both heads cost the same."
    if gap > 0:
        names, second, gap, low, high = names[::-1], first, -gap, -high, -low
    said = f"{where} {names[0]} costs {percent(-gap / second)} less than {names[1]}"
    if math.isnan(low):
        return f"{said} ({cost_text(gap)} per {PER:.0f} pixels); one image says nothing of chance."
    chance = "other images or seeds" if len(look.seeds) > 1 else "other images"
    beyond = "beyond" if high < 0 else "within"
    return f"{said}: {cost_text(gap, low, high)} per {PER:.0f} pixels, {beyond} what {chance} would change."


def _cost_alone(look: Look, policy: Policy, cost: Alone) -> str:
    value, low, high = (float(one[0]) for one in cost)
    if math.isnan(value):
        return "There are no pixels to count costs of."
    ends = "" if math.isnan(low) else f" [{minus(f'{low:#.3g}')}, {minus(f'{high:#.3g}')}]"
    return f"{_where(look, policy)} it costs {cost_text(value)}{ends} per {PER:.0f} pixels."


def _where(look: Look, policy: Policy) -> str:
    if policy.name == "chosen":
        return "At the chosen thresholds"
    if policy.name == "bayes":
        return f"At the {policy.said}"
    return f"At those that are {policy.said}" + ("" if look.tuning else ", which flatters them,")


def cost_text(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A cost, or a difference of costs with its interval, with the decimals that it deserves."""
    if math.isnan(value):
        return NO_VALUE
    if math.isnan(low):
        return minus(f"{value:#.3g}".removesuffix(".") if abs(value) < 1000 else f"{value:.0f}")
    return minus(bracketed(value, low, high, decimals_of(low, high, fewest=0), sign=True))


def calibration_said(look: Look, table: pd.DataFrame) -> list[str]:
    """How far each head's best threshold is from half its best Dice, of the class shown or of the worst one.

    table: of `threshold_choice.choices`.
    """
    said = []
    for head in look.heads:
        rows = table[table["head"] == head]
        rows = rows if look.index is None else rows[rows["class"] == look.title]
        if rows.empty:
            continue
        outside = rows[(rows["half_optimum"] < rows["best_low"]) | (rows["half_optimum"] > rows["best_high"])]
        worst = (outside if len(outside) else rows).sort_values("off", key=abs, ascending=False)
        row = worst.iloc[0]
        best, half, off = float(row["best"]), float(row["half_optimum"]), float(row["off"])
        of = f" for {row['class']}, which is furthest off" if look.index is None else ""
        verdict = f"p is about {abs(off):.2f} too {'high' if off > 0 else 'low'} there"
        if float(row["best_low"]) <= half <= float(row["best_high"]):
            verdict = "Dice is as good there, so nothing speaks against p"
        said.append(
            f"{HEAD_TITLES[head]}{of}: Dice is greatest at {best:.2f}; if p were calibrated that would be at half the "
            f"greatest Dice, {half:.2f}: {verdict}."
        )
    return said


def score_rows(look: Look, cuts: Cuts | None) -> list[list[str]]:
    """What the chosen thresholds give, as rows: what it is, a column a head, the difference or one head's interval."""
    table, labels = live_scores(look, cuts)
    chosen = look.filled(cuts)
    rows = [["Threshold on p", *(threshold_said(look, chosen[head]) for head in look.heads), ""]]
    for row in table.to_dict("records"):
        values = [rounded(row[head]) for head in look.heads]
        if len(values) == 1:
            gap = NO_VALUE if math.isnan(row["low"]) else f"[{rounded(row['low'])}, {rounded(row['high'])}]"
        else:
            gap = with_interval(row["difference"], row["low"], row["high"], signed=True)
        rows.append([METRICS[str(row["score"])].title, *values, gap])
    shares = {"Pixels with no label": "none"}
    if len(look.classes) > 1:
        rows.append(["Labels a pixel, all classes", *(f"{labels[head]['labels'].low:.2f}" for head in look.heads), ""])
        shares |= {"Pixels with two or more": "several"}
    rows += [[title, *(_between(labels[head][name]) for head in look.heads), ""] for title, name in shares.items()]
    return rows


def _between(bounds: Bounds) -> str:
    """A share, or what it lies between where counts do not tell."""
    low, high = percent(max(bounds.low, 0.0)), percent(max(bounds.high, 0.0))
    return low if low == high else f"{low} – {high}"


def cost_rows(look: Look, found: Sequence[Policy]) -> list[list[str]]:
    """The cost of each policy with each head, and at which threshold."""
    rows = []
    for one in found:
        row = ["Bayes threshold" if one.name == "bayes" else capitalised(one.said)]
        for head, cost in zip(look.heads, one.cost.values, strict=True):
            cut = look.shown_cut(one.cuts[head])
            row.append(cost_text(float(cost[0])) + ("" if cut is None else f" at {cut_text(cut)}"))
        rows.append(row)
    return rows
