"""A data set and settings to a committed run: check, train or load, predict, evaluate, judge."""

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines import evaluation, inference
from pipelines.config import RunConfig, TrainingConfig
from pipelines.datasets import Dataset, open_dataset
from pipelines.datasets.check import CheckReport, check_dataset
from pipelines.datasets.facts import scan
from pipelines.errors import ConfigError, DatasetError, RunError
from pipelines.heads import HeadSpec, head_specs
from pipelines.models import Normalisation, Pair, load_pair
from pipelines.progress import Progress, cancel_on_signals
from pipelines.schema import HEADS, TRAINING_SCHEMA, Head
from pipelines.storage import Run, RunWriter, files
from pipelines.training import train_pair
from pipelines.verdict import decide


def make_run(
    config: RunConfig,
    *,
    runs: Path,
    name: str,
    progress: Progress,
    models: Path | None = None,
    resume: bool = False,
) -> Run:
    """Do all stages and commit. What an interrupted attempt finished is taken over when resume is set.

    models: a run's folder or a pair's folder whose networks are loaded instead of trained.
    Raises DatasetError when the data set has errors, Cancelled (resumable) when a stop was asked for.
    """
    with cancel_on_signals(progress), RunWriter.open(runs, name, resume=resume) as writer:
        prepare(writer.folder, config, models, progress)
        train(writer.folder, progress)
        predict(writer.folder, progress)
        return finish(writer, progress)


def prepare(folder: Path, config: RunConfig, models: Path | None, progress: Progress) -> None:
    """Check the data set and note settings, heads and input normalisation in the folder; done once an attempt."""
    settings = {"config": config.model_dump(mode="json"), "models": None if models is None else str(models)}
    if (folder / "plan.json").exists():
        plan = files.read_json(folder / "plan.json")
        if plan["settings"] != settings:
            raise ConfigError(
                "the run to resume was begun with other settings; repeat its command with --resume, or start a new "
                "run under another --name"
            )
        check_unchanged(folder)
        return
    pairs: dict[int, Pair] = {}
    if models is not None:
        opened = open_dataset(config.dataset)
        pairs = load_pair(models, kind=opened.kind, classes=opened.classes)
        config = _as_loaded(config, pairs)
    size = config.training.size
    report = check_dataset(config.dataset, size=size, progress=progress)
    if not report.ok:
        raise DatasetError(_errors(report))
    dataset = open_dataset(config.dataset)
    facts = scan(dataset, "train", size=size, progress=progress)
    mean, std = facts.mean, [max(value, 1e-3) for value in facts.std]  # a flat channel must not divide by 0
    if models is None:
        specs = list(_specs(dataset, config.training, facts.set_counts))
    else:
        specs = [head.spec for _, head in next(iter(pairs.values())).values()]
    files.write_json(folder / "dataset.json", report.model_dump(mode="json"))
    files.write_json(folder / "config.json", config.model_dump(mode="json"))
    files.write_json(
        folder / "plan.json",
        {
            "settings": settings,
            "config": config.model_dump(mode="json"),
            "fingerprint": dataset.fingerprint(),
            "normalisation": [list(mean), std],
            "specs": [spec.model_dump(mode="json") for spec in specs],
            "groups": dict(dataset.groups),
            "crop": _crop(config.training.crop, facts.sizes),
        },
    )


def check_unchanged(folder: Path) -> None:
    """Raise DatasetError when the data set is no longer the one the run was begun with."""
    plan = Plan(folder)
    if plan.fingerprint != plan.dataset.fingerprint():
        raise DatasetError("the data set has changed since the run was begun; start a new run under another --name")


def _as_loaded(config: RunConfig, pairs: dict[int, Pair]) -> RunConfig:
    """The settings with the size and seeds of loaded networks. Raises ConfigError when another size was asked for."""
    file = next(file for pair in pairs.values() for _, file in pair.values())
    asked = config.training.size
    if asked is not None and asked != file.size:
        made = "their own size" if file.size is None else f"{file.size[0]}x{file.size[1]}"
        raise ConfigError(
            f"--size is {asked[0]}x{asked[1]}, but these networks were trained at {made}; leave --size out"
        )
    training = config.training.model_copy(update={"size": file.size, "seeds": tuple(sorted(pairs))})
    return config.model_copy(update={"training": training})


def _specs(dataset: Dataset, training: TrainingConfig, set_counts: dict[tuple[int, ...], int]) -> Sequence[HeadSpec]:
    return head_specs(
        dataset.kind,
        dataset.classes,
        softmax_rule=training.softmax_rule,
        set_counts=set_counts,
        priority=training.priority or dataset.priority,
    )


def _crop(asked: tuple[int, int], sizes: dict[tuple[int, int], int]) -> list[int]:
    """Training crop: as asked, but no larger than the largest training image needs, in steps of 32 pixels."""
    largest = (max(height for height, _ in sizes), max(width for _, width in sizes))
    return [min(side, -(-limit // 32) * 32) for side, limit in zip(asked, largest, strict=True)]


def _errors(report: CheckReport) -> str:
    errors = [finding for finding in report.findings if finding.severity == "error"]
    more = f" (and {len(errors) - 1} more: see `python -m pipelines check`)" if len(errors) > 1 else ""
    return f"{errors[0].code}: {errors[0].message}{more}"


class Plan:
    """What `prepare` noted: settings, data set, heads and normalisation of a run in the making."""

    def __init__(self, folder: Path) -> None:
        noted = files.read_json(folder / "plan.json")
        self.config = RunConfig.model_validate(noted["config"])
        self.models = None if noted["settings"]["models"] is None else Path(noted["settings"]["models"])
        self.specs = [HeadSpec.model_validate(spec) for spec in noted["specs"]]
        mean, std = noted["normalisation"]
        self.normalisation: Normalisation = (tuple(mean), tuple(std))
        self.fingerprint: str = noted["fingerprint"]
        self.groups: dict[str, str] = noted["groups"]
        self.training = self.config.training.model_copy(update={"crop": tuple(noted["crop"])})

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, opened when it is first needed."""
        return open_dataset(self.config.dataset)

    @property
    def heads(self) -> list[Head]:
        """Contenders, in the order of schema.HEADS."""
        present = {spec.head for spec in self.specs}
        return [head for head in HEADS if head in present]


def train(folder: Path, progress: Progress) -> None:
    """Train the pair for every seed, or copy the networks given with --models; seeds that are done are left alone."""
    plan = Plan(folder)
    inference.use_threads(plan.training.threads)
    if plan.models is not None:
        _copy_models(plan, folder)
        return
    training = plan.training
    for seed in training.seeds:
        rows_file = folder / "training" / f"seed={seed}.parquet"
        if rows_file.exists():
            continue
        rows = train_pair(
            plan.dataset, plan.specs, training,
            seed=seed, normalisation=plan.normalisation, folder=folder, progress=progress,
        )  # fmt: skip
        files.write_table(rows_file, pa.Table.from_pylist(rows, schema=TRAINING_SCHEMA))
    parts = [files.read_table(folder / "training" / f"seed={seed}.parquet") for seed in training.seeds]
    files.write_table(folder / "training.parquet", pa.concat_tables(parts))


def _copy_models(plan: Plan, folder: Path) -> None:
    if plan.models is None or (folder / "models").exists():
        return
    source = plan.models / "models" if (plan.models / "models").is_dir() else plan.models
    pairs = load_pair(plan.models, kind=plan.dataset.kind, classes=plan.dataset.classes)
    staged = folder / "models.new"
    shutil.rmtree(staged, ignore_errors=True)
    for seed, pair in pairs.items():
        place = source / f"seed={seed}" if (source / f"seed={seed}").is_dir() else source
        for head in pair:
            shutil.copytree(place / f"head={head}", staged / f"seed={seed}" / f"head={head}")
    staged.rename(folder / "models")


def trained_pairs(folder: Path, plan: Plan) -> dict[int, Pair]:
    """The networks in a run's folder, by seed. Raises ModelError when there are none."""
    return load_pair(folder, kind=plan.dataset.kind, classes=plan.dataset.classes)


def predict(folder: Path, progress: Progress) -> None:
    """Predict every split asked for with every seed's pair; parts that are whole are left alone."""
    plan = Plan(folder)
    inference.use_threads(plan.training.threads)
    for seed, pair in trained_pairs(folder, plan).items():
        for split in plan.config.evaluation.splits:
            if not inference.predicted_heads(folder, split, seed, list(pair)):
                inference.predict_split(
                    pair, plan.dataset, split,
                    seed=seed, folder=folder, device=plan.config.training.device, progress=progress,
                )  # fmt: skip


def finish(writer: RunWriter, progress: Progress) -> Run:
    """Count, measure, judge and commit."""
    plan = Plan(writer.folder)
    seeds = sorted(int(path.name.removeprefix("seed=")) for path in (writer.folder / "models").glob("seed=*"))
    if not seeds:
        raise RunError(f"{writer.name} has no networks yet; run train and predict first")
    dataset: dict[str, Any] = files.read_json(writer.folder / "dataset.json")
    # From the run itself: the data set may have moved or changed since, the stored predictions have not.
    truth = evaluation.Truth(dataset["kind"], tuple(dataset["classes"]), dataset["background"], plan.groups)
    facts = evaluation.evaluate(
        writer.folder, truth, plan.config.evaluation,
        contenders=plan.heads, seeds=seeds, splits=plan.config.evaluation.splits, progress=progress,
    )  # fmt: skip
    metrics = files.read_table(writer.folder / "metrics.parquet").to_pandas()
    verdict = decide(dataset, metrics, facts)
    files.write_json(writer.folder / "verdict.json", verdict.model_dump(mode="json"))
    place = writer.commit(
        state="done", config=plan.config.model_dump(mode="json"), seeds=seeds, data_fingerprint=plan.fingerprint
    )
    return Run(place)
