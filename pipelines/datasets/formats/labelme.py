"""labelme: a JSON file of shapes beside each picture."""

import base64
import binascii
import math
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw

from pipelines.arrays import BoolArray, Float64Array
from pipelines.datasets import imageio, listing, splits
from pipelines.datasets.base import Finding, Format, Label, Role, Truth, blank_layers, source_name
from pipelines.datasets.formats import json_file, polygons
from pipelines.datasets.options import whole_number
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS

# Shapes to pixels ----------------------------------------------------------------------------------------------------

LINE_WIDTH: Final = 10  # labelme's own
POINTS: Final = ("point", "points")  # they mark places, no area
LINES: Final = ("line", "linestrip")

_CORNERS: Final = {"rectangle": 2, "circle": 2, "line": 2, "oriented_rectangle": 4, "mask": 2}
_FEWEST: Final = {"polygon": 3, "linestrip": 2}
_KINDS: Final = ("polygon", *_CORNERS, *LINES, *POINTS)
_MOST_POINTS: Final = 20_000
_MOST_REACH: Final = 100_000
_MOST_SHAPES: Final = 100_000


@dataclass(frozen=True)
class Sheet:
    """What a file says besides its shapes. data: (start, end) bytes of the picture inside it, None where it has none.

    labels: of shapes that have an area. points, lines: numbers of such shapes.
    """

    path: Path
    image_path: str | None
    size: tuple[Any, Any]  # height, width as told
    data: tuple[int, int] | None
    labels: frozenset[str]
    points: int
    lines: int


def read_sheet(path: Path) -> Sheet:
    """Everything but the shapes themselves. Raises DatasetError, one line, when it is no labelme file."""
    given: dict[str, Any] = {}
    data = None
    labels: set[str] = set()
    kinds: list[str] = []
    for member in json_file.members(path, lists=("shapes",)):
        if member.key == "shapes":
            kind = kind_of(member.value)
            kinds.append(kind)
            label = member.value.get("label") if isinstance(member.value, dict) else None
            if kind not in POINTS and isinstance(label, str) and 0 < len(label) <= 500:
                labels.add(label)
            if len(kinds) > _MOST_SHAPES:
                raise DatasetError(f"there are more than {_MOST_SHAPES:,} shapes; cut the image into tiles")
        elif member.key == "imageData" and member.end - member.start > 4:  # longer than null
            data = (member.start, member.end)
        elif member.key in ("imagePath", "imageHeight", "imageWidth"):
            given[member.key] = member.value
    image_path = given.get("imagePath")
    return Sheet(
        path,
        image_path if isinstance(image_path, str) else None,
        size=(given.get("imageHeight"), given.get("imageWidth")),
        data=data,
        labels=frozenset(labels),
        points=sum(kind in POINTS for kind in kinds),
        lines=sum(kind in LINES for kind in kinds),
    )


def shapes(path: Path) -> Iterator[Any]:
    """Shapes of a file, one after the other, unchecked. Raises DatasetError, one line."""
    for member in json_file.members(path, lists=("shapes",)):
        if member.key == "shapes":
            yield member.value


def embedded_picture(sheet: Sheet) -> bytes:
    """The picture that a file holds, as it was encoded. Raises DatasetError when there is none or it is no base64."""
    if sheet.data is None:
        raise DatasetError("it holds no picture and none lies beside it; put the picture there")
    (text,) = json_file.pieces(sheet.path, [sheet.data])
    return _decoded(text, "the picture in it")


def kind_of(shape: Any) -> str:
    """The kind of a shape; files of old versions name none and mean polygons."""
    kind = shape.get("shape_type") if isinstance(shape, dict) else None
    return kind if isinstance(kind, str) else "polygon"


class Canvas:
    """A picture's area, on which shapes are drawn label by label. size: (height, width)."""

    def __init__(self, size: tuple[int, int], path: Path, *, line_width: int = LINE_WIDTH) -> None:
        self._size = size
        self._path = path
        self._line_width = line_width
        self._work = polygons.Work()
        self._sheets: dict[str, Image.Image] = {}

    def draw(self, shape: Any) -> bool:
        """Draw a shape; whether it has an area. Raises DatasetError, without naming a file, when it can't be drawn."""
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str) or not 0 < len(label) <= 500:
            raise DatasetError("it has no label of 1 to 500 letters; name it")
        kind = kind_of(shape)
        if kind in POINTS:
            return False
        if kind not in _KINDS:
            raise DatasetError(f"shapes of the kind {kind[:50]!r} are not known; draw a polygon instead")
        points = polygons.outline(shape.get("points"))
        if len(points) > _MOST_POINTS:  # Pillow's time grows with their square
            raise DatasetError(f"it has {len(points):,} points, allowed are {_MOST_POINTS:,}; simplify it")
        wanted, fewest = _CORNERS.get(kind), _FEWEST.get(kind, 1)
        if (wanted is not None and len(points) != wanted) or len(points) < fewest:
            raise DatasetError(
                f"a {kind} has {wanted or f'at least {fewest}'} points, here are {len(points)}; draw it again"
            )
        self._work.spend(self._covered(points, kind))
        sheet = self._sheets.get(label)
        if sheet is None:
            sheet = self._sheets[label] = Image.new("L", (self._size[1], self._size[0]))
        if kind == "mask":
            self._paste(sheet, points, shape.get("mask"))
        else:
            self._outline(ImageDraw.Draw(sheet), kind, points)
        return True

    def drawn(self) -> Iterator[tuple[str, BoolArray]]:
        """Labels and their pixels, (H, W) bool."""
        for label, sheet in self._sheets.items():
            yield label, np.asarray(sheet) > 0

    def _covered(self, points: Float64Array, kind: str) -> float:
        """Pixels of the image that drawing a shape runs over, at most, and of what it draws in vain around it."""
        reach = math.dist(*points) if kind == "circle" else self._line_width if kind in LINES else 1.0
        low = np.clip(points.min(axis=0) - reach, 0, self._size[::-1])
        high = np.clip(points.max(axis=0) + reach, 0, self._size[::-1])
        return (
            float((high - low).prod())
            + 10.0 * len(points) ** 2
            + polygons.length(points) * (reach if kind in LINES else 1.0)
        )

    def _outline(self, pen: ImageDraw.ImageDraw, kind: str, points: Float64Array) -> None:
        corners = [(float(x), float(y)) for x, y in points]
        if kind == "circle":
            (x, y), (edge_x, edge_y) = corners
            reach = math.hypot(x - edge_x, y - edge_y)
            if reach > _MOST_REACH:  # far beyond it, Pillow takes minutes
                raise DatasetError(f"a circle is wider than {2 * _MOST_REACH:,} pixels; draw it again")
            pen.ellipse(((x - reach, y - reach), (x + reach, y + reach)), outline=1, fill=1)
        elif kind == "rectangle":
            (x0, y0), (x1, y1) = corners
            pen.rectangle(((min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))), outline=1, fill=1)
        elif kind in LINES:
            pen.line(corners, fill=1, width=self._line_width)
        else:
            pen.polygon(corners, outline=1, fill=1)

    def _paste(self, sheet: Image.Image, points: Float64Array, content: Any) -> None:
        """A mask with its upper left and lower right pixel; both belong to it."""
        (left, top), (right, bottom) = points.astype(np.int64).tolist()
        mask = imageio.read_mask(self._path, content=_decoded(content, "its mask")) != 0
        if mask.shape != (bottom - top + 1, right - left + 1):
            raise DatasetError(
                f"its mask is {mask.shape[1]}×{mask.shape[0]}, its corners span {right - left + 1}×{bottom - top + 1}; "
                "draw it again"
            )
        if left < 0 or top < 0 or right >= self._size[1] or bottom >= self._size[0]:
            raise DatasetError("its mask reaches out of the image; draw it again")
        ones = Image.fromarray(mask.astype(np.uint8) * 255)
        sheet.paste(1, (left, top), ones)


def _decoded(text: Any, what: str) -> bytes:
    if not isinstance(text, str):
        raise DatasetError(f"{what} is missing; save it again")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DatasetError(f"{what} is not valid base64; save it again") from None


# The source ----------------------------------------------------------------------------------------------------------

# What labelme's own converters make of these names.
_ROLES: Final[dict[str, Role]] = {"_background_": "background", "background": "background", "__ignore__": "ignore"}
_LOOKED_AT: Final = 20
_MOST_FINDINGS: Final = 10
_MOST_LABELS_BYTES: Final = 1 << 20


def _recognise(root: Path) -> str | None:
    for number, path in enumerate(listing.walk(root, suffixes=(".json",))):
        if _like_labelme(path):
            return f"{listing.shown(path, root)} holds shapes and the path of an image"
        if number >= _LOOKED_AT:
            break
    return None


def _like_labelme(path: Path) -> bool:
    content = json_file.ends(path)
    return b'"shapes"' in content and (
        b'"imagePath"' in content or b'"imageHeight"' in content or b'"imageData"' in content
    )


class LabelmeSource(listing.FileSource):
    """A folder of labelme files."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self.root = root
        self.name = source_name(root, "labelme")
        self._line_width = whole_number(options, "line_width", 1, 1000, f"such as {LINE_WIDTH}") or LINE_WIDTH
        findings: list[Finding] = []
        pictures = {path.relative_to(root).as_posix(): path for path in listing.images(root)}
        sheets = self._read_sheets(findings)
        files = listing.by_name(sheets, root, findings)
        self._sheets = {name: sheets[path] for name, path in files.items()}
        self._pictures = {name: _picture(sheet, root, pictures) for name, sheet in self._sheets.items()}
        if not self._sheets:
            first = f" ({findings[0].message})" if findings else ""
            raise DatasetError(
                f"{self.name} holds no labelme file that can be read; put them there, one an image{first}"
            )
        self.labels = self._order(findings)
        self.exclusive = len(self.labels) == 1
        paths = {name: sheet.path for name, sheet in self._sheets.items()}
        self.splits = splits.given_splits(root, paths, findings)
        self._tell(pictures, findings)
        self.findings = tuple(findings)

    def _read_sheets(self, findings: list[Finding]) -> dict[Path, Sheet]:
        sheets: dict[Path, Sheet] = {}
        for path in listing.walk(self.root, suffixes=(".json",)):
            if not _like_labelme(path):
                continue
            try:
                sheets[path] = read_sheet(path)
            except DatasetError as error:
                shown = listing.shown(path, self.root)
                findings.append(Finding.error("LABELME", f"{shown} is left out: {error}"))
        return sheets

    def _order(self, findings: list[Finding]) -> tuple[Label, ...]:
        """Labels that have an area somewhere, in the order of labels.txt if there is one, then of the alphabet."""
        drawn = {label for sheet in self._sheets.values() for label in sheet.labels}
        if not drawn:
            raise DatasetError(f"no labelme file of {self.name} holds a shape with an area and a label; draw some")
        if len(drawn) > MAX_LABELS:
            raise DatasetError(f"there are {len(drawn):,} labels, allowed are {MAX_LABELS:,}; correct their names")
        path = listing.child(self.root, "labels.txt")
        lines: list[str] = []
        if path is not None and path.is_file() and path.stat().st_size <= _MOST_LABELS_BYTES:
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        place = {line.strip(): number for number, line in reversed(list(enumerate(lines)))}
        names = sorted(drawn, key=lambda name: (place.get(name, len(lines)), name))
        return tuple(Label(name, role=_ROLES.get(name.casefold(), "class")) for name in names)

    def _tell(self, pictures: Mapping[str, Path], findings: list[Finding]) -> None:
        points = sum(sheet.points for sheet in self._sheets.values())
        lines = sum(sheet.lines for sheet in self._sheets.values())
        if points:
            findings.append(Finding.note("POINTS", f"{points:,} points mark no area and are passed over"))
        if lines:
            problem = f"{lines:,} lines are drawn {self._line_width} pixels wide; the option line_width changes that"
            findings.append(Finding.note("LINES", problem))
        left = len(set(pictures.values()) - set(self._pictures.values()))
        if left:
            problem = f"{left:,} pictures have no labelme file and are left out; save one without shapes for background"
            findings.append(Finding.note("IMAGE-UNLABELLED", problem))
        bare = [name for name, path in self._pictures.items() if path is None and self._sheets[name].data is None]
        if bare:
            problem = (
                f"{len(bare):,} labelme files have no picture, beside or inside them; add them: {', '.join(bare[:5])}"
            )
            findings.append(Finding.error("IMAGE-MISSING", problem))

    def names(self) -> tuple[str, ...]:
        """Every image that has a labelme file, sorted."""
        return tuple(self._sheets)

    def content(self, name: str) -> tuple[Path, bytes | None]:
        """The file of a picture; or that of its shapes, and the bytes of the picture inside it."""
        path, sheet = self._pictures[name], self._sheets[name]
        if path is not None:
            return path, None
        try:
            return sheet.path, embedded_picture(sheet)
        except DatasetError as error:
            raise DatasetError(f"{listing.shown(sheet.path, self.root)}: {error}") from None

    def truth(self, name: str) -> Truth:
        """Shapes of one label united; those of different labels may overlap. Raises DatasetError, one line."""
        sheet = self._sheets[name]
        shown = listing.shown(sheet.path, self.root)
        try:
            size = self.head(name)[0] if None in sheet.size else polygons.checked_size(*sheet.size)
        except DatasetError as error:
            raise DatasetError(f"{shown}: {error}") from None
        layers = blank_layers(len(self.labels), size)
        canvas = Canvas(size, sheet.path, line_width=self._line_width)
        findings: list[Finding] = []
        for number, shape in enumerate(shapes(sheet.path), start=1):
            try:
                canvas.draw(shape)
            except DatasetError as error:
                problem = f"{shown}, shape {number}: {error}"
                findings.append(Finding.error("ANNOTATION", problem))
                if len(findings) >= _MOST_FINDINGS:
                    raise DatasetError(f"{problem} (and {len(findings) - 1} others of this image)") from None
        at = {label.name: index for index, label in enumerate(self.labels)}
        for label, pixels in canvas.drawn():
            if label not in at:
                raise DatasetError(f"{shown} has changed since it was opened; open it again")
            layers[at[label]] = pixels
        return Truth(layers, np.ones(size, np.bool_), tuple(findings))

    def files(self) -> Iterable[Path]:
        """labelme's files and the pictures beside them."""
        yield from (sheet.path for sheet in self._sheets.values())
        yield from dict.fromkeys(path for path in self._pictures.values() if path is not None)


def _picture(sheet: Sheet, root: Path, pictures: Mapping[str, Path]) -> Path | None:
    """The picture that a file means, as long as it lies in the data set; else one of its own name beside it."""
    here = sheet.path.parent.relative_to(root).as_posix()
    given = (sheet.image_path or "").replace("\\", "/")
    wanted = [posixpath.join(here, given), posixpath.join(here, posixpath.basename(given))]
    wanted += [posixpath.join(here, sheet.path.stem + ending) for ending in imageio.IMAGE_SUFFIXES]
    return next((pictures[place] for place in map(posixpath.normpath, wanted) if place in pictures), None)


FORMAT = Format(
    "one labelme JSON file of shapes an image",
    _recognise,
    LabelmeSource,
    {"line_width": f"pixels that lines and line strips are drawn wide, {LINE_WIDTH} if nothing is said, as in labelme"},
)
