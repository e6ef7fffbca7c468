"""Ranked effects and a margin to plain sentences: what moves a measure, what does not, and what is not settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Final, TypeAlias

from pipelines.comparison.cells import LABEL_MEASURES
from pipelines.comparison.effects import MEAN
from pipelines.comparison.model import Comparison, digits_of, rows_of
from pipelines.rounding import signed
from pipelines.sentences import begun
from pipelines.verdict import Margin
from pipelines.verdict.evidence import Estimate, Position

_Row: TypeAlias = dict[str, Any]  # of effects.CONTRAST_COLUMNS
TITLES: Final = {"dice": "macro Dice", "iou": "macro IoU", "brier": "the macro Brier score",
                 "classwise_ece": "classwise ECE"}  # fmt: skip
_NAMES: Final = {
    "loss": "the loss", "run": "the choice of run", "head": "the head", "threshold": "tuning thresholds",
    "temperature": "fitting a temperature",
}  # fmt: skip
_FIRST: Final = {
    "loss": "choose the loss first", "run": "choose the run first", "head": "choose the head first",
    "threshold": "tune the thresholds first", "temperature": "fit a temperature first",
}  # fmt: skip
_LEAVE: Final = {"threshold": "keep the thresholds as they were", "temperature": "keep the temperature at 1"}


def _in_words(level: str) -> str:
    """A level as it is read in a sentence: "softmax over label sets" would be two of them."""
    return "label sets" if level == "softmax-powerset" else level


@dataclass(frozen=True)
class Effect:
    """What a factor does to a measure: the gain of `first` over `second`, and where its interval lies."""

    factor: str
    first: str
    second: str
    gain: float
    low: float
    high: float
    position: Position

    @property
    def beyond(self) -> bool:
        """Whether the interval lies wholly beyond the margin, on either side."""
        return self.position in ("above", "below")

    @property
    def better(self) -> str:
        """Which level is better than which."""
        first, second = _in_words(self.first), _in_words(self.second)
        return f"{first} over {second}" if self.gain >= 0 else f"{second} over {first}"


@dataclass(frozen=True)
class Conclusion:
    """Effects on one measure, the largest first, and what follows.

    margin: in the measure's unit. advice: what to do, in a few words; sentences: the sizes with it, and what else there
    is to say.
    """

    measure: str
    margin: float
    effects: tuple[Effect, ...]
    advice: str
    sentences: tuple[str, ...]


def margin_of(comparison: Comparison, measure: str, margin: Margin) -> float:
    """Gains at most this large do not matter in practice: IoU has Dice's margin, Brier a share of its mean as trained.

    The mean runs over all runs and heads.
    """
    if measure == "brier":
        raw = comparison.table[comparison.table["temperature"] == "as trained"]
        return margin.brier_relative * float(raw["brier"].mean())
    return margin.dice if measure in LABEL_MEASURES else margin.classwise_ece


def conclude(comparison: Comparison, measure: str, margin: Margin) -> Conclusion:
    """What moves one measure most, as effects and in words."""
    room = margin_of(comparison, measure, margin)
    effects = _effects(rows_of(comparison.effects, measure), room)
    contrasts = rows_of(comparison.contrasts, measure)
    if not effects:
        nothing = f"nothing can be said about {TITLES[measure]}"
        return Conclusion(measure, room, (), nothing, (f"{begun(nothing)}.",))
    one_seed = len(comparison.runs[0].seeds) == 1
    evidence = "these images" if one_seed else "these images and seeds"
    advice, settled = _advice(effects, _rivals(comparison, measure, effects), evidence)
    if settled and one_seed:
        advice += ", as far as one seed can tell"
    clauses = begun(", ".join(_clauses(effects, measure)))
    sentences = [f"{clauses}: {advice}."]
    sentences += [*_turning(contrasts, measure, room, effects), *_beside(contrasts, measure, room, effects)]
    return Conclusion(measure, room, effects, advice, tuple(sentences))


def _effects(rows: Sequence[_Row], room: float) -> tuple[Effect, ...]:
    return tuple(
        Effect(
            row["factor"], row["first"], row["second"], row["gain"], row["low"], row["high"],
            Estimate(row["gain"], row["low"], row["high"]).position(room),
        )
        for row in rows
    )  # fmt: skip


def _rivals(comparison: Comparison, measure: str, effects: Sequence[Effect]) -> list[Effect]:
    """Effects not inside the margin that are not told apart in size from the largest."""
    gaps = comparison.gaps[(comparison.gaps["measure"] == measure) & (comparison.gaps["larger"] == effects[0].factor)]
    close = set(gaps[~(gaps["low"] > 0)]["smaller"])
    return [one for one in effects[1:] if one.factor in close and one.position != "inside"]


def _clauses(effects: Sequence[Effect], measure: str) -> list[str]:
    """Such as "the loss moves macro Dice by 0.052 (dice over ce)", then "the head by 0.004 (inside the margin)"."""
    name = _NAMES[effects[0].factor]
    first, *more = (_clause(one, measure) for one in effects)
    return [f"{name} moves {TITLES[measure]}{first.removeprefix(name)}", *more]


def _clause(effect: Effect, measure: str) -> str:
    """Such as "the loss by 0.052 (dice over ce)"."""
    if isnan(effect.low):
        tag = " (no interval)"
    elif effect.position == "inside":
        tag = " (inside the margin)"
    elif effect.position == "open":
        ends = (effect.low, effect.high) if effect.gain >= 0 else (-effect.high, -effect.low)
        tag = " (not settled: {:.{digits}f} to {:.{digits}f})".format(*ends, digits=digits_of(measure))
    elif effect.factor in _LEAVE:
        tag = " (for the worse)" if effect.gain < 0 else ""
    else:
        tag = f" ({effect.better})"
    return f"{_NAMES[effect.factor]} by {abs(effect.gain):.{digits_of(measure)}f}{tag}"


def _advice(effects: Sequence[Effect], rivals: Sequence[Effect], evidence: str) -> tuple[str, bool]:
    """What to do, and whether the evidence settles it."""
    top = effects[0]
    if isnan(top.low):
        return "one image has no spread, so nothing can be said of others", False
    beyond = [one for one in effects if one.beyond]
    if not beyond and all(one.position == "inside" for one in effects):
        return "none of it matters in practice", True
    if not beyond:
        return f"{evidence} do not settle whether any of it matters", False
    if not top.beyond:
        return f"{evidence} settle it only for {_listed([_NAMES[one.factor] for one in beyond])}", True
    if rivals:
        return f"{_listed([_NAMES[one.factor] for one in (top, *rivals)])} are not told apart by {evidence}", False
    return (_LEAVE[top.factor] if top.factor in _LEAVE and top.gain < 0 else _FIRST[top.factor]), True


def _turning(contrasts: Sequence[_Row], measure: str, room: float, effects: Sequence[Effect]) -> list[str]:
    """Where a factor helps in one place and harms in another, so that its average hides it."""
    said = []
    for effect in effects:
        places: dict[Position, str] = {}
        for row in _same(contrasts, effect, at="as trained"):
            where = [row[name] for name in ("run", "head") if row[name] not in (MEAN, "")]
            position = Estimate(row["gain"], row["low"], row["high"]).position(room)
            if where and position in ("above", "below"):
                places.setdefault(position, f"{signed(row['gain'], digits_of(measure))} with {', '.join(where)}")
        if len(places) == 2:
            pair = f"{_in_words(effect.first)} over {_in_words(effect.second)}"
            said.append(
                f"What {_NAMES[effect.factor]} does depends on the rest, and its average hides it: {pair} gains "
                f"{places['above']}, and {places['below']}."
            )
    return said


def _same(contrasts: Sequence[_Row], effect: Effect, *, at: str) -> list[_Row]:
    """The contrasts of the same levels in one setting."""
    levels = (effect.factor, effect.first, effect.second, at)
    return [row for row in contrasts if (row["factor"], row["first"], row["second"], row["at"]) == levels]


def _beside(contrasts: Sequence[_Row], measure: str, room: float, effects: Sequence[Effect]) -> list[str]:
    """What is left of the loss and of the head once thresholds are tuned or temperatures fitted."""
    at, what = ("tuned thresholds", "threshold") if measure in LABEL_MEASURES else ("fitted temperature", "temperature")
    clauses, explained = [], []
    for effect in effects:
        mine = [row for row in _same(contrasts, effect, at=at) if {row["run"], row["head"]} <= {MEAN, ""}]
        for left in _effects(mine, room):
            clauses.append(_clause(left, measure))
            if effect.beyond and left.position == "inside":
                explained.append(_NAMES[effect.factor])
    if not clauses:
        return []
    said = [f"At {'tuned thresholds' if what == 'threshold' else 'fitted temperatures'}: {', '.join(clauses)}."]
    if explained:
        said.append(f"What looked like {_listed(explained)} was the {what}.")
    return said


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
