"""Sources of outputs and a data set to the predictions of a run, each image read once for all heads of a seed."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.channels import Alignment
from pipelines.datasets import Item
from pipelines.errors import DatasetError, ShapeError
from pipelines.imports.prepare import alignments
from pipelines.imports.source import OutputSource, named
from pipelines.misuse import MisuseCheck
from pipelines.misuse.findings import plural
from pipelines.progress import Progress
from pipelines.schema import Head, Split
from pipelines.stages import Plan
from pipelines.store import PredictionWriter, PreviewWriter, predictions_folder, previews_file


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
                f"OUTPUT-UNREADABLE: {plural(len(self.failed), 'output')} of {self.what} cannot be read "
                f"({named(tuple(self.failed))}); of the first: {first}"
            )
        for (found, wanted), images in self.sizes.items():
            yield (
                f"OUTPUT-SIZE: {plural(len(images), 'output')} of {self.what} with size {_by(found)}, where the truth "
                f"is {_by(wanted)} ({named(images)}); predict at the size of the truth, or measure at theirs: --size"
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

    def add(self, item: Item) -> None:
        """Read, check and write one image; what is wrong with it is kept for the end, when all of it is told."""
        try:
            values = np.asarray(self.source.read(item))
            self.check.add(values)
            if values.shape[-2:] != item.valid.shape:
                self.refusal.sizes.setdefault((values.shape[-2:], item.valid.shape), []).append(item.name)
            elif np.isfinite(values).all():  # else told by the check
                logits = self.alignment.logits(values, step=self.source.step)
                self.writer.write(item.name, logits, item.truth, item.valid)
        except (DatasetError, ShapeError) as error:
            self.refusal.failed[item.name] = str(error)

    def finish(self) -> None:
        """Note what is odd about the values, and refuse those that cannot be what they are said to be."""
        if self.check.evidence is not None:  # else no output could be read, which is told already
            errors = [one for one in self.check.findings() if one.severity == "error"]
            self.refusal.codes += [f"{one.code}: {self.refusal.what}: {one.message}" for one in errors]
        for finding in self.source.findings():
            self.writer.note(finding)


def write_outputs(folder: Path, sources: Mapping[Head, Mapping[int, OutputSource]], progress: Progress) -> None:
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
    sources: Mapping[Head, Mapping[int, OutputSource]],
    aligned: Mapping[Head, Mapping[int, Alignment]],
    refusals: Mapping[Head, _Refusal],
    split: Split,
    seed: int,
    progress: Progress,
) -> None:
    size = plan.config.imported.size if plan.config.imported is not None else None
    images = plan.dataset.images(split)
    previews = folder / previews_file(split)
    with ExitStack() as stack:
        parts = [
            _open_part(
                stack,
                folder / predictions_folder(split, head, seed),
                sources[head][seed],
                by_seed[seed],
                refusals[head],
            )
            for head, by_seed in aligned.items()
        ]
        preview = None if previews.exists() else stack.enter_context(PreviewWriter(previews))
        with progress.stage(f"import {split} {seed}", len(images)):
            for name in images:
                item = plan.dataset.read(name, size=size)
                for part in parts:
                    part.add(item)
                if preview is not None:
                    preview.write(name, item.image)
                progress.advance()
        for part in parts:
            part.finish()
        if any(True for part in parts for _ in part.refusal.lines()):
            raise _Refused


def _open_part(stack: ExitStack, place: Path, source: OutputSource, alignment: Alignment, refusal: _Refusal) -> _Part:
    check = MisuseCheck(source.declaration)
    knows_shift = alignment.values == "logits" and source.keeps_shift
    writer = stack.enter_context(PredictionWriter(place, alignment.spec, check=check, knows_shift=knows_shift))
    return _Part(source, alignment, check, writer, refusal)


def _by(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size[::-1]))  # width first, as image programs say it
