"""What the parts of a data set are called: images with truth, findings, a format and the source that it reads."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets.bands import RGB, Bands
from pipelines.errors import DatasetError
from pipelines.reading import DataReading
from pipelines.schema import Kind, Split
from pipelines.sentences import printable

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
Role: TypeAlias = Literal["class", "background", "ignore"]
Size: TypeAlias = tuple[int, int]  # (height, width)

_SPLIT_WORD: Final = re.compile(
    r"(?:(?P<train>train|training)|(?P<val>val|valid|validation|dev)|(?P<test>test|testing))(?:set|data|dataset|[ab])?\d*"
)
MAX_LAYER_BYTES: Final = 1 << 30  # of the truth of one image

# Codes of findings on which files were taken for what, to be told with the format.
FILES_READ: Final = frozenset(
    {"OBSERVERS", "SOFT-TRUTH", "MASKS-UNUSED", "MASKS-ALIKE", "FIELD-OF-VIEW", "FIELD-MISSING", "SPLIT-LOST"}
)


class Finding(BaseModel):
    """One thing to know about a data set, in one line.

    code: what kind of finding it is, such as PAIR-SIZE; message: file, expected, came, what to do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    severity: Severity
    message: str

    @classmethod
    def error(cls, code: str, message: str) -> Self:
        """What stands in the way of training."""
        return cls(code=code, severity="error", message=message)

    @classmethod
    def warning(cls, code: str, message: str) -> Self:
        """What may make results wrong."""
        return cls(code=code, severity="warning", message=message)

    @classmethod
    def note(cls, code: str, message: str) -> Self:
        """What was done or assumed.

        >>> Finding.note("LINES", "2 lines are drawn 10 pixels wide").severity
        'note'
        """
        return cls(code=code, severity="note", message=message)


@dataclass(frozen=True)
class Item:
    """One image with its truth.

    image: (H, W, B) float32 in [0, 1], B as the data set's bands. truth: (C, H, W) bool, False everywhere where not
    valid. valid: (H, W) bool, False where the truth is to be ignored. orientation: EXIF's, 1 to 8, that the picture was
    turned upright by; truth is upright too. soft: (C, H, W) float32 in [0, 1], the share of the observers who marked
    the class, or its declared probability, 0 where not valid; None where the truth is hard. observers: the truth of
    each of several, as `truth`.
    """

    name: str
    image: Float32Array
    truth: BoolArray
    valid: BoolArray
    orientation: int = 1
    soft: Float32Array | None = None
    observers: Mapping[str, BoolArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """How truth was laid on a picture that its EXIF orientation turns upright.

    drawn: on the upright or on the stored picture; stored truth is turned along. by: what decided it: the size of the
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


@dataclass(frozen=True)
class Label:
    """A label as it stands in the files.

    name: their own word for it, any text. color: "#rrggbb" if they give one. role: what it means if nobody says
    otherwise: a class, "nothing here", or "leave these pixels out".
    """

    name: str
    color: str | None = None
    role: Role = "class"


@dataclass(frozen=True)
class Picture:
    """image: (H, W, B) float32 in [0, 1], at the size asked for. own: its (height, width) before resizing.

    orientation: EXIF's, 1 to 8, that it was turned upright by; 5 to 8 swap height and width.
    """

    image: Float32Array
    own: Size
    orientation: int = 1


@dataclass(frozen=True)
class Truth:
    """layers: (L, H, W) bool, one a label in the order of Source.labels, at the truth's own size; it may lie on the
    picture as stored where EXIF turns that (`orientation.Alignment`).

    valid: (H, W) bool, False where the files say that a pixel does not count. findings: what is wrong with this image's
    truth without making it useless; what makes it useless is raised. soft: (L, H, W) float32 in [0, 1], how probable
    each label is where the files say so. observers: layers of each of several observers, of which `layers` were made.
    """

    layers: BoolArray
    valid: BoolArray
    findings: tuple[Finding, ...] = ()
    soft: Float32Array | None = None
    observers: Mapping[str, BoolArray] = field(default_factory=dict)

    def moved(self, move: Callable[[NDArray[Any]], NDArray[Any]]) -> Self:
        """The same truth with its pixels put elsewhere, by a function of (..., H, W) arrays."""
        return replace(
            self,
            layers=move(self.layers),
            valid=move(self.valid),
            soft=None if self.soft is None else move(self.soft),
            observers={name: move(layers) for name, layers in self.observers.items()},
        )

    def within(self, inside: BoolArray) -> Self:
        """The same truth of which only some pixels count. inside: (H, W) bool."""
        return replace(
            self,
            layers=self.layers & inside,
            valid=self.valid & inside,
            soft=None if self.soft is None else self.soft * inside,
            observers={name: layers & inside for name, layers in self.observers.items()},
        )


class UnusableTruth(DatasetError):
    """An image whose truth cannot be had, with everything that is wrong with it."""

    def __init__(self, message: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(message)
        self.findings = findings


class Source(ABC):
    """A data set's files as one format reads them, before classes are made of labels; looks at no pixel until asked.

    root: its folder. name: of the set, printable. labels: at most reading.MAX_LABELS, their names distinct.
    exclusive: no pixel can carry two labels. declared: the kind of truth if the files name it. complete: every valid
    pixel carries a label. splits: lists that the files give, as far as they do ({} for none). groups: image to group,
    {} for none. findings: what is wrong with the files and tables as a whole. priority: labels, first wins, if the
    files say who gets a pixel of several. spec: classes and kind as the files spell them out; None where they are made
    of the labels. soft: whether truths may say how probable labels are, or what each of several observers marked.
    bands: what the last axis of every image holds.
    """

    root: Path
    name: str
    labels: tuple[Label, ...]
    exclusive: bool
    declared: Kind | None = None
    complete: bool = False
    splits: Mapping[Split, tuple[str, ...]] = {}
    groups: Mapping[str, str] = {}
    findings: tuple[Finding, ...] = ()
    priority: tuple[str, ...] = ()
    spec: DataReading | None = None
    soft: bool = False
    bands: Bands = RGB

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Every image, sorted; a name is one printable line of at most 200 characters, without slashes."""

    @abstractmethod
    def picture(self, name: str, *, size: Size | None = None) -> Picture:
        """The picture of an image, resized to (height, width) if asked for. Raises DatasetError, one line."""

    def head(self, name: str) -> tuple[Size, int]:
        """A picture's (height, width), upright, and its EXIF orientation, 1 to 8. Raises DatasetError, one line."""
        picture = self.picture(name)
        return picture.own, picture.orientation

    @abstractmethod
    def truth(self, name: str) -> Truth:
        """Which pixels of an image carry which labels. Raises DatasetError, one line."""

    def misfits(self, name: str, truth: Truth | None, own: Size) -> list[Finding]:
        """What to say of a truth that is missing or, laid on its picture, has another size than that (own)."""
        if truth is None:
            return []
        height, width = truth.valid.shape
        problem = (
            f"the truth of {name} is {width}×{height}, its image is {own[1]}×{own[0]}; resize the mask (nearest "
            "neighbour) or remove the pair"
        )
        return [Finding.error("PAIR-SIZE", problem)]

    def probabilities(self, name: str) -> Float32Array | None:
        """Known label probabilities, (L, H, W) float32 in [0, 1], laid like the truth; None when none are given."""
        return None

    @abstractmethod
    def files(self) -> Iterable[Path]:
        """Every file that decides what this data set contains; each exists."""


@dataclass(frozen=True)
class Format:
    """One way to lay out a data set; an entry of `opening.FORMATS`.

    title: in words, for people. recognise: the reason to take a folder for it, in a few words ("instances.json holds
    images, annotations and categories"), or None; looks at names and the heads of a few files, and never raises for
    what it finds there. open: the folder and options to a source; raises DatasetError, one line. options: what can be
    said beside the files, name to a line of help. why_not: what a folder that no format knows has of this one and what
    it lacks, None for nothing; never raises.
    """

    title: str
    recognise: Callable[[Path], str | None]
    open: Callable[[Path, Mapping[str, str]], Source]
    options: Mapping[str, str] = field(default_factory=dict)
    why_not: Callable[[Path], str | None] = lambda root: None


# Words and layers ----------------------------------------------------------------------------------------------------


def source_name(root: Path, otherwise: str) -> str:
    """The name of a data set in a folder, printable."""
    return printable(root.name)[:100] or otherwise


def distinct(names: Iterable[str], again: str = "{} {}") -> list[str]:
    """Names made distinct. again: what a name becomes that was there before, with a number from 2.

    >>> distinct(["car", "road", "car"])
    ['car', 'road', 'car 2']
    """
    taken: dict[str, None] = {}
    for name in names:
        fresh, number = name, 2
        while fresh in taken:
            fresh, number = again.format(name, number), number + 1
        taken[fresh] = None
    return list(taken)


def split_word(word: str) -> Split | None:
    """The split that a word in lower case names: train, training, trainset, train2017; valid and dev are val."""
    match = _SPLIT_WORD.fullmatch(word)
    return None if match is None else cast("Split", match.lastgroup)


def blank_layers(labels: int, size: tuple[int, ...], where: str = "an image") -> BoolArray:
    """Layers without any label, (labels, H, W) bool. where: the mask, for messages.

    Raises DatasetError when they would take more than MAX_LAYER_BYTES.
    """
    if labels * int(np.prod(size)) > MAX_LAYER_BYTES:
        raise DatasetError(
            f"{where} is {size[1]}×{size[0]} with {labels:,} labels, more than {MAX_LAYER_BYTES:,} values; cut it into "
            "tiles, or leave labels out"
        )
    return np.zeros((labels, *size), np.bool_)
