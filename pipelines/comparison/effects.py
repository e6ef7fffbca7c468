"""Cells of a grid to what each choice moves, what follows from that, and the tables that are drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import combinations, product
from math import isnan
from operator import add
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from pipelines.comparison.matching import (
    LABEL_MEASURES,
    MEASURES,
    Cells,
    Place,
    RunFactor,
    Threshold,
    ends,
    own_decision,
)
from pipelines.heads import LAST_LAYERS
from pipelines.judgement import Margin
from pipelines.metrics import METRICS
from pipelines.metrics.estimates import Replicated
from pipelines.metrics.inference import CONFIDENCE
from pipelines.schema import Head, Kind, Split, Variant
from pipelines.sentences import bracketed, capitalised, listed, signed
from pipelines.verdict.evidence import Estimate, Position

# The comparison ------------------------------------------------------------------------------------------------------

TABLE_KEYS: Final = ("run", "head", "threshold", "temperature")


class Compared(NamedTuple):
    """One run: its label in the comparison, its name, its loss (None where it is not known) and its seeds."""

    label: str
    name: str
    loss: str | None
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs of one data set that differ in their loss, and what each choice moves.

    table: one row a run, head, threshold and temperature (TABLE_KEYS): macro values of MEASURES with 95% intervals in
    <measure>, <measure>_low and <measure>_high, averaged over seeds.
    contrasts: paired differences, effects.CONTRAST_COLUMNS. effects: those of them that average over everything else,
    the largest of each factor, ranked by size. gaps: which effects are told apart in size, effects.GAP_COLUMNS.
    notes: what must be said before any number, one sentence each.
    """

    runs: tuple[Compared, ...]
    factor: RunFactor
    dataset: str
    kind: Kind
    split: Split
    images: int
    unit: str
    units: int
    heads: tuple[Head, ...]
    notes: tuple[str, ...]
    table: pd.DataFrame
    contrasts: pd.DataFrame
    effects: pd.DataFrame
    gaps: pd.DataFrame

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the runs in the tables."""
        return tuple(run.label for run in self.runs)


def rows_of(table: pd.DataFrame, measure: str) -> list[dict[str, Any]]:
    """The rows of contrasts or effects that are of a measure, as plain values."""
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    return [row for row in rows if row["measure"] == measure]


def digits_of(measure: str) -> int:
    """Decimals that a measure is written with."""
    return 3 if measure in LABEL_MEASURES else 4


def interval_text(value: float, low: float, high: float, *, digits: int, sign: bool = False) -> str:
    """Such as "0.812 [0.797, 0.826]"; without brackets where there is no interval."""
    if pd.isna(value):
        return "none"
    if pd.isna(low):
        return signed(value, digits) if sign else f"{value:.{digits}f}"
    return bracketed(value, low, high, digits, sign=sign)


# Effects -------------------------------------------------------------------------------------------------------------
#
# Everything is a gain: by how much the first level of a factor is better than the second, turned round where lower is
# better. A replicate's gain is taken between cells that were drawn with the same images, so that it is paired.

Factor: TypeAlias = Literal["loss", "run", "head", "threshold", "temperature"]
At: TypeAlias = Literal["as trained", "tuned thresholds", "fitted temperature"]
MEAN: Final = "mean"  # `run` or `head` of a contrast that averages over them
AS_TRAINED: Final[At] = "as trained"  # level of the temperature, and of thresholds and temperature together in `at`
FITTED: Final = "fitted"

CONTRAST_COLUMNS: Final = ("measure", "factor", "first", "second", "at", "run", "head", "gain", "low", "high", "pairs")
GAP_COLUMNS: Final = ("measure", "larger", "smaller", "gap", "low", "high")


@dataclass(frozen=True)
class Contrast:
    """How much better `first` is than `second`, two levels of a factor.

    at: what holds beside: labels and probabilities as trained, at tuned thresholds, or at the fitted temperature.
    run, head: where it was taken, MEAN for the average over all; empty for the factor's own. gain: > 0 where first is
    better, averaged over seeds. pairs: how many pairs of levels the factor has; low, high: 95% intervals that hold for
    all of them together. by_seed: the gain in each seed, with its replicates.
    """

    measure: str
    factor: Factor
    first: str
    second: str
    at: At
    run: str
    head: str
    gain: float
    low: float
    high: float
    pairs: int
    by_seed: Replicated

    @property
    def main(self) -> bool:
        """Whether it averages over everything else, as trained."""
        return self.at == AS_TRAINED and {self.run, self.head} <= {MEAN, ""}


def contrasts(cells: Cells) -> list[Contrast]:
    """Every contrast of every measure; those with a value that is not defined are left out."""
    return [contrast for measure in MEASURES for place in _places(cells, measure) for contrast in _pairs(*place)]


@dataclass(frozen=True)
class _Place:
    """Where the levels of a factor are compared, as in Contrast."""

    cells: Cells
    measure: str
    factor: Factor
    at: At
    run: str
    head: str


def _places(cells: Cells, measure: str) -> Iterator[tuple[_Place, dict[str, Replicated]]]:
    """Each place with the levels that are compared there.

    Losses, the better one on average first, within each head and averaged over heads; heads in the order of
    schema.HEADS, within each run and averaged over runs; tuned thresholds against the kind's own decision and the
    fitted temperature against the outputs as trained, in each cell and averaged.
    """
    labels, heads, own = cells.match.labels, cells.match.heads, own_decision(cells.match.kind)
    mean = partial(_mean, cells, measure)
    ranked = sorted(labels, key=lambda label: -_gain_of(measure) * mean(runs=(label,)).mean)
    for at, threshold, variant in _settings(cells, measure):
        for head in _each_and_mean(heads):
            here = partial(mean, heads=heads if head == MEAN else (head,), threshold=threshold, variant=variant)
            levels = {label: here(runs=(label,)) for label in ranked}
            yield _Place(cells, measure, cells.match.factor, at, "", head), levels
    for at, threshold, variant in _settings(cells, measure):
        for run in _each_and_mean(labels):
            here = partial(mean, runs=labels if run == MEAN else (run,), threshold=threshold, variant=variant)
            yield _Place(cells, measure, "head", at, run, ""), {head: here(heads=(head,)) for head in heads}
    for run, head, runs, of in _each_cell_and_mean(cells):
        here = partial(mean, runs=runs, heads=of)
        if measure in LABEL_MEASURES and "tuned" in cells.match.thresholds:
            levels = {threshold: here(threshold=threshold) for threshold in ("tuned", own)}
            yield _Place(cells, measure, "threshold", AS_TRAINED, run, head), levels
    for run, head, runs, of in _each_cell_and_mean(cells):
        if "temperature" in cells.match.variants:
            here = partial(mean, runs=runs, heads=of)
            levels = {FITTED: here(variant="temperature"), AS_TRAINED: here(variant="raw")}
            yield _Place(cells, measure, "temperature", AS_TRAINED, run, head), levels


def _settings(cells: Cells, measure: str) -> Iterator[tuple[At, Threshold, Variant]]:
    """Where the loss and the head are told apart: as trained, then with the measure's other remedy in place."""
    own = own_decision(cells.match.kind)
    yield "as trained", own, "raw"
    if measure in LABEL_MEASURES and "tuned" in cells.match.thresholds:
        yield "tuned thresholds", "tuned", "raw"
    if measure not in LABEL_MEASURES and "temperature" in cells.match.variants:
        yield "fitted temperature", own, "temperature"


def _each_and_mean(levels: Sequence[str]) -> tuple[str, ...]:
    return (MEAN, *levels) if len(levels) > 1 else (MEAN,)


def _each_cell_and_mean(cells: Cells) -> Iterator[tuple[str, str, tuple[str, ...], tuple[Head, ...]]]:
    """Names and contents of the average over all cells, then of each cell."""
    labels, heads = cells.match.labels, cells.match.heads
    yield MEAN, MEAN, labels, heads
    if len(labels) * len(heads) > 1:
        yield from ((run, head, (run,), (head,)) for run, head in product(labels, heads))


def _mean(
    cells: Cells,
    measure: str,
    *,
    runs: Sequence[str],
    heads: Sequence[Head] | None = None,
    threshold: Threshold | None = None,
    variant: Variant = "raw",
) -> Replicated:
    """Average of a measure over cells, each with the same weight."""
    threshold = threshold or own_decision(cells.match.kind)
    chosen = [
        cells.by_place[Place(run, head, threshold, variant), measure]
        for run, head in product(runs, heads or cells.match.heads)
    ]
    return (1 / len(chosen)) * reduce(add, chosen)


def _pairs(place: _Place, levels: dict[str, Replicated]) -> Iterator[Contrast]:
    """Every two levels of a factor in one place."""
    measure, pairs = place.measure, list(combinations(levels, 2))
    gaps = [_gain_of(measure) * (levels[first] - levels[second]) for first, second in pairs]
    known = [(pair, gap) for pair, gap in zip(pairs, gaps, strict=True) if not np.isnan(gap.mean)]
    if known:
        intervals = ends(place.cells, [gap for _, gap in known], bounds=METRICS[measure].difference_bounds)
        where = place.at, place.run, place.head
        for ((first, second), gap), (low, high) in zip(known, intervals, strict=True):
            yield Contrast(measure, place.factor, first, second, *where, gap.mean, low, high, len(pairs), gap)


def _gain_of(measure: str) -> float:
    return -1.0 if METRICS[measure].better == "lower" else 1.0


# Tables ------------------------------------------------------------------------------------------------------------


def contrast_table(contrasts: Sequence[Contrast]) -> pd.DataFrame:
    """One row a contrast, CONTRAST_COLUMNS."""
    return pd.DataFrame(
        [tuple(getattr(contrast, name) for name in CONTRAST_COLUMNS) for contrast in contrasts],
        columns=list(CONTRAST_COLUMNS),
    )


def main_effects(contrasts: Sequence[Contrast], measure: str) -> list[Contrast]:
    """Each factor's largest contrast, averaged over everything else, as trained; the largest factor first."""
    largest: dict[Factor, Contrast] = {}
    for contrast in contrasts:
        before = largest.get(contrast.factor)
        if contrast.measure == measure and contrast.main and (before is None or abs(contrast.gain) > abs(before.gain)):
            largest[contrast.factor] = contrast
    return sorted(largest.values(), key=lambda contrast: -abs(contrast.gain))


def gap_table(cells: Cells, found: Sequence[Contrast]) -> pd.DataFrame:
    """By how much one factor's effect is larger than another's, GAP_COLUMNS: sizes, whatever their direction.

    A replicate's sizes are counted in the direction that the effects have on the images as they are, so that the gap
    of two effects of no size lies on both sides of 0 and is not taken for one by their absolute values. Where one is
    the largest of several pairs, the interval is wider by Bonferroni's rule for their number.
    """
    rows = []
    for measure in MEASURES:
        for larger, smaller in combinations(main_effects(found, measure), 2):
            one, other = ((1 if effect.gain >= 0 else -1) * effect.by_seed for effect in (larger, smaller))
            confidence = 1 - (1 - CONFIDENCE) / max(larger.pairs, smaller.pairs)
            bounds = METRICS[measure].difference_bounds  # of two sizes, none of which is larger than a difference
            ((low, high),) = ends(cells, [one - other], confidence=confidence, bounds=bounds)
            gap = abs(larger.gain) - abs(smaller.gain)
            rows.append((measure, larger.factor, smaller.factor, gap, low, high))
    return pd.DataFrame(rows, columns=list(GAP_COLUMNS))


# Conclusions ---------------------------------------------------------------------------------------------------------

_Row: TypeAlias = dict[str, Any]  # of effects.CONTRAST_COLUMNS
TITLES: Final = {
    "dice": "macro Dice",
    "iou": "macro IoU",
    "brier": "the macro Brier score",
    "classwise_ece": "classwise ECE",
}
_NAMES: Final = {
    "loss": "the loss",
    "run": "the choice of run",
    "head": "the head",
    "threshold": "tuning thresholds",
    "temperature": "fitting a temperature",
}
_FIRST: Final = {
    "loss": "choose the loss first",
    "run": "choose the run first",
    "head": "choose the head first",
    "threshold": "tune the thresholds first",
    "temperature": "fit a temperature first",
}
_LEAVE: Final = {"threshold": "keep the thresholds as they were", "temperature": "keep the temperature at 1"}


def _in_words(level: str) -> str:
    """A level as it is read in a sentence: "softmax over label sets" would be two of them."""
    layer = LAST_LAYERS.get(level)  # type: ignore[call-overload]
    return layer.short.lower() if layer is not None and layer.over_label_sets else level


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
        return Conclusion(measure, room, (), nothing, (f"{capitalised(nothing)}.",))
    one_seed = len(comparison.runs[0].seeds) == 1
    evidence = "these images" if one_seed else "these images and seeds"
    advice, settled = _advice(effects, _rivals(comparison, measure, effects), evidence)
    if settled and one_seed:
        advice += ", as far as one seed can tell"
    clauses = capitalised(", ".join(_clauses(effects, measure)))
    sentences = [f"{clauses}: {advice}."]
    sentences += [*_reversals(contrasts, measure, room, effects), *_remedied(contrasts, measure, room, effects)]
    return Conclusion(measure, room, effects, advice, tuple(sentences))


def _effects(rows: Sequence[_Row], room: float) -> tuple[Effect, ...]:
    names = ("factor", "first", "second", "gain", "low", "high")
    return tuple(
        Effect(
            **{name: row[name] for name in names},
            position=Estimate(row["gain"], row["low"], row["high"]).position(room),
        )
        for row in rows
    )


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
        return f"{evidence} settle it only for {listed([_NAMES[one.factor] for one in beyond])}", True
    if rivals:
        return f"{listed([_NAMES[one.factor] for one in (top, *rivals)])} are not told apart by {evidence}", False
    return (_LEAVE[top.factor] if top.factor in _LEAVE and top.gain < 0 else _FIRST[top.factor]), True


def _reversals(contrasts: Sequence[_Row], measure: str, room: float, effects: Sequence[Effect]) -> list[str]:
    """Where a factor helps in one place and harms in another, so that its average hides it."""
    sentences = []
    for effect in effects:
        places: dict[Position, str] = {}
        for row in _same(contrasts, effect, at="as trained"):
            where = [row[name] for name in ("run", "head") if row[name] not in (MEAN, "")]
            position = Estimate(row["gain"], row["low"], row["high"]).position(room)
            if where and position in ("above", "below"):
                places.setdefault(position, f"{signed(row['gain'], digits_of(measure))} with {', '.join(where)}")
        if len(places) == 2:
            pair = f"{_in_words(effect.first)} over {_in_words(effect.second)}"
            sentences.append(
                f"What {_NAMES[effect.factor]} does depends on the rest, and its average hides it: {pair} gains "
                f"{places['above']}, and {places['below']}."
            )
    return sentences


def _same(contrasts: Sequence[_Row], effect: Effect, *, at: str) -> list[_Row]:
    """The contrasts of the same levels in one setting."""
    levels = (effect.factor, effect.first, effect.second, at)
    return [row for row in contrasts if (row["factor"], row["first"], row["second"], row["at"]) == levels]


def _remedied(contrasts: Sequence[_Row], measure: str, room: float, effects: Sequence[Effect]) -> list[str]:
    """What is left of the loss and of the head once thresholds are tuned or temperatures fitted."""
    at, remedy = (
        ("tuned thresholds", "threshold") if measure in LABEL_MEASURES else ("fitted temperature", "temperature")
    )
    clauses, explained = [], []
    for effect in effects:
        mine = [row for row in _same(contrasts, effect, at=at) if {row["run"], row["head"]} <= {MEAN, ""}]
        for left in _effects(mine, room):
            clauses.append(_clause(left, measure))
            if effect.beyond and left.position == "inside":
                explained.append(_NAMES[effect.factor])
    if not clauses:
        return []
    where = "tuned thresholds" if remedy == "threshold" else "fitted temperatures"
    sentences = [f"At {where}: {', '.join(clauses)}."]
    if explained:
        sentences.append(f"What looked like {listed(explained)} was the {remedy}.")
    return sentences


# Tables that are drawn -----------------------------------------------------------------------------------------------


def before_after(comparison: Comparison, measure: str) -> pd.DataFrame:
    """A measure of each run and head before and after what may mend it: tuned thresholds for labels, else temperature.

    Returns one row a run, head and setting: run, head, setting ("argmax", "p > 0.5" or "as trained", then "tuned" or
    "fitted"; the latter left out where there is none), value, low, high.
    """
    table = comparison.table
    if measure in LABEL_MEASURES:
        column, levels = "threshold", (str(own_decision(comparison.kind)), "tuned")
        rows = table[table["temperature"] == AS_TRAINED]
    else:
        column, levels = "temperature", (AS_TRAINED, FITTED)
        rows = table[table["threshold"] == own_decision(comparison.kind)]
    names = {column: "setting", measure: "value", f"{measure}_low": "low", f"{measure}_high": "high"}
    rows = rows[rows[column].isin(levels)].rename(columns=names)
    return rows[["run", "head", "setting", "value", "low", "high"]].reset_index(drop=True)


def effect_rows(comparison: Comparison, measure: str) -> pd.DataFrame:
    """Each factor's effect on a measure, the largest first, and under it the parts of the loss's and the head's.

    Returns rows factor, first, second, part, gain, low, high. part: empty for the effect itself; else where it was
    taken, such as "ce", or the setting in which it was averaged, "tuned thresholds" or "fitted temperature".
    """
    found = []
    every = rows_of(comparison.contrasts, measure)
    for effect in rows_of(comparison.effects, measure):
        found.append(effect | {"part": ""})
        if effect["factor"] in ("threshold", "temperature"):
            continue  # their parts are what before_after shows
        for row in every:
            if any(row[key] != effect[key] for key in ("factor", "first", "second")):
                continue
            places = [row[name] for name in ("run", "head") if row[name] not in (MEAN, "")]
            if places and row["at"] == AS_TRAINED:
                found.append(row | {"part": places[0]})
            elif not places and row["at"] != AS_TRAINED:
                found.append(row | {"part": row["at"]})
    return pd.DataFrame(found, columns=["factor", "first", "second", "part", "gain", "low", "high"])
