"""A preview of a data set: its format, labels and splits, and a few images small enough to work with.

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
from pipelines.datasets import imageio, orientation
from pipelines.datasets.bands import RGB, Bands
from pipelines.datasets.base import Finding, Label, Picture, Role, Source, Truth, Turn
from pipelines.datasets.dataset import names_left_out
from pipelines.datasets.opening import FORMATS, open_source, recognise
from pipelines.errors import DatasetError, PipelineError
from pipelines.reading import DataReading
from pipelines.schema import Kind, Split

IMAGES: Final = 8
SIDE: Final = 320  # pixels of the longer side
_TRIED: Final = 40  # images read to find some with labels
_COPIED: Final = ("name", "exclusive", "declared", "complete", "splits", "groups", "priority")  # of the source


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class PreviewRequest(_Model):
    """What is to be looked at. format: None for the one that is recognised."""

    path: str
    format: str | None = None
    options: dict[str, str] = {}


class PreviewLabel(_Model):
    """A label of the files. share: of the pixels that were read."""

    name: str
    color: str | None
    role: Role
    share: float = 0.0


class DatasetPreview(_Model):
    """What there is. recognised: formats and reasons. problem: why it cannot be read, in one line, with a code.

    bands: of every image. shown: images that were read, as pictures of
    the bands that are shown. unread: images among those tried that could not be, and why.
    """

    recognised: list[tuple[str, str]] = []
    format: str | None = None
    problem: str | None = None
    name: str = ""
    labels: list[PreviewLabel] = []
    exclusive: bool = True
    declared: Kind | None = None
    complete: bool = False
    names: tuple[str, ...] = ()
    splits: dict[Split, tuple[str, ...]] = {}
    groups: dict[str, str] = {}
    findings: tuple[Finding, ...] = ()
    priority: tuple[str, ...] = ()
    bands: Bands = RGB
    shown: list[str] = []
    sizes: list[tuple[int, int]] = []
    unread: list[Finding] = []


class PreviewSource(Source):
    """What was looked at as a source in memory: every name, and the pictures and truth of the images that were read."""

    def __init__(self, preview: DatasetPreview, images: Mapping[str, tuple[UInt8Array, BoolArray, BoolArray]]) -> None:
        self.root = Path()
        self.labels = tuple(Label(label.name, label.color, label.role) for label in preview.labels)
        for field in _COPIED:
            setattr(self, field, getattr(preview, field))
        self.findings = preview.findings
        self._names, self._images = preview.names, images

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


def preview_in_sandbox(
    request: PreviewRequest, *, seconds: float = sandbox.SECONDS, memory: int = sandbox.MEMORY
) -> tuple[DatasetPreview, PreviewSource | None]:
    """Look in a process of its own; never raises for what files hold. The source is None where there is a problem."""
    request = request.model_copy(update={"path": str(Path(request.path).expanduser().resolve())})
    try:
        answer, content = sandbox.answer_apart(
            f"{__name__}:answer", request.model_dump(), what="the first images", seconds=seconds, memory=memory
        )
    except DatasetError as error:
        return DatasetPreview(problem=str(error)), None
    preview = DatasetPreview.model_validate(answer)
    if preview.problem is not None:
        return preview, None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        images = {name: _unpacked(arrays, at) for at, name in enumerate(preview.shown)}
    return preview, PreviewSource(preview, images)


def _unpacked(arrays: Mapping[str, Any], at: int) -> tuple[UInt8Array, BoolArray, BoolArray]:
    valid = arrays[f"valid{at}"]
    layers = np.unpackbits(arrays[f"layers{at}"], axis=-1, count=valid.shape[1])
    return arrays[f"image{at}"], layers.view(np.bool_), valid


def preview_dataset(request: PreviewRequest) -> tuple[DatasetPreview, dict[str, Any]]:
    """Look in this process: what there is, and arrays to keep. Never raises for what files hold."""
    recognised: list[tuple[str, str]] = []
    try:
        recognised = [(row.format, row.reason) for row in recognise(request.path)]
        chosen, source = open_source(request.path, DataReading(format=request.format, options=request.options))
        if not source.names():
            raise DatasetError(f"{source.name} holds no image in the format {chosen} ({FORMATS[chosen].title})")
        alignment = orientation.Alignment(source, request.options)
        left_out = names_left_out(source.names(), request.options)
    except PipelineError as error:
        problem = str(error).replace(request.path, Path(request.path).name)  # where uploads lie is nobody's business
        return DatasetPreview(recognised=recognised, problem=problem), {}
    sample = _Sample(source, alignment, [name for name in source.names() if name not in left_out])
    labels = [
        PreviewLabel(name=row.name, color=row.color, role=row.role, share=float(n))
        for row, n in zip(source.labels, sample.pixels / max(1, sample.whole), strict=True)
    ]
    preview = DatasetPreview(
        recognised=recognised,
        format=chosen,
        labels=labels,
        names=source.names(),
        findings=(*source.findings, *orientation.findings(sample.turns)),
        bands=source.bands,
        shown=sample.shown,
        sizes=sample.sizes,
        unread=sample.unread[:50],
        **{field: getattr(source, field) for field in _COPIED},
    )
    return preview, sample.arrays


class _Sample:
    """A few images spread over those that are named, those with labels that are not shown yet first.

    arrays: to keep. pixels: by label, of those of all images that were read (whole).
    """

    def __init__(self, source: Source, alignment: orientation.Alignment, names: Sequence[str]) -> None:
        self._bands = source.bands
        self.pixels, self.whole = np.zeros(len(source.labels), np.int64), 0
        self.arrays: dict[str, Any] = {}
        self.shown: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.unread: list[Finding] = []
        self.turns: dict[str, Turn] = {}
        later: list[tuple[str, Picture, BoolArray, BoolArray]] = []
        seen = np.zeros(len(source.labels), np.bool_)
        for name in _spread(names, _TRIED):
            if len(self.shown) == IMAGES:
                break
            try:
                truth = source.truth(name)
                size = imageio.fitted(truth.valid.shape, SIDE)
                picture = source.picture(name, size=size)
                truth, turn = alignment.align(picture, truth)
                if size != imageio.fitted(truth.valid.shape, SIDE):  # it was turned along
                    size = size[::-1]
                    picture = source.picture(name, size=size)
                if picture.own != truth.valid.shape:
                    raise DatasetError(f"the truth of {name} has another size than its image")
            except PipelineError as error:
                self.unread.append(Finding.error("IMAGE-UNREADABLE", str(error)))
                continue
            self.turns |= {} if turn is None else {name: turn}
            self.unread += [finding for finding in truth.findings if finding.severity == "error"]
            counts = truth.layers.sum(axis=(1, 2))
            self.pixels += counts
            self.whole += truth.valid.size
            small = name, picture, imageio.resize_mask(truth.layers, size), imageio.resize_mask(truth.valid, size)
            if ((counts > 0) & ~seen).any():
                self._show(*small)
                seen |= counts > 0
            elif len(later) < IMAGES:
                later.append(small)
        for small in later[: IMAGES - len(self.shown)]:
            self._show(*small)

    def _show(self, name: str, picture: Picture, layers: BoolArray, valid: BoolArray) -> None:
        at = len(self.shown)
        self.arrays[f"image{at}"] = np.rint(self._bands.picture(picture.image) * 255).astype(np.uint8)
        self.arrays[f"layers{at}"], self.arrays[f"valid{at}"] = np.packbits(layers, axis=-1), valid
        self.shown.append(name)
        self.sizes.append(picture.own)


def _spread(names: Sequence[str], most: int) -> list[str]:
    """So many names, evenly over the list, the far ones first."""
    step = max(1, -(-len(names) // most))
    chosen = list(names[::step])
    return chosen[::5] + [name for at, name in enumerate(chosen) if at % 5]


def answer(question: dict[str, Any], _: bytes) -> sandbox.Message:
    """`preview_dataset`, as `sandbox.serve` wants it."""
    preview, arrays = preview_dataset(PreviewRequest.model_validate(question))
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return preview.model_dump(mode="json"), content.getvalue()
