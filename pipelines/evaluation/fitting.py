"""Validation predictions to what is fitted on them: temperatures, and the threshold of each class."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pipelines import temperature
from pipelines.evaluation.counting import Place, Temperatures
from pipelines.evaluation.outputs import Temperature
from pipelines.heads import HeadSpec
from pipelines.metrics.base import Setting
from pipelines.metrics.sources import SCORES
from pipelines.metrics.thresholds import best_threshold
from pipelines.progress import Progress
from pipelines.schema import Head, Kind, Reading, Split, Variant
from pipelines.statistics.grid import STEPS
from pipelines.storage import PredictionReader, counts_folder, iter_counts, predictions_folder

Thresholds: TypeAlias = dict[tuple[Reading, Variant, int], tuple[int, ...]]  # k of k/300 of each class


def fit_temperatures(
    folder: Path, contenders: Sequence[Head], seeds: Sequence[int], splits: Sequence[Split], progress: Progress
) -> Temperatures:
    """Temperatures of every head and seed; none without validation predictions."""
    if "val" not in splits:
        return {}
    found: Temperatures = {head: {} for head in contenders}
    with progress.stage("temperature", len(contenders) * len(seeds)):
        for head in contenders:
            for seed in seeds:
                with PredictionReader(folder / predictions_folder("val", head, seed)) as reader:
                    pixels = sum(int(reader.valid(image).sum()) for image in reader.images)
                    sample = temperature.sample_pixels(reader, valid_pixels=pixels)
                    found[head][seed] = _fit(reader.spec, sample)
                progress.advance()
    return found


def _fit(spec: HeadSpec, sample: temperature.Sample) -> Temperature:
    common = temperature.fit_temperature(spec, sample)
    if spec.is_softmax or len(spec.classes) < 2:
        return Temperature(common)
    return Temperature(common, temperature.fit_by_class(sample))


def tune_thresholds(folder: Path, places: Sequence[Place], seeds: Sequence[int], *, kind: Kind) -> Thresholds:
    """For every counted output and seed, the k/300 at which each class's pooled Dice is best on validation.

    A class that validation has no pixel of keeps 0.5.
    """
    found: Thresholds = {}
    for reading, variant in places:
        for seed in seeds:
            blocks = iter_counts(folder / counts_folder("val", reading, seed, variant))
            whole = np.sum([SCORES.terms(block, Setting(kind)).sum(axis=0) for block in blocks], axis=0).sum(axis=0)
            threshold, _ = best_threshold(whole)
            steps = np.where(whole[:, 1].sum(axis=-1) > 0, np.rint(threshold * STEPS), STEPS // 2)
            found[reading, variant, seed] = tuple(int(step) for step in steps)
    return found
