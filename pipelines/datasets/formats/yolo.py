"""Ultralytics YOLO for segmentation: a text file of outlines for each picture, and data.yaml with names and splits."""

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import yaml

from pipelines import links
from pipelines.datasets import listing, splits
from pipelines.datasets.base import Finding, Format, Truth, distinct, source_name, split_word
from pipelines.datasets.files import damage_named, decode_text, read_limited
from pipelines.datasets.formats import polygons
from pipelines.datasets.formats.drawing import Drawing, UnknownLabelError, label_named
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.schema import SPLITS, Split
from pipelines.sentences import first_of, path_tail, printable

# data.yaml -----------------------------------------------------------------------------------------------------------

_MOST_CONFIG_BYTES: Final = 1 << 18
_LOOKED_AT: Final = 100


@dataclass
class Config:
    """What data.yaml says. names: of classes, by number. places: of each split's pictures, folders or lists."""

    path: Path
    names: dict[int, str] = field(default_factory=dict)
    places: dict[Split, list[str]] = field(default_factory=dict)


def read_config(path: Path) -> Config:
    """Names and splits of a data.yaml. Raises DatasetError, one line."""
    content = decode_text(read_limited(path, _MOST_CONFIG_BYTES, "it should hold names and paths"), path)
    with damage_named(path, "is not readable YAML ({}); correct it"):
        value = yaml.load(content, Loader=yaml.BaseLoader)  # makes texts, lists and mappings, and nothing else
    if not isinstance(value, dict):
        raise DatasetError(f"{path.name} holds no keys such as names and train; write it again")
    if "kpt_shape" in value:
        raise DatasetError(f"{path.name} describes key points (kpt_shape), no outlines; take a set for segmentation")
    config = Config(path, _names(value, path))
    base = value.get("path")
    for key, places in value.items():
        split = split_word(key.casefold()) if isinstance(key, str) else None
        named = [place for place in (places if isinstance(places, list) else [places]) if isinstance(place, str)]
        if split is not None and any(named):
            config.places[split] = [posixpath.join(base, place) if isinstance(base, str) else place for place in named]
    return config


def _names(value: Mapping[Any, Any], path: Path) -> dict[int, str]:
    """Names of classes by number, from a list or a mapping; from nc alone, "class 0" and so on."""
    given, count = value.get("names"), value.get("nc")
    if isinstance(given, list):
        given = {str(number): name for number, name in enumerate(given)}
    if not given and isinstance(count, str) and count.isdecimal() and int(count[:9]) <= MAX_LABELS:
        given = {str(number): f"class {number}" for number in range(int(count))}
    if not isinstance(given, dict) or not given:
        return {}
    wrong = [key for key, name in given.items() if not _is_class(key) or not isinstance(name, str) or len(name) > 500]
    if wrong or len(given) > MAX_LABELS:
        raise DatasetError(
            f"{path.name}: names must be at most {MAX_LABELS:,} names by number, from 0, here is "
            f"{printable(str(wrong[0] if wrong else len(given))[:50])}; correct it"
        )
    return dict(sorted((int(key), name.strip() or f"class {key}") for key, name in given.items()))


def _is_class(text: Any) -> bool:
    return isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 7


def _configs(root: Path) -> list[Path]:
    """YAML files at the top that name classes, data.yaml first."""
    there = islice(listing.walk(root, suffixes=(".yaml", ".yml"), depth=0), _LOOKED_AT)
    return sorted(filter(_like_config, there), key=lambda path: (path.stem != "data", path.name))


def _like_config(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_MOST_CONFIG_BYTES)
    except OSError:
        return False
    return (
        re.search(rb"(?m)^(names|nc)\s*:", head) is not None and re.search(rb"(?m)^(train|val)\s*:", head) is not None
    )


# Label files ---------------------------------------------------------------------------------------------------------

_NAME_FILES: Final = ("classes.txt", "obj.names", "names.txt")  # one name a line, where data.yaml has none
_MOST_LABEL_BYTES: Final = 1 << 24
_MOST_OUTLINES: Final = 100_000  # of one picture
_LINE: Final = re.compile(r"\d+(\.0+)?(\s+[-+.\deE]+){4,}\s*")
_BOX: Final = 5  # numbers of a box: class, centre, width, height
_BEYOND: Final = 0.01  # that coordinates may lie outside of the picture, as a share of it


def label_files(root: Path) -> dict[str, Path]:
    """Text files by their path from the top, in lower case and without the ending."""
    return {_key(path.relative_to(root)): path for path in listing.walk(root, suffixes=(".txt",))}


def label_key(picture: Path) -> str:
    """The key of the label file of a picture: its last folder called images is labels there; else it lies beside it.

    >>> label_key(Path("images/train/a.jpg")), label_key(Path("train/images/a.jpg")), label_key(Path("a.jpg"))
    ('labels/train/a', 'train/labels/a', 'a')
    """
    parts = [part.casefold() for part in picture.parts[:-1]]
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return _key(Path(*parts, picture.name))


def _key(path: Path) -> str:
    return path.with_suffix("").as_posix().casefold()


def lines_of(path: Path, most: int = _MOST_OUTLINES) -> Iterator[tuple[int, str]]:
    """Lines of a text file that are not empty, and their numbers. Raises DatasetError for more than `most`."""
    content = decode_text(read_limited(path, _MOST_LABEL_BYTES, "leave out what is not needed"), path)
    if content.count("\n") > most:
        raise DatasetError(f"{path_tail(path)} has more than {most:,} lines; leave out what is not needed")
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            yield number, line


def outline_of(line: str, size: tuple[int, int]) -> tuple[int, list[float] | None]:
    """The class of a line and its outline x, y, x, y, … in pixels; None for a box.

    size: (height, width) of the picture. Raises DatasetError, without naming the line, for anything else.

    >>> outline_of("2 0 0 0.5 0 0.5 1", (10, 20))
    (2, [0.0, 0.0, 10.0, 0.0, 10.0, 10.0])
    """
    number, *words = line.split()
    if not re.fullmatch(r"\d{1,6}(\.0+)?", number):
        raise DatasetError(f"it begins with {printable(number[:30])!r}, expected the number of a class; correct it")
    shares = [share for word in words if (share := polygons.as_number(word)) is not None]
    if len(shares) != len(words):
        raise DatasetError("it holds something else than numbers; correct it")
    if len(shares) + 1 == _BOX:
        return int(float(number)), None
    if len(shares) % 2 or len(shares) < 6:
        raise DatasetError(
            f"it holds {len(shares):,} numbers after the class, expected x y of three points or more; correct it"
        )
    outside = [share for share in shares if not -_BEYOND <= share <= 1 + _BEYOND]
    if outside:
        raise DatasetError(
            f"its coordinates must be shares of the picture's width and height, 0 to 1, but one is {outside[0]:g}; "
            "divide them"
        )
    return int(float(number)), [share * size[1 - place % 2] for place, share in enumerate(shares)]


# The source ----------------------------------------------------------------------------------------------------------


def _recognise(root: Path) -> str | None:
    configs = _configs(root)
    texts = [path for path in listing.walk(root, suffixes=(".txt",)) if configs or _in_labels(path, root)]
    for path in texts[:_LOOKED_AT]:
        if _like_labels(path):
            return f"{listing.shown(path, root)} holds a class and coordinates a line"
    if configs and any(_in_labels(path, root) for path in texts):
        return f"{configs[0].name} names classes, and there is a folder of labels"
    return None


def _in_labels(path: Path, root: Path) -> bool:
    return any(part.casefold() == "labels" for part in path.relative_to(root).parts[:-1])


def _like_labels(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            lines = file.read(1 << 14).decode("ascii", errors="replace").splitlines()
    except OSError:
        return False
    # The last line may be cut; of a single long one the beginning is enough.
    return (
        bool(lines) and all(map(_LINE.match, filter(str.strip, lines[:-1] or lines))) and any(map(_LINE.match, lines))
    )


class YoloSource(listing.FileSource):
    """Pictures with label files."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self.root = root
        self.name = source_name(root, "YOLO")
        findings: list[Finding] = []
        configs = _configs(root)
        self._config = read_config(configs[0]) if configs else None
        if len(configs) > 1:
            shown = first_of([path.name for path in configs[1:]], 3)
            findings.append(Finding.note("FILE-UNUSED", f"{shown} are not read, but {configs[0].name}"))
        self._find_images(findings)
        self._name_labels(findings)
        self.groups = splits.groups_of_copies(self.images)
        self._lists: list[Path] = []
        self.splits = self._given_splits(findings) or splits.given_splits(root, self.images, findings)
        self.findings = tuple(findings)

    def _find_images(self, findings: list[Finding]) -> None:
        """Set images and label files; a picture without one has nothing on it where others beside it have one."""
        there = label_files(self.root)
        pictures = listing.images(self.root)
        keys = {path: label_key(path.relative_to(self.root)) for path in pictures}
        labelled = {key.rpartition("/")[0] for key in keys.values() if key in there}
        taken = [path for path in pictures if keys[path].rpartition("/")[0] in labelled]
        if not taken:
            raise DatasetError(
                f"no picture of {self.name} has a label file; put a.txt for images/train/a.jpg into labels/train"
            )
        if len(taken) < len(pictures):
            problem = f"{len(pictures) - len(taken):,} pictures lie where no picture has a label file and are left out"
            findings.append(Finding.note("IMAGE-UNLISTED", problem))
        self.images = listing.by_name(taken, self.root, findings)
        self._texts = {name: there[keys[path]] for name, path in self.images.items() if keys[path] in there}
        empty = len(self.images) - len(self._texts)
        if empty:
            findings.append(Finding.note("LABELS-NONE", f"{empty:,} pictures have no label file: nothing is on them"))

    def _name_labels(self, findings: list[Finding]) -> None:
        """Set labels: those of data.yaml, else of a file of names, else the numbers that label files hold."""
        classes: set[int] = set()
        boxes = outlines = 0
        for path in self._texts.values():
            try:
                for _, line in lines_of(path):
                    words = line.split(None, _BOX)
                    boxes += len(words) == _BOX
                    outlines += len(words) > _BOX
                    classes |= {int(words[0])} if _is_class(words[0]) else set()
            except DatasetError:  # the check lists it
                continue
        if not outlines:
            held = f"boxes ({boxes:,} lines of class, centre, width and height), no outlines" if boxes else "nothing"
            raise DatasetError(f"the label files of {self.name} hold {held}; export it for segmentation")
        if boxes:
            problem = f"{boxes:,} lines are boxes (class, centre, width, height) and mark no pixel; draw outlines"
            findings.append(Finding.warning("BOXES", problem))
        names = self._config.names if self._config is not None else {}
        self._names = None if names else listing.child(self.root, *_NAME_FILES)
        if self._names is not None:
            names = dict(enumerate(line.strip()[:500] for _, line in lines_of(self._names)))
        if not names:
            problem = f"no data.yaml or classes.txt names the classes {first_of(sorted(classes), 12)}; their numbers do"
            findings.append(Finding.note("NAMES-NONE", problem))
            names = {number: f"class {number}" for number in sorted(classes)[: MAX_LABELS + 1]}
        if len(names) > MAX_LABELS:
            raise DatasetError(
                f"there are {len(classes):,} classes, allowed are {MAX_LABELS:,}; correct the label files"
            )
        self._at = {number: index for index, number in enumerate(names)}
        self.labels = tuple(label_named(name) for name in distinct(names.values()))
        self.exclusive = len(self.labels) == 1

    def _given_splits(self, findings: list[Finding]) -> dict[Split, tuple[str, ...]]:
        """Splits as data.yaml says them; {} where it names none that are there."""
        named: dict[Split, dict[str, None]] = defaultdict(dict)
        files = listing.PictureFiles(self.root)
        at = {path: name for name, path in self.images.items()}
        for split, places in self._config.places.items() if self._config is not None else ():
            for place in places:
                found = self._resolved(place)
                if found is not None and found.is_file():
                    self._lists.append(found)
                    wanted = [files.find(line.strip(), ("",))[0] for _, line in lines_of(found, listing.MAX_FILES)]
                    absent = sum(path not in at for path in wanted)
                    if absent:
                        problem = (
                            f"{listing.shown(found, self.root)} names {absent:,} images that are not here with labels"
                        )
                        findings.append(Finding.warning("SPLIT-ABSENT", f"{problem}: correct the list"))
                    named[split] |= dict.fromkeys(at[path] for path in wanted if path in at)
                elif found is not None:
                    named[split] |= dict.fromkeys(name for path, name in at.items() if path.is_relative_to(found))
            if not named[split]:
                shown = first_of([printable(place[-80:]) for place in places], 3)
                problem = f"data.yaml gives {split} as {shown}, where no picture with labels is: correct it"
                findings.append(Finding.warning("SPLIT-ABSENT", problem))
        return {split: tuple(sorted(named[split])) for split in SPLITS if named.get(split)}

    def _resolved(self, place: str) -> Path | None:
        """The folder or list inside the data set that an entry of data.yaml means: its last parts that are there."""
        parts = posixpath.normpath(place.replace("\\", "/")).split("/")
        parts = [part for part in parts if part not in ("", ".", "..")]
        followed = links.of(self.root)
        for first in range(len(parts)):
            path = self.root.joinpath(*parts[first:])
            # Unlike Path's, these take any text.
            if (os.path.isdir(path) or os.path.isfile(path)) and followed.follows(path):
                return path
        return None

    def truth(self, name: str) -> Truth:
        """Outlines of one class united; those of different classes may overlap. Raises DatasetError, one line."""
        size, _ = self.head(name)
        drawing = Drawing(size, len(self.labels))
        path = self._texts.get(name)
        for number, line in lines_of(path) if path is not None else ():
            with drawing.shape(f"{listing.shown(self._texts[name], self.root)}, line {number}"):
                class_, outline = outline_of(line, size)
                if class_ not in self._at:
                    known = ", ".join(map(str, islice(self._at, 5)))
                    raise UnknownLabelError(f"there is no class {class_}, but {known} …; correct it or data.yaml")
                if outline is not None:
                    drawing.polygon(outline, self._at[class_])
        return drawing.truth(name)

    def files(self) -> Iterable[Path]:
        """data.yaml, its lists, label files and pictures."""
        yield from () if self._config is None else (self._config.path,)
        yield from () if self._names is None else (self._names,)
        yield from dict.fromkeys(self._lists)
        yield from self._texts.values()
        yield from self.images.values()


FORMAT: Final = Format(
    "Ultralytics YOLO segmentation: a text file of outlines for each picture, and data.yaml", _recognise, YoloSource
)
