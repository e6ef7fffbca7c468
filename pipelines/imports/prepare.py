"""A data set, settings and sources to the plan of an import, or to everything that stands in its way."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.channels import Alignment, align
from pipelines.config import ImportConfig, RunConfig
from pipelines.datasets import Dataset, Finding, open_dataset
from pipelines.datasets.check import CheckReport, check_dataset
from pipelines.errors import ConfigError, DatasetError
from pipelines.imports.source import OutputSource, named
from pipelines.progress import Progress
from pipelines.schema import HEADS, Head, Split
from pipelines.stages import begun_before, check_ok, note_plan, spelt_out

# Errors for training that an import need not mind: it measures on what is there.
_ONLY_FOR_TRAINING = frozenset({"SPLIT-EMPTY", "SPLIT-IGNORED", "CLASS-EMPTY"})


def prepare(
    folder: Path, config: RunConfig, sources: Mapping[Head, Mapping[int, OutputSource]], progress: Progress
) -> None:
    """Compare channels and images with the data set, check it and note the plan; done once an attempt."""
    imported = config.imported
    if imported is None:
        raise ConfigError("these settings are of a training; an import says what was imported")
    _check_seeds(imported, sources)
    settings = {"config": config.model_dump(mode="json")}
    if begun_before(folder, settings):
        return
    dataset = open_dataset(config.dataset, config.reading)
    fingerprint = dataset.fingerprint()
    specs = [next(iter(by_seed.values())).spec for by_seed in alignments(dataset, sources).values()]
    splits = config.evaluation.splits
    _check_images(dataset, splits, sources)
    report = _for_import(check_dataset(dataset, size=imported.size, progress=progress), splits)
    check_ok(report)
    note_plan(
        folder,
        settings=settings,
        config=spelt_out(config, dataset),
        report=report,
        dataset=dataset,
        fingerprint=fingerprint,
        specs=specs,
    )


def alignments(
    dataset: Dataset, sources: Mapping[Head, Mapping[int, OutputSource]]
) -> dict[Head, dict[int, Alignment]]:
    """How the channels of each head and seed become logits, in the order of schema.HEADS.

    Raises ConfigError where they do not, or where the seeds of a head do not mean the same.
    """
    truth: dict[str, Any] = {"kind": dataset.kind, "classes": dataset.classes, "background": dataset.background}
    found = {
        head: {seed: align(source.declaration, head, **truth) for seed, source in sources[head].items()}
        for head in HEADS
        if head in sources
    }
    for head, by_seed in found.items():
        if len({one.spec for one in by_seed.values()}) != 1:
            raise ConfigError(f"the seeds of {head} have different channels; bring the same with each")
    return found


def _check_seeds(imported: ImportConfig, sources: Mapping[Head, Mapping[int, OutputSource]]) -> None:
    if not sources:
        raise ConfigError("there is nothing to import; give the outputs of one head at least")
    for head, by_seed in sources.items():
        if sorted(by_seed) != sorted(imported.seeds):
            told = ", ".join(f"{one} has seeds {_listed(sorted(some))}" for one, some in sources.items())
            raise ConfigError(f"{told}; heads are compared seed by seed, so bring the same seeds of each")
        if any(source.size != imported.size for source in by_seed.values()):
            raise ConfigError(f"images of {head} are read at another size than that of the run; use one size for all")


def _check_images(
    dataset: Dataset, splits: Sequence[Split], sources: Mapping[Head, Mapping[int, OutputSource]]
) -> None:
    """Raise DatasetError with everything that is missing, of every head and seed."""
    empty = [split for split in splits if not dataset.images(split)]
    if empty:
        raise DatasetError(
            f"SPLIT-EMPTY: {' and '.join(empty)} of {dataset.name} has no image; leave it out with --splits"
        )
    names = [name for split in splits for name in dataset.images(split)]
    told = []
    for head, by_seed in sources.items():
        for seed, source in by_seed.items():
            lost = source.absent(names)
            if lost:
                of_seed = f" seed {seed}" if len(by_seed) > 1 else ""
                told.append(f"{head}{of_seed} has no output for {len(lost)} of {len(names)} images: {named(lost)}")
    if told:
        raise DatasetError(
            f"OUTPUT-MISSING: {'; '.join(told)}. Nothing was stored. Predict these too, under the image's name, or "
            "leave their split out with --splits"
        )


def _for_import(report: CheckReport, splits: Sequence[Split]) -> CheckReport:
    """The report with what only training needs as notes. Raises DatasetError when a split to measure has no pixel."""
    for part in report.splits:
        if part.split in splits and part.images and not part.valid_pixels:
            raise DatasetError(f"SPLIT-IGNORED: every pixel of {part.split} is ignored; leave it out with --splits")
    findings = tuple(_noted(one) if one.code in _ONLY_FOR_TRAINING else one for one in report.findings)
    return report.model_copy(update={"findings": findings})


def _noted(finding: Finding) -> Finding:
    return finding.model_copy(update={"severity": "note"})


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
