"""What every data set format offers: named images with truth, splits, groups and a fingerprint."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict

from pipelines.arrays import BoolArray, Float32Array
from pipelines.errors import DatasetError
from pipelines.schema import Kind, Split

Severity: TypeAlias = Literal["error", "warning", "note"]


# Codes of findings on which files were taken for what, to be told with the format.
FILES_READ: Final = frozenset({"MASKS-UNUSED", "MASKS-ALIKE", "FIELD-OF-VIEW", "FIELD-MISSING", "SPLIT-LOST"})


class Finding(BaseModel):
    """One thing to know about a data set, in one line.

    code: what kind of finding it is, such as PAIR-SIZE; message: file, expected, came, what to do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    severity: Severity
    message: str

    @classmethod
    def of(cls, code: str, severity: Severity, message: str) -> Self:
        """The same from values by position."""
        return cls(code=code, severity=severity, message=message)


@dataclass(frozen=True)
class Item:
    """One image with its truth.

    image: (H, W, 3) float32 in [0, 1]. truth: (C, H, W) bool, False everywhere where not valid.
    valid: (H, W) bool, False where the truth is to be ignored. orientation: EXIF's, 1 to 8, that the picture was
    turned upright by; truth is upright too.
    """

    name: str
    image: Float32Array
    truth: BoolArray
    valid: BoolArray
    orientation: int = 1


@dataclass(frozen=True)
class Turn:
    """How truth was laid on a picture that its EXIF orientation turns upright.

    drawn: on the upright or on the stored picture; stored truth is turned along. by: what told it: the size of the
    truth, the option, the sizes of other images of the set, how well colours fit in most of them, or nothing
    ("default"); "same" where it makes no difference. stored_fits: whether the classes of this image differ more in
    colour with its truth as drawn on the stored picture.
    """

    drawn: Literal["upright", "stored"]
    by: Literal["size", "option", "others", "colors", "default", "same"]
    stored_fits: bool = False


@dataclass(frozen=True)
class Examination:
    """What reading one image gave: the item unless an error stands in the way, and every finding.

    turn: how its truth was laid on a picture that EXIF turns; None for all others.
    """

    item: Item | None
    findings: tuple[Finding, ...]
    turn: Turn | None = None


class Dataset(ABC):
    """Images with per-pixel truth, read one at a time.

    classes: names in index order. colors: "#rrggbb" per class. background: on exclusive truth, the class that
    means "nothing here". priority: class names, first wins, for a softmax on overlapping truth; None: the smallest
    class wins. groups: image to group (patient, video); empty when none are given.
    """

    root: Path
    name: str
    kind: Kind
    classes: tuple[str, ...]
    colors: tuple[str, ...]
    background: str | None
    priority: tuple[str, ...] | None
    groups: Mapping[str, str]

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Every image of the set, sorted, whether or not a split names it."""

    @abstractmethod
    def images(self, split: Split) -> tuple[str, ...]:
        """Names of the images of a split, in the order of its list."""

    @abstractmethod
    def examine(self, name: str, *, size: tuple[int, int] | None = None) -> Examination:
        """Read one image and its truth, and list everything that is wrong with them; never raises for bad files.

        size: (height, width) to resize to, image bilinear with antialiasing and truth nearest; None keeps its own.
        """

    @abstractmethod
    def structure(self) -> tuple[Finding, ...]:
        """Everything that is wrong with the set's files, lists and tables, told without reading pixels."""

    @abstractmethod
    def fingerprint(self) -> str:
        """sha256, in hex, of everything that decides what this data set contains."""

    @abstractmethod
    def files(self) -> Iterable[Path]:
        """Every file that decides what this data set contains; each existed when it was opened."""

    def probabilities(self, name: str) -> Float32Array | None:
        """Known label probabilities, (C, H, W) float32 in [0, 1] at the image's own size; None when none are given."""
        return None

    def read(self, name: str, *, size: tuple[int, int] | None = None) -> Item:
        """One image with its truth, as `examine` reads it. Raises DatasetError when something is wrong with it."""
        found = self.examine(name, size=size)
        if found.item is None:
            first = next(finding for finding in found.findings if finding.severity == "error")
            raise DatasetError(f"{first.code}: {first.message}")
        return found.item
