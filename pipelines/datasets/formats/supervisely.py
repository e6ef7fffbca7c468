"""Supervisely projects: meta.json, and in every data set pictures in img and a JSON file of objects for each in ann."""

import base64
import binascii
import io
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from pipelines.arrays import BoolArray
from pipelines.datasets import listing, splits
from pipelines.datasets.base import Finding, Format, Size, Truth, source_name, split_word
from pipelines.datasets.files import damage_named
from pipelines.datasets.formats import json_file, polygons
from pipelines.datasets.formats.drawing import Drawing, UnknownLabelError, label_named
from pipelines.datasets.options import choice
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.schema import Split
from pipelines.sentences import first_of, listed, printable

# Objects -------------------------------------------------------------------------------------------------------------

_AREAS: Final = ("bitmap", "polygon", "rectangle")
_NO_AREA_SHAPES: Final = ("line", "polyline", "point", "graph", "cuboid", "cuboid_2d", "point_3d")
_MOST_MASK: Final = 64 << 20  # bytes of a mask's PNG


def kind_of(thing: Mapping[str, Any]) -> str:
    """The kind of an object; files of old versions name none."""
    kind = thing.get("geometryType") or thing.get("shape")
    if isinstance(kind, str):
        return kind
    return "bitmap" if isinstance(thing.get("bitmap"), dict) else "polygon"


def draw(thing: Mapping[str, Any], label: int, drawing: Drawing, path: Path) -> None:
    """Draw an object that has an area. path: its file, for messages. Raises DatasetError when it can't be drawn."""
    kind = kind_of(thing)
    if kind == "bitmap":
        bitmap = thing.get("bitmap")
        origin = bitmap.get("origin") if isinstance(bitmap, dict) else None
        if not isinstance(bitmap, dict) or not isinstance(origin, list) or len(origin) != 2:
            raise DatasetError("its bitmap has no data and origin (x, y); export it again")
        left, top = (polygons.as_number(side) for side in origin)
        if left is None or top is None or not (float(left).is_integer() and float(top).is_integer()):
            raise DatasetError("the origin of its bitmap is not two whole numbers; export it again")
        drawing.paste(mask_of(bitmap.get("data"), path), label, int(left), int(top))
        return
    points = thing.get("points")
    exterior = points.get("exterior") if isinstance(points, dict) else None
    interior = points.get("interior") if isinstance(points, dict) else None
    outline = polygons.outline(exterior)
    if kind == "polygon":
        holes = [polygons.outline(hole).ravel().tolist() for hole in interior] if isinstance(interior, list) else []
        drawing.polygon(outline.ravel().tolist(), label, [hole for hole in holes if hole])
    elif len(outline) == 2:
        low, high = outline.min(axis=0), outline.max(axis=0) + 1  # both corners are pixels of it
        drawing.polygon(polygons.rectangle(*low.tolist(), *high.tolist()), label)
    else:
        raise DatasetError(f"a rectangle has two points, here are {len(outline)}; export it again")


def mask_of(data: Any, path: Path) -> BoolArray:
    """A bitmap, (h, w) bool, of a PNG that is packed by zlib and base64.

    A pixel is set where it is not transparent, or not 0 where the PNG has no transparency. path: its file, for
    messages. Raises DatasetError.
    """
    if not isinstance(data, str):
        raise DatasetError("its bitmap has no data; export it again")
    try:
        packed = base64.b64decode(data, validate=True)
        inflated = zlib.decompressobj()
        content = inflated.decompress(packed, _MOST_MASK)
    except (binascii.Error, ValueError, zlib.error):
        raise DatasetError("the data of its bitmap is no zlib in base64; export it again") from None
    if not inflated.eof:
        more = "is cut off" if len(content) < _MOST_MASK else f"unpacks to more than {_MOST_MASK:,} bytes"
        raise DatasetError(f"the data of its bitmap {more}; export it again")
    with damage_named(path, "has a bitmap that is no readable PNG ({}); export it again"):
        picture: Image.Image = Image.open(io.BytesIO(content), formats=("PNG",))
        polygons.checked_size(picture.height, picture.width)
        if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA"):
            return np.asarray(picture.convert("RGBA").getchannel("A")) > 0
        return np.asarray(picture.convert("L") if picture.mode != "P" else picture) > 0


# Files ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sheet:
    """What a file of objects says besides them. size: height and width as told. split: by its tags."""

    path: Path
    picture: Path
    size: tuple[Any, Any]
    split: Split | None


def read_objects(path: Path) -> dict[str, Any]:
    """A file of objects. Raises DatasetError, one line, when it is none."""
    value = json_file.read_object(path)
    if not isinstance(value.get("objects"), list):
        raise DatasetError(f"{path.name} has no list of objects; export it again")
    return value


def _ann_folders(root: Path) -> Iterator[Path]:
    """Folders called ann that lie beside one called img."""
    for folder, _ in listing.tree(root, widest=_MOST_FOLDERS):
        if folder and folder[-1] == "ann" and (root.joinpath(*folder[:-1], "img")).is_dir():
            yield root.joinpath(*folder)


def _meta(root: Path) -> Path | None:
    path = listing.child(root, "meta.json")
    return path if path is not None and path.is_file() and b'"classes"' in json_file.ends(path) else None


# The source ----------------------------------------------------------------------------------------------------------

_MOST_FOLDERS: Final = 10_000
_LOOKED_AT: Final = 20


def _recognise(root: Path) -> str | None:
    meta = _meta(root)
    for folder in islice(_ann_folders(root), _LOOKED_AT):
        shown = listing.shown(folder, root)
        if meta is not None:
            return f"meta.json names classes, and {shown} lies beside img"
        for path in islice(listing.walk(folder, suffixes=(".json",), depth=0), _LOOKED_AT):
            content = json_file.ends(path)
            if b'"objects"' in content and b'"size"' in content:
                return f"{listing.shown(path, root)} holds the objects of a picture in img"
    return None


class SuperviselySource(listing.FileSource):
    """Pictures of a Supervisely project."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self.root = root
        self.name = source_name(root, "Supervisely")
        self._boxes = choice(options, "boxes", ["fill", "skip"], "fill")
        self._meta = _meta(root)
        self._colors: dict[str, Any] = {}
        self._titles: dict[Any, str] = {}
        findings: list[Finding] = []
        if self._meta is not None:
            self._read_meta(self._meta)
        self._shapes: Counter[str] = Counter()
        sheets = self._read_sheets(findings)
        if not sheets:
            first = f" ({findings[0].message})" if findings else ""
            raise DatasetError(f"{self.name} holds no file in ann for a picture in img; export it with pictures{first}")
        if not self._colors or len(self._colors) > MAX_LABELS:
            found = (
                f"{len(self._colors):,} classes, allowed are {MAX_LABELS:,}"
                if self._colors
                else "no class with an area"
            )
            raise DatasetError(f"{self.name} has {found}; export it again")
        self._at = {title: index for index, title in enumerate(self._colors)}
        self.labels = tuple(label_named(title, color) for title, color in self._colors.items())
        self.exclusive = len(self.labels) == 1
        self.images = listing.by_name(sorted(sheets), root, findings)
        self._sheets = {name: sheets[path] for name, path in self.images.items()}
        by_folder: dict[str, Split] = {}
        for name, sheet in self._sheets.items():
            split = sheet.split or splits.split_of(sheet.picture, root)
            if split is not None:
                by_folder[name] = split
        self.splits = splits.given_splits(root, self.images, findings, by_folder)
        self._tell(findings)
        self.findings = tuple(findings)

    def _read_meta(self, path: Path) -> None:
        """Classes that can have an area, and what their numbers stand for. Raises DatasetError, one line."""
        classes = json_file.read_object(path).get("classes")
        if not isinstance(classes, list):
            raise DatasetError(f"{path.name}: classes must be a list of objects with a title; export it again")
        for row in classes:
            title = row.get("title") if isinstance(row, dict) else None
            if not isinstance(title, str) or not 0 < len(title) <= 500:
                raise DatasetError(f"{path.name}: a class has no title of 1 to 500 letters; export it again")
            if isinstance(row.get("id"), int):
                self._titles[row["id"]] = title
            if row.get("shape") not in _NO_AREA_SHAPES:
                self._colors[title] = row.get("color")

    def _read_sheets(self, findings: list[Finding]) -> dict[Path, Sheet]:
        """Files of objects by their pictures; counts kinds of objects, and adds classes that meta.json lacks."""
        sheets: dict[Path, Sheet] = {}
        alone: list[str] = []
        bare = 0
        for folder in _ann_folders(self.root):
            pictures = {path.name: path for path in listing.images(folder.with_name("img"), depth=0)}
            stems = {listing.stem(path): path for path in pictures.values()}
            taken = set()
            for path in listing.walk(folder, suffixes=(".json",), depth=0):
                name = path.name[: -len(".json")]
                picture = pictures.get(name) or stems.get(name)
                if picture is None:
                    alone.append(listing.shown(path, self.root))
                    continue
                taken.add(picture)
                try:
                    sheets[picture] = self._read_sheet(path, picture)
                except DatasetError as error:
                    problem = f"{listing.shown(path, self.root)} is left out: {error}"
                    findings.append(Finding.error("ANNOTATION", problem))
            bare += len(set(pictures.values()) - taken)
        if alone:
            problem = f"{len(alone):,} files in ann have no picture in img; add them: {first_of(alone, 5)}"
            findings.append(Finding.error("IMAGE-MISSING", problem))
        if bare:
            findings.append(Finding.note("IMAGE-UNLISTED", f"{bare:,} pictures have no file in ann and are left out"))
        return sheets

    def _read_sheet(self, path: Path, picture: Path) -> Sheet:
        value = read_objects(path)
        for thing in value["objects"]:
            if isinstance(thing, dict):
                kind = kind_of(thing)
                self._shapes[kind[:30]] += 1
                title = self._title(thing)
                if kind in _AREAS and title is not None and len(self._colors) <= MAX_LABELS:
                    self._colors.setdefault(title, None)
        size = value.get("size")
        height, width = (size.get("height"), size.get("width")) if isinstance(size, dict) else (None, None)
        tags = value.get("tags") if isinstance(value.get("tags"), list) else []
        named = {split_word(name.casefold()) for tag in tags or [] if (name := _tag_name(tag)) is not None} - {None}
        return Sheet(path, picture, (height, width), named.pop() if len(named) == 1 else None)

    def _title(self, thing: Mapping[str, Any]) -> str | None:
        title = thing.get("classTitle")
        if not isinstance(title, str):
            number = thing.get("classId")
            title = self._titles.get(number) if isinstance(number, int) else None
        return title if title is not None and 0 < len(title) <= 500 else None

    def _tell(self, findings: list[Finding]) -> None:
        boxes = self._shapes["rectangle"]
        if boxes:
            done = "are filled" if self._boxes == "fill" else "are left out"
            findings.append(Finding.note("BOXES", f"{boxes:,} rectangles {done}; the option boxes changes that"))
        others = {kind: count for kind, count in self._shapes.items() if kind not in _AREAS}
        if others:
            shown = listed(f"{count:,} {printable(kind)}" for kind, count in sorted(others.items())[:8])
            findings.append(Finding.note("NO-AREA", f"objects without area are passed over: {shown}"))

    def truth(self, name: str) -> Truth:
        """Objects of one class united; those of different classes may overlap. Raises DatasetError, one line."""
        sheet = self._sheets[name]
        shown = listing.shown(sheet.path, self.root)
        try:
            size: Size = self.head(name)[0] if None in sheet.size else polygons.checked_size(*sheet.size)
        except DatasetError as error:
            raise DatasetError(f"{shown}: {error}") from None
        drawing = Drawing(size, len(self.labels))
        for number, thing in enumerate(read_objects(sheet.path)["objects"], start=1):
            with drawing.shape(f"{shown}, object {number}"):
                if not isinstance(thing, dict):
                    raise DatasetError("it is no object with a class and a shape; export it again")
                kind = kind_of(thing)
                if kind not in _AREAS or (kind == "rectangle" and self._boxes == "skip"):
                    continue
                title = self._title(thing)
                if title not in self._at:
                    raise UnknownLabelError("it has no class of 1 to 500 letters; name it")
                draw(thing, self._at[title], drawing, sheet.path)
        return drawing.truth(name)

    def files(self) -> Iterable[Path]:
        """meta.json, files of objects and pictures."""
        yield from () if self._meta is None else (self._meta,)
        yield from (sheet.path for sheet in self._sheets.values())
        yield from self.images.values()


def _tag_name(tag: Any) -> str | None:
    """The name of a tag; old versions write it alone."""
    name = tag.get("name") if isinstance(tag, dict) else tag
    return name if isinstance(name, str) else None


FORMAT: Final = Format(
    "Supervisely projects: meta.json, and pictures in img with files of objects in ann",
    _recognise,
    SuperviselySource,
    {"boxes": "what rectangles are: fill (areas, the default) or skip"},
)
