"""Tables of run lengths, as Kaggle's competitions have them: a CSV file of ImageId and EncodedPixels, and pictures."""

import csv
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.arrays import BoolArray, Int64Array
from pipelines.datasets import listing, splits
from pipelines.datasets.base import Finding, Format, Size, Truth, source_name
from pipelines.datasets.files import readable
from pipelines.datasets.formats import json_file, polygons
from pipelines.datasets.formats.drawing import Drawing, label_named
from pipelines.datasets.options import choice, whole_number
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.schema import Split
from pipelines.sentences import first_of, printable

# Tables --------------------------------------------------------------------------------------------------------------

# Names of columns, in lower case and without signs.
_RUNS: Final = ("encodedpixels", "rlemask", "maskrle", "rle", "rleencoding", "encoding", "segmentation", "annotation")
_IMAGES: Final = ("imageid", "image", "img", "imgid", "id", "filename", "imagename", "file", "name")
_IMAGE_AND_CLASS: Final = ("imageidclassid", "imagelabel", "imageidlabel", "imageidclass")
_CLASSES: Final = ("classid", "class", "classname", "label", "category", "categoryid", "celltype")
_ANY_TEXT: Final = ("encoding", "segmentation", "annotation")  # they may hold something else than runs
# Which way runs go where Kaggle's competitions agree on it: Severstal, Airbus, TGS Salt, HuBMAP; Sartorius, UW-Madison.
_DOWN_COLUMNS: Final = ("encodedpixels", "rlemask", "encoding")
_ALONG_ROWS: Final = ("segmentation", "annotation")

_EMPTY: Final = ("", "nan", "none", "null", "-1")
_PAIRS: Final = re.compile(r"[0-9]+( +[0-9]+)*")
_LIST_SIGNS: Final = str.maketrans("[](),", "     ")
_FAR: Final = 1 << 40  # beyond any image
_MOST_TABLES: Final = 20
_MOST_ROWS: Final = 5_000_000
_MOST_OF_IMAGE: Final = 100_000
_LONGEST_ROW: Final = json_file.MAX_VALUE


@dataclass
class Table:
    """A CSV file of run lengths. image, runs, class_, height, width: numbers of its columns, None for one it lacks.

    joined: image and class are in one column, as in a.jpg_1. places: image to start, end and line, start, end, line, …
    of its rows, in bytes of the file. classes: as they are written, in the order of the file.
    """

    path: Path
    title: str
    delimiter: str
    header: tuple[str, ...]
    image: int
    runs: int
    class_: int | None = None
    height: int | None = None
    width: int | None = None
    joined: bool = False
    places: dict[str, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    classes: dict[str, None] = field(default_factory=dict)

    def index(self) -> None:
        """Find the rows of every image. Raises DatasetError, one line, for a table that cannot be read."""
        with readable(self.path), self.path.open("rb") as file:
            start = len(file.readline(_LONGEST_ROW + 1))
            for line, row in enumerate(iter(lambda: file.readline(_LONGEST_ROW + 1), b""), start=2):
                if len(row) > _LONGEST_ROW or line > _MOST_ROWS:
                    raise DatasetError(
                        f"{self.title}, line {line:,}: a row may have {_LONGEST_ROW:,} bytes, a table "
                        f"{_MOST_ROWS:,} rows; split it into parts"
                    )
                if row.strip():
                    image, label, _ = self.read(row, line)
                    places = self.places[image]
                    places.extend((start, start + len(row), line))
                    if len(places) > 3 * _MOST_OF_IMAGE:
                        raise DatasetError(
                            f"{self.title}, line {line:,}: {printable(image[-80:])} has more than {_MOST_OF_IMAGE:,} "
                            "rows; unite its masks"
                        )
                    if label is not None:
                        self.classes[label] = None
                start += len(row)
        if len(self.classes) > MAX_LABELS:
            raise DatasetError(
                f"{self.title} has {len(self.classes):,} classes, allowed are {MAX_LABELS:,}; correct it"
            )

    def read(self, row: bytes, line: int) -> tuple[str, str | None, str]:
        """Image, class and runs of a row, "" for no runs. Raises DatasetError, one line."""
        cells = self._cells(row, line)
        image, label = cells[self.image].strip(), None if self.class_ is None else cells[self.class_].strip()
        if self.joined:
            image, _, label = image.rpartition("_")
        if not 0 < len(image) <= 1000:
            raise DatasetError(f"{self.title}, line {line:,}: it names no image; correct or remove the row")
        label = re.sub(r"^(\d+)\.0+$", r"\1", label) if label else None
        if label is not None and len(label) > listing.MAX_NAME:
            raise DatasetError(f"{self.title}, line {line:,}: its class has more than {listing.MAX_NAME} letters")
        runs = _bare(cells[self.runs])
        return image, label, "" if runs.casefold() in _EMPTY else runs

    def size(self, row: bytes, line: int) -> Size | None:
        """Height and width of an image as a row tells them. Raises DatasetError, one line."""
        if self.height is None or self.width is None:
            return None
        cells = self._cells(row, line)
        try:
            return polygons.checked_size(cells[self.height], cells[self.width])
        except DatasetError as error:
            raise DatasetError(f"{self.title}, line {line:,}: {error}") from None

    def rows(self, image: str) -> Iterator[tuple[bytes, int]]:
        """Rows of an image, and their lines."""
        places = self.places.get(image, array("q"))
        with readable(self.path), self.path.open("rb") as file:
            for start, end, line in zip(places[::3], places[1::3], places[2::3], strict=True):
                file.seek(start)
                yield file.read(end - start), line

    def _cells(self, row: bytes, line: int) -> list[str]:
        try:
            cells = _split(row.decode("utf-8-sig", errors="replace"), self.delimiter)
        except csv.Error as error:
            raise DatasetError(f"{self.title}, line {line:,} is no row of a table ({error}); correct it") from None
        if len(cells) != len(self.header):
            raise DatasetError(
                f"{self.title}, line {line:,} has {len(cells)} cells, its header {len(self.header)}; correct it"
            )
        return cells


def read_header(path: Path, root: Path) -> Table | None:
    """A table of runs by its header and its first rows; None for any other file; never raises."""
    try:
        with path.open("rb") as file:
            head = file.read(json_file.HEAD).decode("utf-8-sig", errors="replace")
    except OSError:
        return None
    lines = head.splitlines()
    for delimiter in ",;\t":
        try:
            rows = [_split(line, delimiter) for line in lines[:50]]
        except csv.Error:
            continue
        names = [re.sub(r"[\W_]", "", name.casefold()) for name in rows[0]] if rows else []
        runs, joined = _column(names, _RUNS), _column(names, _IMAGE_AND_CLASS)
        image = _column(names, _IMAGES) if joined is None else joined
        if runs is None or image is None:
            continue
        cells = [_bare(row[runs]) for row in rows[1:] if len(row) == len(names)]
        filled = [cell for cell in cells if cell.casefold() not in _EMPTY]
        if names[runs] in _ANY_TEXT and not (filled and _PAIRS.fullmatch(filled[0])):
            continue
        return Table(
            path,
            listing.shown(path, root),
            delimiter,
            tuple(names),
            image=image,
            runs=runs,
            class_=_column(names, _CLASSES),
            height=_column(names, ("height", "imageheight")),
            width=_column(names, ("width", "imagewidth")),
            joined=joined is not None,
        )
    return None


def tables(root: Path) -> Iterator[Table]:
    """Tables of runs at the top and in the folders right under it."""
    for path in islice(listing.walk(root, suffixes=(".csv", ".tsv"), depth=1), _MOST_TABLES):
        table = read_header(path, root)
        if table is not None:
            yield table


def spans(runs: str, pixels: int, first: int) -> tuple[Int64Array, Int64Array]:
    """Starts and ends of runs, from 0, ends not included. first: the number of the first pixel.

    Raises DatasetError, without naming the row, unless they are whole pairs, ascend and stay inside the image.

    >>> spans("1 3 10 2", 12, 1)
    (array([0, 9]), array([ 3, 11]))
    """
    if not _PAIRS.fullmatch(runs):
        raise DatasetError(f"its runs are not pairs of start and length, but {printable(runs[:30])!r}; correct them")
    numbers = np.fromstring(runs, np.int64, sep=" ")  # what is too large for 64 bits comes as the largest number
    if len(numbers) % 2:
        raise DatasetError(f"its runs are {len(numbers):,} numbers, and the last start has no length; correct them")
    starts, lengths = np.minimum(numbers[::2], _FAR) - first, np.minimum(numbers[1::2], _FAR)
    ends = starts + lengths
    if starts.min(initial=0) < 0 or lengths.min(initial=1) < 1:
        raise DatasetError(
            f"its runs begin before pixel {first} or have no length; where the first pixel is 0, say first=0"
        )
    if ends.max(initial=0) > pixels:
        raise DatasetError(
            f"its runs reach pixel {int(ends.max()) - 1 + first:,}, its image has {pixels:,}; take the table of these "
            "images"
        )
    if (starts[1:] < ends[:-1]).any():
        raise DatasetError("its runs do not ascend; write them with absolute starts, in ascending order")
    return starts, ends


def fill(runs: Sequence[tuple[Int64Array, Int64Array]], size: Size, order: str) -> BoolArray:
    """Pixels of some runs, (H, W) bool. order: column (down the columns, one after the other) or row.

    >>> fill([(np.array([0]), np.array([2]))], (2, 3), "column").astype(int)
    array([[1, 0, 0],
           [1, 0, 0]])
    """
    change = np.zeros(size[0] * size[1] + 1, np.int32)
    for starts, ends in runs:
        np.add.at(change, starts, 1)
        np.add.at(change, ends, -1)
    inside = np.cumsum(change, out=change)[:-1] > 0
    return inside.reshape(size) if order == "row" else inside.reshape(size[::-1]).T


def _bare(runs: str) -> str:
    """Runs without what Python's lists have around their numbers."""
    return runs.translate(_LIST_SIGNS).strip()


def _split(text: str, delimiter: str) -> list[str]:
    text = text.rstrip("\r\n")
    return next(csv.reader([text], delimiter=delimiter), []) if '"' in text else text.split(delimiter)


def _column(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


# The source ----------------------------------------------------------------------------------------------------------

_ORDERS: Final = {"column": "down the columns", "row": "along the rows"}
_LOOKED_AT: Final = 100  # rows that tell whether images are named by their files
_MOST_WORDS: Final = 6  # of a picture's name that an image may be named by
_SAMPLED: Final = 24  # images that tell which way runs go
_SAMPLED_PIXELS: Final = 1 << 26
_SHORTER: Final = 0.8  # of the outlines in the right order, against those in the wrong one
_ONE_CLASS: Final = "object"


def _recognise(root: Path) -> str | None:
    table = next((table for table in tables(root) if not _is_submission(table)), None)
    return None if table is None else f"{table.title} holds images and run lengths"


class RleTableSource(listing.FileSource):
    """Pictures, and tables of what is on them."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self.root = root
        self.name = source_name(root, "run lengths")
        order = choice(options, "order", list(_ORDERS))
        first = whole_number(options, "first", 0, 1, "such as 1")
        self._first = 1 if first is None else first
        missing = choice(options, "missing", ["empty", "skip"], "empty")
        findings: list[Finding] = []
        self._tables = self._choose(options.get("table"), findings)
        for table in self._tables:
            table.index()
        self._name_labels()
        self._find_images(missing, findings)
        self._order = order or self._order_told(findings)
        self.findings = tuple(findings)

    def _choose(self, pattern: str | None, findings: list[Finding]) -> list[Table]:
        there = list(tables(self.root))
        taken = [table for table in there if (_wanted(table, pattern) if pattern else not _is_submission(table))]
        if not taken:
            asked = (
                f"no table of run lengths is called {pattern[:80]!r}" if pattern else "there is no table of run lengths"
            )
            found = ", ".join(table.title for table in there) or "none"
            raise DatasetError(f"{asked} (found: {found}); it has columns such as ImageId and EncodedPixels")
        left = [table.title for table in there if table not in taken]
        if left:
            problem = f"{first_of(left, 5)} are not read; the option table names the files to take"
            findings.append(Finding.note("FILE-UNUSED", problem))
        return taken

    def _name_labels(self) -> None:
        keys = {key for table in self._tables for key in table.classes}
        if any(table.class_ is None and not table.joined for table in self._tables) or not keys:
            keys.add(_ONE_CLASS)
        numbers = sorted((key for key in keys if key.isdecimal()), key=lambda key: (int(key[:20]), key))
        ordered = [*numbers, *sorted(keys - set(numbers))]
        if len(ordered) > MAX_LABELS:
            raise DatasetError(f"there are {len(ordered):,} classes, allowed are {MAX_LABELS:,}; correct the tables")
        self._labels = {key: index for index, key in enumerate(ordered)}
        self.labels = tuple(label_named(f"class {key}" if key.isdecimal() else key) for key in ordered)
        self.exclusive = len(self.labels) == 1

    def _find_images(self, missing: str, findings: list[Finding]) -> None:
        """Set images, their rows, and splits."""
        files = listing.PictureFiles(self.root)
        named = [(table, image) for table in self._tables for image in table.places]
        known = any(files.find(image, _folders(table, self.root))[0] for table, image in named[:_LOOKED_AT])
        paths = {} if known else _paths_by_folder(files, self.root)
        wanted = (((table, image), paths.get(image, image), _folders(table, self.root)) for table, image in named)
        shown = first_of([table.title for table in self._tables], 3)
        unlisted = "nothing is on them" if missing == "empty" else "are left out"
        stands = files.match(wanted, shown, findings, unlisted=f"{unlisted}; the option missing changes that")
        if not stands:
            raise DatasetError(
                f"none of the images that {shown} names lie in {self.name}; put them there, under their names"
            )
        folders = {path.parent for path in stands}
        elsewhere = [path for path in files.paths() if path.parent not in folders]
        if elsewhere:
            problem = f"{len(elsewhere):,} pictures in folders of which no table names one are left out"
            findings.append(
                Finding.note("IMAGE-ELSEWHERE", f"{problem}, such as {listing.shown(elsewhere[0], self.root)}")
            )
        empty = [path for path in files.paths() if path.parent in folders] if missing == "empty" else []
        self.images = listing.by_name(sorted({*stands, *empty}), self.root, findings)
        self._stands = {name: stands.get(path, []) for name, path in self.images.items()}
        of_tables = {table.path: splits.split_named(table.path.stem) for table in self._tables}
        by_folder: dict[str, Split] = {}
        for name, path in self.images.items():
            rows = {of_tables[table.path] for table, _ in self._stands[name]} or set(of_tables.values())
            split = splits.split_of(path, self.root) or (rows.pop() if len(rows) == 1 else None)
            if split is not None:
                by_folder[name] = split
        self.splits = splits.given_splits(self.root, self.images, findings, by_folder)

    def _order_told(self, findings: list[Finding]) -> str:
        """Which way runs go: that in which masks have the shorter outlines, else what such tables usually mean.

        Runs longer than a side of the image may fill whole lines, and bands of whole lines look well in both.
        """
        outlines = dict.fromkeys(_ORDERS, 0)
        seen = pixels = 0
        for name, stands in self._stands.items():
            if not any(table.places for table, _ in stands):
                continue
            try:
                size = self._size(name)
                runs = self._runs(name, size, Drawing(size, 0))
            except DatasetError:  # the check lists it
                continue
            if runs and size[0] != size[1]:
                seen, pixels = seen + 1, pixels + size[0] * size[1]
                short = [
                    each
                    for each in runs.values()
                    if max(int((ends - starts).max()) for starts, ends in each) < min(size)
                ]
                for order in _ORDERS:
                    outlines[order] += sum(_outline(fill(each, size, order)) for each in short)
            if seen == _SAMPLED or pixels > _SAMPLED_PIXELS:
                break
        shorter, longer = sorted(outlines, key=lambda order: outlines[order])
        if outlines[shorter] < _SHORTER * outlines[longer]:
            problem = (
                f"runs go {_ORDERS[shorter]}: so the outlines of masks are {outlines[shorter]:,} pixels long, else "
                f"{outlines[longer]:,}; the option order changes that"
            )
            findings.append(Finding.note("RUN-ORDER", problem))
            return shorter
        names = {table.header[table.runs] for table in self._tables}
        carvana = any(table.header[table.image] == "img" for table in self._tables)
        usual = "row" if names <= set(_ALONG_ROWS) or carvana else "column"
        problem = f"runs are taken to go {_ORDERS[usual]}, as in Kaggle's tables of such columns"
        problem += "; the option order changes that"
        known = names <= set(_DOWN_COLUMNS) or names <= set(_ALONG_ROWS)
        findings.append(Finding.note("RUN-ORDER", problem) if known else Finding.warning("RUN-ORDER", problem))
        return usual

    def _rows(self, name: str) -> Iterator[tuple[Table, bytes, int]]:
        for table, image in self._stands[name]:
            for row, line in table.rows(image):
                yield table, row, line

    def _size(self, name: str) -> Size:
        """Height and width of an image as its rows tell them, else as the picture has them."""
        given = {table.size(row, line) for table, row, line in self._rows(name) if table.height is not None} - {None}
        if len(given) > 1:
            raise DatasetError(f"the rows of {name} give several sizes; correct height and width")
        return next((size for size in given if size is not None), None) or self.head(name)[0]

    def _runs(self, name: str, size: Size, drawing: Drawing) -> dict[int, list[tuple[Int64Array, Int64Array]]]:
        """Runs of an image by label; what is wrong with a row becomes a finding of the drawing."""
        runs: dict[int, list[tuple[Int64Array, Int64Array]]] = defaultdict(list)
        for table, row, line in self._rows(name):
            with drawing.shape(f"{table.title}, line {line:,} ({name})"):
                _, key, text = table.read(row, line)
                label = self._labels.get(_ONE_CLASS if key is None else key)
                if text and label is None:
                    raise DatasetError("it has runs but no class; name the class, or open the table again")
                if text and label is not None:
                    each = spans(text, size[0] * size[1], self._first)
                    runs[label].append(each)
        return runs

    def truth(self, name: str) -> Truth:
        """Pixels of every class, where the rows of an image are united. Raises DatasetError, one line."""
        size = self._size(name)
        drawing = Drawing(size, len(self.labels))
        for label, runs in self._runs(name, size, drawing).items():
            drawing.paste(fill(runs, size, self._order), label)
        return drawing.truth(name)

    def files(self) -> Iterable[Path]:
        """Tables and pictures."""
        yield from (table.path for table in self._tables)
        yield from self.images.values()


def _wanted(table: Table, pattern: str) -> bool:
    return fnmatch(table.path.name, pattern) or fnmatch(table.title, pattern)


def _is_submission(table: Table) -> bool:
    """Whether a table is Kaggle's example of what to hand in, whose runs mean nothing."""
    return "submission" in table.path.stem.casefold()


def _folders(table: Table, root: Path) -> tuple[str, ...]:
    """Where pictures may lie that a table names, as paths from the top."""
    beside, stem = table.path.parent.relative_to(root).as_posix(), table.path.stem
    return ("", beside, f"{beside}/images", f"{stem}_images", stem, f"{stem}/images", f"images/{stem}", "images")


def _paths_by_folder(files: listing.PictureFiles, root: Path) -> dict[str, str]:
    """Paths of pictures by a folder's name and the beginning of their own, as UW-Madison's table names them.

    That is case1_day0_slice_0001 for case1/case1_day0/scans/slice_0001_266_266_1.50_1.50.png.
    """
    paths: dict[str, str] = {}
    twice: set[str] = set()
    for path in files.paths():
        *above, _ = path.relative_to(root).parts
        words = listing.stem(path).split("_")
        for folder in above:
            for count in range(1, min(len(words), _MOST_WORDS) + 1):
                key = "_".join((folder, *words[:count]))
                twice |= {key} if key in paths else set()
                paths[key] = path.relative_to(root).as_posix()
    return {key: path for key, path in paths.items() if key not in twice}


def _outline(pixels: BoolArray) -> int:
    """Pixels along the outlines of a mask."""
    return int((pixels[1:] != pixels[:-1]).sum() + (pixels[:, 1:] != pixels[:, :-1]).sum())


FORMAT: Final = Format(
    "tables of run lengths with pictures, as in Kaggle's competitions",
    _recognise,
    RleTableSource,
    {
        "order": "which way runs go: column (down the columns) or row; if nothing is said, masks or the table tell",
        "first": "the number of the first pixel, 1 (as Kaggle has it) or 0",
        "missing": "pictures without a row: empty (nothing is on them, the default) or skip",
        "table": "names of the tables to take, such as train.csv",
    },
)
