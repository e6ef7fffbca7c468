"""Predictions of a run to counts, thresholds, metrics and scores of single images."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from pipelines import heads
from pipelines.arrays import BoolArray, Float16Array, Float32Array
from pipelines.config import EvaluationConfig
from pipelines.counting.counts import ImageCounts
from pipelines.counting.counts import stack as stack_counts
from pipelines.counting.grid import STEPS
from pipelines.counting.image import count_image
from pipelines.counting.outlines import Agreement, TrueSurfaces, count_agreement, count_geometry, label_masks, regions
from pipelines.engine import map_in_order
from pipelines.errors import RunError
from pipelines.heads import HeadSpec
from pipelines.layouts import IMAGE_SCORES_SCHEMA
from pipelines.metrics import METRICS, Setting
from pipelines.metrics.agreement import agreement_table
from pipelines.metrics.base import SCORES
from pipelines.metrics.estimates import HeadEstimates, estimate_head, metrics_table
from pipelines.metrics.inference import Resampling, choose_units, unit_weights
from pipelines.metrics.observers import observers_table
from pipelines.metrics.thresholds import best_threshold
from pipelines.progress import Progress
from pipelines.schema import HEADS, VARIANTS, Head, Kind, Reading, Split, Variant
from pipelines.store import files
from pipelines.store.counts import CountsWriter, iter_counts
from pipelines.store.files import counts_folder, observers_file, predictions_folder
from pipelines.store.predictions import Prediction, PredictionReader
from pipelines.temperature import Temperature, Temperatures, fit_temperatures

# Outputs that are counted --------------------------------------------------------------------------------------------


class Output(NamedTuple):
    """Log-odds to be counted.

    log_odds: (C, H, W) float16; softmax: whether the classes' p of a pixel are one softmax; channels: (E, H, W)
    float16 log-odds of its channels that are not classes, None where there are none; channel_labels: their numbers of
    labels.
    """

    reading: Reading
    variant: Variant
    log_odds: Float16Array
    softmax: bool
    channels: Float16Array | None = None
    channel_labels: tuple[int, ...] = ()


def readings_of(specs: dict[Head, HeadSpec]) -> tuple[Reading, ...]:
    """The swap test's readings of the networks there are, a lone one too.

    None for one class, where a two-class softmax is the sigmoid of a difference, and none of a softmax over label sets.
    """
    swapped: dict[Head, Reading] = {"sigmoid": "sigmoid-as-softmax", "softmax": "softmax-as-sigmoid"}
    return tuple(reading for head, reading in swapped.items() if head in specs and specs[head].kind != "binary")


def outputs(prediction: Prediction, spec: HeadSpec, temperature: Temperature | None, *, swap: bool) -> Iterator[Output]:
    """Everything that is counted of one image of one head.

    temperature: None where none was fitted; swap: whether the head is also read by the other one's function.
    """
    log_odds, extra = prediction.log_odds.astype(np.float32), prediction.extra.astype(np.float32)
    labels = _channel_labels(spec)
    channels = prediction.extra if labels else None
    yield Output(spec.head, "raw", prediction.log_odds, spec.is_softmax, channels, labels)
    if temperature is not None:
        yield from _at_temperatures(spec, log_odds, extra, temperature)
    if swap and spec.head == "sigmoid":
        classes, none = heads.read_as_softmax(spec, log_odds)
        rest: dict[str, Any] = {"channels": _half(none), "channel_labels": (0,)} if len(none) else {}
        yield Output("sigmoid-as-softmax", "raw", _half(classes), softmax=True, **rest)
    if swap and spec.head == "softmax" and prediction.logsumexp is not None:
        logits = heads.read_as_sigmoid(spec, log_odds, extra, prediction.logsumexp.astype(np.float32))
        yield Output("softmax-as-sigmoid", "raw", _half(logits), softmax=False)


def _at_temperatures(
    spec: HeadSpec, log_odds: Float32Array, extra: Float32Array, temperature: Temperature
) -> Iterator[Output]:
    labels = _channel_labels(spec)
    if labels:
        logits = heads.logits_at_temperature(spec, log_odds, extra, temperature.common)
        scaled, channels = heads.log_odds(spec, logits), _half(heads.extra_log_odds(spec, logits))
        yield Output(spec.head, "temperature", _half(scaled), spec.is_softmax, channels, labels)
    else:
        scaled = heads.at_temperature(spec, log_odds, extra, temperature.common)
        yield Output(spec.head, "temperature", _half(scaled), spec.is_softmax)
    if temperature.by_class is not None:
        scaled = heads.at_temperature(spec, log_odds, extra, np.array(temperature.by_class))
        yield Output(spec.head, "temperature-by-class", _half(scaled), spec.is_softmax)


def _channel_labels(spec: HeadSpec) -> tuple[int, ...]:
    """How many labels each stored channel that is not a class stands for."""
    return tuple(map(len, spec.sets)) or (0,) * len(spec.extra_channels)


def _half(values: Float32Array) -> Float16Array:
    return values.astype(np.float16)


# Counting ------------------------------------------------------------------------------------------------------------

BLOCK = 16  # images in a row group of counts
Place: TypeAlias = tuple[Reading, Variant]
Thresholds: TypeAlias = dict[tuple[Reading, Variant, int], tuple[int, ...]]  # k of k/300 of each class

# Metrics of single images in image_scores.parquet: the mean over the classes in the image's truth or prediction.
IMAGE_METRICS = (
    "dice",
    "iou",
    "boundary_iou",
    "surface_dice",
    "classwise_ece",
    "brier",
    "nll",
    "volume_bias",
    "overlap_rate",
    "no_label_rate",
)


@dataclass(frozen=True)
class Truth:
    """What evaluation must know of the data set."""

    kind: Kind
    classes: tuple[str, ...]
    background: str | None
    groups: Mapping[str, str]

    @property
    def rule(self) -> heads.Rule:
        """How labels are read off the log-odds: argmax for exclusive truth, p > 0.5 otherwise."""
        return "argmax" if self.kind == "exclusive" else "threshold"

    @property
    def background_index(self) -> int:
        """Index of the background class, -1 where there is none."""
        return self.classes.index(self.background) if self.background is not None else -1


class Counted(NamedTuple):
    """One image: counts of each output, and each contender's agreement with sigmoid."""

    counts: dict[Place, ImageCounts]
    agreement: dict[Head, Agreement]


class SplitCounts(NamedTuple):
    """What a split's pass leaves besides the files: what was counted, and by head what was found."""

    images: tuple[str, ...]
    places: tuple[Place, ...]
    scores: list[dict[str, Any]]
    agreement: dict[Head, list[Agreement]]
    findings: dict[Head, list[dict[str, str]]]


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
    with PredictionReader(folder / predictions_folder(splits[0], contenders[0], seeds[0])) as reader:
        soft = reader.soft
    temperatures = fit_temperatures(folder, contenders, seeds, splits, progress)
    whole = _Evaluation(folder, truth, config, contenders, seeds, temperatures, progress, soft=soft)
    judged = next(split for split in ("test", "val", "train") if split in splits)
    thresholds: Thresholds = {}
    scores: dict[Split, list[dict[str, Any]]] = {}
    tables: dict[Split, list[pa.Table]] = {}
    resampled: dict[Split, dict[str, Any]] = {}
    findings: dict[Split, dict[Head, list[dict[str, str]]]] = {}
    for split in sorted(splits, key=lambda split: split != "val"):  # thresholds tuned on val serve the others
        counted = {seed: whole.count_split(split, seed, swap=split == judged) for seed in seeds}
        findings[split] = _findings(counted)
        scores[split] = [row for split_counts in counted.values() for row in split_counts.scores]
        if split == "val":
            thresholds = whole.tune_thresholds(counted[seeds[0]].places)
        units = choose_units(counted[seeds[0]].images, truth.groups)
        noted = {name: getattr(units, name) for name in ("unit", "count", "warning")}
        resampled[split] = noted | {"of_image": units.of_image.tolist()}
        tables[split] = list(whole.tables(split, counted, thresholds if split != "val" else {}, units))
    every = [table for split in splits for table in tables[split]]
    files.write_table(folder / "metrics.parquet", pa.concat_tables(every))
    rows = [row for split in splits for row in scores[split]]
    files.write_table(folder / "image_scores.parquet", pa.Table.from_pylist(rows, schema=IMAGE_SCORES_SCHEMA))
    facts = whole.facts(thresholds)
    facts["resampling"] = {name: resampled[name] for name in splits}
    facts["findings"] = {name: findings[name] for name in splits}
    files.write_json(folder / "evaluation.json", facts)
    return facts


def _check_complete(folder: Path, contenders: Sequence[Head], seeds: Sequence[int], splits: Sequence[Split]) -> None:
    """Differences are taken seed by seed and image by image, so every head must have every seed of every split."""
    for split in splits:
        has = {
            head: [seed for seed in seeds if (folder / predictions_folder(split, head, seed)).is_dir()]
            for head in contenders
        }
        if any(held != list(seeds) for held in has.values()):
            listed = ", ".join(f"{head} {' '.join(map(str, held)) or 'none'}" for head, held in has.items())
            raise RunError(
                f"the heads have predictions of different seeds ({split} split: {listed}); they are compared seed by "
                "seed, so give each head the same ones"
            )


def _findings(counted: Mapping[int, SplitCounts]) -> dict[Head, list[dict[str, str]]]:
    """What the logits of each head look like that they should not, every sentence once."""
    findings: dict[Head, list[dict[str, str]]] = {}
    for split_counts in counted.values():
        for head, noted in split_counts.findings.items():
            known = findings.setdefault(head, [])
            known += [finding for finding in noted if finding["code"] not in {other["code"] for other in known}]
    return findings


@dataclass(frozen=True)
class _Evaluation:
    """The parts of `evaluate`, and what all of them know."""

    folder: Path
    truth: Truth
    config: EvaluationConfig
    contenders: Sequence[Head]
    seeds: Sequence[int]
    temperatures: Temperatures
    progress: Progress
    soft: bool

    def count_split(self, split: Split, seed: int, *, swap: bool) -> SplitCounts:
        """Count all heads of one split and seed in one pass over its images and write their counts.

        swap: whether each network is also read by the other head's function.
        """
        scores: list[dict[str, Any]] = []
        agreement: dict[Head, list[Agreement]] = {}
        with ExitStack() as stack:
            folders = (self.folder / predictions_folder(split, head, seed) for head in self.contenders)
            readers = [stack.enter_context(PredictionReader(folder)) for folder in folders]
            images = readers[0].images
            if any(reader.images != images for reader in readers):
                raise RunError(f"the heads have predictions of different {split} images; run predict again")
            specs = [reader.spec for reader in readers]
            writers: dict[Place, CountsWriter] = {}
            waiting: dict[Place, list[ImageCounts]] = {}
            by_image = (tuple(reader.read(image) for reader in readers) for image in images)

            def count(predictions: tuple[Prediction, ...]) -> Counted:
                return self._count_image(predictions, specs, seed, swap=swap)

            with self.progress.stage(f"count {split} {seed}", len(images)):
                for number, counted in enumerate(map_in_order(count, by_image), start=1):
                    scores += _image_scores(counted, self.truth, split, seed, images[number - 1])
                    for head, contender_agreement in counted.agreement.items():
                        agreement.setdefault(head, []).append(contender_agreement)
                    for key, counts in counted.counts.items():
                        if key not in writers:
                            place = self.folder / counts_folder(split, key[0], seed, key[1])
                            writer = CountsWriter(place, bins=self.config.calibration_bins)
                            writers[key] = stack.enter_context(writer)
                        waiting.setdefault(key, []).append(counts)
                    if number % BLOCK == 0 or number == len(images):
                        start = number - len(next(iter(waiting.values())))
                        for key, block in waiting.items():
                            writers[key].write(stack_counts(images[start:number], block))
                        waiting.clear()
                    self.progress.advance()
        findings = {reader.spec.head: reader.findings for reader in readers}
        return SplitCounts(images, tuple(writers), scores, agreement, findings)

    def _count_image(
        self, predictions: Sequence[Prediction], specs: Sequence[HeadSpec], seed: int, *, swap: bool
    ) -> Counted:
        """Count one image in every output of every head."""
        first, width = predictions[0], self.config.boundary_width
        masks, region = label_masks(first.truth), regions(first.truth, first.valid, width=width)
        surfaces = TrueSurfaces(first.truth, first.valid, width=width, tolerance=self.config.surface_tolerance)
        swap = swap and bool(readings_of({spec.head: spec for spec in specs}))
        counts: dict[Place, ImageCounts] = {}
        called: dict[Head, BoolArray] = {}
        for prediction, spec in zip(predictions, specs, strict=True):
            temperature = self.temperatures.get(spec.head, {}).get(seed)
            for output in outputs(prediction, spec, temperature, swap=swap):
                decided = heads.decide(output.log_odds, rule=self.truth.rule)
                geometry = count_geometry(decided, surfaces)
                image_counts = count_image(
                    output.log_odds,
                    masks,
                    region,
                    exclusive=self.truth.kind == "exclusive",
                    softmax=output.softmax,
                    background=self.truth.background_index,
                    channels=output.channels,
                    channel_labels=output.channel_labels,
                    soft=first.soft,
                )
                counts[output.reading, output.variant] = replace(image_counts, **geometry._asdict())
                if output.reading == spec.head and output.variant == "raw":
                    called[spec.head] = decided
        against = called.pop("sigmoid", None)
        if against is None:
            return Counted(counts, {})
        return Counted(counts, {head: count_agreement(against, mine, masks, region) for head, mine in called.items()})

    def tune_thresholds(self, places: Sequence[Place]) -> Thresholds:
        """For every counted output and seed, the k/300 at which each class's pooled Dice is best on validation.

        A class that validation has no pixel of keeps 0.5.
        """
        thresholds: Thresholds = {}
        for reading, variant in places:
            for seed in self.seeds:
                blocks = iter_counts(self.folder / counts_folder("val", reading, seed, variant))
                sums = [SCORES.terms(block, Setting(self.truth.kind)).sum(axis=0) for block in blocks]
                whole = np.sum(sums, axis=0).sum(axis=0)
                threshold, _ = best_threshold(whole)
                steps = np.where(whole[:, 1].sum(axis=-1) > 0, np.rint(threshold * STEPS), STEPS // 2)
                thresholds[reading, variant, seed] = tuple(int(step) for step in steps)
        return thresholds

    def tables(
        self, split: Split, counted: Mapping[int, SplitCounts], thresholds: Thresholds, units: Resampling
    ) -> Iterator[pa.Table]:
        """Metrics of every variant of a split, then how far the heads agree."""
        truth, config = self.truth, self.config
        first = counted[self.seeds[0]]
        rng = np.random.default_rng(config.bootstrap_seed)
        weights = unit_weights(units, replicates=config.replicates, rng=rng).astype(np.float32)
        # Draws of seeds: another stream than that of the images, the same for every variant.
        stream = (config.bootstrap_seed, 1)
        common: dict[str, Any] = {"classes": truth.classes, "split": split, "units": units, "stream": stream}
        usual = Setting(
            truth.kind,
            config.calibration_bins,
            truth.background is not None,
            cost_fp=config.cost_false_positive,
            cost_fn=config.cost_false_negative,
            soft=self.soft,
        )
        estimates: dict[Reading, dict[int, HeadEstimates]] = {}
        with self.progress.stage(f"measure {split}", len(first.places) * len(counted)):
            for variant in VARIANTS:
                readings = [reading for reading, of_variant in first.places if of_variant == variant]
                if not readings:
                    continue
                if variant != "temperature-by-class":  # there softmax keeps its common temperature
                    estimates = {}
                for reading in readings:
                    estimates[reading] = {}
                    for seed in counted:
                        setting = replace(usual, thresholds=thresholds.get((reading, variant, seed)))
                        blocks = partial(iter_counts, self.folder / counts_folder(split, reading, seed, variant))
                        estimates[reading][seed] = estimate_head(blocks, setting, weights, units=units.count)
                        self.progress.advance()
                yield metrics_table(estimates, variant=variant, **common)
        agreement = {seed: split_counts.agreement for seed, split_counts in counted.items()}
        if any(agreement.values()):
            yield agreement_table(agreement, kind=truth.kind, images=first.images, weights=weights, **common)
        if (self.folder / observers_file(split)).is_file():
            yield observers_table(
                files.read_table(self.folder / observers_file(split)),
                kind=truth.kind,
                classes=truth.classes,
                split=split,
                groups=truth.groups,
                replicates=config.replicates,
                seed=config.bootstrap_seed,
            )

    def facts(self, thresholds: Thresholds) -> dict[str, Any]:
        """evaluation.json, but for what is noted of each split."""
        classes, config = self.truth.classes, self.config
        by_class = {
            head: {
                str(seed): dict(zip(classes, temperature.by_class, strict=True))
                for seed, temperature in by_seed.items()
                if temperature.by_class is not None
            }
            for head, by_seed in self.temperatures.items()
        }
        common = {head: {str(seed): t.common for seed, t in by.items()} for head, by in self.temperatures.items()}
        tuned: dict[str, Any] = {}
        for (reading, variant, seed), steps in thresholds.items():
            values = {name: step / STEPS for name, step in zip(classes, steps, strict=True)}
            tuned.setdefault(variant, {}).setdefault(reading, {})[str(seed)] = values
        return {
            "decision": self.truth.rule,
            "soft_truth": self.soft,
            "calibration_bins": config.calibration_bins,
            "boundary_width": config.boundary_width,
            "surface_tolerance": config.surface_tolerance,
            "costs": {"false_positive": config.cost_false_positive, "false_negative": config.cost_false_negative},
            "replicates": config.replicates,
            "temperature": common,
            "temperature_by_class": {head: by for head, by in by_class.items() if by},
            "thresholds": tuned,
        }


# Scores of single images ---------------------------------------------------------------------------------------------


def _image_scores(counted: Counted, truth: Truth, split: Split, seed: int, image: str) -> Iterator[dict[str, Any]]:
    setting = Setting(truth.kind)
    for (head, variant), image_counts in counted.counts.items():
        if variant != "raw" or head not in HEADS:
            continue
        counts = stack_counts((image,), (image_counts,))
        row: dict[str, Any] = {"split": split, "seed": seed, "head": head, "image": image}
        row |= {"pixels": int(counts.pixels[0]), "disagreement": _disagreement(counted, head)}
        for name in IMAGE_METRICS:
            value = METRICS[name].by_image(counts, "all", setting)
            defined = value[~np.isnan(value)]
            row[name] = float(defined.mean()) if defined.size else None
        yield row


def _disagreement(counted: Counted, head: Reading) -> float | None:
    """Share of valid pixels with another set of labels than sigmoid's; None without a sigmoid head."""
    if head == "sigmoid":
        return 0.0
    found = counted.agreement.get(head)  # type: ignore[arg-type]
    if found is None:
        return None
    both_right, same_wrong = found.by_pixel[:, 0].sum(), found.by_pixel[:, 1].sum()
    pixels = found.by_pixel.sum()
    return float(1 - (both_right + same_wrong) / pixels) if pixels else 0.0
