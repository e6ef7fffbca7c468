"""The estimates that a verdict is judged by, looked up in a run's numbers."""

import math
from dataclasses import dataclass
from statistics import variance
from typing import Any, Final, Literal, TypeAlias, get_args

import pandas as pd

from pipelines.errors import RunError
from pipelines.judgement import Contender as Contender
from pipelines.metrics.inference import further_units
from pipelines.schema import ALL_SEEDS, DIFFERENCES, HEADS, MACRO, Head
from pipelines.sentences import bracketed, decimals_of, signed

Position: TypeAlias = Literal["above", "below", "inside", "open"]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval, NaN where it is not known.

    p_holm: of a class's difference, the p-value of no difference, corrected for the number of classes;
    standard_error: of the value.
    """

    value: float
    low: float
    high: float
    p_holm: float = math.nan
    standard_error: float = math.nan

    def position(self, margin: float) -> Position:
        """Where the interval lies: wholly above +margin, below −margin, inside both, or open."""
        if math.isnan(self.low) or math.isnan(self.high):
            return "open"
        if self.low > margin:
            return "above"
        if self.high < -margin:
            return "below"
        return "inside" if -margin <= self.low and self.high <= margin else "open"

    def more_units(self, margin: float, units: int, *, fixed: float = 0.0) -> int | None:
        """Units to add until the interval, shrinking with the root of their number, no longer straddles a margin.

        fixed: the share of its squared width that more units do not shrink, because it comes from the seeds.
        None when the value lies so close to the margin that a hundredfold would not do, or no interval is known.
        """
        return further_units(self.value, self.low, self.high, margin=margin, units=units, fixed=fixed)

    def text(self, *, digits: int = 3) -> str:
        """Value and interval with the decimals that the interval deserves, three at least, to compare it with a margin.

        digits: those where there is no interval.
        """
        if math.isnan(self.value):
            return "without a value"
        if math.isnan(self.low):
            return f"{signed(self.value, digits)} (no interval)"
        return bracketed(self.value, self.low, self.high, decimals_of(self.low, self.high, fewest=3), sign=True)

    def __str__(self) -> str:
        return self.text()


_DIFFERENCE: Final = {head: row for row, head in DIFFERENCES.items()}
UNKNOWN = Estimate(math.nan, math.nan, math.nan)


class Evidence:
    """Look-ups in a run's metrics, dataset and evaluation facts, on the test split if there is one."""

    def __init__(self, dataset: dict[str, Any], metrics: pd.DataFrame, facts: dict[str, Any]) -> None:
        self.dataset, self.facts = dataset, facts
        # The better target where there is one: what a share of the observers say is no mistake of a head that doubts.
        self.soft = bool(facts.get("soft_truth"))
        self.brier, self.ece = ("soft_brier", "soft_classwise_ece") if self.soft else ("brier", "classwise_ece")
        splits = set(metrics["split"].unique())
        self.split = next((split for split in ("test", "val", "train") if split in splits), "")
        if not self.split:
            raise RunError("the run has no metrics to judge by; run evaluate on it first")
        rows = metrics[(metrics["split"] == self.split) & (metrics["region"] == "all")]
        # A run has tens of thousands of rows and a verdict looks at a few dozen: these alone become estimates.
        keys = (rows[name].to_numpy(dtype=object) for name in ("head", "seed", "variant", "class", "metric"))
        self._places = {key: place for place, key in enumerate(zip(*keys, strict=True))}
        columns = ["value", "low", "high", "p_holm", "standard_error"]
        self._numbers = rows.reindex(columns=columns).to_numpy(dtype=float)  # a missing number becomes NaN
        self.seeds = tuple(sorted({int(seed) for seed in metrics["seed"].unique()} - {ALL_SEEDS}))
        measured = set(metrics["head"].unique())
        self.heads = tuple(head for head in HEADS if head in measured)
        contenders: tuple[Contender, ...] = get_args(Contender)
        self.contenders = tuple(head for head in contenders if _DIFFERENCE[head] in measured)
        self.calibrated = "temperature" if "temperature" in set(metrics["variant"].unique()) else "raw"

    def get(
        self, head: str, metric: str, *, class_name: str = MACRO, variant: str = "raw", seed: int = ALL_SEEDS
    ) -> Estimate:
        """One row's estimate over all pixels; NaNs when there is no such row."""
        place = self._places.get((head, seed, variant, class_name, metric))
        return UNKNOWN if place is None else Estimate(*self._numbers[place].tolist())

    def difference(
        self, contender: Head, metric: str, *, class_name: str = MACRO, variant: str = "raw", seed: int = ALL_SEEDS
    ) -> Estimate:
        """Sigmoid minus the contender."""
        return self.get(_DIFFERENCE[contender], metric, class_name=class_name, variant=variant, seed=seed)

    def absent(self, split: str) -> tuple[str, ...]:
        """Classes that no pixel of a split carries, as far as pixels count."""
        parts = (part["class_pixels"] for part in self.dataset["splits"] if part["split"] == split)
        return tuple(name for pixels in parts for name, count in pixels.items() if not count)

    @property
    def undefined(self) -> bool:
        """Whether no head has a Dice on the split, because no pixel of it carries a class."""
        return all(math.isnan(self.get(head, "dice").value) for head in self.heads)

    @property
    def findings(self) -> dict[Head, list[dict[str, str]]]:
        """By head, what is wrong with its logits on the split (docs/misuse.md)."""
        return dict(self.facts.get("findings", {}).get(self.split, {}))

    @property
    def misused(self) -> bool:
        """Whether a head's logits are such that the numbers made from them are wrong."""
        return any(finding["severity"] == "error" for findings in self.findings.values() for finding in findings)

    def seed_share(self, contender: Head, metric: str) -> float:
        """Share of a difference's variance that comes from the seeds and that more images would not shrink, 0 to 1."""
        gaps = [self.difference(contender, metric, seed=seed).value for seed in self.seeds]
        error = self.difference(contender, metric).standard_error
        if len(gaps) < 2 or not error > 0:
            return 0.0
        return min(1.0, variance(gaps) / len(gaps) / error**2)

    @property
    def units(self) -> int:
        """Images or groups that were resampled on the split."""
        return int(self.facts["resampling"][self.split]["count"])

    @property
    def unit_name(self) -> str:
        """What was resampled."""
        return str(self.facts["resampling"][self.split]["unit"])

    @property
    def dice(self) -> str:
        """What the run's Dice is called: macro where it is the mean of several classes."""
        return "Dice" if len(self.dataset["class_facts"]) == 1 else "macro Dice"

    @property
    def against(self) -> str:
        """What probabilities are held against, where that is to be said."""
        return " against the soft truth" if self.soft else ""

    @property
    def replicates(self) -> int:
        """Of the bootstrap behind the intervals and p-values."""
        return int(self.facts["replicates"])

    @property
    def interval_warning(self) -> str | None:
        """Why the intervals should not be trusted, None if they can be."""
        warning = self.facts["resampling"][self.split]["warning"]
        return None if warning is None else str(warning)
