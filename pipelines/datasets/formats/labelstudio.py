"""Label Studio: a JSON export of tasks with brushes, polygons, ellipses and rectangles, and pictures."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from pipelines.arrays import BoolArray, UInt8Array
from pipelines.datasets import imageio, listing, splits
from pipelines.datasets.base import Finding, Format, Label, Size, Truth, source_name
from pipelines.datasets.formats import json_file, polygons
from pipelines.datasets.formats.drawing import Drawing, label_named
from pipelines.datasets.options import choice, whole_number
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.sentences import first_of, listed, printable

# Brushes -------------------------------------------------------------------------------------------------------------

_CHANNELS: Final = 4  # red, green, blue and alpha of every pixel; alpha is the brush


def decode_brush(runs: Any, size: Size) -> BoolArray:
    """A brush's pixels, (H, W) bool: those whose alpha is more than half of its largest.

    runs: bytes, as whole numbers, of a stream of bits: the number of values (32 bits), the bits of a value less one
    (5), the bits of a length less one, for each of four kinds of length (4 each); then for each run whether it repeats
    one value (1), the kind of its length (2), its length less one, and its value, or as many values as its length.
    Raises DatasetError, without naming the file, unless they are the pixels of an image of that size.
    """
    if not isinstance(runs, list) or not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in runs):
        raise DatasetError("its runs (rle) are not a list of bytes; export it again")
    stream = _Bits(np.array(runs, np.uint8))
    count, width = stream.number(32), stream.number(5) + 1
    lengths = [stream.number(4) + 1 for _ in range(4)]
    pixels = size[0] * size[1]
    if count != _CHANNELS * pixels or width > 8:
        raise DatasetError(
            f"its runs hold {count:,} values of {width} bits, expected {_CHANNELS * pixels:,} of 8 for "
            f"{size[1]}×{size[0]} pixels; export it for this image"
        )
    values = np.zeros(count, np.uint8)
    at = 0
    while at < count:
        repeats = stream.number(1)
        end = at + 1 + stream.number(lengths[stream.number(2)])
        if end > count:
            raise DatasetError("its runs reach beyond the image; export it again")
        values[at:end] = stream.number(width) if repeats else stream.numbers(end - at, width)
        at = end
    alpha = values.reshape(*size, _CHANNELS)[:, :, -1]
    marked: BoolArray = alpha > alpha.max() // 2
    return marked


class _Bits:
    """Bits of some bytes to whole numbers, the highest bit first."""

    def __init__(self, content: UInt8Array) -> None:
        self._bits = np.unpackbits(content)
        self._text = self._bits.tobytes().translate(bytes.maketrans(b"\0\1", b"01"))
        self._at = 0

    def number(self, width: int) -> int:
        """The next number. Raises DatasetError at the end."""
        begin = self._move(width)
        return int(self._text[begin : self._at], 2)

    def numbers(self, count: int, width: int) -> UInt8Array:
        """The next numbers of at most 8 bits. Raises DatasetError at the end."""
        begin = self._move(count * width)
        bits = self._bits[begin : self._at].reshape(count, width)
        return np.packbits(bits, axis=1)[:, 0] >> np.uint8(8 - width)

    def _move(self, width: int) -> int:
        begin = self._at
        self._at += width
        if self._at > len(self._text):
            raise DatasetError("its runs end too early; export it again")
        return begin


# Results -------------------------------------------------------------------------------------------------------------

_AREAS: Final = ("brush", "polygon", "rectangle", "ellipse")


@dataclass(frozen=True)
class Region:
    """A region of an annotation. kind: brush, polygon, … or what else it is. size: of its image, as told."""

    kind: str
    labels: tuple[str, ...]
    value: Mapping[str, Any]
    size: tuple[Any, Any]
    turned: Any

    def draw(self, labels: Sequence[int], size: Size, drawing: Drawing) -> None:
        """Draw a region that has an area, for each of its labels. Raises DatasetError when it can't be drawn."""
        if self.turned not in (0, None):
            raise DatasetError(
                f"its image was turned by {self.turned}° in Label Studio; turn the picture and label that"
            )
        value = self.value
        if self.kind == "brush":
            pixels = decode_brush(value.get("rle"), size)
            for label in labels:
                drawing.paste(pixels, label)
            return
        if self.kind == "polygon":
            outline = polygons.outline(value.get("points")).ravel().tolist()
        else:
            keys = ("x", "y", "width", "height") if self.kind == "rectangle" else ("x", "y", "radiusX", "radiusY")
            sides = [polygons.as_number(value.get(key)) for key in keys]
            angle = polygons.as_number(value.get("rotation", 0))
            if None in sides or angle is None:
                raise DatasetError(f"it lacks one of the numbers {listed(keys)}; export it again")
            # Turned in pixels, not in shares of sides that differ.
            x, y, wide, high = (float(side or 0) * size[1 - place % 2] / 100 for place, side in enumerate(sides))
            if self.kind == "rectangle":
                outline = polygons.rectangle(x, y, x + wide, y + high, turned=angle, about=(x, y))
            else:
                outline = polygons.ellipse(x, y, wide, high, turned=angle)
        if self.kind == "polygon":
            outline = [share * size[1 - place % 2] / 100 for place, share in enumerate(outline)]
        for label in labels:
            drawing.polygon(outline, label)


def regions(task: Mapping[str, Any], annotation: int) -> Iterator[Region] | None:
    """Regions of one annotation of a task, by its number from 0; None where there is no such annotation.

    In the short form of exports (JSON-MIN) a task has one, under the names of its controls.
    """
    given = task.get("annotations", task.get("completions"))
    if isinstance(given, list):
        whole = [row for row in given if isinstance(row, dict) and not row.get("was_cancelled")]
        whole.sort(key=lambda row: not row.get("ground_truth"))  # stable: the checked one first, then in order
        if annotation >= len(whole):
            return None
        results = whole[annotation].get("result")
        rows = [
            (row, row["value"])
            for row in (results if isinstance(results, list) else [])
            if isinstance(row, dict) and isinstance(row.get("value"), dict)
        ]
    else:
        if annotation:
            return None
        lists = (value for value in task.values() if isinstance(value, list))
        rows = [(row, row) for value in lists for row in value if isinstance(row, dict)]
        if not rows and "annotator" not in task and "annotation_id" not in task:
            return None
    return (_region(row, value) for row, value in rows)


def _region(row: Mapping[str, Any], value: Mapping[str, Any]) -> Region:
    named = next((key for key in value if isinstance(key, str) and key.endswith("labels")), None)
    labels = value.get(named) if named is not None else None
    kind = (named or str(row.get("type", "?")))[:30].removesuffix("labels") or _kind_by(value)
    return Region(
        kind if kind != "brush" or value.get("format") == "rle" else "brush without runs",
        tuple(label for label in (labels if isinstance(labels, list) else []) if isinstance(label, str) and label),
        value,
        (row.get("original_height"), row.get("original_width")),
        row.get("image_rotation"),
    )


def _kind_by(value: Mapping[str, Any]) -> str:
    """The kind of a region whose control, Labels, does not tell it."""
    if value.get("format") == "rle":
        return "brush"
    if "points" in value:
        return "polygon"
    return "ellipse" if "radiusX" in value else "rectangle" if "height" in value else "point"


# Exports -------------------------------------------------------------------------------------------------------------

_MOST_FILES: Final = 20
_UPLOADED: Final = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio sets before the name of an uploaded file
_HINTS: Final = (
    *(b'"original_width"', b'"original_height"', b'labels"', b'"to_name"', b'"completed_by"', b'"annotation_id"'),
    *(b'"file_upload"', b'"lead_time"', b'"was_cancelled"'),
)


@dataclass(frozen=True)
class Task:
    """A task of an export. names: that its picture may have, the likeliest first. start, end: its bytes in the file."""

    path: Path
    title: str
    names: tuple[str, ...]
    start: int
    end: int


def exports(root: Path) -> Iterator[Path]:
    """JSON files that hold a list of tasks, at the top and in the folders right under it."""
    for path in islice(listing.walk(root, suffixes=(".json",), depth=1), 200):
        content = json_file.ends(path, b"[")
        if sum(hint in content for hint in _HINTS) > 1:
            yield path


def picture_names(task: Mapping[str, Any]) -> tuple[str, ...]:
    """Names that the picture of a task may have: its path, and without what an upload set before it.

    >>> picture_names({"data": {"image": "/data/upload/3/0a1b2c3d-cell%201.png"}})
    ('data/upload/3/0a1b2c3d-cell 1.png', 'cell 1.png')
    >>> picture_names({"image": "/data/local-files/?d=set/a.png"})
    ('set/a.png',)
    """
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [data.get("image"), data.get("img"), *data.values(), task.get("file_upload")]
    names = (_path_of(text) for text in texts if isinstance(text, str) and len(text) <= 2000)
    path = next((name for name in names if name.lower().endswith(imageio.IMAGE_SUFFIXES)), None)
    if path is None:
        return ()
    name = posixpath.basename(path)
    return (path, _UPLOADED.sub("", name, count=1)) if _UPLOADED.match(name) else (path,)


def _path_of(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    local = parse_qs(parts.query).get("d")
    path = local[0] if local else unquote(parts.path if parts.scheme else address.partition("?")[0])
    return path.replace("\\", "/").lstrip("/")


# The source ----------------------------------------------------------------------------------------------------------


def _recognise(root: Path) -> str | None:
    first = next(exports(root), None)
    return None if first is None else f"{listing.shown(first, root)} holds tasks with annotations"


class LabelStudioSource(listing.FileSource):
    """Pictures of Label Studio's tasks."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self.root = root
        self.name = source_name(root, "Label Studio")
        self._boxes = choice(options, "boxes", ["fill", "skip"], "fill")
        self._annotation = (whole_number(options, "annotation", 1, 1000, "such as 1") or 1) - 1
        findings: list[Finding] = []
        self._exports = list(islice(exports(root), _MOST_FILES))
        if not self._exports:
            raise DatasetError(f"{self.name} holds no JSON file of tasks; export the project as JSON")
        tasks = self._read_tasks(findings)
        self._find_images(tasks, findings)
        self.findings = tuple(findings)

    def _read_tasks(self, findings: list[Finding]) -> list[Task]:
        """Tasks with an annotation, and labels of all regions."""
        tasks: list[Task] = []
        shapes: Counter[str] = Counter()
        drawn: dict[str, None] = {}
        left = several = 0
        for path in self._exports:
            title = listing.shown(path, self.root)
            for member in json_file.elements(path):
                task = member.value if isinstance(member.value, dict) else {}
                inside = regions(task, self._annotation)
                if inside is None:
                    left += 1
                    continue
                several += regions(task, 1) is not None
                for region in inside:
                    shapes[region.kind] += 1
                    if region.kind in _AREAS and len(drawn) <= MAX_LABELS:
                        drawn |= dict.fromkeys(label for label in region.labels if len(label) <= 500)
                if len(tasks) >= listing.MAX_FILES:
                    raise DatasetError(f"there are more than {listing.MAX_FILES:,} tasks; split the project")
                tasks.append(Task(path, title, picture_names(task), member.start, member.end))
        if not drawn or len(drawn) > MAX_LABELS:
            found = f"more than {MAX_LABELS:,} labels" if drawn else "no labelled brush, polygon, ellipse or rectangle"
            raise DatasetError(f"the tasks of {self.name} hold {found}; label some and export it again")
        self._at = {label: index for index, label in enumerate(sorted(drawn))}
        self.labels: tuple[Label, ...] = tuple(label_named(label) for label in self._at)
        self.exclusive = len(self.labels) == 1
        if left:
            findings.append(Finding.note("IMAGE-UNLABELLED", f"{left:,} tasks have no annotation and are left out"))
        if several:
            problem = (
                f"{several:,} tasks have several annotations: number {self._annotation + 1} is read, checked ones first"
            )
            findings.append(Finding.note("SEVERAL", f"{problem}; the option annotation changes that"))
        if shapes["rectangle"]:
            done = "are filled" if self._boxes == "fill" else "are left out"
            findings.append(
                Finding.note("BOXES", f"{shapes['rectangle']:,} rectangles {done}; the option boxes changes that")
            )
        others = {kind: count for kind, count in shapes.items() if kind not in _AREAS}
        if others:
            shown = listed(f"{count:,} {printable(kind)}" for kind, count in sorted(others.items())[:8])
            findings.append(Finding.note("NO-AREA", f"results without area are passed over: {shown}"))
        return tasks

    def _find_images(self, tasks: Sequence[Task], findings: list[Finding]) -> None:
        """Set images, their tasks, and splits."""
        files = listing.PictureFiles(self.root)
        unnamed = sum(not task.names for task in tasks)
        if unnamed:
            problem = f"{unnamed:,} tasks name no picture by a file ending such as .png and are left out"
            findings.append(Finding.warning("IMAGE-UNNAMED", problem))
        wanted = ((task, self._likeliest(files, task), ("", "images")) for task in tasks if task.names)
        shown = first_of([listing.shown(path, self.root) for path in self._exports], 3)
        stands = files.match(wanted, shown, findings)
        if not stands:
            raise DatasetError(
                f"none of the pictures of {shown} lie in {self.name}; put them there, under the names it gives them"
            )
        again = sum(len(each) - 1 for each in stands.values())
        if again:
            problem = f"{again:,} tasks are about the picture of another task; the first is read"
            findings.append(Finding.warning("TASK-TWICE", problem))
        self.images = listing.by_name(sorted(stands), self.root, findings)
        self._tasks = {name: stands[path][0] for name, path in self.images.items()}
        self.splits = splits.given_splits(self.root, self.images, findings)

    @staticmethod
    def _likeliest(files: listing.PictureFiles, task: Task) -> str:
        there = (name for name in task.names if files.find(name)[0] is not None)
        return next(there, task.names[0])

    def truth(self, name: str) -> Truth:
        """Regions of one label united; those of different labels may overlap. Raises DatasetError, one line."""
        task = self._tasks[name]
        (value,) = json_file.pieces(task.path, [(task.start, task.end)])
        inside = list(regions(value, self._annotation) or ()) if isinstance(value, dict) else []
        given = [region.size for region in inside if region.kind in _AREAS and None not in region.size]
        try:
            sizes = {polygons.checked_size(*size) for size in given}
        except DatasetError as error:
            raise DatasetError(f"{name} in {task.title}: {error}") from None
        if len(sizes) > 1:
            raise DatasetError(f"{name} has regions for several sizes in {task.title}; export it again")
        size = sizes.pop() if sizes else self.head(name)[0]
        drawing = Drawing(size, len(self.labels))
        for number, region in enumerate(inside, start=1):
            if region.kind not in _AREAS or (region.kind == "rectangle" and self._boxes == "skip"):
                continue
            with drawing.shape(f"region {number} of {name} ({task.title})"):
                if not region.labels or not set(region.labels) <= set(self._at):
                    raise DatasetError("it has no label of 1 to 500 letters; label it")
                region.draw([self._at[label] for label in region.labels], size, drawing)
        return drawing.truth(name)

    def files(self) -> Iterable[Path]:
        """Exports and pictures."""
        yield from self._exports
        yield from self.images.values()


FORMAT: Final = Format(
    "Label Studio: a JSON export with pictures",
    _recognise,
    LabelStudioSource,
    {
        "boxes": "what rectangles are: fill (areas, the default) or skip",
        "annotation": "which annotation of a task that has several, from 1; those marked as ground truth come first",
    },
)
