"""labelme: a folder with one JSON file an image, whose labelled shapes are drawn as labelme draws them, to truth."""

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines.datasets import imageio, listing
from pipelines.datasets.base import Finding
from pipelines.datasets.format import Format
from pipelines.datasets.formats import json_file, polygons
from pipelines.datasets.formats.labelme.shapes import LINE_WIDTH, Canvas, Sheet, embedded_picture, read_sheet, shapes
from pipelines.datasets.source import Label, Picture, Role, Source, Truth
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS

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
    said = json_file.ends(path)
    return b'"shapes"' in said and (b'"imagePath"' in said or b'"imageHeight"' in said or b'"imageData"' in said)


def _open(root: Path, options: Mapping[str, str]) -> Source:
    width = options.get("line_width", str(LINE_WIDTH))
    if not (width.isascii() and width.isdecimal() and 1 <= int(width[:9]) <= 1000):
        raise DatasetError(f"line_width is {width[:20]!r}, expected pixels from 1 to 1000; correct the option")
    return LabelmeSource(root, line_width=int(width))


class LabelmeSource(Source):
    """A folder of labelme files. line_width: pixels that lines and line strips are drawn with."""

    exclusive = False

    def __init__(self, root: Path, *, line_width: int = LINE_WIDTH) -> None:
        self.root = root
        self.name = _printable(root.name)[:100] or "labelme"
        self._line_width = line_width
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
        self.splits = listing.given_splits(root, paths, findings)
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
                findings.append(_finding("LABELME", "error", f"{shown} is left out: {error}"))
        return sheets

    def _order(self, findings: list[Finding]) -> tuple[Label, ...]:
        """Labels that have an area somewhere, in the order of labels.txt if there is one, then of the alphabet."""
        found = {label for sheet in self._sheets.values() for label in sheet.labels}
        if not found:
            raise DatasetError(f"no labelme file of {self.name} holds a shape with an area and a label; draw some")
        if len(found) > MAX_LABELS:
            raise DatasetError(f"there are {len(found):,} labels, allowed are {MAX_LABELS:,}; correct their names")
        path = listing.child(self.root, "labels.txt")
        lines: list[str] = []
        if path is not None and path.is_file() and path.stat().st_size <= _MOST_LABELS_BYTES:
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        place = {line.strip(): number for number, line in reversed(list(enumerate(lines)))}
        names = sorted(found, key=lambda one: (place.get(one, len(lines)), one))
        return tuple(Label(name, role=_ROLES.get(name.casefold(), "class")) for name in names)

    def _tell(self, pictures: Mapping[str, Path], findings: list[Finding]) -> None:
        points = sum(sheet.points for sheet in self._sheets.values())
        lines = sum(sheet.lines for sheet in self._sheets.values())
        if points:
            findings.append(_finding("POINTS", "note", f"{points:,} points mark no area and are passed over"))
        if lines:
            problem = f"{lines:,} lines are drawn {self._line_width} pixels wide; the option line_width changes that"
            findings.append(_finding("LINES", "note", problem))
        left = len(set(pictures.values()) - set(self._pictures.values()))
        if left:
            problem = f"{left:,} pictures have no labelme file and are left out; save one without shapes for background"
            findings.append(_finding("IMAGE-UNLABELLED", "note", problem))
        bare = [name for name, path in self._pictures.items() if path is None and self._sheets[name].data is None]
        if bare:
            problem = (
                f"{len(bare):,} labelme files have no picture, beside or inside them; add them: {', '.join(bare[:5])}"
            )
            findings.append(_finding("IMAGE-MISSING", "error", problem))

    def names(self) -> tuple[str, ...]:
        """Every image that has a labelme file, sorted."""
        return tuple(self._sheets)

    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """The file beside the JSON, else the picture inside it. Raises DatasetError, one line."""
        path, content = self._file(name)
        return Picture(*imageio.read_picture(path, size=size, content=content))

    def head(self, name: str) -> tuple[tuple[int, int], int]:
        """Size and orientation of a picture, told by its first bytes."""
        path, content = self._file(name)
        return imageio.read_head(path, content=content)

    def _file(self, name: str) -> tuple[Path, bytes | None]:
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
        layers = polygons.blank_layers(len(self.labels), size)
        canvas = Canvas(size, sheet.path, line_width=self._line_width)
        findings: list[Finding] = []
        for number, shape in enumerate(shapes(sheet.path), start=1):
            try:
                canvas.draw(shape)
            except DatasetError as error:
                told = f"{shown}, shape {number}: {error}"
                findings.append(_finding("ANNOTATION", "error", told))
                if len(findings) >= _MOST_FINDINGS:
                    raise DatasetError(f"{told} (and {len(findings) - 1} others of this image)") from None
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
    asked = (sheet.image_path or "").replace("\\", "/")
    wanted = [posixpath.join(here, asked), posixpath.join(here, posixpath.basename(asked))]
    wanted += [posixpath.join(here, sheet.path.stem + ending) for ending in imageio.IMAGE_SUFFIXES]
    return next((pictures[one] for one in map(posixpath.normpath, wanted) if one in pictures), None)


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


def _finding(code: str, severity: Any, message: str) -> Finding:
    return Finding(code=code, severity=severity, message=message)


FORMAT = Format(
    "one labelme JSON file of shapes an image",
    _recognise,
    _open,
    {"line_width": f"pixels that lines and line strips are drawn wide, {LINE_WIDTH} if nothing is said, as in labelme"},
)
