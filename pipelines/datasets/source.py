"""What a format reads out of files: pictures, the labels they bring, and which pixels carry them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets import imageio
from pipelines.datasets.base import Finding
from pipelines.schema import Kind, Split

Role: TypeAlias = Literal["class", "background", "ignore"]


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
    """image: (H, W, 3) float32 in [0, 1], at the size asked for. own: its (height, width) before resizing.

    orientation: EXIF's, 1 to 8, that it was turned upright by; 5 to 8 swap height and width.
    """

    image: Float32Array
    own: tuple[int, int]
    orientation: int = 1


@dataclass(frozen=True)
class Truth:
    """layers: (L, H, W) bool, one a label in the order of Source.labels, at the truth's own size; it may lie on the
    picture as stored where EXIF turns that (`orientation.Alignment`).

    valid: (H, W) bool, False where the files say that a pixel does not count. findings: what is wrong with this image's
    truth without making it useless; what makes it useless is raised.
    """

    layers: BoolArray
    valid: BoolArray
    findings: tuple[Finding, ...] = ()


class Source(ABC):
    """A data set's files as one format reads them, before classes are made of labels; looks at no pixel until asked.

    root: its folder. name: of the set, printable. labels: at most reading.MAX_LABELS, their names distinct.
    exclusive: no pixel can carry two labels. declared: the kind of truth if the files name it. complete: every valid
    pixel carries a label. splits: lists that the files give, as far as they do ({} for none). groups: image to group,
    {} for none. findings: what is wrong with the files and tables as a whole. priority: labels, first wins, if the
    files say who gets a pixel of several.
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

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Every image, sorted; a name is one printable line of at most 200 characters, without slashes."""

    @abstractmethod
    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """The picture of an image, resized to (height, width) if asked for. Raises DatasetError, one line."""

    def head(self, name: str) -> tuple[tuple[int, int], int]:
        """A picture's (height, width), upright, and its EXIF orientation, 1 to 8. Raises DatasetError, one line."""
        picture = self.picture(name)
        return picture.own, picture.orientation

    @abstractmethod
    def truth(self, name: str) -> Truth:
        """Which pixels of an image carry which labels. Raises DatasetError, one line."""

    @abstractmethod
    def files(self) -> Iterable[Path]:
        """Every file that decides what this data set contains; each exists."""


class FileSource(Source):
    """A source whose pictures are image files. images: name to file, sorted."""

    images: Mapping[str, Path]

    def names(self) -> tuple[str, ...]:
        """Every image, sorted."""
        return tuple(self.images)

    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """The picture of an image, upright by its EXIF orientation."""
        return Picture(*imageio.read_picture(self.images[name], size=size))

    def head(self, name: str) -> tuple[tuple[int, int], int]:
        """Size and orientation of a picture, told by the head of its file."""
        return imageio.read_head(self.images[name])
