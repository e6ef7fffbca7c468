"""CVAT for images 1.1: an XML file of polygons, masks, boxes and ellipses, and pictures."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final
from xml.parsers import expat

import numpy as np

from pipelines.arrays import BoolArray
from pipelines.datasets import listing, splits
from pipelines.datasets.base import Finding, Format, Size, Truth, source_name
from pipelines.datasets.files import readable
from pipelines.datasets.formats import json_file, polygons
from pipelines.datasets.formats.drawing import Drawing, UnknownLabelError, label_named
from pipelines.datasets.options import choice
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.schema import Split
from pipelines.sentences import first_of, listed, printable

# XML -----------------------------------------------------------------------------------------------------------------

_WINDOW: Final = 1 << 20
_MOST_BYTES: Final = 512 << 20
_MOST_TAG: Final = 16 << 20  # bytes of one tag, such as a polygon
_MOST_IMAGE: Final = 64 << 20  # bytes of one image and its shapes
_MOST_SHAPES: Final = 100_000  # of one image
_DEEPEST: Final = 32
_UTF8: Final = ("utf-8", "utf8", "us-ascii", "ascii")

Start = Callable[[str, dict[str, str]], None]


class _Xml:
    """A parser that knows no entities but XML's own five, and refuses files that declare any. where: for messages."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.XmlDeclHandler = self._declared
        self._fed = 0
        self._letters = ""
        self.tags: list[str] = []

    def started(self, attributes: dict[str, str]) -> None:
        """A tag, the last of self.tags, begins."""

    def ended(self, text: str) -> None:
        """A tag, the last of self.tags, ends; with the text right in front of that."""

    @property
    def position(self) -> int:
        """Byte at which the tag that is told begins."""
        return self._parser.CurrentByteIndex

    def feed(self, content: bytes, *, last: bool = False) -> None:
        """Some bytes more. Raises DatasetError, one line, for what is no such XML."""
        try:
            self._parser.Parse(content, last)
        except expat.ExpatError as error:
            reason = f"{expat.ErrorString(error.code)} in line {error.lineno:,}"
            raise DatasetError(f"{self._where} is not valid XML ({reason}); export it again") from None
        self._fed += len(content)
        if self._fed - self._parser.CurrentByteIndex > _MOST_TAG:
            raise DatasetError(f"{self._where} holds a tag of more than {_MOST_TAG:,} bytes; simplify the shape")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.tags.append(tag)
        if len(self.tags) > _DEEPEST:
            raise DatasetError(f"{self._where} is nested too deeply; it holds no data set")
        self._letters = ""
        self.started(attributes)

    def _end(self, _tag: str) -> None:
        self.ended(self._letters.strip())
        self._letters = ""
        self.tags.pop()

    def _text(self, letters: str) -> None:
        self._letters = (self._letters + letters)[: listing.MAX_NAME * 5]

    def _refuse(self, *_: Any) -> None:
        raise DatasetError(f"{self._where} declares a document type, which CVAT never does; export it again")

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.casefold() not in _UTF8:
            raise DatasetError(f"{self._where} is in {printable(encoding[:30])}, expected UTF-8; save it as UTF-8")


# Files of annotations ------------------------------------------------------------------------------------------------

_AREAS: Final = ("polygon", "mask", "box", "ellipse")
_AREA_TYPES: Final = ("any", "polygon", "mask", "rectangle", "ellipse", "")  # of labels that can have one
_LOOKED_AT: Final = 200


@dataclass(frozen=True)
class Entry:
    """An image of a file. start, end: the bytes of its tag and its shapes, without the tag that ends it."""

    name: str
    height: str | None
    width: str | None
    subset: str
    start: int
    end: int


class Export(_Xml):
    """One XML file. labels: name to colour, those of the file's table first. shapes: numbers by kind.

    layered: whether an image has shapes of several z_order.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.title = listing.shown(path, root)
        super().__init__(self.title)
        self.path = path
        self.entries: list[Entry] = []
        self.labels: dict[str, str | None] = {}
        self.shapes: Counter[str] = Counter()
        self.tracks = 0
        self.layered = False
        self._label: dict[str, str] = {}
        self._image: dict[str, str] = {}
        self._begin = 0
        self._inside = 0
        self._order: set[str] = set()

    def read(self) -> None:
        """Index the file. Raises DatasetError, one line."""
        with readable(self.path), self.path.open("rb") as file:
            size = self.path.stat().st_size
            if size > _MOST_BYTES:
                raise DatasetError(f"{self.title} has {size:,} bytes, allowed are {_MOST_BYTES:,}; split the task")
            window = file.read(_WINDOW)
            if window[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise DatasetError(f"{self.title} is in UTF-16, expected UTF-8; save it as UTF-8")
            while window:
                self.feed(window)
                window = file.read(_WINDOW)
            self.feed(b"", last=True)
        if self.tracks and not self.entries:
            raise DatasetError(f"{self.title} holds tracks of a video; export it from CVAT as CVAT for images 1.1")
        if not self.entries:
            raise DatasetError(f"{self.title} lists no images; export it from CVAT as CVAT for images 1.1")

    def started(self, attributes: dict[str, str]) -> None:
        """Tags of images, shapes and labels."""
        match self.tags:
            case [first] if first != "annotations":
                raise DatasetError(f"{self.title} begins with {first[:30]!r}, expected annotations; export it again")
            case [_, "image"]:
                self._image, self._begin, self._inside, self._order = attributes, self.position, 0, set()
            case [_, "track"]:
                self.tracks += 1
            case [_, "image", shape]:
                self.shapes[shape[:30]] += 1
                self._inside += 1
                if self._inside > _MOST_SHAPES:
                    raise DatasetError(
                        f"{self.title}: an image has more than {_MOST_SHAPES:,} shapes; cut it into tiles"
                    )
                self._order.add(attributes.get("z_order", "0"))
                if shape in _AREAS:
                    self._add_label(attributes.get("label", ""), None)
            case [*_, "labels", "label"]:
                self._label = {}

    def ended(self, text: str) -> None:
        """Images and labels that are whole."""
        match self.tags:
            case [_, "image"]:
                name = self._image.get("name", "")
                if not 0 < len(name) <= 1000:
                    raise DatasetError(f"{self.title}: an image has no name; export it again")
                if self.position - self._begin > _MOST_IMAGE:
                    raise DatasetError(f"{self.title}: {printable(name[-80:])} has more than {_MOST_IMAGE:,} bytes")
                if len(self.entries) >= listing.MAX_FILES:
                    raise DatasetError(f"{self.title} lists more than {listing.MAX_FILES:,} images; split the task")
                size = (self._image.get("height"), self._image.get("width"))
                subset = self._image.get("subset", "")
                end = self.position if self._inside else self._begin  # one without shapes may be a single tag
                self.entries.append(Entry(name, *size, subset, self._begin, end))
                self.layered |= len(self._order) > 1
            case [*_, "labels", "label", ("name" | "color" | "type") as key]:
                self._label[key] = text
            case [*_, "labels", "label"] if self._label.get("type", "") in _AREA_TYPES:
                self._add_label(self._label.get("name", ""), self._label.get("color"))

    def _add_label(self, name: str, color: str | None) -> None:
        if 0 < len(name) <= 500:  # others are told where they are drawn
            self.labels.setdefault(name, color)
        if len(self.labels) > MAX_LABELS:
            raise DatasetError(f"{self.title} has more than {MAX_LABELS:,} labels; correct their names")

    def shapes_of(self, entry: Entry) -> list[tuple[str, dict[str, str]]]:
        """Shapes of an image: their kinds and attributes, in the order of the file. Raises DatasetError, one line."""
        if entry.start == entry.end:
            return []
        with readable(self.path), self.path.open("rb") as file:
            file.seek(entry.start)
            content = file.read(entry.end - entry.start)
        shapes = _Shapes(self.title)
        shapes.feed(content + b"</image>", last=True)
        return shapes.shapes


class _Shapes(_Xml):
    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.shapes: list[tuple[str, dict[str, str]]] = []

    def started(self, attributes: dict[str, str]) -> None:
        if len(self.tags) == 2:
            self.shapes.append((self.tags[1], attributes))


def xml_files(root: Path) -> Iterator[Path]:
    """XML files that look like CVAT's, at the top and two folders deep."""
    for path in islice(listing.walk(root, suffixes=(".xml",), depth=2), _LOOKED_AT):
        try:
            with path.open("rb") as file:
                head = file.read(json_file.HEAD).replace(b"\0", b"")  # of UTF-16, which is told when it is read
        except OSError:
            continue
        if re.search(rb"<annotations[\s>]", head) and re.search(rb"<(image|track|version|meta)[\s>]", head):
            yield path


# Shapes --------------------------------------------------------------------------------------------------------------


def draw(kind: str, attributes: Mapping[str, str], label: int, drawing: Drawing) -> None:
    """Draw a shape that has an area. Raises DatasetError, without naming the file, when it can't be drawn."""
    if kind == "polygon":
        points = [pair.split(",") for pair in attributes.get("points", "").split(";") if pair.strip()]
        if not all(len(pair) == 2 for pair in points):
            raise DatasetError("its points are not x,y;x,y;…; export it again")
        drawing.polygon([number for pair in points for number in pair], label)
    elif kind == "mask":
        left, top, width, height = (_number(attributes, key) for key in ("left", "top", "width", "height"))
        if not (left.is_integer() and top.is_integer()):
            raise DatasetError(f"its mask begins at {left:g}, {top:g}, expected whole pixels; export it again")
        size = polygons.checked_size(height, width)
        drawing.paste(mask_of(attributes.get("rle", ""), size), label, int(left), int(top))
    elif kind == "box":
        sides = [_number(attributes, key) for key in ("xtl", "ytl", "xbr", "ybr")]
        drawing.polygon(polygons.rectangle(*sides, turned=_number(attributes, "rotation", 0.0)), label)
    else:
        sides = [_number(attributes, key) for key in ("cx", "cy", "rx", "ry")]
        drawing.polygon(polygons.ellipse(*sides, turned=_number(attributes, "rotation", 0.0)), label)


def mask_of(runs: str, size: Size) -> BoolArray:
    """A mask, (height, width) bool, of runs along its rows, the first outside. Raises DatasetError.

    >>> mask_of("1, 2, 1", (2, 2)).astype(int)
    array([[0, 1],
           [1, 0]])
    """
    if not re.fullmatch(r"\s*[0-9]{1,9}(\s*,\s*[0-9]{1,9})*\s*", runs):
        raise DatasetError("its runs (rle) are not whole numbers with commas between them; export it again")
    counts = np.fromstring(runs, np.int64, sep=",")
    if int(counts.sum()) != size[0] * size[1]:
        raise DatasetError(
            f"its runs cover {int(counts.sum()):,} pixels, its box of {size[1]}×{size[0]} has {size[0] * size[1]:,}; "
            "export it again"
        )
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(size)


def _number(attributes: Mapping[str, str], key: str, otherwise: float | None = None) -> float:
    number = polygons.as_number(attributes[key]) if key in attributes else otherwise
    if number is None or not np.isfinite(number):
        raise DatasetError(f"its {key} is missing or no number; export it again")
    return float(number)


# The source ----------------------------------------------------------------------------------------------------------


def _recognise(root: Path) -> str | None:
    first = next(xml_files(root), None)
    return None if first is None else f"{listing.shown(first, root)} holds annotations of images"


class CvatSource(listing.FileSource):
    """Images of CVAT's XML files."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self.root = root
        self.name = source_name(root, "CVAT")
        self._boxes = choice(options, "boxes", ["fill", "skip"], "fill")
        self._on_top = choice(options, "overlap", ["keep", "top"], "keep") == "top"
        self._exports = [Export(path, root) for path in xml_files(root)]
        if not self._exports:
            raise DatasetError(f"{self.name} holds no XML file of CVAT's; export it as CVAT for images 1.1")
        for export in self._exports:
            export.read()
        colors: dict[str, str | None] = {}
        for export in self._exports:
            for name, color in export.labels.items():
                colors[name] = colors.get(name) or color
        if not colors or len(colors) > MAX_LABELS:
            found = (
                f"{len(colors):,} labels, allowed are {MAX_LABELS:,}" if colors else "no polygon, mask, box or ellipse"
            )
            raise DatasetError(f"{self._shown()} holds {found}; export it again")
        self._at = {name: index for index, name in enumerate(colors)}
        self.labels = tuple(label_named(name, color) for name, color in colors.items())
        self.exclusive = len(self.labels) == 1 or self._on_top
        findings: list[Finding] = []
        self._tell(findings)
        self._find_images(findings)
        self.findings = tuple(findings)

    def _shown(self) -> str:
        return first_of([export.title for export in self._exports], 3)

    def _tell(self, findings: list[Finding]) -> None:
        shapes = sum((export.shapes for export in self._exports), Counter[str]())
        if shapes["box"]:
            done = "are filled, as in the masks that CVAT exports" if self._boxes == "fill" else "are left out"
            findings.append(Finding.note("BOXES", f"{shapes['box']:,} boxes {done}; the option boxes changes that"))
        others = {kind: count for kind, count in shapes.items() if kind not in _AREAS}
        if others:
            shown = listed(f"{count:,} {printable(kind[:30])}" for kind, count in sorted(others.items())[:8])
            findings.append(Finding.note("NO-AREA", f"shapes without area are passed over: {shown}"))
        if any(export.layered for export in self._exports):
            done = "the one on top gets the pixels" if self._on_top else "their pixels keep all labels"
            problem = f"shapes lie on top of each other (z_order): {done}; the option overlap changes that"
            findings.append(Finding.note("Z-ORDER", problem))
        tracks = sum(export.tracks for export in self._exports)
        if tracks:
            findings.append(
                Finding.warning("TRACKS", f"{tracks:,} tracks of videos are not read; export images instead")
            )

    def _find_images(self, findings: list[Finding]) -> None:
        """Set images, where each of them stands in which files, and splits."""
        files = listing.PictureFiles(self.root)
        wanted = (
            ((export, entry), entry.name, self._folders(export, entry))
            for export in self._exports
            for entry in export.entries
        )
        stands = files.match(wanted, self._shown(), findings)
        if not stands:
            raise DatasetError(
                f"none of the images that {self._shown()} lists lie in {self.name}; export it with images, or add them"
            )
        self.images = listing.by_name(sorted(stands), self.root, findings)
        self._stands: Mapping[str, Sequence[tuple[Export, Entry]]] = defaultdict(
            list, {name: stands[path] for name, path in self.images.items()}
        )
        by_folder: dict[str, Split] = {}
        for name, path in self.images.items():
            subsets = (splits.split_named(entry.subset) for _, entry in self._stands[name])
            split = next((split for split in subsets if split is not None), None) or splits.split_of(path, self.root)
            if split is not None:
                by_folder[name] = split
        self.splits = splits.given_splits(self.root, self.images, findings, by_folder)

    def _folders(self, export: Export, entry: Entry) -> tuple[str, ...]:
        """Where the picture of an entry may lie, as paths from the top."""
        beside = export.path.parent.relative_to(self.root).as_posix()
        subset = entry.subset or "default"
        return (f"{beside}/images/{subset}", f"{beside}/images", beside, f"images/{subset}", "images", "")

    def _size(self, name: str) -> Size:
        sizes = set()
        for export, entry in self._stands[name]:
            try:
                sizes.add(polygons.checked_size(entry.height, entry.width))
            except DatasetError as error:
                raise DatasetError(f"image {name} in {export.title}: {error}") from None
        if len(sizes) > 1:
            raise DatasetError(f"{name} has different sizes in {self._shown()}; correct its height and width")
        return sizes.pop()

    def truth(self, name: str) -> Truth:
        """Shapes of one label united; those of different labels may overlap. Raises DatasetError, one line."""
        drawing = Drawing(self._size(name), len(self.labels), on_top=self._on_top)
        rows = [
            (f"{kind} {number} of {name} ({export.title})", kind, attributes)
            for export, entry in self._stands[name]
            for number, (kind, attributes) in enumerate(export.shapes_of(entry), start=1)
        ]
        if self._on_top:
            rows.sort(key=lambda row: polygons.as_number(row[2].get("z_order", "0")) or 0)
        for where, kind, attributes in rows:
            if kind not in _AREAS or (kind == "box" and self._boxes == "skip"):
                continue
            with drawing.shape(where):
                label = self._at.get(attributes.get("label", ""))
                if label is None:
                    raise UnknownLabelError("it has no label of 1 to 500 letters; name it")
                draw(kind, attributes, label, drawing)
        return drawing.truth(name)

    def files(self) -> Iterable[Path]:
        """XML files and pictures."""
        yield from (export.path for export in self._exports)
        yield from self.images.values()


FORMAT: Final = Format(
    "CVAT for images 1.1: annotations.xml with pictures",
    _recognise,
    CvatSource,
    {
        "boxes": "what boxes are: fill (areas, as in the masks that CVAT exports; the default) or skip",
        "overlap": "pixels under several shapes: keep (all labels, the default) or top (the upper one, by z_order)",
    },
)
