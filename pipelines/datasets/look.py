"""A first look into a data set: its format, labels and splits, and a few images small enough to work with.

Files are read in a process of its own. What it found is a source again, so that a table of classes can be tried.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipelines import sandbox
from pipelines.arrays import BoolArray, UInt8Array
from pipelines.datasets import FORMATS, imageio, open_source, orientation, recognise
from pipelines.datasets.base import Finding, Label, Picture, Role, Source, Truth, Turn
from pipelines.errors import DatasetError, PipelineError
from pipelines.reading import DataReading
from pipelines.schema import Kind, Split

IMAGES: Final = 8
SIDE: Final = 320  # pixels of the longer side
_TRIED: Final = 40  # images read to find some with labels


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Asked(_Model):
    """What is to be looked at. format: None for the one that is recognised."""

    path: str
    format: str | None = None
    options: dict[str, str] = {}


class FoundLabel(_Model):
    """A label of the files. share: of the pixels that were read."""

    name: str
    color: str | None
    role: Role
    share: float = 0.0


class Looked(_Model):
    """What there is. recognised: formats and reasons. problem: why it cannot be read, in one line, with a code.

    shown: images that were read. unread: images among those tried that could not be, and why.
    """

    recognised: list[tuple[str, str]] = []
    format: str | None = None
    problem: str | None = None
    name: str = ""
    labels: list[FoundLabel] = []
    exclusive: bool = True
    declared: Kind | None = None
    complete: bool = False
    names: list[str] = []
    splits: dict[Split, list[str]] = {}
    groups: dict[str, str] = {}
    findings: list[Finding] = []
    priority: list[str] = []
    shown: list[str] = []
    sizes: list[tuple[int, int]] = []
    unread: list[Finding] = []


class LookedSource(Source):
    """What was looked at as a source in memory: every name, and the pictures and truth of the images that were read."""

    def __init__(self, looked: Looked, images: Mapping[str, tuple[UInt8Array, BoolArray, BoolArray]]) -> None:
        self.root, self.name = Path(), looked.name
        self.labels = tuple(Label(label.name, label.color, label.role) for label in looked.labels)
        self.declared, self.priority = looked.declared, tuple(looked.priority)
        self.exclusive, self.complete = looked.exclusive, looked.complete
        self.splits = {split: tuple(names) for split, names in looked.splits.items()}
        self.groups, self.findings = looked.groups, tuple(looked.findings)
        self._names, self._images = tuple(looked.names), images

    def names(self) -> tuple[str, ...]:
        """Every image of the set."""
        return self._names

    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """A picture made small. Raises DatasetError for an image that was not looked at."""
        image, _, _ = self._of(name)
        return Picture(image.astype(np.float32) / np.float32(255), (image.shape[0], image.shape[1]))

    def truth(self, name: str) -> Truth:
        """Truth made small. Raises DatasetError for an image that was not looked at."""
        _, layers, valid = self._of(name)
        return Truth(layers, valid)

    def files(self) -> Iterable[Path]:
        """None: it is in memory."""
        return ()

    def _of(self, name: str) -> tuple[UInt8Array, BoolArray, BoolArray]:
        if name not in self._images:
            raise DatasetError(f"{name} was not looked at")
        return self._images[name]


def look_apart(
    asked: Asked, *, seconds: float = sandbox.SECONDS, memory: int = sandbox.MEMORY
) -> tuple[Looked, LookedSource | None]:
    """Look in a process of its own; never raises for what files hold. The source is None where there is a problem."""
    asked = asked.model_copy(update={"path": str(Path(asked.path).expanduser().resolve())})
    try:
        answer, content = sandbox.answer_apart(
            f"{__name__}:answer", asked.model_dump(), what="the first images", seconds=seconds, memory=memory
        )
    except DatasetError as error:
        return Looked(problem=str(error)), None
    looked = Looked.model_validate(answer)
    if looked.problem is not None:
        return looked, None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        images = {name: _unpacked(arrays, at) for at, name in enumerate(looked.shown)}
    return looked, LookedSource(looked, images)


def _unpacked(arrays: Mapping[str, Any], at: int) -> tuple[UInt8Array, BoolArray, BoolArray]:
    valid = arrays[f"valid{at}"]
    layers = np.unpackbits(arrays[f"layers{at}"], axis=-1, count=valid.shape[1])
    return arrays[f"image{at}"], layers.view(np.bool_), valid


def look(request: Asked) -> tuple[Looked, dict[str, Any]]:
    """Look in this process: what there is, and arrays to keep. Never raises for what files hold."""
    recognised: list[tuple[str, str]] = []
    try:
        recognised = [(row.format, row.reason) for row in recognise(request.path)]
        chosen, source = open_source(request.path, DataReading(format=request.format, options=request.options))
        if not source.names():
            raise DatasetError(f"{source.name} holds no image in the format {chosen} ({FORMATS[chosen].title})")
        alignment = orientation.Alignment(source, request.options.get(orientation.OPTION))
    except PipelineError as error:
        problem = str(error).replace(request.path, Path(request.path).name)  # where uploads lie is nobody's business
        return Looked(recognised=recognised, problem=problem), {}
    arrays, shown, sizes, unread, shares, turns = _images(source, alignment)
    labels = [
        FoundLabel(name=row.name, color=row.color, role=row.role, share=float(n))
        for row, n in zip(source.labels, shares, strict=True)
    ]
    findings = [*source.findings, *orientation.findings(turns)]
    looked = Looked(
        recognised=recognised,
        format=chosen,
        name=source.name,
        labels=labels,
        exclusive=source.exclusive,
        declared=source.declared,
        complete=source.complete,
        names=list(source.names()),
        splits={split: list(names) for split, names in source.splits.items()},
        groups=dict(source.groups),
        findings=findings,
        priority=list(source.priority),
        shown=shown,
        sizes=sizes,
        unread=unread,
    )
    return looked, arrays


def _images(
    source: Source, alignment: orientation.Alignment
) -> tuple[dict[str, Any], list[str], list[tuple[int, int]], list[Finding], np.ndarray, dict[str, Turn]]:
    """A few images spread over the set, those with labels that are not shown yet first."""
    pixels, whole = np.zeros(len(source.labels), np.int64), 0
    arrays: dict[str, Any] = {}
    shown: list[str] = []
    sizes: list[tuple[int, int]] = []
    unread: list[Finding] = []
    turns: dict[str, Turn] = {}
    later: list[tuple[str, Picture, BoolArray, BoolArray]] = []

    def keep(name: str, picture: Picture, layers: BoolArray, valid: BoolArray) -> None:
        at = len(shown)
        arrays[f"image{at}"] = np.rint(picture.image * 255).astype(np.uint8)
        arrays[f"layers{at}"], arrays[f"valid{at}"] = np.packbits(layers, axis=-1), valid
        shown.append(name)
        sizes.append(picture.own)

    seen = np.zeros(len(source.labels), np.bool_)
    for name in _spread(source.names(), _TRIED):
        if len(shown) == IMAGES:
            break
        try:
            truth = source.truth(name)
            size = _small(truth.valid.shape)
            picture = source.picture(name, size=size)
            truth, turn = alignment.align(picture, truth)
            if size != _small(truth.valid.shape):  # it was turned along
                size = size[::-1]
                picture = source.picture(name, size=size)
            if picture.own != truth.valid.shape:
                raise DatasetError(f"the truth of {name} has another size than its image")
        except PipelineError as error:
            unread.append(Finding.error("IMAGE-UNREADABLE", str(error)))
            continue
        turns |= {} if turn is None else {name: turn}
        unread += [finding for finding in truth.findings if finding.severity == "error"]
        counts = truth.layers.sum(axis=(1, 2))
        pixels += counts
        whole += truth.valid.size
        small = name, picture, imageio.resize_mask(truth.layers, size), imageio.resize_mask(truth.valid, size)
        if ((counts > 0) & ~seen).any():
            keep(*small)
            seen |= counts > 0
        elif len(later) < IMAGES:
            later.append(small)
    for small in later[: IMAGES - len(shown)]:
        keep(*small)
    return arrays, shown, sizes, unread[:50], pixels / max(1, whole), turns


def _small(own: tuple[int, ...]) -> tuple[int, int]:
    factor = min(1.0, SIDE / max(own))
    return max(1, round(own[0] * factor)), max(1, round(own[1] * factor))


def _spread(names: Sequence[str], most: int) -> list[str]:
    """So many names, evenly over the list, the far ones first."""
    step = max(1, -(-len(names) // most))
    chosen = list(names[::step])
    return chosen[::5] + [name for at, name in enumerate(chosen) if at % 5]


def answer(question: dict[str, Any], _: bytes) -> sandbox.Message:
    """`look`, as `sandbox.serve` wants it."""
    looked, arrays = look(Asked.model_validate(question))
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return looked.model_dump(mode="json"), content.getvalue()
