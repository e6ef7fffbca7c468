"""What is said of outputs to how the first of their images look beside it, before anything is imported."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipelines import heads
from pipelines.arrays import BoolArray, UInt8Array
from pipelines.channels import Alignment, align
from pipelines.config import Settings, Size
from pipelines.datasets import Dataset, Finding, Item, open_dataset
from pipelines.errors import DatasetError, PipelineError
from pipelines.imports.readers import FORMATS, Recognised, Said, recognise_outputs
from pipelines.imports.source import OutputSource, named
from pipelines.misuse import MisuseCheck
from pipelines.misuse.declaration import Values
from pipelines.reading import DataReading
from pipelines.schema import HEADS, SPLITS, Head, Kind, Split

LOOKED_AT: Final = 3  # images of a split
_NAMED: Final = 20  # images whose names are told
_LARGEST: Final = 512  # pixels of a preview's longer side


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


def look(asked: Asked) -> tuple[Looked, Preview | None]:
    """Open the data set and the outputs, and read the first images of each split. Never raises for what is in files."""
    try:
        dataset = open_dataset(asked.dataset, asked.reading)
        truth = truth_of(dataset)
        items = _first_items(dataset, asked) if asked.heads else []
    except PipelineError as error:
        return Looked(problem=str(error)), None
    shown = max(items, key=lambda item: int(item.truth.any(axis=(1, 2)).sum()), default=None)
    seen: dict[Head, Seen] = {}
    decided: dict[Head, BoolArray] = {}
    for head in HEADS:
        if head in asked.heads:
            looker = _Looker(head, asked, dataset, items, shown)
            seen[head] = looker.look()
            if looker.decided is not None:
                decided[head] = looker.decided
    looked = Looked(truth=truth, heads=seen, shown=None if shown is None else shown.name)
    return looked, None if shown is None else preview_of(shown, decided)


def truth_of(dataset: Dataset) -> Truth:
    """What a data set says of itself."""
    images: dict[Split, int] = {split: len(dataset.images(split)) for split in SPLITS}
    return Truth(
        name=dataset.name, kind=dataset.kind, classes=dataset.classes, colors=dataset.colors,
        background=dataset.background, images={split: count for split, count in images.items() if count},
    )  # fmt: skip


def _first_items(dataset: Dataset, asked: Asked) -> list[Item]:
    empty = [split for split in asked.splits if not dataset.images(split)]
    if empty:
        raise DatasetError(f"SPLIT-EMPTY: {' and '.join(empty)} of {dataset.name} has no image; leave it out")
    names = [name for split in asked.splits for name in dataset.images(split)[:LOOKED_AT]]
    return [dataset.read(name, size=asked.size) for name in names]


class _Looker:
    """Looks at one head. decided: (C, H, W), what it calls present in the image that is shown."""

    def __init__(self, head: Head, asked: Asked, dataset: Dataset, items: Sequence[Item], shown: Item | None) -> None:
        self._head, self._asked, self._dataset, self._items, self._shown = head, asked, dataset, items, shown
        self._said = asked.heads[head]
        self.decided: BoolArray | None = None

    def look(self) -> Seen:
        """Everything that can be told from what was said so far."""
        try:
            found = recognise_outputs(
                Path(self._said.path), self._head, format=self._said.format, seed=self._asked.seed
            )
        except PipelineError as error:
            return Seen(problem=str(error))
        seen = Seen(
            format=found.format, title=FORMATS[found.format].title, values=FORMATS[found.format].values,
            seeds=tuple(found.files), in_folders=found.in_folders,
        )  # fmt: skip
        try:
            with ExitStack() as stack:
                return self._look_into(seen, found, stack)
        except PipelineError as error:
            return seen.model_copy(update={"problem": str(error)})

    def _look_into(self, seen: Seen, found: Recognised, stack: ExitStack) -> Seen:
        said, form = self._said, FORMATS[found.format]
        values = said.values or form.values
        words = Said(self._head, said.values or (None if form.values else "probabilities"), said.classes,
                     self._asked.background)  # fmt: skip
        sources = {
            seed: stack.enter_context(form.open(files, words, self._dataset)) for seed, files in found.files.items()
        }
        first = next(iter(sources.values()))
        names = [name for split in self._asked.splits for name in self._dataset.images(split)]
        absent = list(dict.fromkeys(name for one in sources.values() for name in one.absent(names)))
        surplus = sorted({name for one in sources.values() for name in one.surplus(names)})
        facts = seen.model_copy(
            update={
                "channels": first.declaration.classes if form.names_channels else None,
                "absent": tuple(absent[:_NAMED]), "absent_count": len(absent),
                "surplus": tuple(surplus[:_NAMED]), "surplus_count": len(surplus),
            }
        )  # fmt: skip
        there = [item for item in self._items if item.name not in set(absent)]
        if not there:
            return facts
        some = np.asarray(first.read(there[0]))
        facts = facts.model_copy(
            update={"count": len(some) if some.ndim == 3 else None, "size": (some.shape[-2], some.shape[-1])}
        )
        alone = self._head == "sigmoid" and self._dataset.kind == "binary" and len(some) == 1
        if values is None or not (said.classes or form.names_channels or alone):
            return facts  # nothing to hold against: it was not said yet
        return self._hold_against(facts, sources, there)

    def _hold_against(self, facts: Seen, sources: Mapping[int, OutputSource], items: Sequence[Item]) -> Seen:
        """Read the images of every seed and compare them with what was said."""
        findings: dict[tuple[str, str], Finding] = {}
        truth = {"kind": self._dataset.kind, "classes": self._dataset.classes, "background": self._dataset.background}
        for source in sources.values():
            alignment = align(source.declaration, self._head, **truth)  # type: ignore[arg-type]
            check = MisuseCheck(source.declaration)
            for item in items:
                values = np.asarray(source.read(item))
                check.add(values)
                if values.shape[-2:] != item.valid.shape:
                    findings["OUTPUT-SIZE", item.name] = _other_size(item, values.shape)
                elif self._shown is not None and item.name == self._shown.name and self.decided is None:
                    self.decided = self._decide(alignment, source, values)
            told = [*check.findings(), *(Finding.model_validate(one) for one in source.findings())]
            findings |= {(one.code, one.message): one for one in told}
        return facts.model_copy(update={"looked": len(items), "findings": tuple(findings.values())})

    def _decide(self, alignment: Alignment, source: OutputSource, values: np.ndarray) -> BoolArray | None:
        if len(values) != alignment.count or not np.isfinite(values).all():
            return None  # told by the check
        log_odds = heads.log_odds(alignment.spec, alignment.logits(values, step=source.step))
        rule: Literal["argmax", "threshold"] = "argmax" if self._dataset.kind == "exclusive" else "threshold"
        return heads.decide(log_odds, rule=rule)


def _other_size(item: Item, shape: tuple[int, ...]) -> Finding:
    height, width = item.valid.shape
    message = (
        f"the output of {named((item.name,))} is {shape[-1]}×{shape[-2]}, its truth {width}×{height}; predict at the "
        "size of the truth, or measure at theirs by giving the size that images were resized to"
    )
    return Finding(code="OUTPUT-SIZE", severity="error", message=message)


def preview_of(item: Item, decided: Mapping[Head, BoolArray]) -> Preview:
    """One image, its truth and what heads call present in it, (C, H, W), at most 512 pixels wide and high."""
    step = max(1, -(-max(item.valid.shape) // _LARGEST))
    image = np.rint(item.image[::step, ::step] * 255).astype(np.uint8)
    small = {head: one[:, ::step, ::step] for head, one in decided.items()}
    return Preview(image, item.truth[:, ::step, ::step], item.valid[::step, ::step], small)
