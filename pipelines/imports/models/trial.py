"""What is said of models to how they do on the first images, in a process of its own, before anything is imported.

python -m pipelines.imports.models.trial FOLDER MEMORY reads asked.json there, and answers as `pipelines.imports.apart`.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from pydantic import Field

from pipelines import heads
from pipelines.apart import bind
from pipelines.arrays import BoolArray
from pipelines.channels import align
from pipelines.config import Settings
from pipelines.datasets import Dataset, Finding, Item, open_dataset
from pipelines.errors import PipelineError
from pipelines.imports import apart
from pipelines.imports.models.facts import Described
from pipelines.imports.models.limits import Limits
from pipelines.imports.models.opening import OpenedModel, Wanted, open_models
from pipelines.imports.trial import LOOKED_AT, Looked, Preview, Seen, preview_of, truth_of
from pipelines.misuse import MisuseCheck
from pipelines.reading import DataReading
from pipelines.schema import HEADS, Head, Split

_SECONDS: Final = 240.0  # that a trial may take: libraries are imported, once a head, and a few images run
_MEMORY: Final = 3 * 2**30  # bytes of the process that reads images; models have processes and limits of their own


class AskedModel(Settings):
    """What is said of one head's model."""

    path: str
    described: Described = Described()
    tensor: str | None = None


class AskedModels(Settings):
    """What is to be tried. reading: how the data set is read; None: as its files say. limits: of each model."""

    dataset: str
    reading: DataReading | None = None
    heads: dict[Head, AskedModel]
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    splits: tuple[Split, ...] = ("val", "test")
    limits: Limits = Limits()


def try_models(asked: AskedModels) -> tuple[Looked, Preview | None]:
    """Open the data set and the models, and run the first images of each split. Never raises for what is in files."""
    try:
        dataset = open_dataset(asked.dataset, asked.reading)
        truth = truth_of(dataset)
    except PipelineError as error:
        return Looked(problem=str(error)), None
    wanted = {
        head: Wanted(one.path, one.described, one.tensor, seed=asked.seed) for head, one in asked.heads.items()
    }  # fmt: skip
    try:
        with ExitStack() as stack:
            opened = open_models(wanted, dataset, asked.splits, stack, limits=asked.limits)
            return _looked(Looked(truth=truth), dataset, opened, asked.splits)
    except PipelineError as error:
        return Looked(truth=truth, problem=str(error)), None


def _looked(
    looked: Looked, dataset: Dataset, opened: Mapping[Head, OpenedModel], splits: Sequence[Split]
) -> tuple[Looked, Preview | None]:
    size = next(iter(next(iter(opened.values())).sources.values())).size
    names = [name for split in splits for name in dataset.images(split)[:LOOKED_AT]]
    items = [dataset.read(name, size=size) for name in names]
    shown = max(items, key=lambda item: int(item.truth.any(axis=(1, 2)).sum()), default=None)
    seen: dict[Head, Seen] = {}
    decided: dict[Head, BoolArray] = {}
    for head in HEADS:
        if head in opened:
            seen[head], labels = _try_head(head, opened[head], dataset, items, shown)
            decided |= {} if labels is None else {head: labels}
    answer = looked.model_copy(update={"heads": seen, "shown": None if shown is None else shown.name})
    return answer, None if shown is None else preview_of(shown, decided)


def _try_head(
    head: Head, model: OpenedModel, dataset: Dataset, items: Sequence[Item], shown: Item | None
) -> tuple[Seen, BoolArray | None]:
    """Every seed on every image, held against what was said; and the classes the first calls present where shown."""
    declared = next(iter(model.sources.values())).declaration
    seen = Seen(
        format=model.kind.name, title=model.kind.title, values=declared.values, channels=declared.classes,
        count=len(declared.classes) or 1, seeds=tuple(model.sources), in_folders=len(model.sources) > 1,
        looked=len(items),
    )  # fmt: skip
    findings: dict[tuple[str, str], Finding] = {}
    labels: BoolArray | None = None
    truth: dict[str, Any] = {"kind": dataset.kind, "classes": dataset.classes, "background": dataset.background}
    try:
        for source in model.sources.values():
            alignment = align(source.declaration, head, **truth)
            check = MisuseCheck(source.declaration)
            for item in items:
                values = source.read(item)
                check.add(values)
                if item is shown and labels is None and np.isfinite(values).all():
                    log_odds = heads.log_odds(alignment.spec, alignment.logits(values))
                    labels = heads.decide(log_odds, rule="argmax" if dataset.kind == "exclusive" else "threshold")
            findings |= {(one.code, one.message): one for one in check.findings()}
    except PipelineError as error:
        return seen.model_copy(update={"problem": str(error)}), None
    return seen.model_copy(update={"findings": tuple(findings.values())}), labels


def try_apart(asked: AskedModels) -> tuple[Looked, Preview | None]:
    """As `try_models`, in a process of its own, which reads the images; each model has another."""
    paths = (asked.dataset, *(one.path for one in asked.heads.values()))
    return apart.answer_apart(__name__, asked, paths, seconds=_SECONDS, memory=_MEMORY)


def main(folder: Path, memory: int) -> None:
    """The process: bind itself, try, answer."""
    bind(memory)
    asked = AskedModels.model_validate_json((folder / "asked.json").read_bytes())
    apart.write_answer(folder, *try_models(asked))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
