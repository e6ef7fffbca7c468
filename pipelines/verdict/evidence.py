"""The metrics table to the few estimates the rule looks at."""

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pandas as pd

from pipelines.errors import RunError
from pipelines.schema import ALL_SEEDS, DIFFERENCE, DIFFERENCE_POWERSET, DIFFERENCES, MACRO
from pipelines.verdict.model import Contender

_CONTENDERS: dict[str, Contender] = {DIFFERENCE: "softmax", DIFFERENCE_POWERSET: "softmax-powerset"}
Position: TypeAlias = Literal["above", "below", "inside", "open"]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; NaN where it is not known."""

    value: float
    low: float
    high: float

    def position(self, margin: float) -> Position:
        """Where the interval lies: wholly above +margin, below −margin, inside both, or open."""
        if math.isnan(self.low) or math.isnan(self.high):
            return "open"
        if self.low > margin:
            return "above"
        if self.high < -margin:
            return "below"
        return "inside" if -margin <= self.low and self.high <= margin else "open"

    def more_units(self, margin: float, units: int) -> int | None:
        """Units to add until the interval, shrinking with the root of their number, no longer straddles a margin.

        None when the value lies so close to the margin that a hundredfold would not do, or no interval is known.
        """
        if math.isnan(self.low):
            return None
        # For each margin the interval straddles: the width on the side that crosses it against the room to it.
        factor = 1.0
        for edge in (-margin, margin):
            if self.low <= edge <= self.high:
                room = abs(self.value - edge)
                width = self.value - self.low if self.value > edge else self.high - self.value
                if room == 0:
                    return None
                factor = max(factor, (width / room) ** 2)
        return math.ceil(units * (factor - 1)) if factor <= 100 else None

    def text(self, *, digits: int = 3) -> str:
        """Value and interval with a fixed number of digits after the point."""
        if math.isnan(self.low):
            return f"{self.value:+.{digits}f} (no interval)"
        return f"{self.value:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"

    def __str__(self) -> str:
        return self.text()


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


class Evidence:
    """Look-ups in a run's metrics, dataset and evaluation facts, on the test split if there is one."""

    def __init__(self, dataset: dict[str, Any], metrics: pd.DataFrame, facts: dict[str, Any]) -> None:
        self.dataset, self.facts = dataset, facts
        splits = set(metrics["split"])
        self.split = next((split for split in ("test", "val", "train") if split in splits), "")
        if not self.split:
            raise RunError("the run has no metrics to judge by; run evaluate on it first")
        rows = metrics[(metrics["split"] == self.split) & (metrics["region"] == "all")]
        keys = zip(rows["head"], rows["seed"], rows["variant"], rows["class"], rows["metric"], strict=True)
        numbers = rows[["value", "low", "high"]].to_numpy(dtype=float)  # a missing number becomes NaN
        self._rows = {key: Estimate(*map(float, row)) for key, row in zip(keys, numbers, strict=True)}
        self.seeds = tuple(sorted({int(seed) for seed in metrics["seed"]} - {ALL_SEEDS}))
        rows_of_heads = set(metrics["head"])
        self.contenders = tuple(_CONTENDERS[row] for row in DIFFERENCES if row in rows_of_heads)
        self.calibrated = "temperature" if "temperature" in set(metrics["variant"]) else "raw"

    def get(
        self, head: str, metric: str, *, class_name: str = MACRO, variant: str = "raw", seed: int = ALL_SEEDS
    ) -> Estimate:
        """One row's estimate over all pixels; NaNs when there is no such row."""
        return self._rows.get((head, seed, variant, class_name, metric), UNKNOWN)

    def difference(
        self, contender: str, metric: str, *, class_name: str = MACRO, variant: str = "raw", seed: int = ALL_SEEDS
    ) -> Estimate:
        """Sigmoid minus the contender."""
        row = next(name for name, other in DIFFERENCES.items() if other == contender)
        return self.get(row, metric, class_name=class_name, variant=variant, seed=seed)

    @property
    def units(self) -> int:
        """Images or groups that were resampled on the split."""
        return int(self.facts["resampling"][self.split]["count"])

    @property
    def unit_name(self) -> str:
        """What was resampled."""
        return str(self.facts["resampling"][self.split]["unit"])

    @property
    def interval_warning(self) -> str | None:
        """Why the intervals should not be trusted, None if they can be."""
        warning = self.facts["resampling"][self.split]["warning"]
        return None if warning is None else str(warning)
