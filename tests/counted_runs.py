"""Runs of nothing but counts, settings and facts, written in a moment: for what reads several runs at once."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from arrays import counts_of, example

from pipelines.config import RunConfig, TrainingConfig
from pipelines.metrics.inference import choose_units
from pipelines.store import files
from pipelines.store.counts import CountsWriter
from pipelines.store.files import counts_folder, predictions_folder
from pipelines.store.manage import RunWriter
from pipelines.store.runs import Run

CLASSES = {"exclusive": ("a", "b", "c"), "overlapping": ("a", "b", "c"), "binary": ("a",)}
HEADS = ("sigmoid", "softmax")


def images_of(kind, *, seed, images=12, shift=0.0, truth_seed=0):
    """Log-odds that know something of the truth, raised by `shift`; the truth depends on truth_seed only."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(images):
        _, truth, valid = example(kind, seed=1000 * truth_seed + number)
        log_odds = rng.normal(0, 2.5, truth.shape) + np.where(truth, 2.0, -2.0) + shift
        found.append((log_odds.astype(np.float16), truth, valid))
    return found


def write_run(
    runs: Path,
    name: str,
    outputs,
    *,
    kind="overlapping",
    loss="ce",
    splits=("test", "val"),
    thresholds=None,
    groups=None,
    fingerprint="f",
    loaded=False,
    images=12,
    **training,
) -> Run:
    """A run of nothing but counts. outputs: (head, seed, variant) to images as counts_of takes them."""
    classes = CLASSES[kind]
    seeds = sorted({seed for _, seed, _ in outputs})
    variants = {variant for _, _, variant in outputs}
    units = choose_units([str(number) for number in range(images)], groups or {})
    facts = {
        "calibration_bins": 15,
        "temperature": {"sigmoid": {"0": 1.5}} if "temperature" in variants else {},
        "thresholds": {} if thresholds is None else thresholds,
        "resampling": {
            split: {
                "unit": units.unit, "count": units.count, "warning": units.warning, "of_image": units.of_image.tolist(),
            }
            for split in splits
        },
    }  # fmt: skip
    dataset = {"name": "Blobs", "kind": kind, "classes": classes, "background": None, "sizes": [[18, 20, images]]}
    dataset["splits"] = [{"split": split, "images": images, "class_pixels": {}} for split in splits]
    with RunWriter.open(runs, name) as writer:
        for (head, seed, variant), some in outputs.items():
            with CountsWriter(writer.folder / counts_folder(splits[0], head, seed, variant)) as counts:
                counts.write(counts_of(kind, some))
            for split in splits:
                (writer.folder / predictions_folder(split, head, seed)).mkdir(parents=True, exist_ok=True)
                (writer.folder / predictions_folder(split, head, seed) / "note").write_text("not needed here")
        settings = TrainingConfig(loss=loss, seeds=seeds, **{"epochs": 2} | training)
        config = RunConfig(dataset="data/blobs", training=settings)
        files.write_json(writer.folder / "config.json", config.model_dump(mode="json"))
        files.write_json(writer.folder / "dataset.json", dataset)
        files.write_json(writer.folder / "evaluation.json", facts)
        if not loaded:
            files.write_table(writer.folder / "training.parquet", pa.table({"epoch": [1]}))
        return Run(writer.commit(data_fingerprint=fingerprint))


def tuned(kind, outputs, *, step=120):
    """Thresholds of every head, seed and variant: step / 300 for every class."""
    found = {}
    for head, seed, variant in outputs:
        by_class = dict.fromkeys(CLASSES[kind], step / 300)
        found.setdefault(variant, {}).setdefault(head, {})[str(seed)] = by_class
    return found


def outputs_of(kind, *, seed, heads=HEADS, seeds=(0,), shift=None, images=12, temperature=None):
    """Outputs of both heads, raw and, if given, at a temperature."""
    shift = shift or {}
    found = {}
    for number, head in enumerate(heads):
        for one in seeds:
            raw = images_of(kind, seed=[seed, number, one], shift=shift.get(head, 0.0), images=images)
            found[head, one, "raw"] = raw
            if temperature is not None:
                cooler = [((log_odds / temperature).astype(np.float16), t, v) for log_odds, t, v in raw]
                found[head, one, "temperature"] = cooler
    return found


@lru_cache(maxsize=4)
def two_runs(folder, kind="overlapping", *, seeds=(0, 1), same=False):
    """Runs with losses ce and dice, two heads, tuned thresholds and a temperature; written once a folder."""
    made = []
    for number, loss in enumerate(("ce", "dice")):
        outputs = outputs_of(kind, seed=0 if same else number, seeds=seeds, temperature=1.5)
        made.append(write_run(folder, f"run-{loss}", outputs, kind=kind, loss=loss, thresholds=tuned(kind, outputs)))
    return made
