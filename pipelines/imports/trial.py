"""What is said of outputs, or of models, to how the first images look beside it, before anything is imported.

Nobody vouches for the files, so they are read in a process of its own: whatever they do to it, ours goes on.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.arrays import BoolArray, UInt8Array
from pipelines.channels import Declaration, Values, align
from pipelines.config import Settings
from pipelines.datasets.bands import RGB, Bands
from pipelines.datasets.base import Finding, Item
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.errors import ConfigError, DatasetError, PipelineError
from pipelines.imports.axes import TRANSPOSE, SwapCheck, seems_swapped
from pipelines.imports.models.opening import OpenedModel, open_models, usual_channels
from pipelines.imports.readers import FORMATS, recognise_outputs
from pipelines.imports.sources import OutputSource, Said, named
from pipelines.misuse import MisuseCheck
from pipelines.requests import (
    CheckRequest,
    HeadModel,
    HeadOutputs,
    ImportRequest,
    ModelImportRequest,
    Request,
    read_request,
)
from pipelines.sandbox import MEMORY, SECONDS, Message, answer_apart
from pipelines.schema import HEADS, SPLITS, Head, Kind, Split
from pipelines.uploads import in_use

LOOKED_AT: Final = 3  # images of a split
_NAMED: Final = 20  # images whose names are told
_LARGEST: Final = 512  # pixels of a preview's longer side
_MODEL_SECONDS: Final = 240.0  # a trial of models may take: libraries are imported, once a head, and a few images run


class Truth(Settings):
    """What a data set says of itself. images: of each split that has any. bands: of every image."""

    name: str
    kind: Kind
    classes: tuple[str, ...]
    colors: tuple[str, ...]
    background: str | None
    images: dict[Split, int]
    bands: Bands = RGB


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


def look_apart(
    request: CheckRequest | ImportRequest | ModelImportRequest, *, seconds: float | None = None, memory: int = MEMORY
) -> Trial:
    """As `look`, for files that nobody vouches for: a process that breaks a bound or dies is a problem too, and uploads
    that it reads are not deleted meanwhile. Each model has a process of its own besides.
    """
    models = isinstance(request, ModelImportRequest)
    try:
        with ExitStack() as stack:
            for path in (request.dataset, *(one.path for one in _heads(request).values())):
                stack.enter_context(in_use(Path(path)))
            answer, arrays = answer_apart(
                f"{__name__}:answer",
                {"request": request.model_dump_json()},
                what="the first images",
                seconds=seconds or (_MODEL_SECONDS if models else SECONDS),
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


def answer(question: dict[str, Any], _: bytes) -> Message:
    """`look`, as `sandbox.serve` wants it."""
    looked, preview = look(read_request(question["request"]))
    content = io.BytesIO()
    if preview is not None:
        arrays: dict[str, Any] = preview._asdict()
        np.savez_compressed(content, **(arrays.pop("decided") | arrays))
    return looked.model_dump(mode="json"), content.getvalue()


def look(request: Request) -> Trial:
    """Open the data set of a check or an import, and read or compute the outputs of the first images of each split.

    Never raises for what is in files.
    """
    if isinstance(request, ModelImportRequest):
        return _try_models(request)
    if isinstance(request, ImportRequest | CheckRequest):
        return _look_at_files(request)
    raise ConfigError(f"there is nothing to look at before {request.command}")


def _heads(request: CheckRequest | ImportRequest | ModelImportRequest) -> Mapping[Head, HeadOutputs | HeadModel]:
    return {} if isinstance(request, CheckRequest) else request.heads


# Outputs in files ----------------------------------------------------------------------------------------------------


def _look_at_files(request: CheckRequest | ImportRequest) -> Trial:
    try:
        dataset = open_dataset(request.dataset, request.data_reading())
        truth = truth_of(dataset)
        if isinstance(request, CheckRequest):
            return _looked(truth, [], [], lambda head, shown: (Seen(), None))
        splits = request.evaluation.splits
        empty = [split for split in splits if not dataset.images(split)]
        if empty:
            raise DatasetError(f"SPLIT-EMPTY: {' and '.join(empty)} of {dataset.name} has no image; leave it out")
        items = _first_items(dataset, splits, request.size)
    except PipelineError as error:
        return Looked(problem=str(error)), None
    return _looked(truth, request.heads, items, lambda head, shown: _look_at(head, request, dataset, items, shown))


def _look_at(
    head: Head, request: ImportRequest, dataset: Dataset, items: Sequence[Item], shown: Item | None
) -> tuple[Seen, BoolArray | None]:
    """Everything that can be told of one head's outputs from what was said so far."""
    facts: dict[str, Any] = {}
    labels: BoolArray | None = None
    try:
        with ExitStack() as stack:
            said = request.heads[head]
            found = recognise_outputs(Path(said.path), head, format=said.format, seed=request.seed)
            form = FORMATS[found.format]
            facts = {"format": found.format, "title": form.title, "values": form.values}
            facts |= {"seeds": tuple(found.files), "in_folders": found.in_folders}
            values = said.values or (None if form.values else "probabilities")
            words = Said(head, values, said.classes, request.background)
            sources = [stack.enter_context(form.open(files, words, dataset)) for files in found.files.values()]
            names = [name for split in request.evaluation.splits for name in dataset.images(split)]
            absent = list(dict.fromkeys(name for source in sources for name in source.absent(names)))
            surplus = sorted({name for source in sources for name in source.surplus(names)})
            facts["channels"] = sources[0].declaration.classes if form.names_channels else None
            facts |= {"absent": tuple(absent[:_NAMED]), "absent_count": len(absent)}
            facts |= {"surplus": tuple(surplus[:_NAMED]), "surplus_count": len(surplus)}
            items = [item for item in items if item.name not in set(absent)]
            if items:
                first = np.asarray(sources[0].read(items[0]))
                facts |= {"count": len(first), "size": first.shape[-2:]}
                only_class = head == "sigmoid" and dataset.kind == "binary" and len(first) == 1
                named_channels = said.classes or form.names_channels or only_class
                if (said.values or form.values) and named_channels:  # else there is nothing to hold against yet
                    findings, labels = _hold_against(head, sources, dataset, items, shown)
                    facts |= {"looked": len(items), "findings": findings}
                elif not named_channels:
                    facts["problem"] = _label_map(first, usual_channels(head, dataset), words)
    except PipelineError as error:
        facts["problem"] = str(error)
    return Seen(**facts), labels


def _label_map(values: NDArray[Any], usual: tuple[str, ...], said: Said) -> str | None:
    """What is told of a label map before channels are named: it has one, and nothing could be said of it."""
    check = MisuseCheck(Declaration(head=said.activation, values="probabilities", classes=usual))
    check.add(values)
    told = (f"{one.code}: {one.message}" for one in check.findings() if one.code == "LABEL-MAP")
    return next(told, None)


# Models --------------------------------------------------------------------------------------------------------------


def _try_models(request: ModelImportRequest) -> Trial:
    truth = None
    try:
        dataset = open_dataset(request.dataset, request.data_reading())
        truth = truth_of(dataset)
        with ExitStack() as stack:
            opened = open_models(request, dataset, stack)
            size = next(iter(next(iter(opened.values())).sources.values())).size
            items = _first_items(dataset, request.evaluation.splits, size)
            return _looked(truth, opened, items, lambda head, shown: _try(head, opened[head], dataset, items, shown))
    except PipelineError as error:
        return Looked(truth=truth, problem=str(error)), None


def _try(
    head: Head, model: OpenedModel, dataset: Dataset, items: Sequence[Item], shown: Item | None
) -> tuple[Seen, BoolArray | None]:
    """Every seed on every image."""
    sources = list(model.sources.values())
    declared = sources[0].declaration
    facts: dict[str, Any] = {"format": model.kind.name, "title": model.kind.title, "values": declared.values}
    facts |= {"channels": declared.classes, "count": len(declared.classes) or 1, "looked": len(items)}
    facts |= {"seeds": tuple(model.sources), "in_folders": len(sources) > 1}
    labels: BoolArray | None = None
    try:
        facts["findings"], labels = _hold_against(head, sources, dataset, items, shown)
    except PipelineError as error:
        facts["problem"] = str(error)
    return Seen(**facts), labels


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
        bands=dataset.bands,
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
    return looked, None if shown is None else _preview(shown, truth.bands, decided)


def _hold_against(
    head: Head, sources: Sequence[OutputSource], dataset: Dataset, items: Sequence[Item], shown: Item | None
) -> tuple[tuple[Finding, ...], BoolArray | None]:
    """Read the images of every seed: what speaks against what was said, and what the first calls present."""
    findings: dict[tuple[str, str], Finding] = {}
    labels: BoolArray | None = None
    for source in sources:
        alignment = align(
            source.declaration, head, kind=dataset.kind, classes=dataset.classes, background=dataset.background
        )
        check, swap = MisuseCheck(source.declaration), SwapCheck(dataset.classes, dataset.background)
        for item in items:
            values = np.asarray(source.read(item))
            check.add(values)
            if values.shape[-2:] != item.valid.shape:
                findings["OUTPUT-SIZE", item.name] = _other_size(item, values.shape)
            elif len(values) == alignment.count and np.isfinite(values).all():
                wanted = item is shown and labels is None
                if wanted or swap.wants(item):
                    decided = alignment.decide(alignment.logits(values, step=source.step))
                    labels = decided if wanted else labels
                    if swap.wants(item):
                        swap.add(item, decided)
        told = [*check.findings(), *swap.findings(), *(Finding.model_validate(note) for note in source.findings())]
        findings |= {(finding.code, finding.message): finding for finding in told}
    return tuple(findings.values()), labels


def _other_size(item: Item, shape: tuple[int, ...]) -> Finding:
    height, width = item.valid.shape
    mend = "predict at the size of the truth, or measure at theirs by giving the size that images were resized to"
    if seems_swapped(shape[-2:], (height, width)):
        mend = f"height and width are swapped: save {TRANSPOSE}, then {mend}"
    message = f"the output of {named((item.name,))} is {shape[-1]}×{shape[-2]}, its truth {width}×{height}; {mend}"
    return Finding(code="OUTPUT-SIZE", severity="error", message=message)


def _preview(item: Item, bands: Bands, decided: Mapping[Head, BoolArray]) -> Preview:
    """One image, its truth and what heads call present in it, (C, H, W), at most 512 pixels wide and high."""
    step = max(1, -(-max(item.valid.shape) // _LARGEST))
    image = np.rint(bands.picture(item.image[::step, ::step]) * 255).astype(np.uint8)
    small = {head: labels[:, ::step, ::step] for head, labels in decided.items()}
    return Preview(image, item.truth[:, ::step, ::step], item.valid[::step, ::step], small)
