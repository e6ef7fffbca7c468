"""Runs of one data set with several losses to one grid that tells head from loss from threshold from temperature.

The comparison itself, its layout for a terminal and as JSON, and the command for a loss that is missing.
"""

import shlex
import textwrap
from collections.abc import Sequence
from itertools import product
from typing import Any, Final

import numpy as np
import pandas as pd

from pipelines.comparison.effects import (
    AS_TRAINED,
    FITTED,
    TABLE_KEYS,
    Compared,
    Comparison,
    conclude,
    contrast_table,
    contrasts,
    digits_of,
    gap_table,
    interval_text,
    main_effects,
)
from pipelines.comparison.matching import MEASURES, Cells, Match, Place, ends, match, measure
from pipelines.config import Loss, RunConfig, build
from pipelines.judgement import Margin
from pipelines.metrics import METRICS
from pipelines.requests import RunRequest, settings_of
from pipelines.sentences import capitalised, none_carries
from pipelines.store.runs import Run
from pipelines.verdict.reasons import FEWEST_SEEDS

_WIDTH: Final = 110
_ENDS: Final = ("", "_low", "_high")
HEADLINES: Final = ("dice", "brier")  # a measure of labels and a proper score: sentences are made for these


def compare(runs: Sequence[Run], *, replicates: int = 2000, bootstrap_seed: int = 0) -> Comparison:
    """Compare runs of one data set; the order they are given in does not matter.

    One run alone is a grid of one row, in which thresholds and temperature can still be told from the head.
    replicates: of the bootstrap; bootstrap_seed: of its draws, as in a run's own evaluation.
    Raises RunError, with the reason, when the runs cannot be compared.
    """
    matched = match(runs)
    cells = measure(matched, replicates=replicates, bootstrap_seed=bootstrap_seed)
    every = contrasts(cells)
    largest = [effect for name in MEASURES for effect in main_effects(every, name)]
    return Comparison(
        runs=tuple(Compared(member.label, member.run.name, member.loss, member.seeds) for member in matched.members),
        factor=matched.factor,
        dataset=matched.members[0].run.dataset["name"],
        kind=matched.kind,
        split=matched.split,
        images=len(matched.units.of_image),
        unit=matched.units.unit,
        units=matched.units.count,
        heads=matched.heads,
        notes=_notes(matched),
        table=_table(cells),
        contrasts=contrast_table(every),
        effects=contrast_table(largest),
        gaps=gap_table(cells, every),
    )


def _table(cells: Cells) -> pd.DataFrame:
    """One row a cell of the grid."""
    rows = []
    for run, head, variant, threshold in product(
        cells.match.labels, cells.match.heads, cells.match.variants, cells.match.thresholds
    ):
        heat = AS_TRAINED if variant == "raw" else FITTED
        row: dict[str, Any] = dict(zip(TABLE_KEYS, (run, head, threshold, heat), strict=True))
        for name in MEASURES:
            value = cells.by_place[Place(run, head, threshold, variant), name]
            ((low, high),) = ends(cells, [value], bounds=METRICS[name].bounds)
            row |= {name: value.mean, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _notes(matched: Match) -> tuple[str, ...]:
    """What differs besides the loss, how many seeds there are, and why intervals may be too narrow."""
    notes = list(matched.notes)
    for part in matched.members[0].run.dataset["splits"]:
        absent = [name for name, pixels in part["class_pixels"].items() if not pixels]
        if part["split"] == matched.split and absent:
            notes.append(f"{capitalised(none_carries(absent, matched.split))}, so no score of it has a value there.")
    if matched.differences:
        notes.append(f"It is not the loss alone that differs: {', '.join(matched.differences)}.")
    if matched.kind == "exclusive" and matched.tuned:
        notes.append(
            "Labels are read off by argmax; tuned thresholds call each class against the rest instead, so that a pixel "
            "may get several labels or none."
        )
    if matched.kind == "binary":
        notes.append(
            "One class: a two-class softmax is the sigmoid of a difference of logits, so that what the head moves is "
            "optimisation and noise."
        )
    fewest = len(matched.members[0].seeds)
    if fewest == 1:
        notes.append(
            "One seed was trained: the intervals cover other images, not another start, which can move any of this as "
            f"much; train at least {FEWEST_SEEDS}."
        )
    elif fewest < FEWEST_SEEDS:
        notes.append(f"{fewest} seeds are few: train at least {FEWEST_SEEDS}.")
    if matched.units.warning:
        notes.append(f"{capitalised(matched.units.warning)}.")
    return tuple(notes)


# For a terminal and as JSON -------------------------------------------------------------------------------------------


def text(comparison: Comparison, margin: Margin) -> str:
    """The comparison for a terminal: what was compared, the grid, the ranked effects and what follows."""
    lines = [*_facts_text(comparison), "", *_table_text(comparison)]
    for name in HEADLINES:
        conclusion = conclude(comparison, name, margin)
        lines += ["", *_wrapped(conclusion.sentences), *_effects_text(comparison, name)]
        if conclusion.effects:
            margin_text = f"margin {conclusion.margin:.2g}"
            lines.append(f"  95% intervals, joint for all pairs of a factor; + is better; {margin_text}")
    return "\n".join([*lines, *(["", *_wrapped(comparison.notes)] if comparison.notes else [])])


def _wrapped(sentences: Sequence[str]) -> list[str]:
    return [line for sentence in sentences for line in textwrap.wrap(sentence, _WIDTH)]


def as_json(comparison: Comparison, margin: Margin) -> dict[str, Any]:
    """The same, and every contrast, as plain values."""
    conclusions = [conclude(comparison, name, margin) for name in MEASURES]
    return {
        "dataset": comparison.dataset,
        "kind": comparison.kind,
        "split": comparison.split,
        "images": comparison.images,
        "resampled": comparison.unit,
        "factor": comparison.factor,
        "runs": [run._asdict() for run in comparison.runs],
        "heads": comparison.heads,
        "notes": comparison.notes,
        "conclusions": [
            {
                "measure": conclusion.measure,
                "margin": None if np.isnan(conclusion.margin) else conclusion.margin,
                "sentences": conclusion.sentences,
                "effects": _records(pd.DataFrame([vars(effect) for effect in conclusion.effects])),
            }
            for conclusion in conclusions
        ],
        "table": _records(comparison.table),
        "contrasts": _records(comparison.contrasts),
        "gaps": _records(comparison.gaps),
    }


def _facts_text(comparison: Comparison) -> list[str]:
    """What was compared."""
    first = f"{comparison.dataset}: {comparison.split} split, {comparison.images} images"
    if comparison.unit != "images":
        first += f" in {comparison.units} {comparison.unit}"
    rows = [[run.label, f"run {run.name}", f"seeds {', '.join(map(str, run.seeds))}"] for run in comparison.runs]
    return [first, *_aligned(rows)]


def _table_text(comparison: Comparison) -> list[str]:
    """The grid, aligned."""
    head = [*TABLE_KEYS, *(f"{METRICS[name].title} {_ARROWS[METRICS[name].better]}" for name in MEASURES)]
    rows = [
        [str(row[key]) for key in TABLE_KEYS]
        + [interval_text(*(row[name + end] for end in _ENDS), digits=digits_of(name)) for name in MEASURES]
        for row in comparison.table.to_dict("records")
    ]
    return _aligned([head, *rows])


_ARROWS: Final = {"higher": "↑", "lower": "↓", "neither": ""}


def _effects_text(comparison: Comparison, measure: str) -> list[str]:
    """The ranked effects on one measure, aligned."""
    chosen = comparison.effects[comparison.effects["measure"] == measure]
    rows = [
        [
            str(row["factor"]),
            f"{row['first']} over {row['second']}",
            interval_text(row["gain"], row["low"], row["high"], digits=digits_of(measure), sign=True),
        ]
        for row in chosen.to_dict("records")
    ]
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns padded to their widest entry, indented by two."""
    if not rows:
        return []
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values, None for a number that is not known."""
    return [
        {str(name): None if isinstance(value, float) and pd.isna(value) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


# The command for another loss ----------------------------------------------------------------------------------------

# Settings that decide which networks are trained and how they are judged, in the order in which they are written.
_WRITTEN: Final = (
    "epochs", "size", "crop", "architecture", "encoder", "encoder_weights", "batch_size", "learning_rate",
    "softmax_rule", "priority", "precision", "splits", "boundary_width", "replicates",
)  # fmt: skip


def run_command(config: dict[str, Any], loss: Loss) -> str:
    """Such as "python -m pipelines run cells --loss dice --seeds 0,1,2 --epochs 5".

    config: config.json of a run. Settings that are the command's own defaults are left out, and so are those that no
    option of the command sets. Raises ConfigError when it is no run's settings, or those of an import.
    """
    known: RunConfig = build(RunConfig, config)
    request = RunRequest(dataset=known.dataset, training=known.trained, evaluation=known.evaluation)
    words = ["python", "-m", "pipelines", "run", known.dataset, "--loss", loss]
    words += ["--seeds", ",".join(map(str, known.trained.seeds))]
    settings = {setting.path[-1]: setting for setting in settings_of(RunRequest)}
    for setting in (settings[name] for name in _WRITTEN):
        value = setting.of(request)
        if value is not None and value != setting.default:
            words += [setting.flag, setting.text(value)]
    if not known.trained.augment:
        words.append("--no-augment")
    return shlex.join(words)
