"""What is said of outputs, or of models, to how the first images look beside it, before anything is imported.

Nobody vouches for the files, so they are read in a process of its own: whatever they do to it, ours goes on.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from pydantic import Field

from pipelines import heads, sandbox
from pipelines.arrays import BoolArray, UInt8Array
from pipelines.channels import Values, align
from pipelines.config import Settings, Size
from pipelines.datasets.base import Finding, Item
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.errors import DatasetError, PipelineError
from pipelines.imports.models.opening import OpenedModel, Wanted, open_models
from pipelines.imports.models.process import Limits
from pipelines.imports.models.settings import Described
from pipelines.imports.readers import FORMATS, Recognised, recognise_outputs
from pipelines.imports.sources import OutputSource, Said, named
from pipelines.misuse import MisuseCheck
from pipelines.reading import DataReading
from pipelines.schema import HEADS, SPLITS, Head, Kind, Split
from pipelines.uploads import in_use

LOOKED_AT: Final = 3  # images of a split
_NAMED: Final = 20  # images whose names are told
_LARGEST: Final = 512  # pixels of a preview's longer side
_MODEL_SECONDS: Final = 240.0  # a trial of models may take: libraries are imported, once a head, and a few images run


class AskedHead(Settings):
    """What is said of one head's outputs; None where nothing was said yet."""

    path: str
    format: str | None = None
    values: Values | None = None
    classes: tuple[str, ...] | None = None


class Asked(Settings):
    """What is to be looked at. seed: of files in no folder seed=N; size: (height, width) images are read at.

    reading: how the data set is read; None: as its files say.
    """

    dataset: str
    reading: DataReading | None = None
    heads: dict[Head, AskedHead] = Field(default_factory=dict)
    background: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    size: Size | None = None
    splits: tuple[Split, ...] = ("val", "test")


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


class Truth(Settings):
    """What a data set says of itself. images: of each split that has any."""

    name: str
    kind: Kind
    classes: tuple[str, ...]
    colors: tuple[str, ...]
    background: str | None
    images: dict[Split, int]


class Seen(Settings):
    """One head's outputs.

    format, title: as what they were read. values, channels: where the files themselves say it. count: channels of the
    first output; size: its (height, width). seeds: of the folders seed=N, or the one said. absent, surplus: images
    without output and outputs without image, the first names and how many. looked: how many images were read. findings:
    what speaks against what was said. problem: why it cannot be imported like this, in one line.
    """

    format: str | None = None
    title: str = ""
    values: Values | None = None
    channels: tuple[str, ...] | None = None
    count: int | None = None
    size: tuple[int, int] | None = None
    seeds: tuple[int, ...] = ()
    in_folders: bool = False
    absent: tuple[str, ...] = ()
    absent_count: int = 0
    surplus: tuple[str, ...] = ()
    surplus_count: int = 0
    looked: int = 0
    findings: tuple[Finding, ...] = ()
    problem: str | None = None

    @property
    def stands_in_the_way(self) -> bool:
        """Whether an import would be refused for what was seen."""
        errors = any(one.severity == "error" for one in self.findings)
        return bool(self.problem or self.absent_count or errors)


class Looked(Settings):
    """What there is. problem: of the data set, in one line; truth is None then. shown: image of the preview."""

    truth: Truth | None = None
    problem: str | None = None
    heads: dict[Head, Seen] = Field(default_factory=dict)
    shown: str | None = None


class Preview(NamedTuple):
    """One image made smaller by leaving out pixels: (H, W, 3) uint8, truth (C, H, W), valid (H, W), and the classes
    that each head calls present, (C, H, W).
    """

    image: UInt8Array
    truth: BoolArray
    valid: BoolArray
    decided: dict[Head, BoolArray]


Trial: TypeAlias = tuple[Looked, Preview | None]


# In a process of its own ---------------------------------------------------------------------------------------------


def look_apart(asked: Asked, *, seconds: float = sandbox.SECONDS, memory: int = sandbox.MEMORY) -> Trial:
    """As `look`, for files that nobody vouches for; a process that breaks a bound or dies is a problem too."""
    return _apart("answer_look", asked, seconds=seconds, memory=memory)


def try_apart(asked: AskedModels) -> Trial:
    """As `try_models`, in a process of its own, which reads the images; each model has another."""
    return _apart("answer_models", asked, seconds=_MODEL_SECONDS, memory=sandbox.MEMORY)


def _apart(function: str, asked: Asked | AskedModels, *, seconds: float, memory: int) -> Trial:
    """What a function below finds. Uploads that it reads are not deleted meanwhile."""
    try:
        with ExitStack() as stack:
            for path in (asked.dataset, *(one.path for one in asked.heads.values())):
                stack.enter_context(in_use(Path(path)))
            answer, arrays = sandbox.answer_apart(
                f"{__name__}:{function}",
                asked.model_dump(mode="json"),
                what="the first images",
                seconds=seconds,
                memory=memory,
            )
    except PipelineError as error:
        return Looked(problem=str(error)), None
    looked = Looked.model_validate(answer)
    if not arrays:
        return looked, None
    with np.load(io.BytesIO(arrays), allow_pickle=False) as kept:
        decided = {head: kept[head] for head in HEADS if head in kept}
        return looked, Preview(kept["image"], kept["truth"], kept["valid"], decided)


def answer_look(question: dict[str, Any], _: bytes) -> sandbox.Message:
    """`look`, as `sandbox.serve` wants it."""
    return _message(*look(Asked.model_validate(question)))


def answer_models(question: dict[str, Any], _: bytes) -> sandbox.Message:
    """`try_models`, as `sandbox.serve` wants it."""
    return _message(*try_models(AskedModels.model_validate(question)))


def _message(looked: Looked, preview: Preview | None) -> sandbox.Message:
    content = io.BytesIO()
    if preview is not None:
        image, truth, valid, decided = preview
        arrays: dict[str, Any] = {"image": image, "truth": truth, "valid": valid}
        arrays |= {str(head): labels for head, labels in decided.items()}
        np.savez_compressed(content, **arrays)
    return looked.model_dump(mode="json"), content.getvalue()


# Outputs in files ----------------------------------------------------------------------------------------------------


def look(asked: Asked) -> Trial:
    """Open the data set and the outputs, and read the first images of each split. Never raises for what is in files."""
    try:
        dataset = open_dataset(asked.dataset, asked.reading)
        truth = truth_of(dataset)
        empty = [split for split in asked.splits if asked.heads and not dataset.images(split)]
        if empty:
            raise DatasetError(f"SPLIT-EMPTY: {' and '.join(empty)} of {dataset.name} has no image; leave it out")
        items = _first_items(dataset, asked.splits, asked.size) if asked.heads else []
    except PipelineError as error:
        return Looked(problem=str(error)), None
    return _looked(truth, asked.heads, items, lambda head, shown: _look_at(head, asked, dataset, items, shown))


def _look_at(
    head: Head, asked: Asked, dataset: Dataset, items: Sequence[Item], shown: Item | None
) -> tuple[Seen, BoolArray | None]:
    """Everything that can be told of one head's outputs from what was said so far."""
    seen = Seen()
    try:
        found = recognise_outputs(Path(asked.heads[head].path), head, format=asked.heads[head].format, seed=asked.seed)
        form = FORMATS[found.format]
        seen = Seen(
            format=found.format,
            title=form.title,
            values=form.values,
            seeds=tuple(found.files),
            in_folders=found.in_folders,
        )
        with ExitStack() as stack:
            return _look_into(seen, head, asked, dataset, found, items, shown, stack)
    except PipelineError as error:
        return seen.model_copy(update={"problem": str(error)}), None


def _look_into(
    seen: Seen,
    head: Head,
    asked: Asked,
    dataset: Dataset,
    found: Recognised,
    items: Sequence[Item],
    shown: Item | None,
    stack: ExitStack,
) -> tuple[Seen, BoolArray | None]:
    said, form = asked.heads[head], FORMATS[found.format]
    words = Said(head, said.values or (None if form.values else "probabilities"), said.classes, asked.background)
    sources = [stack.enter_context(form.open(files, words, dataset)) for files in found.files.values()]
    names = [name for split in asked.splits for name in dataset.images(split)]
    absent = list(dict.fromkeys(name for source in sources for name in source.absent(names)))
    surplus = sorted({name for source in sources for name in source.surplus(names)})
    facts: dict[str, Any] = {
        "channels": sources[0].declaration.classes if form.names_channels else None,
        "absent": tuple(absent[:_NAMED]),
        "absent_count": len(absent),
        "surplus": tuple(surplus[:_NAMED]),
        "surplus_count": len(surplus),
    }
    seen = seen.model_copy(update=facts)
    items = [item for item in items if item.name not in set(absent)]
    if not items:
        return seen, None
    first = np.asarray(sources[0].read(items[0]))
    seen = seen.model_copy(update={"count": len(first) if first.ndim == 3 else None, "size": first.shape[-2:]})
    only_class = head == "sigmoid" and dataset.kind == "binary" and len(first) == 1
    if (said.values or form.values) is None or not (said.classes or form.names_channels or only_class):
        return seen, None  # nothing to hold against: it was not said yet
    findings, labels = _hold_against(head, sources, dataset, items, shown)
    return seen.model_copy(update={"looked": len(items), "findings": findings}), labels


# Models --------------------------------------------------------------------------------------------------------------


def try_models(asked: AskedModels) -> Trial:
    """Open the data set and the models, and run the first images of each split. Never raises for what is in files."""
    truth = None
    wanted = {
        head: Wanted(model.path, model.described, model.tensor, seed=asked.seed) for head, model in asked.heads.items()
    }
    try:
        dataset = open_dataset(asked.dataset, asked.reading)
        truth = truth_of(dataset)
        with ExitStack() as stack:
            opened = open_models(wanted, dataset, asked.splits, stack, limits=asked.limits)
            size = next(iter(next(iter(opened.values())).sources.values())).size
            items = _first_items(dataset, asked.splits, size)
            return _looked(truth, opened, items, lambda head, shown: _try(head, opened[head], dataset, items, shown))
    except PipelineError as error:
        return Looked(truth=truth, problem=str(error)), None


def _try(
    head: Head, model: OpenedModel, dataset: Dataset, items: Sequence[Item], shown: Item | None
) -> tuple[Seen, BoolArray | None]:
    """Every seed on every image."""
    sources = list(model.sources.values())
    declared = sources[0].declaration
    seen = Seen(
        format=model.kind.name,
        title=model.kind.title,
        values=declared.values,
        channels=declared.classes,
        count=len(declared.classes) or 1,
        seeds=tuple(model.sources),
        in_folders=len(sources) > 1,
        looked=len(items),
    )
    try:
        findings, labels = _hold_against(head, sources, dataset, items, shown)
        return seen.model_copy(update={"findings": findings}), labels
    except PipelineError as error:
        return seen.model_copy(update={"problem": str(error)}), None


# What both do --------------------------------------------------------------------------------------------------------


def truth_of(dataset: Dataset) -> Truth:
    """What a data set says of itself."""
    images: dict[Split, int] = {split: len(dataset.images(split)) for split in SPLITS}
    return Truth(
        name=dataset.name,
        kind=dataset.kind,
        classes=dataset.classes,
        colors=dataset.colors,
        background=dataset.background,
        images={split: count for split, count in images.items() if count},
    )


def _first_items(dataset: Dataset, splits: Sequence[Split], size: tuple[int, int] | None) -> list[Item]:
    names = [name for split in splits for name in dataset.images(split)[:LOOKED_AT]]
    return [dataset.read(name, size=size) for name in names]


def _looked(
    truth: Truth,
    given: Iterable[Head],
    items: Sequence[Item],
    look_at: Callable[[Head, Item | None], tuple[Seen, BoolArray | None]],
) -> Trial:
    """All heads, and the picture: the image with most classes."""
    shown = max(items, key=lambda item: int(item.truth.any(axis=(1, 2)).sum()), default=None)
    seen = {head: look_at(head, shown) for head in HEADS if head in set(given)}
    decided = {head: labels for head, (_, labels) in seen.items() if labels is not None}
    looked = Looked(
        truth=truth,
        heads={head: facts for head, (facts, _) in seen.items()},
        shown=None if shown is None else shown.name,
    )
    return looked, None if shown is None else _preview(shown, decided)


def _hold_against(
    head: Head, sources: Sequence[OutputSource], dataset: Dataset, items: Sequence[Item], shown: Item | None
) -> tuple[tuple[Finding, ...], BoolArray | None]:
    """Read the images of every seed: what speaks against what was said, and what the first calls present."""
    findings: dict[tuple[str, str], Finding] = {}
    labels: BoolArray | None = None
    rule: Literal["argmax", "threshold"] = "argmax" if dataset.kind == "exclusive" else "threshold"
    for source in sources:
        alignment = align(
            source.declaration, head, kind=dataset.kind, classes=dataset.classes, background=dataset.background
        )
        check = MisuseCheck(source.declaration)
        for item in items:
            values = np.asarray(source.read(item))
            check.add(values)
            if values.shape[-2:] != item.valid.shape:
                findings["OUTPUT-SIZE", item.name] = _other_size(item, values.shape)
            elif item is shown and labels is None and len(values) == alignment.count and np.isfinite(values).all():
                log_odds = heads.log_odds(alignment.spec, alignment.logits(values, step=source.step))
                labels = heads.decide(log_odds, rule=rule)
        told = [*check.findings(), *(Finding.model_validate(note) for note in source.findings())]
        findings |= {(finding.code, finding.message): finding for finding in told}
    return tuple(findings.values()), labels


def _other_size(item: Item, shape: tuple[int, ...]) -> Finding:
    height, width = item.valid.shape
    message = (
        f"the output of {named((item.name,))} is {shape[-1]}×{shape[-2]}, its truth {width}×{height}; predict at the "
        "size of the truth, or measure at theirs by giving the size that images were resized to"
    )
    return Finding(code="OUTPUT-SIZE", severity="error", message=message)


def _preview(item: Item, decided: Mapping[Head, BoolArray]) -> Preview:
    """One image, its truth and what heads call present in it, (C, H, W), at most 512 pixels wide and high."""
    step = max(1, -(-max(item.valid.shape) // _LARGEST))
    image = np.rint(item.image[::step, ::step] * 255).astype(np.uint8)
    small = {head: labels[:, ::step, ::step] for head, labels in decided.items()}
    return Preview(image, item.truth[:, ::step, ::step], item.valid[::step, ::step], small)
