"""Outlines and run lengths of strangers' files to masks; everything is checked before compiled code sees it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from pycocotools import mask as coco_mask

from pipelines.arrays import BoolArray, Float64Array, Int64Array
from pipelines.datasets.imageio import MAX_PIXELS
from pipelines.errors import DatasetError

MAX_POINTS: Final = 1_000_000  # of one outline
MAX_REACH: Final = 1e6  # pixels that a coordinate may lie away from the corner
MAX_LENGTH: Final = 4_000_000  # pixels along one outline; compiled code takes 5 × 16 bytes for each

MAX_WORK: Final = 4_000_000_000  # pixels that all shapes of one image may run over

Run = dict[str, Any]  # pycocotools' own form: {"size": [height, width], "counts": bytes}

_COST: Final = 20  # of a pixel of an outline, against one that is only filled
_LONGEST_NUMBER: Final = 7  # letters; 35 bits
_LONGEST_TEXT: Final = 40  # letters of a number that is written as text
_COUNTS: Final = re.compile(r"[0-9]+([\s,]+[0-9]+)+")  # no text of COCO's own holds a space or a comma
_NESTED: Final = 4  # lists in lists: a polygon of pairs in a list of its own, in a list of polygons


class Work:
    """What drawing one image costs; so that a small file cannot keep a machine busy for hours."""

    def __init__(self) -> None:
        self._left = float(MAX_WORK)

    def spend(self, pixels: float) -> None:
        """Raises DatasetError, without naming a file, once all shapes together ran over MAX_WORK pixels."""
        self._left -= pixels
        if self._left < 0:
            raise DatasetError(f"its shapes run over more than {MAX_WORK:,} pixels; simplify them or cut the image")


def checked_size(height: Any, width: Any) -> tuple[int, int]:
    """Height and width of an image as a file tells them. Raises DatasetError unless they are sizes of an image."""
    told = f"{_told(width)}×{_told(height)}"
    height, width = as_number(height), as_number(width)
    if not all(_whole(side) and 1 <= side <= MAX_PIXELS for side in (height, width)) or height * width > MAX_PIXELS:
        raise DatasetError(
            f"its size is given as {told}, expected whole numbers and at most {MAX_PIXELS:,} pixels; correct it"
        )
    return int(height), int(width)


def outline(points: Any) -> Float64Array:
    """Points as (N, 2), x and y. Raises DatasetError, without naming a file, for what can't be one."""
    if not isinstance(points, Sequence) or isinstance(points, str) or len(points) > MAX_POINTS:
        raise DatasetError(f"an outline must be a list of at most {MAX_POINTS:,} points; draw it again")
    flat = [number for point in points for number in (point if isinstance(point, list) and len(point) == 2 else [None])]
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in flat):
        raise DatasetError("the points of an outline must be pairs of numbers, x and y; draw it again")
    return _within(flat)


def _within(flat: Sequence[Any]) -> Float64Array:
    try:
        points = np.array(flat, np.float64).reshape(-1, 2)
    except OverflowError:
        points = np.full((1, 2), np.inf)
    if not (np.isfinite(points).all() and (np.abs(points) <= MAX_REACH).all()):
        raise DatasetError("an outline has a coordinate that is not finite or far outside the image; draw it again")
    if length(points) > MAX_LENGTH:
        raise DatasetError(f"an outline is longer than {MAX_LENGTH:,} pixels; simplify it or draw it again")
    return points


def as_number(value: Any) -> float | None:
    """A number, also one that is written as text; None for anything else.

    >>> as_number("12.5"), as_number(3), as_number("a"), as_number(True)
    (12.5, 3, None, None)
    """
    if isinstance(value, str):
        try:
            return float(value) if len(value) <= _LONGEST_TEXT and "_" not in value else None
        except ValueError:
            return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def rectangle(
    left: float,
    top: float,
    right: float,
    bottom: float,
    *,
    turned: float = 0.0,
    about: tuple[float, float] | None = None,
) -> list[float]:
    """The outline of a box, x, y, x, y, …; turned: by degrees clockwise, about a point, its centre if none is given.

    >>> rectangle(0, 0, 4, 2)
    [0.0, 0.0, 4.0, 0.0, 4.0, 2.0, 0.0, 2.0]
    """
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    return _turned(corners, about or ((left + right) / 2, (top + bottom) / 2), turned)


def ellipse(x: float, y: float, reach_x: float, reach_y: float, *, turned: float = 0.0) -> list[float]:
    """The outline of an ellipse around x, y as a polygon of 360 points; turned: by degrees clockwise."""
    angles = np.arange(0, 2 * np.pi, np.pi / 180)
    points = np.stack([x + reach_x * np.cos(angles), y + reach_y * np.sin(angles)], axis=1)
    return _turned(points, (x, y), turned)


def _turned(points: Float64Array, center: tuple[float, float], degrees: float) -> list[float]:
    if degrees % 360:  # corners that are not turned stay exact
        angle = np.deg2rad(degrees)
        turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
        points = (points - center) @ turn + center
    flat: list[float] = points.ravel().tolist()
    return flat


def length(points: Float64Array) -> float:
    """Pixels along a closed outline, at least one a point."""
    steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1) + 1 if len(points) else np.zeros(0)
    return float(steps.sum())


def coco_runs(segmentation: Any, size: tuple[int, int], work: Work | None = None) -> tuple[list[Run], int]:
    """A COCO segmentation, polygons or run lengths, as pycocotools' own runs; and how many parts have no area.

    Beside COCO's own forms, polygons may be one list x, y, x, y, … or lists of pairs, run lengths a list of several or
    numbers in a text, numbers text, and all of it text in JSON.
    size: (height, width) of the image. work: what its other segmentations left.
    Raises DatasetError, without naming a file, for what can't be drawn.
    """
    if isinstance(segmentation, str):
        segmentation = _parsed(segmentation)
    if isinstance(segmentation, list) and segmentation and all(_holds_runs(part) for part in segmentation):
        return [run for part in segmentation for run in coco_runs(part, size, work)[0]], 0
    if isinstance(segmentation, list):
        return _polygons(outlines(segmentation), size, work or Work())
    if not isinstance(segmentation, Mapping):
        raise DatasetError("its segmentation is neither polygons nor run lengths; export it again")
    own = segmentation.get("size")
    if not isinstance(own, list) or tuple(map(as_number, own)) != size:
        given = f"{_told(own[1])}×{_told(own[0])}" if isinstance(own, list) and len(own) == 2 else "missing"
        raise DatasetError(
            f"the size of its run lengths is {given}, its image is {size[1]}×{size[0]}; export it for this image"
        )
    counts = segmentation.get("counts")
    if isinstance(counts, str) and _COUNTS.fullmatch(counts):
        counts = counts.replace(",", " ").split()
    if isinstance(counts, list):
        runs = _numbers(counts)
    elif isinstance(counts, str):
        # Python's own way to write bytes: what is left of them where a script has written str(counts).
        runs = run_lengths(counts[2:-1].replace("\\\\", "\\") if is_bytes_text(counts) else counts)
    else:
        raise DatasetError("its run lengths are missing (counts); export it again")
    if runs.min(initial=0) < 0 or int(runs.sum()) != size[0] * size[1]:
        raise DatasetError(
            f"its run lengths cover {int(runs.sum()):,} pixels, its image has {size[0] * size[1]:,}; export it again"
        )
    return [coco_mask.frPyObjects({"size": list(size), "counts": runs.tolist()}, *size)], 0


def merged(runs: Sequence[Run]) -> Run:
    """Some runs of one size, at least one, as one: the pixels that any of them covers."""
    return coco_mask.merge(list(runs)) if len(runs) > 1 else runs[0]


def union(runs: Sequence[Run]) -> BoolArray:
    """Pixels that at least one of some runs of one size covers, (H, W) bool."""
    whole = merged(runs)
    height, width = whole["size"]
    # pycocotools' own decode uses a part of NumPy's interface that is going away.
    counts = run_lengths(whole["counts"].decode("ascii"))
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def run_lengths(text: str) -> Int64Array:
    """COCO's compressed run lengths as numbers. Raises DatasetError, without naming a file, unless they are whole.

    Groups of 5 bits, lowest first, in letters from 48 on; the sixth bit says that another follows, the highest bit of
    the last is the sign. From the fourth number on each is the difference to the last but one.
    """
    try:
        letters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        letters = np.full(1, -1)
    if not letters.size:
        raise DatasetError("its run lengths are empty; export it again")
    if letters.min() < 0 or letters.max() > 63 or letters[-1] & 32:
        raise DatasetError("its run lengths are no whole COCO text (counts); export it again")
    last = np.flatnonzero(letters & 32 == 0)
    first = np.concatenate(([0], last[:-1] + 1))
    long = last - first + 1
    if long.max() > _LONGEST_NUMBER:
        raise DatasetError("its run lengths hold a number without an end (counts); export it again")
    place = np.arange(len(letters)) - np.repeat(first, long)
    numbers = np.add.reduceat((letters & 31) << (5 * place), first)
    numbers -= np.where(letters[last] & 16, np.int64(1) << (5 * long), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def _holds_runs(part: Any) -> bool:
    return isinstance(part, Mapping) and "counts" in part


def _parsed(segmentation: str) -> Any:
    """A segmentation that was written as a text of JSON; None for any other text."""
    try:
        return json.loads(segmentation)
    except (ValueError, RecursionError):
        return None


def is_bytes_text(counts: str) -> bool:
    """Whether run lengths were written as str(bytes), such as "b'PPYo1'"; no quote can be in COCO's own text."""
    return counts[:2] in ("b'", 'b"') and counts[1:2] == counts[-1:] and len(counts) > 3


def outlines(value: list[Any], nested: int = _NESTED) -> list[list[Any]]:
    """Polygons, however they are nested, as COCO has them: one list x, y, x, y, … each. What is no number stays.

    >>> outlines([1, 2, 3, 4, 5, 6]), outlines([[[1, 2], [3, 4], [5, 6]]])
    ([[1, 2, 3, 4, 5, 6]], [[1, 2, 3, 4, 5, 6]])
    """
    if nested == 0 or not value or not all(isinstance(part, list) for part in value):
        return [value] if value else []
    if len(value) > 2 and all(len(part) == 1 for part in value):  # as OpenCV's contours are
        value = [part[0] if isinstance(part[0], list) else part for part in value]
    if len(value) > 2 and all(len(part) == 2 and not any(isinstance(side, list) for side in part) for part in value):
        return [[number for pair in value for number in pair]]
    return [outline for part in value for outline in (outlines(part, nested - 1) or [[]])]


def _polygons(parts: list[list[Any]], size: tuple[int, int], work: Work) -> tuple[list[Run], int]:
    height, width = size
    runs, empty = [], 0
    for part in parts:
        if len(part) > 2 * MAX_POINTS:
            raise DatasetError(f"a polygon has more than {MAX_POINTS:,} points; simplify it")
        numbers = [as_number(number) for number in part]
        if None in numbers:
            raise DatasetError("a polygon holds something else than numbers; export it again")
        if len(numbers) % 2:
            raise DatasetError(
                f"a polygon is not a list x, y, x, y, … but holds {len(numbers):,} numbers, and one has no pair; "
                "export it again"
            )
        points = _within(numbers)
        if len(points) < 3:
            empty += 1
        else:
            work.spend(_COST * length(points))
            # Four numbers would be read as a box; three points are the fewest here.
            runs += coco_mask.frPyObjects([points.ravel().tolist()], height, width)
    return runs, empty


def _numbers(counts: list[Any]) -> Int64Array:
    numbers: list[Any] = [as_number(count) for count in counts]
    if not all(_whole(number) and 0 <= number <= MAX_PIXELS for number in numbers):
        raise DatasetError("its run lengths (counts) are not whole numbers of pixels; export it again")
    return np.array(numbers, np.int64)


def _whole(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _told(value: Any) -> str:
    if value is None:
        return "nothing"
    return repr(value)[:20] if isinstance(value, (int, float, str)) else f"a {type(value).__name__}"
