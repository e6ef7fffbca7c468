"""What a comparison of runs is made of, its tables, its layout for a terminal and as JSON."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pandas as pd

from pipelines.comparison.matching import LABEL_MEASURES, MEASURES, RunFactor
from pipelines.config import Loss, RunConfig, build
from pipelines.metrics import METRICS
from pipelines.schema import Head, Kind, Split
from pipelines.sentences import bracketed, signed

# The comparison ------------------------------------------------------------------------------------------------------

TABLE_KEYS: Final = ("run", "head", "threshold", "temperature")
_ENDS: Final = ("", "_low", "_high")


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
    """The rows of contrasts or effects that are of a measure, as plain values.

    A few conditions on columns of so few rows cost pandas more than all of the rows as values.
    """
    names = [str(name) for name in table.columns]
    rows = (dict(zip(names, row, strict=True)) for row in zip(*(table[name].tolist() for name in names), strict=True))
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


def facts_text(comparison: Comparison) -> list[str]:
    """What was compared."""
    first = f"{comparison.dataset}: {comparison.split} split, {comparison.images} images"
    if comparison.unit != "images":
        first += f" in {comparison.units} {comparison.unit}"
    rows = [[run.label, f"run {run.name}", f"seeds {', '.join(map(str, run.seeds))}"] for run in comparison.runs]
    return [first, *aligned(rows)]


def table_text(comparison: Comparison) -> list[str]:
    """The grid, aligned."""
    head = [*TABLE_KEYS, *(f"{METRICS[name].title} {_ARROWS[METRICS[name].better]}" for name in MEASURES)]
    rows = [
        [str(row[key]) for key in TABLE_KEYS]
        + [interval_text(*(row[name + end] for end in _ENDS), digits=digits_of(name)) for name in MEASURES]
        for row in comparison.table.to_dict("records")
    ]
    return aligned([head, *rows])


_ARROWS: Final = {"higher": "↑", "lower": "↓", "neither": ""}


def effects_text(comparison: Comparison, measure: str) -> list[str]:
    """The ranked effects on one measure, aligned."""
    chosen = comparison.effects[comparison.effects["measure"] == measure]
    rows = [
        [
            str(row["factor"]), f"{row['first']} over {row['second']}",
            interval_text(row["gain"], row["low"], row["high"], digits=digits_of(measure), sign=True),
        ]
        for row in chosen.to_dict("records")
    ]  # fmt: skip
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns padded to their widest entry, indented by two."""
    if not rows:
        return []
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values, None for a number that is not known."""
    return [
        {str(name): None if isinstance(value, float) and pd.isna(value) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


# The command for another loss ----------------------------------------------------------------------------------------

_DEFAULTS: Final = RunConfig(dataset="")
# Options of `run` for what decides which networks are trained, by the name of the setting.
_TRAINING: Final = {
    "epochs": "--epochs", "size": "--size", "crop": "--crop", "architecture": "--architecture", "encoder": "--encoder",
    "encoder_weights": "--encoder-weights", "batch_size": "--batch-size", "learning_rate": "--lr",
    "softmax_rule": "--softmax-rule", "priority": "--priority", "precision": "--precision",
}  # fmt: skip
_EVALUATION: Final = {"splits": "--splits", "boundary_width": "--boundary-width", "replicates": "--replicates"}


def run_command(config: dict[str, Any], loss: Loss) -> str:
    """Such as "python -m pipelines run cells --loss dice --seeds 0,1,2 --epochs 5".

    config: config.json of a run. Settings that are the command's own defaults are left out, and so are those that no
    option of the command sets. Raises ConfigError when it is no run's settings, or those of an import.
    """
    known: RunConfig = build(RunConfig, config)
    training = known.trained
    words = ["python", "-m", "pipelines", "run", known.dataset, "--loss", loss]
    words += ["--seeds", ",".join(map(str, training.seeds))]
    for group, options in (("training", _TRAINING), ("evaluation", _EVALUATION)):
        mine, usual = getattr(known, group), getattr(_DEFAULTS, group)
        for name, flag in options.items():
            value = getattr(mine, name)
            if name == "learning_rate" and training.learning_rates:
                value = ",".join(f"{head}={rate:g}" for head, rate in training.learning_rates.items())
            if value != getattr(usual, name):
                words += [flag, _written(value, name)]
    if not training.augment:
        words.append("--no-augment")
    return shlex.join(words)


def _written(value: Any, name: str) -> str:
    if isinstance(value, tuple):
        return ("x" if name in ("size", "crop") else ",").join(map(str, value))
    return str(value)
