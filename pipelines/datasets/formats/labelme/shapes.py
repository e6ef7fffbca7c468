"""One labelme file to its shapes, and shapes to pixels, drawn as labelme draws them."""

import base64
import binascii
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw

from pipelines.arrays import BoolArray, Float64Array
from pipelines.datasets import imageio
from pipelines.datasets.formats import json_file, polygons
from pipelines.errors import DatasetError

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
    said: dict[str, Any] = {}
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
            said[member.key] = member.value
    asked = said.get("imagePath")
    return Sheet(
        path, asked if isinstance(asked, str) else None, (said.get("imageHeight"), said.get("imageWidth")), data,
        frozenset(labels), sum(kind in POINTS for kind in kinds), sum(kind in LINES for kind in kinds),
    )  # fmt: skip


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
