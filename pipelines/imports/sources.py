"""What every import offers: the outputs of one head and seed, image by image, whether read from files or computed."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar

from numpy.typing import NDArray

from pipelines.channels import Activation, Declaration, Values
from pipelines.config import build
from pipelines.datasets import imageio, listing
from pipelines.datasets.base import Item
from pipelines.errors import ConfigError, DatasetError, ShapeError
from pipelines.imports import axes
from pipelines.schema import Head
from pipelines.sentences import count_of, first_of, one_line

MOST_FILES: Final = 1_000_000
_DEEPEST: Final = 32  # folders in folders
_MOST_TIMES: Final = 16  # the pixels of an output against those of its truth
_PICTURE: Final = re.compile(r"\.(png|jpe?g|tiff?|bmp|webp|npy|npz)$", re.IGNORECASE)
_KEY: Final = re.compile(r"(seed|head|split)=(.+)")
Files: TypeAlias = Mapping[str, Path]  # path below the folder that was given, without key=value folders, to the file
Place = TypeVar("Place")


def named(words: Sequence[str]) -> str:
    """Names from outside in one line; a very long list is cut and counted."""
    return first_of([one_line(word) for word in words[:100]] + list(words[100:]), 100)


# Sources -------------------------------------------------------------------------------------------------------------


class OutputSource(ABC):
    """Outputs of one head and seed over images.

    declaration: what the arrays are said to be; `classes` names every channel in the order of `read`.
    size: (height, width) the images are to be read at, None for their own.
    step: distance between two values that the files can tell apart, 1/255 for 8-bit maps; 0 for floating point.
    keeps_shift: whether softmax logits are the network's own, and not only known up to a shift of each pixel.
    """

    declaration: Declaration
    size: tuple[int, int] | None = None
    step: float = 0.0
    keeps_shift: bool = True

    @abstractmethod
    def absent(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the images that there is no output for, in the order given."""

    def surplus(self, names: Sequence[str]) -> tuple[str, ...]:
        """Outputs that belong to none of these images, sorted."""
        return ()

    @abstractmethod
    def read(self, item: Item) -> NDArray[Any]:
        """Values of one image as declared, (K, H, W), at the size of the item.

        Another size is told by the caller, for all images at once; so it is returned as it is. Raises PipelineError
        for what cannot be read or computed.
        """

    def findings(self) -> tuple[dict[str, str], ...]:
        """What else is to be known about what was read since this was last asked: code, severity, message."""
        return ()

    def close(self) -> None:
        """Free what the source holds: files, a process."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# Outputs in files -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """What a user says about the outputs of one head. values, classes: None where nothing was said."""

    head: Head
    values: Values | None = None
    classes: tuple[str, ...] | None = None
    background: str | None = None

    @property
    def activation(self) -> Activation:
        """The last activation; a softmax over label sets is a softmax."""
        return "sigmoid" if self.head == "sigmoid" else "softmax"

    def declare(self, *, values: Values | None = None, channels: tuple[str, ...] | None = None) -> Declaration:
        """The declaration, from what was said and what the files state themselves (values, channels).

        Raises ConfigError where nothing was said that is needed, or both contradict each other.
        """
        if values is not None and self.values not in (None, values):
            raise ConfigError(
                f"these files of {self.head} hold {values}, but --values says {self.values}; leave it out"
            )
        if values is None and self.values is None:
            raise ConfigError(
                f"nobody said what the numbers of {self.head} are; add --values probabilities (after the activation) "
                "or --values logits (before it)"
            )
        if channels is not None and self.classes is not None and set(channels) != set(self.classes):
            raise ConfigError(
                f"these files of {self.head} name their channels themselves ({named(channels)}), other than --classes "
                f"({named(self.classes)}); leave --classes out"
            )
        names = self.classes if channels is None else channels
        known = {} if names is None else {"classes": names}
        background = self.background if names is not None and self.background in names else None
        return build(
            Declaration,
            {"head": self.activation, "values": values or self.values, "background": background} | known,
        )


def gather(path: Path, head: Head) -> dict[int | None, dict[str, Path]]:
    """Files under a path by seed, None for those in no folder called seed=N.

    Of folders called head=H only the head's own are looked into; key=value folders do not count as part of a name.
    Raises ConfigError when nothing is there, DatasetError when there are too many files.
    """
    if path.is_file():
        return {None: {path.name: path}}
    if not path.is_dir():
        raise ConfigError(f"{one_line(str(path))} is not there; give the file or folder of the outputs of {head}")
    found: dict[int | None, dict[str, Path]] = {}
    for number, file in enumerate(sorted(listing.walk(path, depth=_DEEPEST, most=MOST_FILES + 1))):
        if number >= MOST_FILES:
            raise DatasetError(
                f"{path.name} holds more than {MOST_FILES:,} files; put an archive of arrays there instead"
            )
        keys, rest = _split(file.relative_to(path))
        if any(part.startswith(".") for part in rest) or keys.get("head", head) != head:
            continue
        seed = int(keys["seed"]) if keys.get("seed", "").isdecimal() else None
        place = keys["split"] + "/" if "split" in keys else ""
        found.setdefault(seed, {})[place + "/".join(rest)] = file
    if not found:
        raise ConfigError(f"{one_line(str(path))} holds no file of {head}; give the folder that its outputs are in")
    return found


def _split(relative: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    keys: dict[str, str] = {}
    rest = []
    for part in relative.parts:
        match = _KEY.fullmatch(part)
        if match is None:
            rest.append(part)
        else:
            keys[match[1]] = match[2]
    return keys, tuple(rest)


class Names:
    """Names of files or arrays to names of images: the same, without folders, or without the image's suffix."""

    def __init__(self, images: Iterable[str]) -> None:
        self._images = {listing.composed(name): name for name in images}
        self._bare: dict[str, str | None] = {}  # None: of several images
        for name in self._images.values():
            bare = PurePosixPath(listing.composed(name)).name
            self._bare[bare] = None if bare in self._bare else name

    def image(self, key: str) -> str | None:
        """The image that a name means, None when there is none."""
        key = listing.composed(key)
        for name in (key, _PICTURE.sub("", key)):
            if name in self._images:
                return self._images[name]
            bare = self._bare.get(PurePosixPath(name).name)
            if bare is not None:
                return bare
        return None


def stem(name: str) -> str:
    """A file's name without its last suffix."""
    return str(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).suffix else name


class FileSource(OutputSource, Generic[Place]):
    """Outputs in files. Place: where the output of one image lies."""

    def __init__(self, declaration: Declaration, found: Sequence[tuple[str, Place]], images: Iterable[str]) -> None:
        """found: name of each output and its place. Raises DatasetError when two belong to one image."""
        self.declaration = declaration
        self._places: dict[str, Place] = {}
        self._surplus: list[str] = []
        self._stored: set[str] = set()  # images turned by EXIF whose outputs have the size of the stored picture
        self._unsized: set[str] = set()  # such images where sizes do not tell
        self._lay: dict[axes.Axes, set[str]] = {}  # images by the axes of their outputs
        names, twice = Names(images), []
        for key, place in found:
            image = names.image(key)
            if image is None:
                self._surplus.append(key)
            elif image in self._places:
                twice.append(image)
            else:
                self._places[image] = place
        if twice:
            raise DatasetError(f"OUTPUT-TWICE: there are two outputs for {named(twice)}; keep one of each")

    def absent(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the images that no file belongs to."""
        return tuple(name for name in names if name not in self._places)

    def surplus(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names of the outputs that belong to none of these images."""
        wanted = set(names)
        return tuple(sorted([*self._surplus, *(name for name in self._places if name not in wanted)]))

    def read(self, item: Item) -> NDArray[Any]:
        """Values of one image, (K, H, W). Raises DatasetError or ShapeError.

        Axes in another order are put into this one where sizes tell (`axes.arrange`). Outputs of a picture that EXIF
        turns are turned with it where they have the size of the stored picture. What is many times larger than its
        truth is not read at all: nobody knows how much memory it would take.
        """
        place = self._places[item.name]
        height, width = self.size_of(place) or item.valid.shape
        if height * width > _MOST_TIMES * item.valid.size:
            by = f"{item.valid.shape[1]}×{item.valid.shape[0]}"
            raise ShapeError(
                f"the output of {one_line(item.name)} has {width:,}×{height:,} pixels, its truth {by}; predict at the "
                "size of the truth"
            )
        values = self._arranged(self.load(place, item), item)
        if item.orientation == 1:
            return values
        shape, square = values.shape[-2:], item.valid.shape[0] == item.valid.shape[1]
        if item.orientation > 4 and not square and shape == item.valid.shape[::-1]:
            self._stored.add(item.name)
            return imageio.turn(values, item.orientation)
        if self.size is not None or square or item.orientation < 5:
            self._unsized.add(item.name)
        return values

    def _arranged(self, values: NDArray[Any], item: Item) -> NDArray[Any]:
        channels, size = len(self.declaration.classes), (item.valid.shape[0], item.valid.shape[1])
        arranged, lay = axes.arrange(values, channels, size)
        if lay in axes.SWAPPED and item.orientation > 4:  # they lie as the stored picture does
            arranged, lay = axes.arrange(values, channels, size[::-1])
        self._lay.setdefault(lay, set()).add(item.name)
        return arranged

    def findings(self) -> tuple[dict[str, str], ...]:
        """How the axes of outputs lay that were not (C, H, W), and outputs of pictures that EXIF turns whose size does
        not tell whether they lie as the picture does.
        """
        return (*self._of_axes(), *self._of_orientation())

    def _of_axes(self) -> Iterator[dict[str, str]]:
        for lay, images in self._lay.items():
            told = f"({named(tuple(sorted(images)))}) have the axes ({lay}), as their sizes tell"
            if lay in axes.SWAPPED:
                message = (
                    f"{count_of(len(images), 'output')} {told}: height and width are swapped, and were swapped back; "
                    "if the pictures had been turned rather than transposed, predict on upright ones"
                )
                yield {"code": "OUTPUT-SWAPPED", "severity": "warning", "message": message}
            elif lay != "C, H, W":
                message = f"{count_of(len(images), 'output')} {told}, and were read so"
                yield {"code": "OUTPUT-AXES", "severity": "note", "message": message}

    def _of_orientation(self) -> tuple[dict[str, str], ...]:
        if not self._unsized:
            return ()
        others = f" those of {len(self._stored)} others have the size of the stored picture;" if self._stored else ""
        message = (
            f"{len(self._unsized)} outputs ({named(tuple(sorted(self._unsized)))}) belong to pictures that EXIF turns, "
            f"and were taken as predicted on the upright picture, which their size does not tell;{others} predict on "
            "upright pictures (Pillow: ImageOps.exif_transpose; cv2.imread turns them)"
        )
        return ({"code": "EXIF-UNDECIDED", "severity": "warning", "message": message},)

    def size_of(self, place: Place) -> tuple[int, int] | None:
        """(height, width) at one place, told without reading it; None where only reading tells."""
        return None

    @abstractmethod
    def load(self, place: Place, item: Item) -> NDArray[Any]:
        """Values at one place: (K, H, W), its axes in another order, or (H, W) of one channel."""
