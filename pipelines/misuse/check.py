"""Images of one head, one by one, to what speaks against its declaration."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.base import Finding
from pipelines.errors import ConfigError, ShapeError
from pipelines.heads import HeadSpec
from pipelines.misuse.declaration import Activation, Declaration
from pipelines.misuse.evidence import Evidence
from pipelines.misuse.findings import findings
from pipelines.misuse.limits import MOST_CHANNELS
from pipelines.misuse.measure import measure
from pipelines.schema import BACKGROUND_CHANNEL


class MisuseCheck:
    """What the outputs of one head turn out to be, image by image, in memory that does not grow with their number.

    Images may come in any order and in any number of parts: counts are whole numbers, so merged parts equal the whole.
    """

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self.evidence: Evidence | None = None  # of all images so far; None before the first

    def add(self, values: NDArray[Any]) -> None:
        """Count one image, (C, H, W), or several, (N, C, H, W), of a bool, integer or float dtype.

        Raises ShapeError for other dimensions or dtypes, no channel, or another number of channels than before.
        """
        values = np.asarray(values)
        check_form(values.shape, values.dtype)
        for image in values if values.ndim == 4 else values[None]:
            self._include(measure(image, self.declaration))

    def merge(self, other: "MisuseCheck") -> None:
        """Take over what another part of the same head's images showed. Raises ConfigError for another declaration."""
        if other.declaration != self.declaration:
            raise ConfigError(
                f"only checks of one declaration can be merged, got {self.declaration.what} and "
                f"{other.declaration.what}; check each head on its own"
            )
        if other.evidence is not None:
            self._include(other.evidence)

    def _include(self, evidence: Evidence) -> None:
        self.evidence = evidence if self.evidence is None else self.evidence + evidence

    def findings(self) -> tuple[Finding, ...]:
        """Everything that speaks against the declaration so far. severity "error": results would be wrong."""
        return findings(self.declaration, self.evidence or Evidence(low=(), high=()))


def check_form(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise ShapeError unless these are outputs of one image, (C, H, W), or several, (N, C, H, W), as real numbers."""
    if len(shape) not in (3, 4) or not 0 < shape[-3] <= MOST_CHANNELS:
        raise ShapeError(
            f"outputs must be (C, H, W), or (N, C, H, W) for several images, with 1 to {MOST_CHANNELS:,} channels, got "
            f"shape {shape}; put the channels before height and width"
        )
    if dtype.kind not in "biuf":
        raise ShapeError(f"outputs must be real numbers, got dtype {dtype}; save them as float32")


def check_outputs(images: Iterable[NDArray[Any]], declaration: Declaration) -> tuple[Finding, ...]:
    """What speaks against a declaration in these outputs, each (C, H, W) or (N, C, H, W); an array is its images.

    Raises ShapeError for what is not an array of numbers of these dimensions.
    """
    check = MisuseCheck(declaration)
    if isinstance(images, np.ndarray):
        check.add(images)
    else:
        for image in images:
            check.add(image)
    return check.findings()


def head_check(spec: HeadSpec) -> MisuseCheck:
    """A check for the logits of one of our heads: add the (K, H, W) logits of each image, then read the findings."""
    head: Activation = "softmax" if spec.is_softmax else "sigmoid"
    background = BACKGROUND_CHANNEL if BACKGROUND_CHANNEL in spec.channels else None
    return MisuseCheck(Declaration(head=head, values="logits", classes=spec.channels, background=background))
