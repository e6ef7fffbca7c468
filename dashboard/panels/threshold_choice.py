"""A run and thresholds of single classes to numbers: what was chosen, and what it costs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from dashboard import loaders
from dashboard.figures.cuts import Cuts, cut_text
from dashboard.loaders.thresholds import Decided, area_intervals, decided, outcome_sums, tuned, units_drawn
from dashboard.panels.selection import Selection
from pipelines.arrays import BoolArray, Float64Array
from pipelines.counting.grid import HALF_CELL, STEPS, first_cell_above
from pipelines.errors import ShapeError
from pipelines.metrics import decisions, ranking, selective, thresholds
from pipelines.metrics.decisions import Alone, Bounds, Paired, Statistic
from pipelines.schema import MACRO, Head, Split

Curve: TypeAlias = tuple[Float64Array, Float64Array]  # x and y, (CELLS + 1) each
RANKS: Final = ("auroc", "average_precision")
_AREAS: Final = {"auroc": ranking.auroc, "average_precision": ranking.average_precision, "aurc": selective.aurc}
MEAN: Final = "mean of classes"
_KEPT: Final = 12  # sets of thresholds: three rules of two heads, twice
STEP_CUTS: Final = slice(first_cell_above(1 / STEPS), first_cell_above(1 - 1 / STEPS) + 1)  # the cuts k/300


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
        return tuple(loaders.dataset(self.run)["classes"])

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
            false, true = (rate.mean(axis=0) for rate in ranking.roc_curve(hist))
            rates[head], precisions[head] = (false, true), (true, ranking.pr_curve(hist)[0].mean(axis=0))
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
    def _tuned(self) -> dict[Head, tuple[int, ...] | None]:
        found = {head: tuned(self.run, head, self.seeds, self.variant) for head in self.heads}
        return {
            head: None if some is None else tuple(first_cell_above(round(one * STEPS) / STEPS) for one in some)
            for head, some in found.items()
        }

    @cached_property
    def untuned(self) -> tuple[str, ...]:
        """Classes that validation has no pixel of, which keep 0.5."""
        return loaders.absent_classes(self.run, "val") if "val" in self.run.splits else ()

    def tuned_cuts(self, head: Head) -> tuple[int, ...] | None:
        """The cut of each class that was tuned on validation; None without validation images."""
        return self._tuned[head]

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
    return pd.DataFrame(
        {
            "class": look.title, "head": np.repeat(look.heads, len(steps)),
            "threshold": np.tile(steps, len(look.heads)),
        }
        | {name: np.concatenate([lines[head][STEP_CUTS] for head in look.heads]) for name, lines in columns.items()}
    )  # fmt: skip


def threshold_said(look: Look, cuts: Sequence[int]) -> str:
    """The threshold of what is shown, or between which they lie."""
    cut = look.shown_cut(cuts)
    return cut_text(cut) if cut is not None else f"{cut_text(min(cuts))} – {cut_text(max(cuts))}"
