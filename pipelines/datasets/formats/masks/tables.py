"""Files that name classes, however they are written: tables of values, colours and names."""

import csv
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines import links
from pipelines.datasets import listing
from pipelines.datasets.base import Role, distinct
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.sentences import printable

OPTIONS: Final[dict[str, str]] = {
    "names": "a file that names the classes, from the top, such as classes.txt; else the first of the known names",
    "unnamed": "values or colours that the file of names lacks: classes (of their own) or background; else left out",
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

        seen: values in the masks but for void ones. Without values in the file the first name is value 0, or 1 when the
        masks' largest value is the number of names.
        """
        if all(row.value is not None for row in self.rows):
            return {row.value: row for row in self.rows if row.value is not None}, ""
        largest = max(seen, default=0)
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
