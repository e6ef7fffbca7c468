"""A seeded generator to a whole run on disk: real data set, check, counts, metrics, verdict; only logits are made up.

Logits are the blurred training target of each head plus smooth noise, so that every edge case (one image, one class,
an empty class, several seeds) is there in a second, without training.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from pipelines import heads
from pipelines.config import EvaluationConfig, RunConfig, TrainingConfig
from pipelines.datasets.check import check_dataset
from pipelines.datasets.facts import scan
from pipelines.datasets.opening import open_dataset
from pipelines.evaluation import Truth, evaluate
from pipelines.progress import Progress
from pipelines.store import files
from pipelines.store.files import predictions_folder, previews_file
from pipelines.store.manage import RunWriter
from pipelines.store.predictions import PredictionWriter, PreviewWriter
from pipelines.store.runs import Run
from pipelines.verdict.rule import decide

SPLITS = ("val", "test")


def write_dataset(folder, *, kind, classes, images=6, size=(40, 56), seed=0, name="Blobs", empty=(), absent=None):
    """A native data set of blobs; classes named in `empty` get no pixel, those in `absent` none in that split."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    names = {split: [f"{split}_{k:02d}" for k in range(images)] for split in ("train", "val", "test")}
    for image in (one for some in names.values() for one in some):
        fields = ndimage.gaussian_filter(rng.normal(size=(len(classes), *size)), (0, 5, 5))
        fields /= fields.std()
        for index, class_name in enumerate(classes):
            if class_name in (*empty, *(absent or {}).get(image.split("_")[0], ())):
                fields[index] = -np.inf
        picture = np.stack([np.nan_to_num(fields[k % len(classes)], neginf=0.0) for k in range(3)], axis=-1)
        noisy = np.clip(128 + 40 * picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "images" / f"{image}.png")
        _write_masks(folder / "masks", image, kind, classes, fields)
    (folder / "splits").mkdir()
    for split, some in names.items():
        (folder / "splits" / f"{split}.txt").write_text("\n".join(some) + "\n")
    lines = [f'name = "{name}"', f'kind = "{kind}"', f"classes = {list(classes)!r}"]
    (folder / "dataset.toml").write_text("\n".join(lines) + "\n")
    return folder


def _write_masks(folder, image, kind, classes, fields):
    if kind == "overlapping":
        for index, class_name in enumerate(classes):
            (folder / class_name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.where(fields[index] > 0.4, 255, 0).astype(np.uint8)).save(
                folder / class_name / f"{image}.png"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    labels = fields.argmax(axis=0) if kind == "exclusive" else (fields[0] > 0.4)
    Image.fromarray(labels.astype(np.uint8)).save(folder / f"{image}.png")


def make_run(
    runs: Path, name: str, *, kind, classes, images=6, seeds=(0,), size=(40, 56), empty=(), absent=None, title="Blobs"
) -> Run:
    """A committed run over a fresh data set in runs/.data/<name>."""
    path = write_dataset(
        runs / ".data" / name,
        kind=kind,
        classes=classes,
        images=images,
        size=size,
        empty=empty,
        absent=absent,
        name=title,
    )
    dataset = open_dataset(path)
    specs = heads.head_specs(kind, dataset.classes, set_counts=scan(dataset, "train").set_counts)
    config = RunConfig(
        dataset=str(path), training=TrainingConfig(seeds=seeds), evaluation=EvaluationConfig(replicates=100)
    )
    report = check_dataset(open_dataset(path))
    with RunWriter.open(runs, name) as writer:
        for split in SPLITS:
            _write_predictions(writer.folder, dataset, specs, seeds, split)
        truth = Truth(kind=kind, classes=dataset.classes, background=dataset.background, groups=dataset.groups)
        facts = evaluate(
            writer.folder, truth, config.evaluation, contenders=[spec.head for spec in specs], seeds=seeds,
            splits=SPLITS, progress=Progress(),
        )  # fmt: skip
        files.write_json(writer.folder / "dataset.json", report.model_dump(mode="json"))
        files.write_json(writer.folder / "config.json", config.model_dump(mode="json"))
        table = files.read_table(writer.folder / "metrics.parquet").to_pandas()
        verdict = decide(report.model_dump(mode="json"), table, facts)
        files.write_json(writer.folder / "verdict.json", verdict.model_dump(mode="json"))
        return Run(writer.commit())


def _write_predictions(folder, dataset, specs, seeds, split):
    with PreviewWriter(folder / previews_file(split)) as previews:
        for image in dataset.images(split):
            previews.write(image, dataset.read(image).image)
    for number, spec in enumerate(specs):
        for seed in seeds:
            rng = np.random.default_rng([number, seed, len(split)])
            with PredictionWriter(folder / predictions_folder(split, spec.head, seed), spec) as writer:
                for image in dataset.images(split):
                    item = dataset.read(image)
                    writer.write(image, _logits(spec, item, rng), item.truth, item.valid)


def _logits(spec, item, rng):
    target = heads.encode(spec, item.truth, item.valid)
    if spec.is_softmax:
        target = (target[None] == np.arange(len(spec.channels))[:, None, None]).astype(np.float32)
    noise = ndimage.gaussian_filter(rng.normal(size=target.shape), (0, 2, 2))
    smooth = ndimage.gaussian_filter(target, (0, 1.2, 1.2))
    strength = 5.0 if spec.is_softmax else 4.0
    return (strength * (2 * smooth - 1) + 1.5 * noise / noise.std()).astype(np.float32)
