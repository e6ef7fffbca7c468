"""Numbers of chosen thresholds to words: the sentences and small tables of the page Thresholds and costs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from dashboard import loaders, tables
from dashboard.figures.cuts import Cuts, cut_text
from dashboard.figures.theme import HEAD_TITLES
from dashboard.panels import absence
from dashboard.panels.threshold_choice import Look, live_scores, threshold_said
from dashboard.panels.threshold_costs import PER, Policy
from dashboard.rounding import NO_VALUE, minus, percent, rounded, with_interval
from pipelines.metrics import METRICS
from pipelines.metrics.decisions import Alone, Bounds
from pipelines.schema import MACRO, Head
from pipelines.sentences import begun, bracketed, decimals_of
from pipelines.verdict import Margin


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
    absent = absence.why_no_value(look.run, look.split, mean)
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
    absent = absence.why_no_value(look.run, look.split, mean)
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
    frame = loaders.metrics(look.run)
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
        row = ["Bayes threshold" if one.name == "bayes" else begun(one.said)]
        for head, cost in zip(look.heads, one.cost.values, strict=True):
            cut = look.shown_cut(one.cuts[head])
            row.append(cost_text(float(cost[0])) + ("" if cut is None else f" at {cut_text(cut)}"))
        rows.append(row)
    return rows
