"""Outputs in somebody's own code, image by image, to predictions that `python -m pipelines import` reads."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray
from pipelines.channels import Alignment, Declaration, Values, align
from pipelines.config import build
from pipelines.datasets.base import Finding
from pipelines.errors import ConfigError, ShapeError
from pipelines.heads import LAST_LAYERS
from pipelines.misuse import SLACK, MisuseCheck
from pipelines.schema import BACKGROUND_CHANNEL, HEADS, KINDS, Head, Kind
from pipelines.store import files
from pipelines.store.predictions import PredictionWriter


class PredictionsWarning(UserWarning):
    """Outputs look like something else than they were said to be."""


class _Opened(NamedTuple):
    """The file being written, and what all its images have in common."""

    values: Values
    with_truth: bool
    alignment: Alignment
    check: MisuseCheck
    writer: PredictionWriter


class PredictionsFile(files.Writer):
    """Writes the outputs of one head and seed, image by image, to a folder that `python -m pipelines import` reads.

        with PredictionsFile("out/softmax", head="softmax", kind="exclusive", classes=("sky", "road")) as out:
            out.add("img_01", logits=logits, truth=target)

    head, kind, classes: the last layer, the kind of truth and its class names. channels: name of each channel of the
    outputs in order; the classes' if none are given, after "background" for a softmax on binary and overlapping truth.
    A channel of a softmax over label sets is called after its classes, joined by "+". part: number of the file, one
    for each process that writes into the folder. NumPy is enough; tensors on the CPU are taken too.
    The file appears when all went well. Raises ConfigError for channels that do not fit the classes.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        head: Head,
        kind: Kind,
        classes: Sequence[str],
        channels: Sequence[str] | None = None,
        part: int = 0,
    ) -> None:
        if isinstance(classes, str) or isinstance(channels, str):
            raise ConfigError('classes and channels are lists of names, got one text; write ("cell",) for one class')
        if head not in HEADS or kind not in KINDS:
            raise ConfigError(
                f"head is one of {', '.join(HEADS)}, kind one of {', '.join(KINDS)}, got {head} and {kind}"
            )
        self._kind, self._classes = kind, tuple(classes)
        self._channels = tuple(channels) if channels is not None else self._usual(head)
        self._head = head
        self._folder, self._part = Path(folder), part
        if (self._folder / f"part-{part:05d}.parquet").exists():
            raise ConfigError(f"{self._folder.name} holds part {part} already; remove it, or write to another folder")
        self._align("logits")  # what does not fit is told before the first image
        self._opened: _Opened | None = None
        self._seen: set[str] = set()

    def _usual(self, head: Head) -> tuple[str, ...]:
        layer = LAST_LAYERS[head]
        if layer.over_label_sets:
            raise ConfigError('a softmax over label sets needs channels, such as ("background", "a", "b", "a+b")')
        alone = not layer.is_softmax or self._kind == "exclusive"
        return self._classes if alone else (BACKGROUND_CHANNEL, *self._classes)

    def _align(self, values: Values) -> Alignment:
        return align(self._declared(values), self._head, kind=self._kind, classes=self._classes)

    def _declared(self, values: Values) -> Declaration:
        activation = "softmax" if LAST_LAYERS[self._head].is_softmax else "sigmoid"
        return build(Declaration, {"head": activation, "values": values, "classes": self._channels})

    def add(
        self, image: str, *, logits: Any = None, probabilities: Any = None, truth: Any = None, valid: Any = None
    ) -> None:
        """Add one image.

        image: its name in the data set. logits or probabilities: (K, H, W), one of the two and the same for all images.
        truth: (C, H, W) of 0 and 1 in the order of classes or, on exclusive and binary truth, (H, W) class numbers;
        None for all images where the data set has it. valid: (H, W), False where the truth is to be ignored; None
        where every pixel counts. Raises ShapeError with the image's name for anything else.
        """
        if (logits is None) == (probabilities is None):
            raise ShapeError(f"{image}: give either logits or probabilities")
        values: Values = "logits" if probabilities is None else "probabilities"
        outputs = _array(logits if probabilities is None else probabilities, image, values)
        if outputs.ndim != 3 or len(outputs) != len(self._channels):
            raise ShapeError(
                f"{image}: {values} must be ({len(self._channels)}, H, W) for the channels "
                f"{', '.join(self._channels)}, got shape {outputs.shape}"
            )
        _check_numbers(outputs, image, values)
        if image in self._seen:
            raise ShapeError(f"{image} was added before; add each image once")
        size = (int(outputs.shape[1]), int(outputs.shape[2]))
        counted = _flags(valid, size, image, "valid") if valid is not None else np.ones(size, np.bool_)
        masks = None if truth is None else self._masks(truth, counted, image)
        opened = self._begin(image, values, with_truth=masks is not None)
        opened.check.add(outputs)
        opened.writer.write(image, opened.alignment.logits(outputs), masks, counted)
        self._seen.add(image)

    def _begin(self, image: str, values: Values, *, with_truth: bool) -> "_Opened":
        """The file, opened with the first image; the others must be like it."""
        if self._opened is None:
            alignment, check = self._align(values), MisuseCheck(self._declared(values))
            writer = PredictionWriter(
                self._folder,
                alignment.spec,
                check=check,
                knows_shift=values == "logits",
                with_truth=with_truth,
                part=self._part,
            )
            self._opened = _Opened(values, with_truth, alignment, check, writer)
        before = self._opened
        if values != before.values:
            raise ShapeError(f"{image} comes as {values}, those before as {before.values}; use one for all images")
        if with_truth != before.with_truth:
            with_it = "with" if with_truth else "without"
            raise ShapeError(f"{image} comes {with_it} truth, unlike those before; give it for all images or for none")
        return before

    def _masks(self, truth: Any, valid: BoolArray, image: str) -> BoolArray:
        """(C, H, W) bool from masks or class numbers, False where not valid."""
        given = _array(truth, image, "truth")
        if given.shape[-2:] != valid.shape or given.ndim not in (2, 3):
            raise ShapeError(
                f"{image}: truth has shape {given.shape}, its outputs are {valid.shape[0]}×{valid.shape[1]} (H×W)"
            )
        if given.ndim == 3:
            if len(given) != len(self._classes):
                raise ShapeError(
                    f"{image}: truth has {len(given)} masks for {len(self._classes)} classes; give one a class"
                )
            masks = _flags(given, given.shape, image, "truth")
        elif self._kind == "overlapping":
            raise ShapeError(f"{image}: overlapping truth needs one mask a class, (C, H, W), got class numbers (H, W)")
        else:
            masks = self._from_numbers(given, valid, image)
        if self._kind == "exclusive" and not (masks.sum(axis=0) == 1)[valid].all():
            raise ShapeError(f"{image}: exclusive truth has one class at every valid pixel; pass valid for the others")
        return masks & valid

    def _from_numbers(self, given: NDArray[Any], valid: BoolArray, image: str) -> BoolArray:
        first = 1 if self._kind == "binary" else 0  # of binary truth, 0 is the background
        last = len(self._classes) - 1 + first
        if not ((given >= 0) & (given <= last))[valid].all():
            raise ShapeError(
                f"{image}: class numbers go from 0 to {last}, got {given[valid].min()} to {given[valid].max()}; pass "
                "valid=(target != 255) or the like for ignored pixels"
            )
        return np.stack([given == number + first for number in range(len(self._classes))])

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the outputs so far look like that they should not (docs/misuse.md)."""
        return () if self._opened is None else self._opened.check.findings()

    def close(self) -> None:
        """Finish the file; warns of what `import` would refuse. Raises ConfigError when no image was added."""
        if self._opened is None:
            raise ConfigError(f"{self._folder.name}: no image was added; call add for each image")
        for finding in self.findings:
            warnings.warn(f"{finding.code}: {finding.message}", PredictionsWarning, stacklevel=2)
        self._opened.writer.close()

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._opened is not None:
            self._opened.writer.discard()


def _array(given: Any, image: str, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:  # tensors on a GPU, in bfloat16 or with gradients
        raise ShapeError(
            f"{image}: {what} cannot be read as an array ({str(error).splitlines()[0]}); pass "
            "tensor.detach().float().cpu()"
        ) from None
    if array.dtype.kind not in "biuf":
        raise ShapeError(f"{image}: {what} must be real numbers, got dtype {array.dtype}; pass float32")
    return array


def _check_numbers(outputs: NDArray[Any], image: str, values: str) -> None:
    if not outputs.size:
        raise ShapeError(f"{image}: {values} have shape {outputs.shape}, without a pixel; leave the image out")
    if not np.isfinite(outputs).all():
        raise ShapeError(
            f"{image}: {int((~np.isfinite(outputs)).sum()):,} of {outputs.size:,} {values} are NaN or infinite; find "
            "where they come from (division by 0, log of 0, overflow in 16 bits)"
        )
    if values == "probabilities" and (outputs.min() < -SLACK or outputs.max() > 1 + SLACK):
        raise ShapeError(
            f"{image}: probabilities lie in {outputs.min():.4g} to {outputs.max():.4g}, outside 0 to 1; pass logits= "
            "if that is what they are"
        )


def _flags(given: Any, shape: tuple[int, ...], image: str, what: str) -> BoolArray:
    flags = _array(given, image, what)
    if flags.shape != shape:
        raise ShapeError(f"{image}: {what} has shape {flags.shape}, expected {shape}")
    if flags.dtype != np.bool_ and not ((flags == 0) | (flags == 1)).all():
        raise ShapeError(f"{image}: {what} must hold 0 and 1 only; compare it with a value first")
    return flags.astype(np.bool_)
