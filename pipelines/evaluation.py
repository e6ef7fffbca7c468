"""Predictions of a run to counts, temperatures, metrics and scores of single images."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from pipelines import heads, temperature
from pipelines.arrays import BoolArray
from pipelines.config import EvaluationConfig
from pipelines.engine import map_in_order
from pipelines.errors import RunError
from pipelines.heads import HeadSpec
from pipelines.metrics import METRICS, Setting
from pipelines.metrics.bootstrap import choose_units
from pipelines.metrics.table import Terms, collect_terms, metrics_table
from pipelines.progress import Progress
from pipelines.schema import IMAGE_SCORES_SCHEMA, Head, Kind, Split, Variant
from pipelines.statistics import Counts, ImageCounts, count_image, label_masks, regions, stack
from pipelines.storage import (
    CountsWriter,
    Prediction,
    PredictionReader,
    counts_folder,
    files,
    iter_counts,
    predictions_folder,
)  # fmt: skip

BLOCK = 16  # images in a row group of counts
Temperatures: TypeAlias = dict[Head, dict[int, float]]


@dataclass(frozen=True)
class Truth:
    """What evaluation must know of the data set."""

    kind: Kind
    classes: tuple[str, ...]
    background: str | None
    groups: Mapping[str, str]

    @property
    def decision(self) -> str:
        """How labels are read off the log-odds: argmax for exclusive truth, p > 0.5 otherwise."""
        return "argmax" if self.kind == "exclusive" else "threshold"


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

    Temperatures are fitted on validation; without validation predictions only the raw variant is counted.
    Returns what evaluation.json holds.
    """
    temperatures = _temperatures(folder, contenders, seeds, splits, progress)
    scores: list[dict[str, Any]] = []
    tables: list[pa.Table] = []
    resampled: dict[str, Any] = {}
    setting = Setting(truth.kind, config.calibration_bins, truth.background is not None)
    for split in splits:
        for seed in seeds:
            scores += _count_split(folder, truth, config, contenders, seed, split, temperatures, progress)
        variants: tuple[Variant, ...] = ("raw", "temperature") if temperatures else ("raw",)
        for variant in variants:
            terms = _terms(folder, contenders, seeds, split, variant, setting)
            units = choose_units(next(iter(terms["sigmoid"].values())).images, truth.groups)
            resampled[split] = {
                "unit": units.unit, "count": units.count, "warning": units.warning, "of_image": units.of_image.tolist(),
            }  # fmt: skip
            progress.check()
            tables.append(
                metrics_table(
                    terms, setting=setting, classes=truth.classes, split=split, variant=variant, resampling=units,
                    replicates=config.replicates, rng=np.random.default_rng(config.bootstrap_seed),
                )
            )  # fmt: skip
    files.write_table(folder / "metrics.parquet", pa.concat_tables(tables))
    files.write_table(folder / "image_scores.parquet", pa.Table.from_pylist(scores, schema=IMAGE_SCORES_SCHEMA))
    facts = {
        "decision": truth.decision,
        "calibration_bins": config.calibration_bins,
        "boundary_width": config.boundary_width,
        "replicates": config.replicates,
        "temperature": {head: {str(seed): t for seed, t in by.items()} for head, by in temperatures.items()},
        "resampling": resampled,
    }
    files.write_json(folder / "evaluation.json", facts)
    return facts


def _temperatures(
    folder: Path, contenders: Sequence[Head], seeds: Sequence[int], splits: Sequence[Split], progress: Progress
) -> Temperatures:
    if "val" not in splits:
        return {}
    found: Temperatures = {head: {} for head in contenders}
    with progress.stage("temperature", len(contenders) * len(seeds)):
        for head in contenders:
            for seed in seeds:
                with PredictionReader(folder / predictions_folder("val", head, seed)) as reader:
                    pixels = sum(int(reader.valid(image).sum()) for image in reader.images)
                    sample = temperature.sample_pixels(reader, valid_pixels=pixels)
                    found[head][seed] = temperature.fit_temperature(reader.spec, sample)
                progress.advance()
    return found


class _Counted(NamedTuple):
    counts: dict[tuple[Head, Variant], ImageCounts]
    disagreement: dict[Head, float]


def _count_split(
    folder: Path,
    truth: Truth,
    config: EvaluationConfig,
    contenders: Sequence[Head],
    seed: int,
    split: Split,
    temperatures: Temperatures,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Count all heads of one split and seed in one pass over its images; returns the scores of the images."""
    scores: list[dict[str, Any]] = []
    with ExitStack() as stack_of_files:
        readers = [
            stack_of_files.enter_context(PredictionReader(folder / predictions_folder(split, head, seed)))
            for head in contenders
        ]
        specs = [reader.spec for reader in readers]
        images = readers[0].images
        if any(reader.images != images for reader in readers):
            raise RunError(f"the heads have predictions of different {split} images; run predict again")
        heat = {spec.head: temperatures[spec.head][seed] for spec in specs} if temperatures else {}
        writers: dict[tuple[Head, Variant], CountsWriter] = {}
        waiting: dict[tuple[Head, Variant], list[ImageCounts]] = {}
        by_image = (tuple(reader.read(image) for reader in readers) for image in images)

        def count(predictions: tuple[Prediction, ...]) -> _Counted:
            return _count_one(predictions, specs, truth, config, heat)

        with progress.stage(f"count {split} {seed}", len(images)):
            for number, counted in enumerate(map_in_order(count, by_image), start=1):
                scores += _image_scores(counted, truth, split, seed, images[number - 1])
                for key, one in counted.counts.items():
                    if key not in writers:
                        place = folder / counts_folder(split, key[0], seed, key[1])
                        writers[key] = stack_of_files.enter_context(CountsWriter(place))
                    waiting.setdefault(key, []).append(one)
                if number % BLOCK == 0 or number == len(images):
                    start = number - len(next(iter(waiting.values())))
                    for key, block in waiting.items():
                        writers[key].write(stack(images[start:number], block))
                    waiting.clear()
                progress.advance()
    return scores


def _count_one(
    predictions: Sequence[Prediction],
    specs: Sequence[HeadSpec],
    truth: Truth,
    config: EvaluationConfig,
    heat: Mapping[Head, float],
) -> _Counted:
    first = predictions[0]
    masks = label_masks(first.truth)
    region = regions(first.truth, first.valid, width=config.boundary_width)
    background = truth.classes.index(truth.background) if truth.background is not None else -1
    counts: dict[tuple[Head, Variant], ImageCounts] = {}
    decided: dict[Head, BoolArray] = {}
    for one, spec in zip(predictions, specs, strict=True):
        variants: dict[Variant, np.ndarray] = {"raw": one.log_odds}
        if heat:
            scaled = heads.at_temperature(
                spec, one.log_odds.astype(np.float32), one.extra.astype(np.float32), heat[spec.head]
            )
            variants["temperature"] = scaled.astype(np.float16)
        for variant, log_odds in variants.items():
            counts[spec.head, variant] = count_image(
                log_odds,
                masks,
                region,
                exclusive=truth.kind == "exclusive",
                softmax=spec.is_softmax,
                background=background,
            )
        decided[spec.head] = heads.decide(one.log_odds, rule="argmax" if truth.kind == "exclusive" else "threshold")
    valid = max(int(first.valid.sum()), 1)
    against = decided.get("sigmoid", next(iter(decided.values())))
    disagreement = {
        head: float(((mine != against).any(axis=0) & first.valid).sum() / valid) for head, mine in decided.items()
    }
    return _Counted(counts, disagreement)


def _image_scores(counted: _Counted, truth: Truth, split: Split, seed: int, image: str) -> Iterator[dict[str, Any]]:
    setting = Setting(truth.kind)
    for (head, variant), one in counted.counts.items():
        if variant != "raw":
            continue
        counts = stack((image,), (one,))
        row: dict[str, Any] = {"split": split, "seed": seed, "head": head, "image": image}
        row |= {"pixels": int(counts.pixels[0]), "disagreement": counted.disagreement[head]}
        for name in ("dice", "iou", "overlap_rate", "no_label_rate"):
            metric = METRICS[name]
            value = metric.value(metric.terms(counts, "all", setting))
            defined = value[~np.isnan(value)]
            row[name] = float(defined.mean()) if defined.size else None
        yield row


def _terms(
    folder: Path, contenders: Sequence[Head], seeds: Sequence[int], split: Split, variant: Variant, setting: Setting
) -> dict[Head, dict[int, Terms]]:
    def blocks(head: Head, seed: int) -> Iterator[Counts]:
        return iter_counts(folder / counts_folder(split, head, seed, variant))

    return {head: {seed: collect_terms(blocks(head, seed), setting) for seed in seeds} for head in contenders}
