"""Predictions of a run to counts, temperatures, thresholds, metrics and scores of single images."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.config import EvaluationConfig
from pipelines.counting.grid import STEPS
from pipelines.errors import RunError
from pipelines.evaluation.counting import (
    SplitCounts,
    Temperatures,
    Thresholds,
    Truth,
    count_split,
    fit_temperatures,
    tune_thresholds,
)
from pipelines.metrics import Setting
from pipelines.metrics.agreement import agreement_table
from pipelines.metrics.bootstrap import Resampling, choose_units, unit_weights
from pipelines.metrics.estimates import HeadEstimates, estimate_head
from pipelines.metrics.table import metrics_table
from pipelines.progress import Progress
from pipelines.schema import IMAGE_SCORES_SCHEMA, VARIANTS, Head, Reading, Split
from pipelines.store import counts_folder, files, iter_counts, predictions_folder

__all__ = ["Truth", "evaluate"]


def evaluate(
    folder: Path,
    truth: Truth,
    config: EvaluationConfig,
    *,
    contenders: Sequence[Head],
    seeds: Sequence[int],
    splits: Sequence[Split],
    progress: Progress,
) -> dict[str, Any]:
    """Count the predictions in a run's folder; write statistics/, metrics, image_scores (parquet) and evaluation.json.

    Temperatures and thresholds are fitted on validation; without validation predictions only the raw variant is
    counted and no threshold is tuned. The swap test is made on the split the verdict rests on.
    One head alone is counted and measured like a pair, without differences and agreement.
    Returns what evaluation.json holds. Raises RunError when a head lacks the predictions of a seed or split.
    """
    _check_complete(folder, contenders, seeds, splits)
    temperatures = fit_temperatures(folder, contenders, seeds, splits, progress)
    judged = next(split for split in ("test", "val", "train") if split in splits)
    order = sorted(splits, key=lambda split: split != "val")  # thresholds tuned on val serve the others
    thresholds: Thresholds = {}
    scores: dict[Split, list[dict[str, Any]]] = {}
    tables: dict[Split, list[pa.Table]] = {}
    resampled: dict[str, Any] = {}
    findings: dict[str, dict[str, Any]] = {}
    for split in order:
        counted = {
            seed: count_split(
                folder, truth, config, contenders, seed, split, temperatures, progress, swap=split == judged
            )
            for seed in seeds
        }
        findings[split] = _findings(counted)
        scores[split] = [row for one in counted.values() for row in one.scores]
        if split == "val":
            thresholds = tune_thresholds(folder, counted[seeds[0]].places, seeds, kind=truth.kind)
        units = choose_units(counted[seeds[0]].images, truth.groups)
        resampled[split] = {
            "unit": units.unit, "count": units.count, "warning": units.warning, "of_image": units.of_image.tolist(),
        }  # fmt: skip
        tables[split] = list(
            _tables(folder, truth, config, counted, split, thresholds if split != "val" else {}, units, progress)
        )
    files.write_table(folder / "metrics.parquet", pa.concat_tables([one for split in splits for one in tables[split]]))
    rows = [row for split in splits for row in scores[split]]
    files.write_table(folder / "image_scores.parquet", pa.Table.from_pylist(rows, schema=IMAGE_SCORES_SCHEMA))
    facts = _facts(truth, config, temperatures, thresholds)
    facts |= {"resampling": {one: resampled[one] for one in splits}, "findings": {one: findings[one] for one in splits}}
    files.write_json(folder / "evaluation.json", facts)
    return facts


def _check_complete(folder: Path, contenders: Sequence[Head], seeds: Sequence[int], splits: Sequence[Split]) -> None:
    """Differences are taken seed by seed and image by image, so every head must have every seed of every split."""
    for split in splits:
        has = {
            head: [seed for seed in seeds if (folder / predictions_folder(split, head, seed)).is_dir()]
            for head in contenders
        }
        if any(some != list(seeds) for some in has.values()):
            said = ", ".join(f"{head} {' '.join(map(str, some)) or 'none'}" for head, some in has.items())
            raise RunError(
                f"the heads have predictions of different seeds ({split} split: {said}); they are compared seed by "
                "seed, so give each head the same ones"
            )


def _tables(
    folder: Path,
    truth: Truth,
    config: EvaluationConfig,
    counted: Mapping[int, SplitCounts],
    split: Split,
    thresholds: Thresholds,
    units: Resampling,
    progress: Progress,
) -> Iterator[pa.Table]:
    """Metrics of every variant of a split, then how far the heads agree."""
    places = next(iter(counted.values())).places
    weights = unit_weights(
        units, replicates=config.replicates, rng=np.random.default_rng(config.bootstrap_seed)
    ).astype(np.float32)
    # Draws of seeds: another stream than that of the images, the same for every variant.
    stream = (config.bootstrap_seed, 1)
    common: dict[str, Any] = {"classes": truth.classes, "split": split, "units": units, "stream": stream}
    estimates: dict[Reading, dict[int, HeadEstimates]] = {}
    with progress.stage(f"measure {split}", len(places) * len(counted)):
        for variant in VARIANTS:
            readings = [reading for reading, one in places if one == variant]
            if not readings:
                continue
            if variant != "temperature-by-class":  # there softmax keeps its common temperature
                estimates = {}
            for reading in readings:
                estimates[reading] = {}
                for seed in counted:
                    setting = _setting(truth, config, thresholds.get((reading, variant, seed)))
                    counts = folder / counts_folder(split, reading, seed, variant)
                    estimates[reading][seed] = estimate_head(
                        partial(iter_counts, counts), setting, weights, units=units.count
                    )
                    progress.advance()
            yield metrics_table(estimates, variant=variant, **common)
    agreement = {seed: one.agreement for seed, one in counted.items()}
    images = next(iter(counted.values())).images
    if any(agreement.values()):
        yield agreement_table(agreement, kind=truth.kind, images=images, weights=weights, **common)


def _findings(counted: Mapping[int, SplitCounts]) -> dict[str, list[dict[str, str]]]:
    """What the logits of each head look like that they should not, every sentence once."""
    found: dict[str, list[dict[str, str]]] = {}
    for one in counted.values():
        for head, some in one.findings.items():
            known = found.setdefault(head, [])
            known += [finding for finding in some if finding["code"] not in {other["code"] for other in known}]
    return found


def _setting(truth: Truth, config: EvaluationConfig, thresholds: tuple[int, ...] | None) -> Setting:
    return Setting(
        truth.kind, config.calibration_bins, truth.background is not None, thresholds,
        config.cost_false_positive, config.cost_false_negative,
    )  # fmt: skip


def _facts(
    truth: Truth, config: EvaluationConfig, temperatures: Temperatures, thresholds: Thresholds
) -> dict[str, Any]:
    by_class = {
        head: {
            str(seed): dict(zip(truth.classes, one.by_class, strict=True))
            for seed, one in by_seed.items()
            if one.by_class is not None
        }
        for head, by_seed in temperatures.items()
    }
    tuned: dict[str, Any] = {}
    for (reading, variant, seed), steps in thresholds.items():
        values = {name: step / STEPS for name, step in zip(truth.classes, steps, strict=True)}
        tuned.setdefault(variant, {}).setdefault(reading, {})[str(seed)] = values
    return {
        "decision": truth.rule,
        "calibration_bins": config.calibration_bins,
        "boundary_width": config.boundary_width,
        "surface_tolerance": config.surface_tolerance,
        "costs": {"false_positive": config.cost_false_positive, "false_negative": config.cost_false_negative},
        "replicates": config.replicates,
        "temperature": {head: {str(seed): t.common for seed, t in by.items()} for head, by in temperatures.items()},
        "temperature_by_class": {head: by for head, by in by_class.items() if by},
        "thresholds": tuned,
    }
