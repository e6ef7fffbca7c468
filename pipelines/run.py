"""A data set and settings to a committed run: check, train or load, predict, evaluate, judge."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from pipelines.config import RunConfig, TrainingConfig
from pipelines.datasets.check import check_dataset
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.facts import scan
from pipelines.datasets.opening import open_dataset
from pipelines.errors import ConfigError
from pipelines.heads import HeadSpec, head_specs
from pipelines.layouts import TRAINING_SCHEMA
from pipelines.progress import Progress
from pipelines.stages import Plan, add_to_plan, begun_before, check_ok, finish, note_plan, spelt_out
from pipelines.store import files
from pipelines.store.manage import RunWriter
from pipelines.store.manifest import run_of
from pipelines.store.runs import Run, open_run

# Torch and its models take seconds to load; data and settings that are wrong are told before.
if TYPE_CHECKING:
    from pipelines.training.models import Pair

MODELS_FROM: Final = "models_from.json"  # where networks were loaded from: the folder, and the run that it lies in


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
    with RunWriter.open(runs, name, resume=resume) as writer:
        prepare(writer.folder, config, models, progress)
        return _complete(writer, progress)


def add_seeds(name: str, seeds: Sequence[int], *, runs: Path, progress: Progress, resume: bool = False) -> Run:
    """Train more seeds of a whole run, measure all of them and replace it; what it was goes to the trash.

    What the run has is taken over. resume: go on with what an interrupted attempt trained.
    Raises ConfigError when the run has one of the seeds or was not trained here, DatasetError when the data set is not
    the one it was trained on, Cancelled (resumable) when a stop was asked for.
    """
    whole = open_run(runs, name)
    known = sorted(set(whole.seeds) & set(seeds))
    if known:
        raise ConfigError(f"{name} has seed {known[0]} already; it has {', '.join(map(str, whole.seeds))}, give others")
    with RunWriter.open(runs, name, resume=resume, copy_of=whole.folder, recount=True) as writer:
        add_to_plan(writer.folder, seeds)
        Plan(writer.folder).check_unchanged()
        return _complete(writer, progress)


def _complete(writer: RunWriter, progress: Progress) -> Run:
    """Every stage after the plan, with the data set compared again before it is predicted."""
    train(writer.folder, progress)
    Plan(writer.folder).check_unchanged(during=True)
    predict(writer.folder, progress)
    return finish(writer, progress)


def prepare(folder: Path, config: RunConfig, models: Path | None, progress: Progress) -> None:
    """Check the data set and note settings, heads and input normalisation in the folder; done once an attempt."""
    settings = {"config": config.model_dump(mode="json"), "models": None if models is None else str(models)}
    if begun_before(folder, settings):
        return
    dataset = open_dataset(config.dataset, config.reading)
    fingerprint = dataset.fingerprint()
    config = spelt_out(config, dataset)
    pairs: dict[int, Pair] = {}
    if models is not None:
        from pipelines.training.models import load_pair

        pairs = load_pair(models, kind=dataset.kind, classes=dataset.classes, bands=dataset.bands)
        config = _as_loaded(config, pairs)
    training = config.trained
    report = check_dataset(dataset, size=training.size, progress=progress)
    check_ok(report)
    facts = scan(dataset, "train", size=training.size, progress=progress)
    if models is None:
        specs = list(_specs(dataset, training, facts.set_counts))
    else:
        specs = [head.spec for _, head in next(iter(pairs.values())).values()]
    std = [max(value, 1e-3) for value in facts.std]  # a flat channel must not divide by 0
    note_plan(
        folder,
        settings=settings,
        config=config,
        report=report,
        dataset=dataset,
        fingerprint=fingerprint,
        specs=specs,
        normalisation=[list(facts.mean), std],
        crop=_crop(training.crop, facts.sizes),
    )


def _as_loaded(config: RunConfig, pairs: "dict[int, Pair]") -> RunConfig:
    """The settings with the size and seeds of loaded networks. Raises ConfigError when another size was asked for."""
    file = next(file for pair in pairs.values() for _, file in pair.values())
    asked = config.trained.size
    if asked is not None and asked != file.size:
        made = "their own size" if file.size is None else f"{file.size[0]}x{file.size[1]}"
        raise ConfigError(
            f"--size is {asked[0]}x{asked[1]}, but these networks were trained at {made}; leave --size out"
        )
    training = config.trained.model_copy(update={"size": file.size, "seeds": tuple(sorted(pairs))})
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


def train(folder: Path, progress: Progress) -> None:
    """Train the pair for every seed, or copy the networks given with --models; seeds that are done are left alone."""
    from pipelines.training.loop import train_pair
    from pipelines.training.predict import use_threads

    plan = Plan(folder)
    use_threads(plan.training.threads)
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
    from pipelines.training.models import load_pair

    source = plan.models / "models" if (plan.models / "models").is_dir() else plan.models
    dataset = plan.dataset
    pairs = load_pair(plan.models, kind=dataset.kind, classes=dataset.classes, bands=dataset.bands)
    staged = folder / "models.new"
    shutil.rmtree(staged, ignore_errors=True)
    for seed, pair in pairs.items():
        place = source / f"seed={seed}" if (source / f"seed={seed}").is_dir() else source
        for head in pair:
            shutil.copytree(place / f"head={head}", staged / f"seed={seed}" / f"head={head}")
    files.write_json(folder / MODELS_FROM, {"folder": str(source.resolve()), "run": run_of(source)})
    staged.rename(folder / "models")


def trained_pairs(folder: Path, plan: Plan) -> "dict[int, Pair]":
    """The networks in a run's folder, by seed. Raises ModelError when there are none."""
    from pipelines.training.models import load_pair

    return load_pair(folder, kind=plan.dataset.kind, classes=plan.dataset.classes, bands=plan.dataset.bands)


def predict(folder: Path, progress: Progress) -> None:
    """Predict every split asked for with every seed's pair; parts that are whole are left alone."""
    from pipelines.training.predict import predict_split, predicted_heads, use_threads

    plan = Plan(folder)
    use_threads(plan.training.threads)
    for seed, pair in trained_pairs(folder, plan).items():
        for split in plan.config.evaluation.splits:
            if not predicted_heads(folder, split, seed, list(pair)):
                predict_split(
                    pair, plan.dataset, split,
                    seed=seed, folder=folder, device=plan.training.device, progress=progress,
                )  # fmt: skip
