"""Outputs of networks that were trained elsewhere to a committed run: check, write, count, measure, judge."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.channels import Alignment, align
from pipelines.config import ImportConfig, RunConfig
from pipelines.datasets.base import Item
from pipelines.datasets.check import CheckReport, check_dataset
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.errors import ConfigError, DatasetError, ModelError, ShapeError
from pipelines.imports.axes import TRANSPOSE, SwapCheck, seems_swapped
from pipelines.imports.sources import OutputSource, named
from pipelines.misuse import MisuseCheck
from pipelines.progress import Progress, cancel_on_signals
from pipelines.schema import HEADS, Head, Split
from pipelines.sentences import count_of
from pipelines.stages import Plan, begun_before, check_ok, finish, note_plan, spelt_out
from pipelines.store.files import predictions_folder
from pipelines.store.manage import RunWriter
from pipelines.store.predictions import ImagesWriter, PredictionWriter
from pipelines.store.runs import Run

Sources: TypeAlias = Mapping[Head, Mapping[int, OutputSource]]  # by head and seed

_LOOKED_AT = 8  # images of a split, for their own size
# Errors for training that an import need not mind: it measures on what is there.
_ONLY_FOR_TRAINING = frozenset({"SPLIT-EMPTY", "SPLIT-IGNORED", "CLASS-EMPTY"})


def make_import(
    config: RunConfig,
    sources: Sources,
    *,
    runs: Path,
    name: str,
    progress: Progress,
    resume: bool = False,
) -> Run:
    """Do all stages and commit. Splits that an interrupted attempt wrote are taken over when resume is set.

    sources: by head and seed; every head has the seeds of config.imported. The caller closes them.
    Raises ConfigError for channels that do not fit the data set's classes, DatasetError for a data set with errors and
    for outputs that are missing, of another size or not what they are said to be, Cancelled (resumable) when a stop
    was asked for, and what sources raise, such as ModelError. Nothing is committed then.
    """
    with cancel_on_signals(progress), RunWriter.open(runs, name, resume=resume) as writer:
        try:
            prepare(writer.folder, config, sources, progress)
            write_outputs(writer.folder, sources, progress)
        except (ConfigError, DatasetError, ModelError, ShapeError):
            if not resume:  # refused: there is nothing to go on from
                shutil.rmtree(writer.folder, ignore_errors=True)
            raise
        return finish(writer, progress)


# Prepared -------------------------------------------------------------------------------------------------------------


def prepare(folder: Path, config: RunConfig, sources: Sources, progress: Progress) -> None:
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
    _check_size(dataset, splits, imported.size)
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


def alignments(dataset: Dataset, sources: Sources) -> dict[Head, dict[int, Alignment]]:
    """How the channels of each head and seed become logits, in the order of schema.HEADS.

    Raises ConfigError where they do not, or where the seeds of a head do not mean the same.
    """
    aligned: dict[Head, dict[int, Alignment]] = {}
    for head in HEADS:
        if head in sources:
            aligned[head] = {
                seed: align(
                    source.declaration, head, kind=dataset.kind, classes=dataset.classes, background=dataset.background
                )
                for seed, source in sources[head].items()
            }
            if len({alignment.spec for alignment in aligned[head].values()}) != 1:
                raise ConfigError(f"the seeds of {head} have different channels; bring the same with each")
    return aligned


def _check_seeds(imported: ImportConfig, sources: Sources) -> None:
    if not sources:
        raise ConfigError("there is nothing to import; give the outputs of one head at least")
    for head, by_seed in sources.items():
        if sorted(by_seed) != sorted(imported.seeds):
            seeds = [f"{each} has seeds {', '.join(map(str, sorted(mine)))}" for each, mine in sources.items()]
            raise ConfigError(f"{', '.join(seeds)}; heads are compared seed by seed, so bring the same seeds of each")
        if any(source.size != imported.size for source in by_seed.values()):
            raise ConfigError(f"images of {head} are read at another size than that of the run; use one size for all")


def _check_images(dataset: Dataset, splits: Sequence[Split], sources: Sources) -> None:
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


def _check_size(dataset: Dataset, splits: Sequence[Split], size: tuple[int, int] | None) -> None:
    """Raise ConfigError for the size of the images with height and width swapped: it would squeeze every mask."""
    names = [name for split in splits for name in dataset.images(split)[:_LOOKED_AT]]
    with suppress(DatasetError):  # the check names what cannot be read
        own = {dataset.source.head(name)[0] for name in names}
        if size is not None and own == {size[::-1]} != {size}:
            height, width = size
            raise ConfigError(
                f"--size is height x width, and {height}x{width} is that of the images with both swapped; give "
                f"{width}x{height}, or leave it out"
            )


def _for_import(report: CheckReport, splits: Sequence[Split]) -> CheckReport:
    """The report with what only training needs as notes. Raises DatasetError when a split to measure has no pixel."""
    for part in report.splits:
        if part.split in splits and part.images and not part.valid_pixels:
            raise DatasetError(f"SPLIT-IGNORED: every pixel of {part.split} is ignored; leave it out with --splits")
    findings = [
        finding.model_copy(update={"severity": "note"}) if finding.code in _ONLY_FOR_TRAINING else finding
        for finding in report.findings
    ]
    return report.model_copy(update={"findings": tuple(findings)})


# Written --------------------------------------------------------------------------------------------------------------


@dataclass
class _Refusal:
    """What forbids to import the outputs of one head and seed, collected over all images so that it is told at once.

    sizes: images whose outputs have another size than their truth, by both sizes. failed: images that could not be
    read, with the reason. codes: what the values turned out to be, as one line a finding.
    """

    what: str
    sizes: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Everything that was found, a line each."""
        if self.failed:
            first = next(iter(self.failed.values()))
            yield (
                f"OUTPUT-UNREADABLE: {count_of(len(self.failed), 'output')} of {self.what} cannot be read "
                f"({named(tuple(self.failed))}); of the first: {first}"
            )
        for (found, wanted), images in self.sizes.items():
            mend = "predict at the size of the truth, or measure at theirs: --size"
            if seems_swapped(found, wanted):
                mend = f"height and width are swapped: save {TRANSPOSE}, then {mend}"
            yield (
                f"OUTPUT-SIZE: {count_of(len(images), 'output')} of {self.what} with size {_by(found)}, where the "
                f"truth is {_by(wanted)} ({named(images)}); {mend}"
            )
        yield from self.codes


@dataclass(frozen=True)
class _Part:
    """One head and seed over one split: where it comes from, where it goes, what was noticed."""

    source: OutputSource
    alignment: Alignment
    check: MisuseCheck
    writer: PredictionWriter
    refusal: _Refusal
    swap: SwapCheck

    def add(self, item: Item) -> None:
        """Read, check and write one image; what is wrong with it is kept for the end, when all of it is told."""
        try:
            values = np.asarray(self.source.read(item))
            self.check.add(values)
            if values.shape[-2:] != item.valid.shape:
                self.refusal.sizes.setdefault((values.shape[-2:], item.valid.shape), []).append(item.name)
            elif self._is_sound(values):
                logits = self.alignment.logits(values, step=self.source.step)
                self.writer.write(item.name, logits, item.truth, item.valid, item.soft)
                if self.swap.wants(item):
                    self.swap.add(item, self.alignment.decide(logits))
        except (DatasetError, ShapeError) as error:
            self.refusal.failed[item.name] = str(error)

    def _is_sound(self, values: NDArray[Any]) -> bool:
        """Whether these can be written; what the check of the values tells anyway is not told again."""
        channels = len(self.source.declaration.classes)
        return bool(np.isfinite(values).all()) and len(values) == (channels or len(values))

    def finish(self) -> None:
        """Note what is odd about the values, and refuse those that cannot be what they are said to be."""
        if self.check.evidence is not None:  # else no output could be read, which is told already
            errors = [one for one in self.check.findings() if one.severity == "error"]
            self.refusal.codes += [f"{one.code}: {self.refusal.what}: {one.message}" for one in errors]
        for finding in (*self.source.findings(), *(one.model_dump() for one in self.swap.findings())):
            self.writer.note(finding)


def write_outputs(folder: Path, sources: Sources, progress: Progress) -> None:
    """Write predictions/ and previews/ of a run's folder; parts that are whole are left alone.

    Raises DatasetError with everything that is wrong: files that cannot be read and sizes over all splits and seeds,
    values that are not what they are said to be at the end of the first split that shows it.
    """
    plan = Plan(folder)
    aligned = alignments(plan.dataset, sources)
    many = len(plan.config.seeds) > 1
    for seed in plan.config.seeds:
        refusals = {head: _Refusal(f"{head} seed {seed}" if many else head) for head in aligned}
        for split in plan.config.evaluation.splits:
            places = {head: folder / predictions_folder(split, head, seed) for head in aligned}
            if not all((place / "part-00000.parquet").is_file() for place in places.values()):
                with suppress(_Refused):
                    _write_split(folder, plan, sources, aligned, refusals, split, seed, progress)
            if any(one.codes for one in refusals.values()):
                break
        told = [line for one in refusals.values() for line in one.lines()]
        if told:
            raise DatasetError(f"{'. '.join(told)}. Nothing was stored")


class _Refused(Exception):
    """Takes back the parts of a split whose outputs are refused."""


def _write_split(
    folder: Path,
    plan: Plan,
    sources: Sources,
    aligned: Mapping[Head, Mapping[int, Alignment]],
    refusals: Mapping[Head, _Refusal],
    split: Split,
    seed: int,
    progress: Progress,
) -> None:
    size = plan.config.imported.size if plan.config.imported is not None else None
    images = plan.dataset.images(split)
    with ExitStack() as stack:
        parts = [
            _open_part(
                stack,
                folder / predictions_folder(split, head, seed),
                sources[head][seed],
                by_seed[seed],
                refusals[head],
                SwapCheck(plan.dataset.classes, plan.dataset.background),
                soft=plan.dataset.soft,
            )
            for head, by_seed in aligned.items()
        ]
        kept = stack.enter_context(ImagesWriter(folder, plan.dataset, split))
        with progress.stage(f"import {split} {seed}", len(images)):
            for name in images:
                item = plan.dataset.read(name, size=size)
                for part in parts:
                    part.add(item)
                kept.write(item)
                progress.advance()
        for part in parts:
            part.finish()
        if any(True for part in parts for _ in part.refusal.lines()):
            raise _Refused


def _open_part(
    stack: ExitStack,
    place: Path,
    source: OutputSource,
    alignment: Alignment,
    refusal: _Refusal,
    swap: SwapCheck,
    *,
    soft: bool,
) -> _Part:
    check = MisuseCheck(source.declaration)
    knows_shift = alignment.values == "logits" and source.keeps_shift
    writer = PredictionWriter(place, alignment.spec, check=check, knows_shift=knows_shift, soft=soft)
    stack.enter_context(writer)
    return _Part(source, alignment, check, writer, refusal, swap)


def _by(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size[::-1]))  # width first, as image programs say it
