"""What the values of masks mean: the values or colours that they hold, tables that name them, and labels from both."""

import csv
import io
import itertools
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines import links
from pipelines.datasets import imageio, listing
from pipelines.datasets.base import Finding, Label, Role, Truth, blank_layers, distinct
from pipelines.datasets.formats import tiff_images
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.sentences import first_of, printable

# Masks to the values they hold, each file looked at once in a process ------------------------------------------------

How: TypeAlias = Literal["index", "color"]
Counts: TypeAlias = dict[int, int]  # value, or colour as 0xRRGGBB, to number of pixels

MOST: Final = 4096  # different values of one file; more are not told apart
LOSSY: Final = (".jpg", ".jpeg", ".webp")
_INDEX_MODES: Final = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})
_KEPT: Final = 200_000 + listing.MAX_FILES  # more than one set can have
_cache: OrderedDict[tuple[Hashable, ...], Counts | None] = OrderedDict()
_lock: Final = threading.Lock()
_T = TypeVar("_T")


@dataclass(frozen=True)
class MaskValues:
    """What the masks of a data set hold: each file's counts; None for one with more than MOST values.

    unreadable: files that cannot be read; examining their image says why. problem: of the first of them.
    """

    files: dict[Path, Counts | None]
    unreadable: tuple[Path, ...]
    problem: str = "there is none"

    def total(self) -> Counts:
        """Pixels by value over all files that could be counted, ascending by value."""
        total: Counts = {}
        for counts in self.files.values():
            for value, pixels in (counts or {}).items():
                total[value] = total.get(value, 0) + pixels
        return dict(sorted(total.items()))

    @property
    def crowded(self) -> bool:
        """Whether a file has more values than are told apart."""
        return any(counts is None for counts in self.files.values())

    @property
    def lossy(self) -> Path | None:
        """The first file whose compression changes values."""
        return next((path for path in self.files if path.suffix.lower() in LOSSY), None)

    def findings(self, root: Path) -> list[Finding]:
        """One finding for masks that could not be looked at; each says why when it is read."""
        if not self.unreadable:
            return []
        examples = ", ".join(listing.shown(path, root) for path in self.unreadable[:3])
        problem = (
            f"{len(self.unreadable)} masks cannot be read and named no labels, such as {examples}; save them again"
        )
        return [Finding.warning("MASK-UNREADABLE", problem)]


def count_files(paths: Iterable[Path], how: How) -> MaskValues:
    """The values or colours of mask files."""
    count = _index_counts if how == "index" else _color_counts
    return count_masks((path, path, (how,), partial(count, path)) for path in paths)


def count_masks(masks: Iterable[tuple[Path, Path, tuple[Hashable, ...], Callable[[], Counts | None]]]) -> MaskValues:
    """Count every mask once; counts are kept as long as the file does not change.

    masks: what each is called, the file that holds it, what tells it from others in there, and how it is counted.
    """
    files: dict[Path, Counts | None] = {}
    unreadable: dict[Path, str] = {}
    for name, path, which, count in masks:
        try:
            facts = path.stat()
            key = (str(path), facts.st_size, facts.st_mtime_ns, *which)
            with _lock:
                known, counts = key in _cache, _cache.get(key)
            if not known:
                counts = count()
        except (DatasetError, OSError) as error:
            unreadable[name] = str(error)
            continue
        files[name] = counts
        with _lock:
            _cache[key] = counts
            _cache.move_to_end(key)
            while len(_cache) > _KEPT:
                _cache.popitem(last=False)
    return MaskValues(files, tuple(unreadable), *list(unreadable.values())[:1])


def read_index(path: Path, *, content: bytes | None = None) -> NDArray[Any]:
    """Mask values (H, W); a colour image whose three channels are equal is taken as grey. Raises DatasetError.

    content: the mask's bytes where they are no file of their own; the path then only names them.
    """
    if mode_of(path if content is None else content) in ("RGB", "RGBA", "LA", "CMYK"):
        grey = imageio.read_grey(path, content=content)
        if grey is not None:
            return grey
    return tiff_images.read_mask(path) if content is None else imageio.read_mask(path, content=content)


def read_codes(path: Path) -> NDArray[np.int32]:
    """Mask colours (H, W) int32 as 0xRRGGBB. Raises DatasetError."""
    colors = imageio.read_colors(path)
    codes = colors[:, :, 0].astype(np.int32)
    for channel in (1, 2):  # in place: masks may be large
        codes <<= 8
        codes |= colors[:, :, channel]
    return codes


def mode_of(file: Path | bytes) -> str | None:
    """Pillow's mode of an image file, told by its head; None when Pillow cannot tell."""
    return _from_head(file, lambda picture: picture.mode, None)


def palette_of(path: Path) -> list[str]:
    """Colours "#rrggbb" of a palette image by value; [] for others."""
    flat = _from_head(path, lambda picture: picture.getpalette("RGB") if picture.mode == "P" else None, None) or []
    return [f"#{flat[at]:02x}{flat[at + 1]:02x}{flat[at + 2]:02x}" for at in range(0, len(flat) - 2, 3)]


def holds_indices(paths: list[Path]) -> bool:
    """Whether masks hold one value a pixel, told by their heads; colour images by whether all of them are grey."""
    modes = [mode_of(path) for path in paths]
    if not modes or not all(modes):
        return bool(modes) and all(mode or tiff_images.is_tiff(path) for mode, path in zip(modes, paths, strict=True))
    if all(mode in _INDEX_MODES for mode in modes):
        first, *others = [palette_of(path) for path in paths]
        # One palette begins with the other, as those of one table do that were cut to the colours in use.
        return all(a == b for other in others for a, b in zip(first, other, strict=False))
    return all(mode in _INDEX_MODES or _is_grey(path) for mode, path in zip(modes, paths, strict=True))


def _is_grey(path: Path) -> bool:
    try:
        return path.stat().st_size < 1 << 22 and read_index(path).ndim == 2
    except (DatasetError, OSError):
        return False


def _from_head(file: Path | bytes, ask: Callable[[Image.Image], _T], otherwise: _T) -> _T:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = io.BytesIO(file) if isinstance(file, bytes) else file
            with Image.open(source, formats=imageio.FORMATS) as picture:
                return ask(picture)
    except Exception:  # the head of a damaged file raises anything; reading it whole says what is wrong
        return otherwise


def blurred(total: Counts) -> bool:
    """Whether values look like the edges of smoothed or JPEG-compressed masks: many, and most of them rare."""
    pixels = sum(total.values())
    rare = sum(count < 1e-3 * pixels for count in total.values())
    return len(total) > 12 and rare > 0.6 * len(total)


def count_values(values: NDArray[Any]) -> Counts | None:
    """Pixels by value; None for more than MOST values."""
    if values.dtype == np.uint8:  # Pillow counts three times faster than bincount, ten times faster than sorting
        return {value: count for value, count in enumerate(Image.fromarray(values).histogram()) if count}
    distinct_, counts = np.unique(values, return_counts=True)
    if len(distinct_) > MOST:
        return None
    return {int(value): int(count) for value, count in zip(distinct_, counts, strict=True)}


def _index_counts(path: Path) -> Counts | None:
    return count_values(read_index(path))


def _color_counts(path: Path) -> Counts | None:
    colors = Image.fromarray(imageio.read_colors(path)).getcolors(MOST)
    if colors is None:
        return None
    rows = cast("list[tuple[int, tuple[int, int, int]]]", colors)
    return {(red << 16) | (green << 8) | blue: count for count, (red, green, blue) in rows}


# Files that name classes, however they are written -------------------------------------------------------------------

OPTIONS: Final[dict[str, str]] = {
    "names": "a file that names the classes, from the top, such as classes.txt; else the first of the known names"
}
_FILES: Final = (
    "labelmap.txt label_colors.txt class_dict.csv classes.csv _classes.csv labels.csv class_map.csv label_map.txt "
    "classes.txt labels.txt label_names.txt class_names.txt names.txt codes.txt"
)
_MAX_BYTES: Final = 1 << 20
_LONGEST: Final = 200
_LONGEST_LINE: Final = 400
_BACKGROUND_NAMES: Final = frozenset({"background", "bg", "_background_", "__background__", "none", "nothing"})
_IGNORED: Final = (
    "void,ignore,ignored,_ignore,__ignore__,_ignore_,unlabeled,unlabelled,unknown,dontcare,don't care,dont care,"
    "dont_care,border,unclassified,not labeled,not_labeled"
)
_IGNORED_NAMES: Final = frozenset(_IGNORED.split(","))
_COLUMN_NAMES: Final = {
    "name": ("name", "class", "class_name", "label", "classname", "category"),
    "value": ("value", "id", "index", "pixel value", "pixel_value", "class_id", "label_id"),
    "color": ("color", "colour", "hex"),
    "r": ("r", "red"),
    "g": ("g", "green"),
    "b": ("b", "blue"),
}
_COLUMNS: Final = {heading: column for column, headings in _COLUMN_NAMES.items() for heading in headings}
_RGB: Final = r"(?P<r>\d{1,3})\s*[,;\s]\s*(?P<g>\d{1,3})\s*[,;\s]\s*(?P<b>\d{1,3})"
_LABELMAP: Final = re.compile(rf"(?P<name>.+?)\s*:\s*{_RGB}\s*:[^:]*:[^:]*")
_COLOR_NAME: Final = re.compile(rf"{_RGB}[,;\s]\s*(?P<name>\D.*)")
_NAME_COLOR: Final = re.compile(rf"(?P<name>.*\D)[,;\s]\s*{_RGB}")
_VALUE_NAME: Final = re.compile(r"(?P<value>\d{1,9})\s*[:=,;\s]\s*(?P<name>\D.*)")
_HEX: Final = re.compile(r"#?([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class Named:
    """One class as a file names it. value: of its pixels in the masks, if the file says."""

    name: str
    value: int | None = None
    color: str | None = None


@dataclass(frozen=True)
class Names:
    """A table of classes and the file it stands in."""

    rows: tuple[Named, ...]
    path: Path

    def by_value(self, seen: Iterable[int]) -> tuple[dict[int, Named], str]:
        """Names by mask value, and in words where counting begins if the file gives no values.

        seen: values in the masks. Without values in the file the first name is value 0, or 1 when the masks' largest
        value (beside 255) is the number of names.
        """
        if all(row.value is not None for row in self.rows):
            return {row.value: row for row in self.rows if row.value is not None}, ""
        largest = max((value for value in seen if value != 255), default=0)
        first = int(largest == len(self.rows) and not any(role_of(row.name) == "background" for row in self.rows[:1]))
        name = printable(self.rows[0].name[:60])
        said = f"{self.path.name} gives no values, so its first name, {name}, is value {first}"
        return {index + first: row for index, row in enumerate(self.rows)}, said


def find_names(root: Path, folders: Iterable[Path], options: Mapping[str, str]) -> Names | None:
    """The table of classes in the file that the options name, or in the first known file of these folders.

    Raises DatasetError when the file that was named is not there or does not say what classes there are.
    """
    given = options.get("names")
    if given:
        path = root.joinpath(*(part for part in given.replace("\\", "/").split("/") if part not in ("", ".", "..")))
        if not path.is_file() or not links.of(root).follows(path):
            name = printable(root.name[:60])
            raise DatasetError(f"the option names must be a file inside {name}, got {given[:80]!r}")
        return _read_names(path)
    for folder in dict.fromkeys((root, *folders)):
        for file in _FILES.split():
            path_ = listing.child(folder, file)
            if path_ is not None and path_.is_file():
                return _read_names(path_)
    return None


def parse_colors(text: str) -> tuple[Named, ...]:
    """A table such as "sky=#0000ff, road=#808080". Raises DatasetError."""
    rows = []
    for part in re.split(r"[,;\n]+", text.strip().strip(",;")):
        name, _, color = part.rpartition("=")
        code = _HEX.fullmatch(color.strip())
        if not name.strip() or code is None:
            raise DatasetError(f'colors must be such as "sky=#0000ff, road=#808080", got {part.strip()[:60]!r}')
        rows.append(Named(name.strip(), None, f"#{code[1].lower()}"))
    return _checked(rows, "the option colors")


def role_of(name: str) -> Role:
    """What a name means if nobody says otherwise."""
    folded = name.strip().casefold()
    return "background" if folded in _BACKGROUND_NAMES else "ignore" if folded in _IGNORED_NAMES else "class"


def _read_names(path: Path) -> Names:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DatasetError(f"{path.name} is larger than {_MAX_BYTES:,} bytes; it needs one line a class")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be read ({error.strerror}); check it") from None
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not (line.startswith("#") and _HEX.fullmatch(line[:7]) is None)]
    if not lines:
        raise DatasetError(f"{path.name} names no class; write one a line, or remove it")
    long = max(len(line) for line in lines)
    if long > _LONGEST_LINE:
        raise DatasetError(f"{path.name} has a line of {long:,} characters; it needs one short line a class")
    rows = _read_table(path, lines) if path.suffix.lower() == ".csv" else None
    return Names(_checked(rows or _read_lines(lines), path.name), path)


def _read_lines(lines: Sequence[str]) -> list[Named]:
    """The first way of writing that all lines keep to: colour tables, values and names, names alone."""
    for pattern in (_LABELMAP, _COLOR_NAME, _NAME_COLOR, _VALUE_NAME):
        matches = list(itertools.takewhile(bool, (pattern.fullmatch(line) for line in lines)))
        if len(matches) < len(lines):
            continue
        cells = [match.groupdict() for match in matches if match is not None]
        if pattern is _VALUE_NAME:
            return [Named(_unquoted(row["name"]), int(row["value"])) for row in cells]
        return [Named(_unquoted(row["name"]), None, _color(row["r"], row["g"], row["b"])) for row in cells]
    return [Named(_unquoted(line)) for line in lines]


def _unquoted(name: str) -> str:
    return name.strip().strip("\"'")


def _read_table(path: Path, lines: Sequence[str]) -> list[Named] | None:
    """A CSV table with a header, by the names of its columns; None without a header."""
    delimiter = max(",;\t", key=lines[0].count)
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise DatasetError(f"{path.name} is no table ({error}); write value,name or name,r,g,b") from None
    columns = [_COLUMNS.get(cell.strip().casefold()) for cell in rows[0]]
    if "name" not in columns:
        return None
    named = []
    for row in rows[1:]:
        cells = {column: cell.strip() for column, cell in zip(columns, row, strict=False) if column}
        value, color = cells.get("value"), cells.get("color")
        if {"r", "g", "b"} <= set(cells):
            color = _color(cells["r"], cells["g"], cells["b"])
        else:
            code = _HEX.fullmatch(color or "")
            color = None if code is None else f"#{code[1].lower()}"
        if not cells.get("name") or (value is not None and re.fullmatch(r"\d{1,9}", value) is None):
            line = printable(",".join(row)[:60])
            raise DatasetError(f"{path.name}: the line {line!r} has no name or no whole value; correct it")
        named.append(Named(cells["name"], int(value) if value is not None else None, color))
    return named or None


def _color(red: str, green: str, blue: str) -> str | None:
    try:
        codes = [int(red), int(green), int(blue)]
    except ValueError:
        return None
    return "#" + "".join(f"{code:02x}" for code in codes) if all(0 <= code < 256 for code in codes) else None


def _checked(rows: Sequence[Named], where: str) -> tuple[Named, ...]:
    if len(rows) > MAX_LABELS:
        raise DatasetError(f"{where} names {len(rows):,} classes, allowed are {MAX_LABELS:,}; is it another list?")
    long = next((row for row in rows if len(row.name) > _LONGEST), None)
    if long is not None:
        raise DatasetError(f"{where} has a name of {len(long.name)} characters, allowed are {_LONGEST}; shorten it")
    if not all(row.name.strip() for row in rows):
        raise DatasetError(f"{where} has a class without a name; name each one, or remove its line")
    values = [row.value for row in rows if row.value is not None]
    if len(set(values)) != len(values):
        raise DatasetError(f"{where} gives one value two names; correct it")
    names = distinct(row.name for row in rows)
    return tuple(Named(name, row.value, row.color) for name, row in zip(names, rows, strict=True))


# Values to labels ----------------------------------------------------------------------------------------------------

BACKGROUND: Final = "background"
FOREGROUND: Final = "foreground"
_STRETCH: Final = 257  # 65535 / 255
_PALETTES: Final = 50  # files whose palettes are compared; later ones are only asked for values not met before
_COMPARED: Final = 256  # values
_CLOSE: Final = 16  # neighbouring values of label maps are closer; those of pictures of label maps are further apart


@dataclass(frozen=True)
class ValueLabels:
    """Labels, and which mask values carry each.

    colors: values are colours, 0xRRGGBB. nearest: whether other colours go to the nearest of them. threshold: values
    are 0 below it and 1 from it on. table: the file that names the values, for messages.
    """

    labels: tuple[Label, ...]
    values: tuple[tuple[int, ...], ...]
    colors: bool = False
    nearest: bool = False
    threshold: int | None = None
    table: str = "the table of names"

    def truth(self, values: NDArray[Any], where: str) -> Truth:
        """Layers of a mask (H, W). where: the mask, for messages. Raises DatasetError when they would not fit."""
        values = values if self.threshold is None else values >= self.threshold
        layers = blank_layers(len(self.labels), values.shape, where)
        known = np.array(sorted(set(itertools.chain(*self.values))), np.int64)
        if len(known) <= _COMPARED:
            for layer, carrying in zip(layers, self.values, strict=True):
                for value in carrying:
                    layer |= values == value
            valid = np.asarray(layers.any(axis=0), np.bool_)
        else:  # looking the value of each pixel up is faster
            place = np.minimum(np.searchsorted(known, values), len(known) - 1)
            valid = np.asarray(known[place] == values, np.bool_)
            for layer, carrying in zip(layers, self.values, strict=True):
                np.logical_and(np.isin(known, carrying)[place], valid, out=layer)
        if valid.all():
            return Truth(layers, valid)
        if self.nearest:
            chosen = _closest(values[~valid], [carrying[0] for carrying in self.values])
            for index, layer in enumerate(layers):
                layer[~valid] = chosen == index
            return Truth(layers, np.ones(values.shape, np.bool_))
        wrong = np.unique(values[~valid])
        held = first_of([f"#{value:06x}" if self.colors else int(value) for value in wrong], 8)
        problem = f"{where} holds {held}, which no label has; correct the mask or {self.table}"
        return Truth(layers, valid, (Finding.error("MASK-VALUES", problem),))


def value_labels(
    seen: MaskValues, names: Names | None, *, colors: Mapping[int, str] | None = None
) -> tuple[ValueLabels, list[Finding]]:
    """A label for every value, and findings about what was guessed.

    0 is the background unless a table says otherwise. 255 is left out where the others are close together and end
    below it. 8-bit values that a program made 16 (0, 257, 514, … 65535) are named as those of 8 bits.
    Raises DatasetError when there are too many values for labels.
    """
    total = seen.total()
    if len(total) > 2 and max(total) > 255 and all(value % _STRETCH == 0 for value in total):
        eight = {
            path: counts and {value // _STRETCH: n for value, n in counts.items()}
            for path, counts in seen.files.items()
        }
        labels, notes = value_labels(MaskValues(eight, seen.unreadable), names, colors=colors)
        problem = f"the masks' values are 8-bit values made 16, all multiples of {_STRETCH}: {_STRETCH} is read as 1"
        stretched = tuple(tuple(value * _STRETCH for value in carrying) for carrying in labels.values)
        return ValueLabels(labels.labels, stretched), [Finding.note("VALUES-STRETCHED", problem), *notes]
    _check_count(seen, total)
    findings: list[Finding] = []
    named: dict[int, Named] = {}
    if names is not None:
        named, said = names.by_value(total)
        if said:
            findings.append(Finding.note("NAMES-GUESSED", said))
    foreground = _foreground(seen, total, named, findings)
    if foreground:
        rows = [row for value, row in sorted(named.items()) if role_of(row.name) == "class" and value != 0]
        empty = named.get(0, Named(BACKGROUND))
        only = rows[0] if len(rows) == 1 else Named(FOREGROUND)
        two = (Label(empty.name, empty.color, "background"), Label(only.name, only.color))
        return ValueLabels(two, ((0,), foreground)), findings
    colors = colors if colors is not None else _palette_colors(seen, findings)
    ignored = {value for value in total if value < 0 and value not in named}
    if 255 in total and 255 not in named and _stands_apart(total):
        ignored.add(255)
    if ignored:
        problem = (
            f"the mask value {first_of(sorted(ignored), 8)} lies outside the others and is left out of everything; "
            "edit the classes if not"
        )
        findings.append(Finding.note("VALUE-IGNORED", problem))
    values = sorted({*total, *named})
    unnamed = [value for value in values if named and value not in named and value not in ignored and value != 0]
    if names is not None and unnamed:
        problem = (
            f"the masks hold {first_of(unnamed, 8)}, which {names.path.name} does not name; name them there, or "
            "merge or drop them in the table of classes"
        )
        findings.append(Finding.warning("MASK-VALUES", problem))
    every = [_label(value, named, colors, ignored) for value in values]
    return ValueLabels(with_distinct_names(every), tuple((value,) for value in values)), findings


def with_distinct_names(labels: Sequence[Label]) -> tuple[Label, ...]:
    """The same labels, under names that differ."""
    names = distinct(label.name for label in labels)
    return tuple(Label(name, label.color, label.role) for name, label in zip(names, labels, strict=True))


def _closest(codes: NDArray[Any], known: Sequence[int]) -> NDArray[np.int64]:
    """Index of the nearest known colour, by squared distance in RGB."""
    distinct, inverse = np.unique(codes, return_inverse=True)
    best = np.full(distinct.shape, np.iinfo(np.int64).max, np.int64)
    chosen = np.zeros(distinct.shape, np.int64)
    for index, code in enumerate(known):
        distance = np.zeros(distinct.shape, np.int64)
        for shift in (16, 8, 0):
            distance += (((distinct >> shift) & 255).astype(np.int64) - ((code >> shift) & 255)) ** 2
        chosen[distance < best] = index
        best = np.minimum(best, distance)
    return chosen[inverse]


def _check_count(seen: MaskValues, total: Counts) -> None:
    if seen.crowded or len(total) > MAX_LABELS:
        held = f"more than {MOST:,}" if seen.crowded else f"{len(total):,}"
        raise DatasetError(
            f"the masks hold {held} different values, allowed are {MAX_LABELS:,} labels; if each value is one object, "
            "read them in the format instances with maps=the name of the objects"
        )
    if not total:
        raise DatasetError(f"none of the masks can be read, so there are no labels: {seen.problem}")
    common = sorted(total, key=lambda value: -total[value])[:2]
    if len(total) > 2 and (seen.lossy or blurred(total)) and min(common) < 6 and max(common) > 249:
        raise DatasetError(
            f"the masks hold {len(total)} grey levels, as smoothed or JPEG masks do; say where the "
            "foreground begins, such as threshold=128, or save label maps as PNG"
        )
    if len(total) > 2 and seen.lossy is not None:
        raise DatasetError(
            f"{seen.lossy.name} is a JPEG or WebP file, which changes the values of a label map; save the masks as PNG "
            "from where they were made"
        )


def _foreground(
    seen: MaskValues, total: Counts, named: Mapping[int, Named], findings: list[Finding]
) -> tuple[int, ...]:
    """Values of the only class, if there is one beside 0."""
    if len(named) > 2 or any(value not in (0, 1) and value in total for value in named):
        return ()
    others = set(total) - {0}
    if len(others) == 1 and 0 in total and min(others) > 0:
        return tuple(others)
    files = [set(counts) for counts in seen.files.values() if counts]
    if others == {1, 255} and all(values <= {0, 1} or values <= {0, 255} for values in files):
        problem = "some masks hold 0 and 1, others 0 and 255; both are read as background and foreground"
        findings.append(Finding.warning("MASK-VALUES", problem))
        return (1, 255)
    return ()


def _stands_apart(total: Counts) -> bool:
    others = sorted(value for value in total if 0 <= value < 255)
    gaps = [after - before for before, after in itertools.pairwise(others)]
    return bool(gaps) and min(gaps) <= _CLOSE and others[-1] < 254 and max(total) == 255


def _palette_colors(seen: MaskValues, findings: list[Finding]) -> dict[int, str]:
    """Colours of values by the palettes of the first files that hold them; {} where palettes are grey."""
    colors: dict[int, str] = {}
    conflict: Path | None = None
    looked: set[int] = set()
    for index, (path, counts) in enumerate(seen.files.items()):
        if index >= _PALETTES and looked >= set(counts or ()):
            continue
        looked |= set(counts or ())
        palette = palette_of(path)
        for value in counts or ():
            if 0 <= value < len(palette) and colors.setdefault(value, palette[value]) != palette[value]:
                conflict = conflict or path
    if conflict is not None:
        problem = (
            f"palettes differ between masks, first in {conflict.name}: a value has several colours; if the colours are "
            "the labels, read them in the format colored"
        )
        findings.append(Finding.warning("PALETTES-DIFFER", problem))
    grey = all(color[1:3] == color[3:5] == color[5:7] for color in colors.values())
    return {} if grey else colors


def _label(value: int, named: Mapping[int, Named], colors: Mapping[int, str], ignored: Iterable[int]) -> Label:
    row = named.get(value)
    color = (row.color if row is not None else None) or colors.get(value)
    if row is not None:
        return Label(row.name, color, role_of(row.name))
    if value in set(ignored):
        return Label("ignored", color, "ignore")
    return Label(BACKGROUND, color, "background") if value == 0 else Label(f"class {value}", color)
