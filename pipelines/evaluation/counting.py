"""Predictions of all heads of a split to counts: each image is read once and counted in every output."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pipelines import heads
from pipelines.arrays import BoolArray
from pipelines.config import EvaluationConfig
from pipelines.engine import map_in_order
from pipelines.errors import RunError
from pipelines.evaluation.outputs import Temperature, outputs, readings_of
from pipelines.heads import HeadSpec
from pipelines.metrics import METRICS, Setting
from pipelines.progress import Progress
from pipelines.schema import HEADS, Head, Kind, Reading, Split, Variant
from pipelines.statistics import (
    Agreement,
    ImageCounts,
    TrueSurfaces,
    count_agreement,
    count_geometry,
    count_image,
    label_masks,
    regions,
    stack,
)  # fmt: skip
from pipelines.storage import CountsWriter, Prediction, PredictionReader, counts_folder, predictions_folder

BLOCK = 16  # images in a row group of counts
Temperatures: TypeAlias = dict[Head, dict[int, Temperature]]
Place: TypeAlias = tuple[Reading, Variant]

# Metrics of single images in image_scores.parquet: the mean over the classes in the image's truth or prediction.
IMAGE_METRICS = (
    "dice", "iou", "boundary_iou", "surface_dice", "classwise_ece", "brier", "nll", "volume_bias", "overlap_rate",
    "no_label_rate",
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What evaluation must know of the data set."""

    kind: Kind
    classes: tuple[str, ...]
    background: str | None
    groups: Mapping[str, str]

    @property
    def rule(self) -> str:
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


def count_split(
    folder: Path,
    truth: Truth,
    config: EvaluationConfig,
    contenders: Sequence[Head],
    seed: int,
    split: Split,
    temperatures: Temperatures,
    progress: Progress,
    *,
    swap: bool,
) -> SplitCounts:
    """Count all heads of one split and seed in one pass over its images and write their counts.

    swap: whether each network is also read by the other head's function.
    """
    scores: list[dict[str, Any]] = []
    agreement: dict[Head, list[Agreement]] = {}
    with ExitStack() as files:
        readers = [
            files.enter_context(PredictionReader(folder / predictions_folder(split, head, seed))) for head in contenders
        ]
        images = readers[0].images
        if any(reader.images != images for reader in readers):
            raise RunError(f"the heads have predictions of different {split} images; run predict again")
        specs = [reader.spec for reader in readers]
        heat = {head: by_seed[seed] for head, by_seed in temperatures.items()}
        writers: dict[Place, CountsWriter] = {}
        waiting: dict[Place, list[ImageCounts]] = {}
        by_image = (tuple(reader.read(image) for reader in readers) for image in images)

        def count(predictions: tuple[Prediction, ...]) -> Counted:
            return count_image_of_all(predictions, specs, truth, config, heat, swap=swap)

        with progress.stage(f"count {split} {seed}", len(images)):
            for number, counted in enumerate(map_in_order(count, by_image), start=1):
                scores += _image_scores(counted, truth, split, seed, images[number - 1])
                for head, one in counted.agreement.items():
                    agreement.setdefault(head, []).append(one)
                for key, counts in counted.counts.items():
                    if key not in writers:
                        place = folder / counts_folder(split, key[0], seed, key[1])
                        writers[key] = files.enter_context(CountsWriter(place, bins=config.calibration_bins))
                    waiting.setdefault(key, []).append(counts)
                if number % BLOCK == 0 or number == len(images):
                    start = number - len(next(iter(waiting.values())))
                    for key, block in waiting.items():
                        writers[key].write(stack(images[start:number], block))
                    waiting.clear()
                progress.advance()
    findings = {reader.spec.head: reader.findings for reader in readers}
    return SplitCounts(images, tuple(writers), scores, agreement, findings)


def count_image_of_all(
    predictions: Sequence[Prediction],
    specs: Sequence[HeadSpec],
    truth: Truth,
    config: EvaluationConfig,
    temperatures: Mapping[Head, Temperature],
    *,
    swap: bool,
) -> Counted:
    """Count one image in every output of every head."""
    first = predictions[0]
    masks = label_masks(first.truth)
    region = regions(first.truth, first.valid, width=config.boundary_width)
    surfaces = TrueSurfaces(first.truth, first.valid, width=config.boundary_width, tolerance=config.surface_tolerance)
    swap = swap and bool(readings_of({spec.head: spec for spec in specs}))
    counts: dict[Place, ImageCounts] = {}
    called: dict[Head, BoolArray] = {}
    for one, spec in zip(predictions, specs, strict=True):
        for output in outputs(one, spec, temperatures.get(spec.head), swap=swap):
            decided = heads.decide(output.log_odds, rule=truth.rule)  # type: ignore[arg-type]
            geometry = count_geometry(decided, surfaces)
            found = count_image(
                output.log_odds, masks, region, exclusive=truth.kind == "exclusive", softmax=output.softmax,
                background=truth.background_index, channels=output.channels, channel_labels=output.channel_labels,
            )  # fmt: skip
            counts[output.reading, output.variant] = found._replace(**geometry._asdict())
            if output.reading == spec.head and output.variant == "raw":
                called[spec.head] = decided
    against = called.get("sigmoid")
    agreement: dict[Head, Agreement] = {
        head: count_agreement(against, mine, masks, region)
        for head, mine in called.items()
        if against is not None and head != "sigmoid"
    }
    return Counted(counts, agreement)


def _image_scores(counted: Counted, truth: Truth, split: Split, seed: int, image: str) -> Iterator[dict[str, Any]]:
    setting = Setting(truth.kind)
    for (head, variant), one in counted.counts.items():
        if variant != "raw" or head not in HEADS:
            continue
        counts = stack((image,), (one,))
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
    found = {str(one): agreement for one, agreement in counted.agreement.items()}.get(head)
    if found is None:
        return None
    both_right, same_wrong = found.by_pixel[:, 0].sum(), found.by_pixel[:, 1].sum()
    pixels = found.by_pixel.sum()
    return float(1 - (both_right + same_wrong) / pixels) if pixels else 0.0
