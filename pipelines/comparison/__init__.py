"""Runs of one data set with several losses to one grid that tells head from loss from threshold from temperature."""

import textwrap
from collections.abc import Sequence
from itertools import product
from typing import Any, Final

import numpy as np
import pandas as pd

from pipelines.comparison.effects import (
    AS_TRAINED,
    CONTRAST_COLUMNS,
    FITTED,
    GAP_COLUMNS,
    MEAN,
    TITLES,
    Conclusion,
    Effect,
    before_after,
    conclude,
    contrast_table,
    contrasts,
    effect_rows,
    gap_table,
    main_effects,
    margin_of,
)
from pipelines.comparison.matching import (
    LABEL_MEASURES,
    MEASURES,
    Cells,
    Match,
    Place,
    comparable,
    ends,
    loss_of,
    match,
    measure,
)
from pipelines.comparison.model import (
    TABLE_KEYS,
    Compared,
    Comparison,
    effects_text,
    facts_text,
    records,
    run_command,
    table_text,
)
from pipelines.metrics import METRICS
from pipelines.sentences import begun, none_carries
from pipelines.store import Run
from pipelines.verdict import FEWEST_SEEDS, Margin

__all__ = [
    "AS_TRAINED", "CONTRAST_COLUMNS", "FITTED", "GAP_COLUMNS", "HEADLINES", "LABEL_MEASURES", "MEAN", "MEASURES",
    "TABLE_KEYS", "TITLES", "Comparison", "Conclusion", "Effect", "as_json", "before_after", "comparable", "compare",
    "conclude", "effect_rows", "loss_of", "margin_of", "run_command", "text",
]  # fmt: skip

_WIDTH: Final = 110
HEADLINES: Final = ("dice", "brier")  # a measure of labels and a proper score: sentences are made for these


def compare(runs: Sequence[Run], *, replicates: int = 2000, bootstrap_seed: int = 0) -> Comparison:
    """Compare runs of one data set; the order they are given in does not matter.

    One run alone is a grid of one row, in which thresholds and temperature can still be told from the head.
    replicates: of the bootstrap; bootstrap_seed: of its draws, as in a run's own evaluation.
    Raises RunError, with the reason, when the runs cannot be compared.
    """
    matched = match(runs)
    cells = measure(matched, replicates=replicates, bootstrap_seed=bootstrap_seed)
    found = contrasts(cells)
    largest = [one for name in MEASURES for one in main_effects(found, name)]
    return Comparison(
        runs=tuple(Compared(one.label, one.run.name, one.loss, one.seeds) for one in matched.members),
        factor=matched.factor, dataset=matched.members[0].run.dataset["name"], kind=matched.kind, split=matched.split,
        images=len(matched.units.of_image), unit=matched.units.unit, units=matched.units.count, heads=matched.heads,
        notes=_notes(matched), table=_table(cells), contrasts=contrast_table(found), effects=contrast_table(largest),
        gaps=gap_table(cells, found),
    )  # fmt: skip


def _table(cells: Cells) -> pd.DataFrame:
    """One row a cell of the grid."""
    rows = []
    for run, head, variant, threshold in product(
        cells.match.labels, cells.match.heads, cells.variants, cells.thresholds
    ):
        heat = AS_TRAINED if variant == "raw" else FITTED
        row: dict[str, Any] = dict(zip(TABLE_KEYS, (run, head, threshold, heat), strict=True))
        for name in MEASURES:
            one = cells.by_place[Place(run, head, threshold, variant), name]
            ((low, high),) = ends(cells, [one], bounds=METRICS[name].bounds)
            row |= {name: one.value, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _notes(matched: Match) -> tuple[str, ...]:
    """What differs besides the loss, how many seeds there are, and why intervals may be too narrow."""
    notes = list(matched.notes)
    for part in matched.members[0].run.dataset["splits"]:
        absent = [name for name, pixels in part["class_pixels"].items() if not pixels]
        if part["split"] == matched.split and absent:
            notes.append(f"{begun(none_carries(absent, matched.split))}, so no score of it has a value there.")
    if matched.differences:
        notes.append(f"It is not the loss alone that differs: {', '.join(matched.differences)}.")
    if matched.kind == "exclusive" and matched.thresholds:
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
        notes.append(f"{begun(matched.units.warning)}.")
    return tuple(notes)


def text(comparison: Comparison, margin: Margin) -> str:
    """The comparison for a terminal: what was compared, the grid, the ranked effects and what follows."""
    lines = [*facts_text(comparison), "", *table_text(comparison)]
    for name in HEADLINES:
        found = conclude(comparison, name, margin)
        lines += ["", *_wrapped(found.sentences), *effects_text(comparison, name)]
        if found.effects:
            lines.append(f"  95% intervals, joint for all pairs of a factor; + is better; margin {found.margin:.2g}")
    return "\n".join([*lines, *(["", *_wrapped(comparison.notes)] if comparison.notes else [])])


def _wrapped(sentences: Sequence[str]) -> list[str]:
    return [line for sentence in sentences for line in textwrap.wrap(sentence, _WIDTH)]


def as_json(comparison: Comparison, margin: Margin) -> dict[str, Any]:
    """The same, and every contrast, as plain values."""
    conclusions = [conclude(comparison, name, margin) for name in MEASURES]
    return {
        "dataset": comparison.dataset, "kind": comparison.kind, "split": comparison.split,
        "images": comparison.images, "resampled": comparison.unit, "factor": comparison.factor,
        "runs": [run._asdict() for run in comparison.runs], "heads": comparison.heads, "notes": comparison.notes,
        "conclusions": [
            {
                "measure": one.measure, "margin": None if np.isnan(one.margin) else one.margin,
                "sentences": one.sentences,
                "effects": records(pd.DataFrame([vars(effect) for effect in one.effects])),
            }
            for one in conclusions
        ],
        "table": records(comparison.table), "contrasts": records(comparison.contrasts),
        "gaps": records(comparison.gaps),
    }  # fmt: skip
