"""Files that name classes to a table: value, colour and name of each, however they are written."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines import links
from pipelines.datasets import listing
from pipelines.datasets.base import Role
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS

OPTIONS: Final[dict[str, str]] = {
    "names": "a file that names the classes, from the top, such as classes.txt; else the first of the known names"
}
FILES: Final = (
    "labelmap.txt", "label_colors.txt", "class_dict.csv", "classes.csv", "_classes.csv", "labels.csv", "class_map.csv",
    "label_map.txt", "classes.txt", "labels.txt", "label_names.txt", "class_names.txt", "names.txt", "codes.txt",
)  # fmt: skip
_MAX_BYTES: Final = 1 << 20
_LONGEST: Final = 200
_LONGEST_LINE: Final = 400
_BACKGROUND: Final = frozenset({"background", "bg", "_background_", "__background__", "none", "nothing"})
_IGNORE: Final = frozenset({
    "void", "ignore", "ignored", "_ignore", "__ignore__", "_ignore_", "unlabeled", "unlabelled", "unknown", "dontcare",
    "don't care", "dont care", "dont_care", "border", "unclassified", "not labeled", "not_labeled",
})  # fmt: skip
_COLUMNS: Final[dict[str, str]] = {
    "name": "name", "class": "name", "class_name": "name", "label": "name", "classname": "name", "category": "name",
    "value": "value", "id": "value", "index": "value", "pixel value": "value", "pixel_value": "value",
    "class_id": "value", "label_id": "value", "color": "color", "colour": "color", "hex": "color",
    "r": "r", "red": "r", "g": "g", "green": "g", "b": "b", "blue": "b",
}  # fmt: skip
_RGB: Final = r"(\d{1,3})\s*[,;\s]\s*(\d{1,3})\s*[,;\s]\s*(\d{1,3})"
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
        said = f"{self.path.name} gives no values, so its first name, {shown(self.rows[0].name)}, is value {first}"
        return {index + first: row for index, row in enumerate(self.rows)}, said


def find_names(root: Path, folders: Iterable[Path], options: Mapping[str, str]) -> Names | None:
    """The table of classes in the file that the options name, or in the first known file of these folders.

    Raises DatasetError when the file that was named is not there or does not say what classes there are.
    """
    said = options.get("names")
    if said:
        path = root.joinpath(*(part for part in said.replace("\\", "/").split("/") if part not in ("", ".", "..")))
        if not path.is_file() or not links.of(root).follows(path):
            raise DatasetError(f"the option names must be a file inside {shown(root.name)}, got {said[:80]!r}")
        return _read(path)
    for folder in dict.fromkeys((root, *folders)):
        for file in FILES:
            found = listing.child(folder, file)
            if found is not None and found.is_file():
                return _read(found)
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
    return "background" if folded in _BACKGROUND else "ignore" if folded in _IGNORE else "class"


def shown(name: str) -> str:
    """A name for a message."""
    return name[:60] if name.isprintable() else repr(name[:60])[1:-1]


def distinct(names: Iterable[str]) -> list[str]:
    """Names made distinct: a second "car" becomes "car 2"."""
    taken: set[str] = set()
    made = []
    for name in names:
        one, number = name, 2
        while one in taken:
            one, number = f"{name} {number}", number + 1
        taken.add(one)
        made.append(one)
    return made


def _read(path: Path) -> Names:
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
    rows = _table(path, lines) if path.suffix.lower() == ".csv" else None
    return Names(_checked(rows or _lines(lines), path.name), path)


def _lines(lines: Sequence[str]) -> list[Named]:
    """The first way of writing that all lines keep to: colour tables, values and names, names alone."""
    for pattern in (_LABELMAP, _COLOR_NAME, _NAME_COLOR):
        found = _matches(pattern, lines)
        if found:
            return [Named(_unquoted(one["name"]), None, _color(*_three(one))) for one in found]
    found = _matches(_VALUE_NAME, lines)
    if found:
        return [Named(_unquoted(one["name"]), int(one["value"])) for one in found]
    return [Named(_unquoted(line)) for line in lines]


def _matches(pattern: re.Pattern[str], lines: Sequence[str]) -> list[re.Match[str]]:
    """Matches of all lines; [] as soon as one does not."""
    made = []
    for line in lines:
        found = pattern.fullmatch(line)
        if found is None:
            return []
        made.append(found)
    return made


def _unquoted(name: str) -> str:
    return name.strip().strip("\"'")


def _three(found: re.Match[str]) -> tuple[str, str, str]:
    numbers = [one for key, one in enumerate(found.groups()) if key != found.re.groupindex["name"] - 1]
    return numbers[0], numbers[1], numbers[2]


def _table(path: Path, lines: Sequence[str]) -> list[Named] | None:
    """A CSV table with a header, by the names of its columns; None without a header."""
    delimiter = max(",;\t", key=lines[0].count)
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise DatasetError(f"{path.name} is no table ({error}); write value,name or name,r,g,b") from None
    columns = [_COLUMNS.get(cell.strip().casefold()) for cell in rows[0]]
    if "name" not in columns:
        return None
    made = []
    for row in rows[1:]:
        cells = {column: cell.strip() for column, cell in zip(columns, row, strict=False) if column}
        value, color = cells.get("value"), cells.get("color")
        if {"r", "g", "b"} <= set(cells):
            color = _color(cells["r"], cells["g"], cells["b"])
        elif color is not None and (code := _HEX.fullmatch(color)) is not None:
            color = f"#{code[1].lower()}"
        else:
            color = None
        if not cells.get("name") or (value is not None and re.fullmatch(r"\d{1,9}", value) is None):
            row_shown = shown(",".join(row))
            raise DatasetError(f"{path.name}: the line {row_shown!r} has no name or no whole value; correct it")
        made.append(Named(cells["name"], int(value) if value is not None else None, color))
    return made or None


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
